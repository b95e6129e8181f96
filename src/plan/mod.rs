//! Choosing kernels: which of them evaluates a model, on which instruction set, and why.

mod cost;
mod stored;

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use self::cost::Work;
pub(crate) use self::stored::{Compiled, put};
use crate::error::{Error, Result};
use crate::ir::{Float, Forest};
use crate::kernel::forest::{Circuits, ForestKernel};
use crate::kernel::level::Portable;
use crate::kernel::stage::Input;
use crate::kernel::{Kernel, Sum};
use crate::layout::byte_tests::ByteTests;
use crate::layout::circuit::{self, CircuitLayout, Refusal};
use crate::layout::row::{RowLayout, row_refusal};
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
pub(crate) fn choose(forest: &Forest, isa: Isa, sentinel: Option<f64>) -> Result<(Plan, Runner)> {
    if forest.n_features() > MAX_FEATURES {
        return Err(Error::limit("features", forest.n_features(), MAX_FEATURES));
    }
    fn of<T: Input, S: Sum>(
        forest: &Forest,
        isa: Isa,
        sentinel: Option<f64>,
        runner: fn(Box<dyn Kernel<S>>) -> Runner,
    ) -> Result<(Plan, Runner)> {
        let laid_out = LaidOut::new(forest);
        let (circuits, rows) = (laid_out.circuits::<S>(), laid_out.rows::<S>());
        compile::<T, S>(forest, isa, sentinel, circuits, rows, runner)
    }
    match (forest.profile().input, forest.profile().sum) {
        (Float::F32, Float::F32) => of::<f32, f32>(forest, isa, sentinel, Runner::F32),
        (Float::F32, Float::F64) => of::<f32, f64>(forest, isa, sentinel, Runner::F64),
        (Float::F64, Float::F32) => of::<f64, f32>(forest, isa, sentinel, Runner::F32),
        (Float::F64, Float::F64) => of::<f64, f64>(forest, isa, sentinel, Runner::F64),
    }
}

/// A kernel that may evaluate trees.
struct Candidate<'a, L> {
    /// How many it can evaluate.
    trees: usize,
    /// Why it cannot evaluate the others.
    refused: Option<String>,
    /// What those it can evaluate ask of it.
    work: Work,
    layout: Box<dyn FnOnce() -> Result<L, Refusal> + 'a>,
}

/// What the candidates for a forest have in common.
struct LaidOut<'a> {
    forest: &'a Forest,
    /// By tree, why it has no circuit.
    refusals: Vec<Option<Refusal>>,
    /// Tests of all splits, once some layout needs them.
    tests: OnceCell<ByteTests>,
}

impl<'a> LaidOut<'a> {
    fn new(forest: &'a Forest) -> Self {
        let refusals = (0..forest.n_trees()).map(|tree| circuit::refusal(forest, tree)).collect();
        Self { forest, refusals, tests: OnceCell::new() }
    }

    fn tests(&self) -> &ByteTests {
        self.tests.get_or_init(|| ByteTests::new(self.forest, |_| true))
    }

    /// Circuits for the trees that can have one.
    fn circuits<S: Sum>(&self) -> Candidate<'_, CircuitLayout<S>> {
        let chosen: Vec<bool> = self.refusals.iter().map(Option::is_none).collect();
        let trees = chosen.iter().filter(|&&chosen| chosen).count();
        let work = Work::of(self.forest, &chosen);
        let layout = move || {
            let chosen = |tree: usize| chosen[tree];
            match trees == self.forest.n_trees() {
                true => CircuitLayout::new(self.forest, self.tests(), chosen),
                // Cuts of other trees would only lengthen the search.
                false => CircuitLayout::new(self.forest, &ByteTests::new(self.forest, chosen), chosen),
            }
        };
        Candidate { trees, refused: cost::refusals(&self.refusals), work, layout: Box::new(layout) }
    }

    /// Ranked rows.
    fn rows<S: Sum>(&self) -> Candidate<'_, Arc<RowLayout<S>>> {
        let trees = self.forest.n_trees();
        let layout = || match row_refusal(self.forest, &self.refusals) {
            Some(refusal) => Err(refusal),
            None => RowLayout::new(self.forest, self.tests()).map(Arc::new),
        };
        let work = Work::of(self.forest, &vec![true; trees]);
        Candidate { trees, refused: None, work, layout: Box::new(layout) }
    }
}

/// Takes the candidates that pay.
fn compile<T: Input, S: Sum>(
    forest: &Forest,
    isa: Isa,
    sentinel: Option<f64>,
    circuits: Candidate<'_, CircuitLayout<S>>,
    rows: Candidate<'_, Arc<RowLayout<S>>>,
    runner: fn(Box<dyn Kernel<S>>) -> Runner,
) -> Result<(Plan, Runner)> {
    let mut plan = Plan { isa, kernels: Vec::new(), fits: Vec::new(), refused: Vec::new() };
    let n_trees = forest.n_trees();
    let in_circuits = circuits.trees;
    let circuits = plan_circuits(&mut plan, circuits);
    let rows = plan_rows(&mut plan, rows, if circuits.is_some() { "a few rows" } else { "all rows" });
    plan.fits.push("walk");
    let walked = match (&circuits, &rows) {
        (None, None) => Some("evaluates every tree of batches and of a few rows"),
        (Some(_), None) if in_circuits < n_trees => {
            Some("evaluates the trees that have no circuit, and all trees of a few rows")
        }
        (Some(_), None) => Some("evaluates a few rows"),
        (Some(_), Some(_)) if in_circuits < n_trees => Some("evaluates the trees of batches that have no circuit"),
        (_, Some(_)) => None,
    };
    let kernel = kernel::<T, S>(forest, isa, sentinel, circuits, rows)?;
    if let Some(reason) = walked {
        let (bytes, reason) = (kernel.heap_bytes(), reason.to_owned());
        plan.kernels.push(PlannedKernel { name: "walk", trees: n_trees, bytes, reason });
    }
    Ok((plan, runner(kernel)))
}

/// Circuits, if they pay.
fn plan_circuits<S: Sum>(plan: &mut Plan, candidate: Candidate<'_, CircuitLayout<S>>) -> Option<Circuits<S>> {
    let Candidate { trees, refused, work, layout } = candidate;
    let (circuit, walk) = (work.circuit(plan.isa), work.walk());
    let plan_refused = &mut plan.refused;
    let mut refuse = |reason| plan_refused.push(RefusedKernel { name: "circuit", reason });
    match refused {
        Some(reason) => refuse(reason),
        None => plan.fits.push("circuit"),
    }
    if trees == 0 {
        return None;
    }
    if circuit > walk {
        refuse(format!("reckoned to take {circuit:.0} ns a row, walks {walk:.0} ns"));
        return None;
    }
    match layout() {
        Ok(layout) => {
            let reason = format!(
                "batches of {LEAST_ROWS} rows and more; reckoned to take {circuit:.0} ns a row, walks {walk:.0} ns"
            );
            plan.kernels.push(PlannedKernel { name: "circuit", trees, bytes: layout.heap_bytes(), reason });
            Some(Circuits { layout, least_rows: LEAST_ROWS })
        }
        Err(refusal) => {
            refuse(refusal.to_string());
            None
        }
    }
}

/// Ranked rows, if that is possible and pays, for `which` rows.
fn plan_rows<S: Sum>(
    plan: &mut Plan,
    candidate: Candidate<'_, Arc<RowLayout<S>>>,
    which: &str,
) -> Option<Arc<RowLayout<S>>> {
    let Candidate { trees, work, layout, .. } = candidate;
    let (row, walk) = (work.row(), work.walk());
    let refused = &mut plan.refused;
    let mut refuse = |reason| refused.push(RefusedKernel { name: "row", reason });
    match layout() {
        Ok(_) if row > walk => {
            plan.fits.push("row");
            refuse(format!("reckoned to take {row:.0} ns a row, walks {walk:.0} ns"));
            None
        }
        Ok(layout) => {
            plan.fits.push("row");
            let reason = format!("{which}; reckoned to take {row:.0} ns a row, walks {walk:.0} ns");
            plan.kernels.push(PlannedKernel { name: "row", trees, bytes: layout.heap_bytes(), reason });
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
    rows: Option<Arc<RowLayout<S>>>,
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
