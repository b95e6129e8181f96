//! Rows of a Parquet file: record batches as they are needed, columns matched to the model's features by name and type.
//!
//! A null is a missing value. Strings and dictionaries are categories by value where the model stores its categories.

use std::fs::File;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::DataType;
use csv::ByteRecord;
use ndarray::ArrayView2;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use sawmill::{CategoryRef, Column, Feature, Schema};

use super::csv::Columns;
use super::typed::{Cells, is_typed};

/// Rows decoded at once.
const BATCH_ROWS: usize = 1 << 13;

/// Rows of a Parquet file as a model takes them.
pub struct ParquetRows {
    reader: ParquetRecordBatchReader,
    /// Columns of the file that are read, in the file's order; for every feature one of them.
    columns: Vec<usize>,
    names: Vec<String>,
    features: Vec<Feature>,
    /// The batch last read, of which rows from `next` on have not been taken.
    batch: Option<RecordBatch>,
    next: usize,
    values: Vec<f64>,
    /// For every feature its cells, if some are no numbers.
    cells: Vec<Cells>,
    n_read: u64,
    n_rows: u64,
}

impl ParquetRows {
    /// Opens a file and matches its columns to the features of `schema`.
    pub fn open(path: &Path, name: &str, schema: &Schema) -> Result<Self> {
        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
        let header = ByteRecord::from_iter(builder.schema().fields().iter().map(|field| field.name()));
        ensure!(!header.is_empty(), "the file has no columns");
        let Columns { fields, names, features, .. } = Columns::new(&header, true, name, schema)?;
        let mut read = fields.clone();
        read.sort_unstable();
        let columns = fields.iter().map(|field| read.partition_point(|other| other < field)).collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), read);
        let n_rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or_default();
        let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build()?;
        let cells = if is_typed(schema) { schema.features.iter().map(Cells::of).collect() } else { Vec::new() };
        let (values, batch) = (Vec::new(), None);
        Ok(Self { reader, columns, names, features, batch, next: 0, values, cells, n_read: 0, n_rows })
    }

    /// Whether rows are columns of several types.
    pub fn is_typed(&self) -> bool {
        !self.cells.is_empty()
    }

    /// Numbers in a row.
    pub fn n_columns(&self) -> usize {
        self.columns.len()
    }

    /// The next rows, at most `max_rows`; none at the end.
    pub fn next_chunk(&mut self, max_rows: usize) -> Result<ArrayView2<'_, f64>> {
        let width = self.columns.len();
        self.values.clear();
        let mut n_rows = 0;
        while let Some(batch) = self.next_part(max_rows - n_rows)? {
            let first = n_rows * width;
            self.values.resize(first + batch.num_rows() * width, f64::NAN);
            for (at, feature) in self.features.iter().enumerate() {
                let column = batch.column(self.columns[at]);
                let values = self.values[first..].iter_mut().skip(at).step_by(width);
                read(feature, column, values).with_context(|| format!("column {}", self.names[at]))?;
            }
            n_rows += batch.num_rows();
        }
        Ok(ArrayView2::from_shape((n_rows, width), &self.values)?)
    }

    /// As [`next_chunk`](Self::next_chunk), as columns of several types.
    pub fn next_columns(&mut self, max_rows: usize) -> Result<(usize, Vec<Column<'_>>)> {
        self.cells.iter_mut().for_each(Cells::clear);
        let mut n_rows = 0;
        while let Some(batch) = self.next_part(max_rows - n_rows)? {
            for (at, cells) in self.cells.iter_mut().enumerate() {
                let column = batch.column(self.columns[at]);
                push_all(cells, column).with_context(|| format!("column {}", self.names[at]))?;
            }
            n_rows += batch.num_rows();
        }
        Ok((n_rows, self.cells.iter().map(Cells::column).collect()))
    }

    /// Rows read, and how many there are.
    pub fn progress(&self) -> (u64, Option<u64>) {
        (self.n_read, Some(self.n_rows))
    }

    /// Rows that stand together in a batch, at most `max_rows`; none at the end.
    fn next_part(&mut self, max_rows: usize) -> Result<Option<RecordBatch>> {
        if max_rows == 0 {
            return Ok(None);
        }
        while self.batch.as_ref().is_none_or(|batch| self.next == batch.num_rows()) {
            self.next = 0;
            self.batch = self.reader.next().transpose()?;
            if self.batch.is_none() {
                return Ok(None);
            }
        }
        let Some(batch) = &self.batch else { return Ok(None) };
        let count = max_rows.min(batch.num_rows() - self.next);
        let part = batch.slice(self.next, count);
        self.next += count;
        self.n_read += count as u64;
        Ok(Some(part))
    }
}

/// Writes what rows hold for the values of a column, in which what is missing is NaN already.
fn read<'a>(feature: &Feature, column: &ArrayRef, values: impl Iterator<Item = &'a mut f64>) -> Result<()> {
    if is_text(column.data_type()) {
        ensure!(feature.categories.is_some(), "{} where the model takes numbers", column.data_type());
        let texts = arrow_cast::cast(column, &DataType::LargeUtf8)?;
        for (value, text) in values.zip(texts.as_string::<i64>()) {
            if let Some(text) = text {
                *value = feature.encode(CategoryRef::Text(text))?;
            }
        }
        return Ok(());
    }
    let numbers = numbers(column)?;
    for (value, number) in values.zip(numbers.as_primitive::<Float64Type>()) {
        if let Some(number) = number {
            *value = if feature.categories.is_some() { feature.encode(CategoryRef::Float(number))? } else { number };
        }
    }
    Ok(())
}

/// Adds the values of a column to the cells of a feature that may be of another type than numbers.
fn push_all(cells: &mut Cells, column: &ArrayRef) -> Result<()> {
    let found = column.data_type();
    let whole = || ensure_whole(column);
    match cells {
        Cells::Texts(texts) => {
            ensure!(is_text(found), "{found} where the model takes text");
            let column = arrow_cast::cast(column, &DataType::LargeUtf8)?;
            column.as_string::<i64>().iter().for_each(|text| texts.push(text.unwrap_or_default()));
        }
        Cells::Integers(values) => {
            ensure!(found.is_integer(), "{found} where the model takes whole numbers");
            whole()?;
            let column = arrow_cast::cast(column, &DataType::Int64)?;
            ensure!(column.null_count() == 0, "a number that 64 bits do not hold");
            values.extend(column.as_primitive::<Int64Type>().values());
        }
        Cells::Truths(values) => {
            ensure!(*found == DataType::Boolean, "{found} where the model takes true and false");
            whole()?;
            values.extend(column.as_boolean().values());
        }
        Cells::Numbers(values) => {
            let column = numbers(column)?;
            values.extend(column.as_primitive::<Float64Type>().iter().map(|value| value.unwrap_or(f64::NAN)));
        }
    }
    Ok(())
}

/// That no value is missing where the type has no room for that.
fn ensure_whole(column: &ArrayRef) -> Result<()> {
    ensure!(column.null_count() == 0, "a null, for which {} has no value", column.data_type());
    Ok(())
}

/// The column as doubles: numbers and truth values.
fn numbers(column: &ArrayRef) -> Result<ArrayRef> {
    match column.data_type() {
        DataType::Dictionary(_, values) if values.is_numeric() => {
            let plain = arrow_cast::cast(column, values)?;
            Ok(arrow_cast::cast(&plain, &DataType::Float64)?)
        }
        DataType::Boolean | DataType::Null => Ok(arrow_cast::cast(column, &DataType::Float64)?),
        found if found.is_numeric() => Ok(arrow_cast::cast(column, &DataType::Float64)?),
        found => bail!("{found} is neither a number nor text"),
    }
}

/// Whether a column holds strings, as they are or by a dictionary.
fn is_text(found: &DataType) -> bool {
    match found {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}
