//! The chart of a benchmark, as SVG: throughput against batch size, and the distribution of the time for a row.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::measure::{Measurement, quantile};

const SIZE: (u32, u32) = (1200, 520);

/// Points of a distribution's curve.
const STEPS: usize = 400;

/// Writes the chart; the file appears whole or not at all.
pub fn write(path: &Path, model: &Path, measurements: &[Measurement]) -> Result<()> {
    let mut svg = String::new();
    draw(&mut svg, &model.display().to_string(), measurements).map_err(|cause| anyhow!("{cause}"))?;
    Ok(std::fs::write(path, svg)?)
}

type Drawn = Result<(), DrawingAreaErrorKind<std::io::Error>>;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(svg: &mut String, model: &str, measurements: &[Measurement]) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let (left, right) = area.titled(model, ("sans-serif", 18))?.split_horizontally(SIZE.0 / 2);
    throughput(&left, measurements)?;
    distribution(&right, measurements)?;
    area.present()
}

fn throughput(area: &Area<'_>, measurements: &[Measurement]) -> Drawn {
    let mut points: Vec<(f64, f64)> = measurements.iter().map(|m| (m.batch as f64, m.rows_per_s())).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let batches = around(points.iter().map(|point| point.0));
    let best = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(batches.log_scale(), 0.0..best * 1.1)?;
    let label = |value: &f64| short(*value);
    chart
        .configure_mesh()
        .x_desc("rows in a batch")
        .y_desc("rows per second")
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .light_line_style(WHITE)
        .draw()?;
    chart.draw_series(LineSeries::new(points.iter().copied(), BLUE.stroke_width(2)))?;
    chart.draw_series(points.iter().map(|&point| Circle::new(point, 4, BLUE.filled())))?;
    Ok(())
}

fn distribution(area: &Area<'_>, measurements: &[Measurement]) -> Drawn {
    let sorted: Vec<(usize, Vec<f64>)> = measurements.iter().map(|m| (m.batch, m.sorted_ns_per_row())).collect();
    // The last thousandth is mostly the operating system's and would squeeze the rest.
    let ends = sorted.iter().flat_map(|(_, times)| [times[0].max(0.1), quantile(times, 0.999).max(0.1)]);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(50)
        .build_cartesian_2d(around(ends).log_scale(), 0.0..100.0)?;
    chart
        .configure_mesh()
        .x_desc("nanoseconds for a row")
        .y_desc("% of calls that take no longer")
        .x_label_formatter(&|value| short(*value))
        .light_line_style(WHITE)
        .draw()?;
    for (index, (batch, times)) in sorted.iter().enumerate() {
        let color = Palette99::pick(index).to_rgba();
        let curve = (0..=STEPS).map(|step| {
            let share = 0.999 * step as f64 / STEPS as f64;
            (quantile(times, share).max(0.1), share * 100.0)
        });
        chart
            .draw_series(LineSeries::new(curve, color.stroke_width(2)))?
            .label(format!("batch {batch}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::LowerRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
}

/// A range that holds all values with some room at both ends.
fn around(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), x| (low.min(x), high.max(x)));
    low * 0.7..high * 1.4
}

/// 1500000 as 1.5M.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e3 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = if value < 10.0 && value.fract() > 0.05 { 1 } else { 0 };
    format!("{value:.digits$}{unit}")
}
