//! This crate.

use std::time::{Duration, Instant};

use anyhow::Result;
use sawmill::{Isa, Model, ModelOptions, Predictions, Rows, Scratch};

use crate::Peer;
use crate::rows::{Table, Values};

pub struct Sawmill {
    options: ModelOptions,
    path: String,
    model: Model,
    rows: Table,
    predictions: Predictions,
    scratch: Scratch,
}

impl Sawmill {
    pub fn new(isa: &str, path: &str, rows: Table) -> Result<Self> {
        let mut options = Model::options();
        if isa != "best" {
            options = options.isa(Isa::from_name(isa)?);
        }
        let model = options.clone().load(path)?;
        let path = path.to_owned();
        Ok(Self { options, path, model, rows, predictions: Predictions::default(), scratch: Scratch::default() })
    }
}

impl Peer for Sawmill {
    fn about(&self) -> String {
        self.model.plan().to_string()
    }

    fn predict(&mut self, first: usize, n_rows: usize) -> Result<()> {
        let width = self.rows.n_columns;
        let range = first * width..(first + n_rows) * width;
        let rows = match &self.rows.values {
            Values::F32(values) => Rows::row_major(&values[range], width)?,
            Values::F64(values) => Rows::row_major(&values[range], width)?,
        };
        Ok(self.model.predict_into(rows, &mut self.predictions, &mut self.scratch)?)
    }

    fn answers(&self) -> Vec<f64> {
        self.predictions.to_f64()
    }

    fn load(&self) -> Result<Duration> {
        let start = Instant::now();
        let model = self.options.clone().load(&self.path)?;
        let time = start.elapsed();
        drop(model);
        Ok(time)
    }
}
