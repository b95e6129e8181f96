//! Columns of several types, as pipelines take them.

use anyhow::{Context, Result, bail};
use sawmill::{Column, Feature, FeatureKind, Schema, Strings};

use super::csv::{number, shown};

/// The cells of a column.
pub enum Cells {
    Numbers(Vec<f64>),
    Integers(Vec<i64>),
    Truths(Vec<bool>),
    Texts(Strings),
}

/// Whether rows of numbers do not do.
pub fn is_typed(schema: &Schema) -> bool {
    let typed = |feature: &Feature| !matches!(feature.kind, FeatureKind::Numeric | FeatureKind::Category);
    schema.features.iter().any(typed)
}

impl Cells {
    /// No cells, of the type of a feature.
    pub fn of(feature: &Feature) -> Self {
        match feature.kind {
            FeatureKind::Text => Self::Texts(Strings::default()),
            FeatureKind::Integer => Self::Integers(Vec::new()),
            FeatureKind::Boolean => Self::Truths(Vec::new()),
            _ => Self::Numbers(Vec::new()),
        }
    }

    /// Removes all cells.
    pub fn clear(&mut self) {
        match self {
            Self::Numbers(values) => values.clear(),
            Self::Integers(values) => values.clear(),
            Self::Truths(values) => values.clear(),
            Self::Texts(values) => values.clear(),
        }
    }

    /// Adds the cell a field of a CSV file holds.
    pub fn push(&mut self, field: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(field).with_context(|| format!("{} is not UTF-8", shown(field)))?;
        match self {
            Self::Numbers(values) => {
                values.push(number(field).with_context(|| format!("{} is not a number", shown(field)))?);
            }
            Self::Integers(values) => match whole(text.trim()) {
                Some(value) => values.push(value),
                None => bail!("{} is not a whole number", shown(field)),
            },
            Self::Truths(values) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "1" => values.push(true),
                "false" | "0" => values.push(false),
                _ => bail!("{} is neither true nor false", shown(field)),
            },
            Self::Texts(values) => values.push(text.trim_end_matches('\r')),
        }
        Ok(())
    }

    /// As a model takes them.
    pub fn column(&self) -> Column<'_> {
        match self {
            Self::Numbers(values) => Column::F64(values),
            Self::Integers(values) => Column::I64(values),
            Self::Truths(values) => Column::Bool(values),
            Self::Texts(values) => Column::Text(values),
        }
    }
}

/// A whole number, perhaps written as a decimal.
fn whole(text: &str) -> Option<i64> {
    let decimal = || text.parse::<f64>().ok().filter(|value| value.trunc() == *value && value.abs() < EXACT);
    text.parse().ok().or_else(|| decimal().map(|value| value as i64))
}

/// Below it every whole number is a double.
const EXACT: f64 = (1u64 << 53) as f64;
