//! scikit-learn tree ensembles as JSON, written by `python/export_sklearn.py`, whose head describes the format. The
//! exporter settles what differs between estimators; what is left to do here is to check and to lower.

use super::document::Document;
use super::json::{Json, UnicodeEscapes};
use super::{LoadOptions, Loaded, Source};
use crate::error::{Error, Result};
use crate::ir::{
    Absent, Aggregate, BasePosition, CategoryRule, CategorySet, Comparison, Float, ForestBuilder, Labels, Link,
    Missing, Node, NumericProfile, Test,
};
use crate::schema::{Feature, FeatureKind, Schema, Task};

/// The version of the format that is read.
const VERSION: i64 = 1;

/// The key that a file starts with.
pub(super) const MARK: &str = "\"sawmill-sklearn\"";

/// Loads the text of a model file.
pub(super) fn load(bytes: &[u8], options: &LoadOptions) -> Result<Loaded> {
    let mut json = Json::new(bytes, UnicodeEscapes::Decoded);
    let (head, trees) = Head::read(&mut json)?;
    json.end()?;
    json.seek(trees);
    head.finish(&mut json, options)
}

/// All of a file but its trees.
#[derive(Default)]
struct Head {
    library: String,
    estimator: String,
    task: String,
    n_features: i64,
    feature_names: Vec<String>,
    category_features: Vec<i64>,
    input: String,
    n_outputs: i64,
    base: Vec<f64>,
    mean: i64,
    link: String,
    link_parameters: Vec<f64>,
    labels: String,
    trees_per_iteration: i64,
}

impl Head {
    /// Reads all, and where the trees start.
    fn read(json: &mut Json<'_>) -> Result<(Self, usize)> {
        let (mut head, mut version, mut trees) = (Self::default(), None, None);
        json.object(|json, key| {
            match key {
                "sawmill-sklearn" => version = Some(json.number::<i64>()?),
                "library" => head.library = json.text()?,
                "estimator" => head.estimator = json.text()?,
                "task" => head.task = json.text()?,
                "n_features" => head.n_features = json.number()?,
                "feature_names" => head.feature_names = json.texts()?,
                "category_features" => json.numbers(&mut head.category_features)?,
                "input" => head.input = json.text()?,
                "n_outputs" => head.n_outputs = json.number()?,
                "base" => json.numbers(&mut head.base)?,
                "mean" => head.mean = json.number()?,
                "link" => head.link = json.text()?,
                "link_parameters" => json.numbers(&mut head.link_parameters)?,
                "labels" => head.labels = json.text()?,
                "trees_per_iteration" => head.trees_per_iteration = json.number()?,
                "trees" => {
                    trees = Some(json.position());
                    json.skip()?;
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        match version {
            Some(VERSION) => {}
            Some(version) => {
                return Err(Error::unsupported(format!("version {version} of the format; known is {VERSION}")));
            }
            None => return Err(Error::invalid_model("not a file of export_sklearn.py")),
        }
        let trees = trees.ok_or_else(|| Error::invalid_model("the model has no trees"))?;
        Ok((head, trees))
    }

    fn finish(self, json: &mut Json<'_>, options: &LoadOptions) -> Result<Loaded> {
        let schema = self.schema(options)?;
        let n_outputs = schema.n_outputs;
        let (link, labels) = (self.link()?, self.labels()?);
        let mut builder = ForestBuilder::new(&schema)
            .profile(self.profile()?)
            .base(self.base.clone())
            .aggregate(if self.mean == 1 { Aggregate::Mean } else { Aggregate::Sum })
            .link(link, labels);
        let mut tree = Tree::default();
        json.array(|json| {
            let index = builder.n_trees();
            options.limits.trees(index + 1)?;
            tree.read(json, n_outputs).map_err(|error| error.at(format!("tree {index}")))?;
            options.limits.nodes(builder.n_nodes() + tree.left.len())?;
            tree.lower(&mut builder)
        })?;

        let n_trees = builder.n_trees();
        let per_iteration = usize::try_from(self.trees_per_iteration).unwrap_or(0);
        if per_iteration == 0 || !n_trees.is_multiple_of(per_iteration) {
            let finding = format!("{n_trees} trees do not make whole iterations of {}", self.trees_per_iteration);
            return Err(Error::invalid_model(finding));
        }
        builder.set_iterations((1..=n_trees / per_iteration).map(|iteration| iteration * per_iteration).collect());
        let forest = builder.finish()?;
        let range = options.iterations.within(forest.n_iterations())?;
        let forest = forest.with_iterations(range);
        let source = Source { producer: self.library, ..Source::default() };
        Ok(Loaded { schema, source, forest })
    }

    fn schema(&self, options: &LoadOptions) -> Result<Schema> {
        let count = |what: &str, found: i64| {
            u64::try_from(found).map_err(|_| Error::invalid_model(format!("{what} is {found}")))
        };
        let n_features = options.limits.features(count("n_features", self.n_features)?)?;
        let n_outputs = options.limits.outputs(count("n_outputs", self.n_outputs)?)?;
        if !matches!(self.feature_names.len(), 0) && self.feature_names.len() != n_features {
            let finding = format!("{} feature_names, but n_features is {n_features}", self.feature_names.len());
            return Err(Error::invalid_model(finding));
        }
        let named = |index| Feature::new(self.feature_names.get(index).cloned(), FeatureKind::Numeric);
        let mut features: Vec<Feature> = (0..n_features).map(named).collect();
        for &column in &self.category_features {
            let feature = usize::try_from(column).ok().and_then(|column| features.get_mut(column));
            feature.ok_or_else(|| Error::invalid_model(format!("category feature {column} of {n_features}")))?.kind =
                FeatureKind::Category;
        }
        let task = match self.task.as_str() {
            "regression" => Task::Regression,
            "binary" => Task::Binary,
            "multiclass" => Task::MultiClass,
            "outlier" => Task::Outlier,
            other => return Err(Error::unsupported(format!("task {other:?} is not supported"))),
        };
        Ok(Schema { features, n_outputs, task, objective: self.estimator.clone(), classes: None })
    }

    fn profile(&self) -> Result<NumericProfile> {
        let input = match self.input.as_str() {
            "f32" => Float::F32,
            "f64" => Float::F64,
            other => return Err(Error::unsupported(format!("input {other:?} is not supported"))),
        };
        Ok(NumericProfile {
            input,
            comparison: Comparison::LessOrEqual,
            sum: Float::F64,
            base: BasePosition::First,
            categories: CategoryRule::Exact,
            absent: Absent::Zero,
            flush_tiny: false,
        })
    }

    fn link(&self) -> Result<Link> {
        match (self.link.as_str(), &*self.link_parameters) {
            ("identity", []) => Ok(Link::Identity),
            ("sigmoid", &[scale]) => Ok(Link::ScaledSigmoid { scale }),
            ("softmax", []) => Ok(Link::Softmax),
            ("exp", []) => Ok(Link::Exp),
            ("isolation", &[ratio, offset]) => Ok(Link::IsolationScore { ratio, offset }),
            (name @ ("identity" | "sigmoid" | "softmax" | "exp" | "isolation"), parameters) => {
                Err(Error::invalid_model(format!("{} parameters of link {name}", parameters.len())))
            }
            (other, _) => Err(Error::unsupported(format!("link {other:?} is not supported"))),
        }
    }

    fn labels(&self) -> Result<Labels> {
        match self.labels.as_str() {
            "none" => Ok(Labels::None),
            "argmax" => Ok(Labels::ArgMax),
            "argmax-margin" => Ok(Labels::ArgMaxMargin),
            "positive-margin" => Ok(Labels::PositiveMargin),
            "nonnegative-margin" => Ok(Labels::NonNegativeMargin),
            "inlier" => Ok(Labels::Inlier),
            other => Err(Error::unsupported(format!("labels {other:?} are not supported"))),
        }
    }
}

/// Buffers for one tree.
#[derive(Default)]
struct Tree {
    /// The output the tree adds to; all if none.
    output: Option<u32>,
    /// Values of a leaf.
    width: usize,
    left: Vec<i32>,
    right: Vec<i32>,
    feature: Vec<i32>,
    threshold: Vec<f64>,
    missing_left: Vec<i32>,
    category_nodes: Vec<i64>,
    category_counts: Vec<i64>,
    categories: Vec<i64>,
    values: Vec<f64>,
    /// For every node, its leaf's number among the leaves.
    leaf_of: Vec<u32>,
    /// For every node, the categories that go left, if it is a split of categories.
    sets: Vec<Option<CategorySet>>,
}

impl Tree {
    fn read(&mut self, json: &mut Json<'_>, n_outputs: usize) -> Result<()> {
        for integers in [&mut self.left, &mut self.right, &mut self.feature, &mut self.missing_left] {
            integers.clear();
        }
        for integers in [&mut self.category_nodes, &mut self.category_counts, &mut self.categories] {
            integers.clear();
        }
        for floats in [&mut self.threshold, &mut self.values] {
            floats.clear();
        }
        let mut output = None;
        json.object(|json, key| match key {
            "output" => {
                output = Some(json.number::<i64>()?);
                Ok(())
            }
            "left" => json.numbers(&mut self.left),
            "right" => json.numbers(&mut self.right),
            "feature" => json.numbers(&mut self.feature),
            "threshold" => json.numbers(&mut self.threshold),
            "missing_left" => json.numbers(&mut self.missing_left),
            "category_nodes" => json.numbers(&mut self.category_nodes),
            "category_counts" => json.numbers(&mut self.category_counts),
            "categories" => json.numbers(&mut self.categories),
            "values" => json.numbers(&mut self.values),
            _ => json.skip(),
        })?;
        (self.output, self.width) = match output {
            Some(-1) => (None, n_outputs),
            Some(output) => {
                let index = u32::try_from(output).map_err(|_| Error::invalid_model(format!("output {output}")))?;
                (Some(index), 1)
            }
            None => return Err(Error::invalid_model("no output: the tree is cut short")),
        };
        self.check()?;
        self.read_sets()
    }

    fn check(&mut self) -> Result<()> {
        let n_nodes = self.left.len();
        for (what, len) in [
            ("right", self.right.len()),
            ("feature", self.feature.len()),
            ("threshold", self.threshold.len()),
            ("missing_left", self.missing_left.len()),
        ] {
            if len != n_nodes {
                return Err(Error::invalid_model(format!("{what} has {len} entries, left {n_nodes}")));
            }
        }
        self.leaf_of.clear();
        let mut leaves = 0;
        for &left in &self.left {
            self.leaf_of.push(leaves);
            leaves += u32::from(left == -1);
        }
        if (leaves as usize).checked_mul(self.width) != Some(self.values.len()) {
            let (found, width) = (self.values.len(), self.width);
            return Err(Error::invalid_model(format!("{found} values for {leaves} leaves of {width}")));
        }
        Ok(())
    }

    fn read_sets(&mut self) -> Result<()> {
        self.sets.clear();
        self.sets.resize(self.left.len(), None);
        if self.category_nodes.len() != self.category_counts.len() {
            let (nodes, counts) = (self.category_nodes.len(), self.category_counts.len());
            return Err(Error::invalid_model(format!("{nodes} category_nodes, but {counts} category_counts")));
        }
        let mut rest = &*self.categories;
        for (&node, &count) in self.category_nodes.iter().zip(&self.category_counts) {
            let listed = usize::try_from(count).ok().and_then(|count| rest.split_at_checked(count));
            let (listed, after) = listed
                .ok_or_else(|| Error::invalid_model(format!("{count} categories where {} are left", rest.len())))?;
            rest = after;
            let codes = listed.iter().map(|&code| u32::try_from(code)).collect::<Result<Vec<_>, _>>();
            let codes = codes.map_err(|_| Error::invalid_model("a category that is no number of 32 bits"))?;
            let set = usize::try_from(node).ok().and_then(|node| self.sets.get_mut(node));
            *set.ok_or_else(|| Error::invalid_model(format!("category node {node}")))? =
                Some(CategorySet::from_codes(&codes));
        }
        if rest.is_empty() { Ok(()) } else { Err(Error::invalid_model(format!("{} categories too many", rest.len()))) }
    }

    /// Adds the tree to the builder.
    fn lower(&self, builder: &mut ForestBuilder) -> Result<()> {
        builder.add_tree(self.output, 1.0, self.left.len(), |id| self.node(id))
    }

    fn node(&self, id: u32) -> Result<Node<'_>> {
        let node = id as usize;
        if self.left[node] == -1 {
            let values = &self.values[self.leaf_of[node] as usize * self.width..][..self.width];
            return Ok(Node::Leaf { id, values });
        }
        let index = |what: &str, index: i32| {
            u32::try_from(index).map_err(|_| Error::invalid_model(format!("{what} {index} of a node that is no leaf")))
        };
        let (left, right) = (index("child", self.left[node])?, index("child", self.right[node])?);
        let feature = index("feature", self.feature[node])?;
        let missing = match self.missing_left[node] {
            0 => Missing::Right,
            1 => Missing::Left,
            other => return Err(Error::invalid_model(format!("missing_left is {other}, neither 0 nor 1"))),
        };
        let test = match &self.sets[node] {
            Some(set) => Test::Categories(set.clone()),
            None => Test::Threshold(self.threshold[node]),
        };
        Ok(Node::Split { feature, test, missing, left, right })
    }
}
