//! Every kernel on every instruction set, in batches of every kind of size, on one thread and several, against the
//! reference evaluator.

use ndarray::{Array2, s};
use sawmill::{Forest, Isa, KernelKind, Model, ModelOptions, Predictions, Rows, Scratch};

/// None, one, those around the numbers of rows that kernels work on at once, and many.
const BATCHES: [usize; 14] = [0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 513, 1000];

/// Batches that are ranked first, too.
const RANKED: [usize; 4] = [0, 1, 65, 1000];

/// Checks `forest` on `rows` with `options`, which say nothing of kernels; the names of the kernels that fit.
pub fn check(name: &str, options: &ModelOptions, forest: &Forest, rows: &Array2<f64>) -> Vec<&'static str> {
    let schema = sawmill::Schema::new(forest.n_features(), forest.n_outputs());
    let load = |options: ModelOptions| options.from_forest(schema.clone(), forest.clone());
    let (narrow, model) = (rows.mapv(|value| value as f32), load(options.clone()).unwrap());
    let expected = bits(&model.predict_reference(rows).unwrap());
    let of_narrow = bits(&model.predict_reference(&narrow).unwrap());
    let ways: Vec<_> = KernelKind::ALL.iter().map(|&kind| Some(kind)).chain([None]).collect();
    for &isa in Isa::available() {
        for &kernel in &ways {
            for threads in [1, 3] {
                let options = options.clone().isa(isa).threads(threads);
                let loaded = load(match kernel {
                    Some(kernel) => options.kernel(kernel),
                    None => options.tune(true),
                });
                let way = format!("{name}: {kernel:?}, {}, {threads} threads", isa.name());
                let model = match (loaded, kernel) {
                    (Ok(model), _) => model,
                    (Err(error), Some(kernel)) => {
                        let text = error.to_string();
                        assert!(error.is_option() && text.contains("does not fit this model: "), "{way}: {text}");
                        assert!(
                            model.facts().trees == 0 || !model.fitting_kernels().contains(&kernel.name()),
                            "{way}: {text}"
                        );
                        continue;
                    }
                    (Err(error), None) => panic!("{way}: {error}"),
                };
                if let Some(kernel) = kernel {
                    assert!(model.plan().kernels.iter().all(|planned| planned.name == kernel.name()), "{way}");
                }
                // Only large batches are spread over threads.
                let batches = if threads == 1 { &BATCHES[..] } else { &BATCHES[BATCHES.len() - 1..] };
                for batch in batches.iter().map(|&batch| batch.min(rows.nrows())) {
                    let way = format!("{way}, batches of {batch}");
                    compare(&way, &model, rows.nrows(), batch, &expected, |a, b| rows.slice(s![a..b, ..]).into());
                    compare(&way, &model, rows.nrows(), batch, &of_narrow, |a, b| narrow.slice(s![a..b, ..]).into());
                }
            }
        }
    }
    model.fitting_kernels()
}

/// Compares the first batch and the last.
fn compare<'a>(
    way: &str,
    model: &Model,
    n_rows: usize,
    batch: usize,
    expected: &[u64],
    rows: impl Fn(usize, usize) -> Rows<'a>,
) {
    let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
    let firsts = [0, n_rows - batch];
    for &first in if batch == n_rows { &firsts[..1] } else { &firsts } {
        model.predict_into(rows(first, first + batch), &mut predictions, &mut scratch).unwrap();
        let (width, found) = (predictions.n_columns(), bits(&predictions));
        assert_eq!(predictions.n_rows(), batch, "{way}");
        assert!(found == expected[first * width..][..batch * width], "{way}, from row {first}");
        if RANKED.contains(&batch) {
            compare_ranked(way, model, rows(first, first + batch), &found);
        }
    }
}

/// Compares rows that are ranked first, if the kernel has ranks.
fn compare_ranked(way: &str, model: &Model, rows: Rows<'_>, expected: &[u64]) {
    match model.rank(rows) {
        Ok(ranked) => assert!(bits(&model.predict_ranked(&ranked).unwrap()) == expected, "{way}, ranked"),
        Err(error) => {
            let (kernels, n_trees) = (&model.plan().kernels, model.facts().trees);
            let compares_values = |name: &str, trees: usize| name == "walk" || name == "circuit" && trees < n_trees;
            assert!(kernels.iter().all(|planned| compares_values(planned.name, planned.trees)), "{way}: {error}");
        }
    }
}

/// Bit patterns; every NaN counts as one.
fn bits(predictions: &Predictions) -> Vec<u64> {
    let bits = |x: f64| if x.is_nan() { u64::MAX } else { x.to_bits() };
    predictions.to_f64().into_iter().map(bits).collect()
}
