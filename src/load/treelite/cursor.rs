//! Little-endian scalars and arrays of a checkpoint. An array is its length (u64) and its elements; a length is believed
//! only as far as the bytes that are left warrant it.

use crate::error::{Error, Result};

pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// A fixed number of bytes that are a number.
pub(super) trait Scalar: Copy {
    const BYTES: usize;
    fn read(bytes: &[u8]) -> Self;
}

macro_rules! scalar {
    ($($number:ty),*) => {$(
        impl Scalar for $number {
            const BYTES: usize = size_of::<$number>();
            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("as many bytes as the number has"))
            }
        }
    )*};
}

scalar!(u8, i8, u32, i32, u64, f32, f64);

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// An error at the cursor.
    pub(super) fn error(&self, finding: impl Into<String>) -> Error {
        Error::invalid_model(finding).at(format!("byte {}", self.at))
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Result<&'a [u8]> {
        let left = self.bytes.len() - self.at;
        match usize::try_from(count) {
            Ok(count) if count <= left => {
                self.at += count;
                Ok(&self.bytes[self.at - count..self.at])
            }
            _ => Err(self.error(format!("{count} bytes are to follow, but {left} do: the file is cut short"))),
        }
    }

    pub(super) fn scalar<T: Scalar>(&mut self) -> Result<T> {
        self.take(T::BYTES as u64).map(T::read)
    }

    /// A byte that is 0 or 1.
    pub(super) fn flag(&mut self, what: &str) -> Result<bool> {
        match self.scalar::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.error(format!("{what} is {other}, neither 0 nor 1"))),
        }
    }

    /// The elements of an array of items of `item_bytes` each.
    pub(super) fn items(&mut self, item_bytes: usize) -> Result<std::slice::ChunksExact<'a, u8>> {
        let count: u64 = self.scalar()?;
        Ok(self.take(count.saturating_mul(item_bytes as u64))?.chunks_exact(item_bytes))
    }

    /// An array, in place of what `out` holds.
    pub(super) fn array<T: Scalar>(&mut self, out: &mut Vec<T>) -> Result<()> {
        self.array_as::<T, T>(out, |value| value)
    }

    /// An array whose elements are converted.
    pub(super) fn array_as<T: Scalar, U>(&mut self, out: &mut Vec<U>, convert: impl Fn(T) -> U) -> Result<()> {
        out.clear();
        out.extend(self.items(T::BYTES)?.map(|item| convert(T::read(item))));
        Ok(())
    }

    /// Skips an array of items of `item_bytes` each.
    pub(super) fn skip_array(&mut self, item_bytes: usize) -> Result<()> {
        self.items(item_bytes).map(drop)
    }

    pub(super) fn text(&mut self) -> Result<&'a str> {
        let length = self.scalar()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a text that is not UTF-8"))
    }

    /// Skips the optional fields that later versions may add: a name, the size of an item, and the items.
    pub(super) fn skip_optional_fields(&mut self) -> Result<()> {
        let count: i32 = self.scalar()?;
        for _ in 0..count.max(0) {
            self.skip_array(1)?;
            let item_bytes: u64 = self.scalar()?;
            let items: u64 = self.scalar()?;
            self.take(items.saturating_mul(item_bytes))?;
        }
        Ok(())
    }

    /// The end of the file.
    pub(super) fn end(&self) -> Result<()> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(self.error(format!("{left} bytes after the last tree"))),
        }
    }
}
