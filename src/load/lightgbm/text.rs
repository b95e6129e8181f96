//! Lines and lists of numbers.

use std::str::FromStr;

use crate::error::{Error, Result};

/// Lines of a file, ended by `\n` or `\r\n`.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, number: 0 }
    }

    /// Number of the line last returned, from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The next line, which stays.
    pub(super) fn peek(&self) -> Result<Option<&'a str>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let end = memchr::memchr(b'\n', self.rest).unwrap_or(self.rest.len());
        let line = self.rest[..end].strip_suffix(b"\r").unwrap_or(&self.rest[..end]);
        // LightGBM takes a NUL for the end of the file.
        let text = std::str::from_utf8(line).ok().filter(|_| memchr::memchr(0, line).is_none());
        text.map(Some).ok_or_else(|| Error::invalid_model(format!("line {}: not UTF-8 text", self.number + 1)))
    }

    pub(super) fn next(&mut self) -> Result<Option<&'a str>> {
        let line = self.peek()?;
        if line.is_some() {
            let end = memchr::memchr(b'\n', self.rest).map_or(self.rest.len(), |end| end + 1);
            self.rest = &self.rest[end..];
            self.number += 1;
        }
        Ok(line)
    }
}

/// One number; white space around it is ignored.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T> {
    text.trim()
        .parse()
        .map_err(|_| Error::invalid_model(format!("{:?} is not a number of the kind expected", short(text))))
}

/// Replaces `out` with the numbers of a list separated by runs of spaces.
pub(super) fn numbers<T: FromStr>(text: &str, out: &mut Vec<T>) -> Result<()> {
    out.clear();
    for item in text.split(' ').filter(|item| !item.is_empty()) {
        out.push(number(item)?);
    }
    Ok(())
}

/// Shown in errors, so cut short.
pub(super) fn short(text: &str) -> String {
    text.chars().take(24).collect()
}
