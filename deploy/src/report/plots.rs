//! PNG plots: curves with standard errors, bars with standard errors, histograms.

use std::ops::Range;
use std::path::Path;
use std::sync::Once;

use anyhow::anyhow;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};
use serde_json::Value;

use super::curves::Point;
use crate::up::summary::Arm;

const SIZE: (u32, u32) = (900, 480);
const FONT: &str = "sans-serif";

/// The drawing library finds no fonts by itself on a bare machine; one comes with a crate.
fn fonts() {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| {
        // Refused only when the bytes are no font, which a plot without labels would show at once.
        let _ = register_font(FONT, FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT);
    });
}

fn failed<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> anyhow::Error + '_ {
    move |error| anyhow!("cannot draw {}: {error}", path.display())
}

fn padded(low: f64, high: f64) -> Range<f64> {
    let pad = (0.08 * (high - low)).max(0.05);
    (low - pad).min(0.0)..high + pad
}

/// Draws named curves over `x_label`, each with a band of one standard error.
///
/// # Errors
/// The file cannot be written.
pub fn curves(
    path: &Path,
    title: &str,
    x_label: &str,
    curves: &[(String, Vec<Point>)],
) -> anyhow::Result<()> {
    fonts();
    let points = || curves.iter().flat_map(|(_, curve)| curve);
    let right = points().map(|p| p.step).fold(1.0, f64::max);
    let high = points().map(|p| p.value + p.stderr).fold(f64::MIN, f64::max).max(0.1);
    let low = points().map(|p| p.value - p.stderr).fold(f64::MAX, f64::min).min(0.0);
    let fail = failed(path);
    let root = BitMapBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(failed(path))?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 22))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..right, padded(low, high))
        .map_err(failed(path))?;
    chart
        .configure_mesh()
        .x_desc(x_label)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .label_style((FONT, 14))
        .draw()
        .map_err(failed(path))?;
    for (index, (name, curve)) in curves.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let upper = curve.iter().map(|p| (p.step, p.value + p.stderr));
        let lower = curve.iter().rev().map(|p| (p.step, p.value - p.stderr));
        let band: Vec<_> = upper.chain(lower).collect();
        chart.draw_series([Polygon::new(band, color.mix(0.2))]).map_err(failed(path))?;
        let line = curve.iter().map(|p| (p.step, p.value));
        chart
            .draw_series(LineSeries::new(line, color.stroke_width(2)))
            .map_err(failed(path))?
            .label(name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .label_font((FONT, 14))
        .draw()
        .map_err(failed(path))?;
    root.present().map_err(fail)
}

/// Draws the arms of a run's summary as bars with standard errors.
///
/// # Errors
/// The file cannot be written.
pub fn arms(path: &Path, title: &str, summary: &Value) -> anyhow::Result<()> {
    fonts();
    let arms: Vec<(String, f64, f64)> = Arm::ALL
        .into_iter()
        .filter_map(|arm| {
            let name = arm.to_string();
            let arm = summary.get(&name)?;
            Some((name, arm["mean"].as_f64()?, arm["stderr"].as_f64()?))
        })
        .collect();
    let high = arms.iter().map(|(_, mean, stderr)| mean + stderr).fold(0.1, f64::max);
    let low = arms.iter().map(|(_, mean, stderr)| mean - stderr).fold(0.0, f64::min);
    let fail = failed(path);
    let root = BitMapBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(failed(path))?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 22))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(-0.5..arms.len() as f64 - 0.5, padded(low, high))
        .map_err(failed(path))?;
    let name_at = |x: &f64| {
        let index = x.round();
        let near = (x - index).abs() < 1e-6 && index >= 0.0;
        if near {
            arms.get(index as usize).map(|arm| arm.0.to_owned()).unwrap_or_default()
        } else {
            String::new()
        }
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(arms.len() * 2 + 1)
        .x_label_formatter(&name_at)
        .label_style((FONT, 14))
        .draw()
        .map_err(failed(path))?;
    for (index, (_, mean, stderr)) in arms.iter().enumerate() {
        let x = index as f64;
        let bar = Rectangle::new([(x - 0.3, 0.0), (x + 0.3, *mean)], Palette99::pick(index).filled());
        chart.draw_series([bar]).map_err(failed(path))?;
        let whisker =
            ErrorBar::new_vertical(x, mean - stderr, *mean, mean + stderr, BLACK.stroke_width(2), 12);
        chart.draw_series([whisker]).map_err(failed(path))?;
        let centred = Pos::new(HPos::Center, VPos::Bottom);
        let style = TextStyle::from((FONT, 16).into_font()).pos(centred);
        let above = mean + stderr + 0.01 * (high - low);
        let label = Text::new(format!("{mean:.2}"), (x, above), style);
        chart.draw_series([label]).map_err(failed(path))?;
    }
    root.present().map_err(fail)
}

/// Draws how often each value occurs, in bins of one unit.
///
/// # Errors
/// The file cannot be written.
pub fn histogram(path: &Path, title: &str, values: &[f64]) -> anyhow::Result<()> {
    fonts();
    let mut counts = std::collections::BTreeMap::<i64, u32>::new();
    for value in values {
        *counts.entry(value.round() as i64).or_default() += 1;
    }
    let low = counts.keys().next().copied().unwrap_or(0).min(0) as f64;
    let right = counts.keys().last().copied().unwrap_or(0) as f64;
    let high = f64::from(counts.values().copied().max().unwrap_or(1));
    let fail = failed(path);
    let root = BitMapBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE).map_err(failed(path))?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, (FONT, 22))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(48)
        .build_cartesian_2d(low - 0.5..right + 0.5, 0.0..high * 1.05)
        .map_err(failed(path))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .y_desc("episodes")
        .label_style((FONT, 14))
        .draw()
        .map_err(failed(path))?;
    chart
        .draw_series(counts.iter().map(|(value, count)| {
            let x = *value as f64;
            Rectangle::new([(x - 0.45, 0.0), (x + 0.45, f64::from(*count))], BLUE.mix(0.6).filled())
        }))
        .map_err(failed(path))?;
    root.present().map_err(fail)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_of_plot_is_written_with_ink_on_it() {
        let dir = tempfile::tempdir().expect("tempdir");
        let curve: Vec<Point> = (0..20)
            .map(|i| Point { step: f64::from(i) * 1e3, value: f64::from(i) / 20.0, stderr: 0.1 })
            .collect();
        let one = dir.path().join("curve.png");
        curves(&one, "return", "env steps", &[("a".into(), curve.clone()), ("b".into(), curve)])
            .expect("curves");
        let summary = json!({"bc": {"mean": 0.5, "stderr": 0.1}, "ppg": {"mean": 1.0, "stderr": 0.1}});
        let two = dir.path().join("arms.png");
        arms(&two, "arms", &summary).expect("arms");
        let three = dir.path().join("histogram.png");
        histogram(&three, "returns", &[0.0, 1.0, 1.0, 2.0]).expect("histogram");
        for path in [one, two, three] {
            let bytes = std::fs::read(&path).expect("written");
            assert_eq!(&bytes[1..4], b"PNG");
            assert!(bytes.len() > 3_000, "{} is nearly empty: {} bytes", path.display(), bytes.len());
        }
    }
}
