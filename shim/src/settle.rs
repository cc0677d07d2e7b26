//! When the game's network and server threads have come to rest.
//!
//! The game's client and its server talk through sockets, each with a thread that sends and one that receives, and the
//! server has a thread of its own. In lockstep the waits of these five are played here: none of them times out by
//! itself, so that nothing happens while the agent thinks. A frame is finished in two strokes. First the senders are
//! woken and everything the client said is brought to the server's door; then the server is let go for exactly one
//! round, which hears all of it, makes one step of the world and answers. Whatever an action brought is known then.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicUsize};
use std::time::Duration;

use crate::sys::{self, PollFd, Semaphore};

/// What a thread is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing that concerns the shim.
    Other,
    /// The client: input, the picture, the clock.
    Main,
    /// The server's steps.
    Server,
    /// One of the two that send.
    Sender,
    /// One of the two that receive.
    Receiver,
}

/// What the thread is at.
const BUSY: u32 = 0;
const AT_SEMAPHORE: u32 = 1;
const AT_SOCKET: u32 = 2;

/// A thread whose waits are played here.
struct Slot {
    state: AtomicU32,
    server: AtomicBool,
    semaphore: AtomicPtr<Semaphore>,
    socket: AtomicI32,
    /// The last round that the thread was let go for.
    round: AtomicU32,
}

/// Five are needed; a second connection of the game's would still fit.
const SLOTS: usize = 16;
static TABLE: [Slot; SLOTS] = [const {
    Slot {
        state: AtomicU32::new(BUSY),
        server: AtomicBool::new(false),
        semaphore: AtomicPtr::new(null_mut()),
        socket: AtomicI32::new(-1),
        round: AtomicU32::new(0),
    }
}; SLOTS];
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Rounds that the senders and the server were let go for.
static SENDER_ROUND: AtomicU32 = AtomicU32::new(0);
static SERVER_ROUND: AtomicU32 = AtomicU32::new(0);
/// Changes whenever a thread that waits at a semaphore has to look again.
static CALL: AtomicU32 = AtomicU32::new(0);
/// Changes whenever a thread goes to rest or gets up.
static ACTIVITY: AtomicU32 = AtomicU32::new(0);
static SETTLING: AtomicBool = AtomicBool::new(false);

/// Between two looks at threads that are busy, at most.
const LOOK: Duration = Duration::from_millis(2);
/// A thread that nobody calls looks again after this long.
const NAP: Duration = Duration::from_secs(1);
/// How long a receiver sleeps at a socket on which nothing comes, milliseconds.
const SOCKET_MS: c_int = 500;
/// Waits shorter than this only ask, microseconds.
const ASKS_US: i64 = 1000;

thread_local! {
    static ROLE: Cell<Option<Role>> = const { Cell::new(None) };
    static OWN: Cell<Option<&'static Slot>> = const { Cell::new(None) };
}

/// What the calling thread is for. A thread is asked when it waits for the first time: it has its name by then.
pub(crate) fn role() -> Role {
    if let Some(role) = ROLE.get() {
        return role;
    }
    let role = if sys::is_main_thread() { Role::Main } else { named(&sys::thread_name()) };
    if matches!(role, Role::Server | Role::Sender | Role::Receiver) {
        let slot = TABLE.get(TAKEN.fetch_add(1, SeqCst));
        if let Some(slot) = slot {
            slot.server.store(role == Role::Server, Relaxed);
        }
        OWN.set(slot);
    }
    ROLE.set(Some(role));
    role
}

fn named(name: &[u8; 16]) -> Role {
    if name.starts_with(b"Server\0") {
        Role::Server
    } else if name.starts_with(b"ConnectionSend\0") {
        Role::Sender
    } else if name.starts_with(b"ConnectionRecei") {
        Role::Receiver
    } else {
        Role::Other
    }
}

impl Slot {
    fn rest(&self, state: u32) {
        self.state.store(state, SeqCst);
        stir();
    }

    fn get_up(&self) {
        self.state.store(BUSY, SeqCst);
        stir();
    }

    fn is_at_rest(&self) -> bool {
        match self.state.load(SeqCst) {
            AT_SEMAPHORE if self.server.load(Relaxed) => {
                self.round.load(Acquire) == SERVER_ROUND.load(Acquire)
            }
            AT_SEMAPHORE => {
                let mut value = 0;
                // SAFETY: a thread waits at it, so it is alive; if the thread just left, `ACTIVITY` tells.
                unsafe { sys::sem_getvalue(self.semaphore.load(Acquire), &raw mut value) };
                value <= 0 && self.round.load(Acquire) == SENDER_ROUND.load(Acquire)
            }
            AT_SOCKET => {
                let mut ask = PollFd { fd: self.socket.load(Acquire), events: sys::POLLIN, revents: 0 };
                sys::poll(&raw mut ask, 1, 0) == 0
            }
            _ => false,
        }
    }
}

fn stir() {
    ACTIVITY.fetch_add(1, SeqCst);
    if SETTLING.load(SeqCst) {
        sys::futex_wake(&ACTIVITY);
    }
}

fn call() {
    CALL.fetch_add(1, SeqCst);
    sys::futex_wake(&CALL);
}

/// Lets the senders go for a round.
pub(crate) fn let_senders_go() {
    SENDER_ROUND.fetch_add(1, SeqCst);
    call();
}

/// Lets the server go for a round.
pub(crate) fn let_server_go() {
    SERVER_ROUND.fetch_add(1, SeqCst);
    call();
}

/// Waits until all threads are at rest; false when they still are not after `longest`.
pub(crate) fn settle(longest: Duration) -> bool {
    let began = sys::clock_us(sys::CLOCK_MONOTONIC);
    SETTLING.store(true, SeqCst);
    let settled = loop {
        let activity = ACTIVITY.load(SeqCst);
        let slots = &TABLE[..TAKEN.load(SeqCst).min(SLOTS)];
        // Work is handed on only by threads that are up: if none was at any time of the look, none is.
        if slots.iter().all(Slot::is_at_rest) && ACTIVITY.load(SeqCst) == activity {
            break true;
        }
        if sys::clock_us(sys::CLOCK_MONOTONIC) - began > longest.as_micros() as u64 {
            break false;
        }
        sys::futex_wait(&ACTIVITY, activity, LOOK);
    };
    SETTLING.store(false, SeqCst);
    settled
}

/// `sem_timedwait` of a sender or the server in lockstep: how it ended, as `errno`; 0 when the semaphore was taken, none
/// when the game is not in lockstep any more.
pub(crate) fn wait_at_semaphore(
    role: Role,
    semaphore: *mut Semaphore,
    remaining_us: i64,
    locked: impl Fn() -> bool,
) -> Option<c_int> {
    // SAFETY: the caller's own semaphore.
    let take = || if unsafe { sys::sem_trywait(semaphore) } == 0 { 0 } else { sys::ETIMEDOUT };
    let Some(slot) = OWN.get().filter(|_| remaining_us > ASKS_US) else { return Some(take()) };
    let rounds = if role == Role::Server { &SERVER_ROUND } else { &SENDER_ROUND };
    slot.semaphore.store(semaphore, SeqCst);
    slot.rest(AT_SEMAPHORE);
    let ended = loop {
        let called = CALL.load(SeqCst);
        if !locked() {
            break None;
        }
        let round = rounds.load(SeqCst);
        if round != slot.round.load(Relaxed) {
            slot.state.store(BUSY, SeqCst);
            slot.round.store(round, SeqCst);
            break Some(take());
        }
        // What is brought to the server lies there until it is let go.
        if role == Role::Sender && take() == 0 {
            break Some(0);
        }
        sys::futex_wait(&CALL, called, NAP);
    };
    slot.get_up();
    ended
}

/// Somebody posted to a semaphore: a sender that waits at it is called.
pub(crate) fn posted(semaphore: *mut Semaphore) {
    let slots = &TABLE[..TAKEN.load(SeqCst).min(SLOTS)];
    let waits =
        |slot: &Slot| slot.state.load(SeqCst) == AT_SEMAPHORE && slot.semaphore.load(SeqCst) == semaphore;
    if slots.iter().any(waits) {
        call();
    }
}

/// A receiver's wait at a socket: `wait` gets the milliseconds to wait.
pub(crate) fn wait_at_socket(socket: c_int, wait: impl FnOnce(c_int) -> c_int) -> c_int {
    let Some(slot) = OWN.get() else { return wait(SOCKET_MS) };
    slot.socket.store(socket, SeqCst);
    slot.rest(AT_SOCKET);
    let result = wait(SOCKET_MS);
    slot.get_up();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> [u8; 16] {
        let mut name = [0; 16];
        name[..text.len()].copy_from_slice(text.as_bytes());
        name
    }

    #[test]
    fn threads_are_known_by_the_names_the_game_gives_them() {
        assert!(named(&name("Server")) == Role::Server);
        assert!(named(&name("ConnectionSend")) == Role::Sender);
        // The kernel cuts names to fifteen characters.
        assert!(named(&name("ConnectionRecei")) == Role::Receiver);
        assert!(named(&name("ServerThing")) == Role::Other && named(&name("EmergeThread")) == Role::Other);
    }

    #[test]
    fn nobody_is_waited_for_where_nobody_works() {
        assert!(settle(Duration::from_secs(5)));
    }
}
