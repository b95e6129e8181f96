//! Runs circuits: programs of byte selections over columns of ranks.
#![allow(
    unsafe_code,
    reason = "programs index columns and slots without checks; `Columns::new` and the layout bound them"
)]

use super::level::{Chunk, Level, Work};
use super::{CHUNK, Sum};
use crate::ir::Target;
use crate::layout::byte_tests::ByteTest;
use crate::layout::circuit::{CircuitLayout, Group, Instruction};
use crate::layout::program::Tile;

/// Chunks that a program is run on at once, where there are as many: enough that what it takes to find columns is small
/// beside the work on them, few enough that slots stay in the nearest cache.
const SPAN: usize = 4;

/// Byte columns of a block of rows: those of ranks, then the results of a group's set tests. [`SPAN`] chunks at a time,
/// then one by one, column after column.
pub(crate) struct Columns<'a> {
    bytes: &'a mut [Chunk],
    n_columns: usize,
    n_chunks: usize,
    /// Columns that are [turned](turned): all that are tested, on levels that compare signed numbers. Others follow.
    n_turned: usize,
    /// The slots of a group.
    slots: &'a mut [Chunk],
    /// The leaf numbers of a group's trees, tree after tree.
    leaves: &'a mut [Chunk],
}

impl<'a> Columns<'a> {
    /// Columns that the circuits of `layout` may use on `L`, in buffers that grow to their size.
    pub(crate) fn new<L: Level, S: 'static>(
        _: L,
        layout: &CircuitLayout<S>,
        n_chunks: usize,
        bytes: &'a mut Vec<Chunk>,
        slots: &'a mut Vec<Chunk>,
    ) -> Self {
        // Padding tests column 0 even where there is none.
        let n_columns = (layout.ranks.n_columns + layout.max_sets).max(1);
        let (n_bytes, n_slots) = (n_columns * n_chunks, layout.slots * SPAN);
        let n_leaves = layout.max_trees * n_chunks;
        bytes.resize(n_bytes.max(bytes.len()), Chunk::ZERO);
        slots.resize((n_slots + n_leaves).max(slots.len()), Chunk::ZERO);
        let (slots, leaves) = slots[..n_slots + n_leaves].split_at_mut(n_slots);
        let n_turned = if compares_signed(L::BYTES) { layout.ranks.n_numeric() } else { 0 };
        Self { bytes: &mut bytes[..n_bytes], n_columns, n_chunks, n_turned, slots, leaves }
    }

    /// Columns of ranks alone, of one chunk: it stands by itself, and is what it is on every level.
    pub(super) fn of_chunk(bytes: &'a mut [Chunk]) -> Self {
        let n_columns = bytes.len();
        Self { bytes, n_columns, n_chunks: 1, n_turned: 0, slots: &mut [], leaves: &mut [] }
    }

    pub(crate) fn n_chunks(&self) -> usize {
        self.n_chunks
    }

    /// The chunks that stand together with `chunk`: the first, and how many.
    #[inline(always)]
    fn span(&self, chunk: usize) -> (usize, usize) {
        let first = chunk - chunk % SPAN;
        if first + SPAN <= self.n_chunks { (first, SPAN) } else { (chunk, 1) }
    }

    /// A chunk of a column.
    #[inline(always)]
    pub(crate) fn set(&mut self, chunk: usize, column: usize, mut bytes: Chunk) {
        let (first, span) = self.span(chunk);
        if column < self.n_turned {
            bytes.turn(SIGN);
        }
        self.bytes[first * self.n_columns + column * span + chunk - first] = bytes;
    }
}

/// Adds the leaves of some groups of trees to the sums: output after output.
pub(crate) struct AddTrees<'a, 'c, S: 'static> {
    pub(crate) layout: &'a CircuitLayout<S>,
    pub(crate) groups: &'a [Group],
    pub(crate) columns: &'a mut Columns<'c>,
    pub(crate) sums: &'a mut [[S; CHUNK]],
}

impl<S: Sum> Work for AddTrees<'_, '_, S> {
    type Output = ();

    #[inline(always)]
    fn work<L: Level>(self, level: L) {
        let Self { layout, groups, columns, sums } = self;
        let n_chunks = columns.n_chunks;
        let n_outputs = sums.len() / n_chunks;
        for group in groups {
            let trees = &layout.trees[group.trees.start as usize..group.trees.end as usize];
            let mut chunk = 0;
            while chunk + SPAN <= n_chunks {
                run::<L, S, SPAN>(level, layout, group, chunk, columns);
                chunk += SPAN;
            }
            while chunk < n_chunks {
                run::<L, S, 1>(level, layout, group, chunk, columns);
                chunk += 1;
            }
            for index in 0..trees.len() {
                let tree = &trees[index];
                let at = &columns.leaves[index * n_chunks..][..n_chunks];
                let table = tree.table as usize;
                let (first, width) = match tree.target {
                    Target::One(output) => (output as usize, 1),
                    Target::All => (0, n_outputs),
                };
                for output in 0..width {
                    let leaves = &layout.leaves[tree.first_leaf as usize + output * table..][..table];
                    let sums = &mut sums[(first + output) * n_chunks..][..n_chunks];
                    S::add_leaves(level, sums, at, leaves);
                }
            }
        }
    }
}

/// Finds the leaves of a group's trees for the `SPAN` chunks from `first`.
#[inline(always)]
fn run<L: Level, S: 'static, const SPAN: usize>(
    level: L,
    layout: &CircuitLayout<S>,
    group: &Group,
    first: usize,
    columns: &mut Columns<'_>,
) {
    let bytes = &mut columns.bytes[first * columns.n_columns..][..SPAN * columns.n_columns];
    let slots = &mut *columns.slots;
    test_sets::<L, S, SPAN>(level, layout, group, bytes);
    match L::BYTES {
        64 => Machine::<64, SPAN>::new(bytes, slots).run(layout, group),
        32 => Machine::<32, SPAN>::new(bytes, slots).run(layout, group),
        _ => Machine::<16, SPAN>::new(bytes, slots).run(layout, group),
    }
    let trees = &layout.trees[group.trees.start as usize..group.trees.end as usize];
    for index in 0..trees.len() {
        let slot = trees[index].slot as usize * SPAN;
        let leaves = &mut columns.leaves[index * columns.n_chunks + first..][..SPAN];
        for at in 0..SPAN {
            leaves[at] = slots[slot + at];
        }
    }
}

/// Fills the columns of set tests.
#[inline(always)]
fn test_sets<L: Level, S: 'static, const SPAN: usize>(
    level: L,
    layout: &CircuitLayout<S>,
    group: &Group,
    bytes: &mut [Chunk],
) {
    let (coded, results) = bytes.split_at_mut(layout.ranks.n_columns * SPAN);
    let tests = &layout.sets[group.sets.start as usize..group.sets.end as usize];
    let mut next = 0;
    for index in 0..tests.len() {
        let test = &tests[index];
        let coded = &coded[test.column as usize * SPAN..][..2 * SPAN];
        if test.continues {
            next -= SPAN;
        }
        let results = &mut results[next..][..SPAN];
        for at in 0..SPAN {
            let mut outside = level.outside_set(&coded[at], &coded[SPAN + at], &test.left);
            if test.continues {
                for index in 0..CHUNK {
                    outside.0[index] &= results[at].0[index] ^ turned(L::BYTES);
                }
            }
            outside.turn(turned(L::BYTES));
            results[at] = outside;
        }
        next += SPAN;
    }
}

/// Whether bytes in such registers are compared as signed numbers: where that is one instruction, and two otherwise.
// BENEFIT: 0.7 to 0.9 of the time on the portable level. With AVX2 it is no gain, though it saves an instruction there too.
#[inline(always)]
const fn compares_signed(register: usize) -> bool {
    register == 16
}

/// What bytes that are tested are combined with, so that they sort as signed numbers.
#[inline(always)]
const fn turned(register: usize) -> u8 {
    if compares_signed(register) { SIGN } else { 0 }
}

const SIGN: u8 = 1 << 7;

/// A byte of 1, as often as tests have theirs.
const ONES: u32 = u32::from_ne_bytes([1; 4]);

/// As many bytes as a register holds.
type Bytes<const N: usize> = [u8; N];

/// Columns and slots of `SPAN` chunks as registers.
struct Machine<const N: usize, const SPAN: usize> {
    columns: *const Bytes<N>,
    slots: *mut Bytes<N>,
}

/// A test with its column.
#[derive(Clone, Copy)]
struct Test<const N: usize> {
    column: *const Bytes<N>,
    from: Bytes<N>,
}

/// What a group consumes as it runs.
struct Stream<'a> {
    instructions: &'a [Instruction],
    operands: &'a [u16],
    tests: &'a [ByteTest],
}

impl<'a> Stream<'a> {
    #[inline(always)]
    fn instruction(&mut self) -> &'a Instruction {
        let (next, rest) = self.instructions.split_first().expect("runs and instructions fit together");
        self.instructions = rest;
        next
    }

    #[inline(always)]
    fn operands<const M: usize>(&mut self) -> &'a [u16; M] {
        let (next, rest) = self.operands.split_first_chunk().expect("runs and operands fit together");
        self.operands = rest;
        next
    }

    #[inline(always)]
    fn tests<const M: usize>(&mut self) -> &'a [ByteTest; M] {
        let (next, rest) = self.tests.split_first_chunk().expect("runs and tests fit together");
        self.tests = rest;
        next
    }
}

impl<const N: usize, const SPAN: usize> Machine<N, SPAN> {
    /// Registers of a column.
    const LENGTH: usize = SPAN * CHUNK / N;

    #[inline(always)]
    fn new(bytes: &[Chunk], slots: &mut [Chunk]) -> Self {
        Self { columns: bytes.as_ptr().cast(), slots: slots.as_mut_ptr().cast() }
    }

    #[inline(always)]
    fn run<S: 'static>(&self, layout: &CircuitLayout<S>, group: &Group) {
        let mut stream = Stream {
            instructions: &layout.instructions[group.first_instruction as usize..],
            operands: &layout.operands[group.first_operand as usize..],
            tests: &layout.tests[group.first_test as usize..],
        };
        for run in &layout.runs[group.runs.start as usize..group.runs.end as usize] {
            // A run of instructions; what each does to a register of its slot, given its tests, where these find their
            // ranks, and the number of its first leaf. A macro, as nothing makes the compiler inline a closure.
            macro_rules! each {
                (|$tests:pat_param, $at:ident, $slot:ident, $first:ident| $select:expr) => {
                    for _ in 0..run.length {
                        let instruction = stream.instruction();
                        let tests = self.tests(stream.tests());
                        let (slot, $first) = (self.slot(instruction.slot), [instruction.leaf as u8; N]);
                        for $at in 0..Self::LENGTH {
                            let ($tests, $slot) = (tests, slot.add($at));
                            *$slot = $select;
                        }
                    }
                };
            }
            // The same for joins: given their operands.
            macro_rules! join {
                ($width:literal, |$tests:ident, $at:ident, $operands:ident| $select:expr) => {
                    for _ in 0..run.length {
                        let instruction = stream.instruction();
                        let $tests = self.tests(stream.tests());
                        let slots = stream.operands::<$width>();
                        let slot = self.slot(instruction.slot);
                        for $at in 0..Self::LENGTH {
                            let mut $operands = [[0; N]; $width];
                            for index in 0..$width {
                                $operands[index] = *self.slot(slots[index]).add($at);
                            }
                            *slot.add($at) = $select;
                        }
                    }
                };
            }
            // SAFETY: `Columns::new` makes room for every column and every slot that the layout names: `add_group`
            // counts both.
            // BENEFIT: without checks and calls, XGBoost 500 trees of depth 6 take 0.4 of the time.
            unsafe {
                match run.tile {
                    Tile::Leaf => each!(|[], at, slot, first| first),
                    Tile::Leaves2 => each!(|[a], at, slot, first| plus(select(mask(a, at), [0; N], [1; N]), first)),
                    Tile::Leaves4 => {
                        each!(|t, at, slot, first| plus(three(t, at, [[0; N], [1; N], [2; N], [3; N]]), first));
                    }
                    Tile::Leaves8 => each!(|t, at, slot, first| {
                        let leaves = [[0; N], [1; N], [2; N], [3; N], [4; N], [5; N], [6; N], [7; N]];
                        plus(seven(t, at, leaves), first)
                    }),
                    Tile::LeafLeft => each!(|[a], at, slot, first| select(mask(a, at), first, *slot)),
                    Tile::LeafRight => each!(|[a], at, slot, first| select(mask(a, at), *slot, first)),
                    Tile::Join4 => join!(4, |t, at, operands| three(t, at, operands)),
                    Tile::Join8 => join!(8, |t, at, operands| seven(t, at, operands)),
                    Tile::Levels3 => each!(|t, at, slot, first| plus(levels::<_, 3>(t, at), first)),
                    Tile::Levels4 => each!(|t, at, slot, first| plus(levels::<_, 4>(t, at), first)),
                    Tile::Levels5 => each!(|t, at, slot, first| plus(levels::<_, 5>(t, at), first)),
                    Tile::Levels6 => each!(|t, at, slot, first| plus(levels::<_, 6>(t, at), first)),
                    Tile::Levels7 => each!(|t, at, slot, first| plus(levels::<_, 7>(t, at), first)),
                    Tile::Levels8 => each!(|t, at, slot, first| plus(levels::<_, 8>(t, at), first)),
                }
            }
        }
    }

    /// A slot.
    ///
    /// # Safety
    /// There are more than `slot`.
    #[inline(always)]
    unsafe fn slot(&self, slot: u16) -> *mut Bytes<N> {
        // SAFETY: the caller's.
        unsafe { self.slots.add(usize::from(slot) * Self::LENGTH) }
    }

    /// Tests with their columns.
    ///
    /// # Safety
    /// Their columns are there.
    #[inline(always)]
    unsafe fn tests<const M: usize>(&self, tests: &[ByteTest; M]) -> [Test<N>; M] {
        let mut found = [Test { column: self.columns, from: [0; N] }; M];
        for index in 0..M {
            let test = tests[index];
            // SAFETY: the caller's for the column; no register is longer than 16 words.
            unsafe {
                found[index].column = self.columns.add(test.column as usize * Self::LENGTH);
                let from = if compares_signed(N) {
                    test.from.wrapping_sub(ONES) ^ u32::from_ne_bytes([turned(N); 4])
                } else {
                    test.from
                };
                found[index].from = [from; 16].as_ptr().cast::<Bytes<N>>().read();
            }
        }
        found
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
    for index in 0..N {
        let is_right = match compares_signed(N) {
            true => column[index] as i8 > test.from[index] as i8,
            false => column[index] >= test.from[index],
        };
        mask[index] = u8::from(is_right).wrapping_neg();
    }
    mask
}

#[inline(always)]
fn select<const N: usize>(mask: Bytes<N>, left: Bytes<N>, right: Bytes<N>) -> Bytes<N> {
    let mut selected = [0; N];
    for index in 0..N {
        selected[index] = (left[index] & !mask[index]) | (right[index] & mask[index]);
    }
    selected
}

#[inline(always)]
fn plus<const N: usize>(a: Bytes<N>, b: Bytes<N>) -> Bytes<N> {
    let mut sum = a;
    for index in 0..N {
        sum[index] = sum[index].wrapping_add(b[index]);
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

/// A perfect subtree of a split for each level: the leaf's number is made of what they say, the root first.
///
/// # Safety
/// As for [`mask`].
#[inline(always)]
unsafe fn levels<const N: usize, const M: usize>(t: [Test<N>; M], at: usize) -> Bytes<N> {
    let mut leaf = [0; N];
    for level in 0..M {
        // SAFETY: the caller's.
        let right = unsafe { mask(t[level], at) };
        for index in 0..N {
            leaf[index] |= right[index] & (1 << (M - 1 - level));
        }
    }
    leaf
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
