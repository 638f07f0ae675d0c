//! What is summed of a few pods that come, are bound, and go.

use k8s_openapi::api::core::v1::Pod;
use rbg_autoscaler::api::rbg;
use serde_json::{Value, json};

use super::*;
use crate::cache::occupant;

fn pod(name: &str, node: &str, gpus: u32, more: &Value) -> Pod {
    let container = json!({"name": "engine", "resources": {"limits": {"nvidia.com/gpu": gpus.to_string()}}});
    let mut pod = json!({
        "metadata": {"name": name, "namespace": "a", "labels": {rbg::GROUP_NAME: "demo", rbg::ROLE_NAME: "decode"}},
        "spec": {"nodeName": node, "containers": [container], "priority": 7}, "status": {"phase": "Pending"}
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        for (name, value) in value.as_object().into_iter().flatten() {
            pod[field][name] = value.clone();
        }
    }
    serde_json::from_value(pod).expect("a pod")
}

fn gpus(tenants: &mut Tenants) -> Vec<(String, i64)> {
    let taken = tenants.taken();
    let of = |node: &Reservation| {
        let gpus = node.requests.iter().find(|(name, _)| name == "nvidia.com/gpu");
        (node.node.clone(), gpus.map_or(0, |(_, asked)| asked.milli() / 1000))
    };
    taken.iter().map(of).collect()
}

#[test]
fn what_pods_take_is_summed_by_node_and_what_goes_is_news() {
    let mut tenants = Tenants::default();
    let leaving = json!({"metadata": {"deletionTimestamp": "2026-11-21T10:00:00Z"}});
    let ended = json!({"status": {"phase": "Succeeded"}});
    let gated = json!({"spec": {"schedulingGates": [{"name": "kueue"}]}});
    let none = json!({});
    let apply = |pod: Pod| occupant::event(Event::Apply(pod));
    let delete = |pod: Pod| occupant::event(Event::Delete(pod));
    for (name, event, freed, want, waiting) in [
        ("bound", apply(pod("x", "n0", 2, &none)), false, vec![("n0", 2)], 0),
        ("another", apply(pod("y", "n0", 3, &none)), false, vec![("n0", 5)], 0),
        ("waiting", apply(pod("z", "", 4, &none)), false, vec![("n0", 5)], 1),
        ("held back by a gate", apply(pod("g", "", 4, &gated)), false, vec![("n0", 5)], 1),
        ("nothing new", apply(pod("y", "n0", 3, &none)), false, vec![("n0", 5)], 1),
        ("waited, got a node", apply(pod("z", "n1", 4, &none)), false, vec![("n0", 5), ("n1", 4)], 0),
        (
            "being deleted: still there",
            apply(pod("x", "n0", 2, &leaving)),
            false,
            vec![("n0", 5), ("n1", 4)],
            0,
        ),
        ("gone", delete(pod("x", "n0", 2, &leaving)), true, vec![("n0", 3), ("n1", 4)], 0),
        ("ended", apply(pod("y", "n0", 3, &ended)), true, vec![("n1", 4)], 0),
        ("waits again", apply(pod("w", "", 1, &none)), false, vec![("n1", 4)], 1),
        ("waits no longer", delete(pod("w", "", 1, &none)), true, vec![("n1", 4)], 0),
    ] {
        assert_eq!(tenants.take(event), freed, "{name}");
        let want: Vec<_> = want.into_iter().map(|(node, gpus)| (node.to_owned(), gpus)).collect();
        assert_eq!((gpus(&mut tenants), tenants.waiting().count()), (want, waiting), "{name}");
    }
    assert_eq!(
        tenants.of_role(&ObjectKey::new("a", "demo"), "decode"),
        (2, Some(7)),
        "gated ones too, ended ones not"
    );
    tenants.take(Event::Init);
    assert!(tenants.take(Event::InitDone), "a list that names none frees all");
    assert!(tenants.is_complete() && gpus(&mut tenants).is_empty());
    assert_eq!(tenants.of_role(&ObjectKey::new("a", "demo"), "decode"), (0, None));
}

#[test]
fn pods_that_are_listed_are_not_summed() {
    let mut tenants = Tenants::default();
    for (name, node, gpus) in [("x", "n0", 2), ("y", "n0", 3), ("z", "n1", 4)] {
        tenants.take(Event::Apply(pod(name, node, gpus, &json!({})).into()));
    }
    let keys = [ObjectKey::new("a", "y"), ObjectKey::new("a", "nobody")];
    let (rest, listed) = tenants.taken_without(&keys);
    let gpus_of = |requests: &[(String, MilliValue)]| {
        let found = requests.iter().find(|(name, _)| name == "nvidia.com/gpu");
        found.map(|(_, asked)| asked.milli() / 1000)
    };
    let rest: Vec<_> = rest.iter().map(|node| gpus_of(&node.requests)).collect();
    assert_eq!(rest, [Some(2), Some(4)]);
    let [one] = &listed[..] else { panic!("{listed:?}") };
    let spec = one.spec.as_ref().expect("a spec");
    assert_eq!(gpus_of(&Reservation::of_pod(spec, true).requests), Some(3));
    assert_eq!((one.metadata.name.as_deref(), spec.node_name.as_deref()), (Some("y"), Some("n0")));
}

#[test]
fn pods_that_take_the_same_share_it() {
    let mut tenants = Tenants::default();
    for index in 0..100 {
        let name = format!("p{index}");
        tenants.take(Event::Apply(pod(&name, "n0", 1 + index % 2, &json!({})).into()));
    }
    assert_eq!((tenants.kinds.len(), tenants.by_pod.len()), (2, 100));
}
