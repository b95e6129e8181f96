//! Tensors of a file: constants, and attributes that hold them.

use super::attributes::text;
use super::proto::TensorProto;
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Tensor, Type};

/// `TensorProto.DataType`, as far as it is known here.
pub(super) fn element_type(code: i32) -> Result<Type> {
    match code {
        1 => Ok(Type::F32),
        6 => Ok(Type::I32),
        7 => Ok(Type::I64),
        8 => Ok(Type::Text),
        9 => Ok(Type::Bool),
        11 => Ok(Type::F64),
        code => Err(Error::unsupported(format!("elements of type {}", type_name(code)))),
    }
}

fn type_name(code: i32) -> String {
    const NAMES: [&str; 17] = [
        "undefined",
        "float",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "double",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
    ];
    usize::try_from(code)
        .ok()
        .and_then(|code| NAMES.get(code))
        .map_or_else(|| code.to_string(), |&name| name.to_owned())
}

/// A tensor of the file.
pub(super) fn read(proto: &TensorProto) -> Result<Tensor> {
    if proto.data_location != 0 {
        return Err(Error::unsupported("data in another file; save the model in one file"));
    }
    let sizes = proto.dims.iter().map(|&size| usize::try_from(size).ok());
    let shape: Option<Vec<usize>> = sizes.collect();
    let total = shape.as_ref().and_then(|shape| shape.iter().try_fold(1usize, |total, &size| total.checked_mul(size)));
    let (Some(shape), Some(total)) = (shape, total) else {
        return Err(Error::invalid_model(format!("a tensor of shape {:?}", proto.dims)));
    };
    let raw = &*proto.raw_data;
    fn raw_or<const N: usize, T>(raw: &[u8], of: impl Fn([u8; N]) -> T, or: impl FnOnce() -> Vec<T>) -> Result<Vec<T>> {
        if raw.is_empty() {
            return Ok(or());
        }
        let (chunks, rest) = raw.as_chunks::<N>();
        if !rest.is_empty() {
            return Err(Error::invalid_model(format!("{} bytes do not make whole elements", raw.len())));
        }
        Ok(chunks.iter().map(|chunk| of(*chunk)).collect())
    }
    let data = match element_type(proto.data_type)? {
        Type::F32 => Data::F32(raw_or(raw, f32::from_le_bytes, || proto.float_data.clone())?),
        Type::F64 => Data::F64(raw_or(raw, f64::from_le_bytes, || proto.double_data.clone())?),
        Type::I32 => Data::I32(raw_or(raw, i32::from_le_bytes, || proto.int32_data.clone())?),
        Type::I64 => Data::I64(raw_or(raw, i64::from_le_bytes, || proto.int64_data.clone())?),
        Type::Bool => {
            Data::Bool(raw_or(raw, |[byte]| byte != 0, || proto.int32_data.iter().map(|&value| value != 0).collect())?)
        }
        Type::Text => Data::Text(proto.string_data.iter().map(|bytes| text(bytes)).collect::<Result<_>>()?),
        Type::Tensor => return Err(Error::unsupported("a constant sequence")),
    };
    let tensor = Tensor::of(shape, data);
    if tensor.len() != total {
        return Err(Error::invalid_model(format!("{} elements for the shape {:?}", tensor.len(), tensor.shape)));
    }
    Ok(tensor)
}

/// As [`read`], where small integers may stand for themselves and are never computed with.
pub(super) fn read_widened(proto: &TensorProto) -> Result<Tensor> {
    let raw = &*proto.raw_data;
    let widened: Vec<i32> = match proto.data_type {
        2 => raw.iter().map(|&byte| byte.into()).collect(),
        3 => raw.iter().map(|&byte| i8::from_le_bytes([byte]).into()).collect(),
        4 => raw.as_chunks().0.iter().map(|&pair| u16::from_le_bytes(pair).into()).collect(),
        5 => raw.as_chunks().0.iter().map(|&pair| i16::from_le_bytes(pair).into()).collect(),
        _ => return read(proto),
    };
    const INT32: i32 = 6;
    // Without raw data they are listed as int32 as they are.
    let int32_data = if raw.is_empty() { proto.int32_data.clone() } else { widened };
    read(&TensorProto { data_type: INT32, int32_data, raw_data: Vec::new(), ..proto.clone() })
}

/// A list of small unsigned integers, which only tree ensembles have.
pub(super) fn read_bytes(proto: &TensorProto) -> Result<Vec<u8>> {
    const UINT8: i32 = 2;
    if proto.data_type != UINT8 {
        return Err(Error::invalid_model(format!(
            "elements of type {} where uint8 is expected",
            type_name(proto.data_type)
        )));
    }
    if !proto.raw_data.is_empty() {
        return Ok(proto.raw_data.clone());
    }
    let bytes = proto.int32_data.iter().map(|&value| u8::try_from(value).ok()).collect::<Option<_>>();
    bytes.ok_or_else(|| Error::invalid_model("a uint8 that is none"))
}
