use std::{collections::BTreeMap, time::Duration};

use super::*;
use crate::fleet::{exposition::Dialect, model::Model, trace::Trace};

fn endpoint(index: u8, model: Model) -> Endpoint {
    Endpoint {
        namespace: "n".to_owned(),
        name: format!("p-{index}"),
        uid: format!("u-{index}"),
        labels: BTreeMap::new(),
        address: Some(Ipv4Addr::new(127, 1, 0, index)),
        bound: true,
        ready: true,
        terminating: false,
        replica_size: 1,
        gang: 1,
        dialect: Dialect::Vllm,
        model,
    }
}

fn pool_of(replicas: u8, model: Model) -> Pool {
    let mut pool = Pool::new(1.0, 0.0);
    pool.replace((1..=replicas).map(|index| endpoint(index, model)).collect(), SimTime::ZERO);
    pool
}

fn everything() -> Target {
    Target::labels("n", &[])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Replays the chat trace at a steady rate per replica; the first 300 s are left out.
fn steady(replicas: u8, model: Model, rate: f64, minutes: u64) -> Summary {
    let end = seconds(minutes * 60);
    let rate = rate * f64::from(replicas);
    let trace = Trace::azure_conversation().expect("a trace").shaped(&[(seconds(0), rate), (end, rate)], 1);
    let mut pool = pool_of(replicas, model);
    let load = pool.add_load(Load::once(everything(), trace), SimTime::ZERO);
    pool.advance(SimTime::ZERO.plus(end));
    pool.summary(load, SimTime::from_seconds(300.0)).expect("a load")
}

#[test]
fn a_70b_replica_sustains_about_four_and_a_half_chats_per_second() {
    let below = steady(8, Model::LLAMA_70B_TP4, 4.5, 30);
    assert!(below.attainment() >= 0.99, "{below}");
    let above = steady(8, Model::LLAMA_70B_TP4, 5.5, 30);
    assert!(above.attainment() < 0.9, "{above}");
}

#[test]
fn nothing_is_lost_when_pods_come_and_go() {
    let trace = Trace::azure_conversation().expect("a trace");
    let total = u64::try_from(trace.arrivals().len()).expect("small");
    let mut pool = Pool::new(1.0, 0.0);
    let load = pool.add_load(Load::once(everything(), trace), SimTime::ZERO);
    let mut now = SimTime::ZERO;
    for round in 0..60_u8 {
        now = now.plus(seconds(60));
        let pods = (0..round % 5)
            .map(|index| Endpoint { uid: format!("u-{}", round / 3), ..endpoint(index, Model::LLAMA_8B) });
        pool.replace(pods.collect(), now);
        let sample = pool.sample(load, now).expect("a load");
        assert_eq!(sample.ready_replicas, u32::from(round % 5));
        assert!(
            sample.ready_replicas == 0 || sample.held == 0,
            "held while {} are ready",
            sample.ready_replicas
        );
    }
    pool.put(endpoint(1, Model::LLAMA_8B), now);
    pool.advance(now.plus(seconds(7200)));
    let summary = pool.summary(load, SimTime::ZERO).expect("a load");
    assert_eq!((summary.sent, summary.completed, summary.overdue), (total, total, 0));
    assert!(summary.resent > 0, "pods were lost with requests in them");
}

#[test]
fn spreads_by_pending_work_over_ready_replicas_only() {
    let mut pool = pool_of(4, Model::LLAMA_70B_TP4);
    pool.put(Endpoint { ready: false, ..endpoint(4, Model::LLAMA_70B_TP4) }, SimTime::ZERO);
    let trace = Trace::azure_conversation().expect("a trace");
    let load = pool.add_load(Load::once(everything(), trace), SimTime::ZERO);
    pool.advance(SimTime::from_seconds(600.0));
    let finished: Vec<u64> = pool
        .members
        .iter()
        .map(|member| member.engine.as_ref().map_or(0, |engine| engine.statistics().finished))
        .collect();
    assert_eq!(finished[3], 0);
    let (least, most) = (finished[..3].iter().min(), finished[..3].iter().max());
    assert!(most <= least.map(|least| least * 12 / 10).as_ref(), "uneven: {finished:?}");
    assert_eq!(pool.sample(load, SimTime::from_seconds(600.0)).expect("a load").ready_replicas, 3);
}

#[test]
fn a_leader_serves_only_while_its_replica_is_whole() {
    let pod = |index: u8, ready: bool| Endpoint {
        labels: BTreeMap::from([
            ("rbg.workloads.x-k8s.io/role-instance-name".to_owned(), "g-decode-0".to_owned()),
            ("rbg.workloads.x-k8s.io/component-index".to_owned(), index.to_string()),
        ]),
        ready,
        replica_size: 2,
        ..endpoint(index, Model::LLAMA_8B)
    };
    let mut pool = Pool::new(1.0, 0.0);
    let trace = Trace::azure_conversation().expect("a trace");
    let load = pool.add_load(Load::once(everything(), trace), SimTime::ZERO);
    let replicas = |pool: &mut Pool, at: u32| {
        pool.sample(load, SimTime::from_seconds(f64::from(at))).expect("a load").ready_replicas
    };
    pool.put(pod(0, true), SimTime::ZERO);
    assert_eq!(replicas(&mut pool, 10), 0, "a worker is missing");
    pool.put(pod(1, false), SimTime::ZERO);
    assert_eq!(replicas(&mut pool, 20), 0, "the worker is not ready");
    pool.put(pod(1, true), SimTime::ZERO);
    assert_eq!(replicas(&mut pool, 60), 1);
    let leader = Ipv4Addr::new(127, 1, 0, 0);
    let worker = Ipv4Addr::new(127, 1, 0, 1);
    assert!(matches!(pool.ask(leader, Path::Metrics, SimTime::ZERO), Answer::Page(_)));
    assert_eq!(pool.ask(worker, Path::Metrics, SimTime::ZERO), Answer::NotFound);

    let busy = pool.sample(load, SimTime::from_seconds(100.0)).expect("a load");
    assert!(busy.running > 0 && busy.held == 0);
    pool.remove("n", "p-1", "another", SimTime::from_seconds(100.0));
    assert_eq!(replicas(&mut pool, 100), 1, "another pod of that name was meant");
    pool.remove("n", "p-1", "u-1", SimTime::from_seconds(100.0));
    let broken = pool.sample(load, SimTime::from_seconds(100.0)).expect("a load");
    assert_eq!((broken.ready_replicas, broken.running), (0, 0));
    assert!(broken.held >= busy.running, "its requests are back at the gateway");
}

#[test]
fn a_terminating_pod_finishes_what_it_has() {
    let mut pool = pool_of(1, Model::LLAMA_8B);
    let trace = Trace::azure_conversation().expect("a trace");
    let load = pool.add_load(Load::once(everything(), trace), SimTime::ZERO);
    let at = SimTime::from_seconds(100.0);
    let before = pool.sample(load, at).expect("a load");
    assert!(before.running > 0);
    pool.put(Endpoint { terminating: true, ..endpoint(1, Model::LLAMA_8B) }, at);
    let after = pool.sample(load, SimTime::from_seconds(160.0)).expect("a load");
    assert_eq!((after.ready_replicas, after.running, after.waiting), (0, 0, 0));
    assert!(after.completed >= before.running && after.held > 0);
    assert_eq!(pool.summary(load, SimTime::ZERO).expect("a load").resent, 0);
}

#[test]
fn pins_and_faults_hold_for_present_and_future_pods() {
    let mut pool = pool_of(1, Model::LLAMA_8B);
    let one = Ipv4Addr::new(127, 1, 0, 1);
    let two = Ipv4Addr::new(127, 1, 0, 2);
    let waiting = |pool: &mut Pool, address, at: u32| {
        let Answer::Page(page) = pool.ask(address, Path::Metrics, SimTime::from_seconds(f64::from(at)))
        else {
            return None;
        };
        let line = page.lines().find(|line| line.starts_with("vllm:num_requests_waiting{"))?;
        line.rsplit(' ').next().map(str::to_owned)
    };
    assert_eq!(waiting(&mut pool, one, 0).as_deref(), Some("0.0"));
    pool.pin(everything(), Some(Pin::queue_length(12.0)), SimTime::ZERO);
    pool.pin(Target::pod("n", "p-2"), Some(Pin::queue_length(30.0)), SimTime::ZERO);
    pool.put(endpoint(2, Model::LLAMA_8B), SimTime::ZERO);
    assert_eq!(waiting(&mut pool, one, 1).as_deref(), Some("12.0"));
    assert_eq!(waiting(&mut pool, two, 1).as_deref(), Some("30.0"), "the later pin wins");
    pool.pin(Target::pod("n", "p-2"), None, SimTime::ZERO);
    assert_eq!(waiting(&mut pool, two, 2).as_deref(), Some("12.0"));

    pool.fault(Target::pod("n", "p-1"), Some(Fault::NotANumber), SimTime::ZERO);
    assert_eq!(waiting(&mut pool, one, 3).as_deref(), Some("NaN"));
    for (fault, want) in [
        (Fault::Error, Answer::Error),
        (Fault::Hang, Answer::Hang),
        (Fault::Empty, Answer::Page("\n".to_owned())),
    ] {
        pool.fault(everything(), Some(fault), SimTime::ZERO);
        assert_eq!(pool.ask(two, Path::Metrics, SimTime::ZERO), want);
        assert_eq!(pool.ask(two, Path::Health, SimTime::ZERO), Answer::Page(String::new()));
    }
    pool.fault(everything(), None, SimTime::ZERO);
    assert_eq!(waiting(&mut pool, two, 4).as_deref(), Some("12.0"));
    assert_eq!(pool.ask(Ipv4Addr::LOCALHOST, Path::Metrics, SimTime::ZERO), Answer::NotFound);
    assert_eq!(pool.ask(two, Path::Loads, SimTime::ZERO), Answer::NotFound, "vLLM has no such page");
}

#[test]
fn a_gateway_shows_what_it_holds_for_its_group() {
    let gateway = |index: u8, group: &str| Endpoint {
        dialect: Dialect::Gateway,
        labels: BTreeMap::from([(crate::rbg::labels::GROUP_NAME.to_owned(), group.to_owned())]),
        ..endpoint(index, Model::LLAMA_8B)
    };
    let mut pool = Pool::new(1.0, 0.0);
    pool.replace(vec![gateway(1, "g"), gateway(2, "g"), gateway(3, "other")], SimTime::ZERO);
    let trace = Trace::parse("arrival_seconds,input_tokens,output_tokens\n0.5,100,10\n1.0,50,10\n");
    let load = Load::once(Target::role("n", "g", "decode"), trace.expect("a trace"));
    pool.add_load(load, SimTime::ZERO);
    let now = SimTime::from_seconds(2.0);
    let mut queue = |index: u8| {
        let Answer::Page(page) = pool.ask(Ipv4Addr::new(127, 1, 0, index), Path::Metrics, now) else {
            panic!("no page")
        };
        let line = page.lines().find(|line| line.starts_with("inference_extension_flow_control_queue_size"));
        line.and_then(|line| line.rsplit_once(' ')).map(|(_, value)| value.to_owned())
    };
    assert_eq!([1, 2, 3].map(&mut queue).map(Option::unwrap), ["2.0", "0.0", "0.0"]);
}

#[test]
fn a_gang_serves_only_while_all_its_replicas_are_ready() {
    let pod = |index: u8, ready: bool| Endpoint {
        labels: BTreeMap::from([(crate::rbg::labels::ROLE_INSTANCE_INDEX.to_owned(), index.to_string())]),
        ready,
        gang: 2,
        ..endpoint(index, Model::LLAMA_8B)
    };
    let mut pool = Pool::new(1.0, 0.0);
    let load =
        pool.add_load(Load::once(everything(), Trace::azure_conversation().expect("a trace")), SimTime::ZERO);
    for (second, ready, want) in [
        (1, [true, false, true], 0),
        (2, [true, true, true], 2),
        (3, [true, true, false], 2),
        (4, [false, true, true], 0),
    ] {
        let now = SimTime::ZERO.plus(seconds(second));
        let pods = ready.iter().zip(0..).map(|(ready, index)| pod(index, *ready));
        pool.replace(pods.collect(), now);
        assert_eq!(pool.sample(load, now).expect("a load").ready_replicas, want, "{ready:?}");
        let whole = pool.ask(Ipv4Addr::new(127, 1, 0, 2), Path::Metrics, now);
        assert_eq!(whole, Answer::NotFound, "an engine without its peers does not start");
    }
}
