//! Writing predictions as they come: CSV, Parquet, or a NumPy array whose header is written last, when its length is
//! known.
//!
//! A file is written under another name in the same folder and renamed when it is complete, so that what carries the
//! name the user gave is never half a file.

#[cfg(feature = "parquet")]
mod parquet;

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sawmill::{Predictions, Values};

use crate::args::Kind;
use crate::input::{FileFormat, is_standard_stream};

pub struct PredictionWriter {
    format: FileFormat,
    kind: Kind,
    name: String,
    out: BufWriter<Target>,
    /// What has been written.
    dtype: &'static str,
    n_columns: usize,
    n_rows: u64,
    started: bool,
    /// Numbers for each tree or round, where a row has one or more for each.
    inner: Option<usize>,
    /// What the columns are scores of, if the model has names for that.
    classes: Vec<String>,
    #[cfg(feature = "parquet")]
    parquet: Option<parquet::ParquetFile>,
}

enum Target {
    Stdout(io::Stdout),
    File(NewFile),
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(bytes),
            Self::File(file) => file.file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(stdout) => stdout.flush(),
            Self::File(file) => file.file.flush(),
        }
    }
}

impl PredictionWriter {
    /// Writes to a `.npy`, `.csv` or `.parquet` file, or CSV to stdout for `-`.
    pub fn new(path: &Path, kind: Kind) -> Result<Self> {
        let format = FileFormat::of(path)?;
        let (name, target) = if is_standard_stream(path) {
            ("stdout".to_owned(), Target::Stdout(io::stdout()))
        } else {
            let name = path.display().to_string();
            let file = NewFile::create(path).with_context(|| name.clone())?;
            (name, Target::File(file))
        };
        #[cfg(feature = "parquet")]
        let parquet = match &target {
            Target::File(file) if format == FileFormat::Parquet => {
                Some(parquet::ParquetFile::new(file.file.try_clone()?))
            }
            _ => None,
        };
        let out = BufWriter::with_capacity(1 << 16, target);
        Ok(Self {
            format,
            kind,
            name,
            out,
            dtype: "",
            n_columns: 0,
            n_rows: 0,
            started: false,
            inner: None,
            classes: Vec::new(),
            #[cfg(feature = "parquet")]
            parquet,
        })
    }

    /// Makes every row an array of its own, `inner` numbers for each of its trees or rounds.
    pub fn set_inner(&mut self, inner: Option<usize>) {
        self.inner = inner;
    }

    /// Calls columns after the classes that they are scores of.
    pub fn set_classes(&mut self, classes: Vec<String>) {
        self.classes = classes;
    }

    /// Adds the rows of `predictions`.
    pub fn write(&mut self, predictions: &Predictions) -> Result<()> {
        self.n_columns = predictions.n_columns();
        self.n_rows += predictions.n_rows() as u64;
        let written = match self.format {
            FileFormat::Csv => self.write_csv(predictions).map_err(anyhow::Error::from),
            FileFormat::Npy => self.write_npy(predictions).map_err(anyhow::Error::from),
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => {
                let names = self.column_names();
                self.parquet.as_mut().map_or(Ok(()), |parquet| parquet.write(&names, predictions))
            }
        };
        self.started = true;
        written.with_context(|| self.name.clone())
    }

    /// Completes the output.
    pub fn finish(mut self) -> Result<()> {
        #[cfg(feature = "parquet")]
        if let Some(parquet) = self.parquet.take() {
            parquet.finish().with_context(|| self.name.clone())?;
        }
        let header = (self.format == FileFormat::Npy).then(|| self.npy_header());
        let flushed = self.out.flush().and_then(|()| match self.out.get_mut() {
            Target::Stdout(_) => Ok(()),
            Target::File(file) => file.publish(header.as_deref()),
        });
        flushed.with_context(|| self.name.clone())
    }

    fn write_csv(&mut self, predictions: &Predictions) -> io::Result<()> {
        if !self.started {
            let names = self.column_names();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            write_records(&mut self.out, &names, names.len(), write_text)?;
        }
        let (out, width) = (&mut self.out, self.n_columns);
        match predictions.values() {
            Values::F32(values) => {
                write_records(out, values, width, |out, value| write_float(out, value, value.is_nan()))
            }
            Values::F64(values) => {
                write_records(out, values, width, |out, value| write_float(out, value, value.is_nan()))
            }
            Values::I32(values) => write_records(out, values, width, |out, value| write!(out, "{value}")),
            Values::I64(values) => write_records(out, values, width, |out, value| write!(out, "{value}")),
            Values::Text(values) => {
                let values: Vec<&str> = values.iter().collect();
                write_records(out, &values, width, write_text)
            }
            _ => Err(io::Error::other("predictions of an unknown type")),
        }
    }

    fn column_names(&self) -> Vec<String> {
        let kind = self.kind.name();
        if self.is_flat() {
            return vec![kind.to_owned()];
        }
        let name = |column: usize| match self.inner {
            None if self.classes.len() == self.n_columns => format!("{kind}_{}", self.classes[column]),
            Some(inner) if inner > 1 => format!("{kind}_{}_{}", column / inner, column % inner),
            _ => format!("{kind}_{column}"),
        };
        (0..self.n_columns).map(name).collect()
    }

    fn write_npy(&mut self, predictions: &Predictions) -> io::Result<()> {
        if !self.started {
            self.out.write_all(&[0; NPY_HEADER_BYTES])?;
        }
        let out = &mut self.out;
        match predictions.values() {
            Values::F32(values) => {
                self.dtype = "<f4";
                values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
            }
            Values::F64(values) => {
                self.dtype = "<f8";
                values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
            }
            Values::I32(values) => {
                self.dtype = "<i4";
                values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
            }
            Values::I64(values) => {
                self.dtype = "<i8";
                values.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
            }
            Values::Text(_) => Err(io::Error::other("strings are not written as .npy; write .csv")),
            _ => Err(io::Error::other("predictions of an unknown type")),
        }
    }

    /// The header `numpy.save` writes.
    fn npy_header(&self) -> Vec<u8> {
        let (n_rows, n_columns) = (self.n_rows, self.n_columns);
        let shape = match self.inner {
            Some(inner) if inner > 1 => format!("({n_rows}, {}, {inner})", n_columns / inner),
            _ if self.is_flat() => format!("({n_rows},)"),
            _ => format!("({n_rows}, {n_columns})"),
        };
        let text = format!("{{'descr': '{}', 'fortran_order': False, 'shape': {shape}, }}", self.dtype);
        let text_bytes = NPY_HEADER_BYTES - 10;
        let mut header = b"\x93NUMPY\x01\x00".to_vec();
        header.extend((text_bytes as u16).to_le_bytes());
        header.extend(format!("{text:<0$}\n", text_bytes - 1).into_bytes());
        header
    }

    /// One number per row is an array of one dimension. Leaves keep two: one column per tree.
    fn is_flat(&self) -> bool {
        self.n_columns == 1 && self.inner.is_none()
    }
}

/// Holds every shape: 118 bytes of text, of which numbers may take 66, and no array has as many digits.
const NPY_HEADER_BYTES: usize = 128;

type Out = BufWriter<Target>;

fn write_records<T: Copy>(
    out: &mut Out,
    values: &[T],
    width: usize,
    write: impl Fn(&mut Out, T) -> io::Result<()>,
) -> io::Result<()> {
    for row in values.chunks_exact(width.max(1)) {
        for (column, &value) in row.iter().enumerate() {
            if column > 0 {
                out.write_all(b",")?;
            }
            write(out, value)?;
        }
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// The shortest text that reads back as the same number.
fn write_float(out: &mut Out, value: impl std::fmt::Debug, is_nan: bool) -> io::Result<()> {
    if is_nan { out.write_all(b"nan") } else { write!(out, "{value:?}") }
}

/// A CSV field, in quotes where it needs them.
fn write_text(out: &mut Out, text: &str) -> io::Result<()> {
    if text.contains([',', '"', '\n', '\r']) {
        return write!(out, "\"{}\"", text.replace('"', "\"\""));
    }
    out.write_all(text.as_bytes())
}

/// A file that gets its name when it is complete, and vanishes if it never is.
struct NewFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    published: bool,
}

impl NewFile {
    fn create(path: &Path) -> Result<Self> {
        // Through a link, the file it leads to is replaced, not the link.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if path.exists() && !path.is_file() {
            bail!("not a regular file");
        }
        let Some(name) = path.file_name() else { bail!("not a file name") };
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(hidden);
        let file = File::create(&temporary)?;
        Ok(Self { file, temporary, path, published: false })
    }

    /// Writes `header` over the start, if there is one, and gives the file its name.
    fn publish(&mut self, header: Option<&[u8]>) -> io::Result<()> {
        if let Some(header) = header {
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(header)?;
        }
        fs::rename(&self.temporary, &self.path)?;
        self.published = true;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.published {
            // What cannot be removed is at least named as what it is.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
