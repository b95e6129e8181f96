//! Treelite's postprocessors by name (`src/gtil/postprocessor.cc`), and what they become.

use crate::error::{Error, Result};
use crate::ir::{Labels, Link};
use crate::schema::Task;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Postprocessor {
    Identity,
    SignedSquare,
    Hinge,
    Sigmoid,
    Exponential,
    ExponentialStandardRatio,
    LogarithmOnePlusExp,
    Softmax,
    OneVersusAll,
}

impl Postprocessor {
    pub(super) fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "identity" | "identity_multiclass" => Self::Identity,
            "signed_square" => Self::SignedSquare,
            "hinge" => Self::Hinge,
            "sigmoid" => Self::Sigmoid,
            "exponential" => Self::Exponential,
            "exponential_standard_ratio" => Self::ExponentialStandardRatio,
            "logarithm_one_plus_exp" => Self::LogarithmOnePlusExp,
            "softmax" => Self::Softmax,
            "multiclass_ova" => Self::OneVersusAll,
            other => return Err(Error::unsupported(format!("postprocessor {other:?} is not supported"))),
        })
    }

    /// Refuses what GTIL computes for a part of the outputs only: it hands a postprocessor the classes of one target at
    /// a time, and those for a single score change the first class alone.
    pub(super) fn check_classes(self, num_class: &[i32]) -> Result<()> {
        let fits = match self {
            Self::Identity => true,
            Self::Softmax => num_class.len() == 1,
            Self::OneVersusAll => num_class.iter().all(|count| *count == num_class[0]),
            _ => num_class.iter().all(|&count| count == 1),
        };
        if fits {
            return Ok(());
        }
        let shown = &num_class[..num_class.len().min(8)];
        Err(Error::unsupported(format!("postprocessor {self:?} for targets of {shown:?} classes is not supported")))
    }

    pub(super) fn link(self, sigmoid_alpha: f32, ratio_c: f32) -> Link {
        match self {
            Self::Identity => Link::Identity,
            Self::SignedSquare => Link::SignedSquare,
            Self::Hinge => Link::Step,
            Self::Sigmoid | Self::OneVersusAll => Link::ScaledSigmoid { scale: sigmoid_alpha.into() },
            Self::Exponential => Link::Exp,
            Self::ExponentialStandardRatio => Link::PathLength { ratio: ratio_c.into() },
            Self::LogarithmOnePlusExp => Link::Softplus,
            Self::Softmax => Link::SoftmaxF32,
        }
    }

    /// Treelite itself names no classes; these are those of the scikit-learn wrappers of the libraries it imports.
    pub(super) fn labels(self, task: Task, num_class: &[i32]) -> Labels {
        match (task, num_class) {
            (Task::Binary, [1]) if matches!(self, Self::Sigmoid | Self::Hinge) => Labels::AboveHalf,
            (Task::Binary | Task::MultiClass, [classes]) if *classes > 1 => Labels::ArgMax,
            _ => Labels::None,
        }
    }
}
