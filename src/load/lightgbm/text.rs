//! Lines and lists of numbers.

use std::str::FromStr;

use crate::error::{Error, Result};

/// Lines of a file, ended by `\n` or `\r\n`.
pub(super) struct Lines<'a> {
    /// What has not been returned, up to the first line that is not text.
    rest: &'a str,
    /// Whether such a line follows.
    broken: bool,
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        // LightGBM takes a NUL for the end of the file.
        let end = memchr::memchr(0, bytes).unwrap_or(bytes.len());
        let valid = match std::str::from_utf8(&bytes[..end]) {
            Ok(text) => text,
            Err(cause) => std::str::from_utf8(&bytes[..cause.valid_up_to()]).unwrap_or(""),
        };
        let broken = valid.len() < bytes.len();
        let rest = if broken { valid.rfind('\n').map_or("", |end| &valid[..=end]) } else { valid };
        Self { rest, broken, number: 0 }
    }

    /// Number of the line last returned, from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The next line, which stays.
    pub(super) fn peek(&self) -> Result<Option<&'a str>> {
        self.split().map(|split| split.map(|(line, _)| line))
    }

    pub(super) fn next(&mut self) -> Result<Option<&'a str>> {
        let split = self.split()?;
        if let Some((_, rest)) = split {
            self.rest = rest;
            self.number += 1;
        }
        Ok(split.map(|(line, _)| line))
    }

    /// The next line, and what follows it.
    fn split(&self) -> Result<Option<(&'a str, &'a str)>> {
        if self.rest.is_empty() {
            return match self.broken {
                false => Ok(None),
                true => Err(Error::invalid_model(format!("line {}: not UTF-8 text", self.number + 1))),
            };
        }
        let (line, rest) = match memchr::memchr(b'\n', self.rest.as_bytes()) {
            Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
            None => (self.rest, ""),
        };
        Ok(Some((line.strip_suffix('\r').unwrap_or(line), rest)))
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
    let mut rest = text;
    while !rest.is_empty() {
        let len = rest.bytes().position(|byte| byte == b' ').unwrap_or(rest.len());
        if len > 0 {
            let item = &rest[..len];
            out.push(item.parse().map_err(|_| {
                Error::invalid_model(format!("{:?} is not a number of the kind expected", short(item)))
            })?);
        }
        rest = rest.get(len + 1..).unwrap_or("");
    }
    Ok(())
}

/// Shown in errors, so cut short.
pub(super) fn short(text: &str) -> String {
    text.chars().take(24).collect()
}
