//! Predictions by model, instruction set, kernel and batch size, and ranking alone, on one thread. Every call gets other
//! rows than the one before; the answers are compared with the reference evaluator's first.
//!
//! `cargo bench --bench kernels -- many_trees` runs what has that in its name.

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sawmill::{Isa, KernelKind, Model, Predictions, Scratch};

use common::{Case, Table, bits};

const BATCHES: [usize; 3] = [1, 64, 1024];

/// Rows compared with the reference evaluator.
const CHECKED_ROWS: usize = 256;

/// Rows that are ranked in one call.
const RANKED_ROWS: usize = 1024;

fn predict(criterion: &mut Criterion) {
    for case in Case::all() {
        // The plan's own choice on every instruction set, and every kernel on the best one.
        let by_isa = Isa::available().iter().map(|&isa| (isa.name(), Model::options().isa(isa)));
        let by_kernel = KernelKind::ALL.iter().map(|&kind| (kind.name(), Model::options().kernel(kind)));
        for (way, options) in by_isa.chain(by_kernel) {
            let model = match options.load(&case.path) {
                Ok(model) => model,
                Err(refusal) => {
                    eprintln!("{refusal}");
                    continue;
                }
            };
            let table = case.rows(&model);
            check(&case, &model, &table);
            let mut group = criterion.benchmark_group(format!("{}/{way}", case.name));
            group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1)).sample_size(20);
            for batch in BATCHES.map(|batch| batch.min(table.n_rows())) {
                let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
                let mut first = 0;
                group.throughput(Throughput::Elements(batch as u64));
                group.bench_function(BenchmarkId::from_parameter(batch), |bencher| {
                    bencher.iter(|| {
                        let rows = black_box(table.slice(first, batch));
                        first = next(first, batch, table.n_rows());
                        model.predict_into(rows, &mut predictions, &mut scratch).unwrap();
                        black_box(&mut predictions);
                    });
                });
            }
        }
    }
}

/// Ranking alone, and predicting what was ranked before.
fn rank(criterion: &mut Criterion) {
    for case in Case::all() {
        let kinds = [KernelKind::Circuit, KernelKind::Row];
        for (&isa, kind) in Isa::available().iter().flat_map(|isa| kinds.map(|kind| (isa, kind))) {
            let Ok(model) = Model::options().isa(isa).kernel(kind).load(&case.path) else { continue };
            let table = case.rows(&model);
            let batch = RANKED_ROWS.min(table.n_rows());
            let mut group = criterion.benchmark_group(format!("{}/ranks/{}/{}", case.name, isa.name(), kind.name()));
            group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1)).sample_size(20);
            group.throughput(Throughput::Elements(batch as u64));
            let mut first = 0;
            group.bench_function("rank", |bencher| {
                bencher.iter(|| {
                    let rows = black_box(table.slice(first, batch));
                    first = next(first, batch, table.n_rows());
                    model.rank(rows).unwrap()
                });
            });
            let ranked = model.rank(table.slice(0, batch)).unwrap();
            let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
            group.bench_function("predict", |bencher| {
                bencher.iter(|| {
                    model.predict_ranked_into(black_box(&ranked), &mut predictions, &mut scratch).unwrap();
                    black_box(&mut predictions);
                });
            });
        }
    }
}

/// Where the next batch starts: behind this one, or at the start again, a row further in each lap.
fn next(first: usize, batch: usize, n_rows: usize) -> usize {
    if first + 2 * batch <= n_rows { first + batch } else { (first % batch + 1) % batch.min(n_rows - batch + 1) }
}

fn check(case: &Case, model: &Model, table: &Table) {
    let n_rows = CHECKED_ROWS.min(table.n_rows());
    let expected = bits(&model.predict_reference(table.slice(0, n_rows)).unwrap());
    assert!(bits(&model.predict(table.slice(0, n_rows)).unwrap()) == expected, "{}: a batch is wrong", case.name);
    let singles = (0..n_rows).flat_map(|row| bits(&model.predict(table.slice(row, 1)).unwrap()));
    assert!(singles.eq(expected), "{}: a single row is wrong", case.name);
}

criterion_group!(benches, predict, rank);
criterion_main!(benches);
