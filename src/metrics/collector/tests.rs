use std::sync::atomic::{AtomicI64, Ordering};

use futures::FutureExt;

use super::*;
use crate::{
    metrics::{Definition, Fold, Sample, Unit},
    units::MilliValue,
};

/// Answers the number of calls so far; `hangs` and `fails` never do.
#[derive(Default)]
struct Fake {
    calls: Mutex<Vec<(String, Timestamp)>>,
    broken: Mutex<BTreeSet<String>>,
}

impl Fake {
    fn calls(&self, name: &str) -> Vec<i64> {
        let calls = self.calls.lock().expect("not poisoned");
        calls.iter().filter(|(signal, _)| signal == name).map(|(_, at)| at.as_second() - START).collect()
    }

    fn set_broken(&self, name: &str, broken: bool) {
        let mut names = self.broken.lock().expect("not poisoned");
        if broken {
            names.insert(name.to_owned())
        } else {
            names.remove(name)
        };
    }
}

impl Source for Fake {
    fn collect<'a>(
        &'a self,
        signal: &'a Signal,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<Answer, SourceError>> {
        let mut calls = self.calls.lock().expect("not poisoned");
        calls.push((signal.name.clone(), at));
        let value = MilliValue::from_whole(i64::try_from(calls.len()).expect("few"));
        if signal.name == "hangs" {
            return std::future::pending().boxed();
        }
        if self.broken.lock().expect("not poisoned").contains(&signal.name) {
            let error =
                SourceError::Unreachable { source_name: self.name(), cause: "connection refused".to_owned() };
            return futures::future::ready(Err(error)).boxed();
        }
        let samples = [("ns", "pod", Sample { value, time: at })].into_iter().collect();
        futures::future::ready(Ok(Answer { samples, ..Answer::default() })).boxed()
    }

    fn name(&self) -> String {
        "fake".to_owned()
    }
}

/// A multiple of 15 s.
const START: i64 = 1_800_000_000;

struct World {
    fake: Arc<Fake>,
    collector: Collector,
    running: tokio::task::JoinHandle<()>,
    now: Clock,
}

/// A collector that runs since 5 s after an instant.
fn world() -> World {
    let begun = Instant::now();
    let epoch = Timestamp::from_second(START + 5).expect("in range");
    let now: Clock = Arc::new(move || epoch + begun.elapsed());
    let signals = ["a", "b", "fails", "hangs"].map(|name| {
        Arc::new(Signal {
            name: name.to_owned(),
            unit: Unit::Requests,
            window: Duration::ZERO,
            fold: Fold::Sum,
            idle: None,
            meaning: String::new(),
            definition: Definition::Query(String::new()),
        })
    });
    let fake = Arc::new(Fake::default());
    let collector =
        Collector::new(fake.clone(), signals, Options::every(Duration::from_secs(15), now.clone()));
    let runner = collector.clone();
    World { fake, collector, running: tokio::spawn(async move { runner.run().await }), now }
}

async fn until(world: &World, second: i64) {
    let at = Timestamp::from_second(START + second).expect("in range");
    let wait = Duration::try_from(at.duration_since((world.now)())).expect("ahead");
    tokio::time::sleep(wait).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_reader_gets_the_last_instant_at_once_and_then_every_interval() {
    let world = world();
    let reading = world.collector.reading("a", Duration::from_secs(1)).await.expect("an answer");
    assert_eq!(reading.asked_at.as_second(), START, "asked at 5 s, evaluated at the multiple before");
    until(&world, 46).await;
    assert_eq!(world.fake.calls("a"), [0, 15, 30, 45]);
    assert_eq!(world.fake.calls("b"), [0_i64; 0], "nobody wants b");
    assert!(world.collector.reading("unknown", Duration::from_secs(1)).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn urgent_signals_are_asked_for_every_two_seconds() {
    let world = world();
    world.collector.hold(["a", "b"].map(str::to_owned));
    world.collector.hurry(["a".to_owned()]);
    until(&world, 17).await;
    assert_eq!(world.fake.calls("a"), [0, 6, 8, 10, 12, 14, 15, 16]);
    assert_eq!(world.fake.calls("b"), [0, 15]);
    world.collector.hurry([]);
    until(&world, 31).await;
    assert_eq!(world.fake.calls("a").last_chunk(), Some(&[16, 30]));
}

#[tokio::test(start_paused = true)]
async fn demand_ends_after_ten_minutes_unless_a_policy_holds_the_signal() {
    let world = world();
    world.collector.hold(["b".to_owned()]);
    world.collector.reading("a", Duration::from_secs(1)).await.expect("an answer");
    until(&world, 700).await;
    assert_eq!(world.fake.calls("a").last(), Some(&600), "asked last at 5 s");
    assert_eq!(world.fake.calls("b").last(), Some(&690));
    assert!(world.collector.snapshot().reading("a").is_none(), "old numbers go with the demand");
    world.collector.hold([]);
    until(&world, 800).await;
    assert_eq!(world.fake.calls("b").last(), Some(&690), "a standby queries nothing");
}

#[tokio::test(start_paused = true)]
async fn one_signal_that_hangs_or_fails_touches_no_other() {
    let world = world();
    world.fake.set_broken("fails", true);
    world.collector.hold(["a", "hangs", "fails"].map(str::to_owned));
    until(&world, 32).await;
    assert_eq!(world.fake.calls("a"), [0, 15, 30]);
    let snapshot = world.collector.snapshot();
    let now = (world.now)();
    let reading = snapshot.reading("a").expect("collected");
    assert_eq!(reading.sample("ns", "pod", now).expect("fresh").time.as_second(), START + 30);
    assert_eq!(
        snapshot
            .reading("fails")
            .and_then(|reading| reading.failure(now))
            .map(ToString::to_string)
            .as_deref(),
        Some("fake: connection refused")
    );
    assert_eq!(
        snapshot
            .reading("hangs")
            .and_then(|reading| reading.failure(now))
            .map(ToString::to_string)
            .as_deref(),
        Some("fake: no answer within 10000 ms")
    );
}

#[tokio::test(start_paused = true)]
async fn a_failed_query_keeps_old_values_for_sixty_seconds_only() {
    let world = world();
    world.collector.hold(["a".to_owned()]);
    until(&world, 31).await;
    world.fake.set_broken("a", true);
    until(&world, 89).await;
    let reading = world.collector.snapshot().reading("a").cloned().expect("collected");
    assert_eq!(reading.sample("ns", "pod", (world.now)()).expect("59 s old").time.as_second(), START + 30);
    assert_eq!(reading.failure((world.now)()), None);
    until(&world, 91).await;
    assert_eq!(reading.sample("ns", "pod", (world.now)()), None);
    assert!(reading.failure((world.now)()).is_some());
    world.fake.set_broken("a", false);
    until(&world, 106).await;
    let reading = world.collector.snapshot().reading("a").cloned().expect("collected");
    assert_eq!(reading.failure((world.now)()), None);
    assert_eq!(reading.sample("ns", "pod", (world.now)()).expect("back").time.as_second(), START + 105);
}

#[tokio::test(start_paused = true)]
async fn snapshots_of_one_instant_are_published_once() {
    let world = world();
    let mut snapshots = world.collector.subscribe();
    world.collector.hold(["a", "b"].map(str::to_owned));
    until(&world, 14).await;
    snapshots.mark_unchanged();
    let published = Arc::new(AtomicI64::new(0));
    let counter = published.clone();
    let counting = tokio::spawn(async move {
        while snapshots.changed().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    until(&world, 29).await;
    assert_eq!(published.load(Ordering::Relaxed), 1);
    counting.abort();
    world.running.abort();
}

#[test]
fn instants_are_multiples_of_the_interval() {
    let at = |millisecond| Timestamp::from_millisecond(millisecond).expect("in range");
    for (now, interval, want) in [
        (14_999, 15_000, 0),
        (15_000, 15_000, 15_000),
        (29_999, 15_000, 15_000),
        (1_250, 1_000, 1_000),
        (-1, 1_000, -1_000),
    ] {
        assert_eq!(aligned(at(now), Duration::from_millis(interval)), at(want), "{now} every {interval}");
    }
}
