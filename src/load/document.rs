//! Nested objects and arrays, read in one pass: what JSON and UBJSON have in common.
//!
//! The reader is told what to expect and calls back for every field or element; nothing is kept that nobody asked
//! for. Numbers, booleans and integers are interchangeable, as in XGBoost's own reader. UBJSON is XGBoost's alone; JSON is
//! read for all.

use crate::error::{Error, Result};

/// Objects and arrays within one another; deeper files are refused rather than risk the stack.
pub(in crate::load) const MAX_NESTING: usize = 64;

/// Refuses an object whose keys are not all different. XGBoost keeps the last of two; no library writes two, and a
/// one-pass reader would have used both.
pub(in crate::load) fn check_keys(keys: &mut [&str]) -> Result<()> {
    // As XGBoost writes them.
    if keys.is_sorted_by(|a, b| a < b) {
        return Ok(());
    }
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(()),
        Some(pair) => {
            let key: String = pair[0].chars().take(24).collect();
            Err(Error::invalid_model(format!("key {key:?} twice in one object")))
        }
    }
}

/// A cursor over an encoded document. Every method consumes one value.
pub(in crate::load) trait Document: Sized {
    /// An array of numbers that was passed over.
    type Passed;

    /// Calls `field` with every key; it must consume that key's value. A key that comes twice is an error.
    fn object(&mut self, field: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()>;

    /// Calls `element` for every element; it must consume it.
    fn array(&mut self, element: impl FnMut(&mut Self) -> Result<()>) -> Result<()>;

    /// Appends an array of numbers.
    fn numbers<T: Number>(&mut self, out: &mut Vec<T>) -> Result<()>;

    /// One number.
    fn number<T: Number>(&mut self) -> Result<T>;

    /// A string; a number or boolean is taken as its text.
    fn text(&mut self) -> Result<String>;

    /// Anything.
    fn skip(&mut self) -> Result<()>;

    /// Passes over an array of numbers that may turn out to be needed.
    fn pass(&mut self) -> Result<Self::Passed>;

    /// Appends the numbers of an array that was passed over.
    fn numbers_of<T: Number>(&mut self, passed: Self::Passed, out: &mut Vec<T>) -> Result<()>;

    /// Bytes before the next value.
    fn position(&self) -> usize;

    /// An error at the cursor.
    fn error(&self, finding: impl Into<String>) -> Error {
        Error::invalid_model(finding).at(format!("byte {}", self.position()))
    }

    /// The end of the document.
    fn end(&mut self) -> Result<()>;
}

/// Number types a document is read into.
pub(in crate::load) trait Number: Copy + Default {
    /// The value that `text` spells: straight to this type, correctly rounded.
    fn parse(text: &str) -> Option<Self>;
    fn from_i64(value: i64) -> Option<Self>;
    fn from_f64(value: f64) -> Option<Self>;
    /// For encodings that hold f32.
    fn from_f32(value: f32) -> Option<Self>;
}

impl Number for f32 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn from_i64(value: i64) -> Option<Self> {
        Some(value as f32)
    }
    fn from_f64(value: f64) -> Option<Self> {
        Some(value as f32)
    }
    fn from_f32(value: f32) -> Option<Self> {
        Some(value)
    }
}

impl Number for f64 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn from_i64(value: i64) -> Option<Self> {
        Some(value as f64)
    }
    fn from_f64(value: f64) -> Option<Self> {
        Some(value)
    }
    fn from_f32(value: f32) -> Option<Self> {
        Some(value.into())
    }
}

impl Number for i64 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().or_else(|| Self::from_f64(text.parse().ok()?))
    }
    fn from_i64(value: i64) -> Option<Self> {
        Some(value)
    }
    fn from_f64(value: f64) -> Option<Self> {
        (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
    }
    fn from_f32(value: f32) -> Option<Self> {
        Self::from_f64(value.into())
    }
}

impl Number for i32 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().or_else(|| Self::from_i64(i64::parse(text)?))
    }
    fn from_i64(value: i64) -> Option<Self> {
        value.try_into().ok()
    }
    fn from_f64(value: f64) -> Option<Self> {
        Self::from_i64(i64::from_f64(value)?)
    }
    fn from_f32(value: f32) -> Option<Self> {
        Self::from_f64(value.into())
    }
}
