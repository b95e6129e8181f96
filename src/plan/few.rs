//! Kernels for a few rows: what is made of ranked rows, the quickest of which is taken.

use std::sync::Arc;

use super::cost::Work;
use super::{Candidate, Choice, Isa, KernelKind, Plan};
use crate::ir::Forest;
use crate::kernel::Sum;
use crate::kernel::stage::Input;
use crate::layout::levels::Levels;
use crate::layout::row::RowLayout;
use crate::layout::tops::{Reckoned, Tops};
use crate::layout::values::{Planes, ValueLayout};

/// What ranked rows are laid out for.
const KINDS: [KernelKind; 4] = [KernelKind::Row, KernelKind::Tops, KernelKind::Levels, KernelKind::Values];

/// Whether a kernel that is made of ranked rows can evaluate all trees.
pub(super) fn fits(kind: KernelKind, rows: &RowLayout<f64>, n_features: usize) -> bool {
    match kind {
        KernelKind::Tops => Reckoned::new(rows, Isa::Portable.look_up()).is_ok(),
        KernelKind::Levels => Levels::new(rows).is_ok(),
        KernelKind::Values => Planes::new(rows, n_features).is_ok(),
        _ => true,
    }
}

/// Layouts for a few rows.
pub(super) struct FewRows<T, S: 'static> {
    /// Of the others as well.
    pub(super) rows: Option<Arc<RowLayout<S>>>,
    pub(super) tops: Option<Tops<S>>,
    pub(super) levels: Option<Levels>,
    pub(super) values: Option<ValueLayout<T>>,
    /// What a row is reckoned to take by the quickest of them.
    pub(super) reckoned: f64,
}

impl<T, S: Sum> FewRows<T, S> {
    /// The kernel that is quicker than ranked walks, if one is.
    pub(super) fn quick(&self) -> Option<KernelKind> {
        let tops = self.tops.as_ref().map(|_| KernelKind::Tops);
        let levels = self.levels.as_ref().map(|_| KernelKind::Levels);
        let values = self.values.as_ref().map(|_| KernelKind::Values);
        tops.or(levels).or(values)
    }

    /// Leaves ranked rows out where nothing needs them: neither what is made of them nor, by themselves, a few rows, nor
    /// `others`: blocks, or trees that have no circuit.
    pub(super) fn keep_rows(&mut self, plan: &mut Plan, work: &Work, choice: Choice, others: bool) {
        let Some(layout) = &self.rows else { return };
        let (row, walk) = (work.row(), work.walk());
        let reckoned = format!("reckoned to take {row:.0} ns a row, walks {walk:.0} ns");
        let is_quickest = self.quick().is_none();
        // Of measured plans it is known which kernel takes which rows, but not what takes trees without a circuit.
        let for_others = others && row <= walk && matches!(choice, Choice::As(_));
        if for_others || plan.wants(KernelKind::Row, choice, row <= walk && (others || is_quickest), &reckoned) {
            plan.add(KernelKind::Row, layout.trees.len(), layout.heap_bytes(), reckoned);
        } else if is_quickest {
            self.rows = None;
        }
    }
}

/// Ranked rows and what is made of them: what is possible, and pays or was asked for. Ranked rows by themselves are still to
/// be [kept](FewRows::keep_rows) or not.
pub(super) fn plan_few_rows<T: Input, S: Sum>(
    plan: &mut Plan,
    forest: &Forest,
    candidate: Candidate<'_, Arc<RowLayout<S>>>,
    choice: Choice,
) -> FewRows<T, S> {
    let Candidate { trees, work, layout, .. } = candidate;
    let (row, walk, input) = (work.row(), work.walk(), forest.profile().input);
    let mut few = FewRows { rows: None, tops: None, levels: None, values: None, reckoned: walk };
    let layout = match KINDS.iter().any(|&kind| choice.wants(kind, work.ranks_may_pay(forest))) {
        true => layout().map_err(|refusal| refusal.to_string()),
        false => Err(choice.refusal(format!("reckoned to take {row:.0} ns a row, walks {walk:.0} ns"))),
    };
    let layout = match layout {
        Ok(layout) => layout,
        Err(reason) => {
            KINDS.iter().for_each(|&kind| plan.refuse(kind, reason.clone()));
            return few;
        }
    };
    let look_up = plan.isa.look_up();
    let tops = plan.fitting(KernelKind::Tops, Reckoned::new(&layout, look_up));
    let levels = plan.fitting(KernelKind::Levels, Levels::new(&layout));
    let planes = plan.fitting(KernelKind::Values, Planes::new(&layout, forest.n_features()));

    let has_registers = plan.isa != Isa::Portable;
    let by_tops = tops.as_ref().map(|tops| Work::at_once(tops.cycles));
    let by_levels = levels.as_ref().map(|levels| Work::at_once(levels.cycles(look_up)));
    let by_values = planes.as_ref().map(|planes| work.values(planes.n_words as f64, input));
    let at_once = [by_tops, by_levels].map(|takes| takes.filter(|_| has_registers));
    let least = at_once.into_iter().chain([by_values]).flatten().fold(row.min(walk), f64::min);
    // Whether to lay it out, and what is said of it.
    let mut wants = |kind, takes: Option<f64>| {
        let reason = format!("reckoned to take {:.0} ns a row, ranked walks {row:.0} ns", takes.unwrap_or_default());
        plan.wants(kind, choice, takes == Some(least), &reason).then_some(reason)
    };
    let tops = tops.and_then(|tops| Some((tops, wants(KernelKind::Tops, by_tops)?)));
    let levels = levels.and_then(|levels| Some((levels, wants(KernelKind::Levels, by_levels)?)));
    let planes = planes.and_then(|planes| Some((planes, wants(KernelKind::Values, by_values)?)));

    if let Some((reckoned, reason)) = tops {
        let tops = Tops::new(&layout, reckoned);
        plan.add(KernelKind::Tops, trees, layout.heap_bytes() + tops.heap_bytes(), reason);
        few.tops = Some(tops);
    }
    if let Some((levels, reason)) = levels {
        plan.add(KernelKind::Levels, trees, layout.heap_bytes() + levels.heap_bytes(), reason);
        few.levels = Some(levels);
    }
    // Where a node at a time is read, those that follow one another should be near.
    let is_walked = planes.is_some() || choice.wants(KernelKind::Row, row <= walk);
    let is_walked = is_walked && few.tops.is_none() && few.levels.is_none();
    let layout = if is_walked { Arc::new(layout.near()) } else { layout };
    if let Some((planes, reason)) = planes {
        match ValueLayout::new(&layout, planes) {
            Ok(values) => {
                plan.add(KernelKind::Values, trees, layout.heap_bytes() + values.heap_bytes(), reason);
                few.values = Some(values);
            }
            Err(refusal) => plan.refuse(KernelKind::Values, refusal.to_string()),
        }
    }
    few.reckoned = if few.quick().is_some() { least } else { row.min(walk) };
    few.rows = Some(layout);
    few
}
