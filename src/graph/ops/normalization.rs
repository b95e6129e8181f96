//! Batch and layer normalisation.

use super::Inputs;
use super::elementwise::{Float, no_type};
use crate::error::{Error, Result};
use crate::graph::tensor::{Data, Tensor, axis};

/// `BatchNormalization` of a trained model: inputs are `x`, and for each channel (its second dimension) factor, offset, mean
/// and variance. These are brought together first, as ONNX Runtime does; `channels` is where.
pub(super) fn batch(x: &Inputs<'_>, epsilon: f32, channels: &mut Tensor, out: &mut Tensor) -> Result<()> {
    match x.get(0)?.data {
        Data::F32(_) => batch_of::<f32>(x, epsilon, channels, out),
        Data::F64(_) => batch_of::<f64>(x, epsilon, channels, out),
        _ => Err(no_type(x.get(0)?)),
    }
}

fn batch_of<T: Float>(inputs: &Inputs<'_>, epsilon: f32, channels: &mut Tensor, out: &mut Tensor) -> Result<()> {
    let x = inputs.get(0)?;
    let [_, n_channels, positions @ ..] = &*x.shape else {
        return Err(Error::shape(format!("channels of a value of shape {:?}", x.shape)));
    };
    let (n_channels, n_positions) = (*n_channels, positions.iter().product::<usize>());
    let of_channels = |index: usize| match inputs.get(index)?.values::<T>()? {
        values if values.len() == n_channels => Ok(values),
        values => Err(Error::shape(format!("{} numbers for {n_channels} channels", values.len()))),
    };
    let (factors, offsets, means, variances) = (of_channels(1)?, of_channels(2)?, of_channels(3)?, of_channels(4)?);
    let epsilon = T::from_f64(epsilon.into());
    let channels = channels.start::<T>(&[2 * n_channels])?;
    channels.extend(factors.iter().zip(variances).map(|(&f, &variance)| T::ONE / (variance + epsilon).sqrt() * f));
    for channel in 0..n_channels {
        channels.push(offsets[channel] - means[channel] * channels[channel]);
    }
    let (factors, offsets) = channels.split_at(n_channels);
    let values = x.values::<T>()?;
    let out = out.overwritten::<T>(&x.shape)?;
    if n_positions == 1 && n_channels > 0 {
        for (row, out) in values.chunks_exact(n_channels).zip(out.chunks_exact_mut(n_channels)) {
            for (((out, &x), &factor), &offset) in out.iter_mut().zip(row).zip(factors).zip(offsets) {
                *out = x * factor + offset;
            }
        }
    } else if !out.is_empty() {
        let parts = values.chunks_exact(n_positions).zip(out.chunks_exact_mut(n_positions));
        for (part, (x, out)) in parts.enumerate() {
            let (factor, offset) = (factors[part % n_channels], offsets[part % n_channels]);
            out.iter_mut().zip(x).for_each(|(out, &x)| *out = x * factor + offset);
        }
    }
    Ok(())
}

/// `LayerNormalization`: `x`, from dimension `at` on, less its mean and over its deviation, times factors, and offset.
pub(super) fn layer(x: &Inputs<'_>, at: i64, epsilon: f32, out: &mut Tensor) -> Result<()> {
    match x.get(0)?.data {
        Data::F32(_) => layer_of::<f32>(x, at, epsilon, out),
        Data::F64(_) => layer_of::<f64>(x, at, epsilon, out),
        _ => Err(no_type(x.get(0)?)),
    }
}

fn layer_of<T: Float>(inputs: &Inputs<'_>, at: i64, epsilon: f32, out: &mut Tensor) -> Result<()> {
    let x = inputs.get(0)?;
    let at = axis(at, x.rank())?;
    let size = x.shape[at..].iter().product::<usize>();
    let of_elements = |index: usize| match inputs.optional(index).map(Tensor::values::<T>).transpose()? {
        Some(values) if values.len() != size => {
            Err(Error::shape(format!("{} numbers for {size} elements", values.len())))
        }
        values => Ok(values),
    };
    let (factors, offsets) = (of_elements(1)?, of_elements(2)?);
    let (values, out) = (x.values::<T>()?, out.overwritten::<T>(&x.shape)?);
    if out.is_empty() {
        return Ok(());
    }
    let (epsilon, count) = (T::from_f64(epsilon.into()), T::from_f64(size as f64));
    for (row, out) in values.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        let mean = T::sum(row) / count;
        out.iter_mut().zip(row).for_each(|(out, &x)| *out = (x - mean) * (x - mean));
        let deviation = (T::sum(out) / count + epsilon).sqrt();
        out.iter_mut().zip(row).for_each(|(out, &x)| *out = (x - mean) / deviation);
        if let Some(factors) = factors {
            out.iter_mut().zip(factors).for_each(|(out, &factor)| *out = *out * factor);
        }
        if let Some(offsets) = offsets {
            out.iter_mut().zip(offsets).for_each(|(out, &offset)| *out += offset);
        }
    }
    Ok(())
}
