//! The trees of an ensemble written out: every node has one parent, and every split asks "at most this threshold" or "in
//! this set".
//!
//! Equality with category codes is a set. Equality with other numbers holds on intervals, which are a few thresholds
//! where what follows them is small enough to be copied; where it is not, a column of its own says of each value whether
//! it is listed. A chain of such tests that lead to the same node, as converters write sets, is one test.

use super::trees::{Mode, TreeNode, Trees};
use crate::error::{Error, Result};
use crate::graph::ops::encode::MemberColumn;
use crate::ir::{CategorySet, Float, Missing, Test};
use crate::load::{Limits, OnnxCompat};

/// A node of a tree that is written out.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The node of the file.
    pub(super) at: u32,
    pub(super) asks: Asks,
    /// Places for values that pass, and for others.
    pub(super) children: [u32; 2],
}

/// What a node asks.
#[derive(Clone, Debug, Default)]
pub(super) enum Asks {
    /// Nothing: a leaf.
    #[default]
    Nothing,
    Split(Split),
    /// Only while trees are written.
    Equality(Equality),
}

/// A question as a forest has it; left is for values that pass.
#[derive(Clone, Debug)]
pub(super) struct Split {
    pub(super) feature: u32,
    pub(super) test: Test,
    pub(super) missing: Missing,
}

/// Whether a value is one of those listed.
#[derive(Clone, Debug)]
pub(super) struct Equality {
    feature: u32,
    values: Vec<f64>,
    /// Whether the value loses its fraction first.
    truncate: bool,
    nan_passes: bool,
}

/// Where the values of an equality lie: the last values of ranges that pass and of ranges that do not, in turn.
#[derive(Debug, PartialEq)]
struct Ranges {
    cuts: Vec<f64>,
    /// Whether the first range passes.
    first_passes: bool,
}

/// At most this many nodes of a tree for every node of the file.
const MAX_SHARING: usize = 64;

/// At most this many nodes more where an equality becomes thresholds.
const MAX_NEW_NODES: usize = 64;

/// Whole numbers up to here lose no fraction; beyond, none has one.
const MAX_FRACTION: f64 = 1e15;

/// Writes trees out.
pub(super) struct Writer<'a> {
    pub(super) trees: &'a Trees,
    /// Columns of the rows.
    pub(super) n_features: usize,
    pub(super) compat: OnnxCompat,
    /// Columns the trees test beside those of the rows.
    pub(super) members: Vec<MemberColumn>,
}

impl Writer<'_> {
    /// All trees; a node that several splits share becomes one for each.
    pub(super) fn write(&mut self, limits: &Limits) -> Result<Vec<Vec<Place>>> {
        let mut on_path = vec![false; self.trees.nodes.len()];
        let (mut all, mut total) = (Vec::with_capacity(self.trees.roots.len()), 0);
        for (tree, &root) in self.trees.roots.iter().enumerate() {
            let mut places = self.places(tree, root, &mut on_path)?;
            if places.iter().any(|place| matches!(place.asks, Asks::Equality(_))) {
                join_chains(&mut places);
                self.settle_equalities(&mut places);
            }
            total += places.len();
            limits.nodes(total)?;
            all.push(places);
        }
        Ok(all)
    }

    /// The places of a tree, parents before their children.
    fn places(&self, tree: usize, root: u32, on_path: &mut [bool]) -> Result<Vec<Place>> {
        // Sharing may not make much of little.
        let most = self.trees.nodes.len().saturating_mul(MAX_SHARING);
        let mut places = vec![self.place(root)?];
        // Nodes on the way down, and how many of their children have been written.
        let mut path = vec![(0, 0)];
        on_path[root as usize] = true;
        while let Some((place, stage)) = path.last_mut() {
            let Place { at, asks, children } = &mut places[*place];
            if matches!(asks, Asks::Nothing) || *stage == 2 {
                on_path[*at as usize] = false;
                path.pop();
                continue;
            }
            let child = children[*stage];
            if std::mem::replace(&mut on_path[child as usize], true) {
                return Err(Error::invalid_model("its own descendant").at(format!("tree {tree}, node {child}")));
            }
            let new = places.len();
            places[*place].children[*stage] = new as u32;
            *stage += 1;
            places.push(self.place(child)?);
            path.push((new, 0));
            if places.len() > most {
                return Err(Error::limit("nodes of a tree whose nodes are shared", places.len(), most));
            }
        }
        Ok(places)
    }

    /// A place for a node, with the nodes of the file as its children.
    fn place(&self, at: u32) -> Result<Place> {
        let node = &self.trees.nodes[at as usize];
        let (asks, passes_true) = self.question(node)?;
        let children = if passes_true { [node.on_true, node.on_false] } else { [node.on_false, node.on_true] };
        Ok(Place { at, asks, children })
    }

    /// What a node asks, and whether values that pass take the true branch.
    fn question(&self, node: &TreeNode) -> Result<(Asks, bool)> {
        if node.mode == Mode::Leaf {
            return Ok((Asks::Nothing, true));
        }
        let feature = node.feature;
        if feature as usize >= self.n_features {
            return Err(Error::invalid_model(format!("feature {feature}, but the rows have {}", self.n_features)));
        }
        let never = || Test::Categories(CategorySet::default());
        let at_most = |threshold: f64| if threshold.is_nan() { never() } else { Test::Threshold(threshold) };
        let below = |threshold: f64| self.greatest_below(threshold).map_or_else(never, Test::Threshold);
        let (test, passes_true) = match node.mode {
            Mode::LessOrEqual => (at_most(node.value), true),
            Mode::Less => (below(node.value), true),
            // Not `>=`, not `>`: with a NaN threshold neither holds, though its contrary does not hold either.
            Mode::GreaterOrEqual | Mode::Greater if node.value.is_nan() => (never(), true),
            Mode::GreaterOrEqual => (below(node.value), false),
            Mode::Greater => (at_most(node.value), false),
            Mode::Equal | Mode::NotEqual | Mode::Member => return self.equality(node),
            Mode::Leaf => return Err(Error::invalid_model("a leaf where a split is expected")),
        };
        let missing = if node.tracks_true == passes_true { Missing::Left } else { Missing::Right };
        Ok((Asks::Split(Split { feature, test, missing }), passes_true))
    }

    fn equality(&self, node: &TreeNode) -> Result<(Asks, bool)> {
        let (values, truncate) = match node.mode {
            Mode::Member => {
                let values = self.trees.members_of(node);
                (values.to_vec(), self.truncates(values)?)
            }
            _ => (vec![node.value], false),
        };
        let is_not = node.mode == Mode::NotEqual;
        let nan_true = node.tracks_true || is_not && self.compat == OnnxCompat::OnnxRuntime;
        let nan_passes = nan_true != is_not;
        Ok((Asks::Equality(Equality { feature: node.feature, values, truncate, nan_passes }), !is_not))
    }

    /// Whether ONNX Runtime drops fractions before it looks a value up: it tests small whole numbers as bits of a mask
    /// and single values as they are, but puts other lists into a set of integers.
    fn truncates(&self, values: &[f64]) -> Result<bool> {
        let single = values.iter().all(|value| *value == values[0]);
        let whole = values.iter().all(|value| value.trunc() == *value);
        let most = if self.trees.input == Float::F32 { 30.0 } else { 62.0 };
        let masked = whole && values.iter().all(|value| (0.0..=most).contains(value));
        if self.compat == OnnxCompat::Spec || single || masked {
            return Ok(false);
        }
        if !whole {
            return Err(Error::unsupported(
                "membership among several values that are not whole, which ONNX Runtime refuses",
            ));
        }
        Ok(true)
    }

    /// The greatest value of the rows' type below `threshold`.
    fn greatest_below(&self, threshold: f64) -> Option<f64> {
        let below = match self.trees.input {
            Float::F32 => {
                let near = threshold as f32;
                f64::from(if f64::from(near) < threshold { near } else { near.next_down() })
            }
            Float::F64 => threshold.next_down(),
        };
        (below < threshold).then_some(below)
    }

    /// Makes splits of a tree's equalities, from the leaves up.
    fn settle_equalities(&mut self, places: &mut Vec<Place>) {
        // Nodes below and including each.
        let mut sizes = vec![1; places.len()];
        for at in (0..sizes.len()).rev() {
            if matches!(places[at].asks, Asks::Nothing) {
                continue;
            }
            let of_children = places[at].children.map(|child| sizes[child as usize]);
            let before = places.len();
            if let Asks::Equality(equality) = &mut places[at].asks {
                let equality = equality.take();
                self.settle(places, at, &equality, of_children);
            }
            sizes[at] = 1 + of_children[0] + of_children[1] + places.len() - before;
        }
    }

    /// Makes a split, or several, of an equality whose children are of these sizes.
    fn settle(&mut self, places: &mut Vec<Place>, at: usize, equality: &Equality, sizes: [usize; 2]) {
        let (feature, codes) = match equality.codes() {
            Some(codes) => (equality.feature, codes),
            None => {
                let values = equality.sorted();
                let ranges = self.ranges(&values, equality.truncate);
                if ranges.cuts.is_empty() {
                    (equality.feature, Vec::new())
                } else if ranges.n_new_nodes(sizes) <= MAX_NEW_NODES {
                    return part(places, at, equality, &ranges);
                } else {
                    (self.member_column(equality.feature, values, equality.truncate), vec![0])
                }
            }
        };
        let missing = if equality.nan_passes { Missing::Left } else { Missing::Right };
        let test = Test::Categories(CategorySet::from_codes(&codes));
        places[at].asks = Asks::Split(Split { feature, test, missing });
    }

    /// The feature that says whether another is one of `values`: 0 where it is.
    fn member_column(&mut self, feature: u32, values: Vec<f64>, truncate: bool) -> u32 {
        let column = MemberColumn { feature: feature as usize, values, truncate };
        let at = self.members.iter().position(|known| *known == column).unwrap_or_else(|| {
            self.members.push(column);
            self.members.len() - 1
        });
        (self.n_features + at) as u32
    }

    /// Where numbers of the rows' type equal one of `values`, which ascend.
    fn ranges(&self, values: &[f64], truncate: bool) -> Ranges {
        let mut ranges = Ranges { cuts: Vec::with_capacity(2 * values.len()), first_passes: false };
        for &value in values {
            let whole = truncate && value.abs() < MAX_FRACTION;
            let below = match () {
                () if whole && value <= 0.0 => Some(value - 1.0),
                () => self.greatest_below(value),
            };
            let last = match () {
                () if whole && value >= 0.0 => self.greatest_below(value + 1.0).unwrap_or(value),
                () => value,
            };
            match (below, ranges.cuts.last()) {
                // It goes on where the one before ends.
                (Some(below), Some(&end)) if below <= end => _ = ranges.cuts.pop(),
                (Some(below), _) => ranges.cuts.push(below),
                (None, _) => ranges.first_passes = true,
            }
            ranges.cuts.push(last);
        }
        ranges
    }
}

impl Ranges {
    /// Nodes that a tree gets more by thresholds, where values that pass lead to a tree of the first of `sizes`, others to
    /// one of the second.
    fn n_new_nodes(&self, sizes: [usize; 2]) -> usize {
        let ranges = self.cuts.len() + 1;
        let (more, fewer) = (ranges.div_ceil(2), ranges / 2);
        let [passing, others] = if self.first_passes { [more, fewer] } else { [fewer, more] };
        let copied = |times: usize, size: usize| (times - 1).saturating_mul(size);
        self.cuts.len().saturating_add(copied(passing, sizes[0])).saturating_add(copied(others, sizes[1]))
    }
}

impl Equality {
    fn take(&mut self) -> Self {
        Self { values: std::mem::take(&mut self.values), ..*self }
    }

    /// Its values as category codes, if they are some.
    fn codes(&self) -> Option<Vec<u32>> {
        let code = |&value: &f64| {
            let is_code = value >= 0.0 && value < f64::from(1u32 << 31) && value.trunc() == value;
            is_code.then_some(value as u32)
        };
        if self.truncate { None } else { self.values.iter().map(code).collect() }
    }

    /// Its distinct values, ascending; nothing equals NaN.
    fn sorted(&self) -> Vec<f64> {
        let numbers = self.values.iter().copied().filter(|value| !value.is_nan());
        // One zero.
        let mut values: Vec<f64> = numbers.map(|value| value + 0.0).collect();
        values.sort_unstable_by(f64::total_cmp);
        values.dedup();
        values
    }
}

/// Makes one of equalities that follow each other, of the same feature and with the same node for values that pass.
fn join_chains(places: &mut [Place]) {
    for at in 0..places.len() {
        while let Some(next) = next_of_chain(places, at) {
            let Place { asks: Asks::Equality(equality), children, .. } = &mut places[next] else { break };
            let (equality, [_, other]) = (equality.take(), *children);
            // Nothing leads there any more.
            places[next].asks = Asks::Nothing;
            places[at].children[1] = other;
            if let Asks::Equality(first) = &mut places[at].asks {
                first.values.extend(equality.values);
                first.nan_passes |= equality.nan_passes;
            }
        }
    }
}

/// The place of the equality that can be joined to that at a place.
fn next_of_chain(places: &[Place], at: usize) -> Option<usize> {
    let Asks::Equality(first) = &places[at].asks else { return None };
    let [passing, other] = places[at].children.map(|child| child as usize);
    let Asks::Equality(next) = &places[other].asks else { return None };
    let leads_there = places[places[other].children[0] as usize].at == places[passing].at;
    let joins = leads_there && (next.feature, next.truncate) == (first.feature, first.truncate);
    joins.then_some(other)
}

/// Writes thresholds at the place of an equality: what follows it stands on each side of them, the first time as it is,
/// then as a copy.
fn part(places: &mut Vec<Place>, at: usize, equality: &Equality, ranges: &Ranges) {
    let Place { at: node, children: followers, .. } = places[at];
    let mut unused = followers.map(Some);
    // Missing values go left all the way to the first range, or just beyond it.
    let nan_is_first = equality.nan_passes == ranges.first_passes;
    let mut open = vec![(at, 0..ranges.cuts.len())];
    while let Some((at, cuts)) = open.pop() {
        let middle = cuts.start + cuts.len() / 2;
        let sides = [cuts.start..middle, middle + 1..cuts.end].map(|cuts| {
            if cuts.is_empty() {
                let follower = usize::from(cuts.start.is_multiple_of(2) != ranges.first_passes);
                return unused[follower].take().unwrap_or_else(|| copy(places, followers[follower]));
            }
            let new = places.len();
            places.push(Place { at: node, asks: Asks::Nothing, children: [0; 2] });
            open.push((new, cuts));
            new as u32
        });
        let missing = if middle > 0 || nan_is_first { Missing::Left } else { Missing::Right };
        let test = Test::Threshold(ranges.cuts[middle]);
        places[at].asks = Asks::Split(Split { feature: equality.feature, test, missing });
        places[at].children = sides;
    }
}

/// Copies the places that a place leads to; where the copy starts.
fn copy(places: &mut Vec<Place>, from: u32) -> u32 {
    let mut at = places.len();
    let copied = at as u32;
    places.push(places[from as usize].clone());
    while at < places.len() {
        if !matches!(places[at].asks, Asks::Nothing) {
            for side in 0..2 {
                let child = places[at].children[side];
                places[at].children[side] = places.len() as u32;
                places.push(places[child as usize].clone());
            }
        }
        at += 1;
    }
    copied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ops::transform::PostTransform;
    use crate::load::onnx::trees::Aggregate;

    fn no_trees(input: Float) -> Trees {
        Trees {
            nodes: Vec::new(),
            roots: Vec::new(),
            weights: Vec::new(),
            members: Vec::new(),
            base: Vec::new(),
            n_targets: 1,
            aggregate: Aggregate::Sum,
            post_transform: PostTransform::None,
            classes: None,
            input,
            sum: input,
            wide: false,
        }
    }

    #[test]
    fn ranges_hold_just_the_numbers_that_are_listed() {
        let lists: [&[f64]; 7] = [
            &[0.5],
            &[-2.0, 0.0, 1.0, 2.0, 7.0],
            &[f64::NEG_INFINITY, -1.5, f64::INFINITY],
            &[0.1],
            &[16_777_216.0, 1e14, 1e20],
            &[-1e20, -3.0, -2.0],
            &[],
        ];
        for input in [Float::F32, Float::F64] {
            let trees = no_trees(input);
            let (compat, members) = (OnnxCompat::default(), Vec::new());
            let writer = Writer { trees: &trees, n_features: 1, compat, members };
            let nexts = |x: f64| match input {
                Float::F32 => [(x as f32).next_down(), x as f32, (x as f32).next_up()].map(f64::from),
                Float::F64 => [x.next_down(), x, x.next_up()],
            };
            for list in lists {
                // Only whole numbers are sought without their fractions.
                let whole = list.iter().all(|x| x.trunc() == *x);
                for truncate in [false, true].into_iter().filter(|truncate| whole || !truncate) {
                    let ranges = writer.ranges(list, truncate);
                    assert!(ranges.cuts.is_sorted());
                    let near = list.iter().flat_map(|&x| [x - 1.0, x - 0.5, x, x + 0.5, x + 1.0]).flat_map(nexts);
                    for x in near.chain([0.0, -0.0]).filter(|x| !x.is_nan()) {
                        let sought = if truncate { x.trunc() } else { x };
                        let range = ranges.cuts.iter().filter(|&&cut| x > cut).count();
                        let passes = range.is_multiple_of(2) == ranges.first_passes;
                        assert_eq!(
                            passes,
                            list.contains(&sought),
                            "{x:e} in {list:?}, {input:?}, truncated: {truncate}"
                        );
                    }
                }
            }
        }
    }
}
