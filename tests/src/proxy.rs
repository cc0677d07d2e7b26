//! A TCP proxy that can be cut, stalled and left half-open: a partition between two processes, wherever tests run.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How soon a change is noticed.
const TICK: Duration = Duration::from_millis(25);
const BUFFER_BYTES: usize = 64 << 10;

/// What the link does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Link {
    /// Passes them on.
    Open,
    /// Ends every connection and takes none.
    Cut,
    /// Passes nothing on, in either direction, and keeps it for later: packets that are lost and sent again.
    Stalled,
    /// Ends the connections to the server and leaves the client's open and silent until the link is open again.
    HalfOpen,
}

#[derive(Debug)]
struct Shared {
    link: AtomicU8,
    /// Raised when connections are to end.
    generation: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn link(&self) -> Link {
        match self.link.load(Ordering::Acquire) {
            0 => Link::Open,
            1 => Link::Cut,
            2 => Link::Stalled,
            _ => Link::HalfOpen,
        }
    }

    fn ended(&self, generation: u64) -> bool {
        self.stop.load(Ordering::Acquire) || self.generation.load(Ordering::Acquire) != generation
    }
}

/// A proxy on a port of its own in front of one server.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
    acceptor: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on a free port of this machine and passes on to `server` (`host:port`), which need not be there yet.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            link: AtomicU8::new(0),
            generation: AtomicU64::new(0),
            stop: AtomicBool::new(false),
        });
        let threads = Arc::<Mutex<Vec<JoinHandle<()>>>>::default();
        let (accepting, all, server) = (shared.clone(), threads.clone(), server.to_owned());
        let acceptor = thread::spawn(move || accept(&listener, &accepting, &all, &server));
        Self { address, shared, threads, acceptor: Some(acceptor) }
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Changes what the link does.
    pub fn set(&self, link: Link) {
        let before = self.shared.link();
        self.shared.link.store(link as u8, Ordering::Release);
        // What was left half-open ends once the link is something else.
        if link == Link::Cut || (before == Link::HalfOpen && link != Link::HalfOpen) {
            self.shared.generation.fetch_add(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in self.acceptor.take().into_iter().chain(threads) {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, threads: &Mutex<Vec<JoinHandle<()>>>, server: &str) {
    while !shared.stop.load(Ordering::Acquire) {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(TICK);
            continue;
        };
        if shared.link() == Link::Cut {
            continue;
        }
        let Ok(upstream) = TcpStream::connect(server) else { continue };
        let generation = shared.generation.load(Ordering::Acquire);
        let Ok(pairs) = both_ways(client, upstream) else { continue };
        let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.retain(|thread| !thread.is_finished());
        for (from, to, from_client) in pairs {
            let shared = shared.clone();
            threads.push(thread::spawn(move || pass_on(from, to, from_client, &shared, generation)));
        }
    }
}

type Direction = (TcpStream, TcpStream, bool);

fn both_ways(client: TcpStream, server: TcpStream) -> std::io::Result<[Direction; 2]> {
    for stream in [&client, &server] {
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(TICK))?;
    }
    Ok([(client.try_clone()?, server.try_clone()?, true), (server, client, false)])
}

/// Passes bytes on in one direction until either end is done or the proxy says so.
fn pass_on(mut from: TcpStream, mut to: TcpStream, from_client: bool, shared: &Shared, generation: u64) {
    let mut buffer = vec![0; BUFFER_BYTES];
    let (mut start, mut end) = (0, 0);
    while !shared.ended(generation) {
        match shared.link() {
            Link::Stalled => {
                thread::sleep(TICK);
                continue;
            }
            Link::HalfOpen => {
                let server = if from_client { &to } else { &from };
                let _ = server.shutdown(Shutdown::Both);
                thread::sleep(TICK);
                continue;
            }
            Link::Open | Link::Cut => {}
        }
        let moved = if start < end {
            to.write(&buffer[start..end]).map(|n| start += n)
        } else {
            from.read(&mut buffer).map(|n| (start, end) = (0, n))
        };
        match moved {
            // The other direction may have just ended it on the server's side.
            Ok(()) if end == 0 && shared.link() != Link::HalfOpen => break,
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            // A half-open link keeps what has lost its other end.
            Err(_) if shared.link() == Link::HalfOpen => {}
            Err(_) => break,
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut writer = stream.try_clone().expect("second handle");
                thread::spawn(move || std::io::copy(&mut { stream }, &mut writer));
            }
        });
        address
    }

    fn client(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).expect("the proxy listens");
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket option");
        stream
    }

    fn ask(stream: &mut TcpStream) -> std::io::Result<usize> {
        stream.write_all(b"x")?;
        stream.read(&mut [0; 8])
    }

    #[test]
    fn links_break_in_three_ways_and_heal() {
        let proxy = Proxy::start(&echo());
        let mut first = client(&proxy);
        assert_eq!(ask(&mut first).ok(), Some(1));
        proxy.set(Link::Stalled);
        thread::sleep(TICK * 2);
        assert!(ask(&mut first).is_err(), "nothing comes back");
        proxy.set(Link::Open);
        assert_eq!(first.read(&mut [0; 8]).ok(), Some(1), "it was only late");
        proxy.set(Link::HalfOpen);
        thread::sleep(TICK * 4);
        let silent = first.read(&mut [0; 8]).unwrap_err();
        assert!(matches!(silent.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silent}");
        proxy.set(Link::Open);
        thread::sleep(TICK * 4);
        assert_eq!(first.read(&mut [0; 8]).unwrap_or(0), 0, "ended");
        proxy.set(Link::Cut);
        assert_eq!(ask(&mut client(&proxy)).unwrap_or(0), 0);
        proxy.set(Link::Open);
        assert_eq!(ask(&mut client(&proxy)).ok(), Some(1));
    }
}
