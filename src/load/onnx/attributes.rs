//! The attributes of a node, each asked for by name and type. What nobody asks for is refused: it could change an
//! answer.

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use super::tensor;
use crate::error::{Error, Result};
use crate::graph::tensor::Tensor;
use crate::strings::Strings;

/// Attributes of a node, crossed off as they are read.
pub(super) struct Attributes<'a> {
    list: &'a [AttributeProto],
    read: Vec<bool>,
}

/// `AttributeProto.AttributeType`.
const FLOAT: i32 = 1;
const INT: i32 = 2;
const STRING: i32 = 3;
const TENSOR: i32 = 4;
const GRAPH: i32 = 5;
const FLOATS: i32 = 6;
const INTS: i32 = 7;
const STRINGS: i32 = 8;

impl<'a> Attributes<'a> {
    pub(super) fn new(node: &'a NodeProto) -> Self {
        Self { list: &node.attribute, read: vec![false; node.attribute.len()] }
    }

    fn get(&mut self, name: &str, kind: i32) -> Result<Option<&'a AttributeProto>> {
        let Some(at) = self.list.iter().position(|attribute| attribute.name == name) else { return Ok(None) };
        self.read[at] = true;
        let attribute = &self.list[at];
        if attribute.r#type != kind && attribute.r#type != 0 {
            let finding = format!("attribute {name} is of type {} where {kind} is expected", attribute.r#type);
            return Err(Error::invalid_model(finding));
        }
        Ok(Some(attribute))
    }

    pub(super) fn float(&mut self, name: &str) -> Result<Option<f32>> {
        Ok(self.get(name, FLOAT)?.map(|attribute| attribute.f))
    }

    pub(super) fn int(&mut self, name: &str) -> Result<Option<i64>> {
        Ok(self.get(name, INT)?.map(|attribute| attribute.i))
    }

    /// An integer that is yes or no.
    pub(super) fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        Ok(self.int(name)?.map_or(default, |value| value != 0))
    }

    pub(super) fn string(&mut self, name: &str) -> Result<Option<&'a str>> {
        self.get(name, STRING)?.map(|attribute| text(&attribute.s)).transpose()
    }

    pub(super) fn floats(&mut self, name: &str) -> Result<Option<&'a [f32]>> {
        Ok(self.get(name, FLOATS)?.map(|attribute| &*attribute.floats))
    }

    pub(super) fn ints(&mut self, name: &str) -> Result<Option<&'a [i64]>> {
        Ok(self.get(name, INTS)?.map(|attribute| &*attribute.ints))
    }

    pub(super) fn strings(&mut self, name: &str) -> Result<Option<Strings>> {
        let strings = self.get(name, STRINGS)?.map(|attribute| attribute.strings.iter().map(|bytes| text(bytes)));
        strings.map(Iterator::collect).transpose()
    }

    pub(super) fn tensor_proto(&mut self, name: &str) -> Result<Option<&'a TensorProto>> {
        Ok(self.get(name, TENSOR)?.and_then(|attribute| attribute.t.as_deref()))
    }

    pub(super) fn tensor(&mut self, name: &str) -> Result<Option<Tensor>> {
        self.tensor_proto(name)?.map(tensor::read).transpose().map_err(|error| error.at(format!("attribute {name}")))
    }

    /// A tensor whose elements are only looked up; small integers are widened.
    pub(super) fn looked_up(&mut self, name: &str) -> Result<Option<Tensor>> {
        let read = self.tensor_proto(name)?.map(tensor::read_widened).transpose();
        read.map_err(|error| error.at(format!("attribute {name}")))
    }

    pub(super) fn graph(&mut self, name: &str) -> Result<Option<&'a GraphProto>> {
        Ok(self.get(name, GRAPH)?.and_then(|attribute| attribute.g.as_deref()))
    }

    /// Reads over an attribute that cannot change an answer.
    pub(super) fn ignore(&mut self, names: &[&str]) {
        for (attribute, read) in self.list.iter().zip(&mut self.read) {
            *read |= names.contains(&attribute.name.as_str());
        }
    }

    /// Whether all has been read.
    pub(super) fn finish(&self) -> Result<()> {
        match self.list.iter().zip(&self.read).find(|(_, read)| !**read) {
            Some((attribute, _)) => Err(Error::unsupported(format!("attribute {}", shown(&attribute.name)))),
            None => Ok(()),
        }
    }
}

/// A name of the file as errors show it: in one line of bearable length.
pub(super) fn shown(name: &str) -> String {
    const MOST: usize = 60;
    let mut shown: String = name.chars().take(MOST).flat_map(char::escape_debug).collect();
    if name.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

/// Bytes that are text.
pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| Error::invalid_model("a string that is not UTF-8"))
}
