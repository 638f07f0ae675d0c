//! What one full sync of the controller costs, without an API server: observe from the caches, decide, compare.
//!
//! 1,000 to 30,000 groups of three roles, twelve pods each; the caches are filled with objects as a watch sends them.
//! Goals: 10,000 groups within 1 s on one core and 1 GiB, and a cost that grows with the groups and no faster. The
//! bench fails when one is missed.
//!
//! A thousand groups cost less each than three thousand, because all that they consist of stays in the processor's
//! caches between two syncs. Beyond, every group is read from memory once, so growth is measured from where most is.

#![expect(clippy::expect_used, reason = "a benchmark's own input is right, or it ends")]

mod fleet;

use std::{fs, sync::Arc, time::Duration};

use jiff::Timestamp;
use kube::Client;
use rbg_autoscaler_controller::{
    events::Recorder,
    reconcile::{Reconciler, Task, Turn},
};

use self::fleet::{ApiServer, Fleet};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const GOAL_TIME: Duration = Duration::from_secs(1);
const GOAL_MEMORY_MIB: u64 = 1024;
/// How much more one of ten times as many groups may cost, once they do not stay in the processor's caches.
const GOAL_GROWTH: f64 = 1.5;
/// Syncs that are timed, of which the median counts.
const SYNCS: usize = 7;

/// What was measured of one size.
struct Measured {
    groups: u32,
    steady: Duration,
    moving: Duration,
    memory_mib: u64,
}

impl Measured {
    /// Returns what a sync takes for each group, in seconds.
    fn each(&self) -> f64 {
        self.moving.as_secs_f64() / f64::from(self.groups)
    }
}

fn main() {
    // Cargo runs benches as tests, too; those shall compile and no more.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    println!("groups  pods     same metrics  other metrics  each      memory");
    let [cached, small, large, largest] = [1_000, 3_000, 10_000, 30_000].map(|groups| {
        let measured = runtime.block_on(measure(Fleet { groups }));
        println!(
            "{groups:<7} {:<8} {:<13} {:<14} {:<9} {} MiB",
            groups * fleet::PODS_PER_GROUP,
            format!("{:.1} ms", measured.steady.as_secs_f64() * 1e3),
            format!("{:.1} ms", measured.moving.as_secs_f64() * 1e3),
            format!("{:.1} µs", measured.each() * 1e6),
            measured.memory_mib,
        );
        measured
    });
    let growth = largest.each() / small.each();
    println!(
        "one of 10,000 groups costs {:.2} times what one of 1,000 costs, one of 30,000 {growth:.2} times what one of 3,000 costs",
        large.each() / cached.each(),
    );
    assert!(large.moving <= GOAL_TIME, "the goal is {GOAL_TIME:?}");
    assert!(large.memory_mib <= GOAL_MEMORY_MIB, "the goal is {GOAL_MEMORY_MIB} MiB");
    assert!(growth <= GOAL_GROWTH, "the goal is {GOAL_GROWTH} times");
}

async fn measure(fleet: Fleet) -> Measured {
    let mut reconciler = Reconciler::default();
    fleet.fill(&mut reconciler.world);
    let server = ApiServer::default();
    let client = server.client();
    let mut now = Timestamp::from_second(1_800_000_000).expect("a time");
    // The first sync tells every policy's first status; some later ones tell what changes as windows pass.
    for round in 0_u32.. {
        reconciler.metrics = fleet.metrics(now, 0);
        let tasks = sync(&mut reconciler, now);
        if tasks.is_empty() {
            break;
        }
        assert!(round < 10, "{} groups do not come to rest", tasks.len());
        run(&mut reconciler, &client, tasks, now).await;
        server.tell(&mut reconciler.world);
        now += Duration::from_secs(5);
    }
    let memory_mib = resident_mib();
    let mut steady = timed(&mut reconciler, fleet, &mut now, |_| 0);
    let mut moving = timed(&mut reconciler, fleet, &mut now, |round| round + 1);
    let groups = u32::try_from(fleet.groups).expect("a number of groups");
    Measured { groups, steady: median(&mut steady), moving: median(&mut moving), memory_mib }
}

/// Times syncs five seconds apart; `seed` says which metrics each sees.
fn timed(
    reconciler: &mut Reconciler,
    fleet: Fleet,
    now: &mut Timestamp,
    seed: impl Fn(usize) -> usize,
) -> Vec<Duration> {
    let mut times = Vec::with_capacity(SYNCS);
    for round in 0..SYNCS {
        *now += Duration::from_secs(5);
        reconciler.metrics = fleet.metrics(*now, seed(round));
        let began = processor_time();
        let tasks = sync(reconciler, *now);
        times.push(processor_time().saturating_sub(began));
        assert!(tasks.is_empty(), "{} groups would write", tasks.len());
    }
    times
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// One full sync, as the control loop does it.
fn sync(reconciler: &mut Reconciler, now: Timestamp) -> Vec<Task> {
    reconciler.forget();
    let mut tasks = Vec::new();
    for group in reconciler.world.all_groups().iter() {
        match reconciler.turn(group, now) {
            Turn::Quiet => {}
            Turn::Waiting => unreachable!("nothing is under way between two syncs"),
            Turn::Errand(task) => tasks.push(task),
        }
    }
    assert!(!reconciler.signals().is_empty());
    tasks
}

async fn run(reconciler: &mut Reconciler, client: &Client, tasks: Vec<Task>, now: Timestamp) {
    let (recorder, mut happenings) = Recorder::to_queue();
    for task in tasks {
        let returned = task.run(client.clone(), recorder.clone(), Arc::default()).await;
        reconciler.settle(&returned, now);
        while happenings.try_recv().is_ok() {}
    }
}

/// Returns the processor time of this thread: what else the machine does is not in it.
fn processor_time() -> Duration {
    // The kernel adds up at ticks, four milliseconds apart, and whenever a thread yields.
    std::thread::yield_now();
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(nanoseconds.expect("Linux tells the processor time of a thread"))
}

/// Returns the memory that the process holds.
fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.expect("Linux tells the resident memory") / 1024
}
