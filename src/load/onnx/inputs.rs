//! The inputs of a graph: types and widths, also where the file leaves them open.

use std::collections::HashSet;

use super::attributes::{Attributes, shown};
use super::graph::{Loader, ML};
use super::proto::{GraphProto, TypeProto, ValueInfoProto};
use super::tensor;
use crate::error::{Error, Result};
use crate::graph::tensor::Type;

impl Loader<'_> {
    /// The inputs of the whole graph; those that have a value in the file are none.
    pub(super) fn inputs(&mut self, graph: &GraphProto) -> Result<()> {
        let given: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        for input in graph.input.iter().filter(|input| !given.contains(input.name.as_str())) {
            self.input(graph, input).map_err(|error| error.at(format!("input \"{}\"", shown(&input.name))))?;
        }
        Ok(())
    }

    /// One of them.
    fn input(&mut self, graph: &GraphProto, info: &ValueInfoProto) -> Result<()> {
        let missing = || Error::invalid_model("no type");
        let kind = info.r#type.as_ref().ok_or_else(missing)?;
        if let TypeProto { map_type: Some(_), .. } = kind {
            return self.dictionary(graph, info);
        }
        let Some(of) = &kind.tensor_type else {
            return Err(Error::unsupported("an input that is no tensor"));
        };
        let ty = tensor::element_type(of.elem_type)?;
        let dims = of.shape.as_ref().map(|shape| &*shape.dim);
        let tail = match dims {
            None => vec![self.undeclared_width(graph, &info.name)?],
            Some([_, width]) if width.dim_value.is_none_or(|size| size < 1) => {
                vec![self.undeclared_width(graph, &info.name)?]
            }
            Some(dims) => {
                let sizes = dims.iter().skip(1).map(|dim| dim.dim_value.filter(|&size| size > 0));
                let sizes = sizes.map(|size| size.and_then(|size| usize::try_from(size).ok()));
                let sizes: Option<Vec<usize>> = sizes.collect();
                sizes.ok_or_else(|| Error::unsupported("an input of several dimensions of no declared size"))?
            }
        };
        let columns = tail.iter().try_fold(1u64, |total, &size| total.checked_mul(size as u64));
        self.limits.features(columns.unwrap_or(u64::MAX))?;
        let value = self.builder.input(&info.name, ty, tail);
        self.define(&info.name, value)
    }

    /// An input that is a dictionary becomes one column for every key of the vectorizer that reads it.
    fn dictionary(&mut self, graph: &GraphProto, info: &ValueInfoProto) -> Result<()> {
        let reader = graph.node.iter().find(|node| node.input.first() == Some(&info.name));
        let reader = reader.filter(|node| node.op_type == "DictVectorizer" && node.domain == ML);
        let reader = reader.ok_or_else(|| Error::unsupported("a dictionary that is not read by a DictVectorizer"))?;
        let mut attributes = Attributes::new(reader);
        let integers = attributes.ints("int64_vocabulary")?.unwrap_or_default();
        let names = attributes.strings("string_vocabulary")?.unwrap_or_default();
        let names: Vec<String> = match names.is_empty() {
            true => integers.iter().map(ToString::to_string).collect(),
            false => names.iter().map(str::to_owned).collect(),
        };
        self.limits.features(names.len() as u64)?;
        let value = self.builder.input(&info.name, Type::F32, vec![names.len()]);
        self.column_names.insert(value, names);
        self.define(&info.name, value)
    }

    /// The number of columns of an input that does not declare it, from the first node that tells.
    fn undeclared_width(&self, graph: &GraphProto, name: &str) -> Result<usize> {
        let (mut name, mut nodes) = (name, graph.node.iter());
        while let Some(node) = nodes.find(|node| node.input.iter().any(|input| input == name)) {
            let list = |names: &[&str]| {
                let found = node.attribute.iter().find(|attribute| names.contains(&attribute.name.as_str()));
                found.map(|attribute| attribute.floats.len().max(attribute.ints.len()))
            };
            let ints = |name: &str| node.attribute.iter().find(|a| a.name == name).map(|a| &*a.ints);
            let width = match node.op_type.as_str() {
                "TreeEnsembleClassifier" | "TreeEnsembleRegressor" | "TreeEnsemble" => ints("nodes_featureids")
                    .and_then(|features| features.iter().max())
                    .and_then(|&feature| usize::try_from(feature).ok()?.checked_add(1)),
                "Scaler" => list(&["offset"]).max(list(&["scale"])),
                "Imputer" => list(&["imputed_value_floats"]).max(list(&["imputed_value_int64s"])),
                "LinearRegressor" => {
                    let targets = node.attribute.iter().find(|a| a.name == "targets").map_or(1, |a| a.i.max(1));
                    list(&["coefficients"]).map(|count| count / targets as usize)
                }
                "LinearClassifier" => {
                    list(&["coefficients"]).zip(list(&["intercepts"])).map(|(count, rows)| count / rows.max(1))
                }
                "MatMul" | "Gemm" | "Sub" | "Add" | "Mul" | "Div" => {
                    let other = node.input.iter().find(|input| *input != name);
                    let shape = other.and_then(|other| graph.initializer.iter().find(|tensor| tensor.name == *other));
                    let dims = shape.map(|tensor| &*tensor.dims);
                    let size =
                        if node.op_type == "MatMul" { dims.and_then(<[_]>::first) } else { dims.and_then(<[_]>::last) };
                    size.and_then(|&size| usize::try_from(size).ok())
                }
                _ => None,
            };
            if let Some(width) = width.filter(|&width| width > 0) {
                self.limits.features(width as u64)?;
                return Ok(width);
            }
            let Some(output) = node.output.first() else { break };
            name = output;
        }
        Err(Error::unsupported("its number of columns is not declared; export the model with a declared shape"))
    }
}
