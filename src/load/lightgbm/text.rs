//! Lines and lists of numbers.

use std::str::FromStr;

use crate::error::{Error, Result};

/// Lines of a file, ended by `\n` or `\r\n`.
pub(super) struct Lines<'a> {
    /// What has not been returned, up to the first line that is not text.
    rest: &'a str,
    /// The next line and what follows it, once that has been looked for.
    ahead: Option<(&'a str, &'a str)>,
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
        Self { rest, ahead: None, broken, number: 0 }
    }

    /// Number of the line last returned, from 1.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// The next line, which stays.
    pub(super) fn peek(&mut self) -> Result<Option<&'a str>> {
        if self.ahead.is_none() {
            self.ahead = self.split()?;
        }
        Ok(self.ahead.map(|(line, _)| line))
    }

    pub(super) fn next(&mut self) -> Result<Option<&'a str>> {
        let line = self.peek()?;
        if let Some((_, rest)) = self.ahead.take() {
            self.rest = rest;
            self.number += 1;
        }
        Ok(line)
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

/// A number of a list.
pub(super) trait Item: FromStr {
    /// The number at the start of `text`, and its length, if it is one that takes no care: a whole one of up to 18
    /// digits, with a space behind it, or nothing.
    fn plain(_text: &[u8]) -> Option<(Self, usize)> {
        None
    }
}

impl Item for f64 {}

macro_rules! whole {
    ($($number:ident),*) => {$(
        impl Item for $number {
            #[inline]
            fn plain(text: &[u8]) -> Option<(Self, usize)> {
                let (number, len) = plain_integer(text)?;
                Some((number.try_into().ok()?, len))
            }
        }
    )*};
}

whole!(i8, i32, i64, u32, usize);

/// As [`Item::plain`]. Eight digits at a time: where a number ends nobody foresees.
#[inline]
fn plain_integer(text: &[u8]) -> Option<(i64, usize)> {
    let sign = usize::from(text.first() == Some(&b'-'));
    let rest = &text[sign..];
    let eight = |from: usize| rest.get(from..)?.first_chunk().map(|eight| leading_digits(u64::from_le_bytes(*eight)));
    let (number, len) = match eight(0) {
        Some((number, 8)) => match eight(8) {
            Some((behind, len @ 0..8)) => (number as i64 * TENS[len] + behind as i64, 8 + len),
            _ => digits(rest),
        },
        Some((number, len)) => (number as i64, len),
        None => digits(rest),
    };
    let ends = len > 0 && rest.get(len).is_none_or(|&byte| byte == b' ');
    // "-0" is no number of a type without signs.
    (ends && (sign == 0 || number > 0)).then_some((if sign == 1 { -number } else { number }, sign + len))
}

/// Powers of ten.
const TENS: [i64; 8] = [1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000];

/// The number that the first of eight characters spell, and how many digits it has.
#[inline]
fn leading_digits(text: u64) -> (u64, usize) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let digits = text ^ (EACH * 0x30);
    // The highest bit of a byte that is no digit; of those behind it whatever is carried.
    let others = (digits.wrapping_add(EACH * 0x76) | digits) & (EACH * 0x80);
    let len = others.trailing_zeros() as usize / 8;
    // Zeros in front do no harm; without digits there are none.
    let digits = if len == 0 { 0 } else { digits << (8 * (8 - len)) };
    let pairs = (digits & (EACH * 0x0f)).wrapping_mul(10 << 8 | 1) >> 8;
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16;
    ((fours & 0x0000_ffff_0000_ffff).wrapping_mul(10_000 << 32 | 1) >> 32, len)
}

/// The same of up to 18 digits, one by one.
fn digits(text: &[u8]) -> (i64, usize) {
    const MOST: usize = 18;
    let digits = text.iter().take(MOST).take_while(|byte| byte.is_ascii_digit());
    digits.fold((0, 0), |(number, len), &byte| (10 * number + i64::from(byte - b'0'), len + 1))
}

/// One number; white space around it is ignored.
pub(super) fn number<T: FromStr>(text: &str) -> Result<T> {
    text.trim()
        .parse()
        .map_err(|_| Error::invalid_model(format!("{:?} is not a number of the kind expected", short(text))))
}

/// Replaces `out` with the numbers of a list separated by runs of spaces.
pub(super) fn numbers<T: Item>(text: &str, out: &mut Vec<T>) -> Result<()> {
    out.clear();
    let mut rest = text;
    while !rest.is_empty() {
        if let Some((item, len)) = T::plain(rest.as_bytes()) {
            out.push(item);
            rest = rest.get(len + 1..).unwrap_or("");
            continue;
        }
        let len = memchr::memchr(b' ', rest.as_bytes()).unwrap_or(rest.len());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_their_items_are() {
        let items = [
            "0",
            "-1",
            "12345678",
            "123456789",
            "1234567890",
            "-123456789",
            "4294967295",
            "4294967296",
            "-9223372036854775808",
            "999999999999999999",
            "1000000000000000000",
            "007",
            "+3",
            "-0",
            "127",
            "-129",
            "1/2",
            "9:9",
            "12345678x",
            "1234567é",
        ];
        fn read<T: Item + PartialEq + std::fmt::Debug>(items: &[&str]) {
            for item in items {
                let mut list = Vec::new();
                let expected = item.parse::<T>().ok().map(|number| vec![number]);
                assert_eq!(numbers::<T>(item, &mut list).ok().map(|()| list), expected, "{item}");
                let (mut list, text) = (Vec::new(), format!(" {item}  {item} "));
                let expected = item.parse::<T>().ok().zip(item.parse::<T>().ok()).map(|(a, b)| vec![a, b]);
                assert_eq!(numbers::<T>(&text, &mut list).ok().map(|()| list), expected, "{text:?}");
            }
        }
        read::<i8>(&items);
        read::<i32>(&items);
        read::<i64>(&items);
        read::<u32>(&items);
        read::<usize>(&items);
        read::<f64>(&items);
        for wrong in ["-", "1-", "1,2", "--1", "\t1"] {
            assert!(numbers::<i32>(wrong, &mut Vec::new()).is_err(), "{wrong:?}");
        }
    }
}
