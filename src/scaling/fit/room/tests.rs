use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn nodes(gpus: &[u32]) -> Vec<Node> {
    let node = |(at, gpus): (usize, &u32)| {
        json!({"metadata": {"name": format!("n{at}"), "labels": {"at": at.to_string()}},
            "status": {"allocatable": {"nvidia.com/gpu": gpus.to_string(), "cpu": "64", "pods": "4"}}})
    };
    gpus.iter().enumerate().map(node).map(|node| serde_json::from_value(node).expect("a node")).collect()
}

fn spec(gpus: u32, cpu: u32, selector: Option<u32>) -> PodSpec {
    let mut value = json!({"containers": [{"name": "c", "resources":
        {"requests": {"nvidia.com/gpu": gpus.to_string(), "cpu": cpu.to_string()}}}]});
    if let Some(at) = selector {
        value["nodeSelector"] = json!({"at": at.to_string()});
    }
    serde_json::from_value(value).expect("a pod spec")
}

#[expect(clippy::needless_pass_by_value, reason = "json! makes values")]
fn pod(name: &str, spec: &PodSpec, more: Value) -> Pod {
    let mut value = json!({"metadata": {"name": name}, "spec": spec});
    for (key, part) in more.as_object().expect("an object") {
        for (field, part) in part.as_object().expect("an object") {
            value[key][field] = part.clone();
        }
    }
    serde_json::from_value(value).expect("a pod")
}

fn gpus(room: &Room<'_>) -> Vec<i64> {
    let at = room.resources.iter().position(|resource| *resource == "nvidia.com/gpu").expect("asked for");
    room.free.iter().map(|free| free[at] / 1000).collect()
}

#[test]
fn what_is_taken_is_taken_off() {
    let nodes = nodes(&[8, 8, 8]);
    let (one, two, four, eight) = (spec(1, 1, None), spec(2, 1, None), spec(4, 1, None), spec(8, 1, None));
    let pods = [
        pod("bound", &two, json!({"spec": {"nodeName": "n0"}, "status": {"phase": "Running"}})),
        pod("starting", &one, json!({"spec": {"nodeName": "n0"}, "status": {"phase": "Pending"}})),
        pod("ended", &four, json!({"spec": {"nodeName": "n0"}, "status": {"phase": "Succeeded"}})),
        pod(
            "terminating",
            &four,
            json!({"spec": {"nodeName": "n1"}, "metadata": {"deletionTimestamp": "2026-11-21T10:00:00Z"}}),
        ),
        pod("elsewhere", &four, json!({"spec": {"nodeName": "n9"}})),
    ];
    let pods: Vec<&Pod> = pods.iter().collect();
    let reserved = [Reservation {
        node: "n1".to_owned(),
        requests: vec![("nvidia.com/gpu".to_owned(), MilliValue::from_whole(3))],
        ports: Vec::new(),
    }];
    let mut room = Room::new(&nodes, &pods, &reserved, &[&eight], true);
    assert_eq!(gpus(&room), [5, 1, 8]);

    let waiting = [
        pod("low", &four, json!({"spec": {"priority": -1}})),
        pod("leaving", &eight, json!({"metadata": {"deletionTimestamp": "2026-11-21T10:00:00Z"}})),
        pod("too-large", &spec(9, 1, None), json!({"spec": {"priority": 9}})),
        pod("high", &four, json!({"spec": {"priority": 9}})),
    ];
    room.seat(&waiting.iter().collect::<Vec<_>>(), 0);
    assert_eq!(gpus(&room), [1, 1, 8], "the tightest node that holds it, and only what can be seated");
}

#[test]
fn nodes_without_a_resource_have_none_of_it_but_pods_are_unlimited() {
    let bare: Vec<Node> = vec![serde_json::from_value(json!({"metadata": {"name": "n"}})).expect("a node")];
    let (with, without) = (spec(1, 0, None), spec(0, 0, None));
    let mut room = Room::new(&bare, &[], &[], &[&with, &without], true);
    let need = room.need(&with);
    assert_eq!(room.put(&need), None);
    let need = room.need(&without);
    assert_eq!(room.put(&need), Some(0));
}

#[test]
fn pods_and_ports_are_limits_too() {
    let nodes = nodes(&[8]);
    let small = spec(0, 0, None);
    let mut room = Room::new(&nodes, &[], &[], &[&small], true);
    let need = room.need(&small);
    let placed = (0..6).filter(|_| room.put(&need).is_some()).count();
    assert_eq!(placed, 4, "the node takes four pods");

    let mut port = spec(1, 1, None);
    port.host_network = Some(true);
    port.containers[0].ports = serde_json::from_value(json!([{"containerPort": 8000}])).expect("ports");
    let mut room = Room::new(&nodes, &[], &[], &[&port], true);
    let need = room.need(&port);
    assert_eq!((room.put(&need), room.put(&need)), (Some(0), None), "the port is taken");
    room.remove(0, &need);
    assert_eq!(room.put(&need), Some(0), "and free again");
}

#[test]
fn choosy_and_large_pods_go_first_and_others_make_way() {
    let nodes = nodes(&[4, 4]);
    let (any, chosen) = (spec(4, 1, None), spec(4, 1, Some(0)));
    let mut room = Room::new(&nodes, &[], &[], &[&any], true);
    let (any, chosen) = (room.need(&any), room.need(&chosen));
    assert!(room.put_all(&[&any, &chosen], 0).is_some(), "any does not take the place of chosen");
    assert_eq!(gpus(&room), [0, 0]);

    // Best fit alone would put the first pod where the second has its only room.
    let nodes: Vec<Node> = [("n0", "8", "20"), ("n1", "8", "64")]
        .map(|(name, gpus, cpu)| {
            let value = json!({"metadata": {"name": name}, "status": {"allocatable":
                {"nvidia.com/gpu": gpus, "cpu": cpu}}});
            serde_json::from_value(value).expect("a node")
        })
        .into();
    let (wide, lean) = (spec(6, 10, None), spec(6, 30, None));
    let mut room = Room::new(&nodes, &[], &[], &[&wide, &lean], true);
    let (wide, lean) = (room.need(&wide), room.need(&lean));
    assert!(room.put_all(&[&wide, &lean], 64).is_some());
}

/// What one node holds must not be more than it has, whatever was put and taken.
fn sums(room: &Room<'_>, placed: &[(usize, usize)], needs: &[&Need<'_>], before: &[Vec<i64>]) {
    for (at, free) in room.free.iter().enumerate() {
        for (resource, left) in free.iter().enumerate() {
            let taken: i64 = placed
                .iter()
                .filter(|(_, node)| *node == at)
                .map(|(pod, _)| needs[*pod].requests[resource])
                .sum();
            assert_eq!(*left, before[at][resource] - taken, "node {at}, resource {resource}");
            assert!(taken == 0 || *left >= 0, "node {at} holds more than it has");
        }
    }
}

/// Whether any placement exists, by trying all.
fn exists(free: &mut [Vec<i64>], needs: &[&Need<'_>]) -> bool {
    let Some((need, rest)) = needs.split_first() else { return true };
    need.nodes.iter().any(|at| {
        if free[*at].iter().zip(&need.requests).any(|(free, asked)| asked > free) {
            return false;
        }
        let mut next = free.to_vec();
        for (free, asked) in next[*at].iter_mut().zip(&need.requests) {
            *free -= asked;
        }
        exists(&mut next, rest)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_is_said_to_fit_is_a_placement_and_little_is_missed(
        sizes in prop::collection::vec(0..9_u32, 1..4),
        wanted in prop::collection::vec((0..6_u32, 0..40_u32, prop::option::of(0..4_u32)), 1..6),
        first in 0..4_usize,
    ) {
        let nodes = nodes(&sizes);
        let specs: Vec<_> = wanted.iter().map(|(gpus, cpu, selector)| spec(*gpus, *cpu, *selector)).collect();
        let mut room = Room::new(&nodes, &[], &[], &specs.iter().collect::<Vec<_>>(), true);
        let needs: Vec<_> = specs.iter().map(|spec| room.need(spec)).collect();
        let all: Vec<_> = needs.iter().collect();
        let (head, tail) = all.split_at(first.min(all.len()));
        let empty = room.free.clone();
        let mut now = room.free.clone();
        for part in [head, tail] {
            let before = room.free.clone();
            prop_assert_eq!(&before, &now);
            let possible = exists(&mut before.clone(), part);
            let placed = room.put_all(part, 4096);
            prop_assert_eq!(placed.is_some(), possible, "with patience, small cases are decided exactly");
            if let Some(placed) = placed {
                prop_assert_eq!(placed.len(), part.len());
                sums(&room, &placed, part, &before);
            } else {
                prop_assert_eq!(&room.free, &before, "nothing is left behind");
            }
            now.clone_from(&room.free);
        }
        prop_assert!(now.iter().flatten().zip(empty.iter().flatten()).all(|(now, empty)| now <= empty));
    }
}
