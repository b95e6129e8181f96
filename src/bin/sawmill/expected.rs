//! Comparing predictions with the answers the user expects.

use sawmill::{Predictions, Values};

use crate::input::table::Table;

/// What a comparison finds, row by row.
pub struct Comparison<'a> {
    expected: &'a Table,
    tolerance: Option<f64>,
    n_rows: usize,
    n_columns: usize,
    differing: usize,
    worst_absolute: f64,
    worst_ulp: Option<u64>,
    first: Option<String>,
}

impl<'a> Comparison<'a> {
    pub fn new(expected: &'a Table, tolerance: Option<f64>) -> Self {
        Self {
            expected,
            tolerance,
            n_rows: 0,
            n_columns: 0,
            differing: 0,
            worst_absolute: 0.0,
            worst_ulp: None,
            first: None,
        }
    }

    /// Compares the next rows.
    pub fn add(&mut self, predictions: &Predictions) {
        self.n_columns = predictions.n_columns();
        let width = self.n_columns.max(1);
        let values = predictions.to_f64();
        let unit = Unit::of(predictions.values());
        for (row, found) in (self.n_rows..).zip(values.chunks_exact(width)) {
            if self.n_columns == self.expected.n_columns && row < self.expected.n_rows {
                self.add_row(row, found, self.expected.rows(row..row + 1), unit);
            }
        }
        self.n_rows += predictions.n_rows();
    }

    fn add_row(&mut self, row: usize, found: &[f64], wanted: &[f64], unit: Unit) {
        let mut differs = false;
        for (column, (&found, &wanted)) in found.iter().zip(wanted).enumerate() {
            let wanted = unit.round(wanted);
            if is_equal(found, wanted) {
                continue;
            }
            let absolute = (found - wanted).abs();
            // The distance from NaN is NaN, the greatest in total order.
            if absolute.total_cmp(&self.worst_absolute).is_gt() {
                self.worst_absolute = absolute;
            }
            self.worst_ulp = self.worst_ulp.max(unit.ulps(found, wanted));
            if self.tolerance.is_some_and(|tolerance| absolute <= tolerance * wanted.abs().max(1.0)) {
                continue;
            }
            differs = true;
            if self.first.is_none() {
                let place = if self.n_columns == 1 { String::new() } else { format!(", column {column}") };
                self.first = Some(format!("row {row}{place}: {} instead of {}", unit.shown(found), unit.shown(wanted)));
            }
        }
        self.differing += usize::from(differs);
    }

    /// Whether all is as expected, and what was found, in words.
    pub fn verdict(&self) -> (bool, String) {
        let (found, wanted) = ((self.n_rows, self.n_columns), (self.expected.n_rows, self.expected.n_columns));
        if found != wanted {
            return (false, format!("predictions have shape {found:?}, expected are {wanted:?}"));
        }
        let how = match self.tolerance {
            None => "equal to the bit".to_owned(),
            Some(tolerance) => format!("within {tolerance:?}"),
        };
        let ulp = self.worst_ulp.map_or(String::new(), |ulp| format!(", worst {ulp} ulp"));
        let worst = format!("worst absolute difference {:?}{ulp}", self.worst_absolute);
        match (&self.first, self.worst_ulp.is_some() || self.worst_absolute != 0.0) {
            (None, false) => (true, format!("{} rows: all {how}", self.n_rows)),
            (None, true) => (true, format!("{} rows: all {how}; {worst}", self.n_rows)),
            (Some(first), _) => {
                let detail =
                    format!("{} of {} rows are not {how}; {worst}; first {first}", self.differing, self.n_rows);
                (false, detail)
            }
        }
    }
}

/// Equal to the bit; NaN equals NaN.
fn is_equal(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
}

/// The type predictions are in: what an ulp is, and how a number is shown.
#[derive(Clone, Copy)]
enum Unit {
    F32,
    F64,
    Whole,
}

impl Unit {
    fn of(values: &Values) -> Self {
        match values {
            Values::F32(_) => Self::F32,
            Values::F64(_) => Self::F64,
            _ => Self::Whole,
        }
    }

    fn round(self, value: f64) -> f64 {
        match self {
            Self::F32 => (value as f32).into(),
            // Labels and leaves have no sign of zero.
            Self::Whole => value + 0.0,
            Self::F64 => value,
        }
    }

    /// Steps from one number to the other; none from or to NaN, or between whole numbers.
    fn ulps(self, a: f64, b: f64) -> Option<u64> {
        if a.is_nan() || b.is_nan() {
            return None;
        }
        match self {
            Self::F32 => Some(step_f32(a as f32).abs_diff(step_f32(b as f32)).into()),
            Self::F64 => Some(step_f64(a).abs_diff(step_f64(b))),
            Self::Whole => None,
        }
    }

    fn shown(self, value: f64) -> String {
        match self {
            Self::F32 => format!("{:?}", value as f32),
            Self::F64 => format!("{value:?}"),
            Self::Whole => format!("{value}"),
        }
    }
}

/// The number's place among all numbers in order; both zeros share one.
fn step_f32(value: f32) -> i32 {
    let magnitude = (value.to_bits() & 0x7fff_ffff) as i32;
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

fn step_f64(value: f64) -> i64 {
    let magnitude = (value.to_bits() & 0x7fff_ffff_ffff_ffff) as i64;
    if value.is_sign_negative() { -magnitude } else { magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulps_are_steps_between_neighbours() {
        assert_eq!(Unit::F32.ulps(1.0, f64::from(1.0f32.next_up())), Some(1));
        assert_eq!(Unit::F64.ulps(1.0, 1.0f64.next_down().next_down()), Some(2));
        assert_eq!(Unit::F64.ulps(-0.0, 5e-324), Some(1));
        assert_eq!(Unit::F64.ulps(-5e-324, 5e-324), Some(2));
        assert_eq!(Unit::F32.ulps(f64::NAN, 1.0), None);
    }

    #[test]
    fn equality_is_of_bits_and_of_nan() {
        assert!(is_equal(f64::NAN, -f64::NAN));
        assert!(!is_equal(0.0, -0.0));
    }
}
