//! Reading NumPy arrays. The header is checked against the file's length first, so that a corrupt one costs nothing.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use ndarray::{Array2, ArrayD, Ix2};
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadNpyExt, ReadableElement};

/// Far above what a plain array's header takes (128), far below what makes a parser sweat.
const MAX_HEADER_BYTES: usize = 1024;

/// An array as the file holds it, in its own order.
pub enum Array {
    F32(ArrayD<f32>),
    F64(ArrayD<f64>),
    /// Integers, widened.
    Integers {
        dtype: &'static str,
        values: ArrayD<f64>,
    },
}

/// Reads a `.npy` file.
pub fn read(path: &Path) -> Result<Array> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    ensure!(metadata.is_file(), "not a regular file");
    let mut start = Vec::new();
    file.by_ref().take(12 + MAX_HEADER_BYTES as u64).read_to_end(&mut start)?;
    let header_bytes = header_bytes(&start)?;
    let header = Header::from_reader(&mut &start[..header_bytes]).context("broken .npy header")?;

    let descriptor = header.type_descriptor.to_string();
    let (dtype, item_bytes) = dtype(descriptor.trim_matches('\''));
    let Some(item_bytes) = item_bytes else { bail!(not_read(&dtype)) };
    let shape = &header.shape;
    let promised = shape.iter().try_fold(item_bytes, |bytes, &n| bytes.checked_mul(n as u64));
    let held = metadata.len() - header_bytes as u64;
    match promised {
        Some(promised) if promised == held => {}
        _ => bail!(
            "the header promises shape {} of {dtype}, but {held} bytes of data follow; the file is cut off or broken",
            shown(shape)
        ),
    }

    file.rewind()?;
    let reader = BufReader::with_capacity(1 << 20, file);
    match descriptor.trim_matches('\'') {
        "<f4" | ">f4" => Ok(Array::F32(array(reader)?)),
        "<f8" | ">f8" => Ok(Array::F64(array(reader)?)),
        "|u1" => widened(array::<u8>(reader)?, "uint8", f64::from),
        "|i1" => widened(array::<i8>(reader)?, "int8", f64::from),
        "<u2" | ">u2" => widened(array::<u16>(reader)?, "uint16", f64::from),
        "<i2" | ">i2" => widened(array::<i16>(reader)?, "int16", f64::from),
        "<u4" | ">u4" => widened(array::<u32>(reader)?, "uint32", f64::from),
        "<i4" | ">i4" => widened(array::<i32>(reader)?, "int32", f64::from),
        "<u8" | ">u8" => widened(array::<u64>(reader)?, "uint64", |value| value as f64),
        "<i8" | ">i8" => widened(array::<i64>(reader)?, "int64", |value| value as f64),
        _ => bail!(not_read(&dtype)),
    }
}

/// What is said of an array whose numbers are no floats of a common size.
pub fn not_read(dtype: &str) -> String {
    format!("dtype {dtype} is not read; save X.astype(\"float32\") or X.astype(\"float64\")")
}

/// An array of rows and columns.
pub fn two_dimensional<T>(array: ArrayD<T>) -> Result<Array2<T>> {
    let shape = shown(array.shape());
    let hint = if array.ndim() == 1 { "; one row is X.reshape(1, -1)" } else { "" };
    array
        .into_dimensionality::<Ix2>()
        .ok()
        .with_context(|| format!("shape {shape}, but rows need two dimensions [rows, features]{hint}"))
}

/// A shape as Python writes it.
pub fn shown(shape: &[usize]) -> String {
    match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
    }
}

/// Bytes of magic, version, length and text of the header that `start` begins with.
fn header_bytes(start: &[u8]) -> Result<usize> {
    ensure!(start.starts_with(b"\x93NUMPY"), "not a .npy file (it does not start with \\x93NUMPY)");
    let text = match start {
        [_, _, _, _, _, _, 1, _, a, b, ..] => 10 + usize::from(u16::from_le_bytes([*a, *b])),
        [_, _, _, _, _, _, 2 | 3, _, a, b, c, d, ..] => {
            (u32::from_le_bytes([*a, *b, *c, *d]) as usize).saturating_add(12)
        }
        [_, _, _, _, _, _, version, _, _, _, ..] => bail!("version {version} of the .npy format is not known"),
        _ => bail!("the .npy header is cut off"),
    };
    ensure!(text <= 12 + MAX_HEADER_BYTES, "a .npy header of {text} bytes is not that of a plain array");
    ensure!(text <= start.len(), "the .npy header is cut off");
    Ok(text)
}

/// NumPy's name of a type, and the bytes of an item if it is a number that is read here.
fn dtype(descriptor: &str) -> (String, Option<u64>) {
    let kind = descriptor.trim_start_matches(['<', '>', '|', '=']);
    let (letter, bytes) = kind.split_at(kind.len().min(1));
    let size = bytes.parse::<u64>().ok();
    let (name, readable) = match (letter, size) {
        ("f", Some(4 | 8)) => ("float", true),
        ("i", Some(1 | 2 | 4 | 8)) => ("int", true),
        ("u", Some(1 | 2 | 4 | 8)) => ("uint", true),
        ("f", Some(2 | 16)) => ("float", false),
        ("c", Some(_)) => ("complex", false),
        ("b", Some(1)) => return ("bool".to_owned(), None),
        ("O", _) => return ("object".to_owned(), None),
        ("U" | "S", _) => return (format!("str ({descriptor})"), None),
        _ => return (descriptor.to_owned(), None),
    };
    let size = size.unwrap_or_default();
    (format!("{name}{}", size.saturating_mul(8)), readable.then_some(size))
}

fn array<T: ReadableElement>(reader: BufReader<File>) -> Result<ArrayD<T>> {
    Ok(ArrayD::read_npy(reader)?)
}

fn widened<T: Copy>(array: ArrayD<T>, dtype: &'static str, widen: fn(T) -> f64) -> Result<Array> {
    Ok(Array::Integers { dtype, values: array.mapv(widen) })
}
