//! XGBoost through its C interface: in-place prediction of a dense array, without a `DMatrix`.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt::Write as _;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::Peer;
use crate::library::{c_string, open, symbol};
use crate::rows::Table;

const CONFIG: &CStr = c"{\"type\":0,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,\"missing\":NaN,\"cache_id\":0}";

type LastError = unsafe extern "C" fn() -> *const c_char;
type Create = unsafe extern "C" fn(*const c_void, u64, *mut *mut c_void) -> c_int;
type Free = unsafe extern "C" fn(*mut c_void) -> c_int;
type SetParameter = unsafe extern "C" fn(*mut c_void, *const c_char, *const c_char) -> c_int;
type LoadModel = unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int;
type PredictDense = unsafe extern "C" fn(
    *mut c_void,
    *const c_char,
    *const c_char,
    *mut c_void,
    *mut *const u64,
    *mut u64,
    *mut *const f32,
) -> c_int;

pub struct XgBoost {
    last_error: LastError,
    create: Create,
    free: Free,
    set_parameter: SetParameter,
    load_model: LoadModel,
    predict_dense: PredictDense,
    path: CString,
    booster: *mut c_void,
    rows: Vec<f32>,
    n_columns: usize,
    /// Describes the rows of a call.
    interface: String,
    /// The booster's own memory, good until its next call.
    out: (*const f32, usize),
}

impl XgBoost {
    pub fn new(library: &str, path: &str, rows: Table) -> Result<Self> {
        let library = open(library)?;
        // SAFETY: types as in XGBoost's c_api.h.
        let mut peer = unsafe {
            Self {
                last_error: symbol(library, "XGBGetLastError")?,
                create: symbol(library, "XGBoosterCreate")?,
                free: symbol(library, "XGBoosterFree")?,
                set_parameter: symbol(library, "XGBoosterSetParam")?,
                load_model: symbol(library, "XGBoosterLoadModel")?,
                predict_dense: symbol(library, "XGBoosterPredictFromDense")?,
                path: c_string(path)?,
                booster: null_mut(),
                n_columns: rows.n_columns,
                rows: rows.into_f32(),
                interface: String::new(),
                out: (null(), 0),
            }
        };
        peer.booster = peer.create()?;
        Ok(peer)
    }

    fn create(&self) -> Result<*mut c_void> {
        let mut booster = null_mut();
        // SAFETY: no matrices to share memory with, C strings, out-parameters of ours.
        unsafe {
            self.check((self.create)(null(), 0, &mut booster))?;
            self.check((self.set_parameter)(booster, c"nthread".as_ptr(), c"1".as_ptr()))?;
            self.check((self.load_model)(booster, self.path.as_ptr()))?;
            // Loading may bring the number of threads it was saved with.
            self.check((self.set_parameter)(booster, c"nthread".as_ptr(), c"1".as_ptr()))?;
        }
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

impl Peer for XgBoost {
    fn predict(&mut self, first: usize, n_rows: usize) -> Result<()> {
        let data = self.rows[first * self.n_columns..(first + n_rows) * self.n_columns].as_ptr();
        self.interface.clear();
        write!(
            self.interface,
            "{{\"data\":[{},true],\"shape\":[{n_rows},{}],\"typestr\":\"<f4\",\"version\":3}}\0",
            data as usize, self.n_columns
        )?;
        let (mut shape, mut n_dimensions, mut values) = (null(), 0, null());
        // SAFETY: the interface is a C string that describes rows of ours; the out-parameters are ours, what they
        // point at belongs to the booster.
        unsafe {
            let code = (self.predict_dense)(
                self.booster,
                self.interface.as_ptr().cast(),
                CONFIG.as_ptr(),
                null_mut(),
                &mut shape,
                &mut n_dimensions,
                &mut values,
            );
            self.check(code)?;
            let shape = std::slice::from_raw_parts(shape, n_dimensions as usize);
            self.out = (values, shape.iter().product::<u64>() as usize);
        }
        Ok(())
    }

    fn answers(&self) -> Vec<f64> {
        let (values, len) = self.out;
        // SAFETY: the booster has not been called since it returned these.
        unsafe { std::slice::from_raw_parts(values, len) }.iter().map(|&value| value.into()).collect()
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
