//! ONNX Runtime through its C interface: one thread, the rows as a tensor over the caller's memory.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use ort_sys::{
    ONNXTensorElementDataType, OrtAllocatorType, OrtApi, OrtApiBase, OrtEnv, OrtLoggingLevel, OrtMemType,
    OrtMemoryInfo, OrtSession, OrtSessionOptions, OrtStatusPtr, OrtValue,
};

use crate::Peer;
use crate::library::{c_string, open, symbol};
use crate::rows::Table;

/// The version of the interface asked for; newer libraries have it too.
pub const API_VERSION: u32 = 17;

pub struct OnnxRuntime {
    api: &'static OrtApi,
    path: CString,
    env: *mut OrtEnv,
    options: *mut OrtSessionOptions,
    session: *mut OrtSession,
    memory: *mut OrtMemoryInfo,
    input: *const c_char,
    output: *const c_char,
    rows: Vec<f32>,
    n_columns: usize,
    /// The result of the last call.
    out: *mut OrtValue,
}

impl OnnxRuntime {
    pub fn new(library: &str, path: &str, rows: Table) -> Result<Self> {
        // SAFETY: the type as in onnxruntime_c_api.h.
        let base: unsafe extern "system" fn() -> *const OrtApiBase =
            unsafe { symbol(open(library)?, "OrtGetApiBase")? };
        // SAFETY: the library hands out pointers to static tables, or null for a version it does not have.
        let api = unsafe { ((*base()).GetApi)(API_VERSION).as_ref() };
        let api = api.ok_or_else(|| anyhow!("ONNX Runtime is older than 1.{API_VERSION}"))?;
        let mut peer = Self {
            api,
            path: c_string(path)?,
            env: null_mut(),
            options: null_mut(),
            session: null_mut(),
            memory: null_mut(),
            input: null(),
            output: null(),
            n_columns: rows.n_columns,
            rows: rows.into_f32(),
            out: null_mut(),
        };
        peer.set_up()?;
        Ok(peer)
    }

    fn set_up(&mut self) -> Result<()> {
        let api = self.api;
        let (mut allocator, mut n_outputs, mut input, mut output) = (null_mut(), 0, null_mut(), null_mut());
        // SAFETY: objects are used after the calls that make them; C strings; out-parameters of ours. Names and
        // objects live as long as the program.
        unsafe {
            let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_ERROR;
            check(api, (api.CreateEnv)(level, c"peers".as_ptr(), &mut self.env))?;
            check(api, (api.CreateSessionOptions)(&mut self.options))?;
            check(api, (api.SetIntraOpNumThreads)(self.options, 1))?;
            check(api, (api.SetInterOpNumThreads)(self.options, 1))?;
            self.session = self.create_session()?;
            check(api, (api.GetAllocatorWithDefaultOptions)(&mut allocator))?;
            check(api, (api.SessionGetInputName)(self.session, 0, allocator, &mut input))?;
            check(api, (api.SessionGetOutputCount)(self.session, &mut n_outputs))?;
            // A classifier's label comes first and its probabilities last.
            check(api, (api.SessionGetOutputName)(self.session, n_outputs - 1, allocator, &mut output))?;
            let (allocator, memory) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
            check(api, (api.CreateCpuMemoryInfo)(allocator, memory, &mut self.memory))?;
        }
        (self.input, self.output) = (input, output);
        Ok(())
    }

    fn create_session(&self) -> Result<*mut OrtSession> {
        let mut session = null_mut();
        // SAFETY: environment and options are live, the path is a C string.
        check(self.api, unsafe { (self.api.CreateSession)(self.env, self.path.as_ptr(), self.options, &mut session) })?;
        Ok(session)
    }
}

pub fn check(api: &OrtApi, status: OrtStatusPtr) -> Result<()> {
    if !status.0.is_null() {
        // SAFETY: a status that is not null has a message.
        bail!("{}", unsafe { CStr::from_ptr((api.GetErrorMessage)(status.0)) }.to_string_lossy());
    }
    Ok(())
}

impl Peer for OnnxRuntime {
    fn predict(&mut self, first: usize, n_rows: usize) -> Result<()> {
        let api = self.api;
        let rows = &mut self.rows[first * self.n_columns..(first + n_rows) * self.n_columns];
        let (data, n_bytes) = (rows.as_mut_ptr(), size_of_val(rows));
        let shape = [n_rows as i64, self.n_columns as i64];
        let float = ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
        let (mut tensor, mut out) = (null_mut(), null_mut());
        // SAFETY: the tensor borrows rows of that shape until it is released here; session, names and memory are live;
        // the last result is released once.
        unsafe {
            if !self.out.is_null() {
                (api.ReleaseValue)(self.out);
                self.out = null_mut();
            }
            let status = (api.CreateTensorWithDataAsOrtValue)(
                self.memory,
                data.cast(),
                n_bytes,
                shape.as_ptr(),
                shape.len(),
                float,
                &mut tensor,
            );
            check(api, status)?;
            let input = tensor.cast_const();
            let status = (api.Run)(self.session, null(), &self.input, &input, 1, &self.output, 1, &mut out);
            (api.ReleaseValue)(tensor);
            check(api, status)?;
        }
        self.out = out;
        Ok(())
    }

    fn answers(&self) -> Vec<f64> {
        let api = self.api;
        let (mut info, mut len, mut data) = (null_mut(), 0, null_mut());
        // SAFETY: the result is live; it is a tensor of floats, or one of these calls says so.
        unsafe {
            let read = check(api, (api.GetTensorTypeAndShape)(self.out, &mut info))
                .and_then(|()| check(api, (api.GetTensorShapeElementCount)(info, &mut len)))
                .and_then(|()| check(api, (api.GetTensorMutableData)(self.out, &mut data)));
            if read.is_err() {
                return Vec::new();
            }
            (api.ReleaseTensorTypeAndShapeInfo)(info);
            std::slice::from_raw_parts(data.cast::<f32>(), len).iter().map(|&value| value.into()).collect()
        }
    }

    fn load(&self) -> Result<Duration> {
        let start = Instant::now();
        let session = self.create_session()?;
        let time = start.elapsed();
        // SAFETY: just made, and used by nobody.
        unsafe { (self.api.ReleaseSession)(session) };
        Ok(time)
    }
}
