//! The game's picture: OpenGL's bottom row comes first, and sometimes there is none.

use super::wire::WireError;
use crate::metrics;

/// Turns a picture of `size` (width, height) over, so that its top row is first; one that is not there is black.
pub(super) fn turn_over(
    picture: &[u8],
    (width, height): (usize, usize),
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    out.clear();
    if picture.is_empty() {
        metrics::count_empty_frame();
        out.resize(width * height * 3, 0);
        return Ok(());
    }
    let (found, expected) = (picture.len(), width * height * 3);
    if found != expected {
        return Err(WireError::Length { what: "a picture", found, expected });
    }
    out.reserve(expected);
    for row in picture.chunks_exact(width * 3).rev() {
        out.extend_from_slice(row);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::*;

    #[test]
    fn the_described_picture_is_turned_over() {
        let mut out = vec![9; 40];
        turn_over(&golden::POV[1..].concat(), (2, 2), &mut out).unwrap();
        assert_eq!(out, golden::POV_TOP_DOWN);
    }

    #[test]
    fn a_picture_that_is_not_there_is_black_and_a_short_one_is_refused() {
        let mut out = vec![9; 40];
        turn_over(&golden::POV_EMPTY[1..].concat(), (2, 2), &mut out).unwrap();
        assert_eq!(out, [0; 12]);
        let error = turn_over(&golden::POV[2..].concat(), (2, 2), &mut out).unwrap_err();
        assert!(matches!(error, WireError::Length { found: 9, expected: 12, .. }), "{error}");
    }
}
