//! A submitted request, as its caller holds it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::core::Core;
use super::job::SharedJob;
use super::request::Prediction;
use crate::error::{Error, Result};

/// A request that was accepted: a future of any runtime, or waited for by a thread. Dropping it cancels the request:
/// what waits is taken out of the queue, what runs is finished and thrown away.
#[must_use = "dropping a ticket cancels its request"]
pub struct Ticket {
    core: Arc<Core>,
    state: State,
}

enum State {
    Waiting(SharedJob),
    Ready(Result<Prediction>),
    Taken,
}

impl Ticket {
    pub(crate) fn waiting(core: Arc<Core>, job: SharedJob) -> Self {
        Self { core, state: State::Waiting(job) }
    }

    pub(crate) fn ready(core: Arc<Core>, result: Result<Prediction>) -> Self {
        Self { core, state: State::Ready(result) }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// As [`Engine::predict`](crate::Engine::predict).
    pub fn wait(mut self) -> Result<Prediction> {
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Waiting(job) => job.slot.wait(),
            State::Ready(result) => result,
            State::Taken => Err(taken()),
        }
    }

    /// Waits for the answer for at most `timeout`; `None` if there is none yet. The request goes on: ask again, or drop
    /// the ticket. An answer is given once.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Option<Result<Prediction>> {
        let result = match &self.state {
            State::Waiting(job) => match Instant::now().checked_add(timeout) {
                Some(until) => job.slot.wait_until(until)?,
                None => job.slot.wait(),
            },
            _ => return self.take_ready(),
        };
        self.state = State::Taken;
        Some(result)
    }

    fn take_ready(&mut self) -> Option<Result<Prediction>> {
        match std::mem::replace(&mut self.state, State::Taken) {
            State::Ready(result) => Some(result),
            _ => Some(Err(taken())),
        }
    }
}

fn taken() -> Error {
    Error::cancelled("the answer has been taken already")
}

impl Future for Ticket {
    type Output = Result<Prediction>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let result = match &self.state {
            State::Waiting(job) => std::task::ready!(job.slot.poll(context.waker())),
            _ => return Poll::Ready(self.take_ready().unwrap_or_else(|| Err(taken()))),
        };
        self.state = State::Taken;
        Poll::Ready(result)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let State::Waiting(job) = &self.state {
            self.core.cancel(job);
        }
    }
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = match &self.state {
            State::Waiting(job) if !job.slot.is_claimed() => "waiting",
            State::Taken => "taken",
            _ => "ready",
        };
        f.debug_struct("Ticket").field("state", &state).finish_non_exhaustive()
    }
}
