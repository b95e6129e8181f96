//! Whether an engine is alive and ready, for those who ask from outside.

use std::time::Duration;

use serde::Serialize;

use super::core::Core;

/// Where an engine is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EngineState {
    /// Running, without a model.
    Starting,
    /// Serving.
    Ready,
    /// Serving, but a model has failed several times in a row, or a batch takes suspiciously long.
    Degraded,
    /// Shutting down: finishes what it has accepted.
    Draining,
    /// Shut down.
    Stopped,
}

/// The state of an engine and what it is judged by.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// Where it is in its life.
    pub state: EngineState,
    /// Whether its workers make progress; true while it shuts down, too, so that nobody kills it then.
    pub live: bool,
    /// Whether it takes requests: a model is loaded, and it is not shutting down.
    pub ready: bool,
    /// Models that failed their last few runs.
    pub failing: Vec<String>,
    /// Queued requests that have not ended.
    pub in_flight: usize,
    /// Rows waiting.
    pub queued_rows: usize,
    /// How long the longest batch under way has been running.
    pub longest_run: Duration,
}

/// A batch that runs for longer than this is stuck.
const STALL: Duration = Duration::from_secs(30);

/// Failures in a row that make a model failing.
pub(super) const FAILING: u32 = 3;

pub(super) fn of(core: &Core, stopped: bool) -> Health {
    let longest_run = Duration::from_nanos(core.longest_run());
    let live = !stopped && longest_run < STALL;
    let failing = core.registry.failing();
    let loaded = !core.registry.names().is_empty();
    let state = match (stopped, core.occupancy.is_draining(), loaded) {
        (true, ..) => EngineState::Stopped,
        (_, true, _) => EngineState::Draining,
        (.., false) => EngineState::Starting,
        _ if !live || !failing.is_empty() => EngineState::Degraded,
        _ => EngineState::Ready,
    };
    Health {
        state,
        live,
        ready: live && matches!(state, EngineState::Ready | EngineState::Degraded),
        failing,
        in_flight: core.occupancy.in_flight(),
        queued_rows: core.queue.rows(),
        longest_run,
    }
}
