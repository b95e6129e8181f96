//! XGBoost's old binary format: what `save_model` wrote up to 2.0 under most names, and up to 3.0 as `.deprecated`.
//!
//! Little-endian structures of fixed size, one after another: the learner's parameters, the names of objective and
//! booster, the booster, attributes. `binf` may stand before them, and in memory snapshots of 1.0 (what pickles hold)
//! `CONFIG-offset:` with the settings behind the model. Layouts: XGBoost 2.1.4, `src/learner.cc`, `LoadModel`, and
//! `gbtree_model.cc`, `tree_model.cc`, `gblinear_model.h`.

use super::Learner;
use super::objective::{UNKNOWN_PATCH, Version};
use super::tree::TreeArrays;
use crate::error::{Error, Result};
use crate::ir::NumberedTree;
use crate::load::Limits;

const PREFIX: &[u8] = b"binf";
const SNAPSHOT: &[u8] = b"CONFIG-offset:";

/// Bytes of the learner's parameters; the objective's name follows.
const LEARNER_BYTES: usize = 136;
const BOOSTER_BYTES: usize = 160;
const LINEAR_BYTES: usize = 136;
const TREE_BYTES: usize = 148;
const NODE_BYTES: usize = 20;
const STATISTICS_BYTES: usize = 16;

/// Whether a file starts as this format does. Without a prefix it is told by the two names.
pub(in crate::load) fn is_binary(bytes: &[u8]) -> bool {
    if bytes.starts_with(PREFIX) || bytes.starts_with(SNAPSHOT) {
        return true;
    }
    let mut cursor = Cursor { bytes, at: 0 };
    let booster = cursor.take(LEARNER_BYTES).and_then(|_| cursor.text()).and_then(|_| cursor.text());
    booster.is_ok_and(|name| ["gbtree", "dart", "gblinear"].contains(&name))
}

/// Reads the file.
pub(super) fn model(bytes: &[u8], limits: &Limits) -> Result<Learner> {
    let mut cursor = Cursor { bytes, at: 0 };
    let is_snapshot = bytes.starts_with(SNAPSHOT);
    if is_snapshot {
        cursor.take(SNAPSHOT.len() + size_of::<u64>())?;
    } else if bytes.starts_with(PREFIX) {
        cursor.take(PREFIX.len())?;
    }
    let mut learner = Learner::new();
    let parameters = cursor.take(LEARNER_BYTES)?;
    let word = |index: usize| field(parameters, index);
    let count = |index: usize, what: &str| {
        let number = word(index) as i32;
        u64::try_from(number).map_err(|_| Error::invalid_model(format!("{what} is {number}")))
    };
    learner.base_score = Some(format!("{:?}", f32::from_bits(word(0))));
    learner.num_feature = word(1).into();
    learner.num_class = count(2, "num_class")?;
    let (has_attributes, has_metrics) = (word(3) != 0, word(4) != 0);
    learner.version = Version([word(5), word(6), UNKNOWN_PATCH]);
    // Before 1.0 no version was stored, and the base score already was a margin.
    learner.base_is_margin = word(5) == 0;
    // Not stored before 1.6.
    learner.num_target = u64::from(word(7)).max(1);
    learner.objective = Some(cursor.text()?.to_owned());
    let booster = cursor.text()?;
    learner.booster = Some(booster.to_owned());
    if booster == "gblinear" {
        cursor.take(LINEAR_BYTES)?;
        learner.weights = Some(cursor.floats()?);
    } else {
        trees(&mut cursor, &mut learner, limits)?;
        if booster == "dart" && learner.builder.n_trees() > 0 {
            learner.weight_drop = cursor.floats()?;
        }
    }
    if has_attributes {
        for _ in 0..cursor.length()? {
            let (key, value) = (cursor.text()?, cursor.text()?);
            if key == "best_iteration" {
                learner.best_iteration = value.parse().ok();
            }
        }
    }
    // Settings of a snapshot, or the names of metrics that versions before 1.0 add.
    match cursor.left() {
        0 => Ok(learner),
        _ if is_snapshot || has_metrics => Ok(learner),
        left => Err(cursor.error(format!("{left} bytes after the end of the model"))),
    }
}

fn trees(cursor: &mut Cursor<'_>, learner: &mut Learner, limits: &Limits) -> Result<()> {
    let parameters = cursor.take(BOOSTER_BYTES)?;
    let count = |index: usize, what: &str| {
        let number = field(parameters, index) as i32;
        usize::try_from(number).map_err(|_| Error::invalid_model(format!("{what} is {number}")))
    };
    let n_trees = limits.trees(count(0, "num_trees")?)?;
    learner.num_parallel_tree = limits.trees(count(1, "num_parallel_tree")?)?.max(1);
    let mut arrays = TreeArrays::default();
    for index in 0..n_trees {
        tree(cursor, &mut arrays).map_err(|error| error.at(format!("tree {index}")))?;
        limits.nodes(learner.builder.n_nodes() + arrays.n_nodes())?;
        arrays.lower(&mut learner.builder)?;
    }
    let info = cursor.take(n_trees.saturating_mul(size_of::<i32>()))?;
    learner.tree_info = words(info).map(|word| word as i32).collect();
    Ok(())
}

fn tree(cursor: &mut Cursor<'_>, arrays: &mut TreeArrays) -> Result<()> {
    let parameters = cursor.take(TREE_BYTES)?;
    let n_nodes = field(parameters, 1) as usize;
    let width = field(parameters, 5);
    if width > 1 {
        return Err(Error::unsupported(format!("vector leaves ({width} values) in the binary format")));
    }
    let nodes = cursor.take(n_nodes.saturating_mul(NODE_BYTES))?;
    cursor.take(n_nodes.saturating_mul(STATISTICS_BYTES))?;
    // Parent, left, right, feature with the default direction in its highest bit, threshold or leaf value.
    let fields = nodes.chunks_exact(NODE_BYTES).map(|node| {
        let [left, right, feature, value] = [1, 2, 3, 4].map(|index| field(node, index));
        (left as i32, right as i32, feature & (u32::MAX >> 1), feature >> 31 == 1, f32::from_bits(value))
    });
    arrays.fill(fields)
}

/// The 32-bit word at position `index` of a structure that has it.
fn field(bytes: &[u8], index: usize) -> u32 {
    u32::from_le_bytes(bytes[4 * index..][..4].try_into().expect("four bytes"))
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u32> {
    bytes.chunks_exact(4).map(|word| field(word, 0))
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn error(&self, finding: String) -> Error {
        Error::invalid_model(finding).at(format!("byte {}", self.at))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        match self.bytes[self.at..].get(..count) {
            Some(taken) => {
                self.at += count;
                Ok(taken)
            }
            None => Err(self.error(format!("{count} bytes expected, but the file ends after {}", self.left()))),
        }
    }

    /// A count of things that take a byte or more.
    fn length(&mut self) -> Result<usize> {
        let length = u64::from_le_bytes(self.take(8)?.try_into().expect("took 8 bytes"));
        let left = self.left();
        usize::try_from(length)
            .ok()
            .filter(|&length| length <= left)
            .ok_or_else(|| self.error(format!("a length of {length}, but {left} bytes are left")))
    }

    fn text(&mut self) -> Result<&'a str> {
        let length = self.length()?;
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes).map_err(|_| self.error("a string that is not UTF-8".to_owned()))
    }

    fn floats(&mut self) -> Result<Vec<f32>> {
        let length = self.length()?;
        Ok(words(self.take(length.saturating_mul(size_of::<f32>()))?).map(f32::from_bits).collect())
    }
}
