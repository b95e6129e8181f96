//! What a converter is known to lose: the graph is right as it stands, but not what the model was that it came from.
//!
//! Nothing in such a graph can be mended, so whoever loads it is told, with the way to a file that has it all.

use std::collections::{HashMap, HashSet};

use super::proto::{GraphProto, ModelProto, NodeProto};

const FOREST: &str = "skl2onnx does not keep which way missing values go in trees and forests, all go right here; if rows have missing values, export with python/export_sklearn.py";
const HISTOGRAM: &str = "skl2onnx rounds the thresholds of histogram gradient boosting, and takes its categories for numbers; python/export_sklearn.py keeps both";
const LIGHTGBM: &str = "OnnxMLTools rounds LightGBM's thresholds, and loses its sigmoid, averages, linear leaves and zeros that are missing; load LightGBM's own file";
const XGBOOST: &str = "OnnxMLTools loses XGBoost's parallel trees of several classes, several targets and the link of XGBRegressor; load XGBoost's own file";

/// What of the model that was converted is known, or likely, to be lost.
pub(super) fn warnings(model: &ModelProto) -> Vec<String> {
    let Some(graph) = &model.graph else { return Vec::new() };
    let mut found = Vec::new();
    for node in graph.node.iter().filter(|node| Ensemble::is(node)) {
        let ensemble = Ensemble { node };
        let warning = match model.producer_name.as_str() {
            "skl2onnx" if ensemble.tracks_missing() => Some(HISTOGRAM),
            "skl2onnx" if !ensemble.is_boosted() && !is_imputed(graph, node) => Some(FOREST),
            "OnnxMLTools" if ensemble.tests(b"BRANCH_LT") => Some(XGBOOST).filter(|_| !ensemble.is_of_two_classes()),
            "OnnxMLTools" if ensemble.tests(b"BRANCH_LEQ") => Some(LIGHTGBM),
            _ => None,
        };
        if let Some(warning) = warning.filter(|warning| !found.contains(&warning.to_string())) {
            found.push(warning.to_owned());
        }
    }
    found
}

/// A node of trees as a file has it.
struct Ensemble<'a> {
    node: &'a NodeProto,
}

impl Ensemble<'_> {
    fn is(node: &NodeProto) -> bool {
        matches!(node.op_type.as_str(), "TreeEnsembleClassifier" | "TreeEnsembleRegressor")
    }

    fn ints(&self, name: &str) -> &[i64] {
        self.node.attribute.iter().find(|attribute| attribute.name == name).map_or(&[], |attribute| &attribute.ints)
    }

    /// Whether some missing values go where a comparison holds.
    fn tracks_missing(&self) -> bool {
        self.ints("nodes_missing_value_tracks_true").iter().any(|&tracks| tracks != 0)
    }

    /// Whether sums start from something: boosting does, single trees and forests do not.
    fn is_boosted(&self) -> bool {
        self.node.attribute.iter().any(|attribute| attribute.name.starts_with("base_values"))
    }

    fn tests(&self, mode: &[u8]) -> bool {
        self.node.attribute.iter().any(|attribute| {
            attribute.name == "nodes_modes" && attribute.strings.iter().any(|found| found.as_slice() == mode)
        })
    }

    fn is_of_two_classes(&self) -> bool {
        self.node.op_type == "TreeEnsembleClassifier" && self.ints("class_ids").iter().all(|&id| id == 0)
    }
}

/// Whether missing values are filled in before a node.
fn is_imputed(graph: &GraphProto, node: &NodeProto) -> bool {
    let writers: HashMap<&str, &NodeProto> =
        graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node))).collect();
    let (mut seen, mut next) = (HashSet::new(), vec![node]);
    while let Some(node) = next.pop() {
        for name in node.input.iter().filter(|name| seen.insert(name.as_str())) {
            match writers.get(name.as_str()) {
                Some(writer) if writer.op_type == "Imputer" => return true,
                Some(writer) => next.push(writer),
                None => {}
            }
        }
    }
    false
}
