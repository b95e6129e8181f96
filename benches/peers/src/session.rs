//! A session of ONNX Runtime with inputs of any types, one thread.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{null, null_mut};

use anyhow::{Context, Result, ensure};
use ort_sys::{
    ONNXTensorElementDataType, OrtAllocator, OrtAllocatorType, OrtApi, OrtApiBase, OrtLoggingLevel, OrtMemType,
    OrtMemoryInfo, OrtSession, OrtValue,
};

use crate::cases::Owned;
use crate::library::{c_string, open, symbol};
use crate::onnxruntime::{API_VERSION, check};

/// Objects live as long as the program, but for inputs and results.
pub struct Session {
    api: &'static OrtApi,
    session: *mut OrtSession,
    allocator: *mut OrtAllocator,
    memory: *mut OrtMemoryInfo,
    inputs: Vec<*const c_char>,
    /// The last one.
    output: *const c_char,
    values: Vec<*const OrtValue>,
    /// What the values borrow.
    matrices: Vec<Matrix>,
    out: *mut OrtValue,
}

/// The columns of an input, row after row.
enum Matrix {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Text(Vec<CString>),
}

impl Matrix {
    fn of(cells: &[Owned], n_rows: usize) -> Result<Self> {
        macro_rules! rows {
            ($variant:ident) => {{
                let columns: Option<Vec<_>> =
                    cells.iter().map(|c| if let Owned::$variant(values) = c { Some(values) } else { None }).collect();
                let columns = columns.context("columns of several types in one input")?;
                Self::$variant((0..n_rows).flat_map(|row| columns.iter().map(move |column| column[row])).collect())
            }};
        }
        Ok(match cells.first().context("an input without columns")? {
            Owned::F32(_) => rows!(F32),
            Owned::F64(_) => rows!(F64),
            Owned::I64(_) => rows!(I64),
            Owned::Bool(_) => rows!(Bool),
            Owned::Text(_) => {
                let text = |row: usize, cells: &Owned| match cells {
                    Owned::Text(values) => CString::new(values.get(row).unwrap_or_default()).ok(),
                    _ => None,
                };
                let all = (0..n_rows).flat_map(|row| cells.iter().map(move |column| text(row, column)));
                Self::Text(all.collect::<Option<_>>().context("columns of several types in one input")?)
            }
        })
    }
}

impl Session {
    pub fn open(library: &str, path: &str) -> Result<Self> {
        // SAFETY: the type as in onnxruntime_c_api.h.
        let base: unsafe extern "system" fn() -> *const OrtApiBase =
            unsafe { symbol(open(library)?, "OrtGetApiBase")? };
        // SAFETY: the library hands out pointers to static tables, or null for a version it does not have.
        let api = unsafe { ((*base()).GetApi)(API_VERSION).as_ref() }.context("an older ONNX Runtime")?;
        let path = c_string(path)?;
        let (mut env, mut options, mut session, mut memory) = (null_mut(), null_mut(), null_mut(), null_mut());
        let (mut allocator, mut n_inputs, mut n_outputs, mut output) = (null_mut(), 0, 0, null_mut());
        let mut inputs = Vec::new();
        // SAFETY: objects are used after the calls that make them; C strings; out-parameters of ours.
        unsafe {
            let level = OrtLoggingLevel::ORT_LOGGING_LEVEL_FATAL;
            check(api, (api.CreateEnv)(level, c"pipelines".as_ptr(), &mut env))?;
            check(api, (api.CreateSessionOptions)(&mut options))?;
            check(api, (api.SetIntraOpNumThreads)(options, 1))?;
            check(api, (api.SetInterOpNumThreads)(options, 1))?;
            check(api, (api.CreateSession)(env, path.as_ptr(), options, &mut session))?;
            check(api, (api.GetAllocatorWithDefaultOptions)(&mut allocator))?;
            check(api, (api.SessionGetInputCount)(session, &mut n_inputs))?;
            for index in 0..n_inputs {
                let mut name = null_mut();
                check(api, (api.SessionGetInputName)(session, index, allocator, &mut name))?;
                inputs.push(name.cast_const());
            }
            check(api, (api.SessionGetOutputCount)(session, &mut n_outputs))?;
            check(api, (api.SessionGetOutputName)(session, n_outputs - 1, allocator, &mut output))?;
            let (of, memory_type) = (OrtAllocatorType::OrtDeviceAllocator, OrtMemType::OrtMemTypeDefault);
            check(api, (api.CreateCpuMemoryInfo)(of, memory_type, &mut memory))?;
        }
        let (values, matrices, out) = (Vec::new(), Vec::new(), null_mut());
        Ok(Self { api, session, allocator, memory, inputs, output, values, matrices, out })
    }

    pub fn n_inputs(&self) -> usize {
        self.inputs.len()
    }

    /// Makes tensors of columns: all of them of the only input, or one for each input.
    pub fn bind(&mut self, cells: &[Owned], n_rows: usize) -> Result<()> {
        let n_inputs = self.n_inputs();
        ensure!(n_inputs == 1 || n_inputs == cells.len(), "{} columns for {n_inputs} inputs", cells.len());
        let width = if n_inputs == 1 { cells.len() } else { 1 };
        for (index, cells) in cells.chunks(width).enumerate() {
            self.matrices.push(Matrix::of(cells, n_rows)?);
            let rank = self.rank(index)?;
            let shape = [n_rows as i64, width as i64];
            let value = self.tensor(index, &shape[..rank])?;
            self.values.push(value);
        }
        Ok(())
    }

    fn rank(&self, index: usize) -> Result<usize> {
        let (mut info, mut tensor, mut rank) = (null_mut(), null(), 0);
        // SAFETY: the session is live; out-parameters of ours.
        unsafe {
            check(self.api, (self.api.SessionGetInputTypeInfo)(self.session, index, &mut info))?;
            check(self.api, (self.api.CastTypeInfoToTensorInfo)(info, &mut tensor))?;
            ensure!(!tensor.is_null(), "an input that is no tensor");
            check(self.api, (self.api.GetDimensionsCount)(tensor, &mut rank))?;
        }
        ensure!((1..=2).contains(&rank), "an input of {rank} dimensions");
        Ok(rank)
    }

    fn tensor(&mut self, index: usize, shape: &[i64]) -> Result<*const OrtValue> {
        use ONNXTensorElementDataType as Type;
        let (data, n_bytes, of): (*mut c_void, usize, Type) = match &mut self.matrices[index] {
            Matrix::F32(values) => {
                (values.as_mut_ptr().cast(), size_of_val(&values[..]), Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT)
            }
            Matrix::F64(values) => {
                (values.as_mut_ptr().cast(), size_of_val(&values[..]), Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE)
            }
            Matrix::I64(values) => {
                (values.as_mut_ptr().cast(), size_of_val(&values[..]), Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64)
            }
            Matrix::Bool(values) => {
                (values.as_mut_ptr().cast(), size_of_val(&values[..]), Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL)
            }
            Matrix::Text(values) => {
                let pointers: Vec<*const c_char> = values.iter().map(|value| CStr::as_ptr(value)).collect();
                let (mut tensor, of) = (null_mut(), Type::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
                // SAFETY: the shape has as many elements as there are strings; they are copied.
                unsafe {
                    let status =
                        (self.api.CreateTensorAsOrtValue)(self.allocator, shape.as_ptr(), shape.len(), of, &mut tensor);
                    check(self.api, status)?;
                    check(self.api, (self.api.FillStringTensor)(tensor, pointers.as_ptr(), pointers.len()))?;
                }
                return Ok(tensor);
            }
        };
        let mut tensor = null_mut();
        // SAFETY: the tensor borrows values that live as long as the session, in a vector that is not touched again.
        let status = unsafe {
            (self.api.CreateTensorWithDataAsOrtValue)(
                self.memory,
                data,
                n_bytes,
                shape.as_ptr(),
                shape.len(),
                of,
                &mut tensor,
            )
        };
        check(self.api, status)?;
        Ok(tensor)
    }

    /// Predicts the rows.
    pub fn run(&mut self) -> Result<()> {
        let api = self.api;
        self.release();
        // SAFETY: session, names and inputs are live; the result is released once.
        let status = unsafe {
            (api.Run)(
                self.session,
                null(),
                self.inputs.as_ptr(),
                self.values.as_ptr(),
                self.values.len(),
                &self.output,
                1,
                &mut self.out,
            )
        };
        check(api, status)
    }

    fn release(&mut self) {
        if !self.out.is_null() {
            // SAFETY: a result that is not null is live.
            unsafe { (self.api.ReleaseValue)(self.out) };
            self.out = null_mut();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.release();
        // SAFETY: inputs and session are live and not used again; inputs go before what they borrow.
        unsafe {
            self.values.iter().for_each(|&value| (self.api.ReleaseValue)(value.cast_mut()));
            (self.api.ReleaseSession)(self.session);
        }
    }
}
