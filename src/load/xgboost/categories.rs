//! The categories of a data frame's columns, which files of 3.1 and later store in `cats` (XGBoost
//! `src/data/cat_container.cc`): words as one run of bytes with offsets, or whole numbers; in the order of their codes.

use super::objective::Version;
use crate::error::{Error, Result};
use crate::load::document::Document;
use crate::schema::{Categories, Category, Unseen};

/// A column as the file has it; without values it is one of numbers.
pub(super) enum Column {
    Words { offsets: Vec<i64>, bytes: Vec<i64> },
    Numbers(Vec<i64>),
}

/// Reads `cats` to `out`: an entry for every feature.
pub(super) fn read<D: Document>(document: &mut D, out: &mut Vec<Column>) -> Result<()> {
    document.object(|document, key| match key {
        "enc" => document.array(|document| {
            let (mut offsets, mut values) = (None, Vec::<i64>::new());
            document.object(|document, key| match key {
                "offsets" => document.numbers(offsets.insert(Vec::<i64>::new())),
                "values" => document.numbers(&mut values),
                _ => document.skip(),
            })?;
            out.push(match offsets {
                Some(offsets) => Column::Words { offsets, bytes: values },
                None => Column::Numbers(values),
            });
            Ok(())
        }),
        _ => document.skip(),
    })
}

impl Column {
    /// The categories that a file of `version` means.
    pub(super) fn categories(&self, version: Version) -> Result<Option<Categories>> {
        let values = match self {
            // 3.1 and 3.2 count characters for offsets where they mean bytes, and cut off what they leave over: beside
            // words beyond ASCII the words are not those of the training.
            Self::Words { bytes, .. } if !version.at_least(3, 3) && bytes.iter().any(|&byte| byte < 0) => {
                return Ok(None);
            }
            Self::Words { offsets, bytes } => words(offsets, bytes)?,
            Self::Numbers(values) => values.iter().copied().map(Category::Integer).collect(),
        };
        if values.is_empty() {
            return Ok(None);
        }
        let categories = Categories::new(values, Unseen::Error);
        categories.map(Some).ok_or_else(|| Error::invalid_model("a category twice"))
    }
}

/// The words between neighbouring offsets; their bytes are stored as signed.
fn words(offsets: &[i64], bytes: &[i64]) -> Result<Vec<Category>> {
    let bytes: Option<Vec<u8>> = bytes.iter().map(|&byte| i8::try_from(byte).ok().map(|byte| byte as u8)).collect();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| Error::invalid_model("categories that are not UTF-8"))?;
    let word = |pair: &[i64]| {
        let range = usize::try_from(pair[0]).ok()?..usize::try_from(pair[1]).ok()?;
        Some(Category::Text(text.get(range)?.to_owned()))
    };
    // Only words that follow one another make no more text than the file holds.
    let words = if offsets.is_sorted() { offsets.windows(2).map(word).collect() } else { None };
    words.ok_or_else(|| Error::invalid_model("offsets of categories that are not those of words"))
}
