//! What holds for any bytes: refused in one plain line, or a model that predicts and is healthy. And forests made of any
//! bytes. `tests/hostile.rs` and the fuzz targets share it.
#![allow(dead_code, reason = "each target uses a part")]

use ndarray::Array2;
use sawmill::{
    Absent, Aggregate, BasePosition, CategoryRule, CategorySet, Column, Comparison, Error, FeatureKind, Float,
    ForestBuilder, Format, Labels, Limits, Link, Missing, Model, Node, NumericProfile, Output, Rows, Schema, Strings,
    Test, TreeSpec,
};
use twox_hash::XxHash3_64;

/// Limits that keep the largest schema small, so that the memory of a load is in proportion to its file.
pub fn limits() -> Limits {
    let mut limits = Limits::default();
    (limits.max_features, limits.max_outputs) = (10_000, 1_000);
    limits
}

/// Loads and predicts with every output, or is refused: whether it is a model. `Err` says what went wrong with that.
/// `validate` asks for the health check too, which takes longer than all the rest.
pub fn survives(format: Format, bytes: &[u8], validate: bool) -> Result<bool, String> {
    for output in [Output::Value, Output::Margin, Output::Leaf, Output::TreeValues, Output::Label] {
        match Model::options().limits(limits()).output(output).from_slice(format, bytes) {
            Ok(model) => predicts(&model, validate && output == Output::Value)?,
            // Linear models have no leaves to ask for, regressions no labels.
            Err(error) if output != Output::Value && error.is_option() => {}
            Err(error) => return is_plain(&error).map(|()| false),
        }
    }
    Ok(true)
}

/// An error of a kind that files cause, in one line of bearable length.
pub fn is_plain(error: &Error) -> Result<(), String> {
    let text = error.to_string();
    let one_line = !text.is_empty() && text.len() < 400 && !text.contains(['\n', '\r', '\0']);
    let kind = error.is_invalid_model() || error.is_unsupported();
    if one_line && kind { Ok(()) } else { Err(format!("an odd error: {error:?}")) }
}

/// Where the content of a compiled model starts.
pub fn saw_content(file: &[u8]) -> usize {
    let blocks = file.get(12..16).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()) as usize);
    (32 + 8 * blocks.min(file.len() / 8)).next_multiple_of(64).min(file.len())
}

/// A compiled model with its checksums made right, whatever it holds.
pub fn with_checksums(mut file: Vec<u8>) -> Vec<u8> {
    let start = saw_content(&file);
    let table: Vec<u8> =
        file[start..].chunks(256 << 10).flat_map(|block| XxHash3_64::oneshot(block).to_le_bytes()).collect();
    if let Some(room) = file.get_mut(32..32 + table.len()) {
        room.copy_from_slice(&table);
        let head = XxHash3_64::oneshot(&[&file[..24], &table].concat());
        file[24..32].copy_from_slice(&head.to_le_bytes());
    }
    file
}

fn predicts(model: &Model, validate: bool) -> Result<(), String> {
    let odd = [0.0, f64::NAN, f64::INFINITY, -3.0, 7.0, 1e300, -1e-36, 0.9];
    let rows = Array2::from_shape_fn((odd.len(), model.schema().n_features()), |(row, column)| match row {
        // One value in all columns, then all values in one row.
        0..7 => odd[row],
        _ => odd[column % odd.len()],
    });
    if model.pipeline().is_some() {
        return pipeline_predicts(model, &rows);
    }
    let predictions = model.predict(&rows).map_err(|error| format!("rows refused: {error}"))?;
    if predictions.to_f64().len() != odd.len() * predictions.n_columns() {
        return Err("a wrong number of numbers".to_owned());
    }
    if validate && !model.validate().ok {
        return Err(format!("not healthy: {:?}", model.validate()));
    }
    Ok(())
}

/// A pipeline may say that odd values are none of its types, or that its operators do not take what others give; rows
/// that are all zero or empty text fit every type.
fn pipeline_predicts(model: &Model, rows: &Array2<f64>) -> Result<(), String> {
    let n_rows = rows.nrows();
    let (texts, integers): (Strings, Vec<i64>) =
        (["", "a b", "C", "-1", "é", "b,c", "1.5", "d1"].iter().collect(), (0..8).collect());
    let (zeros, truths) = (vec![0i64; n_rows], vec![false; n_rows]);
    for number in [&integers, &zeros] {
        let column = |(at, feature): (usize, &sawmill::Feature)| match feature.kind {
            FeatureKind::Text => Column::Text(&texts),
            FeatureKind::Boolean => Column::Bool(&truths),
            FeatureKind::Integer => Column::I64(if at % 2 == 0 { number } else { &zeros }),
            _ => Column::I64(number),
        };
        let columns: Vec<Column<'_>> = model.schema().features.iter().enumerate().map(column).collect();
        let columns = Rows::columns(columns).map_err(|error| error.to_string())?;
        for rows in [columns, rows.into()] {
            match model.predict(rows) {
                Ok(predictions) if predictions.to_f64().len() != n_rows * predictions.n_columns() => {
                    return Err("a wrong number of numbers".to_owned());
                }
                Ok(_) => {}
                Err(error) if error.is_shape() || is_plain(&error).is_ok() => {}
                Err(error) => return Err(format!("an odd error: {error:?}")),
            }
        }
    }
    Ok(())
}

/// A forest made of any bytes is refused by the builder, or its kernels equal the reference: whether it is a forest.
pub fn kernels_equal_the_reference(bytes: &[u8]) -> Result<bool, String> {
    let mut bytes = Bytes(bytes);
    let schema = Schema::new(1 + bytes.below(8), 1 + bytes.below(3));
    let vector_leaves = bytes.below(4) == 0;
    let mut builder = ForestBuilder::new(&schema).profile(bytes.profile());
    let aggregate = bytes.one_of(&[Aggregate::Sum, Aggregate::Sum, Aggregate::MeanOfValue]);
    builder = builder.base((0..schema.n_outputs).map(|_| bytes.number()).collect()).aggregate(aggregate);
    let links = [
        Link::Identity,
        Link::Sigmoid,
        Link::ScaledSigmoid { scale: 0.7 },
        Link::Exp,
        Link::Softplus,
        Link::SignedSquare,
        Link::Softmax,
        Link::Step,
        Link::Expectiles,
    ];
    builder = builder.link(bytes.one_of(&links), Labels::None);
    let mut trees = 0;
    while !bytes.0.is_empty() && trees < 40 {
        builder = bytes.tree(builder, &schema, vector_leaves, trees);
        trees += 1;
    }
    match builder.finish() {
        Err(error) => is_plain(&error).map(|()| false),
        Ok(forest) => {
            let model = Model::options().from_forest(schema, forest).map_err(|error| error.to_string())?;
            predicts(&model, true).map(|()| true)
        }
    }
}

/// Bytes taken as choices; zeros once they have run out.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let n = N.min(self.0.len());
        taken[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        taken
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::from(self.take::<1>()[0]) % bound
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn number(&mut self) -> f64 {
        const FEW: [f64; 12] = [
            0.0,
            -0.0,
            0.5,
            1e-36,
            -1e-36,
            1e-35,
            -1.000_000_001_8e-35,
            1e300,
            f64::INFINITY,
            f64::NEG_INFINITY,
            f32::MAX as f64,
            5e-324,
        ];
        match self.below(8) {
            0..3 => f64::from(self.take::<1>()[0] as i8) / 8.0,
            3..5 => f32::from_le_bytes(self.take()).into(),
            5..7 => f64::from_le_bytes(self.take()),
            _ => self.one_of(&FEW),
        }
    }

    fn profile(&mut self) -> NumericProfile {
        let mut profile = NumericProfile::XGBOOST;
        profile.input = self.one_of(&[Float::F32, Float::F64]);
        profile.comparison = self.one_of(&[Comparison::Less, Comparison::LessOrEqual]);
        profile.sum = self.one_of(&[Float::F32, Float::F64]);
        profile.base = self.one_of(&[BasePosition::First, BasePosition::Last]);
        profile.categories = self.one_of(&[CategoryRule::NonNegative, CategoryRule::Truncate]);
        profile.absent = self.one_of(&[Absent::Missing, Absent::Zero]);
        profile.flush_tiny = self.one_of(&[false, true]);
        profile
    }

    /// Splits that replace leaves at random. Seldom a child or feature is anything at all, which the builder may refuse.
    fn tree(&mut self, builder: ForestBuilder, schema: &Schema, vector_leaves: bool, index: usize) -> ForestBuilder {
        let wild = self.below(32) == 31;
        let n_features = schema.n_features() + usize::from(wild);
        let missing =
            [Missing::Left, Missing::Right, Missing::AsZero, Missing::ZeroLeft, Missing::ZeroRight].as_slice();
        let mut nodes = vec![None];
        let mut leaves = vec![0usize];
        for _ in 0..self.below(48) {
            let parent = leaves.swap_remove(self.below(leaves.len()));
            let left = nodes.len();
            nodes.extend([None, None]);
            leaves.extend([left, left + 1]);
            let test = match self.below(5) {
                0 => {
                    let codes: Vec<u32> = (0..self.below(6)).map(|_| self.take::<1>()[0].into()).collect();
                    Test::Categories(CategorySet::from_codes(&codes))
                }
                _ => Test::Threshold(self.number()),
            };
            let children = if wild { [self.below(left + 3), self.below(left + 3)] } else { [left, left + 1] };
            let [left, right] = children.map(|child| child as u32);
            let feature = self.below(n_features) as u32;
            nodes[parent] = Some(Node::Split { feature, test, missing: self.one_of(missing), left, right });
        }
        let width = if vector_leaves { schema.n_outputs } else { 1 };
        let values: Vec<Vec<f64>> = nodes.iter().map(|_| (0..width).map(|_| self.number()).collect()).collect();
        let terms: Vec<Vec<(u32, f64)>> = nodes
            .iter()
            .map(|_| {
                (0..self.below(16).saturating_sub(12)).map(|_| (self.below(n_features) as u32, self.number())).collect()
            })
            .collect();
        let leaf = |id: usize| match terms[id].as_slice() {
            terms @ [_, ..] if !vector_leaves => {
                Node::LinearLeaf { id: id as u32, value: values[id][0], constant: 0.25, terms }
            }
            _ => Node::Leaf { id: id as u32, values: &values[id] },
        };
        let nodes: Vec<Node<'_>> =
            nodes.into_iter().enumerate().map(|(id, node)| node.unwrap_or_else(|| leaf(id))).collect();
        let output = (!vector_leaves).then_some((index % schema.n_outputs) as u32);
        let weight = if self.below(4) == 0 { self.number() } else { 1.0 };
        builder.tree(TreeSpec { output, weight, nodes: &nodes })
    }
}
