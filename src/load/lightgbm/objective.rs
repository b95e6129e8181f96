//! LightGBM's objectives: what each does to a raw score (`src/objective/*.hpp`, `ConvertOutput`).

use crate::error::{Error, Result};
use crate::ir::{Labels, Link};
use crate::schema::Task;

/// Objectives, as far as predictions can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Objective {
    /// The value is the raw score.
    Identity,
    /// `reg_sqrt`: trained on the root of the label.
    Squared,
    Ranking,
    /// Poisson, gamma, Tweedie.
    LogLink,
    Binary {
        sigmoid: f64,
    },
    /// One binary model per class.
    OneVersusAll {
        sigmoid: f64,
    },
    MultiClass,
    CrossEntropy,
    CrossEntropyLambda,
}

impl Objective {
    /// Parses the `objective=` line: a name or one of its aliases, then parameters as `key:value` or bare words.
    pub(super) fn parse(line: &str) -> Result<Self> {
        let mut words = line.split_ascii_whitespace();
        let name = words.next().unwrap_or("custom");
        let parameters: Vec<&str> = words.collect();
        let sigmoid = || -> Result<f64> {
            let Some(text) = parameters.iter().rev().find_map(|word| word.strip_prefix("sigmoid:")) else {
                return Ok(1.0);
            };
            let sigmoid = text.parse().ok().filter(|sigmoid: &f64| *sigmoid > 0.0);
            sigmoid.ok_or_else(|| Error::invalid_model(format!("objective {name}: sigmoid {text:?} is not positive")))
        };
        let squared = parameters.contains(&"sqrt");
        Ok(match name {
            "regression"
            | "regression_l2"
            | "mean_squared_error"
            | "mse"
            | "l2"
            | "l2_root"
            | "root_mean_squared_error"
            | "rmse"
            | "regression_l1"
            | "mean_absolute_error"
            | "l1"
            | "mae"
            | "quantile"
            | "mape"
            | "mean_absolute_percentage_error"
                if squared =>
            {
                Self::Squared
            }
            "regression"
            | "regression_l2"
            | "mean_squared_error"
            | "mse"
            | "l2"
            | "l2_root"
            | "root_mean_squared_error"
            | "rmse"
            | "regression_l1"
            | "mean_absolute_error"
            | "l1"
            | "mae"
            | "quantile"
            | "mape"
            | "mean_absolute_percentage_error"
            | "huber"
            | "fair" => Self::Identity,
            "none" | "null" | "custom" | "na" => Self::Identity,
            "poisson" | "gamma" | "tweedie" => Self::LogLink,
            "binary" => Self::Binary { sigmoid: sigmoid()? },
            "multiclass" | "softmax" => Self::MultiClass,
            "multiclassova" | "multiclass_ova" | "ova" | "ovr" => Self::OneVersusAll { sigmoid: sigmoid()? },
            "cross_entropy" | "xentropy" => Self::CrossEntropy,
            "cross_entropy_lambda" | "xentlambda" => Self::CrossEntropyLambda,
            "lambdarank" | "rank_xendcg" | "xendcg" | "xe_ndcg" | "xe_ndcg_mart" | "xendcg_mart" => Self::Ranking,
            _ => return Err(Error::unsupported(format!("objective {name:?} is not supported"))),
        })
    }

    pub(super) fn link(self) -> Link {
        match self {
            Self::Identity | Self::Ranking => Link::Identity,
            Self::Squared => Link::SignedSquare,
            Self::LogLink => Link::Exp,
            Self::Binary { sigmoid } | Self::OneVersusAll { sigmoid } => Link::ScaledSigmoid { scale: sigmoid },
            Self::MultiClass => Link::Softmax,
            Self::CrossEntropy => Link::ScaledSigmoid { scale: 1.0 },
            Self::CrossEntropyLambda => Link::Softplus,
        }
    }

    /// As `LGBMClassifier.predict` decides: the greatest of the probabilities.
    pub(super) fn labels(self) -> Labels {
        match self {
            Self::Binary { .. } => Labels::AboveHalf,
            Self::OneVersusAll { .. } | Self::MultiClass => Labels::ArgMax,
            _ => Labels::None,
        }
    }

    pub(super) fn task(self) -> Task {
        match self {
            Self::Identity | Self::Squared | Self::LogLink | Self::CrossEntropy | Self::CrossEntropyLambda => {
                Task::Regression
            }
            Self::Ranking => Task::Ranking,
            Self::Binary { .. } => Task::Binary,
            Self::OneVersusAll { .. } | Self::MultiClass => Task::MultiClass,
        }
    }

    /// LightGBM links only the first score of an objective that is not multi-class, so more than one would be a model
    /// it cannot have written.
    pub(super) fn check_outputs(self, n_outputs: usize) -> Result<()> {
        match self {
            Self::Identity | Self::OneVersusAll { .. } | Self::MultiClass => Ok(()),
            _ if n_outputs == 1 => Ok(()),
            _ => Err(Error::invalid_model(format!("{n_outputs} trees an iteration for an objective of one output"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_aliases_and_parameters() {
        let parse = |line| Objective::parse(line).unwrap();
        assert_eq!(parse("binary sigmoid:0.7"), Objective::Binary { sigmoid: 0.7 });
        assert_eq!(parse("multiclassova num_class:3 sigmoid:1"), Objective::OneVersusAll { sigmoid: 1.0 });
        assert_eq!(parse("regression sqrt"), Objective::Squared);
        assert_eq!(parse("huber sqrt"), Objective::Identity);
        assert_eq!(parse("poisson"), Objective::LogLink);
        assert_eq!(parse("custom"), Objective::Identity);
        assert_eq!(Objective::parse("focal gamma:2").unwrap_err().to_string(), "objective \"focal\" is not supported");
        assert!(Objective::parse("binary sigmoid:-1").is_err());
        assert!(parse("binary").check_outputs(2).is_err() && parse("custom").check_outputs(3).is_ok());
    }
}
