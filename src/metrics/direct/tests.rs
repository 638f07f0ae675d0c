use std::{collections::HashMap, fmt::Write as _, sync::Arc, time::Duration};

use jiff::Timestamp;

use super::*;
use crate::metrics::{
    Sample, Signal, catalog,
    direct::history::Page,
    matcher::{Comparison, Matcher},
};

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
    History::new(Arc::new(Wanted::new(signals.iter().map(AsRef::as_ref))))
}

fn sample(history: &History, signal: &str, second: i64) -> Option<Sample> {
    let signals = catalog::built_in(catalog::RATE_WINDOW);
    let signal: &Signal = signals.iter().find(|known| known.name == signal).expect("in the catalog");
    history.samples(signal, at(second)).get("ns", "pod")
}

fn value(history: &History, signal: &str, second: i64) -> Option<f64> {
    sample(history, signal, second).map(|sample| sample.value.as_f64())
}

fn scrape(history: &mut History, second: i64, page: &str) {
    scrape_as(history, "uid", second, page);
}

fn scrape_as(history: &mut History, uid: &str, second: i64, page: &str) {
    let page = Page { namespace: "ns", pod: "pod", uid, at: at(second), text: page, is_open_metrics: false };
    history.take(page);
}

fn series_count(history: &History) -> usize {
    history.pods().map(|(_, _, pod)| pod.series_count()).sum()
}

#[test]
fn every_signal_of_every_sample_exposition() {
    let expected: HashMap<String, HashMap<String, f64>> =
        serde_json::from_str(&page("signals.json")).expect("a table");
    for (file, want) in &expected {
        let text = page(&format!("{file}.prom"));
        let mut history = history();
        // The window is open at its beginning.
        scrape(&mut history, 1, &begun(&text));
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
    for (second, value) in [(1, 100), (20, 160), (40, 10), (60, 40)] {
        scrape(&mut history, second, &counted(value));
    }
    // 60 + 10 + 30 in 59 s, and the second before them at the same pace.
    assert_eq!(value(&history, "qps", 60), Some(1.694), "100 ÷ 59");
}

/// Figures of Prometheus' own `rate` at these points, worked out by its documentation.
#[test]
fn rates_are_those_of_prometheus() {
    struct Case {
        name: &'static str,
        points: &'static [(i64, f64)],
        at: i64,
        want: Option<f64>,
    }
    for case in [
        Case {
            name: "covers the window",
            points: &[(10, 1000.0), (25, 1015.0), (40, 1030.0), (55, 1045.0)],
            at: 60,
            want: Some(1.0),
        },
        Case {
            name: "born within it: half an interval before",
            points: &[(40, 1000.0), (55, 1015.0)],
            at: 60,
            want: Some(15.0 * (15.0 + 7.5 + 5.0) / 15.0 / 60.0),
        },
        Case {
            name: "never below zero",
            points: &[(40, 3.0), (55, 18.0)],
            at: 60,
            want: Some(15.0 * (15.0 + 3.0 + 5.0) / 15.0 / 60.0),
        },
        Case { name: "one point", points: &[(55, 18.0)], at: 60, want: None },
        Case {
            name: "at the beginning is outside",
            points: &[(0, 0.0), (30, 1000.0), (60, 1030.0)],
            at: 60,
            want: Some(1.0),
        },
    ] {
        let mut history = history();
        for (second, value) in case.points {
            scrape(&mut history, *second, &format!("vllm:request_success_total {value}\n"));
        }
        let want = case.want.map(|want| (want * 1000.0).trunc() / 1000.0);
        assert_eq!(value(&history, "qps", case.at), want, "{}", case.name);
    }
}

#[test]
fn samples_keep_the_time_of_their_scrape_and_end_with_their_series() {
    let mut history = history();
    scrape(&mut history, 0, "vllm:num_requests_waiting 4\n");
    let known = sample(&history, "queue_length", 59).expect("still fresh");
    assert_eq!(known.time, at(0));
    assert_eq!(sample(&history, "queue_length", 61), None, "stale");
    scrape(&mut history, 70, "vllm:num_requests_waiting 4\nvllm:num_requests_running 4\n");
    assert_eq!(value(&history, "queue_length", 70), Some(4.0));
    scrape(&mut history, 80, "vllm:num_requests_running 4\n");
    assert_eq!(value(&history, "queue_length", 80), None, "no longer on the page");
    assert_eq!(series_count(&history), 1);
}

#[test]
fn a_pod_that_cannot_be_read_has_no_samples_but_its_rates_go_on() {
    let mut history = history();
    scrape(&mut history, 10, "vllm:request_success_total 100\n");
    scrape(&mut history, 20, "vllm:request_success_total 110\n");
    history.fail("ns", "pod");
    assert_eq!(value(&history, "qps", 20), None);
    scrape(&mut history, 40, "vllm:request_success_total 130\n");
    assert_eq!(value(&history, "qps", 40), Some(0.625), "30 in 30 s, and half an interval before, over 60 s");
    scrape_as(&mut history, "another", 50, "vllm:request_success_total 140\n");
    assert_eq!(value(&history, "qps", 50), None, "another pod of the same name");
    history.retain(|_, _| false);
    assert_eq!(history.pods().count(), 0);
}

#[test]
fn memory_has_a_bound_and_long_windows_are_still_covered() {
    let mut history = history();
    for second in 0..1000_i32 {
        let page = format!("vllm:request_success_total {second}\nvllm:prompt_tokens_total {}\n", second * 7);
        scrape(&mut history, i64::from(second), &page);
    }
    let signals = catalog::built_in(Duration::from_secs(60));
    for (window, want) in [(30, 1.0), (60, 1.0), (120, 1.0), (300, 1.0)] {
        let qps = signals.iter().find(|signal| signal.name == "qps").expect("in the catalog");
        let signal = Signal { window: Duration::from_secs(window), ..Signal::clone(qps) };
        let got = history.samples(&signal, at(999)).get("ns", "pod").expect("a sample").value.as_f64();
        assert!((got - want).abs() < 0.02, "{window} s: {got}");
    }
    let (_, _, pod) = history.pods().next().expect("a pod");
    assert!(pod.page_count() <= 41, "{}", pod.page_count());
}

#[test]
fn an_exporter_tells_of_other_pods() {
    let mut history = history();
    let line = "DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",namespace=\"ns\",pod=\"user\"} 80\n\
                DCGM_FI_DEV_GPU_UTIL{gpu=\"1\",namespace=\"ns\",pod=\"user\"} 40\nDCGM_FI_DEV_GPU_UTIL{gpu=\"2\"} 10\n";
    let signals = catalog::built_in(catalog::RATE_WINDOW);
    let signal = signals.iter().find(|signal| signal.name == "gpu_utilization").expect("in the catalog");
    for second in [0, 15] {
        scrape(&mut history, second, line);
        let samples = history.samples(signal, at(second));
        assert_eq!(samples.get("ns", "user").map(|sample| sample.value.milli()), Some(600));
        assert_eq!(samples.get("ns", "pod").map(|sample| sample.value.milli()), Some(100), "an idle GPU");
    }
}

#[test]
fn a_signal_can_be_narrowed_to_some_series() {
    let mut history = history();
    for (second, done) in [(0, 10), (30, 40)] {
        let page = format!(
            "vllm:num_requests_waiting{{model_name=\"a\"}} 3\nvllm:num_requests_waiting{{model_name=\"b\"}} 5\n\
             vllm:request_success_total{{model_name=\"a\"}} {done}\nvllm:request_success_total{{model_name=\"b\"}} 0\n"
        );
        scrape(&mut history, second, &page);
    }
    let signals = catalog::built_in(catalog::RATE_WINDOW);
    let matcher = |text: &str, is_negative| {
        let comparison = Comparison::Equal(text.to_owned());
        Matcher { label: "model_name".to_owned(), comparison, is_negative }
    };
    for (name, only, want) in [
        ("queue_length", matcher("a", false), Some(3000)),
        ("queue_length", matcher("a", true), Some(5000)),
        ("queue_length", matcher("c", false), None),
        ("qps", matcher("a", false), Some(666)),
        ("qps", matcher("b", false), Some(0)),
    ] {
        let signal = signals.iter().find(|signal| signal.name == name).expect("in the catalog");
        let narrowed = signal.narrowed(vec![only]).expect("an engines' signal");
        let got = history.samples(&narrowed, at(30)).get("ns", "pod").map(|sample| sample.value.milli());
        assert_eq!(got, want, "{}", narrowed.name);
    }
}

#[test]
fn a_page_s_own_times_count() {
    let mut history = history();
    scrape(&mut history, 100, &format!("vllm:num_requests_waiting 4 {}\n", at(10).as_millisecond()));
    assert_eq!(sample(&history, "queue_length", 100), None, "90 s old");
    assert_eq!(sample(&history, "queue_length", 60).map(|sample| sample.time), Some(at(10)));
}
