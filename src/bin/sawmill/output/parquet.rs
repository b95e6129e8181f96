//! Predictions as columns of a Parquet file, row group by row group.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Result, bail};
use arrow_array::{ArrayRef, Float32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use sawmill::{Predictions, Values};

/// Encoded bytes that are held before a row group is written.
const GROUP_BYTES: usize = 64 << 20;

/// A Parquet file being written; it has its columns once there are predictions.
pub struct ParquetFile {
    file: File,
    writer: Option<ArrowWriter<File>>,
}

impl ParquetFile {
    pub fn new(file: File) -> Self {
        Self { file, writer: None }
    }

    /// Adds rows, with columns of these names.
    pub fn write(&mut self, names: &[String], predictions: &Predictions) -> Result<()> {
        let columns = (0..names.len()).map(|column| cells(predictions, column)).collect::<Result<Vec<_>>>()?;
        let batch = RecordBatch::try_from_iter(names.iter().zip(columns))?;
        if self.writer.is_none() {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            self.writer = Some(ArrowWriter::try_new(self.file.try_clone()?, batch.schema(), Some(properties))?);
        }
        if let Some(writer) = &mut self.writer {
            writer.write(&batch)?;
            if writer.in_progress_size() > GROUP_BYTES {
                writer.flush()?;
            }
        }
        Ok(())
    }

    /// Completes the file.
    pub fn finish(self) -> Result<()> {
        if let Some(writer) = self.writer {
            writer.close()?;
        }
        Ok(())
    }
}

/// A column of predictions.
fn cells(predictions: &Predictions, column: usize) -> Result<ArrayRef> {
    fn of<T: Copy>(values: &[T], predictions: &Predictions, column: usize) -> Vec<T> {
        values.iter().skip(column).step_by(predictions.n_columns().max(1)).copied().collect()
    }
    Ok(match predictions.values() {
        Values::F32(values) => Arc::new(Float32Array::from(of(values, predictions, column))),
        Values::F64(values) => Arc::new(Float64Array::from(of(values, predictions, column))),
        Values::I32(values) => Arc::new(Int32Array::from(of(values, predictions, column))),
        Values::I64(values) => Arc::new(Int64Array::from(of(values, predictions, column))),
        Values::Text(values) => {
            let values: Vec<&str> = values.iter().collect();
            Arc::new(StringArray::from(of(&values, predictions, column)))
        }
        _ => bail!("predictions of an unknown type"),
    })
}
