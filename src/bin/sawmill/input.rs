//! Rows to predict, in chunks: `.npy` is loaded whole and cut, CSV and Parquet are read as they come, so a file may be
//! larger than memory.

pub mod csv;
pub mod npy;
#[cfg(feature = "parquet")]
mod parquet;
pub mod table;
pub mod typed;

use std::fs::File;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};
use ndarray::{Array2, s};
use sawmill::{Rows, Schema};

use self::csv::{CsvRows, Records};

/// Where rows come from.
pub struct Input {
    /// What errors call it.
    pub name: String,
    source: Source,
}

/// Rows held in memory.
pub enum Table {
    F32(Array2<f32>),
    F64(Array2<f64>),
}

impl Table {
    /// Rows and columns.
    pub fn dim(&self) -> (usize, usize) {
        match self {
            Self::F32(rows) => rows.dim(),
            Self::F64(rows) => rows.dim(),
        }
    }
}

enum Source {
    F32(Array2<f32>, usize),
    F64(Array2<f64>, usize),
    Csv(Box<CsvRows>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::ParquetRows>),
}

/// The file formats there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Npy,
    Csv,
    #[cfg(feature = "parquet")]
    Parquet,
}

impl FileFormat {
    /// By a path's extension; `-` is CSV.
    ///
    /// # Errors
    /// One that lists the formats there are.
    pub fn of(path: &Path) -> Result<Self> {
        if is_standard_stream(path) {
            return Ok(Self::Csv);
        }
        let shown = path.display();
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        match extension.as_deref() {
            Some("npy") => Ok(Self::Npy),
            Some("csv") => Ok(Self::Csv),
            #[cfg(feature = "parquet")]
            Some("parquet") => Ok(Self::Parquet),
            #[cfg(not(feature = "parquet"))]
            Some("parquet") => {
                bail!("{shown}: this program was built without .parquet: build it with --features parquet")
            }
            Some(other) => bail!("{shown}: unknown extension .{other}; known are {KNOWN}, and - for CSV"),
            None => bail!("{shown}: no extension; known are {KNOWN}, and - for CSV"),
        }
    }
}

/// The extensions that this build knows.
const KNOWN: &str = if cfg!(feature = "parquet") { ".npy, .csv and .parquet" } else { ".npy and .csv" };

pub fn is_standard_stream(path: &Path) -> bool {
    path == Path::new("-")
}

/// What errors call an input.
pub fn name_of(path: &Path) -> String {
    if is_standard_stream(path) { "stdin".to_owned() } else { path.display().to_string() }
}

impl Input {
    /// Opens rows for a model of this schema.
    pub fn open(path: &Path, schema: &Schema) -> Result<Self> {
        let name = name_of(path);
        let source = match FileFormat::of(path)? {
            FileFormat::Npy => npy_source(path),
            FileFormat::Csv => open_csv(path).and_then(|records| CsvRows::new(records, &name, schema)).map(csv_source),
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => {
                parquet::ParquetRows::open(path, &name, schema).map(|rows| Source::Parquet(Box::new(rows)))
            }
        };
        Ok(Self { source: source.with_context(|| name.clone())?, name })
    }

    /// The next rows, at most `max_rows`, and how many they are; 0 at the end.
    pub fn next_chunk(&mut self, max_rows: usize) -> Result<(usize, Rows<'_>)> {
        match &mut self.source {
            Source::F32(array, next) => {
                let range = take(next, array.nrows(), max_rows);
                Ok((range.len(), array.slice(s![range, ..]).into()))
            }
            Source::F64(array, next) => {
                let range = take(next, array.nrows(), max_rows);
                Ok((range.len(), array.slice(s![range, ..]).into()))
            }
            Source::Csv(rows) => {
                if rows.is_typed() {
                    let (n_rows, columns) = rows.next_columns(max_rows).with_context(|| self.name.clone())?;
                    return Ok((n_rows, Rows::columns(columns)?));
                }
                let rows = rows.next_chunk(max_rows).with_context(|| self.name.clone())?;
                Ok((rows.nrows(), rows.into()))
            }
            #[cfg(feature = "parquet")]
            Source::Parquet(rows) => {
                if rows.is_typed() {
                    let (n_rows, columns) = rows.next_columns(max_rows).with_context(|| self.name.clone())?;
                    return Ok((n_rows, Rows::columns(columns)?));
                }
                let rows = rows.next_chunk(max_rows).with_context(|| self.name.clone())?;
                Ok((rows.nrows(), rows.into()))
            }
        }
    }

    /// All rows; of a CSV stream with more than `max_values` values only the first.
    pub fn read_table(self, max_values: usize) -> Result<Table> {
        match self.source {
            Source::F32(array, _) => Ok(Table::F32(array)),
            Source::F64(array, _) => Ok(Table::F64(array)),
            Source::Csv(rows) if rows.is_typed() => {
                bail!("{}: rows of numbers are needed, the model takes text", self.name)
            }
            Source::Csv(mut rows) => {
                let max_rows = (max_values / rows.n_columns().max(1)).max(1);
                Ok(Table::F64(rows.next_chunk(max_rows).context(self.name)?.to_owned()))
            }
            #[cfg(feature = "parquet")]
            Source::Parquet(rows) if rows.is_typed() => {
                bail!("{}: rows of numbers are needed, the model takes text", self.name)
            }
            #[cfg(feature = "parquet")]
            Source::Parquet(mut rows) => {
                let max_rows = (max_values / rows.n_columns().max(1)).max(1);
                Ok(Table::F64(rows.next_chunk(max_rows).context(self.name)?.to_owned()))
            }
        }
    }

    /// How much has been read, and how much there is, in rows or bytes, if that is known.
    pub fn progress(&self) -> (u64, Option<u64>) {
        match &self.source {
            Source::F32(array, next) => (*next as u64, Some(array.nrows() as u64)),
            Source::F64(array, next) => (*next as u64, Some(array.nrows() as u64)),
            Source::Csv(rows) => rows.progress(),
            #[cfg(feature = "parquet")]
            Source::Parquet(rows) => rows.progress(),
        }
    }
}

fn npy_source(path: &Path) -> Result<Source> {
    match npy::read(path)? {
        npy::Array::F32(array) => Ok(Source::F32(npy::two_dimensional(array)?, 0)),
        npy::Array::F64(array) => Ok(Source::F64(npy::two_dimensional(array)?, 0)),
        npy::Array::Integers { dtype, .. } => bail!(npy::not_read(dtype)),
    }
}

fn csv_source(rows: CsvRows) -> Source {
    Source::Csv(Box::new(rows))
}

/// The records of a CSV file or of stdin.
pub fn open_csv(path: &Path) -> Result<Records> {
    if is_standard_stream(path) {
        return Ok(Records::new(Box::new(io::stdin()), None));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let bytes = metadata.is_file().then_some(metadata.len());
    Ok(Records::new(Box::new(file), bytes))
}

/// The next `max` of `total`, counted on in `next`.
fn take(next: &mut usize, total: usize, max: usize) -> std::ops::Range<usize> {
    let start = *next;
    *next = total.min(start.saturating_add(max));
    start..*next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_decides() {
        let of = |path: &str| FileFormat::of(Path::new(path)).map_err(|error| error.to_string());
        assert_eq!(of("a/X.npy"), Ok(FileFormat::Npy));
        assert_eq!(of("A.CSV"), Ok(FileFormat::Csv));
        assert_eq!(of("-"), Ok(FileFormat::Csv));
        #[cfg(feature = "parquet")]
        assert_eq!(of("x.parquet"), Ok(FileFormat::Parquet));
        #[cfg(not(feature = "parquet"))]
        assert!(of("x.parquet").unwrap_err().contains("--features parquet"));
        let known =
            if cfg!(feature = "parquet") { "known are .npy, .csv and .parquet" } else { "known are .npy and .csv" };
        assert!(of("x.tsv").unwrap_err().contains(known));
        assert!(of("rows").unwrap_err().contains("no extension"));
    }
}
