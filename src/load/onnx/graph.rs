//! From a graph of named values to a [`Graph`] of numbered ones.
//!
//! Names are resolved scope by scope; nodes that only rename (`Identity`, `ZipMap`, a cast to the type a value has
//! already) become other names of the same value; functions of the file are written out where they are called.

use std::collections::HashMap;

use super::attributes::{Attributes, shown};
use super::lower::lower;
use super::proto::{AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, ValueInfoProto};
use super::trees::{Kind, Trees};
use super::{ops, tensor};
use crate::error::{Error, Result};
#[cfg(feature = "neural")]
use crate::graph::Input;
use crate::graph::ops::Op;
use crate::graph::tensor::{Data, Tensor, Type};
use crate::graph::{Body, Control, Graph, GraphBuilder, Node, OutputValue};
use crate::ir::Float;
use crate::load::{Limits, LoadOptions, OnnxCompat};
use crate::schema::Classes;

/// Nodes of a graph, functions written out; graphs and functions within one another.
const MAX_NODES: usize = 1 << 18;
const MAX_DEPTH: usize = 32;

pub(super) const ML: &str = "ai.onnx.ml";
const MICROSOFT: &str = "com.microsoft";

/// What a file's graph became.
pub(super) struct LoadedNodes {
    pub(super) graph: Graph,
    /// Column names, of inputs that have some of their own.
    pub(super) column_names: HashMap<usize, Vec<String>>,
    /// What the made-up rows give for the outputs, if that is known.
    pub(super) samples: Vec<Option<Tensor>>,
    /// What was folded into trees.
    pub(super) folded: Vec<String>,
}

/// Bytes that values computed at load may take, beside so many for each byte of the file.
const MIN_VALUE_BYTES: usize = 1 << 18;
const VALUE_BYTES_PER_BYTE: usize = 16;

/// Loads a model that takes `n_bytes` in its file.
pub(super) fn load(model: &ModelProto, n_bytes: usize, options: &LoadOptions) -> Result<LoadedNodes> {
    let graph = model.graph.as_ref().ok_or_else(no_graph)?;
    let mut loader = Loader::new(model, n_bytes, options.onnx, &options.limits);
    loader.initializers(graph)?;
    loader.inputs(graph)?;
    let nodes = loader.nodes(&graph.node)?;
    loader.finish(graph, nodes, options.fold)
}

/// Loads a model as one node, called `kind`, of the operator that `whole` makes for the inputs.
#[cfg(feature = "neural")]
pub(super) fn load_whole(
    model: &ModelProto,
    n_bytes: usize,
    limits: &Limits,
    kind: &str,
    whole: impl FnOnce(&[Input]) -> Result<Op>,
) -> Result<LoadedNodes> {
    let graph = model.graph.as_ref().ok_or_else(no_graph)?;
    let mut loader = Loader::new(model, n_bytes, OnnxCompat::default(), limits);
    loader.inputs(graph)?;
    let inputs = loader.builder.inputs();
    let (op, values) = (whole(inputs)?, inputs.iter().map(|input| Some(input.value)).collect());
    let outputs = graph.output.iter().map(|output| output.name.clone()).collect();
    let proto = NodeProto { op_type: kind.to_owned(), output: outputs, ..NodeProto::default() };
    let mut nodes = Vec::new();
    loader.add(&proto, op, values, &mut nodes)?;
    loader.finish(graph, nodes, false)
}

/// Whether an output is declared as so many targets, any number of rows, and so many classes: the probabilities of
/// scikit-learn's classifiers of several targets.
fn has_rows_second(output: &ValueInfoProto) -> bool {
    let tensor = output.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let sizes = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| &*shape.dim);
    matches!(sizes, Some([targets, rows, classes])
        if targets.dim_value.is_some_and(|size| size > 1) && rows.dim_value.is_none() && classes.dim_value.is_some())
}

fn no_graph() -> Error {
    Error::invalid_model("no graph in the file")
}

fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

pub(super) struct Loader<'a> {
    pub(super) builder: GraphBuilder,
    versions: HashMap<&'a str, i64>,
    functions: HashMap<(&'a str, &'a str), &'a FunctionProto>,
    /// Values by name, the innermost graph last.
    scopes: Vec<HashMap<String, usize>>,
    /// What the columns of a value stand for.
    classes: HashMap<usize, Classes>,
    pub(super) column_names: HashMap<usize, Vec<String>>,
    n_nodes: usize,
    depth: usize,
    compat: OnnxCompat,
    pub(super) limits: &'a Limits,
}

impl<'a> Loader<'a> {
    fn new(model: &'a ModelProto, n_bytes: usize, compat: OnnxCompat, limits: &'a Limits) -> Self {
        Self {
            builder: GraphBuilder::new(MIN_VALUE_BYTES.saturating_add(n_bytes.saturating_mul(VALUE_BYTES_PER_BYTE))),
            versions: model.opset_import.iter().map(|set| (domain(&set.domain), set.version)).collect(),
            functions: model.functions.iter().map(|f| ((domain(&f.domain), f.name.as_str()), f)).collect(),
            scopes: vec![HashMap::new()],
            classes: HashMap::new(),
            column_names: HashMap::new(),
            n_nodes: 0,
            depth: 0,
            compat,
            limits,
        }
    }

    /// The graph of `nodes`, with the outputs of the file's.
    fn finish(mut self, graph: &GraphProto, mut nodes: Vec<Node>, fold: bool) -> Result<LoadedNodes> {
        let mut outputs = Vec::new();
        for output in &graph.output {
            let value = self.resolve(&output.name)?;
            let value = if has_rows_second(output) { self.rows_first(&output.name, value, &mut nodes)? } else { value };
            let n_columns = self.builder.sample(value).map_or(1, crate::graph::n_columns);
            let ty = self.builder.sample(value).map_or(Type::F32, crate::graph::type_of);
            let classes = self.classes.get(&value).cloned();
            outputs.push(OutputValue { name: output.name.clone(), value, n_columns, ty, classes });
        }
        if outputs.is_empty() {
            return Err(Error::invalid_model("a graph without outputs"));
        }
        let (nodes, folded) = if fold { self.builder.fold_into_trees(nodes, &outputs)? } else { (nodes, Vec::new()) };
        let nodes = self.builder.fuse_layers(nodes, &outputs);
        let samples = outputs.iter().map(|output| self.builder.sample(output.value).cloned()).collect();
        let column_names = self.column_names;
        Ok(LoadedNodes { graph: self.builder.finish(nodes, outputs), column_names, samples, folded })
    }

    /// The value with its first two axes in turn.
    fn rows_first(&mut self, name: &str, value: usize, nodes: &mut Vec<Node>) -> Result<usize> {
        let turned = self.builder.value(name);
        let op = Op::Transpose { perm: Some(vec![1, 0, 2]) };
        let (inputs, outputs) = (vec![Some(value)], vec![Some(turned)]);
        self.push(Node { name: name.to_owned(), kind: "rows first".to_owned(), op, inputs, outputs }, nodes)?;
        Ok(turned)
    }

    fn initializers(&mut self, graph: &GraphProto) -> Result<()> {
        if !graph.sparse_initializer.is_empty() {
            return Err(Error::unsupported("sparse initializers"));
        }
        for proto in &graph.initializer {
            let read =
                tensor::read(proto).map_err(|error| error.at(format!("initializer \"{}\"", shown(&proto.name))))?;
            let value = self.builder.constant(&proto.name, read);
            self.define(&proto.name, value)?;
        }
        Ok(())
    }

    pub(super) fn define(&mut self, name: &str, value: usize) -> Result<()> {
        let scope = self.scopes.last_mut().ok_or_else(|| Error::invalid_model("no scope"))?;
        match scope.insert(name.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(Error::invalid_model(format!("value \"{}\" is defined twice", shown(name)))),
        }
    }

    fn resolve(&self, name: &str) -> Result<usize> {
        let found = self.scopes.iter().rev().find_map(|scope| scope.get(name));
        found
            .copied()
            .ok_or_else(|| Error::invalid_model(format!("value \"{}\" is not defined before it is used", shown(name))))
    }

    fn nodes(&mut self, protos: &[NodeProto]) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        for proto in protos {
            self.n_nodes += 1;
            if self.n_nodes > MAX_NODES {
                return Err(Error::limit("nodes of the graph", self.n_nodes, MAX_NODES));
            }
            // Of graphs within one another, the outermost node and the one at fault.
            let holds_others = self.functions.contains_key(&(domain(&proto.domain), proto.op_type.as_str()))
                || matches!(proto.op_type.as_str(), "If" | "Scan");
            let is_shown = self.depth == 0 || !holds_others;
            self.node(proto, &mut nodes).map_err(|error| if is_shown { error.at(place(proto)) } else { error })?;
        }
        Ok(nodes)
    }

    fn node(&mut self, proto: &NodeProto, nodes: &mut Vec<Node>) -> Result<()> {
        let (domain, op_type) = (domain(&proto.domain), proto.op_type.as_str());
        if let Some(function) = self.functions.get(&(domain, op_type)).copied() {
            return self.call(function, proto, nodes);
        }
        let inputs =
            proto.input.iter().map(|name| if name.is_empty() { Ok(None) } else { self.resolve(name).map(Some) });
        let mut inputs = inputs.collect::<Result<Vec<_>>>()?;
        let mut attributes = Attributes::new(proto);
        match (domain, op_type) {
            (ML, "ZipMap") => return self.zip_map(proto, &inputs, &mut attributes, nodes),
            ("", "Constant") => return self.constant(proto, &mut attributes),
            ("", "Identity") => return self.rename(proto, &inputs),
            (ML, "TreeEnsembleClassifier") => return self.trees(Kind::Classifier, proto, &inputs, nodes),
            (ML, "TreeEnsembleRegressor") => return self.trees(Kind::Regressor, proto, &inputs, nodes),
            (ML, "TreeEnsemble") => return self.trees(Kind::Ensemble, proto, &inputs, nodes),
            _ => {}
        }
        let version = self.versions.get(domain).copied();
        if domain.is_empty() {
            let early = ops::early_inputs(op_type, version.unwrap_or(1), &mut attributes)?;
            inputs.extend(early.into_iter().map(|tensor| Some(self.builder.constant("", tensor))));
        }
        let input = inputs.first().copied().flatten().and_then(|value| self.builder.sample(value)).map(Tensor::ty);
        let op = match (domain, op_type) {
            ("", "Scan") if version.unwrap_or(0) >= 9 => Some(self.scan(&inputs, &mut attributes)?),
            ("", "If") => Some(self.branch(&mut attributes)?),
            ("", _) => ops::standard(op_type, version.unwrap_or(1), &mut attributes)?,
            (ML, _) => ops::learned(op_type, version.unwrap_or(1), input, &mut attributes)?,
            (MICROSOFT, _) => ops::microsoft(op_type, &mut attributes)?,
            _ => None,
        };
        let mut op = op.ok_or_else(|| {
            let hint = if domain.is_empty() && !cfg!(feature = "neural") {
                "; those of neural networks come with the feature \"neural\""
            } else {
                ""
            };
            Error::unsupported(format!("operator {} of {}{hint}", shown(op_type), shown(domain_name(domain))))
        })?;
        attributes.finish()?;
        let normalizes = matches!(op, Op::BatchNormalization { .. } | Op::LayerNormalization { .. });
        if normalizes && proto.output.iter().skip(1).any(|name| !name.is_empty()) {
            return Err(Error::unsupported("outputs beside the normalised values"));
        }
        if matches!(op, Op::Gemm(_)) && inputs.len() > 3 {
            return Err(Error::invalid_model(format!("{} inputs", inputs.len())));
        }
        if let (Op::Gemm(gemm), Some(&Some(b))) = (&mut op, inputs.get(1))
            && let Some(turned) = self.builder.as_constant(b).and_then(|b| gemm.turned(b))
        {
            inputs[1] = Some(self.builder.constant("", turned));
        }
        if let (Op::Cast(to), Some(Some(value))) = (&op, inputs.first())
            && input == Some(*to)
            // Values of graphs within the graph may change their type from step to step.
            && (self.scopes.len() == 1 || self.builder.as_constant(*value).is_some())
        {
            return self.rename(proto, &inputs);
        }
        let classes = match &op {
            Op::LinearClassifier { classes, .. } => classes_of(classes),
            Op::SvmClassifier(classifier) => classes_of(&classifier.classes),
            // Scores that are scaled are scores.
            Op::Normalizer(_) => {
                inputs.first().copied().flatten().and_then(|scores| self.classes.get(&scores).cloned())
            }
            _ => None,
        };
        let scores = if matches!(op, Op::Normalizer(_)) { proto.output.first() } else { proto.output.get(1) };
        self.add(proto, op, inputs, nodes)?;
        self.name_scores(scores, classes)
    }

    /// Says what the columns of a value stand for, where it is wanted.
    fn name_scores(&mut self, scores: Option<&String>, classes: Option<Classes>) -> Result<()> {
        if let (Some(name), Some(classes)) = (scores.filter(|name| !name.is_empty()), classes) {
            let value = self.resolve(name)?;
            self.classes.insert(value, classes);
        }
        Ok(())
    }

    /// Adds a node under the names the file gives its outputs.
    fn add(&mut self, proto: &NodeProto, op: Op, inputs: Vec<Option<usize>>, nodes: &mut Vec<Node>) -> Result<()> {
        let mut outputs = Vec::new();
        for name in &proto.output {
            if name.is_empty() {
                outputs.push(None);
                continue;
            }
            let value = self.builder.value(name);
            self.define(name, value)?;
            outputs.push(Some(value));
        }
        self.push(Node { name: proto.name.clone(), kind: kind(proto), op, inputs, outputs }, nodes)
    }

    fn push(&mut self, node: Node, nodes: &mut Vec<Node>) -> Result<()> {
        if outputs_overlap(&node) {
            return Err(Error::invalid_model("an output listed twice"));
        }
        nodes.extend(self.builder.rehearse(node)?);
        Ok(())
    }

    /// Gives the first input's value another name.
    fn rename(&mut self, proto: &NodeProto, inputs: &[Option<usize>]) -> Result<()> {
        match (inputs, &*proto.output) {
            ([Some(value), ..], [name]) => self.define(name, *value),
            _ => Err(Error::invalid_model("not one input and one output")),
        }
    }

    fn constant(&mut self, proto: &NodeProto, attributes: &mut Attributes<'_>) -> Result<()> {
        let scalar = |data| Tensor::of(Vec::new(), data);
        let tensor = if let Some(tensor) = attributes.tensor("value")? {
            tensor
        } else if let Some(value) = attributes.float("value_float")? {
            scalar(Data::F32(vec![value]))
        } else if let Some(value) = attributes.int("value_int")? {
            scalar(Data::I64(vec![value]))
        } else if let Some(value) = attributes.string("value_string")? {
            scalar(Data::Text([value].into_iter().collect()))
        } else if let Some(values) = attributes.floats("value_floats")? {
            Tensor::list(values.to_vec())
        } else if let Some(values) = attributes.ints("value_ints")? {
            Tensor::list(values.to_vec())
        } else if let Some(values) = attributes.strings("value_strings")? {
            Tensor::text(values)
        } else {
            return Err(Error::unsupported("a constant of another kind"));
        };
        attributes.finish()?;
        let [name] = &*proto.output else { return Err(Error::invalid_model("not one output")) };
        let value = self.builder.constant(name, tensor);
        self.define(name, value)
    }

    /// A map from class to score is the scores under the names of the classes.
    fn zip_map(
        &mut self,
        proto: &NodeProto,
        inputs: &[Option<usize>],
        attributes: &mut Attributes<'_>,
        nodes: &mut Vec<Node>,
    ) -> Result<()> {
        let integers = attributes.ints("classlabels_int64s")?.filter(|list| !list.is_empty());
        let names = attributes.strings("classlabels_strings")?.filter(|list| !list.is_empty());
        attributes.finish()?;
        let classes = match (integers, names) {
            (Some(integers), None) => Classes::Integers(integers.to_vec()),
            (None, Some(names)) => Classes::Names(names.iter().map(str::to_owned).collect()),
            _ => return Err(Error::invalid_model("neither or both of classlabels_int64s and classlabels_strings")),
        };
        let ([Some(value)], [name]) = (inputs, &*proto.output) else {
            return Err(Error::invalid_model("not one input and one output"));
        };
        let (mut value, width) = (*value, self.builder.sample(*value).map(|scores| scores.matrix_shape().1));
        if width.is_some_and(|width| width != classes.len()) {
            return Err(Error::invalid_model(format!("{} classes for {width:?} scores", classes.len())));
        }
        if self.classes.get(&value).is_some_and(|known| *known != classes) {
            // Two maps of the same scores are two values.
            let copy = self.builder.value(name);
            let (op, kind) = (Op::Identity, kind(proto));
            self.push(
                Node { name: proto.name.clone(), kind, op, inputs: vec![Some(value)], outputs: vec![Some(copy)] },
                nodes,
            )?;
            value = copy;
        }
        self.classes.insert(value, classes);
        self.define(name, value)
    }

    fn trees(
        &mut self,
        kind_of: Kind,
        proto: &NodeProto,
        inputs: &[Option<usize>],
        nodes: &mut Vec<Node>,
    ) -> Result<()> {
        let [Some(mut value)] = *inputs else { return Err(Error::invalid_model("not one input")) };
        let sample = self.builder.sample(value);
        let input = if sample.is_some_and(|rows| rows.ty() == Type::F64) { Float::F64 } else { Float::F32 };
        let width = sample.map(|rows| rows.matrix_shape().1);
        let mut attributes = Attributes::new(proto);
        let trees = Trees::read(kind_of, &mut attributes, input)?;
        attributes.finish()?;
        let used = trees.nodes.iter().map(|node| node.feature as usize + 1).max().unwrap_or(1);
        let width = self.limits.features(width.unwrap_or(used) as u64)?;
        let lowered = lower(&trees, width, self.compat, self.limits)?;
        if !lowered.members.is_empty() {
            let members = self.builder.value("members");
            let (name, inputs, outputs) = (proto.name.clone(), vec![Some(value)], vec![Some(members)]);
            let node =
                Node { name, kind: "members of sets".to_owned(), op: Op::AddMembers(lowered.members), inputs, outputs };
            self.push(node, nodes)?;
            value = members;
        }
        let mut ensemble = lowered.ensemble;
        ensemble.forest = self.builder.forest(lowered.forest);
        let scores = if ensemble.classes.is_some() { proto.output.get(1) } else { None };
        let classes = ensemble.classes.as_ref().and_then(classes_of);
        self.add(proto, Op::Ensemble(ensemble), vec![Some(value)], nodes)?;
        self.name_scores(scores, classes)
    }

    /// Writes a function out: its values are in a scope of their own that sees nothing else.
    fn call(&mut self, function: &FunctionProto, proto: &NodeProto, nodes: &mut Vec<Node>) -> Result<()> {
        self.deeper()?;
        let mut scope = HashMap::new();
        for (name, outer) in function.input.iter().zip(&proto.input) {
            if !outer.is_empty() {
                scope.insert(name.clone(), self.resolve(outer)?);
            }
        }
        let body: Vec<NodeProto> =
            function.node.iter().map(|node| with_attributes(node, function, &proto.attribute)).collect();
        let outside = std::mem::replace(&mut self.scopes, vec![scope]);
        let outside_versions = self.versions.clone();
        // A function may be written for other versions of the operators.
        for set in &function.opset_import {
            if let Some(version) = self.versions.get_mut(domain(&set.domain)) {
                *version = set.version;
            }
        }
        let written = self.nodes(&body);
        self.versions = outside_versions;
        let results: Result<Vec<usize>> = function.output.iter().map(|name| self.resolve(name)).collect();
        self.scopes = outside;
        self.depth -= 1;
        nodes.extend(written?);
        for (name, value) in proto.output.iter().zip(results?) {
            if !name.is_empty() {
                self.define(name, value)?;
            }
        }
        Ok(())
    }

    fn deeper(&mut self) -> Result<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Error::limit("graphs within one another", self.depth, MAX_DEPTH));
        }
        Ok(())
    }

    /// A graph within the graph, whose inputs are `samples` on the made-up rows.
    fn body(&mut self, proto: &GraphProto, samples: Vec<Option<Tensor>>) -> Result<Body> {
        self.deeper()?;
        self.scopes.push(HashMap::new());
        let mut body = Body::default();
        for (info, sample) in proto.input.iter().zip(samples) {
            let value = self.builder.value(&info.name);
            if let Some(sample) = sample {
                self.builder.learn(value, sample);
            }
            self.define(&info.name, value)?;
            body.inputs.push(value);
        }
        self.initializers(proto)?;
        body.nodes = self.nodes(&proto.node)?;
        body.outputs = proto.output.iter().map(|output| self.resolve(&output.name)).collect::<Result<_>>()?;
        self.scopes.pop();
        self.depth -= 1;
        Ok(body)
    }

    fn branch(&mut self, attributes: &mut Attributes<'_>) -> Result<Op> {
        let missing = || Error::invalid_model("a branch is missing");
        let then = attributes.graph("then_branch")?.ok_or_else(missing)?;
        let otherwise = attributes.graph("else_branch")?.ok_or_else(missing)?;
        let (then, otherwise) = (self.body(then, Vec::new())?, self.body(otherwise, Vec::new())?);
        Ok(Op::Control(Box::new(Control::If { then, otherwise })))
    }

    fn scan(&mut self, inputs: &[Option<usize>], attributes: &mut Attributes<'_>) -> Result<Op> {
        let proto = attributes.graph("body")?.ok_or_else(|| Error::invalid_model("no body"))?;
        let n_scanned = attributes.int("num_scan_inputs")?.and_then(|count| usize::try_from(count).ok());
        let n_scanned = n_scanned.filter(|&count| (1..=inputs.len()).contains(&count));
        let n_scanned = n_scanned.ok_or_else(|| Error::invalid_model("attribute num_scan_inputs"))?;
        let n_state = inputs.len() - n_scanned;
        if proto.input.len() != inputs.len() || proto.output.len() < n_state {
            return Err(Error::invalid_model("a body that does not fit its inputs"));
        }
        let n_outputs = proto.output.len() - n_state;
        let mut axes = |kind: &str, count: usize| -> Result<Vec<(i64, bool)>> {
            let axes = attributes.ints(&format!("scan_{kind}_axes"))?.unwrap_or_default();
            let directions = attributes.ints(&format!("scan_{kind}_directions"))?.unwrap_or_default();
            let at = |list: &[i64], index: usize| list.get(index).copied().unwrap_or(0);
            Ok((0..count).map(|index| (at(axes, index), at(directions, index) != 0)).collect())
        };
        let (input_axes, output_axes) = (axes("input", n_scanned)?, axes("output", n_outputs)?);
        let sample = |(index, input): (usize, &Option<usize>)| {
            let sample = self.builder.sample((*input)?)?;
            match index.checked_sub(n_state) {
                None => Some(sample.clone()),
                Some(scanned) => crate::graph::first_along(sample, input_axes[scanned].0),
            }
        };
        let samples = inputs.iter().enumerate().map(sample).collect();
        let body = self.body(proto, samples)?;
        let scan = Control::Scan { body, n_scanned, input_axes, output_axes };
        Ok(scan.into_op(|value| self.builder.as_constant(value)))
    }
}

fn outputs_overlap(node: &Node) -> bool {
    let outputs: Vec<usize> = node.outputs.iter().flatten().copied().collect();
    (1..outputs.len()).any(|at| outputs[..at].contains(&outputs[at]))
}

/// What ONNX calls an operator, with its domain unless it is a usual one.
fn kind(proto: &NodeProto) -> String {
    match domain(&proto.domain) {
        "" | ML => shown(&proto.op_type),
        other => format!("{}.{}", shown(other), shown(&proto.op_type)),
    }
}

/// What errors call a node.
pub(super) fn place(proto: &NodeProto) -> String {
    match proto.name.as_str() {
        "" => format!("node {}", kind(proto)),
        name => format!("node \"{}\" ({})", shown(name), kind(proto)),
    }
}

fn domain_name(domain: &str) -> &str {
    if domain.is_empty() { "ai.onnx" } else { domain }
}

/// Class labels as the schema has them.
fn classes_of(labels: &Tensor) -> Option<Classes> {
    match &labels.data {
        Data::I64(labels) => Some(Classes::Integers(labels.clone())),
        Data::Text(labels) => Some(Classes::Names(labels.iter().map(str::to_owned).collect())),
        _ => None,
    }
}

/// A node of a function, with attributes that stand for those of the call put in.
fn with_attributes(node: &NodeProto, function: &FunctionProto, call: &[AttributeProto]) -> NodeProto {
    let mut node = node.clone();
    let given = |name: &str| call.iter().chain(&function.attribute_proto).find(|attribute| attribute.name == name);
    node.attribute = std::mem::take(&mut node.attribute)
        .into_iter()
        .filter_map(|mut attribute| {
            if !attribute.ref_attr_name.is_empty() {
                let value = given(&attribute.ref_attr_name)?;
                return Some(AttributeProto { name: attribute.name, ..value.clone() });
            }
            if let Some(graph) = &mut attribute.g {
                graph.node = graph.node.iter().map(|node| with_attributes(node, function, call)).collect();
            }
            Some(attribute)
        })
        .collect();
    node
}
