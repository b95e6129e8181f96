//! XGBoost's objectives: what each does to a margin, and to the base score.

use std::fmt;

use crate::error::{Error, Result};
use crate::ir::{Labels, Link};
use crate::math;
use crate::schema::Task;

/// The XGBoost that wrote a file; all zero if the file does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) [u32; 3]);

/// In place of a patch number, in files that do not say.
pub(super) const UNKNOWN_PATCH: u32 = u32::MAX;

impl Version {
    pub(super) fn at_least(self, major: u32, minor: u32) -> bool {
        self >= Self([major, minor, 0])
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        match self.0 {
            [0, 0, 0 | UNKNOWN_PATCH] => f.write_str("of unknown version"),
            [_, _, UNKNOWN_PATCH] => write!(f, "{major}.{minor}"),
            _ => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

/// Objectives, as far as predictions can tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Objective {
    /// Squared error and other objectives whose value is the margin.
    Identity,
    Quantile,
    Expectile,
    /// Logistic, as a regression.
    LogisticRegression,
    /// Logistic, as a classifier.
    BinaryLogistic,
    BinaryRaw,
    BinaryHinge,
    /// A log link: `exp` of the margin.
    LogLink,
    Survival,
    Ranking,
    SoftProb,
    SoftMax,
}

impl Objective {
    pub(super) fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "reg:squarederror"
            | "reg:linear"
            | "reg:squaredlogerror"
            | "reg:pseudohubererror"
            | "reg:absoluteerror" => Self::Identity,
            "reg:quantileerror" => Self::Quantile,
            "reg:expectileerror" => Self::Expectile,
            "reg:logistic" => Self::LogisticRegression,
            "binary:logistic" => Self::BinaryLogistic,
            "binary:logitraw" => Self::BinaryRaw,
            "binary:hinge" => Self::BinaryHinge,
            "count:poisson" | "reg:gamma" | "reg:tweedie" => Self::LogLink,
            "survival:cox" | "survival:aft" => Self::Survival,
            "rank:pairwise" | "rank:ndcg" | "rank:map" => Self::Ranking,
            "multi:softprob" => Self::SoftProb,
            "multi:softmax" => Self::SoftMax,
            _ => return Err(Error::unsupported(format!("objective {name:?} is not supported"))),
        })
    }

    pub(super) fn link(self, version: Version) -> Link {
        match self {
            Self::Identity | Self::BinaryRaw | Self::Ranking => Link::Identity,
            // Since 3.4 quantiles are sorted so that they do not cross (`quantile_obj.cu`, `PredTransform`).
            Self::Quantile if version.at_least(3, 4) => Link::SortAscending,
            Self::Quantile => Link::Identity,
            Self::Expectile => Link::Expectiles,
            Self::LogisticRegression | Self::BinaryLogistic => Link::Sigmoid,
            Self::BinaryHinge => Link::Step,
            Self::LogLink | Self::Survival => Link::Exp,
            Self::SoftProb => Link::Softmax,
            Self::SoftMax => Link::ArgMax,
        }
    }

    /// As `XGBClassifier.predict` decides (`python-package/xgboost/sklearn.py`).
    pub(super) fn labels(self, n_outputs: usize) -> Labels {
        match self {
            Self::BinaryLogistic | Self::BinaryRaw | Self::BinaryHinge if n_outputs == 1 => Labels::AboveHalf,
            Self::SoftProb => Labels::ArgMax,
            Self::SoftMax => Labels::Value,
            _ => Labels::None,
        }
    }

    pub(super) fn task(self) -> Task {
        match self {
            Self::Identity | Self::Quantile | Self::Expectile | Self::LogisticRegression | Self::LogLink => {
                Task::Regression
            }
            Self::BinaryLogistic | Self::BinaryRaw | Self::BinaryHinge => Task::Binary,
            Self::Survival => Task::Survival,
            Self::Ranking => Task::Ranking,
            Self::SoftProb | Self::SoftMax => Task::MultiClass,
        }
    }

    /// Turns base scores, one per output, from prediction space into margins (each objective's `ProbToMargin`), all in
    /// f32.
    pub(super) fn scores_to_margins(self, scores: &mut [f32], version: Version) -> Result<()> {
        match self {
            Self::Expectile => {
                for index in (1..scores.len()).rev() {
                    let gap = scores[index] - scores[index - 1];
                    scores[index] = softplus_inverse(gap - EPSILON);
                }
            }
            _ => {
                for score in scores {
                    *score = self.margin_of(*score, version)?;
                }
            }
        }
        Ok(())
    }

    fn margin_of(self, score: f32, version: Version) -> Result<f32> {
        match self {
            Self::LogisticRegression | Self::BinaryLogistic => {
                // Since 3.2 the ends are bounded, before they were refused (`regression_loss.h`).
                let bounded = version.at_least(3, 2);
                let inside = if bounded { (0.0..=1.0).contains(&score) } else { score > 0.0 && score < 1.0 };
                if !inside {
                    return Err(Error::invalid_model(format!("base_score {score} is no probability")));
                }
                let score = if bounded { score.clamp(EPSILON, 1.0 - EPSILON) } else { score };
                Ok(-math::logf(1.0 / score - 1.0))
            }
            Self::LogLink | Self::Survival if score > 0.0 => Ok(math::logf(score)),
            Self::LogLink | Self::Survival => {
                Err(Error::invalid_model(format!("base_score {score} must be positive for a log link")))
            }
            _ => Ok(score),
        }
    }
}

/// XGBoost's `kRtEps`.
const EPSILON: f32 = 1e-6;

/// `SoftPlusInv` of XGBoost's `src/common/math.h`.
fn softplus_inverse(x: f32) -> f32 {
    let x = if x < EPSILON { EPSILON } else { x };
    x + math::logf(-math::expm1f(-x))
}
