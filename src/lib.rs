//! CPU-optimised inference for tree ensembles: the source library's own answers, to the bit.
//!
//! Loads models that XGBoost saved as JSON, UBJSON or in its old binary format, LightGBM as text or JSON, Treelite as
//! checkpoints and CatBoost as JSON, and scikit-learn ensembles that `python/export_sklearn.py` writes, and predicts with
//! them. A model that this crate cannot evaluate exactly is refused when it is loaded, with an [`Error`] that names what
//! it does not do.
//!
//! ```
//! use sawmill::{Model, Output, Predictions, Scratch};
//!
//! let path = "models/xgboost/breast_cancer/model.json";
//! let model = Model::load(path)?; // the format is recognised by the content
//! let rows = ndarray::Array2::<f32>::zeros((100, model.schema().n_features()));
//! let values = model.predict(&rows)?;
//! assert_eq!(values.as_f32().map(<[f32]>::len), Some(100)); // probabilities
//! let labels = Model::options().output(Output::Label).load(path)?.predict(&rows)?;
//! assert_eq!(labels.as_i32().map(<[i32]>::len), Some(100)); // classes
//!
//! // One row at a time, into buffers that are kept: no allocation once they are warm.
//! let (mut out, mut scratch) = (Predictions::default(), Scratch::default());
//! for row in rows.rows() {
//!     model.predict_into(row.to_slice().unwrap(), &mut out, &mut scratch)?;
//! }
//! println!("{}", model.plan()); // which kernel evaluates the model, and why
//! # Ok::<(), sawmill::Error>(())
//! ```
//!
//! # Where to look
//!
//! * [`Model`] predicts; [`ModelOptions`] chooses the [`Output`] (values, margins, labels, leaves or what trees add),
//!   iterations, threads and a value that stands for a missing one.
//! * [`Engine`] serves models to many threads: batches, priorities, deadlines, swaps of models, shutdown.
//! * [`Predictor`] is what a model of your own implements, to be served like the others: [`Model::custom`].
//! * [`Rows`] are slices, `ndarray` views or compressed sparse rows, of `f32` or `f64`. NaN is a missing value.
//! * [`Predictions`] are in the type the source library computes in: `f32` for XGBoost, `f64` for LightGBM.
//! * [`Model::validate`] checks a model on this machine: kernels against the reference evaluator.
//! * [`ForestBuilder`] makes a [`Forest`] without a file, and [`NumericProfile`] says in which arithmetic it computes.
//!
//! # Features
//!
//! None is needed for the library. `cli` builds the `sawmill` program, `full` everything that needs no system library
//! and is quickly built. `neural` loads ONNX graphs of neural networks, through tract.
//! `hwloc` reads the machine's topology with that library (on Debian `libhwloc-dev` and `libudev-dev`).

pub mod engine;
mod error;
mod graph;
mod ir;
mod kernel;
mod layout;
mod load;
mod math;
pub mod metrics;
mod model;
mod plan;
mod rows;
mod schema;
mod store;
mod strings;

/// The version of `ndarray` whose views [`Rows`] takes.
pub use ndarray;

pub use engine::{
    BatchingReport, BatchingStrategy, Engine, EngineBuilder, EngineState, Epoch, Health, Pinning, Prediction,
    Recommendation, Request, Ticket, Workers, ZeroBuffers,
};
pub use error::{Error, Result};
pub use graph::{Pipeline, Step};
pub use ir::{
    Absent, Aggregate, BasePosition, CategoryRule, CategorySet, Comparison, Facts, Float, Forest, ForestBuilder,
    Labels, Link, Missing, Node, NumericProfile, Precision, Test, TreeSpec,
};
pub use load::{Format, InputCast, Limits, OnnxCompat, Source};
pub use metrics::Priority;
pub use model::{Check, Model, ModelOptions, Output, Predictions, Predictor, Scratch, ValidationReport, Values};
pub use plan::{Isa, KernelKind, MeasuredKernel, Plan, PlannedKernel};
pub use rows::{Column, Rows, Value};
pub use schema::{Categories, Category, CategoryRef, Classes, Feature, FeatureKind, Schema, Task, Unseen};
pub use strings::Strings;
