//! Frames: a length of four bytes, the highest first, and so many bytes.

use std::io::{ErrorKind, Read};

use crate::error::ConnectionError;

/// Longest frame that is read. The game itself knows no limit; a mission is a few thousand bytes.
pub(crate) const MAX_FRAME: u32 = 1 << 20;

/// The next frame; none when the peer has closed the connection in between.
pub(crate) fn read(from: &mut impl Read, longest: u32) -> Result<Option<Vec<u8>>, ConnectionError> {
    let mut head = [0; 4];
    match from.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    let length = u32::from_be_bytes(head);
    if length > longest {
        return Err(ConnectionError::TooLong { length, longest });
    }
    let mut data = vec![0; length as usize];
    from.read_exact(&mut data)?;
    Ok(Some(data))
}

/// Appends a frame to `out`.
pub(crate) fn put(out: &mut Vec<u8>, data: &[u8]) {
    // What is sent is bounded by the size of the picture, far below four gigabytes.
    out.extend_from_slice(&(data.len() as u32).to_be_bytes());
    out.extend_from_slice(data);
}

/// A frame that holds a number.
pub(crate) fn number(value: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(8);
    put(&mut out, &value.to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_whole_or_refused() {
        let bytes = [0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0, 0, 0];
        let mut from = bytes.as_slice();
        assert_eq!(read(&mut from, 8).unwrap(), Some(b"ab".to_vec()));
        assert_eq!(read(&mut from, 8).unwrap(), Some(Vec::new()));
        assert_eq!(
            read(&mut from, 8).unwrap(),
            None,
            "closed inside of a length, which the game takes for a goodbye"
        );
        assert!(matches!(read(&mut [0, 0, 0, 3, 1].as_slice(), 8), Err(ConnectionError::Io(_))));
        let long = read(&mut [255, 255, 255, 255].as_slice(), MAX_FRAME);
        assert!(matches!(long, Err(ConnectionError::TooLong { length: u32::MAX, .. })));
        assert_eq!(number(1), [0, 0, 0, 4, 0, 0, 0, 1]);
    }
}
