//! How ranks find each other: rank 0 listens, the others come and say who they are.
//!
//! Every rank shows a digest of its config; rank 0 turns away what does not belong to the job and greets the others once
//! all are there.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::error::RanksError;
use super::frame::{Deadline, FrameError, Header, Kind};
use super::tcp::{Peer, TcpRanks};

/// Of the messages between ranks.
const PROTOCOL: u32 = 1;
/// Between two looks at the listener, or two tries to connect.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a connection gets to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(5);
const MAX_HELLO_BYTES: u64 = 4096;

/// What a rank brings to the meeting.
pub(super) struct Meeting<'a> {
    pub(super) rank: usize,
    pub(super) count: usize,
    /// Where rank 0 listens.
    pub(super) address: &'a str,
    /// Longest wait for another rank.
    pub(super) patience: Duration,
    /// Of what must be the same on every rank.
    pub(super) digest: &'a str,
    /// URL at which actors reach this rank.
    pub(super) serves: &'a str,
    pub(super) shutdown: &'a CancellationToken,
}

/// A rank's first words, and rank 0's answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hello {
    protocol: u32,
    rank: usize,
    count: usize,
    digest: String,
    /// Where each rank serves actors; from a rank only its own.
    serves: Vec<String>,
}

impl Meeting<'_> {
    /// Waits until all ranks are there.
    ///
    /// # Errors
    /// When they do not all come within the patience, or do not belong together.
    pub(super) fn join(&self) -> Result<TcpRanks, RanksError> {
        if self.rank > 0 {
            return self.call();
        }
        let bind = |source| RanksError::Bind { address: self.address.to_owned(), source };
        self.receive(&TcpListener::bind(self.address).map_err(bind)?)
    }

    /// Rank 0's part, on its listener.
    pub(super) fn receive(&self, listener: &TcpListener) -> Result<TcpRanks, RanksError> {
        let io = |source| RanksError::Bind { address: self.address.to_owned(), source };
        let address = listener.local_addr().map_err(io)?;
        listener.set_nonblocking(true).map_err(io)?;
        let deadline = Deadline::after(self.patience);
        let mut peers: Vec<Option<(Peer, String)>> = (1..self.count).map(|_| None).collect();
        tracing::info!(%address, ranks = self.count, "waiting for the other ranks");
        while peers.iter().any(Option::is_none) {
            if self.shutdown.is_cancelled() {
                return Err(RanksError::Stopped);
            }
            match listener.accept() {
                Ok((stream, from)) => self.introduce(stream, from, &mut peers),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(error) => tracing::warn!(%error, "a rank could not connect"),
            }
            if deadline.is_over() {
                let missing = (1..self.count).filter(|rank| peers[rank - 1].is_none()).collect();
                let (count, seconds) = (self.count, deadline.seconds());
                return Err(RanksError::Missing { address, missing, count, seconds });
            }
        }
        let (peers, serves): (Vec<Peer>, Vec<String>) = peers.into_iter().flatten().unzip();
        let serves: Vec<String> = [self.serves.to_owned()].into_iter().chain(serves).collect();
        for peer in &peers {
            send(&peer.stream, &self.hello(serves.clone())).map_err(|error| peer.lost(error))?;
        }
        tracing::info!(ranks = self.count, "all ranks are there");
        Ok(TcpRanks::new((0, self.count), peers, self.patience).serving(serves))
    }

    /// Takes in whoever has connected, or turns it away.
    fn introduce(&self, stream: TcpStream, address: SocketAddr, peers: &mut [Option<(Peer, String)>]) {
        let hello = match prepare(&stream)
            .map_err(|e| FrameError::Broken(e.to_string()))
            .and_then(|()| receive(&stream, INTRODUCTION))
        {
            Ok(hello) => hello,
            Err(error) => {
                tracing::warn!(%address, ?error, "a connection that is not a rank's was closed");
                return;
            }
        };
        let refusal = if hello.protocol != PROTOCOL {
            Some(format!("protocol {PROTOCOL} is spoken here, not {}", hello.protocol))
        } else if hello.count != self.count || hello.rank == 0 || hello.rank >= self.count {
            Some(format!(
                "there are {} ranks here, no place for rank {} of {}",
                self.count, hello.rank, hello.count
            ))
        } else if hello.digest != self.digest {
            Some(
                "another config, seed or device than rank 0's: start all ranks with the same run file"
                    .to_owned(),
            )
        } else if peers[hello.rank - 1].as_ref().is_some_and(|(peer, _)| peer.is_connected()) {
            Some(format!("rank {} is taken: give each its own learner.ranks.rank", hello.rank))
        } else {
            None
        };
        match refusal {
            Some(reason) => {
                tracing::warn!(%address, rank = hello.rank, reason, "a rank was turned away");
                Deadline::after(INTRODUCTION).end(&stream, &reason);
            }
            None => {
                tracing::info!(%address, rank = hello.rank, "rank joined");
                let serves = hello.serves.into_iter().next().unwrap_or_default();
                peers[hello.rank - 1] = Some((Peer { rank: hello.rank, address, stream }, serves));
            }
        }
    }

    /// Another rank's part.
    fn call(&self) -> Result<TcpRanks, RanksError> {
        let deadline = Deadline::after(self.patience);
        let (stream, address) = loop {
            if self.shutdown.is_cancelled() {
                return Err(RanksError::Stopped);
            }
            match connect(self.address) {
                Ok(connected) => break connected,
                Err(error) if deadline.is_over() => {
                    return Err(RanksError::Unreachable {
                        address: self.address.to_owned(),
                        seconds: deadline.seconds(),
                        reason: error.to_string(),
                    });
                }
                Err(_) => std::thread::sleep(PAUSE),
            }
        };
        let peer = Peer { rank: 0, address, stream };
        send(&peer.stream, &self.hello(vec![self.serves.to_owned()])).map_err(|error| peer.lost(error))?;
        let greeting = receive(&peer.stream, self.patience).map_err(|error| peer.lost(error))?;
        Ok(TcpRanks::new((self.rank, self.count), vec![peer], self.patience).serving(greeting.serves))
    }

    fn hello(&self, serves: Vec<String>) -> Hello {
        let (rank, count, digest) = (self.rank, self.count, self.digest.to_owned());
        Hello { protocol: PROTOCOL, rank, count, digest, serves }
    }
}

fn connect(address: &str) -> io::Result<(TcpStream, SocketAddr)> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, INTRODUCTION) {
            Ok(stream) => {
                prepare(&stream)?;
                return Ok((stream, address));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)
}

fn send(stream: &TcpStream, hello: &Hello) -> Result<(), FrameError> {
    let bytes = serde_json::to_vec(hello).map_err(|error| FrameError::Broken(error.to_string()))?;
    let deadline = Deadline::after(INTRODUCTION);
    let header = Header { kind: Kind::Hello, exchange: 0, meaning: 0, bytes: bytes.len() as u64 };
    deadline.write_header(stream, header)?;
    deadline.write(stream, &bytes)
}

fn receive(stream: &TcpStream, patience: Duration) -> Result<Hello, FrameError> {
    let deadline = Deadline::after(patience);
    let header = deadline.read_header(stream)?;
    if header.kind != Kind::Hello || header.bytes > MAX_HELLO_BYTES {
        return Err(FrameError::Broken(format!("it sent {header} instead of an introduction")));
    }
    let bytes = deadline.read_vec(stream, header.bytes)?;
    serde_json::from_slice(&bytes).map_err(|error| FrameError::Broken(error.to_string()))
}
