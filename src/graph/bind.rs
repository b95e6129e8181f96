//! Rows into the slots of a graph's inputs, converted to the types they take.

use std::ops::Range;

use ndarray::{ArrayView2, s};

use super::tensor::{Element, Tensor, Type};
use super::{Graph, Input, State};
use crate::error::{Error, Result};
use crate::rows::{Batch, Column, Dense, Flat, Table};

impl Graph {
    /// Puts the rows `range` of `table` into the slots of the inputs.
    ///
    /// # Errors
    /// A shape error that names the column where a value is none of its type.
    pub(crate) fn bind(&self, table: &Table<'_>, range: Range<usize>, state: &mut State) -> Result<()> {
        let mut first = 0;
        for input in &self.inputs {
            let columns = first..first + input.n_columns();
            first = columns.end;
            let slot = &mut state.slots[input.value];
            let mut shape = [0; 8];
            let rank = input.tail.len() + 1;
            if rank > shape.len() {
                return Err(Error::unsupported(format!("input {:?} of {rank} dimensions", input.name)));
            }
            shape[0] = range.len();
            shape[1..rank].copy_from_slice(&input.tail);
            if bound_as_they_are(table, &columns, &range, slot, &shape[..rank], input.ty)? {
                continue;
            }
            let bound = match (table, input.ty) {
                (Table::Columns(table), Type::Text) => texts(&table[columns.clone()], &range, slot, &shape[..rank]),
                (_, Type::F32) => numbers(table, &columns, &range, slot.start::<f32>(&shape[..rank])?, input),
                (_, Type::F64) => numbers(table, &columns, &range, slot.start::<f64>(&shape[..rank])?, input),
                (_, Type::I32) => numbers(table, &columns, &range, slot.start::<i32>(&shape[..rank])?, input),
                (_, Type::I64) => numbers(table, &columns, &range, slot.start::<i64>(&shape[..rank])?, input),
                (_, Type::Bool) => numbers(table, &columns, &range, slot.start::<bool>(&shape[..rank])?, input),
                (_, Type::Text | Type::Tensor) => Err(Error::shape("numbers where text is expected")),
            };
            bound.map_err(|error| error.at(format!("input {:?}", input.name)))?;
        }
        Ok(())
    }
}

/// Copies numbers of the very type that the input takes, where they lie in one piece; says whether they do.
fn bound_as_they_are(
    table: &Table<'_>,
    columns: &Range<usize>,
    range: &Range<usize>,
    slot: &mut Tensor,
    shape: &[usize],
    ty: Type,
) -> Result<bool> {
    fn copy<T: Element>(values: Option<&[T]>, slot: &mut Tensor, shape: &[usize]) -> Result<bool> {
        let Some(values) = values else { return Ok(false) };
        slot.start::<T>(shape)?.extend_from_slice(values);
        Ok(true)
    }
    let part = s![range.clone(), columns.clone()];
    match table {
        Table::Batch(Batch::Dense(Dense::F32(rows))) if ty == Type::F32 => {
            copy(rows.slice(part).as_slice(), slot, shape)
        }
        Table::Batch(Batch::Dense(Dense::F64(rows))) if ty == Type::F64 => {
            copy(rows.slice(part).as_slice(), slot, shape)
        }
        Table::Columns(table) if columns.len() == 1 => match (&table[columns.start], ty) {
            (Column::F32(values), Type::F32) => copy(values.get(range.clone()), slot, shape),
            (Column::F64(values), Type::F64) => copy(values.get(range.clone()), slot, shape),
            (Column::I64(values), Type::I64) => copy(values.get(range.clone()), slot, shape),
            (Column::Bool(values), Type::Bool) => copy(values.get(range.clone()), slot, shape),
            _ => Ok(false),
        },
        _ => Ok(false),
    }
}

fn texts(columns: &[Column<'_>], range: &Range<usize>, slot: &mut Tensor, shape: &[usize]) -> Result<()> {
    let out = slot.start_text(shape)?;
    let no_text = || Error::shape("numbers where text is expected");
    if let [column] = columns {
        let Column::Text(strings) = column else { return Err(no_text()) };
        out.extend_from(strings, range.clone());
        return Ok(());
    }
    for row in range.clone() {
        for column in columns {
            let Column::Text(strings) = column else { return Err(no_text()) };
            out.push(strings.get(row).unwrap_or_default());
        }
    }
    Ok(())
}

/// A number as a type of input holds it.
trait Number: Element {
    fn from_f32(value: f32) -> Option<Self>;
    fn from_f64(value: f64) -> Option<Self>;
    fn from_i64(value: i64) -> Option<Self>;
}

macro_rules! number {
    ($type:ident, $f32:expr, $f64:expr, $i64:expr) => {
        impl Number for $type {
            fn from_f32(value: f32) -> Option<Self> {
                $f32(value)
            }
            fn from_f64(value: f64) -> Option<Self> {
                $f64(value)
            }
            fn from_i64(value: i64) -> Option<Self> {
                $i64(value)
            }
        }
    };
}

fn whole(value: f64) -> Option<i64> {
    (value.trunc() == value && value.abs() < 9.3e18).then_some(value as i64)
}

fn truth(value: f64) -> Option<bool> {
    match value {
        0.0 => Some(false),
        1.0 => Some(true),
        _ => None,
    }
}

number!(f32, Some, |value| Some(value as f32), |value| Some(value as f32));
number!(f64, |value| Some(f64::from(value)), Some, |value| Some(value as f64));
number!(i64, |value| whole(f64::from(value)), whole, Some);
number!(i32, |value| whole(f64::from(value))?.try_into().ok(), |value| whole(value)?.try_into().ok(), |value: i64| {
    value.try_into().ok()
});
number!(bool, |value| truth(f64::from(value)), truth, |value| truth(value as f64));

fn numbers<T: Number>(
    table: &Table<'_>,
    columns: &Range<usize>,
    range: &Range<usize>,
    out: &mut Vec<T>,
    input: &Input,
) -> Result<()> {
    let width = columns.len();
    out.resize(range.len() * width, T::default());
    let no_number = |row: usize, column: usize, value: &dyn std::fmt::Display| {
        Error::shape(format!("row {row}, column {column}: {value} is no {}", input.ty.name()))
    };
    // `at` counts the cells of the part that is bound.
    let no_cell = |(at, value): (usize, &dyn std::fmt::Display)| no_number(range.start + at / width, at % width, value);
    match table {
        Table::Batch(Batch::Dense(Dense::F32(rows))) => {
            let part = rows.slice(s![range.clone(), columns.clone()]);
            cells(part, T::from_f32, out).map_err(|(at, value)| no_cell((at, &value)))?;
        }
        Table::Batch(Batch::Dense(Dense::F64(rows))) => {
            let part = rows.slice(s![range.clone(), columns.clone()]);
            cells(part, T::from_f64, out).map_err(|(at, value)| no_cell((at, &value)))?;
        }
        Table::Batch(Batch::Sparse(csr)) => {
            for row in range.clone() {
                for at in csr.indptr[row]..csr.indptr[row + 1] {
                    let column = csr.indices[at] as usize;
                    if columns.contains(&column) {
                        let value = match csr.values {
                            Flat::F32(values) => T::from_f32(values[at]),
                            Flat::F64(values) => T::from_f64(values[at]),
                        };
                        let column = column - columns.start;
                        out[(row - range.start) * width + column] =
                            value.ok_or_else(|| no_number(row, column, &"an entry"))?;
                    }
                }
            }
        }
        Table::Columns(table) => {
            for (at, column) in table[columns.clone()].iter().enumerate() {
                let cells = out.iter_mut().skip(at).step_by(width);
                match column {
                    Column::F32(values) => {
                        put(values[range.clone()].iter().copied(), T::from_f32, cells)
                            .map_err(|(row, value)| no_number(range.start + row, at, &value))?;
                    }
                    Column::F64(values) => {
                        put(values[range.clone()].iter().copied(), T::from_f64, cells)
                            .map_err(|(row, value)| no_number(range.start + row, at, &value))?;
                    }
                    Column::I64(values) => {
                        put(values[range.clone()].iter().copied(), T::from_i64, cells)
                            .map_err(|(row, value)| no_number(range.start + row, at, &value))?;
                    }
                    Column::Bool(values) => {
                        put(values[range.clone()].iter().copied(), |value: bool| T::from_i64(value.into()), cells)
                            .map_err(|(row, value)| no_number(range.start + row, at, &value))?;
                    }
                    Column::Text(_) => return Err(Error::shape("text where numbers are expected")),
                }
            }
        }
    }
    Ok(())
}

/// Converts the cells of a part of a matrix, row after row; returns the first that cannot be.
fn cells<A: Copy, T: Default>(
    part: ArrayView2<'_, A>,
    convert: impl Fn(A) -> Option<T>,
    out: &mut [T],
) -> std::result::Result<(), (usize, A)> {
    if let Some(values) = part.as_slice() {
        return put(values.iter().copied(), convert, out.iter_mut());
    }
    let width = part.ncols().max(1);
    for (row, (values, out)) in part.rows().into_iter().zip(out.chunks_exact_mut(width)).enumerate() {
        let put = match values.as_slice() {
            Some(values) => put(values.iter().copied(), &convert, out.iter_mut()),
            None => put(values.iter().copied(), &convert, out.iter_mut()),
        };
        put.map_err(|(at, value)| (row * width + at, value))?;
    }
    Ok(())
}

/// Converts values; returns the first that cannot be. All are converted before any is looked at, so that loops become
/// vectors.
fn put<'a, A: Copy, T: Default + 'a>(
    values: impl IntoIterator<Item = A, IntoIter: Clone>,
    convert: impl Fn(A) -> Option<T>,
    out: impl Iterator<Item = &'a mut T>,
) -> std::result::Result<(), (usize, A)> {
    let (values, mut all) = (values.into_iter(), true);
    for (value, to) in values.clone().zip(out) {
        let converted = convert(value);
        all &= converted.is_some();
        *to = converted.unwrap_or_default();
    }
    let first = || values.enumerate().find(|&(_, value)| convert(value).is_none());
    if all { Ok(()) } else { first().map_or(Ok(()), Err) }
}
