//! `sawmill validate`: the model's own health check, and a comparison with known answers.
//!
//! Exit codes: 0 healthy, 1 not, 2 when there is nothing to judge because the model or a file cannot be loaded.

use std::io::{self, Write};

use anyhow::{Context, Result};
use sawmill::{Model, ValidationReport};
use serde::Serialize;

use crate::args::ValidateArgs;
use crate::expected::Comparison;
use crate::input::Input;
use crate::input::table::Table;
use crate::predict::{Way, for_each_chunk};
use crate::progress::Progress;

/// Exit code when the model or a file cannot be loaded.
pub const CANNOT_CHECK: u8 = 2;

/// What is printed with `--json`.
#[derive(Serialize)]
struct Report {
    model: String,
    digest: String,
    ok: bool,
    checks: Vec<Check>,
}

#[derive(Serialize)]
struct Check {
    name: String,
    ok: bool,
    detail: String,
}

/// Runs the checks; true if one failed.
pub fn run(args: &ValidateArgs) -> Result<bool> {
    let model = args.model.load(args.kind)?;
    let mut checks = own_checks(&model.validate());
    checks.extend(expected_check(args, &model)?);
    let report = Report {
        model: args.model.path.display().to_string(),
        digest: model.source().digest.clone(),
        ok: checks.iter().all(|check| check.ok),
        checks,
    };
    let mut out = io::stdout().lock();
    let printed = if args.json { print_json(&mut out, &report) } else { print_text(&mut out, &report) };
    match printed.and_then(|()| out.flush()) {
        // Nobody reads the report, the exit code still counts.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("stdout"),
        _ => Ok(!report.ok),
    }
}

fn own_checks(report: &ValidationReport) -> Vec<Check> {
    let own = |check: &sawmill::Check| Check { name: check.name.into(), ok: check.ok, detail: check.detail.clone() };
    report.checks.iter().map(own).collect()
}

/// The comparison the user asked for, if any.
fn expected_check(args: &ValidateArgs, model: &Model) -> Result<Option<Check>> {
    let (Some(input), Some(expect)) = (&args.input, &args.expect) else { return Ok(None) };
    let single = model.forest().is_none_or(|forest| forest.profile().sum == sawmill::Float::F32);
    let expected = Table::read(expect, single)?;
    let mut comparison = Comparison::new(&expected, args.tolerance);
    let mut input = Input::open(input, &args.model.rows_schema(model))?;
    for_each_chunk(model, Way::Plain, &mut input, &mut Progress::new(false), |predictions| {
        comparison.add(predictions);
        Ok(())
    })?;
    let (ok, detail) = comparison.verdict();
    Ok(Some(Check { name: "expected".to_owned(), ok, detail }))
}

fn print_json(out: &mut impl Write, report: &Report) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, report)?;
    writeln!(out)
}

fn print_text(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for Check { name, ok, detail } in &report.checks {
        let mark = if *ok { "ok  " } else { "FAIL" };
        // A detail of several lines stays in its column.
        let detail = detail.replace('\n', &format!("\n{:1$}", "", width + 8));
        writeln!(out, "{mark}  {name:width$}  {detail}")?;
    }
    let failed = report.checks.iter().filter(|check| !check.ok).count();
    match (failed, report.checks.len()) {
        (0, _) => writeln!(out, "{}: healthy", report.model),
        (failed, all) => writeln!(out, "{}: not healthy, {failed} of {all} checks failed", report.model),
    }
}
