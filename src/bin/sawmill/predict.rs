//! `sawmill predict`: rows in, predictions out, chunk by chunk.

use std::io::{self, IsTerminal};

use anyhow::{Context, Result};
use sawmill::{Model, Predictions, Scratch};

use crate::args::{Kind, PredictArgs};
use crate::input::{Input, is_standard_stream};
use crate::output::PredictionWriter;
use crate::progress::Progress;

/// At most this many rows are predicted at once,
const CHUNK_ROWS: usize = 1 << 16;
/// and fewer if they are wide: at most this many numbers in or out.
const CHUNK_NUMBERS: usize = 1 << 22;

pub fn run(args: &PredictArgs) -> Result<()> {
    let mut writer = PredictionWriter::new(&args.out, args.kind)?;
    let model = args.model.load(args.kind)?;
    let mut input = Input::open(&args.input, model.schema())?;
    let shares_terminal = is_standard_stream(&args.out) && io::stdout().is_terminal();
    let mut progress = Progress::new(shares_terminal);
    for_each_chunk(&model, args.kind, &mut input, &mut progress, |predictions| writer.write(predictions))?;
    writer.finish()
}

/// Predicts all rows, a chunk at a time. `consume` is called at least once, so that it learns the number of columns.
pub fn for_each_chunk(
    model: &Model,
    kind: Kind,
    input: &mut Input,
    progress: &mut Progress,
    mut consume: impl FnMut(&Predictions) -> Result<()>,
) -> Result<()> {
    let max_rows = chunk_rows(model, kind);
    let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
    let name = input.name.clone();
    let mut total = 0;
    loop {
        let (n_rows, rows) = input.next_chunk(max_rows)?;
        if n_rows == 0 && total > 0 {
            return Ok(());
        }
        model.predict_into(rows, &mut predictions, &mut scratch).with_context(|| name.clone())?;
        consume(&predictions)?;
        total += n_rows as u64;
        if n_rows < max_rows {
            return Ok(());
        }
        progress.show(input.progress(), total);
    }
}

fn chunk_rows(model: &Model, kind: Kind) -> usize {
    let schema = model.schema();
    let outputs = if kind == Kind::Leaf { model.facts().trees } else { schema.n_outputs };
    let widest = schema.n_features().max(outputs).max(1);
    (CHUNK_NUMBERS / widest).clamp(1, CHUNK_ROWS)
}
