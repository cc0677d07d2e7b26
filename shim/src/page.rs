//! The memory that an envserver shares with a game: who may go on, what the clock says, and the picture.
//!
//! This one text is compiled into both: into the shim as its module, into the envserver by path.

// Each side uses its part.
#![allow(dead_code)]

use std::sync::atomic::{AtomicU32, AtomicU64};

/// Written by the shim once it has found the page; another number is another layout.
pub(crate) const MAGIC: u32 = 0x7670_7401;
/// Where the picture begins: rows of BGRA, the bottom row first.
pub(crate) const PICTURE_AT: usize = 4096;
/// Bytes of a pixel.
pub(crate) const PIXEL_BYTES: usize = 4;

/// The beginning of the page.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Header {
    /// [`MAGIC`], from the shim.
    pub(crate) magic: AtomicU32,
    /// Not 0 when the game is to stop after each frame until the next is granted, from the envserver.
    pub(crate) locked: AtomicU32,
    /// Frames finished in lockstep; the envserver sleeps on it.
    pub(crate) finished: AtomicU32,
    /// Frames granted: equal to `finished` when the next one may be made; the game sleeps on it.
    pub(crate) granted: AtomicU32,
    /// Pixels across, from the shim.
    pub(crate) width: AtomicU32,
    /// Pixels down, from the shim.
    pub(crate) height: AtomicU32,
    /// Frames drawn in either mode.
    pub(crate) drawn: AtomicU32,
    /// Steps after which the game's threads did not come to rest in time: their events may come a step late.
    pub(crate) unsettled: AtomicU32,
    /// Length of a step in microseconds, from the envserver.
    pub(crate) step_us: AtomicU64,
    /// The game's clock in lockstep, microseconds.
    pub(crate) clock_us: AtomicU64,
}
