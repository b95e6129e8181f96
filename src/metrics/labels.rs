//! What series are told apart by: bounded sets, each name spelled once.

/// How urgent a request is. The order is that of urgency: `Critical` is the smallest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Somebody waits for each microsecond.
    Critical,
    /// Ahead of the ordinary.
    High,
    /// The ordinary.
    #[default]
    Normal,
    /// Work that may wait: backfills, prefetching.
    Low,
}

impl Priority {
    /// Every class, most urgent first; `ALL[p as usize] == p`.
    pub const ALL: [Self; 4] = [Self::Critical, Self::High, Self::Normal, Self::Low];

    /// The name in lower case, as in metrics and on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The class of that [`name`](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.name() == name)
    }
}

/// How a request ended. Every accepted request ends in exactly one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// With values.
    Ok,
    /// Its deadline passed before it ran.
    Expired,
    /// The caller gave it up.
    Cancelled,
    /// Refused: the engine had too much to do.
    Overloaded,
    /// The model returned an error, or refused the rows.
    Failed,
    /// The model panicked.
    Panicked,
    /// The engine shut down first.
    ShutDown,
}

impl Outcome {
    /// Every outcome; `ALL[o as usize] == o`.
    pub const ALL: [Self; 7] =
        [Self::Ok, Self::Expired, Self::Cancelled, Self::Overloaded, Self::Failed, Self::Panicked, Self::ShutDown];

    /// The name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Overloaded => "overloaded",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::ShutDown => "shut_down",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_its_own_index() {
        assert!(Priority::ALL.iter().enumerate().all(|(index, &priority)| priority as usize == index));
        assert!(Outcome::ALL.iter().enumerate().all(|(index, &outcome)| outcome as usize == index));
        assert!(Priority::ALL.iter().all(|&priority| Priority::from_name(priority.name()) == Some(priority)));
    }
}
