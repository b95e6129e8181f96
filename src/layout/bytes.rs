//! The words of a row as bytes that a few registers hold, so that 64 splits are tested at once.

use super::circuit::Refusal;
use super::row::RowNode;

/// Splits that are tested at once.
pub(crate) const TESTED: usize = 64;

/// Columns of a register in which bytes are fetched.
pub(crate) const REGISTER: usize = 16;

/// Registers of a page: a test numbers its columns by a byte.
pub(crate) const PAGE_REGISTERS: usize = 16;

/// Columns of a page.
pub(super) const PAGE: usize = PAGE_REGISTERS * REGISTER;

/// Registers of all columns, where tests say the page too.
pub(crate) const MAX_REGISTERS: usize = 4 * PAGE_REGISTERS;

/// Cuts of a column.
const CUTS: usize = 255;

/// How an instruction set looks up the bytes of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LookUp {
    /// In 16 bytes, or in pairs of bytes, in registers of so many.
    Shuffle { register_bytes: usize },
    /// By their number, in two registers of 64 at a time.
    Number,
}

/// Which page the columns of 64 tests are on: a bit a test, of the page's number the lowest first.
pub(crate) type Pages = [u64; 2];

impl LookUp {
    /// Columns that can be looked up.
    pub(super) fn most_columns(self) -> usize {
        match self {
            Self::Shuffle { .. } => PAGE,
            Self::Number => MAX_REGISTERS * REGISTER,
        }
    }

    /// Registers of a byte for each test.
    pub(super) fn registers(self) -> usize {
        match self {
            Self::Shuffle { register_bytes } => TESTED / register_bytes,
            Self::Number => 1,
        }
    }
}

/// The columns that splits test.
#[derive(Debug)]
pub(crate) struct ByteColumns {
    pub(crate) columns: Vec<ByteColumn>,
    /// Of all columns.
    pub(crate) ranks: Vec<u8>,
    /// By word, its first column, if it has any.
    first_columns: Vec<u16>,
}

/// A byte of a row: how many of some cuts of a word the word is greater than.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ByteColumn {
    pub(crate) word: u16,
    /// The greatest word that has a rank of its own.
    pub(crate) last: u16,
    /// Where the rank of word 0 is in [`ByteColumns::ranks`]; those of greater words follow.
    pub(crate) first: u32,
}

/// Tests of 64 splits: right where the byte of the column, by its number in its page, is at least `from`.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Tests {
    pub(crate) columns: [u8; TESTED],
    pub(crate) from: [u8; TESTED],
}

impl ByteColumns {
    /// `most` columns or fewer for tests of `splits`, which compare `n_words` words, and perhaps for those that
    /// [never](Self::never) send a row right.
    ///
    /// Cost: two looks at the splits.
    pub(super) fn new<I: Iterator<Item = RowNode>>(
        n_words: usize,
        most: usize,
        never: bool,
        splits: impl Fn() -> I,
    ) -> Result<Self, Refusal> {
        let mut lasts = vec![0u16; n_words];
        splits().for_each(|split| lasts[usize::from(split.word)] = lasts[usize::from(split.word)].max(split.cut + 1));
        if lasts.iter().filter(|&&last| last > 0).count() > most {
            return Err(Refusal::ByteColumns);
        }
        let mut starts = vec![0; n_words];
        let mut end = 0;
        for (start, &last) in starts.iter_mut().zip(&lasts) {
            *start = end;
            end += usize::from(last);
        }
        let mut is_cut = vec![false; end];
        splits().for_each(|split| is_cut[starts[usize::from(split.word)] + usize::from(split.cut)] = true);

        let (mut columns, mut ranks, mut first_columns) = (Vec::new(), Vec::new(), vec![0; n_words]);
        for word in (0..n_words).filter(|&word| lasts[word] > 0) {
            first_columns[word] = columns.len() as u16;
            let is_cut = &is_cut[starts[word]..][..usize::from(lasts[word])];
            let (mut first, mut rank, mut n_before) = (ranks.len(), 0, 0);
            for (cut, _) in is_cut.iter().enumerate().filter(|&(_, &is_cut)| is_cut) {
                if rank == CUTS {
                    columns.push(ByteColumn { word: word as u16, last: n_before, first: first as u32 });
                    (first, rank) = (ranks.len(), 0);
                }
                ranks.resize(first + cut + 1, rank as u8);
                rank += 1;
                ranks.push(rank as u8);
                n_before = cut as u16 + 1;
            }
            columns.push(ByteColumn { word: word as u16, last: n_before, first: first as u32 });
        }
        if never {
            columns.push(ByteColumn { word: 0, last: 0, first: ranks.len() as u32 });
            ranks.push(0);
        }
        if columns.len() > most { Err(Refusal::ByteColumns) } else { Ok(Self { columns, ranks, first_columns }) }
    }

    /// The column and the least byte that one of the splits sends right.
    pub(super) fn test(&self, split: RowNode) -> (u16, u8) {
        let mut column = self.first_columns[usize::from(split.word)];
        while self.columns[usize::from(column)].last <= split.cut {
            column += 1;
        }
        (column, self.ranks[self.columns[usize::from(column)].first as usize + usize::from(split.cut) + 1])
    }

    /// The places of a column's cuts among those of its word.
    pub(super) fn cuts(&self, column: &ByteColumn) -> impl Iterator<Item = usize> {
        let ranks = &self.ranks[column.first as usize..][..=usize::from(column.last)];
        ranks.windows(2).enumerate().filter(|(_, ranks)| ranks[0] < ranks[1]).map(|(cut, _)| cut)
    }

    /// The column and byte of a test that sends no row right: those of the column that is 0 for all.
    pub(super) fn never(&self) -> (u16, u8) {
        ((self.columns.len() - 1) as u16, 1)
    }

    /// How many times bytes are looked up to fetch those of 64 tests, or what takes as long.
    pub(super) fn look_ups(&self, look_up: LookUp) -> f64 {
        match look_up {
            LookUp::Shuffle { register_bytes } => {
                let registers = self.columns.len().div_ceil(REGISTER).next_power_of_two().max(2);
                // The widest registers are looked up two at a time.
                let of_one = if register_bytes == TESTED && registers > 4 { 0.45 } else { 1.0 };
                (registers * (TESTED / register_bytes)) as f64 * of_one
            }
            LookUp::Number => self.columns.len().div_ceil(2 * TESTED) as f64,
        }
    }

    /// Bytes the arrays hold.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.columns) + self.ranks.len() + size_of_val(&*self.first_columns)
    }
}
