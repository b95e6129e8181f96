//! CPU-optimised inference for tree ensembles: the source library's own answers, to the bit.

mod error;
mod ir;
mod kernel;
mod layout;
mod load;
mod model;
mod plan;
mod rows;
mod schema;

pub use error::{Error, Result};
pub use ir::{
    Absent, Aggregate, BasePosition, CategoryRule, CategorySet, Comparison, Facts, Float, Forest, ForestBuilder,
    Labels, Link, Missing, Node, NumericProfile, Test, TreeSpec,
};
pub use load::{Format, Limits, Source};
pub use model::{Check, Model, ModelOptions, Output, Precision, Predictions, Scratch, ValidationReport, Values};
pub use plan::{Isa, Plan, PlannedKernel};
pub use rows::{Rows, Value};
pub use schema::{Feature, FeatureKind, Schema, Task};
