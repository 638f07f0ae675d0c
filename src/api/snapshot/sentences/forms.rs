//! The forms that pods, readings, settings and history take in a document, and the figures that follow.

use serde_json::{Value, json};

use super::{answer, holds};

/// A ready pod that asks for one CPU.
fn pod(name: &str, labels: &Value) -> Value {
    json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {"nodeName": "n1", "containers": [{"name": "engine", "resources": {"requests": {"cpu": "1"}}}]},
        "status": {"phase": "Running", "startTime": "2026-11-21T09:00:00Z", "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-21T09:01:00Z"}]},
    })
}

/// A document of one role that has this metric and is seen so.
fn document(metric: &Value, seen: &Value) -> Value {
    json!({
        "now": "2026-11-21T10:00:00Z",
        "autoscaler": {"spec": {"groupRef": {"name": "demo"}, "roles": [
            {"name": "decode", "maxReplicas": 40, "behavior": {}, "metrics": [metric]}]}},
        "roles": {"decode": seen},
    })
}

/// What all sources of an External metric come to; ten per replica.
fn load(replicas: u32, load: u32) -> Value {
    let metric = json!({"type": "External", "external": {
        "metric": {"name": "load"}, "target": {"type": "AverageValue", "averageValue": "10"}}});
    let readings = json!([{"values": [load.to_string()]}]);
    document(
        &metric,
        &json!({"specReplicas": replicas, "history": {"recommendations": []}, "readings": readings}),
    )
}

#[test]
fn pods_become_replicas_by_their_labels() {
    let queue = json!({"name": "queue_length", "target": "10"});
    let cache = json!({"name": "kv_cache_usage", "target": "0.5"});
    let set = |group: u32, worker: u32| {
        json!({"leaderworkerset.sigs.k8s.io/group-index": group.to_string(),
            "leaderworkerset.sigs.k8s.io/worker-index": worker.to_string()})
    };
    let instance =
        |replica: u32| json!({"rbg.workloads.x-k8s.io/role-instance-name": format!("demo-decode-{replica}")});
    let leaders = json!([
        pod("x-0", &set(0, 0)),
        pod("x-0-1", &set(0, 1)),
        pod("x-1", &set(1, 0)),
        pod("x-1-1", &set(1, 1)),
    ]);
    let pairs = json!([
        pod("p", &instance(0)),
        pod("q", &instance(0)),
        pod("r", &instance(1)),
        pod("s", &instance(1)),
    ]);
    let bare = json!([pod("a", &json!({})), pod("b", &json!({}))]);
    let sample = |pod: &str, value: &str| json!({"pod": pod, "value": value});
    for (name, metric, size, pods, samples, want) in [
        // 30 and 25 over two replicas: 27.5 each, 5.5.
        (
            "only leaders report",
            &queue,
            2,
            &leaders,
            json!([sample("x-0", "30"), sample("x-1", "25"), sample("x-0-1", "900")]),
            6,
        ),
        // 12 + 14 and 20 + 4: 25 each, 5.
        (
            "what adds up is summed",
            &queue,
            2,
            &pairs,
            json!([sample("p", "12"), sample("q", "14"), sample("r", "20"), sample("s", "4")]),
            5,
        ),
        // The larger of 0.2 and 0.9, and of 0.8 and 0.1: 0.85 each, 3.4.
        (
            "of shares the largest counts",
            &cache,
            2,
            &pairs,
            json!([sample("p", "0.2"), sample("q", "0.9"), sample("r", "0.8"), sample("s", "0.1")]),
            4,
        ),
        // The second is missing and taken as 0 on the way up: 26 over two replicas are 13 each, 2.6.
        (
            "a replica has a sample only if each pod has",
            &queue,
            2,
            &pairs,
            json!([sample("p", "12"), sample("q", "14"), sample("r", "20")]),
            3,
        ),
        // 26 and 24: 25 each, 5.
        (
            "without labels each pod is a replica",
            &queue,
            1,
            &bare,
            json!([sample("a", "26"), sample("b", "24")]),
            5,
        ),
        // The second replica lacks pods and is pending, so it counts as 0: 30 over two are 15 each, 3.
        (
            "too few pods make a pending replica",
            &queue,
            2,
            &json!([pod("p", &instance(0)), pod("q", &instance(0)), pod("r", &instance(1))]),
            json!([sample("p", "10"), sample("q", "20"), sample("r", "500")]),
            3,
        ),
    ] {
        let readings = json!([{"samples": samples}]);
        let seen = json!({"specReplicas": 2, "podsPerReplica": size, "pods": pods, "readings": readings,
            "history": {"recommendations": []}});
        holds(name, &answer(&document(metric, &seen)), vec![("~/desiredReplicas", json!(want))]);
    }
}

#[test]
fn samples_that_are_not_there_are_missing() {
    let half = json!({"type": "Utilization", "averageUtilization": 50});
    let cpu = json!({"type": "Resource", "resource": {"name": "cpu", "target": half}});
    let queue = json!({"name": "queue_length", "target": "10"});
    let time = "2026-11-21T09:59:30Z";
    let used =
        |pod: &str, value: Value| json!({"pod": pod, "containers": {"engine": value}, "timestamp": time});
    let seen = |samples: Value| {
        let pods: Vec<_> = ["a", "b", "c"].iter().map(|name| pod(name, &json!({}))).collect();
        json!({"specReplicas": 3, "pods": pods, "readings": [{"samples": samples}], "history": {"recommendations": []}})
    };
    let (a, b) = (used("a", json!("900m")), used("b", json!("900m")));
    let failed = |reason: &str, text: &str| {
        vec![
            ("~/desiredReplicas", json!(3)),
            ("~/conditions/1/status", json!("False")),
            ("~/conditions/1/reason", json!(reason)),
            ("~/metrics/0/error", json!(text)),
            ("~/history/recommendations", json!([])),
            ("/writes", json!([])),
        ]
    };
    for (name, metric, samples, want) in [
        // 90 % of the requests where 50 % are wanted: 1.8 times three are 5.4.
        (
            "all report",
            &cpu,
            json!([a, b, used("c", json!("900m"))]),
            vec![("~/desiredReplicas", json!(6)), ("~/metrics/0/missingReplicas", json!(0))],
        ),
        // 90, 90 and 0 are 60 %: 1.2 times three are 3.6.
        (
            "reported without this resource",
            &cpu,
            json!([a, b, used("c", Value::Null)]),
            vec![("~/desiredReplicas", json!(4)), ("~/metrics/0/missingReplicas", json!(1))],
        ),
        (
            "a container without this resource, called as one of our fields",
            &cpu,
            json!([a, b, {"pod": "c", "containers": {"engine": "900m", "metrics": null}, "timestamp": time}]),
            vec![("~/desiredReplicas", json!(4)), ("~/metrics/0/missingReplicas", json!(1))],
        ),
        (
            "not reported",
            &cpu,
            json!([a, b]),
            vec![("~/desiredReplicas", json!(4)), ("~/metrics/0/missingReplicas", json!(1))],
        ),
        (
            "nothing answered",
            &cpu,
            json!([]),
            failed(
                "FailedGetResourceMetric",
                "unable to get metrics for resource cpu: no metrics returned from resource metrics API",
            ),
        ),
        (
            "nothing answered, short form",
            &queue,
            json!([]),
            failed(
                "FailedGetPodsMetric",
                "unable to get metric queue_length: no metrics returned from custom metrics API: no replica tells it to the collector, \
                 silent: a, b, c; see that the pods serve metrics and are scraped",
            ),
        ),
    ] {
        holds(name, &answer(&document(metric, &seen(samples))), want);
    }
}

#[test]
fn settings_are_those_of_the_document() {
    let without_behavior = |mut document: Value| {
        document["autoscaler"]["spec"]["roles"][0].as_object_mut().expect("a role").remove("behavior");
        document
    };
    for (name, mut document, settings, want) in [
        ("one step doubles the count", without_behavior(load(3, 990)), json!({}), 6),
        ("or reaches four", without_behavior(load(1, 990)), json!({}), 4),
        ("factor", without_behavior(load(3, 990)), json!({"scaleUpLimit": {"factor": 3}}), 9),
        ("minimum", without_behavior(load(1, 990)), json!({"scaleUpLimit": {"minimum": 5}}), 5),
        (
            "behavior knows neither: 100 % more or four more",
            load(3, 990),
            json!({"scaleUpLimit": {"factor": 1, "minimum": 1}}),
            7,
        ),
        ("within the tolerance, at its edge", load(10, 110), json!({}), 10),
        ("beyond it", load(10, 111), json!({}), 12),
        ("tolerance", load(10, 101), json!({"tolerance": 0}), 11),
        ("a wide tolerance", load(10, 149), json!({"tolerance": 0.5}), 10),
    ] {
        document["settings"] = settings;
        holds(name, &answer(&document), vec![("~/desiredReplicas", json!(want))]);
    }
    let mut fresh = load(6, 10);
    fresh["roles"]["decode"]["history"] = Value::Null;
    for (name, span, want, recheck) in [
        ("the HPA's five minutes", Value::Null, 6, json!("2026-11-21T10:05:00Z")),
        ("a window of a minute", json!("1m"), 6, json!("2026-11-21T10:01:00Z")),
        ("no window", json!("0s"), 1, Value::Null),
    ] {
        fresh["settings"] = json!({"downscaleStabilization": span});
        let want = vec![("~/desiredReplicas", json!(want)), ("/recheckAt", recheck)];
        holds(name, &answer(&fresh), want);
    }
}

#[test]
fn recommendations_count_in_any_order() {
    let entry = |replicas: u32, time: &str| json!({"replicas": replicas, "time": time});
    let (nine, seven, five) = (
        entry(9, "2026-11-21T09:56:00Z"),
        entry(7, "2026-11-21T09:57:00Z"),
        entry(5, "2026-11-21T09:58:00Z"),
    );
    let now = entry(1, "2026-11-21T10:00:00Z");
    for given in [json!([nine, seven, five]), json!([five, seven, nine]), json!([seven, nine, five])] {
        let mut document = load(12, 10);
        document["roles"]["decode"]["history"] = json!({"recommendations": given});
        let want = vec![
            ("~/desiredReplicas", json!(9)),
            ("~/recommendedReplicas", json!(1)),
            ("~/decision/1/stage", json!("stabilize")),
            ("~/decision/1/reason", json!("ScaleDownStabilized")),
            ("~/history/recommendations", json!([nine, seven, five, now])),
            ("/recheckAt", json!("2026-11-21T10:01:00Z")),
        ];
        holds("in any order", &answer(&document), want);
    }
}

#[test]
fn token_work_is_told_with_its_numbers() {
    let mut document = document(&json!({"name": "token_utilization", "target": "0.8"}), &json!({}));
    document["autoscaler"]["spec"]["roles"][0]["throughput"] =
        json!({"promptTokensPerSecond": "6500", "generationTokensPerSecond": "3450"});
    let pods: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| pod(name, &json!({}))).collect();
    // 52000 ÷ 6500 + 6900 ÷ 3450 = 10 in the short window, more than 8.385 in the long one; 64000 tokens beyond a second
    // of four replicas' prompt work are 64000 ÷ 6500 ÷ 60 = 0.164 more; 10.164 ÷ 0.8 = 12.7.
    document["roles"]["decode"] = json!({"specReplicas": 4, "pods": pods, "history": {"recommendations": []}, "readings": [{
        "promptTokensPerSecond": {"short": "52000", "long": "48000"},
        "generationTokensPerSecond": {"short": "6900", "long": "3450"},
        "pendingTokens": "90000", "expected": 4, "reported": 4}]});
    let want = vec![
        ("~/recommendedReplicas", json!(13)),
        (
            "~/decision/0/message",
            json!("token_utilization: work of 10.165 replicas at full throughput, target 0.8: 12.7, so 13"),
        ),
        ("~/decision/1/message", json!("at most 4 more per 15 s, counting recent changes: 13 → 8")),
        ("~/desiredReplicas", json!(8)),
    ];
    holds("token work", &answer(&document), want);
}

#[test]
fn errors_hold_the_words_of_the_hpa() {
    let target = json!({"type": "AverageValue", "averageValue": "10"});
    let external = |selector: Value| {
        let metric = json!({"name": "load", "selector": selector});
        json!({"type": "External", "external": {"metric": metric, "target": target}})
    };
    let object = json!({"type": "Object", "object": {"metric": {"name": "qps"}, "target": target,
        "describedObject": {"apiVersion": "v1", "kind": "Service", "name": "gateway"}}});
    let resource = json!({"type": "Resource", "resource": {"name": "cpu", "target": target}});
    let rules = json!([{"key": "zone", "operator": "In", "values": ["a", "b"]}, {"key": "gpu", "operator": "Exists"}]);
    let selector = "&LabelSelector{MatchLabels:map[string]string{app: x,tier: y,},MatchExpressions:[]LabelSelectorRequirement{\
         LabelSelectorRequirement{Key:zone,Operator:In,Values:[a b],},LabelSelectorRequirement{Key:gpu,Operator:Exists,Values:[],},},}";
    let refused = |api: &str| format!("unable to fetch metrics from {api} metrics API: refused");
    for (metric, want) in [
        (
            external(Value::Null),
            format!("unable to get external metric prod/load/nil: {}", refused("external")),
        ),
        (
            external(json!({"matchLabels": {"tier": "y", "app": "x"}, "matchExpressions": rules})),
            format!("unable to get external metric prod/load/{selector}: {}", refused("external")),
        ),
        (object, format!("unable to get metric qps: Service on prod gateway/{}", refused("custom"))),
        (resource, format!("unable to get metrics for resource cpu: {}", refused("resource"))),
    ] {
        let seen = json!({"specReplicas": 2, "readings": [{"error": "refused"}]});
        let mut document = document(&metric, &seen);
        document["autoscaler"]["metadata"] = json!({"name": "a", "namespace": "prod"});
        holds("the words", &answer(&document), vec![("~/metrics/0/error", json!(want))]);
    }
}
