//! Choosing kernels: which of them evaluates a model, on which instruction set, and why.

use std::fmt;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::ir::{Facts, Float, Forest};
use crate::kernel::Kernel;
use crate::kernel::walk::WalkKernel;
use crate::layout::walk::MAX_FEATURES;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Isa {
    /// What the build's target guarantees; runs everywhere.
    Portable,
}

impl Isa {
    /// Every instruction set this machine has and this build has kernels for; the best first.
    pub fn available() -> &'static [Self] {
        &[Self::Portable]
    }

    /// The instruction set called `name`.
    ///
    /// # Errors
    /// An option error that lists those available.
    pub fn from_name(name: &str) -> Result<Self> {
        let known = Self::available().iter().find(|isa| isa.name() == name);
        known.copied().ok_or_else(|| {
            let names: Vec<_> = Self::available().iter().map(|isa| isa.name()).collect();
            Error::option(format!("isa {name:?} is not available; this build has: {}", names.join(", ")))
        })
    }

    /// Its name, as [`from_name`](Self::from_name) takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
        }
    }
}

/// Which kernels evaluate a model. Displays as text for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// The kernels in use.
    pub kernels: Vec<PlannedKernel>,
}

/// A kernel in use.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlannedKernel {
    /// Its name.
    pub name: &'static str,
    /// Number of trees it evaluates.
    pub trees: usize,
    /// Bytes of its arrays.
    pub bytes: usize,
    /// Why it was chosen.
    pub reason: String,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, kernel) in self.kernels.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let PlannedKernel { name, trees, bytes, reason } = kernel;
            write!(f, "{name} ({}): {trees} trees, {} KiB; {reason}", self.isa.name(), bytes.div_ceil(1024))?;
        }
        Ok(())
    }
}

/// A plan's kernels, ready to run; the variant is the type of the sums.
pub(crate) enum Runner {
    F32(Box<dyn Kernel<f32>>),
    F64(Box<dyn Kernel<f64>>),
}

/// Plans `forest` for `isa`; `sentinel` is a value that stands for a missing one.
///
/// # Errors
/// A limit error for a forest that no kernel can number.
pub(crate) fn choose(forest: &Forest, facts: &Facts, isa: Isa, sentinel: Option<f64>) -> Result<(Plan, Runner)> {
    if forest.n_features() > MAX_FEATURES {
        return Err(Error::limit("features", forest.n_features(), MAX_FEATURES));
    }
    let profile = forest.profile();
    let runner = match (profile.input, profile.sum) {
        (Float::F32, Float::F32) => Runner::F32(Box::new(WalkKernel::<f32, f32>::new(forest, sentinel))),
        (Float::F32, Float::F64) => Runner::F64(Box::new(WalkKernel::<f32, f64>::new(forest, sentinel))),
        (Float::F64, Float::F32) => Runner::F32(Box::new(WalkKernel::<f64, f32>::new(forest, sentinel))),
        (Float::F64, Float::F64) => Runner::F64(Box::new(WalkKernel::<f64, f64>::new(forest, sentinel))),
    };
    let bytes = match &runner {
        Runner::F32(kernel) => kernel.heap_bytes(),
        Runner::F64(kernel) => kernel.heap_bytes(),
    };
    let reason = "evaluates every model, row and batch size; the only kernel of this version".to_owned();
    let kernel = PlannedKernel { name: "walk", trees: facts.trees, bytes, reason };
    Ok((Plan { isa, kernels: vec![kernel] }, runner))
}
