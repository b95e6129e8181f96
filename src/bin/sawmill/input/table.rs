//! A file of numbers that go with rows: answers expected, margins to start from.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use super::csv::{has_text, number, shown};
use super::{FileFormat, name_of, npy, open_csv};

/// Numbers row after row.
pub struct Table {
    pub n_rows: usize,
    pub n_columns: usize,
    values: Vec<f64>,
}

impl Table {
    /// Reads a `.npy` or `.csv` file. With `single`, the text of a CSV field is rounded to f32, once, as the
    /// predictions are.
    pub fn read(path: &Path, single: bool) -> Result<Self> {
        match FileFormat::of(path)? {
            FileFormat::Npy => read_npy(path),
            FileFormat::Csv => read_csv(path, single),
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => bail!("numbers that go with rows are read from .npy and .csv"),
        }
        .with_context(|| name_of(path))
    }

    /// The numbers of some rows.
    pub fn rows(&self, rows: Range<usize>) -> &[f64] {
        &self.values[rows.start * self.n_columns..rows.end * self.n_columns]
    }
}

fn read_npy(path: &Path) -> Result<Table> {
    let array = match npy::read(path)? {
        npy::Array::F32(array) => array.mapv(f64::from),
        npy::Array::F64(array) => array,
        npy::Array::Integers { values, .. } => values,
    };
    let (n_rows, n_columns) = match *array.shape() {
        [n] => (n, 1),
        [n, k] => (n, k),
        _ => bail!("shape {}, but predictions are [n] or [n, k]", npy::shown(array.shape())),
    };
    Ok(Table { n_rows, n_columns, values: array.iter().copied().collect() })
}

fn read_csv(path: &Path, single: bool) -> Result<Table> {
    let mut records = open_csv(path)?;
    ensure!(records.advance()?, "the file is empty");
    let n_columns = records.record().len();
    let mut more = !has_text(records.record()) || records.advance()?;
    let (mut n_rows, mut values) = (0, Vec::new());
    while more {
        let (record, line) = (records.record(), records.line());
        ensure!(record.len() == n_columns, "line {line}: {} fields, but the first line has {n_columns}", record.len());
        for (column, field) in record.iter().enumerate() {
            let value = if single { number::<f32>(field).map(f64::from) } else { number::<f64>(field) };
            let column = column + 1;
            values.push(
                value.with_context(|| format!("line {line}, column {column}: {} is not a number", shown(field)))?,
            );
        }
        n_rows += 1;
        more = records.advance()?;
    }
    Ok(Table { n_rows, n_columns, values })
}
