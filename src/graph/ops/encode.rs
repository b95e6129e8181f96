//! Operators that recode columns: label and one-hot encoders, imputers, category mappers, feature vectors.

use super::Inputs;
use super::broadcast::{map, rows_with};
use super::cast::run_cast;
use super::keys::Keys;
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Element, Tensor, Type};
use crate::ir::real::Real;

/// `LabelEncoder` and `CategoryMapper`: each element becomes the value of its key, or the default.
#[derive(Clone, Debug)]
pub(crate) struct LabelEncoder {
    pub(crate) keys: Keys,
    /// A value for every key, then the default.
    pub(crate) values: Tensor,
}

impl LabelEncoder {
    pub(super) fn run(&self, x: &Tensor, out: &mut Tensor) -> Result<()> {
        let default = self.values.len() - 1;
        let place = |place: Option<usize>| place.unwrap_or(default);
        macro_rules! find {
            ($values:ident) => {{
                let out = out.start(&x.shape)?;
                self.keys.find(x, |at| out.push($values[place(at)]))
            }};
        }
        match &self.values.data {
            Data::F32(values) => find!(values),
            Data::F64(values) => find!(values),
            Data::I32(values) => find!(values),
            Data::I64(values) => find!(values),
            Data::Bool(values) => find!(values),
            Data::Text(values) => {
                let out = out.start_text(&x.shape)?;
                self.keys.find(x, |at| out.push(values.get(place(at)).unwrap_or_default()))
            }
            Data::Tensors(_) => Err(Error::unsupported("labels that are sequences")),
        }
    }
}

/// `OneHotEncoder`: one more dimension, with 1 at the place of the element's category.
#[derive(Clone, Debug)]
pub(crate) struct OneHotEncoder {
    pub(crate) keys: Keys,
    pub(crate) n_categories: usize,
    /// Whether an unknown category is all zeros; otherwise it is an error.
    pub(crate) zeros: bool,
}

impl OneHotEncoder {
    pub(super) fn run(&self, x: &Tensor, out: &mut Tensor) -> Result<()> {
        let mut shape = [0; 8];
        let rank = x.rank() + 1;
        if rank > shape.len() {
            return Err(Error::unsupported(format!("a value of {} dimensions", x.rank())));
        }
        shape[..x.rank()].copy_from_slice(&x.shape);
        shape[x.rank()] = self.n_categories;
        let hot = out.fill::<f32>(&shape[..rank], 0.0)?;
        let (mut at, mut unknown) = (0, None);
        let mut put = |place: Option<usize>| {
            match place {
                Some(place) => hot[at * self.n_categories + place] = 1.0,
                None if !self.zeros => unknown = unknown.or(Some(at)),
                None => {}
            }
            at += 1;
        };
        self.keys.find_truncated(x, &mut put)?;
        match unknown {
            Some(at) => Err(Error::shape(format!("element {at} is of an unknown category"))),
            None => Ok(()),
        }
    }
}

/// `Imputer`: elements equal to `replaced` (NaN if it is NaN) become the value of their column.
#[derive(Clone, Debug)]
pub(crate) enum Imputer {
    Floats { imputed: Vec<f32>, replaced: f32 },
    Integers { imputed: Vec<i64>, replaced: i64 },
}

impl Imputer {
    pub(super) fn run(&self, x: &Tensor, out: &mut Tensor) -> Result<()> {
        let columns = x.shape.last().copied().unwrap_or(1).max(1);
        let check = |count: usize| match count {
            1 => Ok(()),
            count if count == columns => Ok(()),
            count => Err(Error::shape(format!("{columns} columns, but {count} imputed values"))),
        };
        fn impute<T: Element, I: Element + Into<T>>(
            x: &[T],
            imputed: &[I],
            is_missing: impl Fn(T) -> bool,
            out: &mut Vec<T>,
        ) {
            rows_with(x, imputed, out, |x, imputed| if is_missing(x) { imputed.into() } else { x });
        }
        match (self, &x.data) {
            (Self::Floats { imputed, replaced }, Data::F32(values)) => {
                check(imputed.len())?;
                let is_missing = |x: f32| if replaced.is_nan() { x.is_nan() } else { x == *replaced };
                impute(values, imputed, is_missing, out.start(&x.shape)?);
            }
            (Self::Floats { imputed, replaced }, Data::F64(values)) => {
                check(imputed.len())?;
                let is_missing = |x: f64| if replaced.is_nan() { x.is_nan() } else { x == f64::from(*replaced) };
                impute(values, imputed, is_missing, out.start(&x.shape)?);
            }
            (Self::Integers { imputed, replaced }, Data::I64(values)) => {
                check(imputed.len())?;
                impute(values, imputed, |x| x == *replaced, out.start(&x.shape)?);
            }
            _ => return Err(Error::unsupported(format!("{} imputed by another type", x.ty().name()))),
        }
        Ok(())
    }
}

/// `FeatureVectorizer`: columns of several inputs side by side, as f32; short inputs are filled with 0.
pub(super) fn feature_vectorizer(
    inputs: &Inputs<'_>,
    widths: &[i64],
    part: &mut Tensor,
    out: &mut Tensor,
) -> Result<()> {
    let rows = inputs.get(0)?.matrix_shape().0;
    let width = |index: usize| -> Result<usize> {
        let columns = inputs.get(index)?.matrix_shape().1;
        Ok(widths.get(index).map_or(columns, |&width| usize::try_from(width).unwrap_or(0)))
    };
    let total =
        (0..inputs.len()).try_fold(0usize, |total, index| Ok::<_, Error>(total.saturating_add(width(index)?)))?;
    let out = out.fill::<f32>(&[rows, total], 0.0)?;
    let mut first = 0;
    for index in 0..inputs.len() {
        let (x, width) = (inputs.get(index)?, width(index)?);
        let (of_rows, columns) = x.matrix_shape();
        if of_rows != rows {
            return Err(Error::shape(format!("{of_rows} rows beside {rows}")));
        }
        run_cast(x, Type::F32, part)?;
        let common = columns.min(width);
        for (row, out) in part.values::<f32>()?.chunks_exact(columns.max(1)).zip(out.chunks_exact_mut(total.max(1))) {
            out[first..first + common].copy_from_slice(&row[..common]);
        }
        first += width;
    }
    Ok(())
}

/// `DictVectorizer` on the columns a dictionary is bound to: what is missing is 0.
pub(super) fn dict_vectorizer(x: &Tensor, out: &mut Tensor) -> Result<()> {
    match &x.data {
        Data::F32(values) => map(x, values, out, |value| if value.is_nan() { 0.0 } else { value })?,
        Data::F64(values) => map(x, values, out, |value| if value.is_nan() { 0.0 } else { value })?,
        _ => out.copy(x)?,
    }
    Ok(())
}

/// A column that says of each value of another whether it is in a list: what trees ask that test equality with numbers that
/// are no category codes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemberColumn {
    pub(crate) feature: usize,
    /// Ascending.
    pub(crate) values: Vec<f64>,
    /// Whether values lose their fraction before they are looked up.
    pub(crate) truncate: bool,
}

impl MemberColumn {
    /// Lists of at most so many values are compared with one by one.
    const FEW: usize = 8;

    /// Writes the column for rows of `width` numbers, to places of `out` that are `total` apart: 0, the code of the members,
    /// -1, or NaN.
    fn write<T: Real>(&self, rows: &[T], width: usize, out: &mut [T], total: usize) {
        let column = rows.iter().skip(self.feature).step_by(width).map(|x| x.to_f64());
        let code = |value: f64, is_member: bool| match is_member {
            true => T::ZERO,
            false if value.is_nan() => T::NAN,
            false => -T::ONE,
        };
        // A whole number from the nearer ones on, without a call: it need not know zeros apart.
        let whole = |value: f64| if value.abs() < 1e15 { value as i64 as f64 } else { value };
        let sought = |value: f64| if self.truncate { whole(value) } else { value };
        let places = out.iter_mut().step_by(total);
        match &*self.values {
            few if few.len() <= Self::FEW => places.zip(column).for_each(|(to, value)| {
                let sought = sought(value);
                *to = code(value, few.iter().fold(false, |any, &listed| any | (listed == sought)));
            }),
            many => places.zip(column).for_each(|(to, value)| {
                let sought = sought(value);
                *to = code(value, many.get(many.partition_point(|&listed| listed < sought)) == Some(&sought));
            }),
        }
    }
}

/// Adds member columns behind those of `x`.
pub(super) fn add_members(x: &Tensor, columns: &[MemberColumn], narrow: &mut Tensor, out: &mut Tensor) -> Result<()> {
    let (rows, width) = x.matrix_shape();
    if let Some(column) = columns.iter().find(|column| column.feature >= width) {
        return Err(Error::shape(format!("{width} features, but a tree tests feature {}", column.feature)));
    }
    fn add<T: Real + Element>(rows: &[T], width: usize, columns: &[MemberColumn], out: &mut [T]) {
        for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width + columns.len())) {
            out.iter_mut().zip(row).for_each(|(to, &value)| *to = value);
        }
        for (at, column) in columns.iter().enumerate().filter(|_| !rows.is_empty()) {
            column.write(rows, width, &mut out[width + at..], width + columns.len());
        }
    }
    let shape = [rows, width + columns.len()];
    match &x.data {
        Data::F64(values) => add(values, width, columns, out.fill(&shape, 0.0)?),
        _ => add(super::linear::as_f32(x, narrow)?, width, columns, out.fill(&shape, 0.0)?),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_key_is_found_only_where_it_may_be() {
        let keys = Tensor::list(vec![f32::NAN, 1.0, 1.0, -0.0]);
        let values = Tensor::list(vec![10i64, 20, 30, 40, -1]);
        let x = Tensor::list(vec![f32::NAN, 1.0, 0.0, 7.0]);
        let mut out = Tensor::default();
        for (nan_matches, first) in [(true, 10i64), (false, -1)] {
            let encoder = LabelEncoder { keys: Keys::new(&keys, nan_matches).unwrap(), values: values.clone() };
            encoder.run(&x, &mut out).unwrap();
            assert_eq!(out, Tensor::list(vec![first, 20, 40, -1]));
        }
    }

    #[test]
    fn floats_are_truncated_to_categories_and_nan_is_none() {
        let keys = Keys::new(&Tensor::list(vec![1i64, 0]), false).unwrap();
        let mut encoder = OneHotEncoder { keys, n_categories: 2, zeros: true };
        let (x, mut out) = (Tensor::new(&[3, 1], vec![1.7f32, f32::NAN, -0.5]), Tensor::default());
        encoder.run(&x, &mut out).unwrap();
        assert_eq!(out, Tensor::new(&[3, 1, 2], vec![1.0f32, 0.0, 0.0, 0.0, 0.0, 1.0]));
        encoder.zeros = false;
        assert!(encoder.run(&x, &mut out).unwrap_err().is_shape());
    }
}
