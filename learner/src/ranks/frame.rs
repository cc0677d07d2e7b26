//! One message between two ranks: a header that says what it belongs to, and bytes; read and written with a deadline.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const HEADER_BYTES: usize = 32;
/// "vptranks" as a number; anything else is not one of us.
const MAGIC: u64 = u64::from_le_bytes(*b"vptranks");
/// Largest part of a message handled at once; a multiple of every element's size.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// Longest reason for an end that is read.
const MAX_REASON_BYTES: u64 = 4096;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Kind {
    /// A rank introduces itself, or rank 0 greets it.
    Hello = 1,
    /// f64 numbers to be summed, or their sums.
    Numbers = 2,
    /// f32 numbers to be summed, or their sums.
    Gradients = 3,
    /// Bytes for rank 0, or from it.
    Bytes = 4,
    /// The job ends; the bytes say why.
    End = 5,
}

/// What comes before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Exchanges before this one (the low 32 bits).
    pub(super) exchange: u32,
    /// Hash of what the bytes mean.
    pub(super) meaning: u64,
    pub(super) bytes: u64,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {} bytes", self.kind, self.bytes)?;
        write!(f, " (exchange {}, layout {:08x})", self.exchange, self.meaning as u32)
    }
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.kind as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.exchange.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.meaning.to_le_bytes());
        bytes[24..].copy_from_slice(&self.bytes.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let long = |at: usize| u64::from(word(at)) | u64::from(word(at + 4)) << 32;
        let kind = match word(8) {
            1 => Kind::Hello,
            2 => Kind::Numbers,
            3 => Kind::Gradients,
            4 => Kind::Bytes,
            5 => Kind::End,
            _ => return None,
        };
        (long(0) == MAGIC).then(|| Self { kind, exchange: word(12), meaning: long(16), bytes: long(24) })
    }
}

/// Why a message did not come or go.
#[derive(Debug)]
pub(super) enum FrameError {
    /// The peer is gone, or something else than a message came.
    Broken(String),
    /// The peer ends the job.
    End(String),
}

/// Everything has to be done by `until`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    from: Instant,
    until: Instant,
}

impl Deadline {
    pub(super) fn after(wait: Duration) -> Self {
        let from = Instant::now();
        Self { from, until: from + wait }
    }

    pub(super) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    pub(super) fn seconds(&self) -> f64 {
        (self.until - self.from).as_secs_f64()
    }

    /// What is left; an error when nothing is.
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }

    fn describe(&self, error: &io::Error) -> FrameError {
        FrameError::Broken(match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                format!("it did nothing for {} s", self.seconds())
            }
            io::ErrorKind::UnexpectedEof => "it closed the connection".to_owned(),
            _ => error.to_string(),
        })
    }

    fn read_exact(&self, mut stream: &TcpStream, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            stream.set_read_timeout(Some(self.left()?))?;
            match stream.read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => buffer = &mut buffer[read..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn write_all(&self, mut stream: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            stream.set_write_timeout(Some(self.left()?))?;
            match stream.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads a header; one that ends the job is an error.
    pub(super) fn read_header(&self, stream: &TcpStream) -> Result<Header, FrameError> {
        let mut bytes = [0; HEADER_BYTES];
        self.read_exact(stream, &mut bytes).map_err(|error| self.describe(&error))?;
        let Some(header) = Header::from_bytes(&bytes) else {
            return Err(FrameError::Broken("it does not speak this protocol".to_owned()));
        };
        if header.kind == Kind::End {
            let mut reason = vec![0; header.bytes.min(MAX_REASON_BYTES) as usize];
            self.read_exact(stream, &mut reason).map_err(|error| self.describe(&error))?;
            return Err(FrameError::End(String::from_utf8_lossy(&reason).into_owned()));
        }
        Ok(header)
    }

    /// Fills `buffer`.
    pub(super) fn read(&self, stream: &TcpStream, buffer: &mut [u8]) -> Result<(), FrameError> {
        self.read_exact(stream, buffer).map_err(|error| self.describe(&error))
    }

    /// Reads `bytes` bytes without trusting the number with memory.
    pub(super) fn read_vec(&self, stream: &TcpStream, bytes: u64) -> Result<Vec<u8>, FrameError> {
        let (mut all, mut left) = (Vec::new(), bytes);
        while left > 0 {
            let start = all.len();
            all.resize(start + left.min(CHUNK_BYTES as u64) as usize, 0);
            self.read(stream, &mut all[start..])?;
            left = bytes - all.len() as u64;
        }
        Ok(all)
    }

    /// Writes a header.
    pub(super) fn write_header(&self, stream: &TcpStream, header: Header) -> Result<(), FrameError> {
        self.write(stream, &header.to_bytes())
    }

    /// Writes `bytes`. A peer that ended the job instead of reading has said why, which is then the error.
    pub(super) fn write(&self, stream: &TcpStream, bytes: &[u8]) -> Result<(), FrameError> {
        match self.write_all(stream, bytes) {
            Ok(()) => Ok(()),
            Err(error) => Err(match Self::after(Duration::from_millis(100)).read_header(stream) {
                Err(end @ FrameError::End(_)) => end,
                _ => self.describe(&error),
            }),
        }
    }

    /// Tells the peer that the job ends; it may be gone.
    pub(super) fn end(&self, stream: &TcpStream, reason: &str) {
        let cut = reason.floor_char_boundary(MAX_REASON_BYTES as usize);
        let header = Header { kind: Kind::End, exchange: 0, meaning: 0, bytes: cut as u64 };
        let mut message = header.to_bytes().to_vec();
        message.extend_from_slice(&reason.as_bytes()[..cut]);
        let _ = self.write_all(stream, &message);
    }
}
