//! A health check: does each model compute right on this machine, and is the engine ready?
//!
//! ```sh
//! cargo run --example health_check -- [MODEL]...
//! ```
//! Run from the repository root. Exits with 1 if something is not healthy.

use std::process::ExitCode;

use sawmill::{Engine, Model, Result};

const MODELS: [&str; 2] = ["models/xgboost/breast_cancer/model.json", "models/lightgbm/missing_nan/model.txt"];

fn main() -> Result<ExitCode> {
    let mut models: Vec<String> = std::env::args().skip(1).collect();
    if models.is_empty() {
        models = MODELS.map(str::to_owned).into();
    }
    let engine = Engine::builder().build()?;
    let mut healthy = true;
    for path in &models {
        // A model that fails its checks is not loaded; the one that had its name before would stay.
        if let Err(error) = Model::load(path).and_then(|model| engine.load(path, model)) {
            println!("{path}: not loaded: {error}");
            healthy = false;
            continue;
        }
        // The same checks at any later time: memory that has gone bad, a CPU that computes wrongly.
        let report = engine.validate_model(path)?;
        println!("{path}: {}", if report.ok { "healthy" } else { "NOT HEALTHY" });
        for check in &report.checks {
            println!("  {} {}: {}", if check.ok { "ok  " } else { "FAIL" }, check.name, check.detail);
        }
        healthy &= report.ok;
    }
    let health = engine.health();
    println!("engine: {health:?}");
    healthy &= health.ready;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
