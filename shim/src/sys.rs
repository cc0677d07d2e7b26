//! The C that the shim stands on, declared by hand: it is compiled without dependencies.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// A time of the kernel's.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TimeSpec {
    pub(crate) seconds: c_long,
    pub(crate) nanoseconds: c_long,
}

/// A semaphore of the C library's; only its address matters here.
#[repr(C)]
pub struct Semaphore {
    _opaque: [u8; 0],
}

/// What `poll` is asked about.
#[repr(C)]
pub(crate) struct PollFd {
    pub(crate) fd: c_int,
    pub(crate) events: i16,
    pub(crate) revents: i16,
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    pub(crate) fn dlopen(file: *const c_char, flags: c_int) -> *mut c_void;
    fn syscall(number: c_long, ...) -> c_long;
    pub(crate) fn sem_trywait(semaphore: *mut Semaphore) -> c_int;
    pub(crate) fn sem_getvalue(semaphore: *mut Semaphore, value: *mut c_int) -> c_int;
    fn mmap(
        at: *mut c_void,
        bytes: usize,
        protection: c_int,
        flags: c_int,
        fd: c_int,
        offset: i64,
    ) -> *mut c_void;
    fn lseek(fd: c_int, offset: i64, whence: c_int) -> i64;
    fn __errno_location() -> *mut c_int;
}

pub(crate) const CLOCK_REALTIME: c_int = 0;
pub(crate) const CLOCK_MONOTONIC: c_int = 1;
pub(crate) const CLOCK_MONOTONIC_RAW: c_int = 4;
pub(crate) const ETIMEDOUT: c_int = 110;
pub(crate) const POLLIN: i16 = 1;
const RTLD_NEXT: *mut c_void = -1_isize as *mut c_void;
const RTLD_NOW: c_int = 2;
const FUTEX_WAIT: c_int = 0;
const FUTEX_WAKE: c_int = 1;
const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED: c_int = 1;
const SEEK_END: c_int = 2;
const PR_GET_NAME: c_int = 16;

#[cfg(target_arch = "x86_64")]
mod number {
    use std::ffi::c_long;

    pub(super) const POLL: c_long = 7;
    pub(super) const SELECT: c_long = 23;
    pub(super) const NANOSLEEP: c_long = 35;
    pub(super) const GETPID: c_long = 39;
    pub(super) const EXIT_GROUP: c_long = 231;
    pub(super) const GETPPID: c_long = 110;
    pub(super) const PRCTL: c_long = 157;
    pub(super) const GETTID: c_long = 186;
    pub(super) const FUTEX: c_long = 202;
    pub(super) const CLOCK_GETTIME: c_long = 228;
    pub(super) const PIDFD_OPEN: c_long = 434;
}

/// The function of that name that the game would have called without the shim.
pub(crate) fn next(name: &std::ffi::CStr) -> *mut c_void {
    // SAFETY: a name that ends in zero, and the handle that means "after this object".
    unsafe { dlsym(RTLD_NEXT, name.as_ptr()) }
}

/// A function of a library, which is loaded if it is not yet.
pub(crate) fn of_library(library: &std::ffi::CStr, name: &std::ffi::CStr) -> *mut c_void {
    // SAFETY: names that end in zero; a null handle means the program itself, where the name is looked for then.
    unsafe { dlsym(dlopen(library.as_ptr(), RTLD_NOW), name.as_ptr()) }
}

/// Maps the whole of a file, shared; null when that cannot be.
pub(crate) fn map_shared(fd: c_int) -> (*mut c_void, usize) {
    // SAFETY: plain calls on a descriptor; the mapping is never undone.
    unsafe {
        let Ok(bytes) = usize::try_from(lseek(fd, 0, SEEK_END)) else { return (std::ptr::null_mut(), 0) };
        let at = mmap(std::ptr::null_mut(), bytes, PROT_READ_WRITE, MAP_SHARED, fd, 0);
        if at as isize == -1 { (std::ptr::null_mut(), 0) } else { (at, bytes) }
    }
}

/// The kernel's clock, past the shim's own; the call's result.
pub(crate) fn clock(id: c_int, out: *mut TimeSpec) -> c_int {
    // SAFETY: the kernel checks the address.
    unsafe { syscall(number::CLOCK_GETTIME, c_long::from(id), out) as c_int }
}

/// The same in microseconds.
pub(crate) fn clock_us(id: c_int) -> u64 {
    let mut now = TimeSpec { seconds: 0, nanoseconds: 0 };
    clock(id, &raw mut now);
    (now.seconds * 1_000_000 + now.nanoseconds / 1000) as u64
}

/// Sleeps for that long.
pub(crate) fn sleep(duration: Duration) {
    let time = time_spec(duration);
    // SAFETY: a time on this stack.
    unsafe { syscall(number::NANOSLEEP, &raw const time, std::ptr::null_mut::<TimeSpec>()) };
}

fn time_spec(duration: Duration) -> TimeSpec {
    TimeSpec {
        seconds: duration.as_secs() as c_long,
        nanoseconds: c_long::from(duration.subsec_nanos() as i32),
    }
}

/// Sleeps while `word` is `value`, for `longest` at most; may come back early.
pub(crate) fn futex_wait(word: &AtomicU32, value: u32, longest: Duration) {
    let time = time_spec(longest);
    // SAFETY: a word that outlives the call and a time on this stack.
    unsafe {
        syscall(number::FUTEX, word.as_ptr(), c_long::from(FUTEX_WAIT), value as c_long, &raw const time)
    };
}

/// Wakes whoever sleeps on `word`, in any process.
pub(crate) fn futex_wake(word: &AtomicU32) {
    // SAFETY: the address of a live word.
    unsafe { syscall(number::FUTEX, word.as_ptr(), c_long::from(FUTEX_WAKE), c_long::from(i32::MAX)) };
}

/// `poll` past the shim's own.
pub(crate) fn poll(fds: *mut PollFd, count: usize, milliseconds: c_int) -> c_int {
    // SAFETY: the kernel checks the addresses.
    unsafe { syscall(number::POLL, fds, count, c_long::from(milliseconds)) as c_int }
}

/// `select` past the shim's own.
pub(crate) fn select(count: c_int, sets: [*mut c_void; 3], time: *mut TimeSpec) -> c_int {
    // SAFETY: the kernel checks the addresses; a timeval and a timespec are laid out alike.
    unsafe { syscall(number::SELECT, c_long::from(count), sets[0], sets[1], sets[2], time) as c_int }
}

/// The name of the calling thread, cut as the kernel cuts it.
pub(crate) fn thread_name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: the kernel writes 16 bytes at most.
    unsafe { syscall(number::PRCTL, c_long::from(PR_GET_NAME), name.as_mut_ptr()) };
    name
}

/// Whether this is the thread that runs `main`.
pub(crate) fn is_main_thread() -> bool {
    // SAFETY: calls without arguments.
    unsafe { syscall(number::GETTID) == syscall(number::GETPID) }
}

/// This process.
pub(crate) fn process() -> c_long {
    // SAFETY: a call without arguments.
    unsafe { syscall(number::GETPID) }
}

/// The parent process.
pub(crate) fn parent() -> c_long {
    // SAFETY: a call without arguments.
    unsafe { syscall(number::GETPPID) }
}

/// A descriptor that becomes readable when the process ends; negative where the kernel has none.
pub(crate) fn pidfd(process: c_long) -> c_int {
    // SAFETY: plain numbers.
    unsafe { syscall(number::PIDFD_OPEN, process, 0 as c_long) as c_int }
}

/// Ends the process at once.
pub(crate) fn exit_now(code: c_int) -> ! {
    // SAFETY: does not return.
    unsafe { syscall(number::EXIT_GROUP, c_long::from(code)) };
    std::process::abort()
}

/// Sets `errno` and returns what a failed call returns.
pub(crate) fn fail(error: c_int) -> c_int {
    // SAFETY: the calling thread's own.
    unsafe { *__errno_location() = error };
    -1
}
