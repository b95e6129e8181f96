//! What is asked of an engine, and what it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::spares::Spares;
use crate::metrics::Priority;
use crate::model::Predictions;
use crate::rows::Rows;

/// Rows to predict and how to treat them. Borrows the rows; they are copied if the request has to wait.
#[derive(Clone, Debug)]
#[must_use]
pub struct Request<'a> {
    pub(crate) model: &'a str,
    pub(crate) rows: Rows<'a>,
    pub(crate) priority: Priority,
    pub(crate) deadline: Option<Instant>,
    pub(crate) id: Option<u64>,
    pub(crate) tag: Option<Arc<str>>,
}

impl<'a> Request<'a> {
    /// A request of normal priority, without deadline, to the model loaded as `model`.
    pub fn new(model: &'a str, rows: impl Into<Rows<'a>>) -> Self {
        Self { model, rows: rows.into(), priority: Priority::Normal, deadline: None, id: None, tag: None }
    }

    /// How urgent it is.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// When its answer is of no use any more. A request that has not begun by then ends with a deadline error; one that
    /// cannot be expected to end in time is refused as overloaded.
    pub fn deadline(mut self, at: Instant) -> Self {
        self.deadline = Some(at);
        self
    }

    /// A [`deadline`](Self::deadline) that far from now.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.deadline = Instant::now().checked_add(timeout);
        self
    }

    /// A number of the caller's own, given back with the answer; by default the engine counts.
    pub fn id(mut self, id: u64) -> Self {
        self.id = Some(id);
        self
    }

    /// A text of the caller's own, given back with the answer.
    pub fn tag(mut self, tag: impl Into<Arc<str>>) -> Self {
        self.tag = Some(tag.into());
        self
    }
}

/// An answer. Dropping it gives its memory back to the engine for the next one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Prediction {
    /// The numbers, as [`Model::predict`](crate::Model::predict) gives them, to the bit.
    pub values: Predictions,
    /// From the call until the answer was there.
    pub latency: Duration,
    /// From the call until its first row began to run; zero if it ran on the caller's thread.
    pub queue_time: Duration,
    /// Whether nothing was computed for this request: every row was in the cache, or was being computed for another.
    pub from_cache: bool,
    /// Rows of the batch it ran in, those of other requests included; of the largest if it ran in several.
    pub batch_rows: usize,
    /// Which model answered: a digest of its content and options.
    pub epoch: Epoch,
    /// The request's number.
    pub id: u64,
    /// The request's text.
    pub tag: Option<Arc<str>>,
    pub(crate) spares: Option<Arc<Spares>>,
}

impl Prediction {
    /// The numbers alone.
    pub fn into_values(mut self) -> Predictions {
        std::mem::take(&mut self.values)
    }
}

impl Drop for Prediction {
    fn drop(&mut self) {
        if let Some(spares) = self.spares.take() {
            spares.give(std::mem::take(&mut self.values));
        }
    }
}

/// A digest of a model's content and of the options it was loaded with: equal for models that answer alike, other for
/// each load where there is no content to digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Epoch(pub(crate) u128);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
