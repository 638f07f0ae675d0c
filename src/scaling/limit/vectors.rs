//! The HPA's own figures for rate limits and bounds.

use super::*;
use crate::{
    policy::Behavior,
    vectors::{behavior, count, events, fill, int, name, now, of_scope},
};

fn both(input: &serde_json::Value) -> Vec<ScaleEvent> {
    let mut all = events(&input["history"]["scaleUpEvents"], true);
    all.extend(events(&input["history"]["scaleDownEvents"], false));
    all
}

#[test]
fn rates_are_those_of_the_hpa() {
    for vector in of_scope("rate") {
        let (input, expect) = (&vector["input"], &vector["expect"]);
        let (current, want) = (count(&input["currentReplicas"]), count(&input["desiredReplicas"]));
        let bounds = Bounds { min: count(&input["minReplicas"]), max: count(&input["maxReplicas"]) };
        let cut = with_behavior(current, want, bounds, &behavior(&input["behavior"]), &both(input), now());
        assert_eq!(i64::from(cut.replicas.get()), int(&expect["replicas"]), "{}", name(&vector));
        if let Some(reason) = expect.get("reason") {
            assert_eq!(cut.reason, reason, "{}", name(&vector));
        }
    }
}

#[test]
fn limits_are_those_of_the_hpa() {
    let vectors = crate::vectors::all();
    let limits =
        vectors.iter().filter(|vector| vector["scope"] == "limitUp" || vector["scope"] == "limitDown");
    for vector in limits {
        let input = &vector["input"];
        let way = if vector["scope"] == "limitUp" { Way::Up } else { Way::Down };
        let mut rules = if way == Way::Up { Behavior::default().up } else { Behavior::default().down };
        fill(&mut rules, &input["rules"]);
        let limit = limit(way, count(&input["currentReplicas"]), &rules, &both(input), now());
        assert_eq!(limit.count, int(&vector["expect"]["replicas"]), "{}", name(vector));
    }
}

#[test]
fn the_path_without_behavior_is_that_of_the_hpa() {
    for vector in of_scope("legacyRules") {
        let (input, expect) = (&vector["input"], &vector["expect"]);
        let float = |key: &str| input[key].as_f64().expect("a number");
        let limit = built_in_limit(
            count(&input["currentReplicas"]),
            float("legacyScaleUpFactor"),
            float("legacyScaleUpMinimum"),
        );
        let bounds = Bounds { min: count(&input["minReplicas"]), max: count(&input["maxReplicas"]) };
        let cut = cut_built_in(count(&input["desiredReplicas"]), bounds, limit);
        assert_eq!(i64::from(cut.replicas.get()), int(&expect["replicas"]), "{}", name(&vector));
        assert_eq!(cut.reason, expect["reason"], "{}", name(&vector));
    }
}
