//! Builds a forest by hand and predicts with it: the way in for a format that `sawmill` does not load.
//!
//! ```sh
//! cargo run --example custom_forest
//! ```

use sawmill::{
    CategorySet, Feature, FeatureKind, ForestBuilder, Labels, Link, Missing, Model, Node, NumericProfile, Schema, Test,
    TreeSpec,
};

fn main() -> sawmill::Result<()> {
    // Two columns: an age and the code of a colour.
    let mut schema = Schema::new(2, 1);
    schema.features[0] = Feature::new(Some("age".to_owned()), FeatureKind::Numeric);
    schema.features[1] = Feature::new(Some("colour".to_owned()), FeatureKind::Category);

    // The profile compares with `<`, so 30.0 itself goes right. A missing age goes left.
    let age = [
        Node::Split { feature: 0, test: Test::Threshold(30.0), missing: Missing::Left, left: 1, right: 2 },
        Node::Leaf { id: 1, values: &[0.5] },
        Node::Leaf { id: 2, values: &[-0.25] },
    ];
    // Colours 1 and 4 go left, every other code goes right, and so does a missing one.
    let colours = Test::Categories(CategorySet::from_codes(&[1, 4]));
    let colour = [
        Node::Split { feature: 1, test: colours, missing: Missing::Right, left: 1, right: 2 },
        Node::Leaf { id: 1, values: &[2.0] },
        Node::Leaf { id: 2, values: &[1.0] },
    ];

    let forest = ForestBuilder::new(&schema)
        .profile(NumericProfile::XGBOOST)
        .base(vec![0.125])
        .link(Link::Identity, Labels::None)
        .tree(TreeSpec { output: Some(0), weight: 1.0, nodes: &age })
        .tree(TreeSpec { output: Some(0), weight: 0.5, nodes: &colour })
        .finish()?;
    let model = Model::options().from_forest(schema, forest)?;
    println!("{}", model.plan());

    let rows = [[29.0f32, 4.0], [30.0, 4.0], [f32::NAN, 2.0], [29.0, f32::NAN]];
    let prediction = model.predict(rows.as_flattened())?;
    for (row, value) in rows.iter().zip(prediction.to_f64()) {
        println!("{row:?} -> {value}");
    }
    // base + age leaf + 0.5 * colour leaf
    assert_eq!(prediction.to_f64(), [1.625, 0.875, 1.125, 1.125]);
    assert!(model.validate().ok);
    Ok(())
}
