//! Large batches, straight to the kernels: cut into shares that a rayon pool runs beside the workers.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::workers::guarded;
use crate::error::Result;
use crate::model::{Model, Predictions, Scratch};
use crate::rows::Batch;

/// Rows of a share: enough that sharing costs nothing, few enough that threads end together.
const SHARE_ROWS: usize = 2048;

/// The pool, started when it is first needed.
#[derive(Default)]
pub(crate) struct Bulk {
    pool: OnceLock<Option<rayon::ThreadPool>>,
}

impl Bulk {
    /// Predicts `batch` on up to `threads` threads.
    pub(crate) fn predict(&self, model: &Model, batch: &Batch<'_>, threads: usize) -> Result<Predictions> {
        let n_rows = batch.n_rows();
        // Small batches are cut finer, down to what is worth waking a thread for.
        let share_rows = n_rows.div_ceil(4 * threads).clamp(256, SHARE_ROWS);
        if threads == 1 || n_rows <= share_rows {
            return guarded(|| model.predict(batch.rows(0..n_rows)));
        }
        let shares: Vec<_> = (0..n_rows).step_by(share_rows).map(|at| at..n_rows.min(at + share_rows)).collect();
        let share = |scratch: &mut Scratch, range: std::ops::Range<usize>| {
            guarded(|| {
                let mut out = Predictions::default();
                model.predict_into(batch.rows(range), &mut out, scratch)?;
                Ok(out)
            })
        };
        let predicted: Result<Vec<Predictions>> = match self.pool(threads) {
            Some(pool) => pool.install(|| shares.into_par_iter().map_init(Scratch::default, share).collect()),
            None => shares.into_iter().map(|range| share(&mut Scratch::default(), range)).collect(),
        };
        Ok(Predictions::concatenated(predicted?))
    }

    /// `None` where threads cannot be had: the caller's does it all then.
    fn pool(&self, threads: usize) -> Option<&rayon::ThreadPool> {
        let start = || {
            let named = |index| format!("sawmill-bulk-{index}");
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(named).build().ok()
        };
        self.pool.get_or_init(start).as_ref()
    }
}
