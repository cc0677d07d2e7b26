//! The port, a thread for each connection, and how all of it ends.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::connection;
use crate::error::ConnectionError;
use crate::game::Game;
use crate::options::Options;

/// Ports tried from the wished one on.
const PORTS_TRIED: u16 = 100;
/// Connections at a time; the game itself has no limit.
const MAX_CONNECTIONS: usize = 32;
/// Pause after a failed accept.
const PAUSE: Duration = Duration::from_millis(100);

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A client sent `<Exit>`.
    Exit,
    /// It died on demand.
    Died,
    /// [`Handle::stop`].
    Stopped,
}

/// What the game is at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Menu,
    /// A loading screen, in or out.
    Busy,
    Playing,
}

struct Status {
    phase: Phase,
    ended: Option<Ended>,
    /// No more connections are accepted, as the game does once it has lost the connection that played.
    accepts: bool,
    /// Open connections.
    sockets: BTreeMap<u64, TcpStream>,
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: Options,
    game: Mutex<Game>,
    status: Mutex<Status>,
    changed: Condvar,
    port: u16,
}

/// A stand-in that has its port.
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

/// Ends a server from outside.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Closes every connection and ends the server.
    pub fn stop(&self) {
        self.shared.end(Ended::Stopped);
    }
}

impl Server {
    /// Takes the wished port of the loopback interface, or the next that is free.
    ///
    /// # Errors
    /// When a hundred ports are taken, or there is no loopback interface.
    pub fn bind(options: Options) -> io::Result<Self> {
        let wished = if options.faults.port_taken { next(options.port, 1) } else { options.port };
        let mut bound = TcpListener::bind((Ipv4Addr::LOCALHOST, wished));
        for step in 1..PORTS_TRIED {
            match bound {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    bound = TcpListener::bind((Ipv4Addr::LOCALHOST, next(wished, step)));
                }
                _ => break,
            }
        }
        let listener = bound?;
        let port = listener.local_addr()?.port();
        let status = Status { phase: Phase::Menu, ended: None, accepts: true, sockets: BTreeMap::new() };
        let game = Mutex::new(Game::new(options.task.clone()));
        let shared = Shared { options, game, status: Mutex::new(status), changed: Condvar::new(), port };
        Ok(Self { listener, shared: Arc::new(shared) })
    }

    /// The port it has.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.port
    }

    /// The lines by which whoever started the game knows that it is there.
    #[must_use]
    pub fn announcement(&self) -> String {
        let port = self.port();
        format!(
            "***** Start MalmoEnvServer on port {port}\nCLIENT enter state: DORMANT\nSERVER enter state: DORMANT"
        )
    }

    /// Ends it from another thread.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// Answers connections until something ends it. After the connection of a running mission has failed, one more is
    /// accepted, as by the game, and later ones find a port at which nobody answers.
    pub fn serve(self) -> Ended {
        let mut number = 0;
        while self.shared.status().accepts {
            match self.listener.accept() {
                Ok((socket, _)) => {
                    number += 1;
                    if let Err(error) = self.start(socket, number) {
                        tracing::warn!(%error, "connection refused");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "no connection could be accepted");
                    self.shared.wait_for_end(Some(PAUSE));
                }
            }
        }
        self.shared.wait_for_end(None).unwrap_or(Ended::Stopped)
    }

    fn start(&self, socket: TcpStream, number: u64) -> Result<(), ConnectionError> {
        socket.set_nodelay(true)?;
        self.shared.enter(number, &socket)?;
        let place = Place { shared: Arc::clone(&self.shared), number };
        let work = move || connection::serve(&socket, &place.shared);
        let thread = std::thread::Builder::new().name(format!("standin-{number}")).spawn(work);
        thread.map(|_| ()).map_err(ConnectionError::Thread)
    }
}

/// A connection's place among the open ones, given back when its thread ends, however it does.
struct Place {
    shared: Arc<Shared>,
    number: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.status().sockets.remove(&self.number);
    }
}

/// The port so many behind `port`; any port stays any port.
fn next(port: u16, step: u16) -> u16 {
    if port == 0 { 0 } else { port.checked_add(step).unwrap_or(0) }
}

impl Shared {
    /// The game, for as long as nobody else needs it. A panic in another connection leaves a game that goes on.
    pub(crate) fn game(&self) -> MutexGuard<'_, Game> {
        self.game.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an open connection.
    fn enter(&self, number: u64, socket: &TcpStream) -> Result<(), ConnectionError> {
        let clone = socket.try_clone()?;
        let mut status = self.status();
        if status.ended.is_some() {
            return Err(ConnectionError::Ended);
        }
        let open = status.sockets.len();
        if open >= MAX_CONNECTIONS {
            return Err(ConnectionError::TooMany { open });
        }
        status.sockets.insert(number, clone);
        Ok(())
    }

    /// From the menu into a loading screen; false when the game is elsewhere.
    pub(crate) fn begin_loading(&self) -> Result<bool, ConnectionError> {
        let mut status = self.status();
        if status.ended.is_some() {
            return Err(ConnectionError::Ended);
        }
        let free = status.phase == Phase::Menu;
        if free {
            status.phase = Phase::Busy;
        }
        Ok(free)
    }

    /// Out of the loading screen: into the mission, or back to the menu.
    pub(crate) fn finish_loading(&self, loaded: bool) {
        self.status().phase = if loaded { Phase::Playing } else { Phase::Menu };
        self.changed.notify_all();
    }

    /// To the menu, behind a loading screen if there is one.
    pub(crate) fn go_to_menu(&self) -> Result<(), ConnectionError> {
        let mut status = self.status();
        while status.phase == Phase::Busy && status.ended.is_none() {
            status = self.changed.wait(status).unwrap_or_else(PoisonError::into_inner);
        }
        if status.ended.is_some() {
            return Err(ConnectionError::Ended);
        }
        if status.phase == Phase::Playing {
            status.phase = Phase::Busy;
            drop(status);
            self.game().unload();
            self.finish_loading(false);
        }
        Ok(())
    }

    /// Accepts one more connection and then none.
    pub(crate) fn stop_accepting(&self) {
        self.status().accepts = false;
    }

    /// Ends everything; the first reason counts.
    pub(crate) fn end(&self, how: Ended) {
        let mut status = self.status();
        status.ended.get_or_insert(how);
        status.accepts = false;
        for socket in status.sockets.values() {
            // The peer may have gone first.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(status);
        self.changed.notify_all();
        // Wakes the thread that accepts, if it still does.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }

    /// Waits until the server ends, or for so long.
    pub(crate) fn wait_for_end(&self, longest: Option<Duration>) -> Option<Ended> {
        let deadline = longest.map(|longest| Instant::now() + longest);
        let mut status = self.status();
        while status.ended.is_none() {
            status = match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    self.changed.wait_timeout(status, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(status).unwrap_or_else(PoisonError::into_inner),
            };
        }
        status.ended
    }
}
