//! `sawmill predict`: rows in, predictions out, chunk by chunk.

use std::io::{self, IsTerminal};
use std::ops::Range;

use anyhow::{Context, Result, bail};
use sawmill::{Classes, Float, Model, Predictions, Scratch};

use crate::args::{Kind, PredictArgs};
use crate::input::table::Table;
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
    let single = model.forest().is_none_or(|forest| forest.profile().sum == Float::F32);
    let base = args.base_margin.as_deref().map(|path| Table::read(path, single)).transpose()?;
    let way = match &base {
        Some(base) => Way::From(base),
        None if args.staged => Way::Staged,
        None => Way::Plain,
    };
    writer.set_inner(inner(&model, args));
    writer.set_classes(model.scored_classes().map_or_else(Vec::new, Classes::names));
    let mut input = Input::open(&args.input, &args.model.rows_schema(&model))?;
    let shares_terminal = is_standard_stream(&args.out) && io::stdout().is_terminal();
    let mut progress = Progress::new(shares_terminal);
    for_each_chunk(&model, way, &mut input, &mut progress, |predictions| writer.write(predictions))?;
    writer.finish()
}

/// Numbers for each tree or round, where predictions have one or more for each.
fn inner(model: &Model, args: &PredictArgs) -> Option<usize> {
    match args.kind {
        _ if args.staged => Some(model.n_columns()),
        Kind::Leaf | Kind::TreeValue => Some(model.n_columns() / model.facts().trees.max(1)),
        _ => None,
    }
}

/// What is done with rows.
#[derive(Clone, Copy)]
pub enum Way<'a> {
    Plain,
    /// Predictions after every iteration.
    Staged,
    /// Sums start from these.
    From(&'a Table),
}

/// Predicts all rows, a chunk at a time. `consume` is called at least once, so that it learns the number of columns.
pub fn for_each_chunk(
    model: &Model,
    way: Way<'_>,
    input: &mut Input,
    progress: &mut Progress,
    mut consume: impl FnMut(&Predictions) -> Result<()>,
) -> Result<()> {
    let max_rows = chunk_rows(model, way);
    let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
    let name = input.name.clone();
    let mut total = 0;
    loop {
        let (n_rows, rows) = input.next_chunk(max_rows)?;
        if n_rows == 0 && total > 0 {
            break;
        }
        let predicted = match way {
            Way::Plain => model.predict_into(rows, &mut predictions, &mut scratch),
            Way::Staged => model.predict_staged(rows).map(|staged| predictions = staged),
            Way::From(base) => {
                let margins = base_margins(base, model, total..total + n_rows)?;
                model.predict_with_base_margin(rows, &margins).map(|found| predictions = found)
            }
        };
        predicted.with_context(|| name.clone())?;
        consume(&predictions)?;
        total += n_rows;
        if n_rows < max_rows {
            break;
        }
        progress.show(input.progress(), total as u64);
    }
    match way {
        Way::From(base) if base.n_rows != total => bail!("{} rows of base margins for {total} rows", base.n_rows),
        _ => Ok(()),
    }
}

/// The base margins of some rows, as XGBoost holds them.
fn base_margins(base: &Table, model: &Model, rows: Range<usize>) -> Result<Vec<f32>> {
    let outputs = model.schema().n_outputs;
    if base.n_columns != outputs {
        bail!("base margins have {} columns, but the model has {outputs} outputs", base.n_columns);
    }
    if rows.end > base.n_rows {
        bail!("{} rows of base margins, but there are more rows to predict", base.n_rows);
    }
    Ok(base.rows(rows).iter().map(|&margin| margin as f32).collect())
}

fn chunk_rows(model: &Model, way: Way<'_>) -> usize {
    let stages = if matches!(way, Way::Staged) { model.facts().iterations } else { 1 };
    let outputs = model.n_columns().max(model.schema().n_outputs).saturating_mul(stages);
    let widest = model.schema().n_features().max(outputs).max(1);
    (CHUNK_NUMBERS / widest).clamp(1, CHUNK_ROWS)
}
