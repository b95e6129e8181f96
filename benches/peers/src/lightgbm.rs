//! LightGBM through its C interface: the fast single-row call, and the call for a matrix.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::null_mut;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::Peer;
use crate::library::{c_string, open, symbol};
use crate::rows::{Table, Values};

const DTYPE_F32: c_int = 0;
const DTYPE_F64: c_int = 1;
const PREDICT_NORMAL: c_int = 0;
const ALL_ITERATIONS: c_int = -1;
const PARAMETERS: &CStr = c"num_threads=1 verbosity=-1";

type LastError = unsafe extern "C" fn() -> *const c_char;
type Create = unsafe extern "C" fn(*const c_char, *mut c_int, *mut *mut c_void) -> c_int;
type Free = unsafe extern "C" fn(*mut c_void) -> c_int;
type CountPredictions = unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, c_int, *mut i64) -> c_int;
type PredictMatrix = unsafe extern "C" fn(
    *mut c_void,
    *const c_void,
    c_int,
    i32,
    i32,
    c_int,
    c_int,
    c_int,
    c_int,
    *const c_char,
    *mut i64,
    *mut f64,
) -> c_int;
type FastInit =
    unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int, c_int, i32, *const c_char, *mut *mut c_void) -> c_int;
type FastPredict = unsafe extern "C" fn(*mut c_void, *const c_void, *mut i64, *mut f64) -> c_int;

pub struct LightGbm {
    last_error: LastError,
    create: Create,
    free: Free,
    predict_matrix: PredictMatrix,
    fast_predict: FastPredict,
    path: CString,
    booster: *mut c_void,
    /// A booster set up for single rows.
    fast: *mut c_void,
    rows: Table,
    n_outputs: usize,
    out: Vec<f64>,
    n_predicted: usize,
}

impl LightGbm {
    pub fn new(library: &str, path: &str, rows: Table) -> Result<Self> {
        let library = open(library)?;
        // SAFETY: types as in LightGBM's c_api.h.
        let (count, fast_init) = unsafe {
            let count: CountPredictions = symbol(library, "LGBM_BoosterCalcNumPredict")?;
            let fast_init: FastInit = symbol(library, "LGBM_BoosterPredictForMatSingleRowFastInit")?;
            (count, fast_init)
        };
        // SAFETY: types as in LightGBM's c_api.h.
        let mut peer = unsafe {
            Self {
                last_error: symbol(library, "LGBM_GetLastError")?,
                create: symbol(library, "LGBM_BoosterCreateFromModelfile")?,
                free: symbol(library, "LGBM_BoosterFree")?,
                predict_matrix: symbol(library, "LGBM_BoosterPredictForMat")?,
                fast_predict: symbol(library, "LGBM_BoosterPredictForMatSingleRowFast")?,
                path: c_string(path)?,
                booster: null_mut(),
                fast: null_mut(),
                out: Vec::new(),
                n_outputs: 0,
                n_predicted: 0,
                rows,
            }
        };
        peer.booster = peer.create()?;
        let mut n_outputs = 0;
        // SAFETY: the booster is live, and the out-parameters are ours.
        unsafe {
            peer.check(count(peer.booster, 1, PREDICT_NORMAL, 0, ALL_ITERATIONS, &mut n_outputs))?;
            let (n_columns, fast) = (peer.rows.n_columns as i32, &mut peer.fast);
            let code = fast_init(
                peer.booster,
                PREDICT_NORMAL,
                0,
                ALL_ITERATIONS,
                dtype(&peer.rows),
                n_columns,
                PARAMETERS.as_ptr(),
                fast,
            );
            peer.check(code)?;
        }
        peer.n_outputs = n_outputs as usize;
        peer.out = vec![0.0; peer.n_outputs * peer.rows.n_rows()];
        Ok(peer)
    }

    fn create(&self) -> Result<*mut c_void> {
        let (mut n_iterations, mut booster) = (0, null_mut());
        // SAFETY: the path is a C string, and the out-parameters are ours.
        self.check(unsafe { (self.create)(self.path.as_ptr(), &mut n_iterations, &mut booster) })?;
        Ok(booster)
    }

    fn check(&self, code: c_int) -> Result<()> {
        if code != 0 {
            // SAFETY: a C string that stays until this thread's next call.
            bail!("{}", unsafe { CStr::from_ptr((self.last_error)()) }.to_string_lossy());
        }
        Ok(())
    }
}

fn dtype(rows: &Table) -> c_int {
    match rows.values {
        Values::F32(_) => DTYPE_F32,
        Values::F64(_) => DTYPE_F64,
    }
}

impl Peer for LightGbm {
    fn predict(&mut self, first: usize, n_rows: usize) -> Result<()> {
        let width = self.rows.n_columns;
        let range = first * width..(first + n_rows) * width;
        let data = match &self.rows.values {
            Values::F32(values) => values[range].as_ptr().cast::<c_void>(),
            Values::F64(values) => values[range].as_ptr().cast::<c_void>(),
        };
        let (mut n_written, out) = (0, self.out.as_mut_ptr());
        // SAFETY: `data` has `n_rows` rows of that type, `out` room for the predictions of all rows there are.
        let code = unsafe {
            if n_rows == 1 {
                (self.fast_predict)(self.fast, data, &mut n_written, out)
            } else {
                (self.predict_matrix)(
                    self.booster,
                    data,
                    dtype(&self.rows),
                    n_rows as i32,
                    width as i32,
                    1,
                    PREDICT_NORMAL,
                    0,
                    ALL_ITERATIONS,
                    PARAMETERS.as_ptr(),
                    &mut n_written,
                    out,
                )
            }
        };
        self.n_predicted = n_written as usize;
        self.check(code)
    }

    fn answers(&self) -> Vec<f64> {
        self.out[..self.n_predicted].to_vec()
    }

    fn load(&self) -> Result<Duration> {
        let start = Instant::now();
        let booster = self.create()?;
        let time = start.elapsed();
        // SAFETY: just made, and used by nobody.
        self.check(unsafe { (self.free)(booster) })?;
        Ok(time)
    }
}
