//! Elements converted to another type.

use super::broadcast::map;
use super::elementwise::no_type;
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Tensor, Type};
use crate::strings::Strings;

/// Elements converted to another type. Floats become integers by truncation; text is a number as Rust and C write
/// it; numbers become text as ONNX Runtime prints them.
pub(super) fn run_cast(x: &Tensor, to: Type, out: &mut Tensor) -> Result<()> {
    if x.ty() == to {
        return out.copy(x);
    }
    macro_rules! numbers {
        ($values:ident) => {
            match to {
                Type::F32 => map(x, $values, out, |value| value as f32)?,
                Type::F64 => map(x, $values, out, |value| value as f64)?,
                Type::I32 => map(x, $values, out, |value| value as i32)?,
                Type::I64 => map(x, $values, out, |value| value as i64)?,
                Type::Bool => map(x, $values, out, |value| value as f64 != 0.0)?,
                Type::Text => {
                    let out = out.start_text(&x.shape)?;
                    $values.iter().for_each(|&value| push_number(out, value as f64));
                }
                Type::Tensor => return Err(no_type(x)),
            }
        };
    }
    match &x.data {
        Data::F32(values) => numbers!(values),
        Data::F64(values) => numbers!(values),
        Data::I32(values) => numbers!(values),
        Data::I64(values) if to == Type::Text => {
            let out = out.start_text(&x.shape)?;
            values.iter().for_each(|value| out.push_display(value));
        }
        Data::I64(values) => numbers!(values),
        Data::Bool(values) => match to {
            Type::F32 => map(x, values, out, |value| f32::from(u8::from(value)))?,
            Type::F64 => map(x, values, out, |value| f64::from(u8::from(value)))?,
            Type::I32 => map(x, values, out, i32::from)?,
            Type::I64 => map(x, values, out, i64::from)?,
            Type::Text => {
                let out = out.start_text(&x.shape)?;
                values.iter().for_each(|&value| out.push(if value { "1" } else { "0" }));
            }
            Type::Bool | Type::Tensor => return Err(no_type(x)),
        },
        Data::Text(strings) => {
            fn parse<T: std::str::FromStr>(text: &str) -> Result<T> {
                let number = text.trim().parse();
                number.map_err(|_| Error::shape(format!("{text:?} is no number")))
            }
            macro_rules! parsed {
                ($type:ident) => {{
                    let out = out.start::<$type>(&x.shape)?;
                    for text in strings.iter() {
                        out.push(parse(text)?);
                    }
                }};
            }
            match to {
                Type::F32 => parsed!(f32),
                Type::F64 => parsed!(f64),
                Type::I32 => parsed!(i32),
                Type::I64 => parsed!(i64),
                _ => return Err(no_type(x)),
            }
        }
        Data::Tensors(_) => return Err(no_type(x)),
    }
    Ok(())
}

/// A float as ONNX Runtime casts it to text: C's `%.8g`, with its names of what is not finite.
fn push_number(out: &mut Strings, value: f64) {
    if value.is_nan() {
        out.push("NaN");
    } else if value.is_infinite() {
        out.push(if value > 0.0 { "INF" } else { "-INF" });
    } else {
        out.push(&general(value, 8));
    }
}

/// C's `%.<digits>g`.
fn general(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return if value.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    let scientific = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text.to_owned() }
    };
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trim(mantissa), exponent.abs());
    }
    trim(&format!("{value:.*}", (digits as i32 - 1 - exponent).max(0) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_text_as_in_c() {
        for (value, text) in
            [(1.5, "1.5"), (100.0, "100"), (1e9, "1e+09"), (0.1f32 as f64, "0.1"), (1e-5, "1e-05"), (-3.0, "-3")]
        {
            assert_eq!(general(value, 8), text);
        }
    }
}
