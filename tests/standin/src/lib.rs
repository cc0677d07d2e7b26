//! A server that behaves as the Java side of MineRL 1.0 is documented to, with the embedded world in place of Minecraft.
//!
//! Made to prove clients of that protocol without the game, and to meet them with its faults. It was written from a
//! description of the protocol and by what a public copy of the game's side does, apart from this system's own client, which
//! it shares no code with.
//!
//! # Layout
//! - [`server`]: the port, connections, how it ends; `connection`: hello and commands; `frames`: lengths and bytes
//! - `game`: missions played in the embedded world; `mission` and `xml`: what a mission asks for; `actions`: one step's
//!   keys and mouse; `info`: what is told beside the picture; `names`: Minecraft's names of things
//! - [`options`]: what it plays, and faults on demand
//! - [`install`]: a `launchClient.sh` that starts it

mod actions;
mod connection;
mod error;
mod frames;
mod game;
mod info;
pub mod install;
mod mission;
mod names;
pub mod options;
pub mod server;
mod statistics;
mod xml;

pub use options::{Faults, Options};
pub use server::{Ended, Handle, Server};
