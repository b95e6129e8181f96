//! The head of a checkpoint: what there is before the trees.
//!
//! Version 4 (`docs/serialization/v4.rst` of Treelite) speaks of targets and classes: an output is a class of a target,
//! and every target has room for as many classes as the one with most. Version 3.9 knows one target.

use super::cursor::Cursor;
use crate::error::{Error, Result};
use crate::ir::Float;
use crate::load::LoadOptions;
use crate::schema::Task;

/// How the file is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V3,
    V4,
}

pub(super) struct Head<'a> {
    pub(super) version: Version,
    /// The version of the library that wrote the file.
    pub(super) producer: String,
    /// Type of thresholds, leaves and sums.
    pub(super) float: Float,
    pub(super) num_tree: u64,
    pub(super) n_features: usize,
    pub(super) task: Task,
    pub(super) average: bool,
    /// Classes of every target.
    pub(super) num_class: Vec<i32>,
    /// Targets and classes a vector leaf has values for.
    leaf_vector_shape: Vec<i32>,
    /// For every tree the target and class it adds to; −1 is all of them.
    target_id: Vec<i32>,
    class_id: Vec<i32>,
    pub(super) postprocessor: &'a str,
    pub(super) sigmoid_alpha: f32,
    pub(super) ratio_c: f32,
    base_scores: Vec<f64>,
}

const F32: u8 = 2;
const F64: u8 = 3;

/// Bytes of the fields that stand at the same place in both versions.
const COMMON_BYTES: usize = 28;

/// Whether these fields are such as a checkpoint has.
pub(super) fn is_plausible(bytes: &[u8]) -> bool {
    let Some(start) = bytes.get(..COMMON_BYTES) else { return false };
    let int = |at: usize| i32::from_le_bytes(start[at..at + 4].try_into().expect("four bytes"));
    let num_tree = u64::from_le_bytes(start[14..22].try_into().expect("eight bytes"));
    matches!((int(0), int(4), int(8)), (3..=9, 0..=99, 0..=99))
        && matches!((start[12], start[13]), (F32 | F64, 1 | F32 | F64))
        && num_tree <= bytes.len() as u64
        && int(22) >= 0
        && start[26] <= 4
        && start[27] <= 1
}

impl<'a> Head<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>, options: &LoadOptions) -> Result<Self> {
        let (major, minor, patch): (i32, i32, i32) = (cursor.scalar()?, cursor.scalar()?, cursor.scalar()?);
        let producer = format!("{major}.{minor}.{patch}");
        let version = match (major, minor) {
            (4, _) => Version::V4,
            (3, 9) => Version::V3,
            _ if !(0..=99).contains(&major) => return Err(Error::invalid_model("not a Treelite checkpoint")),
            _ => {
                let finding = format!("a checkpoint of Treelite {producer} is not loaded; known are 3.9 and 4");
                return Err(Error::unsupported(finding));
            }
        };
        let float = match (cursor.scalar::<u8>()?, cursor.scalar::<u8>()?) {
            (F32, F32) => Float::F32,
            (F64, F64) => Float::F64,
            (F32 | F64, 1) => return Err(Error::unsupported("integer leaves are not supported")),
            (threshold, leaf) => {
                return Err(cursor.error(format!("thresholds of type {threshold} beside leaves of type {leaf}")));
            }
        };
        let num_tree = cursor.scalar()?;
        let num_feature: i32 = cursor.scalar()?;
        let claimed = u64::try_from(num_feature).map_err(|_| cursor.error(format!("{num_feature} features")))?;
        let mut head = Self {
            version,
            producer,
            float,
            num_tree,
            n_features: options.limits.features(claimed)?,
            task: Task::Regression,
            average: false,
            num_class: Vec::new(),
            leaf_vector_shape: Vec::new(),
            target_id: Vec::new(),
            class_id: Vec::new(),
            postprocessor: "",
            sigmoid_alpha: 1.0,
            ratio_c: 1.0,
            base_scores: Vec::new(),
        };
        match version {
            Version::V3 => head.read_v3(cursor)?,
            Version::V4 => head.read_v4(cursor)?,
        }
        // Output numbers are products of these.
        options.limits.outputs(head.n_outputs())?;
        Ok(head)
    }

    fn read_v4(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        let task: u8 = cursor.scalar()?;
        self.average = cursor.flag("average_tree_output")?;
        let num_target: i32 = cursor.scalar()?;
        cursor.array(&mut self.num_class)?;
        cursor.array(&mut self.leaf_vector_shape)?;
        cursor.array(&mut self.target_id)?;
        cursor.array(&mut self.class_id)?;
        self.postprocessor = cursor.text()?;
        self.sigmoid_alpha = cursor.scalar()?;
        self.ratio_c = cursor.scalar()?;
        cursor.array(&mut self.base_scores)?;
        cursor.text()?;
        cursor.skip_optional_fields()?;

        if num_target < 1 || usize::try_from(num_target) != Ok(self.num_class.len()) {
            return Err(cursor.error(format!("{num_target} targets, but num_class has {}", self.num_class.len())));
        }
        if let Some(count) = self.num_class.iter().find(|&&count| count < 1) {
            return Err(cursor.error(format!("a target of {count} classes")));
        }
        for (what, len) in [("target_id", self.target_id.len()), ("class_id", self.class_id.len())] {
            if len as u64 != self.num_tree {
                return Err(cursor.error(format!("{what} has {len} entries for {} trees", self.num_tree)));
            }
        }
        self.task = match task {
            0 => Task::Binary,
            1 => Task::Regression,
            2 if self.num_class == [2] => Task::Binary,
            2 => Task::MultiClass,
            3 => Task::Ranking,
            4 => Task::Outlier,
            other => return Err(cursor.error(format!("task type {other}"))),
        };
        Ok(())
    }

    /// Version 3.9, translated as Treelite 4 translates it (`src/serializer.cc`, `DeserializeHeaderAndCreateModelV3`).
    fn read_v3(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        let task: u8 = cursor.scalar()?;
        self.average = cursor.flag("average_tree_output")?;
        let integers = cursor.flag("output_type")?;
        let grove_per_class = cursor.flag("grove_per_class")?;
        // Two structures of C, written as they lie in memory.
        cursor.take(2)?;
        let (num_class, leaf_vector_size): (u32, u32) = (cursor.scalar()?, cursor.scalar()?);
        let name = cursor.take(256)?;
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        self.postprocessor = match std::str::from_utf8(name) {
            // Treelite 4 no longer knows the number of the greatest class, and gives all probabilities.
            Ok("max_index") => "softmax",
            Ok(name) => name,
            Err(_) => return Err(cursor.error("a pred_transform that is not UTF-8")),
        };
        self.sigmoid_alpha = cursor.scalar()?;
        self.ratio_c = cursor.scalar()?;
        let global_bias: f32 = cursor.scalar()?;
        if cursor.scalar::<i32>()? != 0 {
            return Err(cursor.error("optional fields, which version 3.9 has none of"));
        }
        if integers || task == 3 {
            return Err(Error::unsupported("integer leaves are not supported"));
        }
        let classes = i32::try_from(num_class).ok().filter(|&classes| classes >= 1);
        let classes = classes.ok_or_else(|| cursor.error(format!("{num_class} classes")))?;
        let (per_tree, width) = match (task, grove_per_class) {
            (0, false) if classes == 1 => (false, 1),
            (1, true) => (true, 1),
            (2, false) => (false, num_class),
            _ => return Err(cursor.error(format!("task type {task} for {classes} classes"))),
        };
        if leaf_vector_size != width {
            return Err(cursor.error(format!("leaves of {leaf_vector_size} values where {width} are expected")));
        }
        self.task = match task {
            0 if self.postprocessor == "sigmoid" => Task::Binary,
            0 => Task::Regression,
            _ if classes == 2 => Task::Binary,
            _ => Task::MultiClass,
        };
        self.num_class = vec![classes];
        self.leaf_vector_shape = vec![1, width as i32];
        self.base_scores = vec![f64::from(global_bias)];
        // Trees are counted as they come: without the lists of version 4, `target` computes what they would hold.
        self.class_id = match (task, per_tree) {
            (_, true) => (0..classes).collect(),
            (0, _) => vec![0],
            _ => vec![-1],
        };
        self.target_id = vec![0];
        Ok(())
    }

    /// Classes of the target that has most.
    fn max_class(&self) -> u64 {
        self.num_class.iter().copied().max().unwrap_or(0) as u64
    }

    /// Margins of a row.
    pub(super) fn n_outputs(&self) -> u64 {
        (self.num_class.len() as u64).saturating_mul(self.max_class())
    }

    /// Whether an output is room that its target has no class for. GTIL leaves it 0.
    pub(super) fn is_padding(&self, output: usize) -> bool {
        let max_class = self.max_class() as usize;
        output % max_class >= self.num_class[output / max_class] as usize
    }

    /// The output that a tree adds to; `None` is all.
    pub(super) fn target(&self, tree: usize) -> Result<Option<u32>> {
        let id = |ids: &[i32]| ids[tree % ids.len()];
        let (target, class) = (id(&self.target_id), id(&self.class_id));
        let (targets, max_class) = (self.num_class.len() as i32, self.max_class() as i32);
        let is_target = target == -1 || (0..targets).contains(&target);
        let classes = if target < 0 { max_class } else { self.num_class.get(target as usize).map_or(0, |&n| n) };
        if !is_target || !(class == -1 || (0..classes).contains(&class)) {
            return Err(Error::invalid_model(format!("adds to target {target}, class {class}")));
        }
        if target >= 0 && class >= 0 {
            self.check_leaf_shape(&[1, 1])?;
            return Ok(Some((target * max_class + class) as u32));
        }
        let shape = [if target < 0 { targets } else { 1 }, if class < 0 { max_class } else { 1 }];
        self.check_leaf_shape(&shape)?;
        if shape != [targets, max_class] {
            let finding = format!("vector leaves for target {target}, class {class} (-1 is all) are not supported");
            return Err(Error::unsupported(finding));
        }
        Ok(None)
    }

    fn check_leaf_shape(&self, expected: &[i32]) -> Result<()> {
        if self.leaf_vector_shape == expected {
            return Ok(());
        }
        let finding = format!("leaf_vector_shape is {:?} where {expected:?} is expected", self.leaf_vector_shape);
        Err(Error::invalid_model(finding))
    }

    /// The base score of every output. Version 3.9 has one for all classes.
    pub(super) fn base_scores(&self) -> Result<Vec<f64>> {
        let n_outputs = self.n_outputs() as usize;
        let mut scores = match (self.version, &*self.base_scores) {
            (Version::V3, &[score]) => vec![score; n_outputs],
            (_, scores) => scores.to_vec(),
        };
        if scores.len() != n_outputs {
            return Err(Error::invalid_model(format!("{} base scores for {n_outputs} outputs", scores.len())));
        }
        for (output, score) in scores.iter_mut().enumerate() {
            if self.is_padding(output) {
                *score = 0.0;
            }
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_told_by_its_first_fields() {
        let start = |version: [i32; 3], types: [u8; 2], trees: u64, features: i32, task: u8, average: u8| {
            let mut bytes: Vec<u8> = version.iter().flat_map(|part| part.to_le_bytes()).collect();
            bytes.extend(types);
            bytes.extend(trees.to_le_bytes());
            bytes.extend(features.to_le_bytes());
            bytes.extend([task, average, 0, 0]);
            bytes
        };
        assert!(is_plausible(&start([4, 8, 1], [2, 2], 3, 4, 2, 0)));
        assert!(is_plausible(&start([3, 9, 1], [3, 3], 3, 0, 0, 1)));
        for stranger in [
            start([2, 0, 0], [2, 2], 3, 4, 2, 0),
            start([4, -1, 0], [2, 2], 3, 4, 2, 0),
            start([4, 8, 1], [0, 2], 3, 4, 2, 0),
            start([4, 8, 1], [2, 2], 1 << 40, 4, 2, 0),
            start([4, 8, 1], [2, 2], 3, -4, 2, 0),
            start([4, 8, 1], [2, 2], 3, 4, 5, 0),
            start([4, 8, 1], [2, 2], 3, 4, 2, 2),
        ] {
            assert!(!is_plausible(&stranger), "{stranger:?}");
        }
        assert!(!is_plausible(&start([4, 8, 1], [2, 2], 3, 4, 2, 0)[..27]));
    }
}
