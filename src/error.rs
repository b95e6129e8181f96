//! The one error type of the crate.
//!
//! An [`Error`] says where (`model.json: tree 17, node 5`), what was found and what the limit is, in one line, and can
//! be asked for its kind ([`Error::is_unsupported`] and friends) by code that has to decide what to do next.

use std::fmt::{self, Display};
use std::sync::Arc;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, where, and what to do about it. Displays as one line.
pub struct Error {
    // Boxed: results of hot functions stay one word wide.
    inner: Box<Inner>,
}

/// Bytes of a finding that are shown.
const MAX_FINDING: usize = 300;

struct Inner {
    kind: Kind,
    /// Outermost first: file, tree, node.
    places: Vec<String>,
    /// Shared where many errors say the same.
    finding: Arc<str>,
    source: Option<std::io::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    InvalidModel,
    Unsupported,
    Limit,
    Shape,
    Option,
    Io,
    UnknownModel,
    Overloaded,
    Deadline,
    Cancelled,
    Shutdown,
    Panicked,
    Custom,
}

impl Error {
    /// A model file or forest that breaks its own rules: truncated, corrupt, contradictory.
    pub(crate) fn invalid_model(finding: impl Into<String>) -> Self {
        Self::new(Kind::InvalidModel, finding)
    }

    /// A well-formed model that uses something this crate does not do. The finding names the thing.
    pub(crate) fn unsupported(finding: impl Into<String>) -> Self {
        Self::new(Kind::Unsupported, finding)
    }

    /// A model larger than the caller's [`Limits`](crate::Limits) allow.
    pub(crate) fn limit(what: &str, found: impl Display, limit: impl Display) -> Self {
        Self::new(Kind::Limit, format!("{found} {what}, but the limit is {limit}"))
    }

    /// Rows (or buffers) whose shape does not fit the model.
    pub(crate) fn shape(finding: impl Into<String>) -> Self {
        Self::new(Kind::Shape, finding)
    }

    /// An option that cannot be honoured for this model or machine.
    pub(crate) fn option(finding: impl Into<String>) -> Self {
        Self::new(Kind::Option, finding)
    }

    /// A name under which an engine serves no model.
    pub(crate) fn unknown_model(finding: impl Into<String>) -> Self {
        Self::new(Kind::UnknownModel, finding)
    }

    /// A request that an engine does not take on: it has too much to do. Made often where it is made at all.
    pub(crate) fn overloaded(finding: impl Into<Arc<str>>) -> Self {
        Self::of(Kind::Overloaded, finding.into())
    }

    /// A request whose deadline passed.
    pub(crate) fn deadline(finding: impl Into<String>) -> Self {
        Self::new(Kind::Deadline, finding)
    }

    /// A request that its caller gave up.
    pub(crate) fn cancelled(finding: impl Into<String>) -> Self {
        Self::new(Kind::Cancelled, finding)
    }

    /// A request to an engine that is being shut down.
    pub(crate) fn shutdown(finding: impl Into<String>) -> Self {
        Self::new(Kind::Shutdown, finding)
    }

    /// A model that panicked.
    pub(crate) fn panicked(finding: impl Into<String>) -> Self {
        Self::new(Kind::Panicked, finding)
    }

    /// An error of a [`Predictor`](crate::Predictor), in its own words.
    pub fn custom(finding: impl Into<String>) -> Self {
        Self::new(Kind::Custom, finding)
    }

    /// A file that cannot be read.
    pub(crate) fn io(source: std::io::Error) -> Self {
        let mut error = Self::new(Kind::Io, source.to_string());
        error.inner.source = Some(source);
        error
    }

    fn new(kind: Kind, finding: impl Into<String>) -> Self {
        let mut finding = finding.into();
        // A file may hold names of any length.
        if finding.len() > MAX_FINDING {
            finding.truncate(finding.floor_char_boundary(MAX_FINDING));
            finding.push('…');
        }
        Self::of(kind, finding.into())
    }

    fn of(kind: Kind, finding: Arc<str>) -> Self {
        let inner = Inner { kind, places: Vec::new(), finding, source: None };
        Self { inner: Box::new(inner) }
    }

    /// The same error with `place` put before the places it has already.
    #[must_use]
    pub(crate) fn at(mut self, place: impl Display) -> Self {
        self.inner.places.insert(0, place.to_string());
        self
    }

    /// The model is broken: truncated, corrupt, contradictory, or larger than the limits allow.
    pub fn is_invalid_model(&self) -> bool {
        matches!(self.inner.kind, Kind::InvalidModel | Kind::Limit)
    }

    /// The model is larger than the caller's [`Limits`](crate::Limits). Such an error is also
    /// [`is_invalid_model`](Self::is_invalid_model).
    pub fn is_limit(&self) -> bool {
        self.inner.kind == Kind::Limit
    }

    /// The model is sound but uses a feature this crate refuses by name.
    pub fn is_unsupported(&self) -> bool {
        self.inner.kind == Kind::Unsupported
    }

    /// Rows do not fit the model.
    pub fn is_shape(&self) -> bool {
        self.inner.kind == Kind::Shape
    }

    /// An option cannot be honoured for this model or on this machine.
    pub fn is_option(&self) -> bool {
        self.inner.kind == Kind::Option
    }

    /// A file could not be read; the cause is the [`source`](std::error::Error::source).
    pub fn is_io(&self) -> bool {
        self.inner.kind == Kind::Io
    }

    /// An engine serves no model of that name.
    pub fn is_unknown_model(&self) -> bool {
        self.inner.kind == Kind::UnknownModel
    }

    /// The engine has too much to do to take the request on; later it may.
    pub fn is_overloaded(&self) -> bool {
        self.inner.kind == Kind::Overloaded
    }

    /// The request's deadline passed before it ran.
    pub fn is_deadline(&self) -> bool {
        self.inner.kind == Kind::Deadline
    }

    /// The request was given up by its caller.
    pub fn is_cancelled(&self) -> bool {
        self.inner.kind == Kind::Cancelled
    }

    /// The engine is being shut down.
    pub fn is_shutdown(&self) -> bool {
        self.inner.kind == Kind::Shutdown
    }

    /// The model panicked on these rows.
    pub fn is_panicked(&self) -> bool {
        self.inner.kind == Kind::Panicked
    }

    /// A [`Predictor`](crate::Predictor) returned an [`Error::custom`].
    pub fn is_custom(&self) -> bool {
        self.inner.kind == Kind::Custom
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in &self.inner.places {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.inner.finding)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", self.inner.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_ref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_place_finding_and_limit_in_one_line() {
        let error =
            Error::invalid_model("feature 91, but the model declares 30").at("tree 17, node 5").at("model.json");
        assert_eq!(error.to_string(), "model.json: tree 17, node 5: feature 91, but the model declares 30");
        assert!(error.is_invalid_model() && !error.is_unsupported());
        assert_eq!(Error::limit("trees", 9, 8).to_string(), "9 trees, but the limit is 8");
    }
}
