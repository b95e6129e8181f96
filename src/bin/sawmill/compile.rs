//! `sawmill compile`: a model written as it is in memory.

use anyhow::Result;

use crate::args::{CompileArgs, Kind};

/// Writes the compiled model.
pub fn run(args: &CompileArgs) -> Result<()> {
    let model = args.model.load_on(Kind::Value, 1)?;
    Ok(model.save(&args.out)?)
}
