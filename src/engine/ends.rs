//! The ends of requests that get no numbers: which error each is, and how it is counted.

use super::batcher::Refusal;
use super::queue::NotQueued;
use crate::error::{Error, Result};
use crate::metrics::Outcome;

/// How a request ended, for the metrics.
pub(crate) fn outcome<T>(result: &Result<T>) -> Outcome {
    match result {
        Ok(_) => Outcome::Ok,
        Err(error) if error.is_deadline() => Outcome::Expired,
        Err(error) if error.is_cancelled() => Outcome::Cancelled,
        Err(error) if error.is_overloaded() => Outcome::Overloaded,
        Err(error) if error.is_panicked() => Outcome::Panicked,
        Err(error) if error.is_shutdown() => Outcome::ShutDown,
        Err(_) => Outcome::Failed,
    }
}

pub(crate) fn expired() -> Error {
    Error::deadline("the deadline passed before the request ran")
}

pub(crate) fn refused(cause: NotQueued) -> Error {
    match cause {
        NotQueued::Closed => Error::shutdown("the engine is shutting down"),
        NotQueued::Refused(Refusal::Expired) => expired(),
        NotQueued::Refused(Refusal::Rows(waiting, room)) => {
            Error::overloaded(format!("{waiting} rows are waiting, and this class of request has room for {room}"))
        }
        NotQueued::Refused(Refusal::Bytes(waiting, room)) => {
            Error::overloaded(format!("{waiting} bytes of rows are waiting, but queue_bytes is {room}"))
        }
        NotQueued::Refused(Refusal::TooLate(expected, left)) => Error::overloaded(format!(
            "an answer is expected in {} µs, but the deadline is in {} µs",
            expected / 1000,
            left / 1000
        )),
    }
}
