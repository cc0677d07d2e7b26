//! The embedded world: voxel terrain, the player's rules, items and crafting, and a software renderer.
//!
//! Everything is a pure function of the episode's seed and the actions, down to the last pixel.

pub mod armour;
pub mod block;
pub(crate) mod canvas;
pub mod fixed_trig;
pub mod hud;
pub mod item;
pub mod mob;
pub mod observation;
pub mod render;
pub mod scene;
pub(crate) mod sprites;
pub mod terrain;
pub(crate) mod textures;
pub mod voxels;

pub(crate) mod drops;
pub(crate) mod entity;
mod env;
pub(crate) mod fight;
pub(crate) mod frame;
pub(crate) mod furnace;
#[cfg(test)]
mod golden;
pub(crate) mod gui;
pub(crate) mod inventory;
pub(crate) mod knockback;
mod light;
pub(crate) mod liquid;
pub(crate) mod look;
pub(crate) mod mining;
pub(crate) mod path;
pub(crate) mod physics;
pub(crate) mod player;
pub(crate) mod recipe;
pub(crate) mod scripted;
pub(crate) mod sky;
pub(crate) mod spawn;
pub(crate) mod survival;
pub(crate) mod target;
pub(crate) mod vitals;
pub(crate) mod wear;

pub use env::NativeWorld;
