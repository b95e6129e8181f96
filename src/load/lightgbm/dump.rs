//! LightGBM's JSON: what `Booster.dump_model` returns, written to a file.
//!
//! It holds what the text does, number for number, but for infinite thresholds, which it writes as ±1e300; training
//! makes none, and files that have some were edited. Nodes stand within one another, as deep as their tree is, so they
//! are read with a stack of our own, and lowered from a list in the order in which they come.

use super::head::{self, Head};
use super::pandas;
use crate::error::{Error, Result};
use crate::ir::{CategorySet, ForestBuilder, Missing, Node, Test};
use crate::load::document::Document;
use crate::load::json::{Json, UnicodeEscapes};
use crate::load::{LoadOptions, Loaded};

/// Loads the bytes of a file.
pub(in crate::load) fn load_json(bytes: &[u8], options: &LoadOptions) -> Result<Loaded> {
    let mut json = Json::new(bytes, UnicodeEscapes::Decoded);
    let (mut head, mut builder, mut infos) = (Head::default(), head::builder(), Vec::new());
    let mut tree = Tree::default();
    json.object(|json, key| {
        match key {
            "version" => head.version = json.text()?,
            "num_class" => head.num_class = Some(count(json)?),
            "num_tree_per_iteration" => head.num_tree_per_iteration = Some(count(json)?),
            "max_feature_idx" => head.max_feature_idx = Some(json.number()?),
            "objective" => head.objective = Some(json.text()?),
            "average_output" => head.average_output = json.number::<i64>()? != 0,
            "feature_names" => json.array(|json| {
                head.feature_names.push(json.text()?);
                Ok(())
            })?,
            "feature_infos" => json.object(|json, name| {
                if let Some(greatest) = greatest_category(json)? {
                    infos.push((name.to_owned(), greatest));
                }
                Ok(())
            })?,
            "tree_info" if builder.n_trees() > 0 => return Err(json.error("a second list of trees")),
            "tree_info" => json.array(|json| {
                let index = builder.n_trees();
                options.limits.trees(index + 1)?;
                tree.read(json).map_err(|error| error.at(format!("tree {index}")))?;
                options.limits.nodes(builder.n_nodes() + tree.nodes.len())?;
                tree.lower(&mut builder)
            })?,
            "pandas_categorical" => {
                head.pandas_categorical = pandas::read(json).map_err(|error| error.at("pandas_categorical"))?;
            }
            _ => json.skip()?,
        }
        Ok(())
    })?;
    json.end()?;
    if head.max_feature_idx.is_none() {
        return Err(Error::invalid_model("no \"max_feature_idx\" in the file: not a LightGBM model"));
    }
    if !infos.is_empty() {
        // Names are unique; those that are not of a feature were not written by LightGBM.
        let greatest: std::collections::HashMap<_, _> = infos.into_iter().collect();
        head.categories = head.feature_names.iter().map(|name| greatest.get(name.as_str()).copied()).collect();
    }
    head.plan(options)?.finish(&head, builder, options)
}

fn count(json: &mut Json<'_>) -> Result<u64> {
    let number = json.number::<i64>()?;
    u64::try_from(number).map_err(|_| json.error(format!("a count of {number}")))
}

/// The greatest category of a feature, if it lists any.
fn greatest_category(json: &mut Json<'_>) -> Result<Option<i64>> {
    let mut values = Vec::<i64>::new();
    json.object(|json, key| match key {
        "values" => json.numbers(&mut values),
        _ => json.skip(),
    })?;
    Ok(values.into_iter().max())
}

/// One tree, its nodes in the order in which the file has them: the root first.
#[derive(Default)]
struct Tree {
    nodes: Vec<Option<Kind>>,
    /// Those of the linear leaf that is being read.
    features: Vec<i64>,
    coefficients: Vec<f64>,
    /// The terms of all linear leaves.
    terms: Vec<(u32, f64)>,
    /// Which leaf numbers have been met.
    met: Vec<bool>,
}

/// What a node is.
enum Kind {
    Split { feature: u32, test: Test, missing: Missing, left: u32, right: u32 },
    Leaf { id: u32, value: f64 },
    Linear { id: u32, value: f64, constant: f64, first_term: usize, end_term: usize },
}

/// A node whose fields are being read.
#[derive(Default)]
struct Open {
    index: usize,
    feature: Option<u32>,
    test: Option<Test>,
    /// Whether the split is one of categories.
    decision: Option<bool>,
    default_left: Option<bool>,
    missing: Option<MissingType>,
    left: Option<u32>,
    right: Option<u32>,
    leaf_index: Option<u32>,
    leaf_value: Option<f64>,
    constant: Option<f64>,
}

#[derive(Clone, Copy)]
enum MissingType {
    None,
    Zero,
    Nan,
}

impl Tree {
    fn read(&mut self, json: &mut Json<'_>) -> Result<()> {
        self.nodes.clear();
        self.terms.clear();
        let mut num_leaves = None;
        json.object(|json, key| match key {
            "num_leaves" => {
                num_leaves = Some(count(json)?);
                Ok(())
            }
            "tree_structure" => self.structure(json),
            _ => json.skip(),
        })?;
        let num_leaves = num_leaves.ok_or_else(|| Error::invalid_model("no num_leaves: the tree is cut short"))?;
        let leaves = self.nodes.len().div_ceil(2);
        if leaves as u64 != num_leaves || leaves == 0 {
            return Err(Error::invalid_model(format!("num_leaves is {num_leaves}, but the tree has {leaves}")));
        }
        self.check_leaves(leaves)
    }

    /// Every leaf has a number of its own.
    fn check_leaves(&mut self, leaves: usize) -> Result<()> {
        self.met.clear();
        self.met.resize(leaves, false);
        for node in &self.nodes {
            if let Some(Kind::Leaf { id, .. } | Kind::Linear { id, .. }) = node {
                match self.met.get_mut(*id as usize) {
                    Some(met) if !*met => *met = true,
                    _ => return Err(Error::invalid_model(format!("leaf_index {id} twice, or of {leaves} leaves"))),
                }
            }
        }
        Ok(())
    }

    /// Reads nodes within nodes.
    fn structure(&mut self, json: &mut Json<'_>) -> Result<()> {
        if !self.nodes.is_empty() {
            return Err(json.error("a second tree_structure"));
        }
        let mut open = vec![self.start()];
        let mut more = json.enter()?;
        while let Some(node) = open.last_mut() {
            if !more {
                let index = node.index;
                let node = open.pop().expect("it is the last");
                self.nodes[index] = Some(self.finish(node).map_err(|finding| json.error(finding))?);
                if open.is_empty() {
                    break;
                }
                more = json.more_fields()?;
                continue;
            }
            let key = json.key()?;
            match key {
                "left_child" | "right_child" => {
                    let slot = if key == "left_child" { &mut node.left } else { &mut node.right };
                    let child = self.start();
                    set(json, key, slot, child.index as u32)?;
                    open.push(child);
                    more = json.enter()?;
                    continue;
                }
                _ => self.field(json, key, node)?,
            }
            more = json.more_fields()?;
        }
        Ok(())
    }

    fn start(&mut self) -> Open {
        let index = self.nodes.len();
        self.nodes.push(None);
        self.features.clear();
        self.coefficients.clear();
        Open { index, ..Open::default() }
    }

    /// Reads a field of a node other than its children.
    fn field(&mut self, json: &mut Json<'_>, key: &str, node: &mut Open) -> Result<()> {
        match key {
            "split_feature" => {
                let feature = index(json)?;
                set(json, key, &mut node.feature, feature)
            }
            "threshold" => {
                let test =
                    if json.at_text() { Test::Categories(codes(json)?) } else { Test::Threshold(json.number()?) };
                set(json, key, &mut node.test, test)
            }
            "decision_type" => {
                let is_category = match json.text()?.as_str() {
                    "<=" => false,
                    "==" => true,
                    other => return Err(json.error(format!("decision_type {other:?}"))),
                };
                set(json, key, &mut node.decision, is_category)
            }
            "default_left" => {
                let default_left = json.number::<i64>()? != 0;
                set(json, key, &mut node.default_left, default_left)
            }
            "missing_type" => {
                let missing = match json.text()?.as_str() {
                    "None" => MissingType::None,
                    "Zero" => MissingType::Zero,
                    "NaN" => MissingType::Nan,
                    other => return Err(json.error(format!("missing_type {other:?}"))),
                };
                set(json, key, &mut node.missing, missing)
            }
            "leaf_index" => {
                let leaf = index(json)?;
                set(json, key, &mut node.leaf_index, leaf)
            }
            "leaf_value" => {
                let value = json.number()?;
                set(json, key, &mut node.leaf_value, value)
            }
            "leaf_const" => {
                let constant = json.number()?;
                set(json, key, &mut node.constant, constant)
            }
            "leaf_features" => json.numbers(&mut self.features),
            "leaf_coeff" => json.numbers(&mut self.coefficients),
            _ => json.skip(),
        }
    }

    /// What a node is, all its fields read, or what is wrong with it.
    fn finish(&mut self, node: Open) -> Result<Kind, String> {
        let Open { feature, test, decision, default_left, missing, left, right, leaf_index, leaf_value, .. } = node;
        let lacks = |what: &str| format!("a node without {what}");
        let Some(value) = leaf_value else {
            let test = test.ok_or_else(|| lacks("threshold"))?;
            let is_category = matches!(test, Test::Categories(_));
            if decision.ok_or_else(|| lacks("decision_type"))? != is_category {
                return Err("a decision_type that is not that of the threshold".to_owned());
            }
            let default_left = default_left.ok_or_else(|| lacks("default_left"))?;
            let missing = match (missing.ok_or_else(|| lacks("missing_type"))?, default_left) {
                // NaN is in no set, whatever the missing type.
                _ if is_category => Missing::Right,
                (MissingType::None, _) => Missing::AsZero,
                (MissingType::Zero, true) => Missing::ZeroLeft,
                (MissingType::Zero, false) => Missing::ZeroRight,
                (MissingType::Nan, true) => Missing::Left,
                (MissingType::Nan, false) => Missing::Right,
            };
            let feature = feature.ok_or_else(|| lacks("split_feature"))?;
            let (left, right) = (left.ok_or_else(|| lacks("left_child"))?, right.ok_or_else(|| lacks("right_child"))?);
            return Ok(Kind::Split { feature, test, missing, left, right });
        };
        if feature.is_some() || test.is_some() || left.is_some() || right.is_some() {
            return Err("a node that is both leaf and split".to_owned());
        }
        // A tree of one leaf does not number it.
        let id = match leaf_index {
            Some(id) => id,
            None if node.index == 0 => 0,
            None => return Err(lacks("leaf_index")),
        };
        let Some(constant) = node.constant else { return Ok(Kind::Leaf { id, value }) };
        if self.features.len() != self.coefficients.len() {
            return Err(format!("{} leaf_features, but {} leaf_coeff", self.features.len(), self.coefficients.len()));
        }
        let first_term = self.terms.len();
        for (&feature, &coefficient) in self.features.iter().zip(&self.coefficients) {
            let feature = u32::try_from(feature).map_err(|_| format!("feature {feature}"))?;
            self.terms.push((feature, coefficient));
        }
        Ok(Kind::Linear { id, value, constant, first_term, end_term: self.terms.len() })
    }

    /// Adds the tree to the builder.
    fn lower(&self, builder: &mut ForestBuilder) -> Result<()> {
        // The head tells which output a tree adds to.
        builder.add_tree(Some(0), 1.0, self.nodes.len(), |id| {
            Ok(match self.nodes[id as usize].as_ref().expect("every node that was started was finished") {
                Kind::Split { feature, test, missing, left, right } => {
                    Node::Split { feature: *feature, test: test.clone(), missing: *missing, left: *left, right: *right }
                }
                Kind::Leaf { id, value } => Node::Leaf { id: *id, values: std::slice::from_ref(value) },
                &Kind::Linear { id, value, constant, first_term, end_term } => {
                    Node::LinearLeaf { id, value, constant, terms: &self.terms[first_term..end_term] }
                }
            })
        })
    }
}

/// Fills in a field that must not come twice.
fn set<T>(json: &Json<'_>, key: &str, slot: &mut Option<T>, value: T) -> Result<()> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(json.error(format!("a second {key} in one node"))),
    }
}

fn index(json: &mut Json<'_>) -> Result<u32> {
    let number = json.number::<i64>()?;
    u32::try_from(number).map_err(|_| json.error(format!("an index of {number}")))
}

/// Category codes, as `0||2||5`.
fn codes(json: &mut Json<'_>) -> Result<CategorySet> {
    let text = json.text()?;
    let codes: Result<Vec<u32>, _> = text.split("||").filter(|code| !code.is_empty()).map(str::parse).collect();
    let codes = codes.map_err(|_| json.error("a threshold that is no list of category codes"))?;
    Ok(CategorySet::from_codes(&codes))
}
