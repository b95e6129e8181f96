//! Rows that are being computed: who asks for the same row meanwhile waits for that answer instead.
//!
//! A state machine without locks: the first to ask *leads* and has the row computed, later ones *join*. All of them are
//! waiters, and when the answer is there, or an error, each that is still waiting gets it. The leader may leave like
//! any other: the work is wanted as long as one waiter is left. A joiner in a hurry makes the flight urgent; it does not
//! become less urgent again.

use super::Key;
use super::shard::Index;

/// How a row that is not in the cache comes to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<W> {
    /// The caller computes the row and says so with `finish`.
    Lead,
    /// The row is being computed; the waiter will be told.
    Join {
        /// The flight's oldest waiter, its leader unless that has left, if the flight has just become more urgent.
        raised: Option<W>,
    },
    /// A different row with the same hash is being computed: the caller computes the row for itself alone.
    Alone,
}

/// What it means that a waiter has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Others still wait: the row must be computed.
    Wanted,
    /// Nobody waits any more, and the flight is over: the work may be dropped.
    Abandoned,
    /// There is no such waiter: it has its answer.
    Gone,
}

/// Rows in flight by hash. `W` says who waits.
pub(super) struct Flights<W> {
    flights: Index<Flight<W>>,
}

struct Flight<W> {
    epoch: u128,
    kind: u32,
    row: Box<[u8]>,
    /// Smaller is more urgent.
    urgency: u64,
    waiters: Vec<W>,
    /// Its model has been replaced: the answer is right for the waiters, but nobody will ask for it again.
    is_retired: bool,
}

/// A flight that is over.
pub(super) struct Finished<W> {
    pub(super) waiters: Vec<W>,
    pub(super) store: bool,
}

impl<W> Default for Flights<W> {
    fn default() -> Self {
        Self { flights: Index::default() }
    }
}

impl<W: PartialEq + Clone> Flights<W> {
    pub(super) fn start(&mut self, key: &Key<'_>, urgency: u64, waiter: W) -> Start<W> {
        let Some(flight) = self.flights.get_mut(&key.hash) else {
            let (epoch, kind) = (key.scope.epoch, key.scope.kind);
            let flight = Flight { epoch, kind, row: key.row.into(), urgency, waiters: vec![waiter], is_retired: false };
            self.flights.insert(key.hash, flight);
            return Start::Lead;
        };
        if !flight.is(key) {
            return Start::Alone;
        }
        let raised = (urgency < flight.urgency).then(|| flight.waiters[0].clone());
        flight.waiters.push(waiter);
        flight.urgency = flight.urgency.min(urgency);
        Start::Join { raised }
    }

    /// Ends a flight, with an answer or an error: who waits for it, and whether an answer is worth keeping.
    pub(super) fn finish(&mut self, key: &Key<'_>) -> Finished<W> {
        match self.find(key) {
            Some(_) => {
                let flight = self.flights.remove(&key.hash).expect("just found");
                Finished { waiters: flight.waiters, store: !flight.is_retired }
            }
            None => Finished { waiters: Vec::new(), store: true },
        }
    }

    pub(super) fn leave(&mut self, key: &Key<'_>, waiter: &W) -> Leave {
        let Some(flight) = self.find(key) else { return Leave::Gone };
        let Some(at) = flight.waiters.iter().position(|known| known == waiter) else { return Leave::Gone };
        flight.waiters.remove(at);
        if !flight.waiters.is_empty() {
            return Leave::Wanted;
        }
        self.flights.remove(&key.hash);
        Leave::Abandoned
    }

    pub(super) fn retire(&mut self, epoch: u128) {
        self.flights.values_mut().filter(|flight| flight.epoch == epoch).for_each(|flight| flight.is_retired = true);
    }

    fn find(&mut self, key: &Key<'_>) -> Option<&mut Flight<W>> {
        self.flights.get_mut(&key.hash).filter(|flight| flight.is(key))
    }
}

impl<W> Flight<W> {
    fn is(&self, key: &Key<'_>) -> bool {
        self.epoch == key.scope.epoch && self.kind == key.scope.kind && *self.row == *key.row
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::engine::cache::Scope;

    fn key(row: &u8) -> Key<'_> {
        // Every two rows share a hash.
        Key { hash: u128::from(*row / 2), scope: Scope { epoch: 1, kind: 0 }, row: std::slice::from_ref(row) }
    }

    #[test]
    fn the_leader_may_leave_and_the_joiners_still_get_the_answer() {
        let mut flights = Flights::default();
        assert_eq!(flights.start(&key(&0), 10, "leader"), Start::Lead);
        assert_eq!(flights.start(&key(&0), 20, "patient"), Start::Join { raised: None });
        assert_eq!(flights.start(&key(&0), 5, "urgent"), Start::Join { raised: Some("leader") });
        assert_eq!(flights.start(&key(&0), 5, "as urgent"), Start::Join { raised: None });
        assert_eq!(flights.start(&key(&1), 1, "same hash"), Start::Alone);
        assert_eq!(flights.leave(&key(&0), &"leader"), Leave::Wanted);
        assert_eq!(flights.leave(&key(&0), &"leader"), Leave::Gone);
        let finished = flights.finish(&key(&0));
        assert!(finished.store && finished.waiters.len() == 3 && !finished.waiters.contains(&"leader"));
        assert_eq!(flights.start(&key(&0), 10, "next"), Start::Lead);
        assert_eq!(flights.leave(&key(&0), &"next"), Leave::Abandoned);
        assert!(flights.finish(&key(&0)).waiters.is_empty());
    }

    #[test]
    fn the_answer_of_a_replaced_model_is_given_but_not_kept() {
        let mut flights = Flights::default();
        flights.start(&key(&0), 10, ());
        flights.retire(1);
        let finished = flights.finish(&key(&0));
        assert!(!finished.store && finished.waiters.len() == 1);
    }

    proptest! {
        /// Waiters leave, flights end and collide: each waiter is told once, unless it left before.
        #[test]
        fn every_waiter_is_answered_or_has_left(steps in prop::collection::vec((0u8..6, 0u8..4, 0usize..40), 1..300)) {
            let mut flights = Flights::default();
            let mut waiting: BTreeMap<usize, u8> = BTreeMap::new();
            for (waiter, (row, action, other)) in steps.into_iter().enumerate() {
                match action {
                    0 | 1 => {
                        let leads = !waiting.values().any(|known| known / 2 == row / 2);
                        let joins = waiting.values().any(|known| *known == row);
                        let start = flights.start(&key(&row), 0, waiter);
                        prop_assert_eq!(start == Start::Lead, leads);
                        prop_assert_eq!(matches!(start, Start::Join { .. }), joins);
                        if start != Start::Alone {
                            waiting.insert(waiter, row);
                        }
                    }
                    2 => {
                        let expected = waiting.extract_if(.., |_, known| *known == row).map(|(waiter, _)| waiter);
                        let expected: Vec<_> = expected.collect();
                        let mut told = flights.finish(&key(&row)).waiters;
                        told.sort_unstable();
                        prop_assert_eq!(told, expected);
                    }
                    _ => {
                        let known = waiting.get(&other).copied();
                        let left = flights.leave(&key(&known.unwrap_or(row)), &other);
                        waiting.remove(&other);
                        let expected = match known {
                            None => Leave::Gone,
                            Some(row) if waiting.values().any(|known| *known == row) => Leave::Wanted,
                            Some(_) => Leave::Abandoned,
                        };
                        prop_assert_eq!(left, expected);
                    }
                }
            }
        }
    }
}
