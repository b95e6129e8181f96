//! Measuring kernels, in place of reckoning what they cost.

use std::time::{Duration, Instant};

use super::{Choice, KernelKind, MeasuredKernel, Plan, Request, Runner, choose};
use crate::error::Result;
use crate::ir::Forest;
use crate::kernel::dispatch::Dispatch;
use crate::kernel::{BLOCK_ROWS, Buffers, CHUNK, Kernel, Sum};
use crate::rows::Batch;

/// Sizes of the batches that are measured.
const SIZES: [usize; 6] = [1, 4, 8, 16, 32, BLOCK_ROWS];

/// How long kernels take turns at one size, unless one turn of each takes longer.
const PER_SIZE: Duration = Duration::from_millis(8);

/// No size is begun later than this.
const IN_ALL: Duration = Duration::from_millis(300);

/// The least and the greatest number of turns.
const TURNS: std::ops::Range<usize> = 2..64;

/// Rows to measure with.
pub(crate) const TUNING_ROWS: usize = 2 * BLOCK_ROWS;

/// Plans `forest` by what kernels take for batches of `rows`; what there is no time to measure is left as it is reckoned.
///
/// Cost: lays the forest out for each kernel that fits, and again for those that are chosen.
///
/// # Errors
/// As [`choose`].
pub(crate) fn tune(forest: &Forest, request: Request, rows: &Batch<'_>) -> Result<(Plan, Runner)> {
    let (reckoned, runner) = choose(forest, request)?;
    let mut kernels = Vec::new();
    for &kind in KernelKind::ALL {
        let (plan, runner) = choose(forest, Request { choice: Choice::As(Dispatch::only(kind)), ..request })?;
        if plan.kernels.iter().any(|kernel| kernel.name == kind.name()) {
            kernels.push((kind, runner));
        }
    }
    let start = Instant::now();
    let mut buffers = Buffers::default();
    let mut times = Vec::new();
    for size in SIZES {
        if size <= rows.n_rows() && start.elapsed() < IN_ALL {
            let of_size = measure(&kernels, rows, size, forest.n_outputs(), &mut buffers);
            times.push((size, of_size));
        }
    }
    let dispatch = fastest(&times, reckoned.dispatch);
    let (mut plan, runner) = match dispatch == reckoned.dispatch {
        true => (reckoned, runner),
        false => choose(forest, Request { choice: Choice::As(dispatch), ..request })?,
    };
    for (at, (kind, _)) in kernels.iter().enumerate() {
        let of_kernel = times.iter().map(|(size, times)| (kind.name(), *size, times[at].1));
        plan.measured.extend(of_kernel.map(|(name, rows, ns_per_row)| MeasuredKernel { name, rows, ns_per_row }));
    }
    Ok((plan, runner))
}

/// Nanoseconds a row of every kernel for batches of `size` rows: the quickest turn.
fn measure(
    kernels: &[(KernelKind, Runner)],
    rows: &Batch<'_>,
    size: usize,
    n_outputs: usize,
    buffers: &mut Buffers,
) -> Vec<(KernelKind, f64)> {
    let mut quickest: Vec<_> = kernels.iter().map(|(kind, _)| (*kind, f64::INFINITY)).collect();
    let start = Instant::now();
    for turn in 0..TURNS.end {
        if turn >= TURNS.start && start.elapsed() > PER_SIZE {
            break;
        }
        for ((_, runner), (_, quickest)) in kernels.iter().zip(&mut quickest) {
            let ns_per_row = match runner {
                Runner::F32(kernel) => time(kernel.as_ref(), rows, size, turn, n_outputs, buffers),
                Runner::F64(kernel) => time(kernel.as_ref(), rows, size, turn, n_outputs, buffers),
            };
            *quickest = quickest.min(ns_per_row);
        }
    }
    quickest
}

/// Nanoseconds a row of one turn: batch after batch of other rows, 64 rows at least.
fn time<S: Sum>(
    kernel: &dyn Kernel<S>,
    rows: &Batch<'_>,
    size: usize,
    turn: usize,
    n_outputs: usize,
    buffers: &mut Buffers,
) -> f64 {
    let mut margins = vec![S::ZERO; size * n_outputs];
    let (batches, places) = (CHUNK.div_ceil(size), rows.n_rows() - size + 1);
    let start = Instant::now();
    for batch in 0..batches {
        let first = (turn * batches + batch) * size % places;
        kernel.margins(rows, first..first + size, &mut margins, buffers);
    }
    start.elapsed().as_nanos() as f64 / (batches * size) as f64
}

/// What takes which rows, by the nanoseconds that kernels took at each size, ascending.
fn fastest(times: &[(usize, Vec<(KernelKind, f64)>)], reckoned: Dispatch) -> Dispatch {
    let best = |wanted: fn(usize) -> bool| {
        let (_, times) = times.iter().find(|(size, _)| wanted(*size))?;
        times.iter().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(kind, _)| *kind)
    };
    let (Some(single), Some(few), Some(many)) = (best(|size| size == 1), best(|size| size > 1), best(|size| size > 32))
    else {
        return Dispatch { single: best(|size| size == 1).unwrap_or(reckoned.single), ..reckoned };
    };
    let of = |times: &[(KernelKind, f64)], kind| times.iter().find(|time| time.0 == kind).map(|time| time.1);
    // From the size on from which the kernel for many rows is never the slower one.
    let slower = times.iter().rposition(|(_, times)| of(times, many) > of(times, few));
    let many_from = times.get(slower.map_or(0, |at| at + 1)).map_or(1, |(size, _)| *size).max(2);
    Dispatch { single, few, many, many_from }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECKONED: Dispatch =
        Dispatch { single: KernelKind::Walk, few: KernelKind::Walk, many: KernelKind::Walk, many_from: 1 };

    fn times(of: [(usize, f64, f64); 3]) -> Vec<(usize, Vec<(KernelKind, f64)>)> {
        of.map(|(size, circuit, row)| (size, vec![(KernelKind::Circuit, circuit), (KernelKind::Row, row)])).into()
    }

    #[test]
    fn each_size_gets_its_fastest_kernel() {
        let found = fastest(&times([(1, 900.0, 300.0), (8, 120.0, 290.0), (512, 10.0, 280.0)]), RECKONED);
        let expected =
            Dispatch { single: KernelKind::Row, few: KernelKind::Circuit, many: KernelKind::Circuit, many_from: 2 };
        assert_eq!(found, expected);
    }

    #[test]
    fn many_rows_begin_where_their_kernel_is_never_slower() {
        let times = times([(1, 900.0, 300.0), (8, 310.0, 290.0), (512, 10.0, 280.0)]);
        let expected =
            Dispatch { single: KernelKind::Row, few: KernelKind::Row, many: KernelKind::Circuit, many_from: 512 };
        assert_eq!(fastest(&times, RECKONED), expected);
    }

    #[test]
    fn what_was_not_measured_stays_as_reckoned() {
        assert_eq!(fastest(&[], RECKONED), RECKONED);
        let singles = times([(1, 900.0, 300.0); 3]);
        assert_eq!(fastest(&singles[..1], RECKONED), Dispatch { single: KernelKind::Row, ..RECKONED });
    }
}
