//! Categories by value: what a model was trained on, and the codes its rows hold for them.
//!
//! A data frame numbers its categories as it likes, so another frame may number the same ones otherwise. Models that
//! store their list can be asked for the code of a value instead.

use std::cmp::Ordering;
use std::fmt;

use serde::Serialize;

use crate::error::{Error, Result as Checked};
use crate::store::{Reader, Stored, Writer, stored};

/// The categories of a column in the order of their codes, each once.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Categories {
    // Boxed: models may have millions of features, and few of them have categories.
    list: Box<List>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct List {
    values: Vec<Category>,
    unseen: Unseen,
    /// Codes in the order of their values.
    #[serde(skip)]
    by_value: Vec<u32>,
}

/// One category.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Category {
    /// A word.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number that is not whole.
    Float(f64),
    /// True or false.
    Bool(bool),
}

/// What becomes of a category that training did not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unseen {
    /// It is an error, as for XGBoost (since 3.3; 3.1 and 3.2 took another category for it).
    Error,
    /// It counts as missing, as for LightGBM.
    Missing,
}

/// A category as a caller gives it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum CategoryRef<'a> {
    /// A word, or the text of a number or truth value.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// A number; NaN is a missing value.
    Float(f64),
    /// True or false.
    Bool(bool),
}

impl Categories {
    /// A list of categories; `None` if two are equal or one is NaN.
    pub(crate) fn new(values: Vec<Category>, unseen: Unseen) -> Option<Self> {
        let values: Vec<Category> = values.into_iter().map(Category::normal).collect();
        let mut by_value: Vec<u32> = (0..u32::try_from(values.len()).ok()?).collect();
        by_value.sort_by(|&a, &b| values[a as usize].as_key().order(&values[b as usize].as_key()));
        let equal = |pair: &[u32]| values[pair[0] as usize] == values[pair[1] as usize];
        let is_nan = |value: &Category| matches!(value, Category::Float(value) if value.is_nan());
        let sound = !by_value.windows(2).any(equal) && !values.iter().any(is_nan);
        sound.then(|| Self { list: Box::new(List { values, unseen, by_value }) })
    }

    /// The categories, in the order of their codes.
    pub fn values(&self) -> &[Category] {
        &self.list.values
    }

    /// What becomes of others.
    pub fn unseen(&self) -> Unseen {
        self.list.unseen
    }

    pub(crate) fn set_unseen(&mut self, unseen: Unseen) {
        self.list.unseen = unseen;
    }

    /// The code of a category, if training saw it.
    pub fn code(&self, category: CategoryRef<'_>) -> Option<u32> {
        self.find(category).or_else(|| match category {
            CategoryRef::Text(text) => spelled(text).into_iter().find_map(|category| self.find(category)),
            _ => None,
        })
    }

    fn find(&self, category: CategoryRef<'_>) -> Option<u32> {
        let category = category.normal();
        let List { values, by_value, .. } = &*self.list;
        let at = by_value.binary_search_by(|&code| values[code as usize].as_key().order(&category));
        at.ok().map(|at| by_value[at])
    }

    /// The number that rows hold, or what is wrong.
    pub(super) fn encode(&self, category: CategoryRef<'_>) -> Result<f64, String> {
        match self.code(category) {
            Some(code) => Ok(code.into()),
            None if matches!(category, CategoryRef::Float(value) if value.is_nan()) => Ok(f64::NAN),
            None if self.list.unseen == Unseen::Missing => Ok(f64::NAN),
            None => Err(format!("{category} is none of the {} categories of the model", self.list.values.len())),
        }
    }
}

impl Category {
    /// Whole numbers are integers, however they were written.
    fn normal(self) -> Self {
        match self.as_key() {
            CategoryRef::Integer(value) => Self::Integer(value),
            _ => self,
        }
    }

    fn as_key(&self) -> CategoryRef<'_> {
        let key = match self {
            Self::Text(text) => CategoryRef::Text(text),
            &Self::Integer(value) => CategoryRef::Integer(value),
            &Self::Float(value) => CategoryRef::Float(value),
            &Self::Bool(value) => CategoryRef::Bool(value),
        };
        key.normal()
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_key().fmt(f)
    }
}

impl CategoryRef<'_> {
    fn normal(self) -> Self {
        match self {
            // Every f64 this small that is whole is an i64.
            Self::Float(value) if value.fract() == 0.0 && value.abs() < 9e18 => Self::Integer(value as i64),
            _ => self,
        }
    }

    /// A total order: by kind, then by value.
    fn order(&self, other: &Self) -> Ordering {
        let kind = |category: &Self| match category {
            Self::Text(_) => 0,
            Self::Integer(_) => 1,
            Self::Float(_) => 2,
            Self::Bool(_) => 3,
        };
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::Integer(a), Self::Integer(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => a.total_cmp(b),
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (a, b) => kind(a).cmp(&kind(b)),
        }
    }

    /// The number this is or spells.
    pub(super) fn as_number(&self) -> Option<f64> {
        match *self {
            Self::Text(text) => text.trim().parse().ok(),
            Self::Integer(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            Self::Bool(value) => Some(value.into()),
        }
    }
}

impl fmt::Display for CategoryRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => match text.char_indices().nth(40) {
                Some((end, _)) => write!(f, "{:?}", format!("{}…", &text[..end])),
                None => write!(f, "{text:?}"),
            },
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Bool(value) => value.fmt(f),
        }
    }
}

/// What a text may spell: itself without blanks around it, a number, a truth value.
fn spelled(text: &str) -> Vec<CategoryRef<'_>> {
    let text = text.trim();
    let mut all = vec![CategoryRef::Text(text)];
    all.extend(text.parse().ok().map(CategoryRef::Integer));
    all.extend(text.parse().ok().filter(|value: &f64| !value.is_nan()).map(CategoryRef::Float));
    all.extend(["true", "True"].contains(&text).then_some(CategoryRef::Bool(true)));
    all.extend(["false", "False"].contains(&text).then_some(CategoryRef::Bool(false)));
    all
}

impl<'a> From<&'a str> for CategoryRef<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for CategoryRef<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl From<i32> for CategoryRef<'_> {
    fn from(value: i32) -> Self {
        Self::Integer(value.into())
    }
}

impl From<i64> for CategoryRef<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for CategoryRef<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<bool> for CategoryRef<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

stored!(enum Category { 0 => Text(text), 1 => Integer(value), 2 => Float(value), 3 => Bool(value) });
stored!(enum Unseen { 0 => Error, 1 => Missing });

impl Stored for Categories {
    fn put(&self, to: &mut Writer) {
        self.list.values.put(to);
        self.list.unseen.put(to);
    }

    fn get(from: &mut Reader) -> Checked<Self> {
        let categories = Self::new(Stored::get(from)?, Stored::get(from)?);
        categories.ok_or_else(|| Error::invalid_model("a category that is listed twice"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(unseen: Unseen) -> Categories {
        let words = ["red", "green", "10", "blue"].map(|word| Category::Text(word.to_owned()));
        let numbers = [Category::Integer(10), Category::Float(2.5), Category::Float(7.0), Category::Bool(true)];
        Categories::new(words.into_iter().chain(numbers).collect(), unseen).unwrap()
    }

    #[test]
    fn categories_are_found_by_value() {
        let list = list(Unseen::Error);
        for (code, value) in list.values().iter().enumerate() {
            assert_eq!(list.code(value.as_key()), Some(code as u32), "{value}");
        }
        assert_eq!(list.code("10".into()), Some(2), "the text itself comes before the number it spells");
        assert_eq!(
            (list.code(10.into()), list.code(10.0.into()), list.code("10.0".into())),
            (Some(4), Some(4), Some(4))
        );
        assert_eq!(
            (list.code("7".into()), list.code(" 2.5 ".into()), list.code(" blue".into())),
            (Some(6), Some(5), Some(3))
        );
        assert_eq!((list.code("True".into()), list.code(1.into())), (Some(7), None));
        for unseen in ["pink", "", "nan", "Red", "1e400", "10.5"] {
            assert_eq!(list.code(unseen.into()), None, "{unseen}");
        }
    }

    #[test]
    fn the_unseen_are_an_error_or_missing() {
        let error = list(Unseen::Error).encode("pink".into()).unwrap_err();
        assert_eq!(error, "\"pink\" is none of the 8 categories of the model");
        assert!(list(Unseen::Missing).encode("pink".into()).unwrap().is_nan());
        assert!(list(Unseen::Error).encode(f64::NAN.into()).unwrap().is_nan());
    }

    #[test]
    fn a_list_has_every_category_once() {
        let new = |values: &[Category]| Categories::new(values.to_vec(), Unseen::Error);
        assert!(new(&[Category::Integer(1), Category::Float(1.0)]).is_none());
        assert!(new(&[Category::Float(f64::NAN)]).is_none());
        assert!(new(&[Category::Integer(1), Category::Bool(true), Category::Text("1".to_owned())]).is_some());
    }
}
