//! Result vectors between two uses: what makes a warm engine answer without allocating. There is one for each few threads,
//! so that they seldom meet at a lock.

use crate::model::{Predictions, Values};

use super::sync::{Mutex, lock};

/// Bounded stacks of cleared vectors, one a type of number.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Spares {
    stacks: [Mutex<Vec<Predictions>>; 5],
    zero: bool,
}

/// Vectors kept per type, and the bytes of the largest worth keeping.
const KEPT: usize = 256;
const LARGEST: usize = 1 << 12;

fn stack_of(values: &Values) -> usize {
    match values {
        Values::F32(_) => 0,
        Values::F64(_) => 1,
        Values::I32(_) => 2,
        Values::I64(_) => 3,
        Values::Text(_) => 4,
    }
}

impl Spares {
    /// `zero`: numbers are overwritten with zeros as soon as they come back.
    pub(crate) fn new(zero: bool) -> Self {
        Self { stacks: std::array::from_fn(|_| Mutex::new(Vec::with_capacity(KEPT))), zero }
    }

    /// An empty vector, of the type of `like` if there is one.
    pub(crate) fn take(&self, like: &Values) -> Predictions {
        lock(&self.stacks[stack_of(like)]).pop().unwrap_or_default()
    }

    /// Up to `n` of them, for `into`.
    pub(crate) fn take_some(&self, like: &Values, n: usize, into: &mut Vec<Predictions>) {
        let mut stack = lock(&self.stacks[stack_of(like)]);
        let kept = stack.len().saturating_sub(n);
        into.extend(stack.drain(kept..));
    }

    /// Those that were not needed.
    pub(crate) fn give_back(&self, unused: &mut Vec<Predictions>) {
        unused.drain(..).for_each(|predictions| self.give(predictions));
    }

    /// Keeps a vector for later, or frees it.
    pub(crate) fn give(&self, mut predictions: Predictions) {
        let bytes = match &mut predictions.values {
            Values::F32(values) => wipe(values, self.zero),
            Values::F64(values) => wipe(values, self.zero),
            Values::I32(values) => wipe(values, self.zero),
            Values::I64(values) => wipe(values, self.zero),
            Values::Text(values) => values.wipe(self.zero),
        };
        if (1..=LARGEST).contains(&bytes) {
            let mut stack = lock(&self.stacks[stack_of(&predictions.values)]);
            if stack.len() < KEPT {
                stack.push(predictions);
            }
        }
    }
}

/// Empties a vector; returns its bytes.
fn wipe<T: Copy + Default>(values: &mut Vec<T>, zero: bool) -> usize {
    if zero {
        values.fill(T::default());
        // The compiler may not drop writes to memory that something else might read.
        std::hint::black_box(&mut *values);
    }
    values.clear();
    values.capacity() * size_of::<T>()
}
