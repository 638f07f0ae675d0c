use std::{collections::HashMap, fmt::Write as _, time::Duration};

use jiff::Timestamp;

use super::*;
use crate::metrics::{Sample, Signal, catalog};

const KEEP: Duration = Duration::from_secs(330);
const MINUTE: i64 = 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).expect("in range")
}

fn page(file: &str) -> String {
    let path = format!("{}/tests/data/expositions/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The page of an engine that has just started: every counter and bucket is 0.
fn begun(page: &str) -> String {
    let mut kinds = HashMap::new();
    let mut begun = String::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            kinds.insert(name.to_owned(), kind.to_owned());
        }
        let Some(sample) = Parser::new(line, false).next() else { continue };
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|ending| sample.name.strip_suffix(ending));
        let kind = kinds.get(sample.name).or_else(|| kinds.get(family?));
        let is_counter = kind.is_some_and(|kind| kind == "counter" || kind == "histogram");
        let value = if is_counter { 0.0 } else { sample.value };
        writeln!(begun, "{}{{{}}} {value}", sample.name, sample.labels).expect("a string takes everything");
    }
    begun
}

fn history() -> History {
    let signals = catalog::built_in(catalog::RATE_WINDOW);
    History { table: SeriesTable::new(signals.iter().map(AsRef::as_ref)), ..History::default() }
}

fn sample(history: &History, signal: &str, second: i64) -> Option<Sample> {
    let signals = catalog::built_in(catalog::RATE_WINDOW);
    let signal: &Signal = signals.iter().find(|known| known.name == signal).expect("in the catalog");
    history.sample(signal, history.pods.get(&("ns".to_owned(), "pod".to_owned()))?, at(second))
}

fn value(history: &History, signal: &str, second: i64) -> Option<f64> {
    sample(history, signal, second).map(|sample| sample.value.as_f64())
}

fn scrape(history: &mut History, second: i64, page: &str) {
    history.scraped("ns", "pod", at(second), (page, false), KEEP);
}

#[test]
fn every_signal_of_every_sample_exposition() {
    let expected: HashMap<String, HashMap<String, f64>> =
        serde_json::from_str(&page("signals.json")).expect("a table");
    for (file, want) in &expected {
        let text = page(&format!("{file}.prom"));
        let mut history = history();
        scrape(&mut history, 0, &begun(&text));
        scrape(&mut history, MINUTE, &text);
        for signal in catalog::built_in(catalog::RATE_WINDOW) {
            let name = signal.name.as_str();
            let got = value(&history, name, MINUTE);
            match (got, want.get(name)) {
                (Some(got), Some(want)) => {
                    assert!((got - want).abs() < 0.0011, "{file} {name}: {got}, not {want}");
                }
                (None, None) => {}
                (got, want) => panic!("{file} {name}: {got:?}, not {want:?}"),
            }
        }
    }
    assert_eq!(expected.len(), 11);
}

#[test]
fn an_idle_engine_is_not_a_silent_one() {
    let text = begun(&page("vllm-v1.prom"));
    let mut history = history();
    scrape(&mut history, 0, &text);
    assert_eq!(value(&history, "qps", 0), None, "one point makes no rate");
    scrape(&mut history, 15, &text);
    for (signal, want) in [
        ("qps", Some(0.0)),
        ("ttft_p95", Some(0.0)),
        ("prefix_cache_hit_rate", None),
        ("pending_tokens", Some(12.0 * 512.0)),
    ] {
        assert_eq!(value(&history, signal, 15), want, "{signal}");
    }
}

#[test]
fn a_sleeping_engine_is_left_out() {
    let text = "vllm:num_requests_waiting 0\nvllm:engine_sleep_state{sleep_state=\"awake\"} 0\n\
                vllm:engine_sleep_state{sleep_state=\"discard_all\"} 1\n";
    let mut history = history();
    scrape(&mut history, 0, text);
    assert_eq!(value(&history, "queue_length", 0), None);
}

#[test]
fn ranks_that_repeat_a_queue_count_once() {
    let text = "sglang:num_queue_reqs{dp_rank=\"0\",tp_rank=\"0\"} 5\nsglang:num_queue_reqs{dp_rank=\"0\",tp_rank=\"1\"} 5\n\
                sglang:num_queue_reqs{dp_rank=\"1\",tp_rank=\"2\"} 3\n";
    let mut history = history();
    scrape(&mut history, 0, text);
    assert_eq!(value(&history, "queue_length", 0), Some(8.0));
}

#[test]
fn a_restarted_engine_counts_from_zero() {
    let counted = |value: u32| format!("vllm:request_success_total{{finished_reason=\"stop\"}} {value}\n");
    let mut history = history();
    for (second, value) in [(0, 100), (20, 160), (40, 10), (60, 40)] {
        scrape(&mut history, second, &counted(value));
    }
    assert_eq!(
        value(&history, "qps", 60),
        Some(f64::from(60 + 10 + 30) / 60.0).map(|rate| (rate * 1000.0).trunc() / 1000.0)
    );
}

#[test]
fn samples_keep_the_time_of_their_scrape_and_end_with_their_series() {
    let mut history = history();
    scrape(&mut history, 0, "vllm:num_requests_waiting 4\n");
    let known = sample(&history, "queue_length", 59).expect("still fresh");
    assert_eq!(known.time, at(0));
    assert_eq!(sample(&history, "queue_length", 61), None, "stale");
    scrape(&mut history, 70, "vllm:num_requests_running 4\n");
    scrape(&mut history, 70, "vllm:num_requests_waiting 4\n");
    assert_eq!(value(&history, "queue_length", 70), Some(4.0));
    scrape(&mut history, 80, "vllm:num_requests_running 4\n");
    assert_eq!(value(&history, "queue_length", 80), None, "no longer on the page");
    assert_eq!(value(&history, "queue_length", 75), Some(4.0), "it was then");
    scrape(&mut history, 80 + 400, "vllm:num_requests_running 4\n");
    let pod = &history.pods[&("ns".to_owned(), "pod".to_owned())];
    assert_eq!(pod.series_count(), 1, "what is older than the longest window is forgotten");
}

#[test]
fn a_page_s_own_times_count() {
    let mut history = history();
    scrape(&mut history, 100, &format!("vllm:num_requests_waiting 4 {}\n", at(10).as_millisecond()));
    assert_eq!(sample(&history, "queue_length", 100), None, "90 s old");
    assert_eq!(sample(&history, "queue_length", 60).map(|sample| sample.time), Some(at(10)));
}
