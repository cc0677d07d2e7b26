//! The sky by the time of day: its colours, and how much light it gives.
//!
//! A day has 24,000 ticks and starts in the morning, as the game's: light until 12,000, dusk until
//! 13,800, night until 22,200, dawn. Dusk and dawn go by in small steps, so that a view which is
//! kept from frame to frame stays good for a while.

/// Ticks of a day.
pub(crate) const DAY: u64 = 24_000;
const DUSK: u64 = 12_000;
const NIGHT: u64 = 13_800;
const DAWN: u64 = 22_200;
/// Steps from night to day.
const STEPS: u8 = 60;
/// Share of the sky's light that is left at night.
const MOONLIGHT: f32 = 0.28;

const DAY_HORIZON: [f32; 3] = [186.0, 212.0, 255.0];
const DAY_ZENITH: [f32; 3] = [104.0, 152.0, 250.0];
const NIGHT_HORIZON: [f32; 3] = [15.0, 19.0, 36.0];
const NIGHT_ZENITH: [f32; 3] = [5.0, 7.0, 18.0];
const GLOW: [f32; 3] = [232.0, 138.0, 84.0];

/// The sky at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sky {
    /// How far from night to day, 0 to 60; everything else but the sun's place follows from it.
    pub(crate) step: u8,
    /// RGB at the horizon, which is also the fog, and overhead.
    pub(crate) horizon: [f32; 3],
    pub(crate) zenith: [f32; 3],
    /// Share of its full light that the sky gives.
    pub(crate) daylight: f32,
}

impl Sky {
    /// The sky so many ticks after the first morning.
    pub(crate) fn at(ticks: u64) -> Self {
        let time = ticks % DAY;
        let part = |from: u64, to: u64| ((time - from) * u64::from(STEPS) / (to - from)) as u8;
        let step = match time {
            ..DUSK => STEPS,
            DUSK..NIGHT => STEPS - part(DUSK, NIGHT),
            NIGHT..DAWN => 0,
            _ => part(DAWN, DAY),
        };
        let day = f32::from(step) / f32::from(STEPS);
        let glow = 0.7 * (1.0 - (2.0 * day - 1.0).abs());
        let mix = |from: f32, to: f32, share: f32| from * (1.0 - share) + to * share;
        let channel = |night: [f32; 3], bright: [f32; 3], warmth: f32| {
            std::array::from_fn(|k| mix(mix(night[k], bright[k], day), GLOW[k], warmth))
        };
        Self {
            step,
            horizon: channel(NIGHT_HORIZON, DAY_HORIZON, glow),
            zenith: channel(NIGHT_ZENITH, DAY_ZENITH, glow * 0.2),
            daylight: mix(MOONLIGHT, 1.0, day),
        }
    }

    /// Where the sun stands: a unit vector; it rises in the east (+x). The moon is opposite.
    pub(crate) fn sun(ticks: u64) -> [f32; 3] {
        let degrees = (ticks % DAY) as f32 * (360.0 / DAY as f32);
        let (sin, cos) = super::fixed_trig::sin_cos_degrees(degrees);
        [cos, sin, 0.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_bright_and_nights_are_dark() {
        let morning = Sky::at(0);
        assert_eq!((morning.horizon, morning.zenith, morning.daylight), (DAY_HORIZON, DAY_ZENITH, 1.0));
        assert_eq!(Sky::at(6000), morning);
        let night = Sky::at(18_000);
        assert_eq!((night.horizon, night.daylight), (NIGHT_HORIZON, MOONLIGHT));
        assert_eq!(Sky::at(18_000 + DAY), night);
        let dusk = Sky::at(12_900);
        assert!(dusk.daylight < 1.0 && dusk.daylight > MOONLIGHT);
        assert!(dusk.horizon[0] > dusk.horizon[2], "red in the evening");
    }

    #[test]
    fn the_light_changes_in_small_steps() {
        for tick in 1..=DAY {
            let (before, now) = (Sky::at(tick - 1), Sky::at(tick));
            assert!(now.step.abs_diff(before.step) <= 1, "tick {tick}");
        }
        let noon = Sky::sun(6000);
        assert!(noon[1] > 0.99 && Sky::sun(18_000)[1] < -0.99 && Sky::sun(0)[0] > 0.99);
    }
}
