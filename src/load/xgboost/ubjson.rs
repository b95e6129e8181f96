//! UBJSON as XGBoost writes it: big-endian, every length an `L` (XGBoost `src/common/json.cc`, `UBJReader`).
//!
//! `{ L<len>key value … }`, `S L<len>bytes`, integers `i U I l L`, floats `d D`, `T`, `F`, `Z`; arrays
//! `[$<type>#L<n>values` (typed), `[#L<n>values` (counted, no closing bracket) or `[ values ]`. The three integer
//! sizes of a length are accepted wherever XGBoost writes `L`.

use std::io::Read;

use crate::error::{Error, Result};
use crate::load::document::{Document, MAX_NESTING, Number, check_keys};

/// A document that is read piece by piece.
pub(super) struct Ubjson<R> {
    source: R,
    /// Bytes of the source that have not been read.
    unread: usize,
    /// What has been read of it last, up to `end`; what comes next is at `at`.
    window: Vec<u8>,
    at: usize,
    end: usize,
    /// Bytes of the document before the window.
    before: usize,
    depth: usize,
}

/// Bytes of a window, unless a single value has more: the nearer caches hold them.
const WINDOW: usize = 2 * BLOCK;

/// Bytes that are read at once, or several times as many: whoever hashes them does so quickest.
const BLOCK: usize = 64 << 10;

impl<R: Read> Ubjson<R> {
    /// Of `size` bytes of `source`.
    pub(super) fn new(source: R, size: usize) -> Self {
        Self { source, unread: size, window: vec![0; size.min(WINDOW)], at: 0, end: 0, before: 0, depth: 0 }
    }

    /// Bytes that have not been consumed.
    fn left(&self) -> usize {
        self.end - self.at + self.unread
    }

    /// Reads on until `count` bytes that have not been consumed are in the window.
    #[cold]
    fn fill(&mut self, count: usize) -> Result<()> {
        if count > self.left() {
            return Err(self.error(format!("{count} bytes expected, but the file ends after {}", self.left())));
        }
        self.window.copy_within(self.at..self.end, 0);
        (self.before, self.end, self.at) = (self.before + self.at, self.end - self.at, 0);
        while self.end < count {
            if self.end == self.window.len() {
                // A long text, of which no more is believed than what is read.
                self.window.resize(2 * self.end, 0);
            }
            let room = self.window.len() - self.end;
            let blocks = if room < BLOCK { room } else { room - room % BLOCK };
            let room = &mut self.window[self.end..][..blocks.min(self.unread)];
            self.source.read_exact(room).map_err(Error::io)?;
            self.unread -= room.len();
            self.end += room.len();
        }
        Ok(())
    }

    #[inline]
    fn take(&mut self, count: usize) -> Result<&[u8]> {
        if self.end - self.at < count {
            self.fill(count)?;
        }
        let taken = &self.window[self.at..][..count];
        self.at += count;
        Ok(taken)
    }

    /// Consumes so many bytes of no interest.
    fn pass_over(&mut self, mut count: usize) -> Result<()> {
        if count > self.left() {
            return self.fill(count);
        }
        while count > self.end - self.at {
            count -= self.end - self.at;
            self.at = self.end;
            self.fill(1)?;
        }
        self.at += count;
        Ok(())
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("took N bytes"))
    }

    /// The next marker, which stays. `N` is a no-op and skipped.
    #[inline]
    fn peek(&mut self) -> Result<u8> {
        loop {
            if self.at == self.end {
                if self.unread == 0 {
                    return Err(self.error("the file ends where a value is expected"));
                }
                self.fill(1)?;
            }
            match self.window[self.at] {
                b'N' => self.at += 1,
                marker => return Ok(marker),
            }
        }
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
        let length = match self.window[self.at..self.end].first_chunk() {
            // As XGBoost writes all of them.
            Some(&[b'L', a, b, c, d, e, f, g, h]) => {
                self.at += 9;
                i64::from_be_bytes([a, b, c, d, e, f, g, h])
            }
            _ => match self.marker()? {
                marker @ (b'i' | b'U' | b'I' | b'l' | b'L') => self.scalar(marker)?,
                marker => return Err(self.unexpected(marker, "a length")),
            },
        };
        let left = self.left();
        // Every element takes a byte or more, so no honest length is greater than what is left of the file.
        usize::try_from(length)
            .ok()
            .filter(|&length| length <= left)
            .ok_or_else(|| self.error(format!("a length of {length}, but {left} bytes are left")))
    }

    /// Appends a string.
    fn string(&mut self, out: &mut String) -> Result<()> {
        let length = self.length()?;
        match std::str::from_utf8(self.take(length)?) {
            Ok(text) => {
                out.push_str(text);
                Ok(())
            }
            Err(_) => Err(self.error("a string that is not UTF-8")),
        }
    }

    /// Appends `count` numbers of the type that `marker` says, each of `size` bytes.
    fn decode_all<T: Number>(&mut self, marker: u8, size: usize, count: usize, out: &mut Vec<T>) -> Result<()> {
        if count.saturating_mul(size) > self.left() {
            return self.fill(count.saturating_mul(size));
        }
        let mut first = out.len();
        out.resize(first + count, T::default());
        while first < out.len() {
            if self.end - self.at < size {
                self.fill(size)?;
            }
            let n = (out.len() - first).min((self.end - self.at) / size);
            let bytes = &self.window[self.at..][..n * size];
            if !decode(marker, bytes, &mut out[first..][..n]) {
                return Err(self.not_of_kind());
            }
            self.at += n * size;
            first += n;
        }
        Ok(())
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

    /// Calls `element` for every element behind the head of an array; with the type of all of them, if it states it.
    fn elements(
        &mut self,
        (kind, count): (Option<u8>, Option<usize>),
        mut element: impl FnMut(&mut Self, Option<u8>) -> Result<()>,
    ) -> Result<()> {
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

impl<R: Read> Document for Ubjson<R> {
    /// Its numbers, if their type is stated.
    type Passed = Option<Vec<f32>>;

    fn object(&mut self, mut field: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        let marker = self.marker()?;
        if marker != b'{' {
            return Err(self.unexpected(marker, "an object"));
        }
        self.enter()?;
        // Room for those of a tree.
        let (mut keys, mut ends) = (String::with_capacity(256), Vec::with_capacity(32));
        let (mut before, mut ascending) = (0, true);
        while self.peek()? != b'}' {
            let start = keys.len();
            self.string(&mut keys)?;
            ascending &= ends.is_empty() || keys[before..start] < keys[start..];
            before = start;
            ends.push(keys.len());
            field(self, &keys[start..])?;
        }
        self.at += 1;
        self.depth -= 1;
        if ascending {
            return Ok(());
        }
        let mut start = 0;
        let key = |end| &keys[std::mem::replace(&mut start, end)..end];
        let mut keys: Vec<&str> = ends.into_iter().map(key).collect();
        check_keys(&mut keys).map_err(|error| error.at(format!("byte {}", self.position())))
    }

    fn array(&mut self, mut element: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        let head = self.array_head()?;
        self.elements(head, |document, kind| match kind {
            None => element(document),
            Some(kind) => Err(document.unexpected(kind, "an array of objects")),
        })
    }

    fn numbers<T: Number>(&mut self, out: &mut Vec<T>) -> Result<()> {
        let head = self.array_head()?;
        match (head, head.0.and_then(size_of_type)) {
            // Nearly all of a model is read here.
            ((Some(kind), Some(count)), Some(size)) => self.decode_all(kind, size, count, out),
            _ => self.elements(head, |document, kind| {
                let marker = kind.map_or_else(|| document.marker(), Ok)?;
                out.push(document.scalar(marker)?);
                Ok(())
            }),
        }
    }

    fn number<T: Number>(&mut self) -> Result<T> {
        let marker = self.marker()?;
        self.scalar(marker)
    }

    fn text(&mut self) -> Result<String> {
        match self.marker()? {
            b'S' => {
                let mut text = String::new();
                self.string(&mut text)?;
                Ok(text)
            }
            b'd' => Ok(f32::from_be_bytes(self.fixed()?).to_string()),
            b'D' => Ok(f64::from_be_bytes(self.fixed()?).to_string()),
            marker => Ok(self.scalar::<i64>(marker)?.to_string()),
        }
    }

    fn skip(&mut self) -> Result<()> {
        match self.peek()? {
            b'{' => self.object(|document, _| document.skip()),
            b'[' => {
                let head = self.array_head()?;
                if let (Some(kind), Some(count)) = head {
                    let size = size_of_type(kind).ok_or_else(|| self.unexpected(kind, "an array of numbers"))?;
                    return self.pass_over(count.saturating_mul(size));
                }
                self.elements(head, |document, _| document.skip())
            }
            b'S' => {
                self.at += 1;
                self.string(&mut String::new())
            }
            b'Z' | b'T' | b'F' => {
                self.at += 1;
                Ok(())
            }
            marker => {
                self.at += 1;
                let size = size_of_type(marker).ok_or_else(|| self.unexpected(marker, "a value"))?;
                self.pass_over(size)
            }
        }
    }

    fn pass(&mut self) -> Result<Option<Vec<f32>>> {
        if self.peek()? != b'[' {
            return self.skip().map(|()| None);
        }
        let head = self.array_head()?;
        match (head, head.0.and_then(size_of_type)) {
            ((Some(kind), Some(count)), Some(size)) => {
                let mut numbers = Vec::new();
                self.decode_all(kind, size, count, &mut numbers)?;
                Ok(Some(numbers))
            }
            _ => self.elements(head, |document, _| document.skip()).map(|()| None),
        }
    }

    fn numbers_of<T: Number>(&mut self, passed: Option<Vec<f32>>, out: &mut Vec<T>) -> Result<()> {
        let numbers = passed.ok_or_else(|| self.error("an array of numbers without their type"))?;
        out.reserve(numbers.len());
        for number in numbers {
            out.push(T::from_f32(number).ok_or_else(|| self.not_of_kind())?);
        }
        Ok(())
    }

    fn position(&self) -> usize {
        self.before + self.at
    }

    fn end(&mut self) -> Result<()> {
        match self.left() {
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
        Ubjson::new(bytes, bytes.len()).numbers(&mut out)?;
        Ok(out)
    }

    #[test]
    fn reads_the_three_kinds_of_arrays() {
        let typed = b"[$l#L\0\0\0\0\0\0\0\x02\0\0\0\x01\xff\xff\xff\xff";
        let counted = b"[#L\0\0\0\0\0\0\0\x02i\x01l\xff\xff\xff\xff";
        let open = b"[i\x01I\xff\xff]";
        for bytes in [&typed[..], &counted[..], &open[..]] {
            assert_eq!(integers(bytes).unwrap(), [1, -1]);
            let mut document = Ubjson::new(bytes, bytes.len());
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
    fn values_may_lie_across_windows() {
        let length = |n: usize| [&b"L"[..], &(n as u64).to_be_bytes()].concat();
        let text = "é".repeat(WINDOW);
        let numbers: Vec<i32> = (0..WINDOW as i32).map(|number| number * 7919).collect();
        let array = [b"[$l#".to_vec(), length(numbers.len()), numbers.iter().flat_map(|n| n.to_be_bytes()).collect()];
        let array = array.concat();
        let parts = [&b"["[..], &array, &array, b"S", &length(text.len()), text.as_bytes(), &array, b"i\x05]"];
        let bytes = parts.concat();
        let mut document = Ubjson::new(&bytes[..], bytes.len());
        let (mut place, mut found, mut last) = (0, Vec::<i32>::new(), 0);
        let read = document.array(|document| {
            place += 1;
            match place {
                1 => document.skip(),
                2 => {
                    let passed = document.pass()?;
                    let mut floats = Vec::<f32>::new();
                    document.numbers_of(passed, &mut floats)?;
                    assert!(floats.iter().zip(&numbers).all(|(&float, &number)| float == number as f32));
                    Ok(())
                }
                3 => {
                    assert!(document.text()? == text);
                    Ok(())
                }
                4 => document.numbers(&mut found),
                _ => {
                    last = document.number()?;
                    Ok(())
                }
            }
        });
        read.and_then(|()| document.end()).unwrap();
        assert!(found == numbers && last == 5 && document.position() == bytes.len());
        // A file that is cut short while it is read.
        let cut = &bytes[..bytes.len() / 2];
        assert!(Ubjson::new(cut, bytes.len()).skip().is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = [b'['; 1000];
        assert!(
            Ubjson::new(&deep[..], deep.len()).skip().unwrap_err().to_string().contains("nested more than 64 deep")
        );
    }
}
