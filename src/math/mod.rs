//! `exp`, `log`, powers and their kin, with the same bits on every machine: those of glibc's libm on x86-64.
//!
//! The source libraries' Linux builds call the C library for these, so their answers depend on it. The reference here
//! is glibc 2.36 on a processor with fused multiply-add (every x86-64 server since 2013), for which it has versions of
//! its own: `mul_add` stands just where those fuse, and nowhere else. Other versions give other last bits:
//!
//! * `exp`, `expf`, `exp2f`, `logf`, `pow`, `powf`: glibc 2.28 and later are the same.
//! * `exp2`: not fused in 2.36.
//! * `log1p`: fused since 2.39, and in updates of 2.36; not before.
//! * `log1pf`, `expm1f`: correctly rounded from glibc 2.41 on, which is another last bit in some per cent of cases.
//!
//! `mul_add` is exact whatever the processor. Code that is compiled for one without the instruction calls a function for
//! it: correct, but slow, and it keeps loops from being vectorised. So what works on slices is always inlined, to be
//! compiled anew where the instruction is known to exist. `expf`, which most models end in, does without it.

mod exp;
mod expm1;
mod log;
mod log1p;
pub(crate) mod mlas;
mod pow;

pub(crate) use exp::{exp, exp_all, exp2, exp2f, expf, expf_all};
pub(crate) use expm1::expm1f;
pub(crate) use log::logf;
pub(crate) use log1p::{log1p, log1pf};
pub(crate) use pow::{pow, powf};

#[cfg(test)]
mod tests;
