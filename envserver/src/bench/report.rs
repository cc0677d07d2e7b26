//! What `bench_env` found: one JSON object, and the same as lines to read.

use serde::Serialize;

use super::BenchEnvConfig;
use super::latency::Latency;
use super::play::{Frame, Played};

/// What was measured; serialises to the bench's JSON line.
#[derive(Clone, Debug, Serialize)]
pub struct BenchEnvReport {
    /// "env".
    pub bench: &'static str,
    /// Steps a second of all threads: world step, rendering, and resets.
    pub value: f64,
    /// "steps/s".
    pub unit: &'static str,
    /// The same for one thread.
    pub per_thread: f64,
    /// The same for one thread and a second of its CPU time: what a free core would do.
    pub per_cpu_second: f64,
    /// Steps replayed by all threads.
    pub steps: usize,
    /// The task.
    pub task: String,
    /// Frame width and height, pixels.
    pub size: (usize, usize),
    /// Threads.
    pub threads: usize,
    /// The ray caster.
    pub path: &'static str,
    /// Step and rendering with no screen open.
    pub step: Option<Latency>,
    /// Step and rendering with a screen open.
    pub gui_step: Option<Latency>,
    /// Step and rendering, no screen open, of frames whose view was drawn anew.
    pub redrawn_step: Option<Latency>,
    /// Step and rendering, no screen open, of frames whose view had not changed and was kept.
    pub kept_step: Option<Latency>,
    /// Share of all frames whose view was drawn anew.
    pub redrawn_share: f64,
    /// Casting one ray of a view that is drawn anew.
    pub ns_per_ray: f64,
    /// Where the time goes, as shares.
    pub time: Shares,
    /// Start of an episode on a seed not seen before, with its first frame.
    pub reset: Option<Latency>,
    /// What one more world at play adds to the process's resident memory.
    pub bytes_per_env: Option<u64>,
    /// Hash of every frame of a thread, the same for all; equal actions must give equal frames.
    pub frames_hash: String,
}

/// Shares of the whole time, which sum to one.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Shares {
    /// Rules: everything a step does.
    pub rules: f64,
    /// Casting rays: what drawing a frame anew takes beyond drawing one with a kept view.
    pub casting: f64,
    /// The rest of drawing: copying the view, sun, items, hand, display, open screens.
    pub overlays: f64,
    /// Making worlds.
    pub resets: f64,
}

fn mean(seconds: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = seconds.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Mean seconds of drawing a kept view, with a screen open or not.
fn overlay_cost(frames: &[Frame], gui: bool) -> f64 {
    let of = |gui: Option<bool>| {
        let kept =
            frames.iter().filter(move |frame| !frame.redrawn && gui.is_none_or(|gui| frame.gui == gui));
        mean(kept.map(|frame| frame.render))
    };
    of(Some(gui)).or(of(None)).unwrap_or(0.0)
}

impl Shares {
    fn of(frames: &[Frame], resets: &[f64]) -> Self {
        let costs = [overlay_cost(frames, false), overlay_cost(frames, true)];
        let mut sums = Self { resets: resets.iter().sum(), ..Self::default() };
        for frame in frames {
            let overlays = match frame.redrawn {
                true => costs[usize::from(frame.gui)].min(frame.render),
                false => frame.render,
            };
            sums.rules += frame.step;
            sums.overlays += overlays;
            sums.casting += frame.render - overlays;
        }
        let whole = (sums.rules + sums.casting + sums.overlays + sums.resets).max(1e-12);
        Self {
            rules: sums.rules / whole,
            casting: sums.casting / whole,
            overlays: sums.overlays / whole,
            resets: sums.resets / whole,
        }
    }
}

impl BenchEnvReport {
    pub(super) fn of(
        config: &BenchEnvConfig,
        threads: &[Played],
        resets: Vec<f64>,
        bytes_per_env: Option<u64>,
        hash: blake3::Hash,
    ) -> Self {
        let frames: Vec<Frame> = threads.iter().flat_map(|played| played.frames.iter().copied()).collect();
        let within: Vec<f64> = threads.iter().flat_map(|played| played.resets.iter().copied()).collect();
        let latency = |chosen: &dyn Fn(&Frame) -> bool| {
            Latency::of(frames.iter().filter(|frame| chosen(frame)).map(Frame::seconds))
        };
        let value: f64 = threads.iter().map(|played| played.frames.len() as f64 / played.seconds()).sum();
        let cpu: f64 = threads.iter().map(|played| played.cpu).sum();
        let redrawn = || frames.iter().filter(|frame| frame.redrawn && !frame.gui);
        let casting = mean(redrawn().map(|frame| frame.render)).unwrap_or(0.0) - overlay_cost(&frames, false);
        Self {
            bench: "env",
            value,
            unit: "steps/s",
            per_thread: value / threads.len() as f64,
            per_cpu_second: frames.len() as f64 / cpu.max(1e-9),
            steps: frames.len(),
            task: config.task.clone(),
            size: config.size,
            threads: threads.len(),
            path: config.path.name(),
            step: latency(&|frame| !frame.gui),
            gui_step: latency(&|frame| frame.gui),
            redrawn_step: latency(&|frame| !frame.gui && frame.redrawn),
            kept_step: latency(&|frame| !frame.gui && !frame.redrawn),
            redrawn_share: frames.iter().filter(|frame| frame.redrawn).count() as f64 / frames.len() as f64,
            ns_per_ray: casting.max(0.0) * 1e9 / (config.size.0 * config.size.1) as f64,
            time: Shares::of(&frames, &within),
            reset: Latency::of(within.iter().copied().chain(resets)),
            bytes_per_env,
            frames_hash: hash.to_hex().to_string(),
        }
    }

    /// The same as lines to read.
    #[must_use]
    pub fn table(&self) -> String {
        let (width, height) = self.size;
        let mut lines = vec![format!(
            "{} {width}x{height}, {}, {} thread(s): {:.0} steps/s ({:.0} a CPU second), {:.1} % of the frames drawn anew, \
             {:.1} ns a ray",
            self.task,
            self.path,
            self.threads,
            self.value,
            self.per_cpu_second,
            100.0 * self.redrawn_share,
            self.ns_per_ray
        )];
        let rows = [
            ("no screen open", &self.step),
            ("  view drawn anew", &self.redrawn_step),
            ("  view kept", &self.kept_step),
            ("screen open", &self.gui_step),
            ("reset, new seed", &self.reset),
        ];
        lines.push(format!(
            "{:<20} {:>8} {:>10} {:>10} {:>10} {:>10}",
            "microseconds", "count", "mean", "median", "p99", "max"
        ));
        for (name, row) in rows {
            if let Some(row) = row {
                let Latency { count, mean_us, median_us, p99_us, max_us } = row;
                lines.push(format!(
                    "{name:<20} {count:>8} {mean_us:>10.1} {median_us:>10.1} {p99_us:>10.1} {max_us:>10.1}"
                ));
            }
        }
        let Shares { rules, casting, overlays, resets } = self.time;
        let share = |part: f64| 100.0 * part;
        lines.push(format!(
            "time: rules {:.1} %, casting {:.1} %, overlays {:.1} %, resets {:.1} %",
            share(rules),
            share(casting),
            share(overlays),
            share(resets)
        ));
        if let Some(bytes) = self.bytes_per_env {
            lines.push(format!("memory: {:.1} MB a world", bytes as f64 / 1e6));
        }
        lines.join("\n")
    }
}
