//! Batch and layer normalisation.

use super::Inputs;
use super::elementwise::{Float, no_type};
use crate::error::{Error, Result};
use crate::graph::Evaluator;
use crate::graph::tensor::{Data, Tensor, Type, axis};
use crate::ir::normalization::Normalization;

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
    let of_channels = [of_channels(1)?, of_channels(2)?, of_channels(3)?, of_channels(4)?];
    let channels = channels.start::<T>(&[2 * n_channels])?;
    bring_together(of_channels, epsilon, channels);
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

/// Adds to `channels` what each channel is multiplied by, then what is added to each, of factors, offsets, means and
/// variances.
pub(crate) fn bring_together<T: Float>(
    [factors, offsets, means, variances]: [&[T]; 4],
    epsilon: f32,
    channels: &mut Vec<T>,
) {
    let epsilon = T::from_f64(epsilon.into());
    channels.extend(factors.iter().zip(variances).map(|(&f, &variance)| T::ONE / (variance + epsilon).sqrt() * f));
    for channel in 0..factors.len() {
        channels.push(offsets[channel] - means[channel] * channels[channel]);
    }
}

/// `LayerNormalization`: `x`, from dimension `at` on, less its mean and over its deviation, times factors, and offset.
pub(super) fn layer(
    inputs: &Inputs<'_>,
    at: i64,
    epsilon: f32,
    runner: &mut dyn Evaluator,
    out: &mut Tensor,
) -> Result<()> {
    let x = inputs.get(0)?;
    if x.ty() != Type::F32 {
        return Err(no_type(x));
    }
    let at = axis(at, x.rank())?;
    let width = x.shape[at..].iter().product::<usize>();
    let of_elements = |index: usize| match inputs.optional(index).map(Tensor::values::<f32>).transpose()? {
        Some(values) if values.len() != width => {
            Err(Error::shape(format!("{} numbers for {width} elements", values.len())))
        }
        values => Ok(values),
    };
    let normalization = Normalization { width, epsilon, factors: of_elements(1)?, offsets: of_elements(2)? };
    let out = out.start::<f32>(&x.shape)?;
    out.extend_from_slice(x.values()?);
    if !out.is_empty() {
        runner.normalize(&normalization, out);
    }
    Ok(())
}
