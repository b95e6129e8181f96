//! placeholder
use serde::Serialize;
/// report
#[derive(Clone, Debug, Serialize)]
pub struct ValidationReport {
    /// ok
    pub ok: bool,
    /// checks
    pub checks: Vec<Check>,
}
/// check
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// name
    pub name: &'static str,
    /// ok
    pub ok: bool,
    /// detail
    pub detail: String,
}
pub(super) fn validate(_model: &super::Inner) -> ValidationReport {
    ValidationReport { ok: true, checks: vec![] }
}
