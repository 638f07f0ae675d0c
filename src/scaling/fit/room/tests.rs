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
    (0..room.nodes.len()).map(|node| room.free(node)[at] / 1000).collect()
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
    let mut need = Need::new(&room, &with);
    assert_eq!(room.put(&mut need), None);
    let mut need = Need::new(&room, &without);
    assert_eq!(room.put(&mut need), Some(0));
}

#[test]
fn pods_and_ports_are_limits_too() {
    let nodes = nodes(&[8]);
    let small = spec(0, 0, None);
    let mut room = Room::new(&nodes, &[], &[], &[&small], true);
    let mut need = Need::new(&room, &small);
    let placed = (0..6).filter(|_| room.put(&mut need).is_some()).count();
    assert_eq!(placed, 4, "the node takes four pods");

    let mut port = spec(1, 1, None);
    port.host_network = Some(true);
    port.containers[0].ports = serde_json::from_value(json!([{"containerPort": 8000}])).expect("ports");
    let mut room = Room::new(&nodes, &[], &[], &[&port], true);
    let mut need = Need::new(&room, &port);
    assert_eq!((room.put(&mut need), room.put(&mut need)), (Some(0), None), "the port is taken");
    room.remove(0, &need);
    assert_eq!(room.put(&mut need), Some(0), "and free again");
}

#[test]
fn choosy_and_large_pods_go_first_and_others_make_way() {
    let nodes = nodes(&[4, 4]);
    let (any, chosen) = (spec(4, 1, None), spec(4, 1, Some(0)));
    let mut room = Room::new(&nodes, &[], &[], &[&any], true);
    let mut needs = [Need::new(&room, &any), Need::new(&room, &chosen)];
    assert!(room.put_all(&mut needs, &[0, 1], 0).is_some(), "any does not take the place of chosen");
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
    let mut needs = [Need::new(&room, &wide), Need::new(&room, &lean)];
    assert!(room.put_all(&mut needs, &[0, 1], 64).is_some());
}

#[test]
fn what_cannot_be_read_is_said() {
    let (one, strange) = (spec(1, 1, None), json!({"spec": {"nodeName": "n0"}}));
    let unreadable = |nodes: &[Node], pods: &[Pod]| {
        Room::new(nodes, &pods.iter().collect::<Vec<_>>(), &[], &[&one], true).unreadable
    };
    let mut broken = one.clone();
    let requests = json!({"requests": {"nvidia.com/gpu": "some"}});
    broken.containers[0].resources = Some(serde_json::from_value(requests).expect("resources"));
    assert_eq!(unreadable(&nodes(&[8]), &[pod("a", &one, strange.clone())]), None);
    assert_eq!(
        unreadable(&nodes(&[8]), &[pod("a", &broken, strange)]).as_deref(),
        Some("the requests of pod a cannot be read")
    );
    let mut nodes = nodes(&[8, 8]);
    let allocatable = nodes[1].status.as_mut().and_then(|status| status.allocatable.as_mut()).expect("given");
    allocatable.get_mut("nvidia.com/gpu").expect("given").0 = "eight".to_owned();
    assert_eq!(unreadable(&nodes, &[]).as_deref(), Some("nvidia.com/gpu of node n1 cannot be read"));
}

/// What one node holds must not be more than it has, whatever was put and taken.
fn sums(room: &Room<'_>, placed: &[(usize, usize)], needs: &[Need<'_>], pods: &[usize], before: &[i64]) {
    let size = room.resources.len();
    for at in 0..room.nodes.len() {
        for (resource, left) in room.free(at).iter().enumerate() {
            let taken: i64 = placed
                .iter()
                .filter(|(_, node)| *node == at)
                .map(|(pod, _)| needs[pods[*pod]].requests[resource])
                .sum();
            assert_eq!(*left, before[at * size + resource] - taken, "node {at}, resource {resource}");
            assert!(taken == 0 || *left >= 0, "node {at} holds more than it has");
        }
    }
}

/// Whether any placement exists, by trying all.
fn exists(free: &[i64], needs: &[Need<'_>], pods: &[usize]) -> bool {
    let Some((kind, rest)) = pods.split_first() else { return true };
    let need = &needs[*kind];
    let size = need.requests.len();
    need.nodes.iter().any(|at| {
        let mut next = free.to_vec();
        let node = &mut next[at * size..(at + 1) * size];
        if node.iter().zip(&need.requests).any(|(free, asked)| asked > free) {
            return false;
        }
        for (free, asked) in node.iter_mut().zip(&need.requests) {
            *free -= asked;
        }
        exists(&next, needs, rest)
    })
}

/// The fullest node that has room, by walking over all.
fn walk(room: &Room<'_>, need: &Need<'_>) -> Option<usize> {
    need.nodes.iter().copied().filter(|at| room.holds(*at, need)).min_by_key(|at| room.rest(*at))
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
        let mut needs: Vec<_> = specs.iter().map(|spec| Need::new(&room, spec)).collect();
        let all: Vec<usize> = (0..needs.len()).collect();
        let (head, tail) = all.split_at(first.min(all.len()));
        let empty = room.all_free();
        let mut now = room.all_free();
        for part in [head, tail] {
            let before = room.all_free();
            prop_assert_eq!(&before, &now);
            let possible = exists(&before, &needs, part);
            let placed = room.put_all(&mut needs, part, 4096);
            prop_assert_eq!(placed.is_some(), possible, "with patience, small cases are decided exactly");
            if let Some(placed) = placed {
                prop_assert_eq!(placed.len(), part.len());
                sums(&room, &placed, &needs, part, &before);
            } else {
                prop_assert_eq!(&room.all_free(), &before, "nothing is left behind");
            }
            now = room.all_free();
        }
        prop_assert!(now.iter().zip(&empty).all(|(now, empty)| now <= empty));
    }

    #[test]
    fn kept_in_order_nodes_are_found_as_by_walking_over_all(
        sizes in prop::collection::vec(0..9_u32, 1..7),
        kinds in prop::collection::vec((0..6_u32, 0..40_u32, prop::option::of(0..7_u32), any::<bool>()), 1..4),
        moves in prop::collection::vec((0..4_usize, any::<bool>()), 1..40),
    ) {
        let nodes = nodes(&sizes);
        let port = json!([{"containerPort": 8000, "hostPort": 8000}]);
        let specs: Vec<_> = kinds.iter().map(|(gpus, cpu, selector, on_host)| {
            let mut spec = spec(*gpus, *cpu, *selector);
            spec.containers[0].ports = on_host.then(|| serde_json::from_value(port.clone()).expect("ports"));
            spec
        }).collect();
        let mut room = Room::new(&nodes, &[], &[], &specs.iter().collect::<Vec<_>>(), true);
        let mut needs: Vec<_> = specs.iter().map(|spec| Need::new(&room, spec)).collect();
        let mut placed: Vec<(usize, usize)> = Vec::new();
        for (kind, put) in moves {
            let kind = kind % needs.len();
            let want = walk(&room, &needs[kind]);
            prop_assert_eq!(Need::now(&room, &specs[kind]).fullest(&room), want);
            if put {
                prop_assert_eq!(room.put(&mut needs[kind]), want);
                placed.extend(want.map(|at| (kind, at)));
            } else {
                if let Some((kind, at)) = placed.pop() {
                    room.remove(at, &needs[kind]);
                }
                let mut all: Vec<_> = needs[kind].nodes.clone();
                all.retain(|at| room.holds(*at, &needs[kind]));
                all.sort_by_key(|at| room.rest(*at));
                prop_assert_eq!(needs[kind].choices(&room, 99), all);
            }
        }
    }

    #[test]
    fn waiting_pods_take_the_room_that_each_would_find_alone(
        sizes in prop::collection::vec(0..9_u32, 1..5),
        waiting in prop::collection::vec((0..5_u32, 0..3_i32), 0..12),
    ) {
        let nodes = nodes(&sizes);
        let specs: Vec<_> = waiting.iter().map(|(gpus, _)| spec(*gpus, 1, None)).collect();
        let pods: Vec<_> = waiting.iter().zip(&specs).enumerate().map(|(at, ((_, priority), spec))| {
            pod(&format!("p{at:02}"), spec, json!({"spec": {"priority": priority}}))
        }).collect();
        let pods: Vec<&Pod> = pods.iter().collect();
        let specs: Vec<&PodSpec> = specs.iter().collect();
        let mut seated = Room::new(&nodes, &[], &[], &specs, true);
        let mut one_by_one = seated.clone();
        seated.seat(&pods, 1);
        let mut order: Vec<usize> = (0..pods.len()).filter(|at| waiting[*at].1 >= 1).collect();
        order.sort_by_key(|at| -waiting[*at].1);
        for at in order {
            let mut need = Need::new(&one_by_one, specs[at]);
            one_by_one.put(&mut need);
        }
        prop_assert_eq!(seated.all_free(), one_by_one.all_free());
    }
}
