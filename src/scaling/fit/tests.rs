use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use proptest::prelude::*;
use serde_json::{from_value, json};

use super::*;
use crate::scaling::sketch::{Sketch, propose};

/// What each role may grow to, and why not further.
fn fit(sketch: &Sketch, wanted: &[u32]) -> Vec<(u32, Option<String>, Option<String>)> {
    let mut draft = sketch.draft();
    propose(&mut draft, wanted);
    let mut found: Vec<_> = wanted.iter().map(|number| (*number, None, None)).collect();
    for fitting in group(&draft) {
        found[fitting.role] = (fitting.replicas.get(), fitting.refusal, fitting.unknown);
    }
    found
}

fn numbers(sketch: &Sketch, wanted: &[u32]) -> Vec<u32> {
    fit(sketch, wanted).into_iter().map(|(number, ..)| number).collect()
}

#[test]
fn only_whole_gangs_fit_and_partners_come_along() {
    let lockstep = || Sketch::of(&[("prefill", 2, 1), ("decode", 4, 2)]).ratio(0, 1, "1:2", "1:2");
    for (name, sketch, wanted, want) in [
        (
            "eight pods a gang, room for two and a half, four wanted",
            Sketch::of(&[("decode", 0, 8)]).cluster(&[8, 8, 4], &[(1, 1)]),
            vec![32],
            vec![16],
        ),
        (
            "a replica of eight pods is a gang by itself",
            Sketch::of(&[("decode", 0, 1)]).cluster(&[8, 8, 4], &[(8, 1)]),
            vec![4],
            vec![2],
        ),
        (
            "pods that take a node each",
            Sketch::of(&[("decode", 0, 2)]).cluster(&[8, 8, 7, 8], &[(1, 8)]),
            vec![4],
            vec![2],
        ),
        (
            "off the grid, the gang is completed first",
            Sketch::of(&[("decode", 5, 4)]).cluster(&[4], &[(1, 1)]),
            vec![12],
            vec![8],
        ),
        (
            "off the grid, not even that",
            Sketch::of(&[("decode", 5, 4)]).cluster(&[2], &[(1, 1)]),
            vec![12],
            vec![5],
        ),
        (
            "lockstep: as far as both fit",
            lockstep().cluster(&[8, 8], &[(1, 4), (1, 2)]),
            vec![6, 12],
            vec![4, 8],
        ),
        ("lockstep: not at all", lockstep().cluster(&[4, 3], &[(1, 4), (1, 2)]), vec![6, 12], vec![2, 4]),
        (
            "a poor side may catch up bit by bit",
            Sketch::of(&[("prefill", 10, 1), ("decode", 1, 1)])
                .ratio(0, 1, "", "1:1")
                .cluster(&[5], &[(1, 1), (1, 1)]),
            vec![10, 10],
            vec![10, 6],
        ),
        (
            "a rich side takes its poor partner along, as far as there is room for both",
            Sketch::of(&[("prefill", 4, 1), ("decode", 4, 1)])
                .ratio(0, 1, "", "1:1")
                .cluster(&[5], &[(1, 1), (1, 1)]),
            vec![9, 9],
            vec![6, 7],
        ),
        (
            "roles without a ratio share what is there",
            Sketch::of(&[("a", 0, 1), ("b", 0, 1)]).cluster(&[6], &[(1, 1), (1, 1)]),
            vec![6, 6],
            vec![3, 3],
        ),
        ("nothing fits on no nodes", Sketch::of(&[("a", 2, 1)]).cluster(&[], &[(1, 1)]), vec![3], vec![2]),
        ("no growth is asked for", Sketch::of(&[("a", 2, 1)]).cluster(&[], &[(1, 1)]), vec![1], vec![1]),
    ] {
        assert_eq!(numbers(&sketch, &wanted), want, "{name}");
    }
}

#[test]
fn what_was_asked_for_earlier_takes_room_first() {
    // Four are asked for and two have pods; of five free GPUs the other two take two.
    let sketch = |listed: usize| {
        let mut sketch = Sketch::of(&[("decode", 4, 1), ("other", 1, 1)]).cluster(&[5], &[(1, 1), (1, 1)]);
        sketch.role(0).replicas.truncate(listed);
        sketch
    };
    assert_eq!(numbers(&sketch(4), &[12, 1]), [9, 1], "all have pods");
    assert_eq!(numbers(&sketch(2), &[12, 1]), [7, 1], "two have none yet");
    assert_eq!(numbers(&sketch(0), &[12, 1]), [9, 1], "no pods are listed at all, which says nothing");
    assert_eq!(numbers(&sketch(2), &[4, 12]), [4, 4], "a partner waits for them too");
    assert_eq!(numbers(&sketch(2), &[3, 12]), [3, 5], "but not for one that is given up");

    // Room that is reserved for one of them counts once.
    let mut reserved = sketch(2);
    let capacity = Arc::make_mut(reserved.seen.capacity.as_mut().expect("a cluster"));
    let spec = reserved.seen.roles[0].as_ref().expect("decode").templates[0].1.clone();
    let place = Reservation { node: "n0".to_owned(), ..Reservation::of_pod(&spec, true) };
    capacity.reserved = vec![place; 1];
    assert_eq!(numbers(&reserved, &[12, 1]), [7, 1], "one of two is reserved");
    let capacity = Arc::make_mut(reserved.seen.capacity.as_mut().expect("a cluster"));
    capacity.reserved.extend([capacity.reserved[0].clone(), capacity.reserved[0].clone()]);
    assert_eq!(numbers(&reserved, &[12, 1]), [6, 1], "two, and one of another group");
}

#[test]
fn refusals_name_the_shortage_and_the_closest_nodes() {
    let sketch = Sketch::of(&[("decode", 0, 2)]).cluster(&[8, 7, 3], &[(1, 8)]);
    let [(0, Some(refusal), None)] = &fit(&sketch, &[2])[..] else { panic!("refused") };
    assert_eq!(refusal, "nvidia.com/gpu is short: 2 pods need 8 each, n0 has 8, n1 has 7");

    let mut sketch = Sketch::of(&[("decode", 0, 1)]).cluster(&[8, 8], &[(1, 8)]);
    sketch.role(0).templates[0].1.node_selector = Some([("gpu".to_owned(), "h100".to_owned())].into());
    let [(0, Some(refusal), None)] = &fit(&sketch, &[2])[..] else { panic!("refused") };
    assert_eq!(refusal, "no node takes its pods (2 not selected)");

    let sketch = Sketch::of(&[("decode", 0, 1)]).cluster(&[], &[(1, 8)]);
    let [(0, Some(refusal), None)] = &fit(&sketch, &[2])[..] else { panic!("refused") };
    assert_eq!(refusal, "there are no nodes");
}

#[test]
fn what_cannot_be_told_is_taken_as_fitting() {
    let plain = || Sketch::of(&[("decode", 0, 1)]);
    assert_eq!(fit(&plain(), &[9]), [(9, None, Some("the nodes are not known".to_owned()))]);
    let mut sketch = plain().cluster(&[8], &[(1, 8)]);
    sketch.role(0).templates.clear();
    assert_eq!(fit(&sketch, &[9]), [(9, None, Some("its pods are not known".to_owned()))]);
    let mut sketch = plain().cluster(&[8], &[(1, 8)]);
    sketch.role(0).templates[0].1.volumes =
        from_value(json!([{"name": "weights", "persistentVolumeClaim": {"claimName": "weights"}}]))
            .expect("volumes");
    assert_eq!(fit(&sketch, &[1]), [(1, None, Some("volumes cannot be modelled".to_owned()))]);
    let mut strange = plain().cluster(&[8], &[(1, 8)]);
    let container = json!({"name": "c", "resources": {"requests": {"nvidia.com/gpu": "many"}}});
    strange.role(0).templates[0].1.containers = vec![from_value(container).expect("a container")];
    assert_eq!(fit(&strange, &[9]), [(9, None, Some("its requests cannot be read".to_owned()))]);
    let [(1, Some(refusal), _)] = &fit(&sketch, &[2])[..] else {
        panic!("GPUs that are not there are not there")
    };
    assert!(refusal.contains("nvidia.com/gpu is short"), "{refusal}");
}

#[test]
fn waiting_pods_of_a_priority_take_room_first() {
    let with = |waiting: Option<i32>, own: Option<i32>, class: Option<&str>| {
        let mut sketch = Sketch::of(&[("decode", 0, 1)]).cluster(&[8], &[(1, 8)]);
        let template = &mut sketch.role(0).templates[0].1;
        (template.priority, template.priority_class_name) = (own, class.map(str::to_owned));
        let capacity = sketch.seen.capacity.as_mut().and_then(Arc::get_mut).expect("not shared");
        let requests = json!({"nvidia.com/gpu": "8"});
        let spec =
            json!({"priority": waiting, "containers": [{"name": "c", "resources": {"requests": requests}}]});
        let job: Pod = from_value(json!({"metadata": {"name": "job"}, "spec": spec})).expect("a pod");
        capacity.pods = vec![job.into()];
        numbers(&sketch, &[1])[0]
    };
    assert_eq!(with(None, None, None), 0, "the same priority");
    assert_eq!(with(Some(5), Some(10), None), 1, "a lower one");
    assert_eq!(with(Some(20), Some(10), None), 0, "a higher one");
    assert_eq!(with(Some(-5), None, Some("inference")), 0, "a class that is not resolved is last in line");
}

#[test]
fn pods_that_are_summed_take_what_they_take_when_listed() {
    let on_node = |name: &str, gpus: &str, port: i32| -> Pod {
        let container = json!({"name": "c", "resources": {"limits": {"nvidia.com/gpu": gpus}},
            "ports": [{"containerPort": 80, "hostPort": port}]});
        from_value(json!({"metadata": {"name": name}, "spec": {"nodeName": "n0", "containers": [container]}}))
            .expect("a pod")
    };
    let sketch = |port: i32| {
        let mut sketch = Sketch::of(&[("decode", 0, 1)]).cluster(&[8], &[(1, 2)]);
        let container = &mut sketch.role(0).templates[0].1.containers[0];
        let own = json!([{"containerPort": 8000, "hostPort": port}]);
        container.ports = Some(from_value(own).expect("ports"));
        sketch
    };
    for (port, want) in [(8000, 1), (80, 0)] {
        let pods = [on_node("a", "1", 80), on_node("b", "4", 81)];
        let mut listed = sketch(port);
        let capacity = listed.seen.capacity.as_mut().and_then(Arc::get_mut).expect("not shared");
        capacity.pods = pods.iter().cloned().map(Arc::new).collect();
        let mut summed = sketch(port);
        let capacity = summed.seen.capacity.as_mut().and_then(Arc::get_mut).expect("not shared");
        let taken =
            pods.iter().filter_map(|pod| pod.spec.as_ref()).map(|spec| Reservation::of_pod(spec, true));
        capacity.taken = Arc::new(taken.collect());
        assert_eq!((numbers(&listed, &[2]), numbers(&summed, &[2])), (vec![want], vec![want]), "port {port}");
    }
}

#[test]
fn placements_become_reservations_of_the_gangs_asked_for() {
    let sketch = Sketch::of(&[("decode", 1, 1)]).cluster(&[8, 4], &[(2, 4)]);
    let mut draft = sketch.draft();
    propose(&mut draft, &[4]);
    let found = group(&draft);
    let placed: Vec<_> = found[0].placed.iter().map(|(top, room)| (top.get(), room.node.as_str())).collect();
    assert_eq!(placed, [(2, "n1"), (2, "n0")], "one more replica: its two pods, the tightest node first");
    let taken = &found[0].placed[0].1.requests;
    let want = [("nvidia.com/gpu", 4), ("pods", 1)].map(|(name, value)| (name.to_owned(), value));
    assert_eq!(*taken, want.map(|(name, value)| (name, MilliValue::from_whole(value))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_depends_on_the_order_and_alike_pods_are_placed_as_well_as_can_be(
        free in prop::collection::vec(0..9_u32, 0..6), gang in 1..4_u32, gpus in 1..5_u32, pods in 1..3_u32,
        current in 0..6_u32, wanted in 0..20_u32,
    ) {
        let current = current * gang;
        let wanted = wanted * gang;
        let sketch = Sketch::of(&[("decode", current, gang)]).cluster(&free, &[(pods, gpus)]);
        let found = numbers(&sketch, &[wanted])[0];
        let room: u32 = free.iter().map(|free| free / gpus).sum();
        let best = current + room / (gang * pods) * gang;
        prop_assert_eq!(found, if wanted > current { wanted.min(best) } else { wanted });

        let mut shuffled = sketch.clone();
        let capacity = shuffled.seen.capacity.as_mut().map(Arc::make_mut).expect("set");
        let nodes: &mut Vec<Node> = Arc::make_mut(capacity.nodes.as_mut().expect("set"));
        nodes.reverse();
        prop_assert_eq!(fit(&shuffled, &[wanted]), fit(&sketch, &[wanted]));
    }

    #[test]
    fn roles_get_the_same_in_any_order_and_keep_their_ratio(
        free in prop::collection::vec(0..9_u32, 0..6), prefill in 0..4_u32, more in 0..8_u32, size in 1..3_u32,
    ) {
        // Lockstep 1:2 with decode in gangs of two: what was kept before is kept after.
        let (decode, wanted) = (2 * prefill, prefill + more);
        let one = Sketch::of(&[("prefill", prefill, 1), ("decode", decode, 2)])
            .ratio(0, 1, "1:2", "1:2").cluster(&free, &[(1, size), (1, 2)]);
        let other = Sketch::of(&[("decode", decode, 2), ("prefill", prefill, 1)])
            .ratio(1, 0, "1:2", "1:2").cluster(&free, &[(1, 2), (1, size)]);
        let found = numbers(&one, &[wanted, 2 * wanted]);
        prop_assert_eq!(found[1], 2 * found[0]);
        let mut turned = numbers(&other, &[2 * wanted, wanted]);
        turned.reverse();
        prop_assert_eq!(found, turned);
    }
}
