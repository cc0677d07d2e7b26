//! Frames of MineRL's protocol: a big-endian length of four bytes and so many bytes, each wait with a deadline.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use thiserror::Error;

/// What went wrong between the game and us.
#[derive(Debug, Error)]
pub enum WireError {
    /// The connection ended.
    #[error("the connection was closed")]
    Closed,
    /// Nothing came, or nothing was taken, until the deadline.
    #[error("nothing came in time")]
    Late,
    /// A frame says that it is longer than any of its kind.
    #[error("{what} of {found} bytes, {most} at most")]
    TooLong {
        /// What was expected.
        what: &'static str,
        /// Bytes it says it has.
        found: usize,
        /// Bytes it may have.
        most: usize,
    },
    /// A frame has another length than all of its kind.
    #[error("{what} of {found} bytes instead of {expected}")]
    Length {
        /// What was expected.
        what: &'static str,
        /// Bytes it has.
        found: usize,
        /// Bytes it must have.
        expected: usize,
    },
    /// A frame's content cannot be read.
    #[error("{what} that cannot be read: {reason}")]
    Content {
        /// What was expected.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The connection failed.
    #[error(transparent)]
    Io(std::io::Error),
}

impl From<std::io::Error> for WireError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            // Which of the two a socket says depends on the system.
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Late,
            ErrorKind::UnexpectedEof
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// A connection on which every wait ends at the deadline that was set last.
pub(super) struct Wire {
    stream: TcpStream,
    deadline: Instant,
}

impl Wire {
    /// Over a connection that is made.
    pub(super) fn new(stream: TcpStream) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline: Instant::now() })
    }

    /// Everything that follows has to be done within that time.
    pub(super) fn within(&mut self, longest: Duration) {
        self.deadline = Instant::now() + longest;
    }

    /// What is left until the deadline.
    pub(super) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Sends one frame.
    pub(super) fn send(&mut self, payload: &[u8]) -> Result<(), WireError> {
        let length = u32::try_from(payload.len()).map_err(|_| WireError::TooLong {
            what: "a message",
            found: payload.len(),
            most: u32::MAX as usize,
        })?;
        let frame = [&length.to_be_bytes()[..], payload].concat();
        self.write_all(&frame)?;
        Ok(())
    }

    /// Receives one frame of at most so many bytes.
    pub(super) fn receive(
        &mut self,
        what: &'static str,
        most: usize,
        frame: &mut Vec<u8>,
    ) -> Result<(), WireError> {
        let mut length = [0; 4];
        self.read_exact(&mut length)?;
        let found = u32::from_be_bytes(length) as usize;
        // Before room is made for it.
        if found > most {
            return Err(WireError::TooLong { what, found, most });
        }
        frame.resize(found, 0);
        self.read_exact(frame)?;
        Ok(())
    }

    /// Receives a frame that has exactly so many bytes.
    pub(super) fn receive_exactly<const N: usize>(
        &mut self,
        what: &'static str,
    ) -> Result<[u8; N], WireError> {
        let mut frame = Vec::with_capacity(N);
        self.receive(what, N, &mut frame)?;
        let found = frame.len();
        frame.try_into().map_err(|_| WireError::Length { what, found, expected: N })
    }

    fn patience(&self) -> std::io::Result<Duration> {
        // A socket takes no timeout of zero for one.
        Some(self.left()).filter(|left| !left.is_zero()).ok_or_else(|| ErrorKind::TimedOut.into())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.stream.set_read_timeout(Some(self.patience()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        self.stream.set_write_timeout(Some(self.patience()?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::golden;
    use super::*;

    fn pair() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut wire = Wire::new(stream).unwrap();
        wire.within(Duration::from_secs(20));
        (wire, listener.accept().unwrap().0)
    }

    #[test]
    fn frames_go_out_and_come_in_as_they_are_described() {
        let (mut wire, mut game) = pair();
        wire.send(b"<MalmoEnv0.37.0/>").unwrap();
        let mut hello = [0; 21];
        game.read_exact(&mut hello).unwrap();
        assert_eq!(hello[..], golden::HELLO.concat());
        game.write_all(&golden::ONE.concat()).unwrap();
        game.write_all(&golden::POV.concat()).unwrap();
        game.write_all(&golden::POV_EMPTY.concat()).unwrap();
        assert_eq!(wire.receive_exactly::<4>("an answer").unwrap(), [0, 0, 0, 1]);
        let mut picture = vec![1];
        wire.receive("a picture", 12, &mut picture).unwrap();
        assert_eq!(picture.len(), 12);
        wire.receive("a picture", 12, &mut picture).unwrap();
        assert!(picture.is_empty());
    }

    #[test]
    fn lengths_that_lie_are_refused_before_room_is_made() {
        let (mut wire, mut game) = pair();
        game.write_all(&[0xff; 4]).unwrap();
        let error = wire.receive("a picture", 12, &mut Vec::new()).unwrap_err();
        assert!(matches!(error, WireError::TooLong { found: 0xffff_ffff, most: 12, .. }), "{error}");
        let (mut wire, mut game) = pair();
        game.write_all(&[0, 0, 0, 2, 0, 0]).unwrap();
        let error = wire.receive_exactly::<4>("an answer").unwrap_err();
        assert!(matches!(error, WireError::Length { found: 2, expected: 4, .. }), "{error}");
    }

    #[test]
    fn a_connection_that_ends_in_a_frame_and_one_that_is_silent_are_told_apart() {
        let (mut wire, mut game) = pair();
        game.write_all(&golden::POV.concat()[..9]).unwrap();
        drop(game);
        let ended = wire.receive("a picture", 12, &mut Vec::new());
        assert!(matches!(ended, Err(WireError::Closed)), "{ended:?}");
        let (mut wire, _game) = pair();
        wire.within(Duration::from_millis(20));
        let silent = wire.receive("a picture", 12, &mut Vec::new());
        assert!(matches!(silent, Err(WireError::Late)), "{silent:?}");
        assert!(matches!(wire.send(b"x"), Err(WireError::Late)), "the deadline is over");
    }
}
