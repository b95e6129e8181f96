//! Plans in compiled models: the layouts that pay on some instruction set, and what they are reckoned to cost.
//!
//! A forest that has ranked rows, and whose leaves are no vectors, is stored as these: its nodes follow from them, and are
//! made only when something asks that does not predict. Any other forest is stored as it is, and laid out again when it is
//! loaded.

use std::sync::Arc;

use super::cost::Work;
use super::{Candidate, Choice, Isa, LaidOut, Plan, Request, Runner, compile};
use crate::error::{Error, Result};
use crate::ir::{Float, Forest};
use crate::kernel::Sum;
use crate::layout::circuit::{CircuitLayout, Refusal};
use crate::layout::row::RowLayout;
use crate::layout::stored::{StoredReal, leaf_ids};
use crate::store::{Array, Reader, Stored, Writer, stored};

stored!(struct Work { features, splits, of_categories, trees, visits });

impl Work {
    fn pays_somewhere(&self, input: Float) -> bool {
        Isa::ALL.iter().any(|&isa| self.circuit(isa, input) <= self.walk())
    }
}

/// A forest out of a compiled model, with the layouts that were stored of it.
pub(crate) struct Compiled {
    pub(crate) forest: Forest,
    layouts: Option<Layouts>,
}

enum Layouts {
    F32(Box<StoredLayouts<f32>>),
    F64(Box<StoredLayouts<f64>>),
}

struct StoredLayouts<S: 'static> {
    circuits: StoredCircuits<S>,
    rows: Arc<RowLayout<S>>,
    row_work: Work,
}

struct StoredCircuits<S: 'static> {
    /// Trees that circuits can evaluate, and why others have none.
    trees: usize,
    refused: Option<String>,
    work: Work,
    layout: Option<CircuitLayout<S>>,
}

/// Writes a forest and its layouts.
pub(crate) fn put(forest: &Forest, to: &mut Writer) {
    match forest.profile().sum {
        Float::F32 => put_as::<f32>(forest, to),
        Float::F64 => put_as::<f64>(forest, to),
    }
}

fn put_as<S: Sum + StoredReal>(forest: &Forest, to: &mut Writer) {
    let laid_out = LaidOut::new(forest);
    let rows = laid_out.rows::<S>();
    let is_stored = forest.tree_width() == 1 && rows.work.ranks_may_pay(forest);
    let layout = if is_stored { (rows.layout)().ok() } else { None };
    layout.is_some().put(to);
    let Some(rows_layout) = layout else { return forest.put(to) };
    forest.put_arithmetic(to);
    Array::from(leaf_ids(forest)).put(to);
    rows.work.put(to);
    rows_layout.put(to);

    let circuits = laid_out.circuits::<S>();
    let made = circuits.trees > 0 && circuits.work.pays_somewhere(forest.profile().input);
    let (trees, refused, layout) = match made.then(circuits.layout) {
        None => (circuits.trees, circuits.refused, None),
        Some(Ok(layout)) => (circuits.trees, circuits.refused, Some(layout)),
        Some(Err(refusal)) => (0, circuits.refused.or(Some(refusal.to_string())), None),
    };
    (trees, refused).put(to);
    circuits.work.put(to);
    layout.is_some().put(to);
    if let Some(layout) = layout {
        layout.put(&rows_layout, to);
    }
}

impl Compiled {
    /// Reads what [`put`] wrote.
    ///
    /// Cost: a look at every node of the layouts.
    pub(crate) fn get(from: &mut Reader) -> Result<Self> {
        if !bool::get(from)? {
            return Ok(Self { forest: Forest::get(from)?, layouts: None });
        }
        let forest = Forest::get_arithmetic(from)?;
        match forest.profile().sum {
            Float::F32 => get_as(from, forest, Layouts::F32),
            Float::F64 => get_as(from, forest, Layouts::F64),
        }
    }

    /// The plan, and the kernel. What is stored is what is reckoned to pay; for any other choice the forest is laid out
    /// again.
    pub(crate) fn choose(self, request: Request) -> Result<(Forest, Plan, Runner)> {
        let Self { forest, layouts } = self;
        let layouts = layouts.filter(|_| request.choice == Choice::Reckoned);
        let (plan, runner) = match (forest.profile().input, layouts) {
            (_, None) => super::choose(&forest, request)?,
            (Float::F32, Some(Layouts::F32(layouts))) => {
                let (circuits, rows) = layouts.candidates();
                compile::<f32, f32>(&forest, request, circuits, rows, Runner::F32)?
            }
            (Float::F32, Some(Layouts::F64(layouts))) => {
                let (circuits, rows) = layouts.candidates();
                compile::<f32, f64>(&forest, request, circuits, rows, Runner::F64)?
            }
            (Float::F64, Some(Layouts::F32(layouts))) => {
                let (circuits, rows) = layouts.candidates();
                compile::<f64, f32>(&forest, request, circuits, rows, Runner::F32)?
            }
            (Float::F64, Some(Layouts::F64(layouts))) => {
                let (circuits, rows) = layouts.candidates();
                compile::<f64, f64>(&forest, request, circuits, rows, Runner::F64)?
            }
        };
        Ok((forest, plan, runner))
    }
}

fn get_as<S: Sum + StoredReal>(
    from: &mut Reader,
    forest: Forest,
    layouts: fn(Box<StoredLayouts<S>>) -> Layouts,
) -> Result<Compiled> {
    let ids: Array<u32> = Stored::get(from)?;
    let row_work = Work::get(from)?;
    let rows = Arc::new(RowLayout::<S>::get(from, &forest)?);
    if forest.tree_width() != 1 || forest.is_linear_model() || !forest.counts_trees_as(&rows.outputs()) {
        return Err(Error::invalid_model("trees of another kind than their layout"));
    }
    if ids.len() != rows.n_leaves() || !row_work.ranks_may_pay(&forest) {
        return Err(Error::invalid_model("another number of leaves than the trees have"));
    }
    let (trees, refused) = Stored::get(from)?;
    let work = Work::get(from)?;
    let layout = bool::get(from)?.then(|| CircuitLayout::get(from, &forest, &rows)).transpose()?;
    let made = layout.as_ref().map_or(0, |layout: &CircuitLayout<S>| layout.trees.len());
    let expected = if work.pays_somewhere(forest.profile().input) { trees } else { 0 };
    if made != expected {
        return Err(Error::invalid_model(format!("{made} circuits, of which there should be {expected}")));
    }
    let (arithmetic, of) = (forest.clone(), rows.clone());
    let nodes = move || of.nodes(&arithmetic, &ids).expect("reading the layout proved its trees sound");
    let circuits = StoredCircuits { trees, refused, work, layout };
    let layouts = layouts(Box::new(StoredLayouts { circuits, rows, row_work }));
    Ok(Compiled { forest: forest.with_later_nodes(nodes), layouts: Some(layouts) })
}

impl<S: Sum> StoredLayouts<S> {
    fn candidates(self) -> (Candidate<'static, CircuitLayout<S>>, Candidate<'static, Arc<RowLayout<S>>>) {
        let StoredCircuits { trees, refused, work, layout } = self.circuits;
        // What pays on no instruction set was not stored, and is not asked for.
        let layout = Box::new(|| layout.ok_or(Refusal::Leaves));
        let circuits = Candidate { trees, refused, work, layout: layout as _ };
        let rows = self.rows;
        let trees = rows.trees.len();
        (circuits, Candidate { trees, refused: None, work: self.row_work, layout: Box::new(|| Ok(rows)) })
    }
}
