//! Metrics: what is written is what is read, in numbers, JSON and the text of Prometheus.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sawmill::Priority;
use sawmill::metrics::{BatchRecord, CacheStats, Metrics, Outcome, RequestRecord};

fn request(priority: Priority, outcome: Outcome, micros: u64) -> RequestRecord {
    let total = Duration::from_micros(micros);
    let (queue, execute) = (total / 4, total / 2);
    RequestRecord { priority, outcome, rows: 3, cached_rows: 1, total, queue, execute, late: micros > 500 }
}

fn batch(rows: usize) -> BatchRecord {
    let predicted = Some(Duration::from_micros(30));
    BatchRecord { rows, execute: Duration::from_micros(20), predicted, reruns: 1, node: 1 }
}

/// A name that has to be escaped wherever it is written.
const AWKWARD: &str = "a\\b\"c\nd";

fn filled() -> Metrics {
    let metrics = Metrics::new(2, 2);
    for name in ["adult", AWKWARD] {
        let model = metrics.model(name);
        for micros in 1..=1000 {
            model.record_request(&request(Priority::Normal, Outcome::Ok, micros));
        }
        model.record_request(&request(Priority::Critical, Outcome::Expired, 70_000_000));
        metrics.record_batch(&model, &batch(48));
        metrics.record_batch(&model, &batch(16));
    }
    metrics.observe(|snapshot| {
        let mut cache = CacheStats::default();
        (cache.hits, cache.misses, cache.bytes) = (30, 70, 3 << 20);
        snapshot.cache = Some(cache);
        snapshot.pool.buffers = 7;
        snapshot.pool.bytes = 2 << 20;
    });
    metrics
}

#[test]
fn a_write_allocates_nothing() {
    let metrics = Metrics::new(2, 1);
    let model = metrics.model("adult");
    model.record_request(&request(Priority::Low, Outcome::Ok, 1));
    let writes = allocation_counter::measure(|| {
        for micros in 0..1000 {
            model.record_request(&request(Priority::High, Outcome::Ok, micros));
            metrics.record_batch(&model, &batch(micros as usize));
            metrics.record_downgrade();
        }
    });
    assert_eq!(writes.count_total, 0);
}

#[test]
fn writes_of_many_threads_are_all_counted() {
    // Some of the threads have a stripe to themselves, others share one.
    let metrics = Metrics::new(4, 1);
    let model = metrics.model("adult");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for micros in 0..5_000 {
                    model.record_request(&request(Priority::High, Outcome::Ok, micros));
                }
            });
        }
    });
    let snapshot = metrics.snapshot();
    assert_eq!((snapshot.total_requests(), snapshot.requests(Outcome::Ok)), (40_000, 40_000));
    assert_eq!(snapshot.total().sum(), 8 * 1000 * (0..5_000).sum::<u64>());
    let class = &snapshot.models["adult"].classes[Priority::High as usize];
    assert_eq!((class.rows, class.cached_rows, class.late), (120_000, 40_000, 8 * 4_499));
}

#[test]
fn snapshots_can_be_subtracted() {
    let metrics = filled();
    let earlier = metrics.snapshot();
    let model = metrics.model("adult");
    model.record_request(&request(Priority::Low, Outcome::Cancelled, 5));
    metrics.record_batch(&model, &batch(5));
    let between = metrics.snapshot().since(&earlier);
    assert_eq!((between.total_requests(), between.requests(Outcome::Cancelled)), (1, 1));
    assert_eq!((between.batches().rows.count(), between.batches().rows.quantile(0.5)), (1, 5));
    assert_eq!(between.batches().error, Duration::from_micros(10));
    assert_eq!(between.node_batches, [0, 1]);
    assert_eq!(between.pool.buffers, 7, "a gauge is what it is now");
    assert_eq!(between.cache.unwrap().hits, 0, "a counter is what has been added");
}

#[test]
fn a_forgotten_model_has_no_series() {
    let metrics = filled();
    metrics.forget("adult");
    assert_eq!(metrics.snapshot().models.keys().collect::<Vec<_>>(), [AWKWARD]);
}

#[test]
fn the_report_has_the_keys_that_users_ask_for() {
    let report = serde_json::to_value(filled().snapshot()).unwrap();
    let number = |path: &str| report.pointer(path).and_then(|value| value.as_f64()).unwrap_or_else(|| panic!("{path}"));
    assert_eq!(number("/total_requests"), 2002.0);
    assert_eq!(number("/cache_hit_rate"), 0.3);
    assert_eq!(number("/memory_pool/total_buffers"), 7.0);
    assert_eq!(number("/memory_pool/memory_usage_mb"), 2.0);
    assert_eq!(number("/deduplication_cache/memory_usage_mb"), 3.0);
    assert_eq!(number("/dynamic_batcher/processed_batches"), 4.0);
    assert_eq!(number("/dynamic_batcher/avg_batch_size"), 32.0);
    assert_eq!(number("/requests/expired"), 2.0);
    let mean = (2.0 * 500.5 + 2.0 * 70_000.0) / 2002.0;
    assert!((number("/avg_inference_time_ms") / mean - 1.0).abs() < 0.01);
    for (name, exact) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)] {
        let found = number(&format!("/models/adult/classes/normal/latency_ms/{name}"));
        assert!((found / exact - 1.0).abs() <= 0.125, "{name}: {found}");
    }
}

#[test]
fn the_exposition_is_strictly_well_formed() {
    let text = filled().snapshot().prometheus();
    let exposed = strict::parse(&text);
    let value = |name: &str, labels: &[(&str, &str)]| {
        let labels = labels.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let key = (name.to_owned(), labels);
        exposed.get(&key).copied().unwrap_or_else(|| panic!("{key:?}\n{text}"))
    };
    for model in ["adult", AWKWARD] {
        let normal = [("model", model), ("class", "normal")];
        let ok = [normal[0], normal[1], ("outcome", "ok")];
        assert_eq!(value("sawmill_requests_total", &ok), 1000.0);
        assert_eq!(value("sawmill_request_duration_seconds_count", &normal), 1000.0);
        assert!((value("sawmill_request_duration_seconds_sum", &normal) - 0.5005).abs() < 1e-9);
        let below = [normal[0], normal[1], ("le", "0.000524288")];
        assert_eq!(value("sawmill_request_duration_seconds_bucket", &below), 524.0);
        assert_eq!(value("sawmill_batch_rows_bucket", &[("model", model), ("le", "32")]), 1.0);
    }
    assert_eq!(value("sawmill_cache_hits_total", &[]), 30.0);
    assert_eq!(value("sawmill_node_batches_total", &[("node", "1")]), 4.0);
    strict::parse(&Metrics::new(1, 1).snapshot().prometheus());
}

/// The text exposition format, and the rules of `promtool check metrics`: anything unusual is a panic.
mod strict {
    use super::{BTreeMap, BTreeSet};

    type Labels = BTreeMap<String, String>;

    pub fn parse(text: &str) -> BTreeMap<(String, Labels), f64> {
        assert!(text.ends_with('\n'));
        let mut samples = BTreeMap::new();
        let mut families = BTreeSet::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line.strip_prefix("# HELP ").expect(line).split_once(' ').expect(line);
            assert!(is_name(name) && !help.trim().is_empty() && families.insert(name), "{line}");
            let of_type = lines.next().expect("a type follows the help");
            let kind = of_type.strip_prefix(&format!("# TYPE {name} ")).expect(of_type);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{of_type}");
            assert!(!["_count", "_sum", "_bucket"].iter().any(|suffix| name.ends_with(suffix)), "{of_type}");
            let mut series: Vec<(String, Labels, f64)> = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let (sample, labels, value) = self::sample(line);
                let suffix = sample.strip_prefix(name).expect(line);
                let suffixes: &[&str] = if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(suffixes.contains(&suffix), "{line}");
                assert_eq!(labels.contains_key("le"), suffix == "_bucket", "{line}");
                assert!(value >= 0.0, "{line}");
                series.push((suffix.to_owned(), labels.clone(), value));
                assert!(samples.insert((sample, labels), value).is_none(), "twice: {line}");
            }
            if kind == "histogram" {
                histograms(name, &series);
            }
        }
        samples
    }

    /// Of each histogram: rising bounds, cumulative counts, the last of them +Inf and equal to the count; then the sum.
    fn histograms(name: &str, series: &[(String, Labels, f64)]) {
        let mut rest = series;
        while !rest.is_empty() {
            let buckets = rest.iter().take_while(|(suffix, ..)| suffix == "_bucket").count();
            let (of_buckets, after) = rest.split_at(buckets);
            let [(sum, of_sum, _), (count, of_count, total), ..] = after else { panic!("{name}: sum and count") };
            assert_eq!((sum.as_str(), count.as_str()), ("_sum", "_count"));
            assert_eq!(of_sum, of_count);
            let mut last = (f64::NEG_INFINITY, 0.0);
            for (_, labels, value) in of_buckets {
                let mut labels = labels.clone();
                let bound: f64 = labels.remove("le").unwrap().parse().unwrap();
                assert_eq!(&labels, of_sum, "{name}");
                assert!(bound > last.0 && *value >= last.1, "{name}: {bound}");
                last = (bound, *value);
            }
            assert_eq!(last, (f64::INFINITY, *total), "{name}");
            rest = &after[2..];
        }
    }

    fn sample(line: &str) -> (String, Labels, f64) {
        let end = line.find(['{', ' ']).expect(line);
        let (name, mut rest) = line.split_at(end);
        assert!(is_name(name), "{line}");
        let mut labels = Labels::new();
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside;
            loop {
                let (label, after) = rest.split_once("=\"").expect(line);
                assert!(is_name(label) && !label.contains(':') && !label.starts_with("__"), "{line}");
                let (value, after) = quoted(after);
                assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
                match after.split_at(1) {
                    (",", more) => rest = more,
                    ("}", more) => break rest = more,
                    _ => panic!("{line}"),
                }
            }
        }
        let value = rest.strip_prefix(' ').expect(line);
        assert!(!value.contains(' '), "{line}");
        (name.to_owned(), labels, value.parse().expect(line))
    }

    /// A value up to its closing quote, and what follows.
    fn quoted(text: &str) -> (String, &str) {
        let mut value = String::new();
        let mut characters = text.char_indices();
        loop {
            match characters.next().expect("a closing quote") {
                (at, '"') => return (value, &text[at + 1..]),
                (_, '\\') => value.push(match characters.next().expect("an escaped character").1 {
                    'n' => '\n',
                    same @ ('\\' | '"') => same,
                    other => panic!("no escape: \\{other}"),
                }),
                (_, other) => value.push(other),
            }
        }
    }

    fn is_name(name: &str) -> bool {
        !name.starts_with(|first: char| first.is_ascii_digit())
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    }
}
