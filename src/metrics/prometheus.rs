//! The text exposition format of Prometheus, version 0.0.4.

use std::fmt::{self, Write};

use super::{Distribution, ModelStats, Outcome, Priority, Snapshot};

/// Units of the first bucket bounds: times from 2 µs (16 × 128 ns), rows from 1.
const FIRST_TIME: u64 = 16;
const FIRST_ROWS: u64 = 1;
/// Nanoseconds in a second, the unit that times are exposed in. Divided by: the quotients print as short decimals.
const SECOND: f64 = 1e9;

impl Snapshot {
    /// The text exposition of Prometheus. Take the snapshot from [`Metrics::snapshot`](super::Metrics::snapshot) itself,
    /// not from [`since`](Self::since): counters must only grow.
    ///
    /// A class that has had no request yet has no series. A bucket bound is a power of two of nanoseconds (or rows), and
    /// a value equal to it counts into the next bucket.
    pub fn prometheus(&self) -> String {
        let mut text = String::new();
        self.expose(&mut text).expect("a string takes all that is written");
        text
    }

    fn expose(&self, out: &mut String) -> fmt::Result {
        let mut family = Family::counter(out, "sawmill_requests_total", "Requests that ended, by outcome.")?;
        for (labels, class) in self.series() {
            for outcome in Outcome::ALL {
                family.sample(&labels.and("outcome", outcome.name()), class.requests(outcome))?;
            }
        }
        let mut family = Family::counter(out, "sawmill_rows_total", "Rows answered with values.")?;
        for (labels, class) in self.series() {
            family.sample(&labels, class.rows)?;
        }
        let mut family = Family::counter(
            out,
            "sawmill_cached_rows_total",
            "Rows answered from the cache or by other requests' work.",
        )?;
        for (labels, class) in self.series() {
            family.sample(&labels, class.cached_rows)?;
        }
        let mut family =
            Family::counter(out, "sawmill_late_requests_total", "Requests answered with values after their deadline.")?;
        for (labels, class) in self.series() {
            family.sample(&labels, class.late)?;
        }
        for (name, help, of) in [
            ("sawmill_request_duration_seconds", "From call to answer.", (|class| &class.total) as Of),
            ("sawmill_queue_duration_seconds", "Waiting for a worker.", |class| &class.queue),
            ("sawmill_execute_duration_seconds", "In the model.", |class| &class.execute),
        ] {
            let mut family = Family::histogram(out, name, help)?;
            for (labels, class) in self.series() {
                family.distribution(&labels, of(class), FIRST_TIME, SECOND)?;
            }
        }

        let mut family = Family::histogram(out, "sawmill_batch_rows", "Rows of a batch.")?;
        for (name, model) in &self.models {
            family.distribution(&Labels::default().and("model", name), &model.batches.rows, FIRST_ROWS, 1.0)?;
        }
        for (name, help, of) in [
            (
                "sawmill_batch_predicted_seconds_total",
                "Expected time in the model, of batches that had an expectation.",
                (|model| model.batches.predicted.as_secs_f64()) as fn(&ModelStats) -> f64,
            ),
            ("sawmill_batch_actual_seconds_total", "Time in the model of the same batches.", |model| {
                model.batches.actual.as_secs_f64()
            }),
            ("sawmill_batch_error_seconds_total", "Differences of the two, as magnitudes.", |model| {
                model.batches.error.as_secs_f64()
            }),
            ("sawmill_batch_reruns_total", "Runs of parts of a batch, to find the request that fails.", |model| {
                model.batches.reruns as f64
            }),
        ] {
            let mut family = Family::counter(out, name, help)?;
            for (name, model) in &self.models {
                family.sample(&Labels::default().and("model", name), of(model))?;
            }
        }
        let mut family = Family::counter(out, "sawmill_node_batches_total", "Batches run by a worker pool.")?;
        for (node, &batches) in self.node_batches.iter().enumerate() {
            family.sample(&Labels::default().and("node", &node.to_string()), batches)?;
        }

        let (queue, pool, cache) = (&self.queue, &self.pool, self.cache.unwrap_or_default());
        for (name, help, value) in [
            ("sawmill_queue_requests", "Requests waiting.", queue.requests),
            ("sawmill_queue_rows", "Rows waiting.", queue.rows),
            ("sawmill_queue_bytes", "Bytes of the rows waiting.", queue.bytes),
            ("sawmill_running_requests", "Requests in the model.", queue.running),
            ("sawmill_pool_buffers", "Buffers of the pool, in use or free.", pool.buffers),
            ("sawmill_pool_buffers_in_use", "Buffers of the pool in use.", pool.buffers_in_use),
            ("sawmill_pool_bytes", "Bytes of the pool's buffers.", pool.bytes),
            ("sawmill_cache_rows", "Rows in the deduplication cache.", cache.rows),
            ("sawmill_cache_bytes", "Bytes of the deduplication cache.", cache.bytes),
            ("sawmill_node_copies", "Copies of models that NUMA nodes have made.", self.node_copies),
            ("sawmill_node_copy_bytes", "Bytes of these copies.", self.node_copy_bytes),
        ] {
            Family::gauge(out, name, help)?.sample(&Labels::default(), value)?;
        }
        for (name, help, value) in [
            ("sawmill_pool_hits_total", "Buffers that were there when asked for.", pool.hits),
            ("sawmill_pool_misses_total", "Buffers that had to be allocated.", pool.misses),
            ("sawmill_pool_over_budget_total", "Buffers beyond the budget, freed after use.", pool.over_budget),
            ("sawmill_pool_zeroed_bytes_total", "Bytes overwritten with zeros.", pool.zeroed_bytes),
            ("sawmill_pool_trimmed_total", "Buffers given back to the system.", pool.trimmed),
            ("sawmill_cache_hits_total", "Rows found in the deduplication cache.", cache.hits),
            ("sawmill_cache_misses_total", "Rows not found in the deduplication cache.", cache.misses),
            ("sawmill_cache_coalesced_total", "Rows that joined the same row in flight.", cache.coalesced),
            ("sawmill_cache_evicted_total", "Rows dropped to stay within the budget.", cache.evicted),
            ("sawmill_cache_expired_total", "Rows dropped because they were too old.", cache.expired),
            ("sawmill_cache_bypassed_total", "Lookups skipped because the cache does not pay.", cache.bypassed),
            ("sawmill_downgrades_total", "Things the machine refused and that were done without.", self.downgrades),
        ] {
            Family::counter(out, name, help)?.sample(&Labels::default(), value)?;
        }
        Ok(())
    }

    /// The classes that have had requests.
    fn series(&self) -> impl Iterator<Item = (Labels, &super::ClassStats)> {
        self.models.iter().flat_map(|(name, model)| {
            let model_label = Labels::default().and("model", name);
            let classes = Priority::ALL.into_iter().zip(&model.classes);
            let used = classes.filter(|(_, stats)| stats.total.count() > 0);
            used.map(move |(class, stats)| (model_label.and("class", class.name()), stats))
        })
    }
}

type Of = fn(&super::ClassStats) -> &Distribution;

/// Labels as they are written between the braces.
#[derive(Default)]
struct Labels(String);

impl Labels {
    fn and(&self, name: &str, value: &str) -> Self {
        let mut text = self.0.clone();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
        Self(text)
    }
}

/// The samples of one name, which must stand together below its HELP and TYPE.
struct Family<'a> {
    out: &'a mut String,
    name: &'a str,
}

impl<'a> Family<'a> {
    fn counter(out: &'a mut String, name: &'a str, help: &str) -> Result<Self, fmt::Error> {
        Self::new(out, name, help, "counter")
    }

    fn gauge(out: &'a mut String, name: &'a str, help: &str) -> Result<Self, fmt::Error> {
        Self::new(out, name, help, "gauge")
    }

    fn histogram(out: &'a mut String, name: &'a str, help: &str) -> Result<Self, fmt::Error> {
        Self::new(out, name, help, "histogram")
    }

    fn new(out: &'a mut String, name: &'a str, help: &str, kind: &str) -> Result<Self, fmt::Error> {
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        Ok(Self { out, name })
    }

    fn sample(&mut self, labels: &Labels, value: impl fmt::Display) -> fmt::Result {
        self.line("", labels, value)
    }

    fn distribution(&mut self, labels: &Labels, distribution: &Distribution, from: u64, unit: f64) -> fmt::Result {
        for (bound, count) in distribution.cumulative(from) {
            self.line("_bucket", &labels.and("le", &(bound as f64 / unit).to_string()), count)?;
        }
        self.line("_bucket", &labels.and("le", "+Inf"), distribution.count())?;
        self.line("_sum", labels, distribution.sum() as f64 / unit)?;
        self.line("_count", labels, distribution.count())
    }

    fn line(&mut self, suffix: &str, Labels(labels): &Labels, value: impl fmt::Display) -> fmt::Result {
        match labels.as_str() {
            "" => writeln!(self.out, "{}{suffix} {value}", self.name),
            labels => writeln!(self.out, "{}{suffix}{{{labels}}} {value}", self.name),
        }
    }
}
