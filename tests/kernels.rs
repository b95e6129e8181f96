//! Kernels against the reference evaluator: on generated forests (every missing rule, both comparisons, categories,
//! vector leaves), where `Model::validate` makes the comparison, with rows drawn from the forest's own cut points; on
//! forests of extreme shapes and on the golden models, every kernel by name.

mod common;

use common::{Case, every_kernel};
use proptest::prelude::*;
use sawmill::{
    Aggregate, BasePosition, CategoryRule, CategorySet, Comparison, Float, Forest, ForestBuilder, Isa, KernelKind,
    Labels, Link, Missing, Model, Node, NumericProfile, Precision, Predictions, Schema, Scratch, Test, TreeSpec,
};

/// A split before its children are numbered: a feature, a test, a missing rule, and which open leaf it replaces.
#[derive(Clone, Debug)]
struct Growth {
    feature: u32,
    test: Test,
    missing: Missing,
    leaf: prop::sample::Index,
}

fn thresholds() -> impl Strategy<Value = f64> {
    let few = vec![0.0, -0.0, 0.5, 1.0, 1e-36, -1e-36, 1e-35, -1.000_000_001_8e-35, 1e300, -1e300];
    prop_oneof![
        prop::sample::select(few),
        Just(f64::INFINITY),
        Just(f64::NEG_INFINITY),
        (-4i32..4).prop_map(|t| f64::from(t) / 2.0),
        -3.0..3.0f64,
    ]
}

fn growth(n_features: u32, in_f32: bool) -> impl Strategy<Value = Growth> {
    let threshold = thresholds().prop_map(move |t| Test::Threshold(if in_f32 { f64::from(t as f32) } else { t }));
    let codes = prop::collection::vec(prop_oneof![0u32..12, 30u32..40, 60u32..70, Just(16_777_215)], 0..6);
    let set = codes.prop_map(|codes| Test::Categories(CategorySet::from_codes(&codes)));
    let missing = prop::sample::select(vec![
        Missing::Left,
        Missing::Right,
        Missing::AsZero,
        Missing::ZeroLeft,
        Missing::ZeroRight,
    ]);
    (0..n_features, prop_oneof![4 => threshold, 1 => set], missing, any::<prop::sample::Index>())
        .prop_map(|(feature, test, missing, leaf)| Growth { feature, test, missing, leaf })
}

fn profiles() -> impl Strategy<Value = NumericProfile> {
    let float = || prop::sample::select(vec![Float::F32, Float::F64]);
    let less = prop::sample::select(vec![Comparison::Less, Comparison::LessOrEqual]);
    let base = prop::sample::select(vec![BasePosition::First, BasePosition::Last]);
    let rules =
        prop::sample::select(vec![CategoryRule::NonNegative, CategoryRule::Truncate, CategoryRule::Representable]);
    (float(), less, float(), base, rules, any::<bool>()).prop_map(
        |(input, comparison, sum, base, categories, flush)| {
            let mut profile = NumericProfile::LIGHTGBM;
            profile.input = input;
            profile.comparison = comparison;
            profile.sum = sum;
            profile.base = base;
            profile.categories = categories;
            profile.flush_tiny = flush;
            profile
        },
    )
}

/// A node of a tree being grown.
#[derive(Clone)]
enum Grown {
    Leaf,
    Split(Growth, u32, u32),
}

fn grow(growths: &[Growth]) -> Vec<Grown> {
    let (mut nodes, mut leaves) = (vec![Grown::Leaf], vec![0u32]);
    for growth in growths {
        let parent = leaves.swap_remove(growth.leaf.index(leaves.len()));
        let left = nodes.len() as u32;
        nodes.extend([Grown::Leaf, Grown::Leaf]);
        leaves.extend([left, left + 1]);
        nodes[parent as usize] = Grown::Split(growth.clone(), left, left + 1);
    }
    nodes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn kernels_equal_the_reference(
        profile in profiles(),
        trees in any::<bool>().prop_flat_map(|in_f32| {
            prop::collection::vec(prop::collection::vec(growth(5, in_f32), 0..40), 0..20)
        }),
        n_outputs in 1usize..4,
        aggregate in prop::sample::select(vec![Aggregate::Sum, Aggregate::Mean, Aggregate::MeanOfValue]),
        vector_leaves in any::<bool>(),
        weights in prop::collection::vec(-2.0..2.0f64, 20),
        precision in prop_oneof![2 => Just(Precision::Exact), 1 => prop::sample::select(Precision::ALL)],
    ) {
        let mut builder = ForestBuilder::new(&Schema::new(5, n_outputs))
            .profile(profile)
            .base((0..n_outputs).map(|output| 0.1 + output as f64).collect())
            .aggregate(aggregate)
            .link(Link::Softmax, Labels::ArgMax);
        for (index, growths) in trees.iter().enumerate() {
            let grown = grow(growths);
            let values: Vec<Vec<f64>> = (0..grown.len())
                .map(|node| (0..if vector_leaves { n_outputs } else { 1 }).map(|k| ((node * 7 + k) as f64 * 0.37).sin()).collect())
                .collect();
            let nodes: Vec<Node<'_>> = grown
                .iter()
                .enumerate()
                .map(|(id, node)| match node.clone() {
                    Grown::Leaf => Node::Leaf { id: id as u32, values: &values[id] },
                    Grown::Split(Growth { feature, test, missing, .. }, left, right) => {
                        Node::Split { feature, test, missing, left, right }
                    }
                })
                .collect();
            let output = if vector_leaves { None } else { Some((index % n_outputs) as u32) };
            builder = builder.tree(TreeSpec { output, weight: weights[index], nodes: &nodes });
        }
        let forest = builder.finish().unwrap();
        for &isa in Isa::available() {
            for kernel in KernelKind::ALL.iter().map(|&kind| Some(kind)).chain([None]) {
                let options = Model::options().isa(isa).precision(precision);
                let options = kernel.into_iter().fold(options, |options, kind| options.kernel(kind));
                let model = match options.from_forest(Schema::new(5, n_outputs), forest.clone()) {
                    Ok(model) => model,
                    Err(error) => {
                        prop_assert!(error.is_option() && error.to_string().contains("of a model whose known categories")
                            || kernel.is_some(), "{error}");
                        continue;
                    }
                };
                let report = model.validate();
                prop_assert!(report.ok, "{} {kernel:?}: {report:#?}", isa.name());
            }
        }
    }
}

#[test]
fn a_chain_of_ten_thousand_splits() {
    let depth = 10_000u32;
    let values: Vec<f64> = (0..=2 * depth).map(f64::from).collect();
    let mut nodes = Vec::new();
    for level in 0..depth {
        let id = 2 * level;
        let test = Test::Threshold(f64::from(level));
        nodes.push(Node::Split { feature: 0, test, missing: Missing::Right, left: id + 1, right: id + 2 });
        nodes.push(Node::Leaf { id: id + 1, values: &values[id as usize + 1..][..1] });
    }
    nodes.push(Node::Leaf { id: 2 * depth, values: &values[2 * depth as usize..] });
    let schema = Schema::new(1, 1);
    let forest =
        ForestBuilder::new(&schema).tree(TreeSpec { output: Some(0), weight: 1.0, nodes: &nodes }).finish().unwrap();
    let model = Model::options().from_forest(schema, forest).unwrap();
    assert_eq!(model.facts().max_depth, depth as usize);
    assert_eq!(model.predict(&[-1.0f32, 4999.5, 1e9, f32::NAN]).unwrap().to_f64(), [1.0, 10_001.0, 20_000.0, 20_000.0]);
    assert!(model.validate().ok);
}

/// A forest of one shape: `n_trees` trees grown to `n_splits` splits, each of what `split(tree, split)` says.
struct Shape<'a> {
    n_features: usize,
    n_outputs: usize,
    n_trees: usize,
    n_splits: usize,
    /// Every so many-th tree is one of so many splits instead.
    larger: Option<(usize, usize)>,
    vector_leaves: bool,
    /// The open leaf that a split replaces: of so many, this one.
    place: fn(&mut Random, usize) -> usize,
    split: &'a dyn Fn(&mut Random, usize, usize) -> Split,
}

/// Feature, test, and what becomes of missing values.
type Split = (u32, Test, Missing);

impl Default for Shape<'_> {
    fn default() -> Self {
        Self {
            n_features: 12,
            n_outputs: 1,
            n_trees: 20,
            n_splits: 30,
            larger: None,
            vector_leaves: false,
            place: Random::below,
            split: &|random, _, _| {
                (
                    random.below(12) as u32,
                    Test::Threshold(random.cut()),
                    [Missing::Left, Missing::Right][random.below(2)],
                )
            },
        }
    }
}

/// A small deterministic generator (xorshift64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() >> 16) as usize % bound
    }

    /// One of a few thousand numbers that f32 holds.
    fn cut(&mut self) -> f64 {
        self.below(4096) as f64 / 64.0 - 32.0
    }
}

impl Shape<'_> {
    fn forest(&self, profile: NumericProfile) -> Forest {
        let mut random = Random(0x5EED);
        let width = if self.vector_leaves { self.n_outputs } else { 1 };
        let mut builder = ForestBuilder::new(&Schema::new(self.n_features, self.n_outputs))
            .profile(profile)
            .base(vec![0.25; self.n_outputs]);
        for tree in 0..self.n_trees {
            let (mut children, mut open) = (vec![None], vec![0]);
            let larger = self.larger.filter(|&(every, _)| tree % every == every - 1);
            for split in 0..larger.map_or(self.n_splits, |(_, n_splits)| n_splits) {
                let place = (self.place)(&mut random, open.len());
                let (parent, left) = (open.remove(place), children.len());
                children[parent] = Some((left, (self.split)(&mut random, tree, split)));
                children.extend([None, None]);
                open.extend([left, left + 1]);
            }
            let values: Vec<Vec<f64>> =
                children.iter().map(|_| (0..width).map(|_| random.cut() * 0.013).collect()).collect();
            let node = |(id, child): (usize, Option<(usize, Split)>)| match child {
                None => Node::Leaf { id: id as u32, values: &values[id] },
                Some((left, (feature, test, missing))) => {
                    Node::Split { feature, test, missing, left: left as u32, right: left as u32 + 1 }
                }
            };
            let nodes: Vec<_> = children.into_iter().enumerate().map(node).collect();
            let output = (!self.vector_leaves).then_some((tree % self.n_outputs) as u32);
            builder = builder.tree(TreeSpec { output, weight: 1.0, nodes: &nodes });
        }
        builder.finish().unwrap()
    }

    /// Checks every kernel on rows of which a share of `missing` in 16 values is NaN; `fits` are the kernels that can.
    fn check(&self, name: &str, missing: usize, fits: &[KernelKind]) {
        for profile in [NumericProfile::XGBOOST, NumericProfile::LIGHTGBM] {
            let forest = self.forest(profile);
            let model = Model::options().from_forest(Schema::new(self.n_features, self.n_outputs), forest.clone());
            let mut random = Random(0xDA7A);
            let rows = model.unwrap().sample_rows(1000, 3);
            let rows = rows.mapv(|value| if random.below(16) < missing { f64::NAN } else { value });
            let found = every_kernel::check(name, &Model::options(), &forest, &rows);
            let fits: Vec<_> = fits.iter().map(|kind| kind.name()).collect();
            assert_eq!(found, fits, "{name}");
        }
    }
}

const ALL: &[KernelKind] = KernelKind::ALL;

/// Those for trees whose levels ask different things.
const MOST: &[KernelKind] =
    &[KernelKind::Circuit, KernelKind::Row, KernelKind::Tops, KernelKind::Values, KernelKind::Walk];

/// Those for trees that test more than tops have columns for.
const MANY_COLUMNS: &[KernelKind] = &[KernelKind::Circuit, KernelKind::Row, KernelKind::Values, KernelKind::Walk];

/// Those for many trees of many splits.
const MANY_NODES: &[KernelKind] = &[KernelKind::Circuit, KernelKind::Row, KernelKind::Walk];

#[test]
fn every_kernel_on_stumps() {
    Shape { n_trees: 300, n_splits: 1, ..Shape::default() }.check("stumps", 1, ALL);
    Shape { n_trees: 5, n_splits: 0, ..Shape::default() }.check("leaves", 1, ALL);
    Shape { n_trees: 0, ..Shape::default() }.check("no trees", 1, ALL);
}

#[test]
fn every_kernel_on_chains() {
    let last: fn(&mut Random, usize) -> usize = |random, open| open - 1 - random.below(2.min(open));
    Shape { n_splits: 200, place: last, ..Shape::default() }.check("chains", 1, MOST);
}

#[test]
fn every_kernel_on_trees_of_a_thousand_leaves() {
    Shape { n_splits: 1000, n_trees: 6, ..Shape::default() }.check("leaves", 1, &MOST[1..]);
}

#[test]
fn trees_that_have_a_circuit_beside_trees_that_have_none() {
    let shape = Shape { n_trees: 100, n_splits: 20, larger: Some((25, 600)), ..Shape::default() };
    shape.check("some without a circuit", 1, &MOST[1..]);
    let forest = shape.forest(NumericProfile::LIGHTGBM);
    for &isa in Isa::available() {
        let model = Model::options().isa(isa).from_forest(Schema::new(12, 1), forest.clone()).unwrap();
        let planned: Vec<_> = model.plan().kernels.iter().map(|kernel| (kernel.name, kernel.trees)).collect();
        assert_eq!(planned, [("circuit", 96), ("row", 100)], "{}", isa.name());
        let rows = model.sample_rows(700, 5);
        let ranked = model.rank(&rows).unwrap();
        let expected = model.predict_reference(&rows).unwrap();
        assert_eq!(model.predict(&rows).unwrap(), expected, "{}", isa.name());
        assert_eq!(model.predict_ranked(&ranked).unwrap(), expected, "{}", isa.name());
    }
}

#[test]
fn every_kernel_on_one_feature() {
    let split = |random: &mut Random, _, _| (0, Test::Threshold(random.cut()), Missing::Left);
    Shape { n_features: 1, split: &split, ..Shape::default() }.check("one feature", 1, MOST);
}

#[test]
fn every_kernel_on_two_thousand_features() {
    let split = |random: &mut Random, _, _| (random.below(2000) as u32, Test::Threshold(random.cut()), Missing::Right);
    Shape { n_features: 2000, n_trees: 60, split: &split, ..Shape::default() }.check("features", 1, MANY_COLUMNS);
}

#[test]
fn every_kernel_on_more_cuts_than_a_byte_or_two_can_number() {
    for (name, n_trees, fits) in [("more than 255 cuts", 3, MOST), ("more than 65,535 cuts", 300, MANY_NODES)] {
        // Every cut is another, and f32 holds it.
        let split = |_: &mut Random, tree, split| {
            let cut = (tree * 255 + split) * 7919 % 131_071;
            (0, Test::Threshold(cut as f64 / 16.0), [Missing::Left, Missing::Right][split % 2])
        };
        let first: fn(&mut Random, usize) -> usize = |_, _| 0;
        let shape = Shape { n_features: 2, n_trees, n_splits: 255, place: first, split: &split, ..Shape::default() };
        assert!(shape.forest(NumericProfile::XGBOOST).n_leaves() == 256 * n_trees);
        shape.check(name, 1, fits);
    }
}

#[test]
fn every_kernel_on_categories_alone() {
    for (name, codes, n_trees, fits) in
        [("few sets", 20, 3, MOST), ("few categories", 20, 40, MOST), ("many categories", 600, 40, MOST)]
    {
        let split = |random: &mut Random, _, _| {
            let set: Vec<u32> = (0..1 + random.below(8)).map(|_| random.below(codes) as u32).collect();
            (
                random.below(3) as u32,
                Test::Categories(CategorySet::from_codes(&set)),
                [Missing::Left, Missing::Right][random.below(2)],
            )
        };
        Shape { n_features: 3, n_trees, split: &split, ..Shape::default() }.check(name, 1, fits);
    }
}

#[test]
fn models_that_share_a_scratch_answer_as_they_do_alone() {
    let categories = |random: &mut Random, _, _| {
        let set: Vec<u32> = (0..1 + random.below(8)).map(|_| random.below(20) as u32).collect();
        (random.below(3) as u32, Test::Categories(CategorySet::from_codes(&set)), Missing::Left)
    };
    let of_categories = Shape { n_features: 3, n_trees: 40, split: &categories, ..Shape::default() };
    let of_numbers = Shape { n_trees: 40, ..Shape::default() };
    for kind in KernelKind::ALL {
        let load = |shape: &Shape<'_>| {
            let forest = shape.forest(NumericProfile::XGBOOST);
            Model::options().kernel(*kind).from_forest(Schema::new(shape.n_features, shape.n_outputs), forest).ok()
        };
        let models: Vec<_> = [&of_categories, &of_numbers].into_iter().filter_map(load).collect();
        let (mut out, mut scratch) = (Predictions::default(), Scratch::default());
        for _ in 0..2 {
            for model in &models {
                let rows = model.sample_rows(20, 3);
                for row in rows.rows() {
                    let (row, mut alone) = (row.to_slice().unwrap(), Predictions::default());
                    model.predict_into(row, &mut out, &mut scratch).unwrap();
                    model.predict_into(row, &mut alone, &mut Scratch::default()).unwrap();
                    assert_eq!(out, alone, "{}", kind.name());
                }
            }
        }
    }
}

#[test]
fn every_kernel_on_as_many_columns_as_registers_hold() {
    for (n_features, fits) in
        [(20, MOST), (60, MOST), (100, MOST), (200, MOST), (300, MANY_COLUMNS), (700, MANY_COLUMNS)]
    {
        // Each numeric feature has a column: missing values go the same way. Every eighth feature has categories.
        let split = |random: &mut Random, tree: usize, split: usize| {
            let feature = (tree * 15 + split) % n_features;
            if feature % 8 == 7 {
                let set: Vec<u32> = (0..1 + random.below(8)).map(|_| random.below(300) as u32).collect();
                return (feature as u32, Test::Categories(CategorySet::from_codes(&set)), Missing::Left);
            }
            (feature as u32, Test::Threshold(random.cut()), [Missing::Left, Missing::Right][feature % 2])
        };
        Shape { n_features, n_trees: 41, n_splits: 15, split: &split, ..Shape::default() }.check("columns", 2, fits);
    }
}

#[test]
fn every_kernel_on_trees_that_ask_the_same_of_all_nodes_of_a_level() {
    for (levels, n_others) in (1..=9).map(|levels| (levels, 0)).chain([(5, 1), (6, 1), (8, 1)]) {
        // Of every other tree, one node may ask something else.
        let split = |_: &mut Random, tree: usize, split: usize| {
            let level = (split + 1).ilog2() as usize;
            let other = if tree % 2 == 1 && level == 4 && split % 16 == tree % 16 { n_others } else { 0 };
            let missing = [Missing::Left, Missing::Right][(tree + level) % 2];
            match (tree + level) % 5 {
                0 => (11, Test::Categories(CategorySet::from_codes(&[tree as u32, (level + other) as u32])), missing),
                feature => (feature as u32, Test::Threshold((tree * 8 + level + other) as f64 / 4.0 - 16.0), missing),
            }
        };
        let in_level_order: fn(&mut Random, usize) -> usize = |_, _| 0;
        let shape = Shape { n_splits: (1 << levels) - 1, place: in_level_order, split: &split, ..Shape::default() };
        let fits = if n_others > 0 { MOST } else { ALL };
        shape.check("levels", 1, if levels == 9 { &fits[1..] } else { fits });
    }
}

#[test]
fn every_kernel_on_values_that_are_mostly_missing() {
    let missing = [Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight];
    let split = |random: &mut Random, _, _| {
        (random.below(12) as u32, Test::Threshold(random.cut()), missing[random.below(missing.len())])
    };
    Shape { split: &split, ..Shape::default() }.check("missing", 13, MOST);
}

#[test]
fn every_kernel_on_vector_leaves_and_classes() {
    let vectors = Shape { n_outputs: 7, vector_leaves: true, ..Shape::default() };
    vectors.check("vector leaves", 1, MOST);
    let of_two = Shape { n_outputs: 2, vector_leaves: true, n_splits: 80, ..Shape::default() };
    of_two.check("vector leaves of two", 1, MOST);
    let long = Shape { n_outputs: 65, vector_leaves: true, n_trees: 5, ..Shape::default() };
    long.check("long vectors", 1, &[KernelKind::Circuit, KernelKind::Walk]);
    Shape { n_outputs: 7, n_trees: 40, ..Shape::default() }.check("classes", 1, MOST);
}

#[test]
fn every_kernel_on_the_golden_models() {
    for case in Case::all() {
        let model = case.load(Model::options()).unwrap();
        let rows = case.rows().head(130).to_f64();
        every_kernel::check(&case.name, &Model::options(), model.forest().unwrap(), &rows);
    }
}

#[test]
fn a_kernel_that_does_not_fit_says_why() {
    let shape = Shape { n_splits: 300, n_trees: 2, ..Shape::default() };
    let forest = shape.forest(NumericProfile::XGBOOST);
    let schema = Schema::new(shape.n_features, 1);
    let load = |options: sawmill::ModelOptions| options.from_forest(schema.clone(), forest.clone());
    let error = load(Model::options().kernel(KernelKind::Circuit)).unwrap_err();
    assert_eq!(error.to_string(), "kernel \"circuit\" does not fit this model: 2 trees: more than 256 leaves");
    let plan = load(Model::options().kernel(KernelKind::Row)).unwrap().plan().to_string();
    assert!(plan.starts_with("row (") && plan.contains("2 trees") && plan.contains("all rows; "), "{plan}");
    let error = load(Model::options().kernel(KernelKind::Row).tune(true)).unwrap_err();
    assert!(error.is_option(), "{error}");
}

#[test]
fn a_tuned_plan_says_what_was_measured() {
    let forest = Shape::default().forest(NumericProfile::XGBOOST);
    let model = Model::options().tune(true).from_forest(Schema::new(12, 1), forest).unwrap();
    let measured = &model.plan().measured;
    for kind in MOST {
        let of_kind: Vec<_> = measured.iter().filter(|of| of.name == kind.name()).collect();
        assert!(of_kind[0].rows == 1 && of_kind.iter().all(|of| of.ns_per_row > 0.0), "{measured:?}");
    }
    assert!(model.plan().to_string().contains("\nmeasured circuit: "), "{}", model.plan());
}
