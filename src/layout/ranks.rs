//! Ranks: every value replaced by its position among the model's own cut points.
//!
//! A split asks whether `x > cut`; with the distinct cuts of a feature in ascending order and `rank(x)` the number of
//! cuts below `x`, that is `rank(x) > index of the cut`. Exact, and a rank fits a byte.
//!
//! * A *column* is a feature's ranks as bytes. A feature of more than 255 cuts has several *segments* of 255, each a
//!   column of saturated ranks.
//! * Missing values need no test later: they have the least or the greatest rank of a column, and a feature some of
//!   whose splits send them left and some right has a column for each.
//! * A category feature has a column pair: its codes, reduced to the classes that the model's sets can tell apart.

use std::collections::{BTreeSet, HashMap};

use super::walk::{greatest_left, zero_goes_left};
use crate::error::{Error, Result};
use crate::ir::real::Real;
use crate::ir::{Float, Forest, Missing, Split, SplitTest};
use crate::store::{Array, Reader, Stored, Writer};

/// Cuts of a segment: ranks 0 to 255 tell them apart.
pub(crate) const SEGMENT: usize = 255;

/// How the values of a forest become byte columns.
#[derive(Debug)]
pub(crate) struct Ranks {
    pub(crate) numeric: Vec<RankedFeature>,
    pub(crate) coded: Vec<CodedFeature>,
    /// Cuts for rows of f32 values.
    f32: Cuts<f32>,
    /// Cuts for rows of f64 values; `None` if the forest rounds them to f32 first.
    f64: Option<Cuts<f64>>,
    pub(crate) n_columns: usize,
}

/// A feature that some split compares with a threshold.
#[derive(Debug)]
pub(crate) struct RankedFeature {
    pub(crate) feature: u32,
    /// Where its cuts lie in [`Cuts`].
    start: usize,
    n_cuts: usize,
    /// Its cuts, padded to this power of two.
    padded: usize,
    /// Whether its cuts, each rounded down to an f32, are distinct.
    distinct: bool,
    pub(crate) columns: Vec<Column>,
}

/// A column of a ranked feature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) index: u32,
    pub(crate) segment: u32,
    pub(crate) missing: Missing,
}

/// A feature that some split tests for membership in a set.
#[derive(Debug)]
pub(crate) struct CodedFeature {
    pub(crate) feature: u32,
    /// The class of every code that some set holds; 0 for the others.
    pub(crate) classes: HashMap<u32, u16>,
    /// The class of codes below its length: the same, in a table.
    pub(crate) dense: Vec<u16>,
    /// The class of NaN.
    pub(crate) nan: u16,
    pub(crate) n_classes: usize,
    /// The first of its column pairs, one for every 256 classes: byte and bit of the class in a set of 256 bits.
    pub(crate) first_column: u32,
}

/// Cuts of all features, each padded with infinity to a power of two, behind the pivots of its search.
#[derive(Debug, Default)]
struct Cuts<T> {
    values: Vec<T>,
}

/// The cuts of one feature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CutTable<'a, T> {
    /// Ascending; a power of two of them, at least 16; the last is infinite.
    pub(crate) cuts: &'a [T],
    /// Every so many-th cut, such that [`PIVOTS`] of them lie evenly among the cuts; the cuts themselves if they are no
    /// more.
    pub(crate) pivots: &'a [T],
    /// Cuts and pivots, each rounded down to an f32, if they are distinct: a search among them is off by at most the
    /// cut that it ends at.
    pub(crate) narrow: Option<(&'a [f32], &'a [f32])>,
}

/// Pivots of a search. As many as registers hold: 32 of f32, 16 of f64 would do.
pub(crate) const PIVOTS: usize = 32;

impl<T> Cuts<T> {
    /// Cuts and pivots of a feature.
    #[inline(always)]
    fn of(&self, feature: &RankedFeature) -> (&[T], &[T]) {
        let pivots = feature.padded.min(PIVOTS);
        let behind = if feature.padded > PIVOTS { PIVOTS } else { 0 };
        let cuts = &self.values[feature.start + behind..][..feature.padded];
        (cuts, &self.values[feature.start..][..pivots])
    }
}

impl Ranks {
    /// The cuts of a feature for rows of f32 values.
    #[inline(always)]
    pub(crate) fn table_f32(&self, feature: &RankedFeature) -> CutTable<'_, f32> {
        let (cuts, pivots) = self.f32.of(feature);
        CutTable { cuts, pivots, narrow: None }
    }

    /// The cuts of a feature for rows of f64 values, of a forest that reads f64.
    #[inline(always)]
    pub(crate) fn table_f64(&self, feature: &RankedFeature) -> CutTable<'_, f64> {
        let wide = self.f64.as_ref().expect("forests that read f64 keep their cuts in f64");
        let (cuts, pivots) = wide.of(feature);
        CutTable { cuts, pivots, narrow: feature.distinct.then(|| self.f32.of(feature)) }
    }
}

impl<T: Real> Cuts<T> {
    fn push(&mut self, cuts: impl Iterator<Item = T>, padded: usize) {
        let start = self.values.len();
        if padded > PIVOTS {
            self.values.resize(start + PIVOTS, T::INFINITY);
        }
        let first = self.values.len();
        self.values.extend(cuts);
        self.values.resize(first + padded, T::INFINITY);
        if padded > PIVOTS {
            let every = padded / PIVOTS;
            for pivot in 0..PIVOTS - 1 {
                self.values[start + pivot] = self.values[first + (pivot + 1) * every - 1];
            }
        }
    }
}

/// Where a split finds its outcome: right where the byte of `column` is at least `from`.
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct ByteTest {
    pub(crate) column: u32,
    /// A byte four times, so that one load fills a register with it.
    pub(crate) from: u32,
}

/// Finds the byte tests of splits.
pub(crate) struct RankIndex {
    /// Ascending, those that splits ask about.
    features: Vec<IndexedFeature>,
}

/// What splits ask of a feature.
#[derive(Clone, Default)]
struct IndexedFeature {
    number: u32,
    /// In ascending order of their (finite or infinite) values.
    cuts: Vec<f64>,
    columns: Vec<Column>,
    sets: BTreeSet<(u32, Missing)>,
    /// Its place among the coded features, if it has sets.
    coded: usize,
}

/// Whether a split can be tested on bytes.
pub(crate) fn has_byte_test(forest: &Forest, split: &Split) -> bool {
    match split.test {
        SplitTest::Threshold(threshold) => greatest_of(forest, threshold).is_some(),
        // Values that count as zero share their category code with some that do not.
        SplitTest::Set(_) => !matches!(split.missing, Missing::ZeroLeft | Missing::ZeroRight),
    }
}

/// The greatest value that `threshold` sends left, in the forest's input type.
fn greatest_of(forest: &Forest, threshold: f64) -> Option<f64> {
    let comparison = forest.profile().comparison;
    let greatest = match forest.profile().input {
        Float::F32 => greatest_left::<f32>(threshold, comparison).map(f64::from),
        Float::F64 => greatest_left::<f64>(threshold, comparison),
    };
    // One zero: sorting by total order would part them, comparing does not.
    greatest.map(|value| value + 0.0)
}

impl Ranks {
    /// Ranks for `splits` of `forest`, all of which have a byte test.
    ///
    /// Cost: a sort of each feature's cuts.
    pub(crate) fn new<'a>(forest: &'a Forest, splits: impl Iterator<Item = &'a Split> + Clone) -> (Self, RankIndex) {
        let mut numbers: Vec<u32> = splits.clone().map(|split| split.feature).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let indexed = |number| IndexedFeature { number, ..IndexedFeature::default() };
        let mut index = RankIndex { features: numbers.into_iter().map(indexed).collect() };
        for split in splits.clone() {
            let at = index.at(split.feature);
            let feature = &mut index.features[at];
            match split.test {
                SplitTest::Threshold(threshold) => feature.cuts.extend(greatest_of(forest, threshold)),
                SplitTest::Set(set) => {
                    feature.sets.insert((set, split.missing));
                }
            }
        }
        for feature in &mut index.features {
            feature.cuts.sort_unstable_by(f64::total_cmp);
            feature.cuts.dedup();
        }
        for split in splits {
            if let SplitTest::Threshold(threshold) = split.test {
                let (segment, _) = index.locate(forest, split.feature, threshold);
                let at = index.at(split.feature);
                let columns = &mut index.features[at].columns;
                let missing = split.missing;
                if !columns.iter().any(|column| (column.segment, column.missing) == (segment, missing)) {
                    columns.push(Column { index: 0, segment, missing });
                }
            }
        }
        let mut ranks = Self { numeric: Vec::new(), coded: Vec::new(), f32: Cuts::default(), f64: None, n_columns: 0 };
        let mut wide = Cuts::default();
        for feature in &mut index.features {
            if feature.columns.is_empty() {
                continue;
            }
            feature.columns.sort_unstable_by_key(|column| (column.segment, column.missing));
            for column in &mut feature.columns {
                column.index = ranks.n_columns as u32;
                ranks.n_columns += 1;
            }
            ranks.push_feature(feature.number, &feature.cuts, &mut wide);
            ranks.numeric.last_mut().expect("just pushed").columns.clone_from(&feature.columns);
        }
        if forest.profile().input == Float::F64 {
            ranks.f64 = Some(wide);
        }
        for feature in &mut index.features {
            if feature.sets.is_empty() {
                continue;
            }
            feature.coded = ranks.coded.len();
            let coded = CodedFeature::new(forest, feature.number, &feature.sets, ranks.n_columns as u32);
            ranks.n_columns += 2 * coded.n_segments();
            ranks.coded.push(coded);
        }
        (ranks, index)
    }

    /// Adds a feature with its distinct cuts, ascending, and no columns yet.
    fn push_feature(&mut self, feature: u32, cuts: &[f64], wide: &mut Cuts<f64>) {
        // One more than there are cuts, since a rank may be their number.
        let padded = (cuts.len() + 1).next_power_of_two().max(16);
        let start = self.f32.values.len();
        self.f32.push(cuts.iter().map(|&cut| narrow(cut)), padded);
        wide.push(cuts.iter().copied(), padded);
        let distinct = cuts.windows(2).all(|pair| narrow(pair[0]) < narrow(pair[1]));
        let (n_cuts, columns) = (cuts.len(), Vec::new());
        self.numeric.push(RankedFeature { feature, start, n_cuts, padded, distinct, columns });
    }

    /// Columns of numeric features; those of categories follow.
    pub(crate) fn n_numeric(&self) -> usize {
        self.numeric.iter().map(|feature| feature.columns.len()).sum()
    }

    /// Whether the tables are for rows of f64 values too.
    pub(super) fn is_wide(&self) -> bool {
        self.f64.is_some()
    }

    /// The cuts of a feature, in the type that rows are rounded to.
    pub(super) fn cuts(&self, feature: &RankedFeature) -> Vec<f64> {
        match &self.f64 {
            Some(wide) => wide.of(feature).0[..feature.n_cuts].to_vec(),
            None => self.f32.of(feature).0[..feature.n_cuts].iter().map(|&cut| cut.into()).collect(),
        }
    }

    /// Bytes the tables hold.
    pub(crate) fn heap_bytes(&self) -> usize {
        let features: usize = self.numeric.iter().map(|feature| size_of_val(&*feature.columns)).sum();
        let codes: usize = self
            .coded
            .iter()
            .map(|coded| size_of_val(&*coded.dense) + coded.classes.len() * size_of::<(u32, u16)>())
            .sum();
        let wide = self.f64.as_ref().map_or(0, |cuts| size_of_val(&*cuts.values));
        features + codes + size_of_val(&*self.numeric) + size_of_val(&*self.f32.values) + wide
    }
}

impl RankIndex {
    /// The place of a feature that some split asks about.
    fn at(&self, feature: u32) -> usize {
        let found = self.features.binary_search_by_key(&feature, |indexed| indexed.number);
        found.expect("every feature of the splits is listed")
    }

    /// Segment and place in it of a cut.
    fn locate(&self, forest: &Forest, feature: u32, threshold: f64) -> (u32, u8) {
        let cut = greatest_of(forest, threshold).expect("splits with a byte test have one");
        let cuts = &self.features[self.at(feature)].cuts;
        let at = cuts.binary_search_by(|other| other.total_cmp(&cut)).expect("every cut is listed");
        ((at / SEGMENT) as u32, (at % SEGMENT) as u8)
    }

    /// The byte test of a numeric split.
    pub(crate) fn byte_test(&self, forest: &Forest, split: &Split, threshold: f64) -> ByteTest {
        let (segment, at) = self.locate(forest, split.feature, threshold);
        let mut columns = self.features[self.at(split.feature)].columns.iter();
        let column = columns.find(|column| (column.segment, column.missing) == (segment, split.missing));
        ByteTest { column: column.expect("every column is listed").index, from: u32::from_ne_bytes([at + 1; 4]) }
    }

    /// The coded feature of a category split.
    pub(crate) fn coded<'a>(&self, ranks: &'a Ranks, feature: u32) -> &'a CodedFeature {
        &ranks.coded[self.features[self.at(feature)].coded]
    }
}

impl CodedFeature {
    fn new(forest: &Forest, feature: u32, sets: &BTreeSet<(u32, Missing)>, first_column: u32) -> Self {
        // Codes that the same sets hold are one class: every set parts the classes found so far. Class 0 is in no set.
        let mut classes: HashMap<u32, u32> = HashMap::new();
        let mut dense = Vec::new();
        let mut nan = 0;
        // By class the last set that parted it, and the part that the set holds.
        let mut parts: Vec<(usize, u32)> = vec![(usize::MAX, 0)];
        for (number, &(set, missing)) in sets.iter().enumerate() {
            let mut enter = |class: &mut u32| {
                if parts[*class as usize].0 != number {
                    parts[*class as usize] = (number, parts.len() as u32);
                    parts.push((usize::MAX, 0));
                }
                *class = parts[*class as usize].1;
            };
            for code in forest.set(set).codes() {
                let at = code as usize;
                if at < DENSE_CODES {
                    dense.resize(dense.len().max(at + 1), 0);
                    enter(&mut dense[at]);
                } else {
                    enter(classes.entry(code).or_default());
                }
            }
            let nan_goes_left = match missing {
                Missing::Left | Missing::ZeroLeft => true,
                Missing::Right | Missing::ZeroRight => false,
                Missing::AsZero => zero_goes_left(forest, SplitTest::Set(set)),
            };
            if nan_goes_left {
                enter(&mut nan);
            }
        }
        classes.extend((0..).zip(dense).filter(|&(_, class)| class > 0));
        // Parts that are left, numbered anew in the order of their codes.
        let mut numbers: HashMap<u32, u16> = HashMap::from([(0, 0)]);
        let mut number = |class: u32| {
            let next = u16::try_from(numbers.len()).unwrap_or(u16::MAX);
            *numbers.entry(class).or_insert(next)
        };
        let mut classes: Vec<(u32, u32)> = classes.into_iter().collect();
        classes.sort_unstable();
        let classes = classes.into_iter().map(|(code, class)| (code, number(class))).collect();
        let nan = number(nan);
        let n_classes = numbers.len();
        Self { first_column, ..Self::of_classes(feature, classes, nan, n_classes) }
    }

    /// A feature whose columns have no place yet.
    fn of_classes(feature: u32, classes: HashMap<u32, u16>, nan: u16, n_classes: usize) -> Self {
        let table = classes.keys().max().map_or(0, |&code| (code as usize + 1).min(DENSE_CODES));
        let dense = (0..table as u32).map(|code| classes.get(&code).copied().unwrap_or(0)).collect();
        Self { feature, classes, dense, nan, n_classes, first_column: 0 }
    }

    /// Column pairs: one for every 256 classes.
    pub(crate) fn n_segments(&self) -> usize {
        self.n_classes.div_ceil(256)
    }

    /// The class of a category code.
    #[inline]
    pub(crate) fn class(&self, code: u32) -> u16 {
        match self.dense.get(code as usize) {
            Some(&class) => class,
            None if self.dense.len() < DENSE_CODES => 0,
            None => self.classes.get(&code).copied().unwrap_or(0),
        }
    }

    /// The classes that a category split sends left: 256 bits for each segment.
    pub(crate) fn left_classes(&self, forest: &Forest, split: &Split, set: u32) -> Vec<[u8; 32]> {
        let mut bits = vec![[0u8; 32]; self.n_segments()];
        let mut insert = |class: u16| bits[usize::from(class >> 8)][usize::from(class >> 3 & 31)] |= 1 << (class & 7);
        for code in forest.set(set).codes() {
            insert(self.class(code));
        }
        let nan_goes_left = match split.missing {
            Missing::Left | Missing::ZeroLeft => true,
            Missing::Right | Missing::ZeroRight => false,
            Missing::AsZero => zero_goes_left(forest, split.test),
        };
        if nan_goes_left {
            insert(self.nan);
        }
        bits
    }
}

/// Codes below this are looked up in a table, others in a map.
const DENSE_CODES: usize = 1 << 16;

/// Classes beyond this are too many for 16 bits, the last of which marks the overflow.
pub(crate) const MAX_CLASSES: usize = u16::MAX as usize;

/// The greatest f32 that is at most `cut`: no f32 lies between them.
fn narrow(cut: f64) -> f32 {
    let nearest = cut as f32;
    if f64::from(nearest) <= cut { nearest } else { nearest.next_down() }
}

impl Stored for Ranks {
    fn put(&self, to: &mut Writer) {
        self.f64.is_some().put(to);
        self.numeric.len().put(to);
        for feature in &self.numeric {
            feature.feature.put(to);
            Array::from(self.cuts(feature)).put(to);
            let columns = feature.columns.iter().map(|column| (column.segment, column.missing));
            columns.collect::<Vec<_>>().put(to);
        }
        self.coded.put(to);
    }

    /// Cost: the tables are made again.
    fn get(from: &mut Reader) -> Result<Self> {
        let wrong = |finding: &str| Error::invalid_model(format!("ranks: {finding}"));
        let is_wide = bool::get(from)?;
        let mut ranks = Self { numeric: Vec::new(), coded: Vec::new(), f32: Cuts::default(), f64: None, n_columns: 0 };
        let mut wide = Cuts::default();
        for _ in 0..usize::get(from)? {
            let feature = u32::get(from)?;
            if ranks.numeric.last().is_some_and(|last| last.feature >= feature) {
                return Err(wrong("features out of order"));
            }
            let cuts: Array<f64> = Stored::get(from)?;
            // NaN is above nothing and below nothing.
            if cuts.is_empty() || !cuts.windows(2).all(|pair| pair[0] < pair[1]) || cuts[0].is_nan() {
                return Err(wrong("cuts out of order"));
            }
            ranks.push_feature(feature, &cuts, &mut wide);
            let columns: Vec<(u32, Missing)> = Stored::get(from)?;
            let n_segments = cuts.len().div_ceil(SEGMENT);
            if columns.is_empty() || columns.iter().any(|column| column.0 as usize >= n_segments) {
                return Err(wrong("a column of cuts that are not there"));
            }
            for (segment, missing) in columns {
                let column = Column { index: ranks.n_columns as u32, segment, missing };
                ranks.numeric.last_mut().expect("just pushed").columns.push(column);
                ranks.n_columns += 1;
            }
        }
        if is_wide {
            ranks.f64 = Some(wide);
        }
        for mut coded in <Vec<CodedFeature>>::get(from)? {
            coded.first_column = ranks.n_columns as u32;
            ranks.n_columns += 2 * coded.n_segments();
            ranks.coded.push(coded);
        }
        Ok(ranks)
    }
}

impl Stored for CodedFeature {
    fn put(&self, to: &mut Writer) {
        self.feature.put(to);
        let mut classes: Vec<(u32, u16)> = self.classes.iter().map(|(&code, &class)| (code, class)).collect();
        classes.sort_unstable();
        classes.put(to);
        (self.nan, self.n_classes).put(to);
    }

    fn get(from: &mut Reader) -> Result<Self> {
        let feature = u32::get(from)?;
        let classes: Vec<(u32, u16)> = Stored::get(from)?;
        let (nan, n_classes): (u16, usize) = Stored::get(from)?;
        let known = |class: u16| usize::from(class) < n_classes;
        if n_classes >= MAX_CLASSES || !known(nan) || !classes.iter().all(|&(_, class)| known(class)) {
            return Err(Error::invalid_model("ranks: a class of categories that is not there"));
        }
        Ok(Self::of_classes(feature, classes.into_iter().collect(), nan, n_classes))
    }
}
