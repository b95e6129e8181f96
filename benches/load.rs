//! Loading: from a file to a model that predicts, plan and layouts included, on one thread. Beside the
//! source libraries' own loading: `just load-bench`.

mod common;

use std::fs;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sawmill::Model;

use common::Case;

fn load(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("load");
    group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1)).sample_size(10);
    for case in Case::all() {
        if let Err(refusal) = Model::load(&case.path) {
            eprintln!("{refusal}");
            continue;
        }
        group.throughput(Throughput::Bytes(fs::metadata(&case.path).unwrap().len()));
        group.bench_function(&case.name, |bencher| bencher.iter_with_large_drop(|| Model::load(&case.path).unwrap()));
    }
}

criterion_group!(benches, load);
criterion_main!(benches);
