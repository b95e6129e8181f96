//! Kernels against the reference evaluator on generated forests: every missing rule, both comparisons, categories,
//! deep chains, vector leaves. `Model::validate` makes the comparison; it draws rows from the forest's own cut points.

use proptest::prelude::*;
use sawmill::{
    Aggregate, BasePosition, CategoryRule, CategorySet, Comparison, Float, ForestBuilder, Isa, Labels, Link, Missing,
    Model, Node, NumericProfile, Schema, Test, TreeSpec,
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
            let model = Model::options().isa(isa).from_forest(Schema::new(5, n_outputs), forest.clone()).unwrap();
            let report = model.validate();
            prop_assert!(report.ok, "{}: {report:#?}", isa.name());
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
