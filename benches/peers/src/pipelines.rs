//! Every model of a folder of ONNX cases (`models/onnx`), by this crate and by ONNX Runtime in one process, one thread,
//! taking turns: `sawmill-peers pipelines LIBRARY FOLDER SECONDS`. Rows are typed columns of `NAME.json`, repeated; both
//! get them in memory in the form they take, and answer with the last output. One line of JSON for each model and batch:
//! `{"model", "batch", "sawmill", "onnxruntime", "ratio"}`, the median nanoseconds a call; ratios above 1 say how many
//! times as fast this crate is.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use sawmill::{Column, Model, Predictions, Rows, Scratch};
use serde_json::{Value, json};

use crate::cases::{OnnxCase, Owned};
use crate::session::Session;

/// Rows of a batch.
const BATCHES: [usize; 3] = [1, 64, 1024];

/// Turns that each library gets with a model and batch.
const TURNS: u32 = 4;

/// Measures every model, each library `seconds` with each batch.
pub fn run(
    library: &str,
    folder: &str,
    seconds: f64,
    answer: &mut dyn FnMut(&Value) -> std::io::Result<()>,
) -> Result<()> {
    let mut models: Vec<_> = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    models.retain(|path| path.extension().is_some_and(|extension| extension == "onnx"));
    models.sort();
    for path in models {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for batch in BATCHES {
            let found = measure(library, &path, batch, seconds);
            answer(&match found {
                Ok((ours, theirs)) => {
                    json!({ "model": name, "batch": batch, "sawmill": ours, "onnxruntime": theirs, "ratio": theirs / ours })
                }
                Err(error) => json!({ "model": name, "batch": batch, "skipped": format!("{error:#}") }),
            })?;
        }
    }
    Ok(())
}

fn measure(library: &str, path: &Path, batch: usize, seconds: f64) -> Result<(f64, f64)> {
    let case = OnnxCase::read(path.to_owned());
    let cells: Vec<Owned> = case.columns.iter().map(|column| column.repeated(batch)).collect();
    let model = Model::load(path)?;
    let columns: Vec<Column<'_>> = cells.iter().map(Owned::borrowed).collect();
    // A matrix of floats is handed over as one.
    let floats: Option<Vec<&Vec<f32>>> =
        cells.iter().map(|cells| if let Owned::F32(values) = cells { Some(values) } else { None }).collect();
    let mut session = Session::open(library, &path.to_string_lossy())?;
    let matrix: Option<Vec<f32>> = floats
        .filter(|_| session.n_inputs() == 1)
        .map(|columns| (0..batch).flat_map(|row| columns.iter().map(move |column| column[row])).collect());
    session.bind(&cells, batch)?;
    let (mut predictions, mut scratch) = (Predictions::default(), Scratch::default());
    let mut ours = || -> Result<()> {
        let rows = match &matrix {
            Some(values) => Rows::row_major(values, columns.len())?,
            None => Rows::columns(&columns[..])?,
        };
        Ok(model.predict_into(rows, &mut predictions, &mut scratch)?)
    };
    let turn = Duration::from_secs_f64(seconds / f64::from(TURNS));
    let (mut times, mut their_times) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        time(turn, &mut times, &mut ours)?;
        time(turn, &mut their_times, &mut || session.run())?;
    }
    Ok((median(&mut times), median(&mut their_times)))
}

fn time(duration: Duration, times: &mut Vec<u64>, call: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    call()?;
    let start = Instant::now();
    loop {
        let begin = Instant::now();
        call()?;
        times.push(begin.elapsed().as_nanos() as u64);
        if start.elapsed() >= duration {
            return Ok(());
        }
    }
}

fn median(times: &mut [u64]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2] as f64
}
