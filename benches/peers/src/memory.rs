//! What loading a model takes of memory, in a process that has done nothing else.

use anyhow::{Context, Result};
use sawmill::Model;
use serde_json::{Value, json};

/// Answers `{"peak", "model", "nodes"}`: by how many bytes the process grew at most, how many the model holds, and how
/// many splits and leaves it has. Writes the model to `compiled`, if that is given.
pub fn run(path: &str, compiled: Option<&str>, answer: &mut dyn FnMut(&Value) -> std::io::Result<()>) -> Result<()> {
    let before = status("VmRSS")?;
    let model = Model::load(path)?;
    let peak = status("VmHWM")?.saturating_sub(before);
    if let Some(compiled) = compiled {
        model.save(compiled)?;
    }
    let kernels: usize = model.plan().kernels.iter().map(|kernel| kernel.bytes).sum();
    let forest = model.forest().map_or(0, |forest| forest.heap_bytes());
    let facts = model.facts();
    Ok(answer(&json!({ "peak": peak, "model": kernels + forest, "nodes": facts.splits + facts.leaves }))?)
}

/// A size of this process as Linux has it, in bytes.
fn status(name: &str) -> Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib: usize = line.and_then(|line| line.trim().strip_suffix(" kB")).context(name.to_owned())?.parse()?;
    Ok(kib << 10)
}
