//! Lockstep for a stock Luanti, preloaded into it: after each frame the game waits for the envserver.
//!
//! The game finds here, instead of in the C library, the few functions by which it tells the time and waits. While the
//! [`page`] says so, its clock stands still and moves by one step a frame; at the end of a frame the picture is copied to
//! the page, the game's threads are brought to rest ([`settle`]) and the main thread sleeps until the next frame is
//! granted. The page is the file that the envserver gives the game as standard input. When the envserver ends, however it
//! ends, the game ends with it.
//!
//! Only on x86-64 Linux: the system calls are made by number.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod page;
mod settle;
mod sys;

use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::time::Duration;

use page::{Header, MAGIC, PICTURE_AT, PIXEL_BYTES};
use settle::Role;
use sys::{PollFd, Semaphore, TimeSpec};

/// Threads that are not at rest after this long are left alone for the step.
const LONGEST_SETTLING: Duration = Duration::from_millis(200);
/// Between two looks at the page while no frame is granted.
const NAP: Duration = Duration::from_secs(1);
/// Waits of other threads from this length on are for the main thread, which may stand still for long, microseconds.
const FOR_MAIN_US: i64 = 400_000;
/// By how much they are longer, seconds.
const HOUR: i64 = 3600;

const GL_BGRA: c_uint = 0x80E1;
const GL_UNSIGNED_BYTE: c_uint = 0x1401;
const GL_VIEWPORT: c_uint = 0x0BA2;

type Swap = unsafe extern "C" fn(*mut c_void, c_ulong);
type ReadPixels = unsafe extern "C" fn(c_int, c_int, c_int, c_int, c_uint, c_uint, *mut c_void);
type GetIntegers = unsafe extern "C" fn(c_uint, *mut c_int);
type Flush = unsafe extern "C" fn(*mut c_void) -> c_int;
type TimedWait = unsafe extern "C" fn(*mut Semaphore, *const TimeSpec) -> c_int;
type Post = unsafe extern "C" fn(*mut Semaphore) -> c_int;

/// The page and what is called past the shim, found when first needed.
struct Game {
    header: &'static Header,
    picture: *mut u8,
    room: usize,
    swap: Option<Swap>,
    read_pixels: Option<ReadPixels>,
    get_integers: Option<GetIntegers>,
    flush: Option<Flush>,
}

// SAFETY: the picture is written by the main thread alone.
unsafe impl Send for Game {}
// SAFETY: as above; the header is made of atomics.
unsafe impl Sync for Game {}

static GAME: OnceLock<Option<Game>> = OnceLock::new();
/// The header's address once there is one: the clock is asked before anything else works.
static HEADER: AtomicUsize = AtomicUsize::new(0);

fn header() -> Option<&'static Header> {
    let at = HEADER.load(Acquire);
    // SAFETY: the address of a mapping that is never undone, stored by `Game::find`.
    (at != 0).then(|| unsafe { &*(at as *const Header) })
}

fn is_locked() -> bool {
    header().is_some_and(|header| header.locked.load(Acquire) != 0)
}

impl Game {
    /// Maps the page; none where standard input is not one.
    fn find() -> Option<Self> {
        let (at, bytes) = sys::map_shared(0);
        if at.is_null() || bytes <= PICTURE_AT {
            return None;
        }
        // SAFETY: a live mapping, zeroed, longer than a header and aligned to pages; all fields are atomics.
        let header = unsafe { &*at.cast::<Header>() };
        // SAFETY: within the mapping.
        let picture = unsafe { at.cast::<u8>().add(PICTURE_AT) };
        // SAFETY: each name's function has the type it is turned into; none stays none.
        let (swap, read_pixels, get_integers, flush) = unsafe {
            (
                std::mem::transmute::<*mut c_void, Option<Swap>>(sys::next(c"glXSwapBuffers")),
                std::mem::transmute::<*mut c_void, Option<ReadPixels>>(sys::of_library(
                    c"libGL.so.1",
                    c"glReadPixels",
                )),
                std::mem::transmute::<*mut c_void, Option<GetIntegers>>(sys::of_library(
                    c"libGL.so.1",
                    c"glGetIntegerv",
                )),
                std::mem::transmute::<*mut c_void, Option<Flush>>(sys::of_library(c"libX11.so.6", c"XFlush")),
            )
        };
        HEADER.store(at as usize, Release);
        header.clock_us.store(sys::clock_us(sys::CLOCK_MONOTONIC_RAW), SeqCst);
        header.magic.store(MAGIC, SeqCst);
        end_with_parent();
        Some(Self { header, picture, room: bytes - PICTURE_AT, swap, read_pixels, get_integers, flush })
    }

    /// The end of a frame.
    fn end_frame(&self, display: *mut c_void, window: c_ulong) {
        self.header.drawn.fetch_add(1, SeqCst);
        if !is_locked() {
            // In lockstep it will go on from here.
            self.header.clock_us.store(sys::clock_us(sys::CLOCK_MONOTONIC_RAW), SeqCst);
            if let Some(swap) = self.swap {
                // SAFETY: the game's own arguments.
                unsafe { swap(display, window) };
            }
            return;
        }
        settle::let_senders_go();
        let heard = settle::settle(LONGEST_SETTLING);
        settle::let_server_go();
        // The picture is drawn while the server works. Nobody looks at the window itself: it need not be shown.
        self.copy_picture();
        if !(settle::settle(LONGEST_SETTLING) && heard) {
            self.header.unsettled.fetch_add(1, SeqCst);
        }
        if let Some(flush) = self.flush {
            // SAFETY: the game's own display.
            unsafe { flush(display) };
        }
        self.wait_for_grant();
        let step = self.header.step_us.load(Relaxed);
        self.header.clock_us.fetch_add(step, SeqCst);
    }

    fn copy_picture(&self) {
        let (Some(read), Some(integers)) = (self.read_pixels, self.get_integers) else { return };
        let mut viewport = [0; 4];
        // SAFETY: the calling thread has the game's context, and a viewport is four numbers.
        unsafe { integers(GL_VIEWPORT, viewport.as_mut_ptr()) };
        let [_, _, width, height] = viewport;
        let bytes = (width.max(0) as usize) * (height.max(0) as usize) * PIXEL_BYTES;
        self.header.width.store(width as u32, Relaxed);
        self.header.height.store(height as u32, Relaxed);
        if bytes <= self.room {
            // SAFETY: rows of four bytes a pixel need no padding, so exactly `bytes` are written, for which there is room.
            unsafe { read(0, 0, width, height, GL_BGRA, GL_UNSIGNED_BYTE, self.picture.cast()) };
        }
    }

    fn wait_for_grant(&self) {
        let finished = self.header.finished.fetch_add(1, SeqCst).wrapping_add(1);
        sys::futex_wake(&self.header.finished);
        loop {
            let granted = self.header.granted.load(SeqCst);
            if granted == finished || !is_locked() {
                return;
            }
            sys::futex_wait(&self.header.granted, granted, NAP);
        }
    }
}

/// Ends this process when its parent does, whatever the main thread is at.
fn end_with_parent() {
    let parent = sys::parent();
    let fd = sys::pidfd(parent);
    let watch = move || {
        let mut ask = PollFd { fd, events: sys::POLLIN, revents: 0 };
        loop {
            if fd >= 0 {
                sys::poll(&raw mut ask, 1, -1);
            } else {
                sys::sleep(NAP);
            }
            if sys::parent() != parent {
                sys::exit_now(1);
            }
        }
    };
    // Without the thread the game would only end later, when the next envserver finds it.
    drop(std::thread::Builder::new().name("vpt-parent".to_owned()).spawn(watch));
}

/// The frame is drawn.
///
/// # Safety
/// Called by the game as GLX's own.
#[cfg_attr(not(test), unsafe(export_name = "glXSwapBuffers"))]
pub unsafe extern "C" fn swap_buffers(display: *mut c_void, window: c_ulong) {
    match GAME.get_or_init(Game::find) {
        Some(game) => game.end_frame(display, window),
        None => {
            // SAFETY: GLX's own function, and the game's arguments.
            unsafe {
                let swap = std::mem::transmute::<*mut c_void, Option<Swap>>(sys::next(c"glXSwapBuffers"));
                if let Some(swap) = swap {
                    swap(display, window);
                }
            }
        }
    }
}

/// The time: in lockstep the clock that the game goes by stands still between frames.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn clock_gettime(id: c_int, out: *mut TimeSpec) -> c_int {
    if id == sys::CLOCK_MONOTONIC_RAW && is_locked() {
        let now = header().map_or(0, |header| header.clock_us.load(SeqCst));
        let time =
            TimeSpec { seconds: (now / 1_000_000) as i64, nanoseconds: (now % 1_000_000 * 1000) as i64 };
        // SAFETY: the caller's own, as for the C library's.
        unsafe { out.write(time) };
        return 0;
    }
    sys::clock(id, out)
}

/// The time in seconds. The game seeds with it, at its start, the generator that chooses its port: two that start in one
/// second would choose the same. Until the first frame it is therefore moved by the process's number.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn time(out: *mut i64) -> i64 {
    let starts = HEADER.load(Acquire) == 0 && sys::is_main_thread();
    let now =
        (sys::clock_us(sys::CLOCK_REALTIME) / 1_000_000) as i64 + if starts { sys::process() } else { 0 };
    if !out.is_null() {
        // SAFETY: the caller's own, as for the C library's.
        unsafe { out.write(now) };
    }
    now
}

/// A short sleep; in lockstep the main thread takes none, it would only be limiting frames.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub extern "C" fn usleep(microseconds: c_uint) -> c_int {
    if !(is_locked() && settle::role() == Role::Main) {
        sys::sleep(Duration::from_micros(u64::from(microseconds)));
    }
    0
}

/// A wait that may time out: in lockstep, by the clock that the game goes by.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sem_timedwait(semaphore: *mut Semaphore, until: *const TimeSpec) -> c_int {
    static REAL: OnceLock<usize> = OnceLock::new();
    let real = *REAL.get_or_init(|| sys::next(c"sem_timedwait") as usize);
    // SAFETY: the C library's function has this type and is always there.
    let real = unsafe { std::mem::transmute::<usize, TimedWait>(real) };
    let role = settle::role();
    // SAFETY: the caller's own, as for the C library's.
    let mut until = unsafe { until.read() };
    if is_locked() && role != Role::Main {
        let now = sys::clock_us(sys::CLOCK_REALTIME) as i64;
        let remaining = until.seconds * 1_000_000 + until.nanoseconds / 1000 - now;
        if matches!(role, Role::Server | Role::Sender) {
            match settle::wait_at_semaphore(role, semaphore, remaining, is_locked) {
                Some(0) => return 0,
                Some(error) => return sys::fail(error),
                None => {}
            }
        } else if remaining > FOR_MAIN_US {
            until.seconds += HOUR;
        }
    }
    // SAFETY: the caller's semaphore and a time on this stack.
    unsafe { real(semaphore, &raw const until) }
}

/// Hands something on.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn sem_post(semaphore: *mut Semaphore) -> c_int {
    static REAL: OnceLock<usize> = OnceLock::new();
    let real = *REAL.get_or_init(|| sys::next(c"sem_post") as usize);
    // SAFETY: the C library's function has this type and is always there; the caller's own semaphore.
    let result = unsafe { std::mem::transmute::<usize, Post>(real)(semaphore) };
    if is_locked() {
        settle::posted(semaphore);
    }
    result
}

/// A wait at sockets.
///
/// # Safety
/// As the C library's.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub unsafe extern "C" fn select(
    count: c_int,
    read: *mut c_void,
    write: *mut c_void,
    except: *mut c_void,
    time: *mut TimeSpec,
) -> c_int {
    let wait = |time: *mut TimeSpec| sys::select(count, [read, write, except], time);
    if settle::role() == Role::Receiver && is_locked() {
        return settle::wait_at_socket(count - 1, |milliseconds| {
            let mut longest = TimeSpec { seconds: 0, nanoseconds: i64::from(milliseconds) * 1000 };
            wait(&raw mut longest)
        });
    }
    wait(time)
}
