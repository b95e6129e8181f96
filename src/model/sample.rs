//! Rows made up from what a model asks: for checks, rows at the edges of its decisions; for benchmarks, rows as data
//! may have them. The same model and seed always give the same rows.

use ndarray::Array2;

use crate::ir::{CategorySet, Float, Forest, SplitTest, facts};
use crate::plan::TUNING_ROWS;
use crate::rows::{Batch, Dense};

/// In rows for benchmarks, one value in this many is missing.
const MISSING_ONE_IN: usize = 20;

/// At most this many values are measured with.
const MAX_TUNING_CELLS: usize = 1 << 22;

/// Rows of one value each: missing, infinite, huge, denormal, zero of either sign.
pub(super) fn special_rows(n_features: usize) -> Array2<f64> {
    let values = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        0.0,
        -0.0,
        f64::MAX,
        f64::MIN,
        5e-324,
        -5e-324,
        1e-36,
        -1e-36,
        1.0,
        -1.0,
    ];
    Array2::from_shape_fn((values.len(), n_features), |(row, _)| values[row])
}

/// Rows of small numbers.
pub(super) fn plain_rows(n_features: usize, n_rows: usize, seed: u64) -> Array2<f64> {
    let mut random = SplitMix(seed);
    Array2::from_shape_fn((n_rows, n_features), |_| random.below(64) as f64 / 16.0 - 2.0)
}

/// Rows drawn from each feature's own cut points, their neighbours and categories, with some values missing.
pub(super) fn edge_rows(forest: &Forest, n_rows: usize) -> Array2<f64> {
    let mut pools: Vec<Vec<f64>> = vec![vec![0.0, 1.0, f64::NAN]; forest.n_features()];
    for (feature, cuts) in facts::cuts(forest) {
        for cut in cuts {
            let narrow = cut as f32;
            let near = [cut, cut.next_up(), cut.next_down(), narrow.next_up().into(), narrow.next_down().into()];
            pools[feature as usize].extend(near);
        }
    }
    for split in forest.splits() {
        if let SplitTest::Set(set) = split.test {
            pools[split.feature as usize].extend(some_codes(forest.set(set)));
        }
    }
    let mut random = SplitMix(0x005A_3311);
    Array2::from_shape_fn((n_rows, forest.n_features()), |(_, feature)| {
        let pool = &pools[feature];
        match random.below(10) {
            0 => f64::NAN,
            1 => random.below(200) as f64 - 100.0,
            _ => pool[random.below(pool.len())],
        }
    })
}

/// Codes inside a set and just outside it.
fn some_codes(set: &CategorySet) -> impl Iterator<Item = f64> + '_ {
    set.codes().take(64).flat_map(|code| [f64::from(code), f64::from(code) + 1.0, f64::from(code) + 0.5])
}

/// Rows whose values fall into every gap between two neighbouring cut points of their feature equally often, so that
/// every split of a feature is a close call for some rows; known categories and one unknown, equally often; some
/// values missing. Values are as the model's input type holds them.
pub(super) fn typical_rows(forest: &Forest, n_rows: usize, seed: u64) -> Array2<f64> {
    let mut ranges = vec![Range::Unused; forest.n_features()];
    for (feature, cuts) in facts::cuts(forest) {
        ranges[feature as usize] = Range::Cuts(cuts);
    }
    for split in forest.splits() {
        if let SplitTest::Set(set) = split.test {
            let highest = forest.set(set).codes().max().unwrap_or(0);
            let range = &mut ranges[split.feature as usize];
            *range = match range {
                Range::Codes(known) => Range::Codes(highest.max(*known)),
                _ => Range::Codes(highest),
            };
        }
    }
    let (mut random, profile) = (SplitMix(seed), forest.profile());
    Array2::from_shape_fn((n_rows, forest.n_features()), |(_, feature)| match random.below(MISSING_ONE_IN) {
        0 => f64::NAN,
        _ => profile.round_input(ranges[feature].draw(&mut random)),
    })
}

/// Hands rows to measure kernels with to `use_them`, in the type that the trees read, so that nothing but kernels is
/// measured.
pub(super) fn with_tuning_rows<T>(forest: &Forest, use_them: impl FnOnce(&Batch<'_>) -> T) -> T {
    let n_rows = (MAX_TUNING_CELLS / forest.n_features().max(1)).clamp(1, TUNING_ROWS);
    let rows = typical_rows(forest, n_rows, 1);
    match forest.profile().input {
        Float::F32 => use_them(&Batch::Dense(Dense::F32(rows.mapv(|value| value as f32).view()))),
        Float::F64 => use_them(&Batch::Dense(Dense::F64(rows.view()))),
    }
}

/// What values of a feature a model can tell apart.
#[derive(Clone, Debug)]
enum Range {
    Unused,
    /// Ascending.
    Cuts(Vec<f64>),
    /// Codes up to this one.
    Codes(u32),
}

impl Range {
    fn draw(&self, random: &mut SplitMix) -> f64 {
        let cuts = match self {
            Self::Unused => return random.unit(),
            Self::Codes(highest) => return random.below(*highest as usize + 2) as f64,
            Self::Cuts(cuts) => cuts,
        };
        let (first, last) = (cuts[0], cuts[cuts.len() - 1]);
        let step = if first < last { (last - first) / cuts.len() as f64 } else { first.abs().max(1.0) };
        let (gap, share) = (random.below(cuts.len() + 1), random.unit());
        if gap == 0 {
            first - step * share
        } else if gap == cuts.len() {
            last + step * share
        } else {
            cuts[gap - 1] * (1.0 - share) + cuts[gap] * share
        }
    }
}

/// A small deterministic generator (Steele, Lea, Flood: "Fast splittable pseudorandom number generators").
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// Uniform in [0, 1).
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Model;

    #[test]
    fn typical_rows_spread_over_the_gaps_between_cut_points() {
        for model in ["models/xgboost/breast_cancer/model.json", "models/lightgbm/category_sets/model.txt"] {
            let model = Model::load(model).unwrap();
            let forest = model.forest().unwrap();
            let rows = typical_rows(forest, 2000, 1);
            assert_eq!(rows.dim(), (2000, forest.n_features()));
            for (feature, cuts) in facts::cuts(forest) {
                let column = rows.column(feature as usize);
                let in_gap = |gap: usize| {
                    let below = gap.checked_sub(1).map_or(f64::NEG_INFINITY, |cut| cuts[cut]);
                    let above = cuts.get(gap).copied().unwrap_or(f64::INFINITY);
                    column.iter().filter(|&&value| below <= value && value <= above).count()
                };
                let fair = 2000 / (cuts.len() + 1);
                assert!((0..=cuts.len()).all(|gap| in_gap(gap) >= fair / 4), "feature {feature} of {model:?}");
                assert!(column.iter().any(|value| value.is_nan()));
            }
        }
    }

    #[test]
    fn another_seed_gives_other_rows() {
        let model = Model::load("models/lightgbm/category_sets/model.txt").unwrap();
        let bits = |seed| typical_rows(model.forest().unwrap(), 10, seed).mapv(f64::to_bits);
        assert_eq!(bits(1), bits(1));
        assert_ne!(bits(1), bits(2));
    }
}
