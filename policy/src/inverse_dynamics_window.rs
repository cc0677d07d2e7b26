//! How a long video is cut for the inverse dynamics model: overlapping windows, of each of which only the middle counts.
//!
//! The VPT paper's procedure: windows of 128 frames every 64, their central 64 kept, since a frame is judged from both
//! sides. At the ends of the video there is no other side, so the outer 32 are kept there too. Where the stride would run
//! over the end, the last window is moved back to end with the video.

use std::ops::Range;

/// A window of a video and the part of it whose outputs are kept, both in frames of the video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// What the network sees.
    pub frames: Range<usize>,
    /// Whose actions count; inside `frames`.
    pub kept: Range<usize>,
}

/// The windows of a video of `video_length` frames, in order, `size` frames each (the model's `timesteps`, 128 as
/// published) and half of that apart. Every frame is kept by exactly one window; a video no longer than a window is one.
///
/// # Panics
/// When `size` is 0.
#[must_use]
pub fn windows(video_length: usize, size: usize) -> Vec<Window> {
    assert!(size > 0, "a window must have frames");
    let margin = size / 4;
    let stride = size - 2 * margin;
    let mut plan = Vec::new();
    let mut next_kept = 0;
    while next_kept < video_length {
        let start = next_kept.saturating_sub(margin).min(video_length.saturating_sub(size));
        let end = video_length.min(start + size);
        let kept_end = if end == video_length { end } else { start + margin + stride };
        plan.push(Window { frames: start..end, kept: next_kept..kept_end });
        next_kept = kept_end;
    }
    plan
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_published_plan() {
        let plan: Vec<_> = windows(300, 128).into_iter().map(|w| (w.frames, w.kept)).collect();
        assert_eq!(plan, [(0..128, 0..96), (64..192, 96..160), (128..256, 160..224), (172..300, 224..300)]);
        let exact: Vec<_> = windows(192, 128).into_iter().map(|w| (w.frames, w.kept)).collect();
        assert_eq!(exact, [(0..128, 0..96), (64..192, 96..192)]);
        assert_eq!(windows(128, 128), [Window { frames: 0..128, kept: 0..128 }]);
        assert_eq!(windows(5, 128), [Window { frames: 0..5, kept: 0..5 }]);
        assert_eq!(windows(0, 128), []);
    }

    proptest! {
        #[test]
        fn every_frame_is_kept_exactly_once_with_context_on_both_sides(
            video_length in 0usize..2000,
            size in 1usize..200,
        ) {
            let mut next = 0;
            for window in windows(video_length, size) {
                let Window { frames, kept } = window;
                prop_assert_eq!(kept.start, next);
                prop_assert!(kept.start < kept.end);
                prop_assert!(frames.start <= kept.start && kept.end <= frames.end);
                prop_assert!(frames.end <= video_length);
                prop_assert_eq!(frames.len(), size.min(video_length));
                let margin = size / 4;
                prop_assert!(frames.start == 0 || kept.start - frames.start >= margin);
                prop_assert!(frames.end == video_length || frames.end - kept.end >= margin);
                next = kept.end;
            }
            prop_assert_eq!(next, video_length);
        }
    }
}
