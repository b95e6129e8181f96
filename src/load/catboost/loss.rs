//! CatBoost's losses by name: what the sum of trees means (CatBoost `catboost/libs/eval_result/eval_helpers.cpp`,
//! `PrepareEval`).

use crate::error::{Error, Result};
use crate::ir::{Labels, Link};
use crate::schema::Task;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    Binary,
    MultiClass,
    OneVersusAll,
    /// Several yes-or-no questions.
    MultiLabel,
    Regression,
    /// Several numbers.
    MultiRegression,
    /// The logarithm of a mean.
    LogLink,
    Ranking,
    Survival,
}

impl Loss {
    pub(super) fn from_name(name: &str) -> Result<Self> {
        Ok(match name {
            "Logloss" | "CrossEntropy" | "Focal" => Self::Binary,
            "MultiClass" => Self::MultiClass,
            "MultiClassOneVsAll" => Self::OneVersusAll,
            "MultiLogloss" | "MultiCrossEntropy" => Self::MultiLabel,
            "RMSE" | "MAE" | "MAPE" | "Quantile" | "GroupQuantile" | "LogLinQuantile" | "Expectile" | "Huber"
            | "LogCosh" | "Lq" => Self::Regression,
            "MultiRMSE" | "MultiRMSEWithMissingValues" | "MultiQuantile" => Self::MultiRegression,
            "Poisson" | "Tweedie" => Self::LogLink,
            "PairLogit" | "PairLogitPairwise" | "QueryRMSE" | "QuerySoftMax" | "QueryCrossEntropy" | "YetiRank"
            | "YetiRankPairwise" | "LambdaMart" | "StochasticFilter" | "StochasticRank" => Self::Ranking,
            "Cox" | "SurvivalAft" => Self::Survival,
            other => return Err(Error::unsupported(format!("loss function {other:?} is not supported"))),
        })
    }

    /// The link of `predict_proba`, or of `CatBoostRegressor.predict`.
    pub(super) fn link(self) -> Link {
        match self {
            Self::Binary | Self::OneVersusAll | Self::MultiLabel => Link::ScaledSigmoid { scale: 1.0 },
            Self::MultiClass => Link::Softmax,
            Self::LogLink => Link::Exp,
            Self::Regression | Self::MultiRegression | Self::Ranking | Self::Survival => Link::Identity,
        }
    }

    pub(super) fn labels(self) -> Labels {
        match self {
            Self::Binary => Labels::PositiveMargin,
            Self::MultiClass | Self::OneVersusAll => Labels::ArgMaxMargin,
            _ => Labels::None,
        }
    }

    pub(super) fn task(self) -> Task {
        match self {
            Self::Binary => Task::Binary,
            Self::MultiClass | Self::OneVersusAll | Self::MultiLabel => Task::MultiClass,
            Self::Regression | Self::MultiRegression | Self::LogLink => Task::Regression,
            Self::Ranking => Task::Ranking,
            Self::Survival => Task::Survival,
        }
    }

    pub(super) fn check_outputs(self, n_outputs: usize) -> Result<()> {
        match self {
            Self::MultiClass | Self::OneVersusAll | Self::MultiLabel | Self::MultiRegression => Ok(()),
            _ if n_outputs == 1 => Ok(()),
            _ => Err(Error::invalid_model(format!("{n_outputs} outputs for a loss of one"))),
        }
    }
}
