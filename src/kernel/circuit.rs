//! Runs circuits: programs of byte selections over columns of ranks.
#![allow(
    unsafe_code,
    reason = "programs index columns and stack without checks; `Columns::new` and the layout bound them"
)]

use super::level::{Chunk, Level, Work};
use super::{CHUNK, Sum};
use crate::ir::Target;
use crate::layout::circuit::{CircuitLayout, CircuitTree, Tile};
use crate::layout::ranks::ByteTest;

/// Byte columns of a block, each `chunks` long: first those of ranks, then the results of a tree's set tests.
pub(crate) struct Columns<'a> {
    bytes: &'a mut [Chunk],
    stack: &'a mut [Chunk],
    chunks: usize,
}

impl<'a> Columns<'a> {
    /// Columns that the circuits of `layout` may use, in buffers that grow to their size.
    pub(crate) fn new<S: 'static>(
        layout: &CircuitLayout<S>,
        chunks: usize,
        bytes: &'a mut Vec<Chunk>,
        stack: &'a mut Vec<Chunk>,
    ) -> Self {
        // Padding tests column 0 even where there is none.
        let columns = (layout.ranks.n_columns + layout.max_sets).max(1) * chunks;
        let depth = layout.stack.max(1) * chunks;
        bytes.resize(columns.max(bytes.len()), Chunk::ZERO);
        stack.resize(depth.max(stack.len()), Chunk::ZERO);
        Self { bytes: &mut bytes[..columns], stack: &mut stack[..depth], chunks }
    }

    /// All columns, to be filled.
    pub(crate) fn bytes(&mut self) -> &mut [Chunk] {
        self.bytes
    }
}

/// Adds the leaves of some trees, all of which have circuits, to the sums: output after output.
pub(crate) struct AddTrees<'a, 'c, S: 'static> {
    pub(crate) layout: &'a CircuitLayout<S>,
    pub(crate) trees: &'a [Option<CircuitTree>],
    pub(crate) columns: &'a mut Columns<'c>,
    pub(crate) sums: &'a mut [[S; CHUNK]],
}

impl<S: Sum> Work for AddTrees<'_, '_, S> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let Self { layout, trees, columns, sums } = self;
        for tree in trees.iter().flatten() {
            test_sets(level, layout, tree, columns);
            run::<L, S>(layout, tree, columns);
            let chunks = columns.chunks;
            let at = &columns.stack[..chunks];
            let table = tree.table as usize;
            let (first, width) = match tree.target {
                Target::One(output) => (output as usize, 1),
                Target::All => (0, sums.len() / chunks),
            };
            for output in 0..width {
                let leaves = &layout.leaves[tree.first_leaf as usize + output * table..][..table];
                let sums = &mut sums[(first + output) * chunks..][..chunks];
                S::add_leaves(level, sums, at, leaves);
            }
        }
    }
}

#[inline(always)]
fn test_sets<L: Level, S: 'static>(level: L, layout: &CircuitLayout<S>, tree: &CircuitTree, columns: &mut Columns<'_>) {
    let chunks = columns.chunks;
    let (coded, results) = columns.bytes.split_at_mut(layout.ranks.n_columns * chunks);
    let mut next = 0;
    for test in &layout.sets[tree.first_set as usize..tree.end_set as usize] {
        let byte = &coded[test.column as usize * chunks..][..chunks];
        let bit = &coded[(test.column as usize + 1) * chunks..][..chunks];
        if test.continues {
            let result = &mut results[(next - 1) * chunks..][..chunks];
            for ((result, byte), bit) in result.iter_mut().zip(byte).zip(bit) {
                let outside = level.outside_set(byte, bit, &test.left);
                for (result, outside) in result.0.iter_mut().zip(outside.0) {
                    *result &= outside;
                }
            }
        } else {
            let result = &mut results[next * chunks..][..chunks];
            for ((result, byte), bit) in result.iter_mut().zip(byte).zip(bit) {
                *result = level.outside_set(byte, bit, &test.left);
            }
            next += 1;
        }
    }
}

/// Runs the program of a tree, as many bytes at once as a register of the level holds; leaf numbers come to lie at the
/// bottom of the stack.
#[inline(always)]
fn run<L: Level, S: 'static>(layout: &CircuitLayout<S>, tree: &CircuitTree, columns: &mut Columns<'_>) {
    match L::BYTES {
        64 => Machine::<64>::new(columns).run(layout, tree),
        32 => Machine::<32>::new(columns).run(layout, tree),
        _ => Machine::<16>::new(columns).run(layout, tree),
    }
}

/// As many bytes as a register holds.
type Bytes<const N: usize> = [u8; N];

/// Columns and stack as registers, `length` to a column.
struct Machine<const N: usize> {
    columns: *const Bytes<N>,
    stack: *mut Bytes<N>,
    length: usize,
}

/// A test with its column.
#[derive(Clone, Copy)]
struct Test<const N: usize> {
    column: *const Bytes<N>,
    from: Bytes<N>,
}

impl<const N: usize> Machine<N> {
    fn new(columns: &mut Columns<'_>) -> Self {
        Self {
            columns: columns.bytes.as_ptr().cast(),
            stack: columns.stack.as_mut_ptr().cast(),
            length: columns.chunks * CHUNK / N,
        }
    }

    #[inline(always)]
    fn run<S: 'static>(&self, layout: &CircuitLayout<S>, tree: &CircuitTree) {
        let mut tests = &layout.tests[tree.first_test as usize..];
        let mut top = 0;
        // SAFETY: `Columns::new` makes room for every column that a test names and for as many columns as a program
        // has on the stack; `CircuitLayout::add_tree` counts both, and pushes a tile's operands before the tile.
        // BENEFIT: without checks and calls, XGBoost 500 trees of depth 6 take 0.4 of the time.
        unsafe {
            for instruction in &layout.instructions[tree.first_instruction as usize..tree.end_instruction as usize] {
                let first = [instruction.leaf; N];
                match instruction.tile {
                    Tile::Leaf => {
                        let out = self.column(top);
                        for at in 0..self.length {
                            *out.add(at) = first;
                        }
                        top += 1;
                    }
                    Tile::Leaves2 => {
                        let [a] = self.take(&mut tests);
                        let out = self.column(top);
                        for at in 0..self.length {
                            *out.add(at) = plus(select(mask(a, at), [0; N], [1; N]), first);
                        }
                        top += 1;
                    }
                    Tile::Leaves4 => {
                        let t = self.take(&mut tests);
                        let out = self.column(top);
                        for at in 0..self.length {
                            *out.add(at) = plus(three(t, at, [[0; N], [1; N], [2; N], [3; N]]), first);
                        }
                        top += 1;
                    }
                    Tile::Leaves8 => {
                        let t = self.take(&mut tests);
                        let out = self.column(top);
                        let leaves = [[0; N], [1; N], [2; N], [3; N], [4; N], [5; N], [6; N], [7; N]];
                        for at in 0..self.length {
                            *out.add(at) = plus(seven(t, at, leaves), first);
                        }
                        top += 1;
                    }
                    Tile::LeafOrTop => {
                        let [a] = self.take(&mut tests);
                        let out = self.column(top - 1);
                        for at in 0..self.length {
                            *out.add(at) = select(mask(a, at), first, *out.add(at));
                        }
                    }
                    Tile::TopOrLeaf => {
                        let [a] = self.take(&mut tests);
                        let out = self.column(top - 1);
                        for at in 0..self.length {
                            *out.add(at) = select(mask(a, at), *out.add(at), first);
                        }
                    }
                    Tile::Join4 => {
                        let t = self.take(&mut tests);
                        top -= 4;
                        let [a, b, c, d] = [top, top + 1, top + 2, top + 3].map(|column| self.column(column));
                        for at in 0..self.length {
                            *a.add(at) = three(t, at, [*a.add(at), *b.add(at), *c.add(at), *d.add(at)]);
                        }
                        top += 1;
                    }
                    Tile::Join8 => {
                        let t = self.take(&mut tests);
                        top -= 8;
                        let base = self.column(top);
                        let n = self.length;
                        for at in 0..n {
                            let operand = |i: usize| *base.add(at + i * n);
                            let operands = [
                                operand(0),
                                operand(1),
                                operand(2),
                                operand(3),
                                operand(4),
                                operand(5),
                                operand(6),
                                operand(7),
                            ];
                            *base.add(at) = seven(t, at, operands);
                        }
                        top += 1;
                    }
                }
            }
        }
    }

    /// A column of the stack.
    ///
    /// # Safety
    /// The stack is deeper than `at`.
    #[inline(always)]
    unsafe fn column(&self, at: usize) -> *mut Bytes<N> {
        // SAFETY: the caller's.
        unsafe { self.stack.add(at * self.length) }
    }

    /// The next `M` tests.
    ///
    /// # Safety
    /// Their columns are there.
    #[inline(always)]
    unsafe fn take<const M: usize>(&self, tests: &mut &[ByteTest]) -> [Test<N>; M] {
        let (next, rest) = tests.split_first_chunk::<M>().expect("programs and tests fit together");
        *tests = rest;
        let mut taken = [Test { column: self.columns, from: [0; N] }; M];
        for (taken, test) in taken.iter_mut().zip(next) {
            // SAFETY: the caller's for the column; no register is longer than 16 words.
            unsafe {
                taken.column = self.columns.add(test.column as usize * self.length);
                taken.from = [test.from; 16].as_ptr().cast::<Bytes<N>>().read();
            }
        }
        taken
    }
}

/// 255 where the test goes right.
///
/// # Safety
/// The test's column is there, and longer than `at`.
#[inline(always)]
unsafe fn mask<const N: usize>(test: Test<N>, at: usize) -> Bytes<N> {
    // SAFETY: the caller's.
    let column = unsafe { *test.column.add(at) };
    let mut mask = [0; N];
    for (index, mask) in mask.iter_mut().enumerate() {
        *mask = u8::from(column[index] >= test.from[index]).wrapping_neg();
    }
    mask
}

#[inline(always)]
fn select<const N: usize>(mask: Bytes<N>, left: Bytes<N>, right: Bytes<N>) -> Bytes<N> {
    let mut selected = [0; N];
    for (index, selected) in selected.iter_mut().enumerate() {
        *selected = (left[index] & !mask[index]) | (right[index] & mask[index]);
    }
    selected
}

#[inline(always)]
fn plus<const N: usize>(a: Bytes<N>, b: Bytes<N>) -> Bytes<N> {
    let mut sum = a;
    for (sum, b) in sum.iter_mut().zip(b) {
        *sum = sum.wrapping_add(b);
    }
    sum
}

/// A perfect subtree of three splits: tests in level order.
///
/// # Safety
/// As for [`mask`].
#[inline(always)]
unsafe fn three<const N: usize>(t: [Test<N>; 3], at: usize, leaves: [Bytes<N>; 4]) -> Bytes<N> {
    // SAFETY: the caller's.
    let [root, left, right] = unsafe { [mask(t[0], at), mask(t[1], at), mask(t[2], at)] };
    select(root, select(left, leaves[0], leaves[1]), select(right, leaves[2], leaves[3]))
}

/// A perfect subtree of seven splits.
///
/// # Safety
/// As for [`mask`].
#[inline(always)]
unsafe fn seven<const N: usize>(t: [Test<N>; 7], at: usize, leaves: [Bytes<N>; 8]) -> Bytes<N> {
    // SAFETY: the caller's.
    unsafe {
        let (a, b) = (select(mask(t[3], at), leaves[0], leaves[1]), select(mask(t[4], at), leaves[2], leaves[3]));
        let left = select(mask(t[1], at), a, b);
        let (c, d) = (select(mask(t[5], at), leaves[4], leaves[5]), select(mask(t[6], at), leaves[6], leaves[7]));
        let right = select(mask(t[2], at), c, d);
        select(mask(t[0], at), left, right)
    }
}
