//! The page shared with a game: grants frames, waits for them, and has the picture.

// The layout is the shim's own text, so that the two cannot differ.
#[path = "../../../shim/src/page.rs"]
mod page;

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};
use nix::sys::memfd::{MFdFlags, memfd_create};
use page::{Header, MAGIC, PICTURE_AT, PIXEL_BYTES};

/// Game time of a step.
pub(super) const STEP: Duration = Duration::from_millis(50);
/// Between two looks at whether the game still lives, while a frame is waited for.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// The page; without a name, so that nothing is left of it when both processes have ended.
pub(super) struct Page {
    file: File,
    map: MmapRaw,
}

impl Page {
    /// A page with room for pictures of that size (width, height).
    pub(super) fn new((width, height): (usize, usize)) -> std::io::Result<Self> {
        let file = File::from(memfd_create("vpt-luanti", MFdFlags::MFD_CLOEXEC)?);
        file.set_len((PICTURE_AT + width * height * PIXEL_BYTES) as u64)?;
        let map = MmapOptions::new().map_raw(&file)?;
        let page = Self { file, map };
        page.header().step_us.store(u64::try_from(STEP.as_micros()).unwrap_or(u64::MAX), SeqCst);
        Ok(page)
    }

    /// For the game's standard input.
    pub(super) fn handle(&self) -> std::io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping is longer than a header, aligned to pages and lives as long as `self`; all fields are
        // atomics, which the other process may change at any time.
        unsafe { &*self.map.as_ptr().cast::<Header>() }
    }

    /// Whether the shim has found the page.
    pub(super) fn is_found(&self) -> bool {
        self.header().magic.load(SeqCst) == MAGIC
    }

    /// Frames drawn so far.
    pub(super) fn drawn(&self) -> u32 {
        self.header().drawn.load(SeqCst)
    }

    /// Steps whose events may have come late.
    pub(super) fn unsettled(&self) -> u32 {
        self.header().unsettled.load(SeqCst)
    }

    /// Makes the game stop after each frame from the next on.
    pub(super) fn lock(&self) {
        self.header().locked.store(1, SeqCst);
    }

    /// Frames finished in lockstep.
    pub(super) fn finished(&self) -> u32 {
        self.header().finished.load(SeqCst)
    }

    /// Lets the game make one more frame.
    pub(super) fn grant(&self) {
        let header = self.header();
        header.granted.store(header.finished.load(SeqCst), SeqCst);
        futex(&header.granted, Futex::Wake);
    }

    /// Sleeps until more than `before` frames are finished, for [`LOOK`] at most; whether they are.
    pub(super) fn wait(&self, before: u32) -> bool {
        let finished = &self.header().finished;
        if finished.load(SeqCst) == before {
            futex(finished, Futex::Wait(before));
        }
        finished.load(SeqCst) != before
    }

    /// Width and height of the picture; none before the first.
    pub(super) fn size(&self) -> Option<(usize, usize)> {
        let (width, height) = (self.header().width.load(Relaxed), self.header().height.load(Relaxed));
        let size = (width as usize, height as usize);
        let bytes = size.0.checked_mul(size.1)?.checked_mul(PIXEL_BYTES)?;
        (bytes > 0 && PICTURE_AT + bytes <= self.map.len()).then_some(size)
    }

    /// Copies the picture to `out`: RGB, the top row first.
    pub(super) fn picture(&self, (width, height): (usize, usize), out: &mut Vec<u8>) {
        let bytes = width * height * PIXEL_BYTES;
        assert!(PICTURE_AT + bytes <= self.map.len(), "the size comes from `size`");
        // SAFETY: within the mapping, whose bytes are always valid; the game writes them only between a grant and the
        // end of its frame, when nobody calls this.
        let picture = unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(PICTURE_AT), bytes) };
        out.clear();
        out.reserve(width * height * 3);
        for row in picture.chunks_exact(width * PIXEL_BYTES).rev() {
            for pixel in row.chunks_exact(PIXEL_BYTES) {
                out.extend([pixel[2], pixel[1], pixel[0]]);
            }
        }
    }
}

enum Futex {
    Wait(u32),
    Wake,
}

/// Sleeps at a word or wakes who does, across processes.
fn futex(word: &AtomicU32, what: Futex) {
    let look = libc::timespec { tv_sec: 0, tv_nsec: i64::from(LOOK.subsec_nanos()) };
    // SAFETY: the address of a live word and a time on this stack; the kernel only reads both.
    unsafe {
        match what {
            Futex::Wait(value) => {
                libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const look)
            }
            Futex::Wake => libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX),
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_lets_exactly_one_frame_be_made() {
        let page = Page::new((2, 1)).unwrap();
        assert!(!page.is_found() && page.size().is_none());
        page.grant();
        assert!(!page.wait(0), "nobody makes frames here");
        page.header().finished.store(1, SeqCst);
        assert!(page.wait(0));
        assert_eq!(page.header().granted.load(SeqCst), 0);
        page.grant();
        assert_eq!(page.header().granted.load(SeqCst), 1);
    }

    #[test]
    fn pictures_are_turned_over_and_stripped() {
        let page = Page::new((1, 2)).unwrap();
        page.header().width.store(1, SeqCst);
        page.header().height.store(2, SeqCst);
        // SAFETY: within the mapping, and nobody else has it.
        unsafe {
            let at = page.map.as_mut_ptr().add(PICTURE_AT);
            std::ptr::copy_nonoverlapping([1, 2, 3, 255, 4, 5, 6, 255].as_ptr(), at, 8);
        }
        let mut out = Vec::new();
        page.picture(page.size().unwrap(), &mut out);
        assert_eq!(out, [6, 5, 4, 3, 2, 1]);
    }

    #[test]
    fn a_size_that_does_not_fit_is_none() {
        let page = Page::new((4, 4)).unwrap();
        page.header().width.store(4, SeqCst);
        page.header().height.store(5, SeqCst);
        assert!(page.size().is_none());
    }
}
