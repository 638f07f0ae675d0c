use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::fleet::{engine::Engine, model::Model, request::Request, time::SimTime};

const VLLM: &str = include_str!("../../../data/expositions/vllm-v1.prom");
const SGLANG: &str = include_str!("../../../data/expositions/sglang.prom");
const SGLANG_LOADS: &str = include_str!("../../../data/expositions/sglang-loads.prom");

/// Labels whose values belong to the model and the machine, not to the engine.
const FREE: [&str; 3] = ["model_name", "num_gpu_blocks", "num_pages"];

type Series = BTreeMap<(String, BTreeMap<String, String>), f64>;
type Types = BTreeSet<(String, String)>;

/// The series of a page (name and labels) and the types of its families.
fn parse(text: &str) -> (Series, Types) {
    let (mut series, mut types) = (BTreeMap::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(header) = line.strip_prefix("# TYPE ") {
            let (name, kind) = header.split_once(' ').expect("name and type");
            types.insert((name.to_owned(), kind.to_owned()));
        }
        if line.starts_with('#') {
            continue;
        }
        let (head, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = head.split_once('{').expect("labels");
        let labels = labels.strip_suffix("\"}").expect("closed labels").split("\",").map(|pair| {
            let (label, value) = pair.split_once("=\"").expect("a label");
            (label.to_owned(), if FREE.contains(&label) { "*".to_owned() } else { value.to_owned() })
        });
        let before = series.insert((name.to_owned(), labels.collect()), value.parse().expect("a number"));
        assert_eq!(before, None, "{line} stands twice");
    }
    (series, types)
}

fn reading(dialect: Dialect) -> Reading {
    let mut engine = Engine::new(Model::LLAMA_8B, dialect.buckets());
    for id in 0..200 {
        let request = Request { id, load: 0, sent: SimTime::ZERO, input_tokens: 1000, output_tokens: 100 };
        engine.enqueue(request, SimTime::ZERO).expect("fits");
    }
    engine.advance(SimTime::from_seconds(6.0), &mut Vec::new());
    Reading {
        model_name: "m",
        queue_length: engine.waiting().into(),
        running_requests: engine.running().into(),
        kv_cache_usage: 0.25,
        kv_capacity: 420_000,
        pending_tokens: 12.0,
        generation_throughput: 1.5,
        created: 1_790_000_000.0,
        statistics: engine.statistics().clone(),
    }
}

#[test]
fn prints_only_what_the_samples_hold() {
    for (name, page, sample) in [
        ("vllm", Dialect::Vllm.metrics(&reading(Dialect::Vllm)), VLLM),
        ("sglang", Dialect::Sglang.metrics(&reading(Dialect::Sglang)), SGLANG),
        ("sglang loads", Dialect::Sglang.loads(&reading(Dialect::Sglang)).expect("a page"), SGLANG_LOADS),
    ] {
        let (ours, our_types) = parse(&page);
        let (theirs, their_types) = parse(sample);
        let strange: Vec<_> = ours.keys().filter(|series| !theirs.contains_key(series)).collect();
        assert!(strange.is_empty(), "{name}: not in the sample: {strange:?}");
        let strange: Vec<_> = our_types.difference(&their_types).collect();
        assert!(strange.is_empty(), "{name}: types not in the sample: {strange:?}");
        assert!(page.ends_with('\n'), "{name}");
    }
}

#[test]
fn prints_every_bucket_of_the_samples() {
    for (name, page, sample) in [
        ("vllm", Dialect::Vllm.metrics(&reading(Dialect::Vllm)), VLLM),
        ("sglang", Dialect::Sglang.metrics(&reading(Dialect::Sglang)), SGLANG),
    ] {
        let (ours, our_types) = parse(&page);
        let (theirs, their_types) = parse(sample);
        let histograms =
            |types: Types| types.into_iter().filter(|(_, kind)| kind == "histogram").collect::<Vec<_>>();
        assert_eq!(histograms(our_types), histograms(their_types), "{name}");
        let missing: Vec<_> = theirs
            .keys()
            .filter(|(metric, labels)| {
                metric.ends_with("_bucket") && labels.get("dp_rank").is_none_or(|rank| rank == "0")
            })
            .filter(|series| !ours.contains_key(series))
            .collect();
        assert!(missing.is_empty(), "{name}: {missing:?}");
    }
}

#[test]
fn prints_the_values() {
    let reading = reading(Dialect::Vllm);
    let page = Dialect::Vllm.metrics(&reading);
    let (series, _) = parse(&page);
    let value = |name: &str| {
        let found: Vec<f64> = series
            .iter()
            .filter(|((metric, labels), _)| metric == name && labels.get("le").is_none_or(|le| le == "+Inf"))
            .map(|(_, value)| *value)
            .collect();
        assert!(!found.is_empty(), "{name}");
        found.iter().sum::<f64>()
    };
    assert!(reading.queue_length > 0.0 && reading.statistics.finished > 0);
    assert_eq!(value("vllm:num_requests_waiting").to_bits(), reading.queue_length.to_bits());
    assert_eq!(value("vllm:num_requests_waiting_by_reason").to_bits(), reading.queue_length.to_bits());
    assert_eq!(value("vllm:num_requests_running").to_bits(), reading.running_requests.to_bits());
    for (bucket, count) in [
        ("vllm:e2e_request_latency_seconds_bucket", "vllm:request_success_total"),
        ("vllm:request_prompt_tokens_count", "http_requests_total"),
        ("vllm:iteration_tokens_total_sum", "vllm:iteration_tokens_total_sum"),
    ] {
        assert_eq!(value(bucket).to_bits(), value(count).to_bits(), "{bucket} and {count}");
    }
    assert!(page.contains("le=\"0.001\"") && page.contains("le=\"2560.0\""));
}

#[test]
fn not_a_number_is_spelled_as_prometheus_reads_it() {
    let broken = Reading { queue_length: f64::NAN, kv_cache_usage: f64::INFINITY, ..reading(Dialect::Vllm) };
    let page = Dialect::Vllm.metrics(&broken);
    assert!(page.contains("vllm:num_requests_waiting{engine=\"0\",model_name=\"m\"} NaN\n"), "{page}");
    assert!(page.contains("vllm:kv_cache_usage_perc{engine=\"0\",model_name=\"m\"} +Inf\n"), "{page}");
}
