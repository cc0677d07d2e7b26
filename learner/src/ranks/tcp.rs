//! Exchanges between ranks over TCP: rank 0 sums what the others send, in the order of ranks, and sends the sums back.
//!
//! The result is the same to the last bit on every rank and every time. Rank 0's link carries everything, which is fine
//! for a few ranks on CPUs; between GPUs gradients go by NCCL ([`super::nccl`]) and only small numbers go this way.
//!
//! Why not a library: MPI ends the whole job when a rank is lost, where this has to leave a checkpoint; it has no
//! deadlines, needs one process per rank even in tests, and has to be installed. The crates that speak TCP themselves
//! are parts of other tensor frameworks and bring those along (`burn-collective`, `ferrotorch-distributed`,
//! `nuvec-distributed`); the first has no deadlines either.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use candle_core::Tensor;

use super::Collective;
use super::error::RanksError;
use super::frame::{CHUNK_BYTES, Deadline, FrameError, Header, Kind};
use crate::error::LearnerError;

/// A connected rank.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) rank: usize,
    pub(super) address: SocketAddr,
    pub(super) stream: TcpStream,
}

impl Peer {
    pub(super) fn lost(&self, error: FrameError) -> RanksError {
        match error {
            FrameError::Broken(reason) => RanksError::Lost { rank: self.rank, address: self.address, reason },
            FrameError::End(reason) => RanksError::Told { address: self.address, reason },
        }
    }

    /// Whether the other side still holds the connection.
    pub(super) fn is_connected(&self) -> bool {
        let looked = self.stream.set_nonblocking(true).and_then(|()| self.stream.peek(&mut [0]));
        let restored = self.stream.set_nonblocking(false).is_ok();
        let open = match looked {
            Ok(bytes) => bytes > 0,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        };
        open && restored
    }

    fn expect(&self, deadline: Deadline, expected: Header) -> Result<Header, RanksError> {
        let found = deadline.read_header(&self.stream).map_err(|error| self.lost(error))?;
        // The length of bytes is the sender's affair.
        let lengths = expected.kind == Kind::Bytes || found.bytes == expected.bytes;
        if (found.kind, found.exchange, found.meaning) == (expected.kind, expected.exchange, expected.meaning)
            && lengths
        {
            return Ok(found);
        }
        let (found, expected) = (found.to_string(), expected.to_string());
        Err(RanksError::OutOfStep { rank: self.rank, address: self.address, found, expected })
    }

    /// Reads the elements that follow a header and lets `take` have each with its index.
    fn read_elements<const N: usize>(
        &self,
        deadline: Deadline,
        bytes: u64,
        mut take: impl FnMut(usize, [u8; N]),
    ) -> Result<(), RanksError> {
        let mut buffer = vec![0; bytes.min(CHUNK_BYTES as u64) as usize];
        let (mut index, mut left) = (0, bytes);
        while left > 0 {
            let chunk = &mut buffer[..left.min(CHUNK_BYTES as u64) as usize];
            deadline.read(&self.stream, chunk).map_err(|error| self.lost(error))?;
            for element in chunk.as_chunks::<N>().0 {
                take(index, *element);
                index += 1;
            }
            left -= chunk.len() as u64;
        }
        Ok(())
    }

    fn write_elements<const N: usize>(
        &self,
        deadline: Deadline,
        header: Header,
        elements: impl Iterator<Item = [u8; N]>,
    ) -> Result<(), RanksError> {
        deadline.write_header(&self.stream, header).map_err(|error| self.lost(error))?;
        let mut chunk = Vec::with_capacity(CHUNK_BYTES.min(header.bytes as usize));
        for element in elements {
            chunk.extend_from_slice(&element);
            if chunk.len() >= CHUNK_BYTES {
                deadline.write(&self.stream, &chunk).map_err(|error| self.lost(error))?;
                chunk.clear();
            }
        }
        deadline.write(&self.stream, &chunk).map_err(|error| self.lost(error))
    }

    fn write_bytes(&self, deadline: Deadline, header: Header, bytes: &[u8]) -> Result<(), RanksError> {
        deadline
            .write_header(&self.stream, Header { bytes: bytes.len() as u64, ..header })
            .and_then(|()| deadline.write(&self.stream, bytes))
            .map_err(|error| self.lost(error))
    }

    fn read_bytes(&self, deadline: Deadline, header: Header) -> Result<Vec<u8>, RanksError> {
        let found = self.expect(deadline, header)?;
        deadline.read_vec(&self.stream, found.bytes).map_err(|error| self.lost(error))
    }
}

/// This rank's connections: of rank 0 to all others, of the others to rank 0.
#[derive(Debug)]
pub(crate) struct TcpRanks {
    rank: usize,
    count: usize,
    peers: Vec<Peer>,
    patience: Duration,
    exchange: u32,
    serves: Vec<String>,
}

impl TcpRanks {
    /// `place` is (rank, count); `peers` by rank.
    pub(super) fn new(place: (usize, usize), peers: Vec<Peer>, patience: Duration) -> Self {
        Self { rank: place.0, count: place.1, peers, patience, exchange: 0, serves: Vec::new() }
    }

    /// The same, knowing where each rank serves actors.
    pub(super) fn serving(self, serves: Vec<String>) -> Self {
        Self { serves, ..self }
    }

    /// Where each rank serves actors, by rank.
    pub(super) fn serves(&self) -> &[String] {
        &self.serves
    }

    /// Rank and count.
    pub(super) fn place(&self) -> (usize, usize) {
        (self.rank, self.count)
    }

    /// Longest wait for another rank.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Makes sure that all ranks are about to sum `count` numbers of the layout `meaning` by other means.
    pub(super) fn check(&mut self, meaning: u64, count: usize) -> Result<(), RanksError> {
        // The count is a part of what the header says the bytes mean.
        self.sum::<f64, 8>(Kind::Numbers, meaning ^ (count as u64).rotate_left(32), &mut [])
    }

    fn begin(&mut self, kind: Kind, meaning: u64, bytes: usize) -> (Header, Deadline) {
        let header = Header { kind, exchange: self.exchange, meaning, bytes: bytes as u64 };
        self.exchange = self.exchange.wrapping_add(1);
        // Rank 0 waits for all others before it answers, so they wait twice as long for it: then it is rank 0 that
        // notices who is late, and says so.
        let patience = if self.rank == 0 { self.patience } else { self.patience * 2 };
        (header, Deadline::after(patience))
    }

    /// Ends the exchange; when it failed, rank 0 tells everybody why.
    fn finish<T>(&self, result: Result<T, RanksError>) -> Result<T, RanksError> {
        if let (0, Err(error)) = (self.rank, &result) {
            let reason = error.to_string();
            for peer in &self.peers {
                Deadline::after(Duration::from_secs(1)).end(&peer.stream, &reason);
            }
        }
        result
    }

    fn sum<T: Element<N>, const N: usize>(
        &mut self,
        kind: Kind,
        meaning: u64,
        numbers: &mut [T],
    ) -> Result<(), RanksError> {
        let (header, deadline) = self.begin(kind, meaning, numbers.len() * N);
        let exchange = |numbers: &mut [T]| {
            let elements =
                |numbers: &[T]| numbers.iter().map(|number| number.bytes()).collect::<Vec<_>>().into_iter();
            if self.rank > 0 {
                let peer = &self.peers[0];
                peer.write_elements(deadline, header, elements(numbers))?;
                peer.expect(deadline, header)?;
                return peer
                    .read_elements(deadline, header.bytes, |i, bytes| numbers[i] = T::from_bytes(bytes));
            }
            for peer in &self.peers {
                peer.expect(deadline, header)?;
                peer.read_elements(deadline, header.bytes, |i, bytes| numbers[i].add(T::from_bytes(bytes)))?;
            }
            self.peers.iter().try_for_each(|peer| peer.write_elements(deadline, header, elements(numbers)))
        };
        let result = exchange(numbers);
        self.finish(result)
    }
}

/// A number on the way: `N` little-endian bytes.
trait Element<const N: usize>: Copy {
    fn bytes(self) -> [u8; N];
    fn from_bytes(bytes: [u8; N]) -> Self;
    fn add(&mut self, other: Self);
}

impl Element<4> for f32 {
    fn bytes(self) -> [u8; 4] {
        self.to_le_bytes()
    }

    fn from_bytes(bytes: [u8; 4]) -> Self {
        Self::from_le_bytes(bytes)
    }

    fn add(&mut self, other: Self) {
        *self += other;
    }
}

impl Element<8> for f64 {
    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }

    fn from_bytes(bytes: [u8; 8]) -> Self {
        Self::from_le_bytes(bytes)
    }

    fn add(&mut self, other: Self) {
        *self += other;
    }
}

impl Collective for TcpRanks {
    fn sum_numbers(&mut self, meaning: u64, numbers: &mut [f64]) -> Result<(), RanksError> {
        self.sum(Kind::Numbers, meaning, numbers)
    }

    fn sum_gradients(&mut self, meaning: u64, gradients: &Tensor) -> Result<Tensor, LearnerError> {
        let mut numbers: Vec<f32> = gradients.to_vec1()?;
        self.sum(Kind::Gradients, meaning, &mut numbers)?;
        Ok(Tensor::from_vec(numbers, gradients.dims(), gradients.device())?)
    }

    fn gather(&mut self, meaning: u64, bytes: Vec<u8>) -> Result<Vec<Vec<u8>>, RanksError> {
        let (header, deadline) = self.begin(Kind::Bytes, meaning, 0);
        if self.rank > 0 {
            return self.peers[0].write_bytes(deadline, header, &bytes).map(|()| Vec::new());
        }
        let others: Result<Vec<_>, _> =
            self.peers.iter().map(|peer| peer.read_bytes(deadline, header)).collect();
        let others = self.finish(others)?;
        Ok([bytes].into_iter().chain(others).collect())
    }

    fn broadcast(&mut self, bytes: Vec<u8>) -> Result<Vec<u8>, RanksError> {
        let (header, deadline) = self.begin(Kind::Bytes, 1, 0);
        if self.rank > 0 {
            return self.peers[0].read_bytes(deadline, header);
        }
        let sent = self.peers.iter().try_for_each(|peer| peer.write_bytes(deadline, header, &bytes));
        self.finish(sent).map(|()| bytes)
    }
}
