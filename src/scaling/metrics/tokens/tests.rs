//! Figures computed by hand. One replica sustains 6500 prompt tokens and 3450 generated tokens per second.

use std::time::Duration;

use super::*;
use crate::scaling::sketch::{Sketch, loading};

/// What is read; rates as (short, long), in tokens per second.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    throughput: (Option<i64>, Option<i64>),
    target: &'static str,
    prompt: (Option<&'static str>, Option<&'static str>),
    generation: (Option<&'static str>, Option<&'static str>),
    pending: Option<&'static str>,
    slope_nanos: Option<i64>,
    lookahead: u64,
    /// Ready and starting replicas.
    replicas: (u32, u32),
    reported: Option<(u32, u32)>,
    /// The work, rounded up to thousandths, and the count; nothing when it fails.
    want: Option<(&'static str, i32)>,
    partial: Option<&'static str>,
}

/// Eight replicas' worth of prompts and four of answers in both windows, against a target of one.
const PLAIN: Case = Case {
    name: "8 of prompts and 4 of answers",
    throughput: (Some(6500), Some(3450)),
    target: "1",
    prompt: (Some("52000"), Some("52000")),
    generation: (Some("13800"), Some("13800")),
    pending: Some("0"),
    slope_nanos: Some(0),
    lookahead: 60,
    replicas: (4, 0),
    reported: Some((4, 4)),
    want: Some(("12", 12)),
    partial: None,
};

const CASES: &[Case] = &[
    PLAIN,
    Case { name: "12 ÷ 0.8 = 15", target: "0.8", want: Some(("12", 15)), ..PLAIN },
    Case {
        name: "the larger window as a whole: 8 + 4 or 7.5 + 5, never 8 + 5; 12.5 ÷ 0.8 = 15.625",
        target: "0.8",
        prompt: (Some("52000"), Some("48750")),
        generation: (Some("13800"), Some("17250")),
        want: Some(("12.5", 16)),
        ..PLAIN
    },
    Case {
        name: "no tolerance: 12.0001 are 13",
        prompt: (Some("52000.65"), Some("52000")),
        want: Some(("12.001", 13)),
        ..PLAIN
    },
    Case {
        name: "a backlog beyond a second of 4 ready replicas, over 60 s: (90000 − 26000) ÷ 6500 ÷ 60 = 0.164",
        pending: Some("90000"),
        want: Some(("12.165", 13)),
        ..PLAIN
    },
    Case {
        name: "starting replicas work nothing off: (90000 − 13000) ÷ 6500 ÷ 60 = 0.197",
        pending: Some("90000"),
        replicas: (2, 6),
        want: Some(("12.198", 13)),
        ..PLAIN
    },
    Case { name: "a backlog of exactly a second is none", pending: Some("26000"), ..PLAIN },
    Case { name: "a backlog of less than a second takes nothing off", pending: Some("1"), ..PLAIN },
    Case {
        name: "a backlog with nobody ready counts whole: 390000 ÷ 6500 ÷ 60 = 1",
        pending: Some("390000"),
        replicas: (0, 3),
        want: Some(("13", 13)),
        ..PLAIN
    },
    Case {
        name: "it grows by 0.01 per second: 0.6 in a minute",
        slope_nanos: Some(10_000_000),
        want: Some(("12.6", 13)),
        ..PLAIN
    },
    Case {
        name: "0.05 per second over 30 s: 1.5",
        slope_nanos: Some(50_000_000),
        lookahead: 30,
        want: Some(("13.5", 14)),
        ..PLAIN
    },
    Case { name: "falling work is not followed", slope_nanos: Some(-10_000_000), ..PLAIN },
    Case {
        name: "without lookahead nothing is foreseen, and no slope is missed",
        slope_nanos: None,
        lookahead: 0,
        ..PLAIN
    },
    Case {
        name: "all terms: 12.5 + 0.164 + 0.6 = 13.264, ÷ 0.8 = 16.58",
        target: "0.8",
        generation: (Some("13800"), Some("15525")),
        pending: Some("90000"),
        slope_nanos: Some(10_000_000),
        want: Some(("13.265", 17)),
        ..PLAIN
    },
    Case { name: "prefill alone: no answers", throughput: (Some(6500), None), want: Some(("8", 8)), ..PLAIN },
    Case {
        name: "prefill alone misses no answers",
        throughput: (Some(6500), None),
        generation: (None, None),
        want: Some(("8", 8)),
        ..PLAIN
    },
    Case {
        name: "decode alone: no prompts and no backlog",
        throughput: (None, Some(3450)),
        pending: Some("900000"),
        want: Some(("4", 4)),
        ..PLAIN
    },
    Case {
        name: "decode alone misses neither",
        throughput: (None, Some(3450)),
        prompt: (None, None),
        pending: None,
        want: Some(("4", 4)),
        ..PLAIN
    },
    Case {
        name: "the long window alone, as a lower bound",
        prompt: (None, Some("52000")),
        generation: (None, Some("13800")),
        partial: Some("missing: the short window"),
        ..PLAIN
    },
    Case {
        name: "half a short window is none",
        prompt: (None, Some("52000")),
        generation: (Some("99999"), Some("13800")),
        partial: Some("missing: the short window"),
        ..PLAIN
    },
    Case {
        name: "the short window alone",
        prompt: (Some("52000"), None),
        generation: (Some("13800"), None),
        partial: Some("missing: the long window"),
        ..PLAIN
    },
    Case {
        name: "neither window",
        prompt: (None, Some("52000")),
        generation: (Some("13800"), None),
        want: None,
        ..PLAIN
    },
    Case {
        name: "waiting tokens and slope are missed where they are asked for",
        pending: None,
        slope_nanos: None,
        partial: Some("missing: the waiting tokens, the slope"),
        ..PLAIN
    },
    Case { name: "a silent replica", reported: Some((4, 3)), partial: Some("3 of 4"), ..PLAIN },
    Case {
        name: "nothing to do",
        prompt: (Some("0"), Some("0")),
        generation: (Some("0"), Some("0")),
        want: Some(("0", 0)),
        ..PLAIN
    },
];

#[test]
fn work_is_what_the_terms_add_up_to() {
    let value = |text: &str| text.parse::<MilliValue>().expect("a quantity");
    let pair = |(short, long): (Option<&str>, Option<&str>)| RatePair {
        short: short.map(value),
        long: long.map(value),
    };
    for case in CASES {
        let name = case.name;
        let (ready, starting) = case.replicas;
        let mut sketch = Sketch::of(&[("role", ready + starting, 1)]);
        for ordinal in ready..ready + starting {
            let place = usize::try_from(ordinal).expect("small");
            sketch.role(0).replicas[place] = loading("role", ordinal);
        }
        let reading = TokenReading {
            prompt: pair(case.prompt),
            generation: pair(case.generation),
            pending_tokens: case.pending.map(value),
            slope_nanos_per_second: case.slope_nanos,
            expected: case.reported.map(|(expected, _)| expected),
            reported: case.reported.map(|(_, reported)| reported),
            ..TokenReading::default()
        };
        let (prompt, generation) = case.throughput;
        let throughput = Throughput {
            prompt: prompt.map(MilliValue::from_whole),
            generation: generation.map(MilliValue::from_whole),
        };
        let lookahead = Duration::from_secs(case.lookahead);
        let seen = sketch.role(0);
        let found = evaluate(throughput, lookahead, value(case.target), &reading, seen, seen.spec_replicas);
        let Some((work, count)) = case.want else {
            assert!(found.is_err(), "{name}: {found:?}");
            continue;
        };
        let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((found.shown.value, found.proposed), (Some(value(work)), count), "{name}");
        match case.partial {
            None => assert_eq!(found.partial, None, "{name}"),
            Some(want) => {
                let got = found.partial.unwrap_or_default();
                assert!(got.contains(want), "{name}: {got}");
            }
        }
        assert_eq!(found.idle, work == "0", "{name}: idle");
    }
}
