//! UBJSON as XGBoost writes it: big-endian, every length an `L` (XGBoost `src/common/json.cc`, `UBJReader`).
//!
//! `{ L<len>key value … }`, `S L<len>bytes`, integers `i U I l L`, floats `d D`, `T`, `F`, `Z`; arrays
//! `[$<type>#L<n>values` (typed), `[#L<n>values` (counted, no closing bracket) or `[ values ]`. The three integer
//! sizes of a length are accepted wherever XGBoost writes `L`.

use crate::error::{Error, Result};
use crate::load::document::{Document, MAX_NESTING, Number, check_keys};

pub(super) struct Ubjson<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

impl<'a> Ubjson<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        match rest.get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(self.error(format!("{count} bytes expected, but the file ends after {}", rest.len()))),
        }
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("took N bytes"))
    }

    /// The next marker, which stays. `N` is a no-op and skipped.
    fn peek(&mut self) -> Result<u8> {
        while self.bytes.get(self.at) == Some(&b'N') {
            self.at += 1;
        }
        self.bytes.get(self.at).copied().ok_or_else(|| self.error("the file ends where a value is expected"))
    }

    fn marker(&mut self) -> Result<u8> {
        let marker = self.peek()?;
        self.at += 1;
        Ok(marker)
    }

    fn unexpected(&self, marker: u8, wanted: &str) -> Error {
        self.error(format!("found marker {:?} where {wanted} is expected", char::from(marker)))
    }

    /// A value of a number type.
    fn scalar<T: Number>(&mut self, marker: u8) -> Result<T> {
        let number = match (marker, size_of_type(marker)) {
            (b'T', _) => T::from_i64(1),
            (b'F', _) => T::from_i64(0),
            (_, None) => return Err(self.unexpected(marker, "a number")),
            (_, Some(size)) => {
                let mut number = [T::default()];
                decode(marker, self.take(size)?, &mut number).then_some(number[0])
            }
        };
        number.ok_or_else(|| self.not_of_kind())
    }

    fn not_of_kind(&self) -> Error {
        self.error("a number that is not of the kind expected")
    }

    fn length(&mut self) -> Result<usize> {
        let marker = self.marker()?;
        if !matches!(marker, b'i' | b'U' | b'I' | b'l' | b'L') {
            return Err(self.unexpected(marker, "a length"));
        }
        let length: i64 = self.scalar(marker)?;
        let left = self.bytes.len() - self.at;
        // Every element takes a byte or more, so no honest length is greater than what is left of the file.
        usize::try_from(length)
            .ok()
            .filter(|&length| length <= left)
            .ok_or_else(|| self.error(format!("a length of {length}, but {left} bytes are left")))
    }

    fn string(&mut self) -> Result<&'a str> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a string that is not UTF-8"))
    }

    fn enter(&mut self) -> Result<()> {
        if self.depth == MAX_NESTING {
            return Err(self.error(format!("nested more than {MAX_NESTING} deep")));
        }
        self.depth += 1;
        Ok(())
    }

    /// The head of an array: its element type and count, as far as it tells.
    fn array_head(&mut self) -> Result<(Option<u8>, Option<usize>)> {
        let marker = self.marker()?;
        if marker != b'[' {
            return Err(self.unexpected(marker, "an array"));
        }
        let mut element = None;
        if self.peek()? == b'$' {
            self.at += 1;
            element = Some(self.marker()?);
            if self.peek()? != b'#' {
                let found = self.peek()?;
                return Err(self.unexpected(found, "the count of a typed array"));
            }
        }
        let mut count = None;
        if self.peek()? == b'#' {
            self.at += 1;
            count = Some(self.length()?);
        }
        Ok((element, count))
    }

    /// Calls `element` for every element; with the type of all of them, if the array states it.
    fn elements(&mut self, mut element: impl FnMut(&mut Self, Option<u8>) -> Result<()>) -> Result<()> {
        let (kind, count) = self.array_head()?;
        if let Some(kind) = kind
            && size_of_type(kind).is_none()
        {
            // Elements of no bytes would let an array claim any count.
            return Err(self.unexpected(kind, "an array of numbers"));
        }
        self.enter()?;
        match count {
            Some(count) => {
                for _ in 0..count {
                    element(self, kind)?;
                }
            }
            None => {
                while self.peek()? != b']' {
                    element(self, None)?;
                }
                self.at += 1;
            }
        }
        self.depth -= 1;
        Ok(())
    }
}

/// Bytes of a value of fixed size.
fn size_of_type(marker: u8) -> Option<usize> {
    match marker {
        b'i' | b'U' => Some(1),
        b'I' => Some(2),
        b'l' | b'd' => Some(4),
        b'L' | b'D' => Some(8),
        _ => None,
    }
}

/// Decodes values of a type of fixed size into `out`; whether all are of the kind expected.
fn decode<T: Number>(marker: u8, bytes: &[u8], out: &mut [T]) -> bool {
    fn each<T, const N: usize>(bytes: &[u8], out: &mut [T], number: impl Fn([u8; N]) -> Option<T>) -> bool {
        let mut all = true;
        for (out, &bytes) in out.iter_mut().zip(bytes.as_chunks().0) {
            match number(bytes) {
                Some(number) => *out = number,
                None => all = false,
            }
        }
        all
    }
    match marker {
        b'd' => each(bytes, out, |bytes| T::from_f32(f32::from_be_bytes(bytes))),
        b'D' => each(bytes, out, |bytes| T::from_f64(f64::from_be_bytes(bytes))),
        b'i' => each(bytes, out, |bytes| T::from_i64(i8::from_be_bytes(bytes).into())),
        b'U' => each(bytes, out, |bytes| T::from_i64(u8::from_be_bytes(bytes).into())),
        b'I' => each(bytes, out, |bytes| T::from_i64(i16::from_be_bytes(bytes).into())),
        b'l' => each(bytes, out, |bytes| T::from_i64(i32::from_be_bytes(bytes).into())),
        b'L' => each(bytes, out, |bytes| T::from_i64(i64::from_be_bytes(bytes))),
        _ => false,
    }
}

impl<'a> Document<'a> for Ubjson<'a> {
    fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Result<()>) -> Result<()> {
        let marker = self.marker()?;
        if marker != b'{' {
            return Err(self.unexpected(marker, "an object"));
        }
        self.enter()?;
        let mut keys = Vec::new();
        while self.peek()? != b'}' {
            let key = self.string()?;
            keys.push(key);
            field(self, key)?;
        }
        self.at += 1;
        self.depth -= 1;
        check_keys(&mut keys).map_err(|error| error.at(format!("byte {}", self.at)))
    }

    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.elements(|document, kind| match kind {
            None => element(document),
            Some(kind) => Err(document.unexpected(kind, "an array of objects")),
        })
    }

    fn numbers<T: Number>(&mut self, out: &mut Vec<T>) -> Result<()> {
        let start = self.at;
        // Nearly all of a model is read here.
        if let (Some(kind), Some(count)) = self.array_head()?
            && let Some(size) = size_of_type(kind)
        {
            let bytes = self.take(count.saturating_mul(size))?;
            let first = out.len();
            out.resize(first + count, T::default());
            return if decode(kind, bytes, &mut out[first..]) { Ok(()) } else { Err(self.not_of_kind()) };
        }
        self.at = start;
        self.elements(|document, kind| {
            let marker = kind.map_or_else(|| document.marker(), Ok)?;
            out.push(document.scalar(marker)?);
            Ok(())
        })
    }

    fn number<T: Number>(&mut self) -> Result<T> {
        let marker = self.marker()?;
        self.scalar(marker)
    }

    fn text(&mut self) -> Result<String> {
        match self.marker()? {
            b'S' => Ok(self.string()?.to_owned()),
            b'd' => Ok(f32::from_be_bytes(self.fixed()?).to_string()),
            b'D' => Ok(f64::from_be_bytes(self.fixed()?).to_string()),
            marker => Ok(self.scalar::<i64>(marker)?.to_string()),
        }
    }

    fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            b'{' => self.object(|document, _| document.skip()),
            b'[' => {
                let start = self.at;
                if let (Some(kind), Some(count)) = self.array_head()? {
                    let size = size_of_type(kind).ok_or_else(|| self.unexpected(kind, "an array of numbers"))?;
                    return self.take(count.saturating_mul(size)).map(drop);
                }
                self.at = start;
                self.array(Self::skip)
            }
            b'S' => {
                self.at += 1;
                self.string().map(drop)
            }
            b'Z' | b'T' | b'F' => {
                self.at += 1;
                Ok(())
            }
            marker => {
                self.at += 1;
                let size = size_of_type(marker).ok_or_else(|| self.unexpected(marker, "a value"))?;
                self.take(size).map(drop)
            }
        }
    }

    fn position(&self) -> usize {
        self.at
    }

    fn seek(&mut self, position: usize) {
        self.at = position;
    }

    fn end(&mut self) -> Result<()> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            left => Err(self.error(format!("{left} bytes after the end of the model"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integers(bytes: &[u8]) -> Result<Vec<i32>> {
        let mut out = Vec::new();
        Ubjson::new(bytes).numbers(&mut out)?;
        Ok(out)
    }

    #[test]
    fn reads_the_three_kinds_of_arrays() {
        let typed = b"[$l#L\0\0\0\0\0\0\0\x02\0\0\0\x01\xff\xff\xff\xff";
        let counted = b"[#L\0\0\0\0\0\0\0\x02i\x01l\xff\xff\xff\xff";
        let open = b"[i\x01I\xff\xff]";
        for bytes in [&typed[..], &counted[..], &open[..]] {
            assert_eq!(integers(bytes).unwrap(), [1, -1]);
            let mut document = Ubjson::new(bytes);
            document.skip().unwrap();
            document.end().unwrap();
        }
    }

    #[test]
    fn a_length_that_lies_costs_no_memory() {
        let error = integers(b"[$l#L\x7f\xff\xff\xff\xff\xff\xff\xff").unwrap_err().to_string();
        assert_eq!(error, "byte 13: a length of 9223372036854775807, but 0 bytes are left");
        assert!(integers(b"[$l#L\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(integers(b"[$l#L\0\0\0\0\0\0\0\x02\0\0\0\x01").is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = [b'['; 1000];
        assert!(Ubjson::new(&deep).skip().unwrap_err().to_string().contains("nested more than 64 deep"));
    }
}
