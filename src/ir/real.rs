//! `f32` and `f64` behind one trait, for code that is the same in both.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// A float type a forest may compute in. The functions are those of the C library that the source libraries call.
pub(crate) trait Real:
    Copy
    + Default
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + Add<Output = Self>
    + AddAssign
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    const ZERO: Self;
    const ONE: Self;
    const NAN: Self;
    const INFINITY: Self;
    /// Rounds to nearest, ties to even.
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn next_down(self) -> Self;
    fn exp(self) -> Self;
    fn ln_1p(self) -> Self;
}

macro_rules! real {
    ($float:ident) => {
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NAN: Self = $float::NAN;
            const INFINITY: Self = $float::INFINITY;
            fn from_f64(value: f64) -> Self {
                value as $float
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
            fn next_down(self) -> Self {
                $float::next_down(self)
            }
            fn exp(self) -> Self {
                $float::exp(self)
            }
            fn ln_1p(self) -> Self {
                $float::ln_1p(self)
            }
        }
    };
}

real!(f32);
real!(f64);
