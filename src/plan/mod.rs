//! Choosing kernels: which of them evaluates a model, on which instruction set, and why.

mod cost;
mod few;
mod stored;
mod tune;

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use self::cost::Work;
use self::few::{FewRows, plan_few_rows};
pub(crate) use self::stored::{Compiled, put};
pub(crate) use self::tune::{TUNING_ROWS, tune};
use crate::error::{Error, Result};
use crate::ir::{Float, Forest};
use crate::kernel::Calculate;
use crate::kernel::dispatch::Dispatch;
pub use crate::kernel::dispatch::KernelKind;
use crate::kernel::forest::{ForestKernel, Layouts};
use crate::kernel::level::Portable;
use crate::kernel::stage::Input;
use crate::kernel::{Kernel, Sum};
use crate::layout::byte_tests::ByteTests;
use crate::layout::bytes::LookUp;
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
    /// x86-64 with AVX-512 F, BW, DQ, VL and VBMI.
    Avx512Vbmi,
}

impl Isa {
    /// All there are kernels for; the best first.
    const ALL: [Self; 4] = [Self::Avx512Vbmi, Self::Avx512, Self::Avx2, Self::Portable];

    /// Every instruction set this machine has and this build has kernels for; the best first.
    pub fn available() -> &'static [Self] {
        #[cfg(target_arch = "x86_64")]
        {
            use crate::kernel::{avx2::Avx2, avx512::Avx512};
            let best = match (Avx2::detect(), Avx512::<false>::detect(), Avx512::<true>::detect()) {
                (Some(_), Some(_), Some(_)) => 0,
                (Some(_), Some(_), None) => 1,
                (Some(_), None, _) => 2,
                _ => 3,
            };
            &Self::ALL[best..]
        }
        #[cfg(not(target_arch = "x86_64"))]
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

    fn look_up(self) -> LookUp {
        match self {
            Self::Portable => LookUp::Shuffle { register_bytes: 16 },
            Self::Avx2 => LookUp::Shuffle { register_bytes: 32 },
            Self::Avx512 => LookUp::Shuffle { register_bytes: 64 },
            Self::Avx512Vbmi => LookUp::Number,
        }
    }

    /// Its name, as [`from_name`](Self::from_name) takes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Vbmi => "avx512vbmi",
        }
    }
}

impl KernelKind {
    /// The kernel called `name`.
    ///
    /// # Errors
    /// An option error that lists those there are.
    pub fn from_name(name: &str) -> Result<Self> {
        let known = Self::ALL.iter().find(|kind| kind.name() == name);
        known.copied().ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|kind| kind.name()).collect();
            Error::option(format!("kernel {name:?} is unknown; known are: {}", names.join(", ")))
        })
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
    /// The kernels that evaluate none of the trees, or not all of them.
    pub refused: Vec<RefusedKernel>,
    /// What kernels took when the model was loaded, where that was asked for
    /// ([`ModelOptions::tune`](crate::ModelOptions::tune)).
    pub measured: Vec<MeasuredKernel>,
    /// Which of the kernels takes which rows.
    #[serde(skip)]
    pub(crate) dispatch: Dispatch,
    /// What a row of a large batch is reckoned to take.
    #[serde(skip)]
    pub(crate) ns_per_row: f64,
}

/// A kernel in use.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PlannedKernel {
    /// Its name: `circuit` (batches), `row`, `tops`, `levels` or `values` (a few rows), or `walk` (whatever the others do not do).
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

/// What a kernel took for a row in a batch of some size.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct MeasuredKernel {
    /// Its name.
    pub name: &'static str,
    /// Rows of the batch.
    pub rows: usize,
    /// Nanoseconds a row: the quickest of several batches.
    pub ns_per_row: f64,
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
        for of_kernel in self.measured.chunk_by(|a, b| a.name == b.name) {
            write!(f, "\nmeasured {}:", of_kernel[0].name)?;
            for (index, MeasuredKernel { rows, ns_per_row, .. }) in of_kernel.iter().enumerate() {
                let (comma, plural) = (if index > 0 { "," } else { "" }, if *rows == 1 { "" } else { "s" });
                write!(f, "{comma} {ns_per_row:.0} ns a row for {rows} row{plural}")?;
            }
        }
        Ok(())
    }
}

/// A plan's kernels, ready to run; the variant is the type of the sums.
pub(crate) enum Runner {
    F32(Box<dyn Kernel<f32>>),
    F64(Box<dyn Kernel<f64>>),
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) isa: Isa,
    /// A value that stands for a missing one.
    pub(crate) sentinel: Option<f64>,
    pub(crate) choice: Choice,
}

/// What decides between the kernels that fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Choice {
    /// What they are reckoned to cost.
    Reckoned,
    /// This kernel takes all rows, or there is no plan.
    Only(KernelKind),
    /// These kernels where they fit, as it was decided before.
    As(Dispatch),
}

impl Choice {
    /// Whether to lay a kernel out that is reckoned to pay, or not to.
    fn wants(self, kind: KernelKind, pays: bool) -> bool {
        match self {
            Self::Reckoned => pays,
            Self::Only(only) => kind == only,
            Self::As(dispatch) => dispatch.uses(kind),
        }
    }

    /// Why a kernel is not wanted that is `reckoned` to take so long.
    fn refusal(self, reckoned: String) -> String {
        match self {
            Self::Reckoned => reckoned,
            Self::Only(only) => format!("kernel {:?} was asked for", only.name()),
            Self::As(_) => "slower where it was measured".to_owned(),
        }
    }
}

/// Batches of fewer rows are taken row by row: a circuit works on 64 rows, however many are there.
const LEAST_ROWS: usize = 16;

/// The same where single rows are quicker than by ranked walks.
const LEAST_BESIDE_QUICK: usize = 24;

/// What operators of pipelines compute with, on an instruction set.
pub(crate) fn calculator(isa: Isa) -> Box<dyn Calculate> {
    #[cfg(target_arch = "x86_64")]
    use crate::kernel::{avx2::Avx2, avx512::Avx512};
    let of_machine: Option<Box<dyn Calculate>> = match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 | Isa::Avx512Vbmi => Avx512::<false>::detect().map(|level| Box::new(level) as _),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => Avx2::detect().map(|level| Box::new(level) as _),
        _ => None,
    };
    of_machine.unwrap_or_else(|| Box::new(Portable))
}

/// Plans `forest`.
///
/// # Errors
/// A limit error for a forest that no kernel can number; an option error for an instruction set this machine lacks, and
/// for a kernel that was asked for and does not fit.
pub(crate) fn choose(forest: &Forest, request: Request) -> Result<(Plan, Runner)> {
    if forest.n_features() > MAX_FEATURES {
        return Err(Error::limit("features", forest.n_features(), MAX_FEATURES));
    }
    fn of<T: Input, S: Sum>(
        forest: &Forest,
        request: Request,
        runner: fn(Box<dyn Kernel<S>>) -> Runner,
    ) -> Result<(Plan, Runner)> {
        let laid_out = LaidOut::new(forest);
        let (circuits, rows) = (laid_out.circuits::<S>(), laid_out.rows::<S>());
        compile::<T, S>(forest, request, circuits, rows, runner)
    }
    match (forest.profile().input, forest.profile().sum) {
        (Float::F32, Float::F32) => of::<f32, f32>(forest, request, Runner::F32),
        (Float::F32, Float::F64) => of::<f32, f64>(forest, request, Runner::F64),
        (Float::F64, Float::F32) => of::<f64, f32>(forest, request, Runner::F32),
        (Float::F64, Float::F64) => of::<f64, f64>(forest, request, Runner::F64),
    }
}

/// The kernels that can evaluate every tree of `forest`.
///
/// Cost: lays the forest out for them.
pub(crate) fn fitting(forest: &Forest) -> Vec<&'static str> {
    let laid_out = LaidOut::new(forest);
    let rows = (laid_out.rows::<f64>().layout)();
    let fits = |kind: &KernelKind| match kind {
        KernelKind::Circuit => laid_out.circuits::<f64>().refused.is_none(),
        KernelKind::Row => rows.is_ok(),
        KernelKind::Tops | KernelKind::Levels | KernelKind::Values => {
            rows.as_ref().is_ok_and(|rows| few::fits(*kind, rows, forest.n_features()))
        }
        KernelKind::Walk => true,
    };
    KernelKind::ALL.iter().filter(|kind| fits(kind)).map(|kind| kind.name()).collect()
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
    /// What all trees ask of a kernel.
    work: Work,
    /// Tests of all splits, once some layout needs them.
    tests: OnceCell<ByteTests>,
}

impl<'a> LaidOut<'a> {
    fn new(forest: &'a Forest) -> Self {
        let mut refusals = Vec::with_capacity(forest.n_trees());
        // The splits of a tree are looked at for both while they are near.
        let work = Work::of(forest, |tree| {
            refusals.push(circuit::refusal(forest, tree));
            true
        });
        Self { forest, refusals, work, tests: OnceCell::new() }
    }

    fn tests(&self) -> &ByteTests {
        self.tests.get_or_init(|| ByteTests::new(self.forest, |_| true))
    }

    /// Circuits for the trees that can have one.
    fn circuits<S: Sum>(&self) -> Candidate<'_, CircuitLayout<S>> {
        let chosen: Vec<bool> = self.refusals.iter().map(Option::is_none).collect();
        let trees = chosen.iter().filter(|&&chosen| chosen).count();
        let all = trees == self.forest.n_trees();
        let work = if all { self.work } else { Work::of(self.forest, |tree| chosen[tree]) };
        let layout = move || {
            let chosen = |tree: usize| chosen[tree];
            match all {
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
        Candidate { trees, refused: None, work: self.work, layout: Box::new(layout) }
    }
}

/// Takes the candidates that pay, or that were asked for.
fn compile<T: Input, S: Sum>(
    forest: &Forest,
    request: Request,
    circuits: Candidate<'_, CircuitLayout<S>>,
    rows: Candidate<'_, Arc<RowLayout<S>>>,
    runner: fn(Box<dyn Kernel<S>>) -> Runner,
) -> Result<(Plan, Runner)> {
    let Request { isa, choice, .. } = request;
    let mut plan = Plan::without_kernels(isa);
    let (n_trees, in_circuits, work, input) = (forest.n_trees(), circuits.trees, rows.work, forest.profile().input);
    let mut few_rows = plan_few_rows::<T, S>(&mut plan, forest, rows, choice);
    // What batches take otherwise: a kernel for a few rows may be the quickest for many, too.
    let in_blocks = match few_rows.rows.is_some() && work.row() <= work.walk() {
        true => (KernelKind::Row, work.rows(isa, input)),
        false => (KernelKind::Walk, work.walk()),
    };
    let few = few_rows.quick().unwrap_or(in_blocks.0);
    let otherwise = if few_rows.reckoned <= in_blocks.1 { (few, few_rows.reckoned) } else { in_blocks };
    let (circuits, ns_per_row) = plan_circuits(&mut plan, circuits, input, choice, &work, otherwise);
    let many = if circuits.is_some() { KernelKind::Circuit } else { otherwise.0 };
    let dispatch = match choice {
        Choice::As(dispatch) => dispatch,
        Choice::Only(kind) => Dispatch::only(kind),
        Choice::Reckoned => {
            let many_from = match few_rows.quick() {
                _ if many == few => 1,
                Some(_) => LEAST_BESIDE_QUICK,
                None => LEAST_ROWS,
            };
            Dispatch { single: few, few, many, many_from }
        }
    };
    let others = dispatch.many == KernelKind::Row || circuits.is_some() && in_circuits < n_trees;
    few_rows.keep_rows(&mut plan, &work, choice, others);
    if let Choice::Only(kind) = choice {
        plan.check_only(kind, n_trees)?;
    }
    // Trees without a circuit are walked by ranks where rows have them.
    let FewRows { rows, tops, levels, values, .. } = few_rows;
    let rest = if circuits.is_some() && rows.is_none() { n_trees - in_circuits } else { 0 };
    let kernel = kernel::<T, S>(forest, request, Layouts { circuits, rows, tops, levels, values }, dispatch)?;
    let name = KernelKind::Walk.name();
    if dispatch.uses(KernelKind::Walk) {
        let (trees, bytes, reason) = (n_trees, kernel.heap_bytes(), "any tree".to_owned());
        plan.kernels.push(PlannedKernel { name, trees, bytes, reason });
    } else if rest > 0 {
        let (bytes, reason) = (kernel.heap_bytes(), "the trees of batches that have no circuit".to_owned());
        plan.kernels.push(PlannedKernel { name, trees: rest, bytes, reason });
    }
    plan.dispatch = dispatch;
    plan.ns_per_row = ns_per_row;
    plan.say_which_rows();
    Ok((plan, runner(kernel)))
}

impl Plan {
    pub(crate) fn without_kernels(isa: Isa) -> Self {
        let dispatch = Dispatch::only(KernelKind::Walk);
        let (kernels, measured) = (Vec::new(), Vec::new());
        Self { isa, kernels, refused: Vec::new(), measured, dispatch, ns_per_row: 0.0 }
    }

    /// That a kernel that was asked for evaluates all trees.
    fn check_only(&self, kind: KernelKind, n_trees: usize) -> Result<()> {
        let name = kind.name();
        if kind == KernelKind::Walk || self.kernels.iter().any(|kernel| kernel.name == name && kernel.trees == n_trees)
        {
            return Ok(());
        }
        let refused = self.refused.iter().rfind(|refused| refused.name == name);
        let reason = refused.map_or("there are no trees", |refused| &refused.reason);
        Err(Error::option(format!("kernel {name:?} does not fit this model: {reason}")))
    }

    /// Puts before each kernel's reason which rows it takes; those for batches come first.
    fn say_which_rows(&mut self) {
        let place = |name: &str| KernelKind::ALL.iter().position(|kind| kind.name() == name);
        self.kernels.sort_by_key(|kernel| place(kernel.name));
        self.refused.sort_by_key(|refused| place(refused.name));
        for kernel in &mut self.kernels {
            let kind = KernelKind::ALL.iter().find(|kind| kind.name() == kernel.name);
            if let Some(rows) = kind.and_then(|&kind| which_rows(self.dispatch, kind)) {
                kernel.reason = format!("{rows}; {}", kernel.reason);
            }
        }
    }
}

/// The rows that a kernel takes, as text, if it takes any.
fn which_rows(dispatch: Dispatch, kind: KernelKind) -> Option<String> {
    let Dispatch { single, few, many, many_from } = dispatch;
    let many_rows = || format!("batches of {many_from} rows and more");
    Some(match [single, few, many].map(|taken| taken == kind) {
        [true, true, true] => "all rows".to_owned(),
        [true, true, false] => "a few rows".to_owned(),
        [true, false, false] => "single rows".to_owned(),
        [true, false, true] => format!("single rows, and {}", many_rows()),
        [false, true, true] => "all rows but single ones".to_owned(),
        [false, true, false] => "a few rows, but not single ones".to_owned(),
        [false, false, true] => many_rows(),
        [false, false, false] => return None,
    })
}

/// Circuits, if they pay beside what a row of a batch takes `otherwise`, or were asked for; and what one takes then. Of all
/// trees, `work` is asked.
fn plan_circuits<S: Sum>(
    plan: &mut Plan,
    candidate: Candidate<'_, CircuitLayout<S>>,
    input: Float,
    choice: Choice,
    work: &Work,
    (other, otherwise): (KernelKind, f64),
) -> (Option<CircuitLayout<S>>, f64) {
    let Candidate { trees, refused, work: in_circuits, layout } = candidate;
    if let Some(reason) = refused {
        plan.refuse(KernelKind::Circuit, reason);
    }
    if trees == 0 {
        return (None, otherwise);
    }
    // Other trees are walked.
    let circuit = in_circuits.circuit(plan.isa, input) + work.walk() - in_circuits.walk();
    let reckoned = format!("reckoned to take {circuit:.0} ns a row, {} {otherwise:.0} ns", other.name());
    if !plan.wants(KernelKind::Circuit, choice, circuit <= otherwise, &reckoned) {
        return (None, otherwise);
    }
    match layout() {
        Ok(layout) => {
            plan.add(KernelKind::Circuit, trees, layout.heap_bytes(), reckoned);
            (Some(layout), circuit)
        }
        Err(refusal) => {
            plan.refuse(KernelKind::Circuit, refusal.to_string());
            (None, otherwise)
        }
    }
}

impl Plan {
    /// A layout, if a kernel has one; if not, notes why.
    fn fitting<L>(&mut self, kind: KernelKind, layout: Result<L, Refusal>) -> Option<L> {
        layout.map_err(|refusal| self.refuse(kind, refusal.to_string())).ok()
    }

    /// Whether to lay a kernel out; if not, notes why.
    fn wants(&mut self, kind: KernelKind, choice: Choice, pays: bool, reckoned: &str) -> bool {
        let wanted = choice.wants(kind, pays);
        if !wanted {
            self.refuse(kind, choice.refusal(reckoned.to_owned()));
        }
        wanted
    }

    fn refuse(&mut self, kind: KernelKind, reason: String) {
        self.refused.push(RefusedKernel { name: kind.name(), reason });
    }

    fn add(&mut self, kind: KernelKind, trees: usize, bytes: usize, reason: String) {
        self.kernels.push(PlannedKernel { name: kind.name(), trees, bytes, reason });
    }
}

/// The kernel of a forest on an instruction set.
fn kernel<T: Input, S: Sum>(
    forest: &Forest,
    request: Request,
    layouts: Layouts<T, S>,
    dispatch: Dispatch,
) -> Result<Box<dyn Kernel<S>>> {
    let Request { isa, sentinel, .. } = request;
    #[cfg(target_arch = "x86_64")]
    {
        use crate::kernel::{avx2::Avx2, avx512::Avx512};
        if isa == Isa::Avx512Vbmi
            && let Some(level) = Avx512::<true>::detect()
        {
            return Ok(Box::new(ForestKernel::<_, T, S>::new(level, forest, sentinel, layouts, dispatch)));
        }
        if isa == Isa::Avx512
            && let Some(level) = Avx512::<false>::detect()
        {
            return Ok(Box::new(ForestKernel::<_, T, S>::new(level, forest, sentinel, layouts, dispatch)));
        }
        if isa == Isa::Avx2
            && let Some(level) = Avx2::detect()
        {
            return Ok(Box::new(ForestKernel::<_, T, S>::new(level, forest, sentinel, layouts, dispatch)));
        }
    }
    match isa {
        Isa::Portable => Ok(Box::new(ForestKernel::<_, T, S>::new(Portable, forest, sentinel, layouts, dispatch))),
        _ => Err(Error::option(format!("isa {:?} is not available on this machine", isa.name()))),
    }
}
