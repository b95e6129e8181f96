//! Choosing kernels: which of them evaluates a model, on which instruction set, and why.

mod cost;

use std::fmt;

use serde::Serialize;

use self::cost::Work;
use crate::error::{Error, Result};
use crate::ir::{Facts, Float, Forest, facts};
use crate::kernel::forest::{Circuits, ForestKernel};
use crate::kernel::level::Portable;
use crate::kernel::stage::Input;
use crate::kernel::{Kernel, Sum};
use crate::layout::circuit::{self, CircuitLayout};
use crate::layout::row::RowLayout;
use crate::layout::walk::MAX_FEATURES;

/// An instruction set that kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Isa {
    /// What the build's target guarantees; runs everywhere.
    Portable,
    /// x86-64 with AVX2, FMA and BMI2.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Isa {
    /// Every instruction set this machine has and this build has kernels for; the best first.
    pub fn available() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        {
            use crate::kernel::{avx2::Avx2, avx512::Avx512};
            match (Avx2::detect(), Avx512::detect()) {
                (Some(_), Some(_)) => return &[Self::Avx512, Self::Avx2, Self::Portable],
                (Some(_), None) => return &[Self::Avx2, Self::Portable],
                _ => {}
            }
        }
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
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }
}

/// Which kernels evaluate a model, and why not others. Displays as text for people.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// The kernels in use.
    pub kernels: Vec<PlannedKernel>,
    /// The kernels that can evaluate every tree, whether they are in use or not; the same on every instruction set.
    pub fits: Vec<&'static str>,
    /// The kernels that evaluate none of the trees, or not all of them.
    pub refused: Vec<RefusedKernel>,
}

/// A kernel in use.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlannedKernel {
    /// Its name: `circuit` (batches), `row` (a few rows) or `walk` (whatever the others do not do).
    pub name: &'static str,
    /// Number of trees it evaluates.
    pub trees: usize,
    /// Bytes of its arrays.
    pub bytes: usize,
    /// What it is used for, and why.
    pub reason: String,
}

/// A kernel that is not used, or not for all trees.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RefusedKernel {
    /// Its name.
    pub name: &'static str,
    /// Why.
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
        for RefusedKernel { name, reason } in &self.refused {
            write!(f, "\nnot {name}: {reason}")?;
        }
        Ok(())
    }
}

/// A plan's kernels, ready to run; the variant is the type of the sums.
pub(crate) enum Runner {
    F32(Box<dyn Kernel<f32>>),
    F64(Box<dyn Kernel<f64>>),
}

/// Batches of fewer rows are taken row by row: a circuit works on 64 rows, however many are there.
const LEAST_ROWS: usize = 16;

/// Plans `forest` for `isa`; `sentinel` is a value that stands for a missing one.
///
/// # Errors
/// A limit error for a forest that no kernel can number; an option error for an instruction set this machine lacks.
pub(crate) fn choose(forest: &Forest, facts: &Facts, isa: Isa, sentinel: Option<f64>) -> Result<(Plan, Runner)> {
    if forest.n_features() > MAX_FEATURES {
        return Err(Error::limit("features", forest.n_features(), MAX_FEATURES));
    }
    let profile = forest.profile();
    let (plan, runner) = match (profile.input, profile.sum) {
        (Float::F32, Float::F32) => compile::<f32, f32>(forest, facts, isa, sentinel, Runner::F32)?,
        (Float::F32, Float::F64) => compile::<f32, f64>(forest, facts, isa, sentinel, Runner::F64)?,
        (Float::F64, Float::F32) => compile::<f64, f32>(forest, facts, isa, sentinel, Runner::F32)?,
        (Float::F64, Float::F64) => compile::<f64, f64>(forest, facts, isa, sentinel, Runner::F64)?,
    };
    Ok((plan, runner))
}

fn compile<T: Input, S: Sum>(
    forest: &Forest,
    facts: &Facts,
    isa: Isa,
    sentinel: Option<f64>,
    runner: fn(Box<dyn Kernel<S>>) -> Runner,
) -> Result<(Plan, Runner)> {
    let mut plan = Plan { isa, kernels: Vec::new(), fits: Vec::new(), refused: Vec::new() };
    let depths = facts::tree_depths(forest);
    let circuits = plan_circuits::<S>(&mut plan, forest, &depths);
    let rows = plan_rows::<S>(&mut plan, forest, &depths);
    let in_circuits = circuits.as_ref().map_or(0, |circuits| circuits.layout.trees.len());
    plan.fits.push("walk");
    let kernel = kernel::<T, S>(forest, isa, sentinel, circuits, rows)?;
    if in_circuits < forest.n_trees() || !plan.kernels.iter().any(|kernel| kernel.name == "row") {
        let reason = match in_circuits {
            0 => "evaluates every tree of batches and of a few rows",
            _ if in_circuits < forest.n_trees() => {
                "evaluates the trees that have no circuit, and all trees of a few rows"
            }
            _ => "evaluates a few rows",
        };
        let bytes = kernel.heap_bytes() - plan.kernels.iter().map(|kernel| kernel.bytes).sum::<usize>();
        plan.kernels.push(PlannedKernel { name: "walk", trees: facts.trees, bytes, reason: reason.to_owned() });
    }
    Ok((plan, runner(kernel)))
}

/// Circuits for the trees that can have one, if that pays.
fn plan_circuits<S: Sum>(plan: &mut Plan, forest: &Forest, depths: &[usize]) -> Option<Circuits<S>> {
    let refusals: Vec<_> = (0..forest.n_trees()).map(|tree| circuit::refusal(forest, tree)).collect();
    let chosen: Vec<bool> = refusals.iter().map(Option::is_none).collect();
    let work = Work::of(forest, depths, &chosen);
    let (circuit, walk) = (work.circuit(plan.isa), work.walk());
    let refused = &mut plan.refused;
    let mut refuse = |reason| refused.push(RefusedKernel { name: "circuit", reason });
    match cost::refusals(&refusals) {
        Some(reason) => refuse(reason),
        None => plan.fits.push("circuit"),
    }
    if !chosen.contains(&true) {
        return None;
    }
    if circuit > walk {
        refuse(format!("reckoned to take {circuit:.0} ns a row, walks {walk:.0} ns"));
        return None;
    }
    let layout = match CircuitLayout::new(forest, |tree| chosen[tree]) {
        Ok(layout) => layout,
        Err(refusal) => {
            refuse(refusal.to_string());
            return None;
        }
    };
    let trees = chosen.iter().filter(|&&chosen| chosen).count();
    let reason =
        format!("batches of {LEAST_ROWS} rows and more; reckoned to take {circuit:.0} ns a row, walks {walk:.0} ns");
    plan.kernels.push(PlannedKernel { name: "circuit", trees, bytes: layout.heap_bytes(), reason });
    Some(Circuits { layout, least_rows: LEAST_ROWS })
}

/// Ranked rows for a few rows, if that is possible and pays.
fn plan_rows<S: Sum>(plan: &mut Plan, forest: &Forest, depths: &[usize]) -> Option<RowLayout<S>> {
    let work = Work::of(forest, depths, &vec![true; forest.n_trees()]);
    let (row, walk) = (work.row(), work.walk());
    let refused = &mut plan.refused;
    let mut refuse = |reason| refused.push(RefusedKernel { name: "row", reason });
    match RowLayout::new(forest) {
        Ok(_) if row > walk => {
            plan.fits.push("row");
            refuse(format!("reckoned to take {row:.0} ns a row, walks {walk:.0} ns"));
            None
        }
        Ok(layout) => {
            plan.fits.push("row");
            let reason = format!("a few rows; reckoned to take {row:.0} ns a row, walks {walk:.0} ns");
            let (trees, bytes) = (forest.n_trees(), layout.heap_bytes());
            plan.kernels.push(PlannedKernel { name: "row", trees, bytes, reason });
            Some(layout)
        }
        Err(refusal) => {
            refuse(refusal.to_string());
            None
        }
    }
}

/// The kernel of a forest on an instruction set.
fn kernel<T: Input, S: Sum>(
    forest: &Forest,
    isa: Isa,
    sentinel: Option<f64>,
    circuits: Option<Circuits<S>>,
    rows: Option<RowLayout<S>>,
) -> Result<Box<dyn Kernel<S>>> {
    #[cfg(target_arch = "x86_64")]
    {
        use crate::kernel::{avx2::Avx2, avx512::Avx512};
        if isa == Isa::Avx512
            && let Some(level) = Avx512::detect()
        {
            return Ok(Box::new(ForestKernel::<_, T, S>::new(level, forest, sentinel, circuits, rows)));
        }
        if isa == Isa::Avx2
            && let Some(level) = Avx2::detect()
        {
            return Ok(Box::new(ForestKernel::<_, T, S>::new(level, forest, sentinel, circuits, rows)));
        }
    }
    match isa {
        Isa::Portable => Ok(Box::new(ForestKernel::<_, T, S>::new(Portable, forest, sentinel, circuits, rows))),
        _ => Err(Error::option(format!("isa {:?} is not available on this machine", isa.name()))),
    }
}
