//! `f32` and `f64` behind one trait, for code that is the same in both.

use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

use crate::math;

/// A float type a forest may compute in.
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
    const TWO: Self;
    const NAN: Self;
    const INFINITY: Self;
    /// Rounds to nearest, ties to even.
    fn from_f64(value: f64) -> Self;
    fn to_f64(self) -> f64;
    fn next_down(self) -> Self;
    fn next_up(self) -> Self;
    fn abs(self) -> Self;
    /// `self * b + c`, rounded once, as matrix libraries have it.
    fn fused(self, b: Self, c: Self) -> Self;
    fn exp(self) -> Self;
    /// `exp` of each value, several at a time.
    fn exp_all(values: &mut [Self]);
    fn exp2(self) -> Self;
    fn powf(self, exponent: Self) -> Self;
    fn ln_1p(self) -> Self;

    /// 1, -1, or 0 for zeros and NaN.
    #[inline(always)]
    fn sign(self) -> Self {
        if self > Self::ZERO {
            Self::ONE
        } else if self < Self::ZERO {
            -Self::ONE
        } else {
            Self::ZERO
        }
    }
}

macro_rules! real {
    ($float:ident, $fused:expr, $exp:path, $exp_all:path, $exp2:path, $pow:path, $ln_1p:path) => {
        impl Real for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const TWO: Self = 2.0;
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
            #[inline(always)]
            fn next_up(self) -> Self {
                $float::next_up(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $float::abs(self)
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                $fused(self, b, c)
            }
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn exp_all(values: &mut [Self]) {
                $exp_all(values);
            }
            fn exp2(self) -> Self {
                $exp2(self)
            }
            fn powf(self, exponent: Self) -> Self {
                $pow(self, exponent)
            }
            fn ln_1p(self) -> Self {
                $ln_1p(self)
            }
        }
    };
}

real!(f32, f32::mul_add, math::expf, math::expf_all, math::exp2f, math::powf, math::log1pf);
real!(f64, f64::mul_add, math::exp, math::exp_all, math::exp2, math::pow, math::log1p);
