//! What is done to columns on their way into trees, folded into the trees.
//!
//! Filling in missing values, scaling and casting are functions of one column, and rounding never turns an order around:
//! such a function rises or falls with its argument, or stays. So of the values whose result is at most a threshold there
//! is a greatest (or a least) one, which is found by bisection over all numbers of the type, and takes the threshold's
//! place. Where a missing value goes is known as well, since it is that of what is filled in. The trees then read the
//! columns as they come, give the same answers to the bit, and what is left without readers is dropped.
//!
//! Left as they are: functions that may make NaN of a number, or neither rise nor fall (an offset or factor that is not
//! finite, a factor of zero, an imputer of other values than NaN); tests of membership behind anything but an imputer;
//! columns that come from values of different types; and casts from f64 to f32, lest trees read numbers twice as wide.

use std::collections::HashMap;

use super::build::wanted;
use super::ops::Op;
use super::ops::elementwise::Binary;
use super::ops::encode::Imputer;
use super::tensor::{Tensor, Type};
use super::{GraphBuilder, Node, OutputValue};
use crate::error::Result;
use crate::ir::retest::Retest;
use crate::ir::{Comparison, Float, Forest, Missing, Split, SplitTest, Test};

/// A number in the type that an operator computes in.
#[derive(Clone, Copy, Debug)]
enum Number {
    F32(f32),
    F64(f64),
}

/// What an operator does to a number of a column.
#[derive(Clone, Copy, Debug)]
enum Step {
    Cast(Float),
    /// What NaN becomes.
    Impute(f32),
    /// `(x - offset) * factor`, as f32.
    Scale(f32, f32),
    /// An operator with the constant as its second argument.
    With(Binary, f64),
}

/// Where a column comes from, and what is done to it, in order.
#[derive(Clone, Debug)]
struct Column {
    value: usize,
    column: usize,
    steps: Vec<Step>,
}

/// How a column's numbers compare with a threshold after all steps.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Folded {
    Never,
    /// Those at most this.
    AtMost(f64),
    /// Those above this.
    Above(f64),
}

impl Number {
    fn wide(self) -> f64 {
        match self {
            Self::F32(x) => x.into(),
            Self::F64(x) => x,
        }
    }

    fn of(ty: Float, x: f64) -> Self {
        match ty {
            Float::F32 => Self::F32(x as f32),
            Float::F64 => Self::F64(x),
        }
    }
}

impl Step {
    /// As the operator computes it.
    fn apply(self, x: Number) -> Number {
        use Number::{F32, F64};
        match (self, x) {
            (Self::Cast(to), x) => Number::of(to, x.wide()),
            (Self::Impute(value), F32(x)) => F32(if x.is_nan() { value } else { x }),
            (Self::Impute(value), F64(x)) => F64(if x.is_nan() { value.into() } else { x }),
            (Self::Scale(offset, factor), F32(x)) => F32((x - offset) * factor),
            (Self::Scale(offset, factor), F64(x)) => F32(((x - f64::from(offset)) * f64::from(factor)) as f32),
            (Self::With(op, by), F32(x)) => F32(of_two(op, x, by as f32)),
            (Self::With(op, by), F64(x)) => F64(of_two(op, x, by)),
        }
    }

    /// Whether it falls where its argument rises; `None` if it may make NaN of a number, or do neither.
    fn falls(self) -> Option<bool> {
        let factor = |x: f64| (x.is_finite() && x != 0.0).then_some(x < 0.0);
        match self {
            Self::Cast(_) | Self::Impute(_) => Some(false),
            Self::Scale(offset, by) => factor(by.into()).filter(|_| offset.is_finite()),
            Self::With(Binary::Mul | Binary::Div, by) => factor(by),
            Self::With(_, by) => by.is_finite().then_some(false),
        }
    }
}

fn of_two<T: crate::ir::real::Real>(op: Binary, x: T, by: T) -> T {
    match op {
        Binary::Add => x + by,
        Binary::Sub => x - by,
        Binary::Mul => x * by,
        Binary::Div => x / by,
        Binary::Max | Binary::Min | Binary::Mod => unreachable!("no step of a column"),
    }
}

impl Column {
    /// What becomes of a number of the type `ty`.
    fn apply(&self, ty: Float, x: f64) -> f64 {
        self.steps.iter().fold(Number::of(ty, x), |x, step| step.apply(x)).wide()
    }

    /// The numbers of type `ty` whose results are at most `threshold`.
    fn fold(&self, ty: Float, threshold: f64) -> Folded {
        let falls = self.steps.iter().filter(|step| step.falls() == Some(true)).count() % 2 == 1;
        let passes = |place: u64| self.apply(ty, number(ty, place)) <= threshold;
        let (mut least, mut greatest) = (place(ty, f64::NEG_INFINITY), place(ty, f64::INFINITY));
        // Those that pass stand before those that do not, or behind them.
        match (passes(least), passes(greatest)) {
            (false, false) => return Folded::Never,
            (true, true) => return Folded::AtMost(f64::INFINITY),
            _ => {}
        }
        while greatest - least > 1 {
            let middle = least + (greatest - least) / 2;
            if passes(middle) != falls { least = middle } else { greatest = middle }
        }
        if falls { Folded::Above(number(ty, least)) } else { Folded::AtMost(number(ty, least)) }
    }
}

/// The place of a number among all of its type, in ascending order.
fn place(ty: Float, x: f64) -> u64 {
    match ty {
        Float::F32 => {
            let bits = (x as f32).to_bits();
            (if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }).into()
        }
        Float::F64 => {
            let bits = x.to_bits();
            if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
        }
    }
}

/// The number at a place.
fn number(ty: Float, place: u64) -> f64 {
    match ty {
        Float::F32 => {
            let place = place as u32;
            f32::from_bits(if place >> 31 == 1 { place & !(1 << 31) } else { !place }).into()
        }
        Float::F64 => f64::from_bits(if place >> 63 == 1 { place & !(1 << 63) } else { !place }),
    }
}

fn float(ty: Type) -> Option<Float> {
    match ty {
        Type::F32 => Some(Float::F32),
        Type::F64 => Some(Float::F64),
        _ => None,
    }
}

/// Steps of a column, and columns of all values that are looked at: a file decides how many there are.
const MAX_STEPS: usize = 16;
const MAX_COLUMNS: usize = 1 << 18;

/// Finds out where columns come from.
struct Tracer<'a> {
    builder: &'a GraphBuilder,
    /// The nodes that write values.
    writers: HashMap<usize, &'a Node>,
    /// Columns that may still be looked at.
    left: usize,
}

impl Tracer<'_> {
    /// Where the columns of a matrix of floats come from, `steps` before its readers; `None` if it is none.
    fn columns(&mut self, value: usize, steps: usize) -> Option<Vec<Column>> {
        let sample = self.builder.sample(value).filter(|sample| sample.rank() == 2)?;
        float(sample.ty())?;
        let width = sample.shape[1];
        self.left = self.left.checked_sub(width)?;
        let traced = match self.writers.get(&value) {
            Some(&node) if steps < MAX_STEPS => self.traced(node, width, steps + 1),
            _ => None,
        };
        let own = || (0..width).map(|column| Column { value, column, steps: Vec::new() }).collect();
        Some(traced.unwrap_or_else(own))
    }

    /// The columns that `node` writes, if it does something to each column alone.
    fn traced(&mut self, node: &Node, width: usize, steps: usize) -> Option<Vec<Column>> {
        let input = |index: usize| *node.inputs.get(index)?;
        let constant = |index: usize| self.builder.as_constant(input(index)?);
        let at = |list: &[f32], column: usize| list.get(if list.len() == 1 { 0 } else { column }).copied();
        match &node.op {
            Op::Concat { axis: 1 | -1 } => {
                let mut all = Vec::with_capacity(width);
                for index in 0..node.inputs.len() {
                    all.extend(self.columns(input(index)?, steps)?);
                }
                return Some(all);
            }
            Op::ArrayFeatureExtractor => {
                let places = constant(1)?.integers().ok()?;
                let columns = self.columns(input(0)?, steps)?;
                return places.map(|place| columns.get(usize::try_from(place).ok()?).cloned()).collect();
            }
            Op::Cast(_) | Op::Imputer(_) | Op::Scaler(_) | Op::Binary(_) => {}
            _ => return None,
        }
        let mut columns = self.columns(input(0)?, steps)?;
        let constant = |index: usize| self.builder.as_constant(input(index)?);
        for (index, column) in columns.iter_mut().enumerate() {
            column.steps.push(match &node.op {
                Op::Cast(Type::F64) => Step::Cast(Float::F64),
                Op::Imputer(Imputer::Floats { imputed, replaced }) if replaced.is_nan() => {
                    Step::Impute(at(imputed, index)?)
                }
                Op::Scaler(scaler) => Step::Scale(at(&scaler.offset, index)?, at(&scaler.scale, index)?),
                Op::Binary(op @ (Binary::Add | Binary::Sub | Binary::Mul | Binary::Div)) if node.inputs.len() == 2 => {
                    Step::With(*op, element(constant(1)?, index, width)?)
                }
                _ => return None,
            });
        }
        (columns.len() == width).then_some(columns)
    }
}

impl GraphBuilder {
    /// The nodes with trees that read columns as they come, where they give the same that way, and what `outputs` do not
    /// need any more thereby.
    ///
    /// # Errors
    /// As [`Forest::retested`].
    pub(crate) fn fold_into_trees(
        &mut self,
        nodes: Vec<Node>,
        outputs: &[OutputValue],
    ) -> Result<(Vec<Node>, Vec<String>)> {
        let before = wanted(&nodes, outputs, self.n_values());
        let writers = nodes.iter().flat_map(|node| node.outputs.iter().flatten().map(move |&value| (value, node)));
        let mut tracer = Tracer { builder: self, writers: writers.collect(), left: MAX_COLUMNS };
        let of = |node: &Node| match (&node.op, &*node.inputs) {
            (Op::Ensemble(_), [Some(input)]) => tracer.columns(*input, 0),
            _ => None,
        };
        let columns: Vec<Option<Vec<Column>>> = nodes.iter().map(of).collect();
        let mut folded = Vec::with_capacity(nodes.len());
        for (mut node, columns) in nodes.into_iter().zip(columns) {
            if let Some(columns) = columns {
                self.fold(&mut node, columns, &mut folded)?;
            }
            folded.push(node);
        }
        let after = wanted(&folded, outputs, self.n_values());
        let is_gone = |node: &&Node| {
            let any = |wanted: &[bool]| node.outputs.iter().flatten().any(|&value| wanted.get(value) == Some(&true));
            any(&before) && !any(&after)
        };
        let gone = folded.iter().filter(is_gone).map(Node::place).collect();
        Ok((folded, gone))
    }

    /// Lets a node of trees read `columns` where they come from; of several values they are put side by side first.
    fn fold(&mut self, node: &mut Node, mut columns: Vec<Column>, nodes: &mut Vec<Node>) -> Result<()> {
        let Op::Ensemble(ensemble) = &mut node.op else { return Ok(()) };
        let mut sources: Vec<usize> = columns.iter().map(|column| column.value).collect();
        sources.sort_unstable();
        sources.dedup();
        let input_of = |value: usize| self.sample(value).and_then(|rows| float(rows.ty()));
        let Some(input) = sources.first().and_then(|&source| input_of(source)) else { return Ok(()) };
        let (mut firsts, mut width) = (HashMap::new(), 0);
        for &source in &sources {
            firsts.insert(source, width);
            width += self.sample(source).map_or(0, |rows| rows.matrix_shape().1);
        }
        let is_same =
            |(at, column): (usize, &Column)| firsts[&column.value] + column.column == at && column.steps.is_empty();
        if columns.iter().enumerate().all(is_same) || !sources.iter().all(|&source| input_of(source) == Some(input)) {
            return Ok(());
        }
        columns.iter_mut().for_each(|column| column.steps.push(Step::Cast(ensemble.input)));
        let forest = &self.graph.forests[ensemble.forest];
        if !folds(forest, input, &columns) {
            return Ok(());
        }
        let retested = forest.retested(width, input, |split| {
            let column = &columns[split.feature as usize];
            let feature = (firsts[&column.value] + column.column) as u32;
            Retest { feature, ..retest(forest, column, input, split) }
        })?;
        self.graph.forests[ensemble.forest] = retested;
        ensemble.input = input;
        node.inputs = match *sources {
            [source] => vec![Some(source)],
            _ => {
                let joined = self.value("columns");
                let inputs = sources.iter().copied().map(Some).collect();
                let (op, outputs) = (Op::Concat { axis: 1 }, vec![Some(joined)]);
                let concat = Node { name: String::new(), kind: "Concat".to_owned(), op, inputs, outputs };
                nodes.extend(self.rehearse(concat)?);
                vec![Some(joined)]
            }
        };
        Ok(())
    }
}

/// The element of a constant that meets a column of a matrix of `width` columns.
fn element(constant: &Tensor, column: usize, width: usize) -> Option<f64> {
    let (rows, columns) = constant.matrix_shape();
    if rows != 1 || constant.rank() > 2 || columns != 1 && columns != width {
        return None;
    }
    let at = if columns == 1 { 0 } else { column };
    match constant.ty() {
        Type::F32 => constant.values::<f32>().ok()?.get(at).copied().map(f64::from),
        Type::F64 => constant.values::<f64>().ok()?.get(at).copied(),
        _ => None,
    }
}

/// Whether every split of the forest can ask its question of a column as it comes, of the type `ty`.
fn folds(forest: &Forest, ty: Float, columns: &[Column]) -> bool {
    let ordered: Vec<bool> =
        columns.iter().map(|column| column.steps.iter().all(|step| step.falls().is_some())).collect();
    let keeps = |step: &Step| match step {
        Step::Impute(_) => true,
        Step::Cast(to) => *to == ty,
        Step::Scale(..) | Step::With(..) => false,
    };
    let folds = |split: &Split| {
        let feature = split.feature as usize;
        let of_test = match split.test {
            SplitTest::Threshold(_) => ordered.get(feature).copied(),
            SplitTest::Set(_) => columns.get(feature).map(|column| column.steps.iter().all(keeps)),
        };
        matches!(split.missing, Missing::Left | Missing::Right) && of_test == Some(true)
    };
    forest.profile().comparison == Comparison::LessOrEqual && forest.splits().iter().all(folds)
}

/// What a split asks of a column of type `ty` as it comes; the feature is the one that it asked for.
fn retest(forest: &Forest, column: &Column, ty: Float, split: &Split) -> Retest {
    let missing = column.apply(ty, f64::NAN);
    let goes_left = match split.test {
        _ if missing.is_nan() => split.missing == Missing::Left,
        SplitTest::Threshold(threshold) => missing <= threshold,
        SplitTest::Set(set) => forest.profile().category(missing).is_some_and(|code| forest.set(set).contains(code)),
    };
    let (test, swapped) = match split.test {
        SplitTest::Set(_) => (forest.test_of(split), false),
        SplitTest::Threshold(threshold) => match column.fold(ty, threshold) {
            Folded::Never => (Test::Categories(Default::default()), false),
            Folded::AtMost(threshold) => (Test::Threshold(threshold), false),
            Folded::Above(threshold) => (Test::Threshold(threshold), true),
        },
    };
    // Left is for values that pass, and holds what was on the right where they are exchanged.
    let missing = if goes_left != swapped { Missing::Left } else { Missing::Right };
    Retest { feature: split.feature, test, missing, swapped }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers about `x`, and those that are special.
    fn near(ty: Float, x: f64) -> Vec<f64> {
        let at = place(ty, x);
        let span = place(ty, f64::NEG_INFINITY)..=place(ty, f64::INFINITY);
        let around = (at.saturating_sub(3)..=at.saturating_add(3)).filter(|place| span.contains(place));
        let special = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, 1e-45, -1e-45, 3.4e38, -3.4e38, 1e-310];
        around.map(|place| number(ty, place)).chain(special.map(|x| Number::of(ty, x).wide())).collect()
    }

    #[test]
    fn numbers_pass_as_their_results_did() {
        let steps: [&[Step]; 9] = [
            &[],
            &[Step::Scale(0.3, 1.7)],
            &[Step::Scale(-1e20, 3e-30)],
            &[Step::Scale(5.0, -0.1), Step::Impute(2.0)],
            &[Step::Impute(-1.0), Step::Scale(1e-40, 1e30)],
            &[Step::Cast(Float::F32), Step::With(Binary::Mul, 0.1), Step::With(Binary::Add, -0.7)],
            &[Step::With(Binary::Div, -3.0), Step::With(Binary::Sub, 1e30), Step::Cast(Float::F32)],
            &[Step::With(Binary::Mul, 1e38), Step::With(Binary::Mul, 1e-38)],
            &[Step::With(Binary::Mul, 1e-300), Step::With(Binary::Mul, -1e300)],
        ];
        for ty in [Float::F32, Float::F64] {
            // A constant that is zero in f32 turns no order around, and is not folded.
            let fits = |step: &&&[Step]| {
                step.iter().all(|step| match step {
                    Step::With(op, by) => Step::With(*op, Number::of(ty, *by).wide()).falls().is_some(),
                    step => step.falls().is_some(),
                })
            };
            for steps in steps.iter().filter(fits) {
                let column = Column { value: 0, column: 0, steps: steps.to_vec() };
                for threshold in
                    [0.0, -0.0, 1.0, -0.7, 1e-40, 3e38, -3e38, f64::INFINITY, f64::NEG_INFINITY, 0.1f32.into()]
                {
                    let folded = column.fold(ty, threshold);
                    let border = match folded {
                        Folded::Never => 0.0,
                        Folded::AtMost(x) | Folded::Above(x) => x,
                    };
                    for x in near(ty, border) {
                        let passes = match folded {
                            Folded::Never => false,
                            Folded::AtMost(border) => x <= border,
                            Folded::Above(border) => x > border,
                        };
                        assert_eq!(passes, column.apply(ty, x) <= threshold, "{ty:?} {steps:?} {threshold:e} {x:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_may_make_nan_is_not_ordered() {
        for step in [
            Step::Scale(0.0, 0.0),
            Step::Scale(f32::INFINITY, 1.0),
            Step::Scale(0.0, f32::NAN),
            Step::With(Binary::Mul, 0.0),
            Step::With(Binary::Div, f64::INFINITY),
            Step::With(Binary::Add, f64::NAN),
        ] {
            assert_eq!(step.falls(), None, "{step:?}");
        }
    }

    #[test]
    fn places_are_in_order() {
        for ty in [Float::F32, Float::F64] {
            let numbers = [f64::NEG_INFINITY, -1.0, -1e-310, -0.0, 0.0, 1e-40, 2.0, f64::INFINITY];
            let numbers = numbers.map(|x| Number::of(ty, x).wide());
            assert!(numbers.map(|x| place(ty, x)).is_sorted());
            assert!(numbers.iter().all(|&x| number(ty, place(ty, x)).to_bits() == x.to_bits()));
        }
    }
}
