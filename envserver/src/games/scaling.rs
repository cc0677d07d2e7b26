//! Pictures of a game as frames of the size that was asked for, scaled as the policy's are.

use vpt_proto::frame_resize::Resizer;

/// Scales pictures; what it worked out for the last pair of sizes is kept.
#[derive(Default)]
pub(crate) struct Scaling {
    kept: Option<Kept>,
}

/// From and to which size (width, height), and how.
struct Kept {
    from: (usize, usize),
    to: (usize, usize),
    resizer: Resizer,
}

impl Scaling {
    /// Scales a picture of size `from` to `to`, both (width, height).
    pub(crate) fn scale(
        &mut self,
        picture: &[u8],
        from: (usize, usize),
        to: (usize, usize),
        out: &mut Vec<u8>,
    ) {
        out.clear();
        if from == to {
            out.extend_from_slice(picture);
            return;
        }
        out.resize(to.0 * to.1 * 3, 0);
        if self.kept.as_ref().is_none_or(|kept| (kept.from, kept.to) != (from, to)) {
            self.kept = Resizer::new(from, to).ok().map(|resizer| Kept { from, to, resizer });
        }
        if let Some(kept) = &self.kept {
            // Lengths are the resizer's own.
            let _ = kept.resizer.resize(picture, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_scaled_as_the_policy_scales_them() {
        let picture: Vec<u8> = (0..320 * 180 * 3).map(|n| (n % 251) as u8).collect();
        let (mut out, mut scaling) = (Vec::new(), Scaling::default());
        scaling.scale(&picture, (320, 180), (128, 128), &mut out);
        let mut expected = vec![0; 128 * 128 * 3];
        Resizer::new((320, 180), (128, 128)).unwrap().resize(&picture, &mut expected).unwrap();
        assert_eq!(out, expected);
        scaling.scale(&picture, (320, 180), (320, 180), &mut out);
        assert_eq!(out, picture);
    }
}
