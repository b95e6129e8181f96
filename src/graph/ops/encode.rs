//! Operators that recode columns: label and one-hot encoders, imputers, category mappers, feature vectors.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

use super::Inputs;
use super::broadcast::map;
use super::cast::run_cast;
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Element, Tensor, Type};

/// Finds values in a list. Of equal keys the first counts; −0.0 equals 0.0.
#[derive(Clone, Debug)]
pub(crate) enum Keys {
    Integers(Places<i64>),
    Texts(Places<Box<str>>),
    /// By the bits of the value widened to f64. NaN is found only if it may be.
    Floats {
        places: Places<u64>,
        nan: Option<usize>,
    },
}

/// Keys with their places: a few are looked through, many are hashed.
#[derive(Clone, Debug)]
pub(crate) enum Places<K> {
    /// With their heads, most of which differ.
    Few(Vec<(u64, K, usize)>),
    Many(HashMap<K, usize>),
}

/// Keys that are looked through faster than hashed.
const FEW: usize = 16;

/// A part of a key that is quickly compared.
trait Head {
    fn head(&self) -> u64;
}

impl Head for i64 {
    fn head(&self) -> u64 {
        *self as u64
    }
}

impl Head for u64 {
    fn head(&self) -> u64 {
        *self
    }
}

impl Head for str {
    /// The first seven bytes, and the length.
    fn head(&self) -> u64 {
        let bytes = self.as_bytes().iter().take(7);
        bytes.fold(self.len() as u64 & 0xff, |head, &byte| head << 8 | u64::from(byte))
    }
}

impl<K: Hash + Eq> Places<K> {
    /// Of equal keys the first counts.
    fn new<Q: Head + ?Sized>(keys: impl Iterator<Item = (K, usize)>) -> Self
    where
        K: Borrow<Q>,
    {
        let mut places = HashMap::new();
        keys.for_each(|(key, at)| _ = places.entry(key).or_insert(at));
        if places.len() > FEW {
            return Self::Many(places);
        }
        Self::Few(places.into_iter().map(|(key, at)| (key.borrow().head(), key, at)).collect())
    }

    fn get<Q: Hash + Eq + Head + ?Sized>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Few(list) => {
                let head = key.head();
                let found = list.iter().find(|(known, whole, _)| *known == head && whole.borrow() == key);
                found.map(|(_, _, at)| *at)
            }
            Self::Many(map) => map.get(key).copied(),
        }
    }
}

fn float_key(value: f64) -> u64 {
    // −0.0 + 0.0 is 0.0.
    (value + 0.0).to_bits()
}

impl Keys {
    /// The keys of a list; `nan_matches` says whether a NaN among them is ever found.
    pub(crate) fn new(list: &Tensor, nan_matches: bool) -> Result<Self> {
        fn first<K: Hash + Eq + Borrow<Q>, Q: Head + ?Sized>(keys: impl Iterator<Item = K>) -> Places<K> {
            Places::new(keys.enumerate().map(|(at, key)| (key, at)))
        }
        let floats = |values: Vec<f64>| {
            let nan = values.iter().position(|value| value.is_nan()).filter(|_| nan_matches);
            let keys = values.iter().enumerate().filter(|(_, value)| !value.is_nan());
            Self::Floats { places: Places::new::<u64>(keys.map(|(at, &value)| (float_key(value), at))), nan }
        };
        Ok(match &list.data {
            Data::I64(values) => Self::Integers(first::<_, i64>(values.iter().copied())),
            Data::I32(values) => Self::Integers(first::<_, i64>(values.iter().map(|&value| value.into()))),
            Data::Bool(values) => Self::Integers(first::<_, i64>(values.iter().map(|&value| value.into()))),
            Data::Text(values) => Self::Texts(first::<_, str>(values.iter().map(Box::from))),
            Data::F32(values) => floats(values.iter().map(|&value| value.into()).collect()),
            Data::F64(values) => floats(values.clone()),
            Data::Tensors(_) => return Err(Error::unsupported("keys that are sequences")),
        })
    }

    fn float(&self, value: f64) -> Option<usize> {
        match self {
            Self::Floats { nan, .. } if value.is_nan() => *nan,
            Self::Floats { places, .. } => places.get(&float_key(value)),
            _ => None,
        }
    }

    fn integer(&self, value: i64) -> Option<usize> {
        match self {
            Self::Integers(places) => places.get(&value),
            _ => None,
        }
    }

    fn text(&self, value: &str) -> Option<usize> {
        match self {
            Self::Texts(places) => places.get(value),
            _ => None,
        }
    }

    /// The place of every element of `x`, handed to `found` in order.
    pub(super) fn find(&self, x: &Tensor, mut found: impl FnMut(Option<usize>)) -> Result<()> {
        match (self, &x.data) {
            (Self::Floats { .. }, Data::F32(values)) => {
                values.iter().for_each(|&value| found(self.float(value.into())));
            }
            (Self::Floats { .. }, Data::F64(values)) => values.iter().for_each(|&value| found(self.float(value))),
            (Self::Integers(_), Data::I64(values)) => values.iter().for_each(|&value| found(self.integer(value))),
            (Self::Integers(_), Data::I32(values)) => {
                values.iter().for_each(|&value| found(self.integer(value.into())));
            }
            (Self::Integers(_), Data::Bool(values)) => {
                values.iter().for_each(|&value| found(self.integer(value.into())));
            }
            (Self::Texts(_), Data::Text(values)) => values.iter().for_each(|value| found(self.text(value))),
            _ => return Err(Error::unsupported(format!("{} looked up among keys of another type", x.ty().name()))),
        }
        Ok(())
    }
}

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
        // Floats are truncated; what no integer holds becomes the least one, as on x86.
        let whole = |value: f64| if value.abs() < 9.2e18 { value as i64 } else { i64::MIN };
        match (&self.keys, &x.data) {
            (Keys::Integers(_), Data::F32(values)) => {
                values.iter().for_each(|&value| put(self.keys.integer(whole(value.into()))));
            }
            (Keys::Integers(_), Data::F64(values)) => {
                values.iter().for_each(|&value| put(self.keys.integer(whole(value))));
            }
            _ => self.keys.find(x, &mut put)?,
        }
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
        fn impute<T: Element, I: Copy + Into<T>>(
            x: &[T],
            imputed: &[I],
            is_missing: impl Fn(T) -> bool,
            out: &mut Vec<T>,
            columns: usize,
        ) {
            let value = |x: T, imputed: I| if is_missing(x) { imputed.into() } else { x };
            if let [imputed] = *imputed {
                return out.extend(x.iter().map(|&x| value(x, imputed)));
            }
            x.chunks_exact(columns).for_each(|row| out.extend(row.iter().zip(imputed).map(|(&x, &v)| value(x, v))));
        }
        match (self, &x.data) {
            (Self::Floats { imputed, replaced }, Data::F32(values)) => {
                check(imputed.len())?;
                let is_missing = |x: f32| if replaced.is_nan() { x.is_nan() } else { x == *replaced };
                impute(values, imputed, is_missing, out.start(&x.shape)?, columns);
            }
            (Self::Floats { imputed, replaced }, Data::F64(values)) => {
                check(imputed.len())?;
                let is_missing = |x: f64| if replaced.is_nan() { x.is_nan() } else { x == f64::from(*replaced) };
                impute(values, imputed, is_missing, out.start(&x.shape)?, columns);
            }
            (Self::Integers { imputed, replaced }, Data::I64(values)) => {
                check(imputed.len())?;
                impute(values, imputed, |x| x == *replaced, out.start(&x.shape)?, columns);
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

/// A column that holds, for each value of another, its place in a list: what trees ask that test equality with
/// numbers that are no category codes.
#[derive(Clone, Debug)]
pub(crate) struct CodeColumn {
    pub(crate) feature: usize,
    /// Ascending.
    pub(crate) values: Vec<f64>,
    /// Whether values lose their fraction before they are looked up.
    pub(crate) truncate: bool,
}

impl CodeColumn {
    /// The place of `value`, -1 if it has none, or NaN.
    fn code(&self, value: f64) -> f64 {
        if value.is_nan() {
            return value;
        }
        let value = if self.truncate { value.trunc() } else { value };
        let at = self.values.partition_point(|&listed| listed < value);
        if self.values.get(at) == Some(&value) { at as f64 } else { -1.0 }
    }
}

/// Adds code columns behind those of `x`.
pub(super) fn add_codes(x: &Tensor, columns: &[CodeColumn], narrow: &mut Tensor, out: &mut Tensor) -> Result<()> {
    let (rows, width) = x.matrix_shape();
    if let Some(column) = columns.iter().find(|column| column.feature >= width) {
        return Err(Error::shape(format!("{width} features, but a tree tests feature {}", column.feature)));
    }
    let shape = [rows, width + columns.len()];
    match &x.data {
        Data::F64(values) => {
            let out = out.start::<f64>(&shape)?;
            for row in values.chunks_exact(width) {
                out.extend_from_slice(row);
                out.extend(columns.iter().map(|column| column.code(row[column.feature])));
            }
        }
        _ => {
            let values = super::linear::as_f32(x, narrow)?;
            let out = out.start::<f32>(&shape)?;
            for row in values.chunks_exact(width) {
                out.extend_from_slice(row);
                out.extend(columns.iter().map(|column| column.code(row[column.feature].into()) as f32));
            }
        }
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
