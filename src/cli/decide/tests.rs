//! The command as a whole: text in, answer and exit code out.

use std::process::ExitCode;

use clap::Parser;

use super::super::{Arguments, run};

/// Runs `kubectl rbga decide -f - -o OUTPUT` and returns exit code, answer and complaints.
fn decide(document: &str, output: &str) -> (ExitCode, String, String) {
    let arguments = Arguments::parse_from(["kubectl-rbga", "decide", "-f", "-", "-o", output]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(arguments, &mut document.as_bytes(), &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (code, text(out), text(err))
}

const DOCUMENT: &str = r#"
now: "2026-11-21T10:00:00Z"
autoscaler:
  spec:
    groupRef: {name: demo}
    roles: [{name: decode, maxReplicas: 8, metrics: [{name: qps, target: "4", role: router}]}]
roles:
  decode: {specReplicas: 2, readings: [{values: ["13"]}]}
"#;

#[test]
fn answers_in_three_forms() {
    let (code, json, err) = decide(DOCUMENT, "json");
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["writes"], serde_json::json!([{"role": "decode", "from": 2, "to": 4}]));
    let (_, yaml, _) = decide(DOCUMENT, "yaml");
    let yaml: serde_json::Value = serde_saphyr::from_str(&yaml).expect("YAML");
    assert_eq!(yaml, json);
    let (_, table, _) = decide(DOCUMENT, "table");
    assert!(table.contains("qps: 13 in all, target 4 per replica: 3.2, so 4"), "{table}");
    assert!(table.contains("Write decode: 2 → 4"), "{table}");
}

#[test]
fn empty_documents_around_the_one_are_passed_over() {
    let (_, want, _) = decide(DOCUMENT, "json");
    for (before, after) in [
        ("", "---\n"),
        ("", "---"),
        ("", "...\n---\n# the end\n"),
        ("---\n", "---\n---\n"),
        ("---\n---\n", ""),
    ] {
        let (code, found, err) = decide(&format!("{before}{DOCUMENT}{after}"), "json");
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{before:?}, {after:?}");
        assert_eq!(found, want, "{before:?}, {after:?}");
    }
    for after in ["---\n{}", "---\nroles: {}", "---\nnow: ["] {
        let (code, out, _) = decide(&format!("{DOCUMENT}{after}"), "json");
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""), "{after:?}");
    }
}

/// Decides on the document with one text replaced, and wants a complaint.
fn refused(from: &str, to: &str, says: &str) {
    let document = DOCUMENT.replace(from, to);
    assert_ne!(document, DOCUMENT, "{from} is not there");
    let (code, out, err) = decide(&document, "json");
    assert_eq!(code, ExitCode::from(2), "{to}: {err}");
    assert_eq!(out, "", "{to}");
    assert!(err.contains(says), "{to}: want {says}, got {err}");
}

#[test]
fn wrong_input_names_field_value_and_fix() {
    for (from, to, says) in [
        (
            "maxReplicas: 8",
            "maxReplicas: -8",
            "autoscaler.spec.roles[0].maxReplicas: -8 is below 1; write 1 or more",
        ),
        (
            "target: \"4\"",
            "target: 0.8",
            "autoscaler.spec.roles[0].metrics[0].target: quote it: write \"0.8\" instead of 0.8",
        ),
        (
            "target: \"4\"",
            "target: four",
            "autoscaler.spec.roles[0].metrics[0].target: \"four\" is not a quantity; write",
        ),
        (
            "specReplicas",
            "specReplica",
            "roles.decode.specReplica: is no field of this document; remove it, or did you mean \"specReplicas\"?",
        ),
        (
            "specReplicas: 2",
            "specReplicas: two",
            "roles.decode.specReplicas: invalid type: string \"two\"; write a whole number",
        ),
        (
            "{specReplicas: 2",
            "{statusReplicas: -1",
            "roles.decode.statusReplicas: -1 is below 0; write 0 or more",
        ),
        (
            "  decode:",
            "  decoder:",
            "roles.decode: is missing, but the policy scales it; add what is seen of decode (given: decoder)",
        ),
        ("values: [", "samples: [], x: [", "roles.decode.readings[0].x: is no field of this document"),
        (
            "values: [\"13\"]",
            "samples: []",
            "roles.decode.readings[0].samples: samples do not answer qps; write values",
        ),
        ("values: [\"13\"]", "", "roles.decode.readings[0]: says nothing about qps; write values"),
        ("values: [\"13\"]", "values: [1.5]", "roles.decode.readings[0].values[0]: quote it: write \"1.5\""),
        (
            "\"13\"]}",
            "\"13\"]}, {values: []}",
            "roles.decode.readings[1]: answers nothing: the policy names 1",
        ),
        ("10:00:00Z", "25:00:00Z", "now: \"2026-11-21T25:00:00Z\": "),
        ("now:", "kind: Snapshot\nnow:", "kind: \"Snapshot\" is not understood; write ScalingSnapshot"),
        (
            "now:",
            "settings: {tolerance: -1}\nnow:",
            "settings.tolerance: -1 is below zero; write a number such as 0.1",
        ),
        (
            "now:",
            "settings: {downscaleStabilization: 5}\nnow:",
            "settings.downscaleStabilization: invalid type: integer `5`; write a duration",
        ),
        ("autoscaler:", "autoscaler: [", "document: is no YAML"),
        ("now:", "kind: RoleBasedGroupAutoscaler\nnow:", "this is the policy alone: put it under autoscaler"),
        (
            "values: [\"13\"]",
            "values: [\"13\"], error: refused",
            "roles.decode.readings[0].error: stands beside values",
        ),
        (
            "{specReplicas: 2, readings: [{values: [\"13\"]}]}",
            "[2]",
            "roles.decode: is a list; write a mapping",
        ),
        (
            "specReplicas: 2",
            "specReplicas: 2, specReplicas: 3",
            "document: \"specReplicas\" is there twice at line 8",
        ),
        ("autoscaler:", "---\nautoscaler:", "document: a second document begins at line 4"),
        ("\"2026-11-21T10:00:00Z\"", "2026-11-21", "write a time such as"),
        (
            "specReplicas: 2",
            "specReplicas: 2, pods: [{metadata: {name: a}}, {metadata: {name: a}}, {}]",
            "roles.decode.pods[1].metadata.name: \"a\" is there twice; write each pod once",
        ),
    ] {
        refused(from, to, says);
    }
    let (code, _, err) = decide(r#"{"now": 1, "now": 2}"#, "json");
    assert_eq!(code, ExitCode::from(2));
    assert!(err.contains("document: \"now\" is there twice; keep one at line 1"), "{err}");
    let (code, _, err) = decide("", "json");
    assert_eq!(code, ExitCode::from(2));
    assert!(err.contains("document: is empty"), "{err}");
}

#[test]
fn the_place_is_named_inside_verbatim_parts_and_for_what_is_not_there() {
    let verbatim = |target: &str| {
        format!(
            "behavior: {{}}, metrics: [{{type: External, external: {{metric: {{name: m}}, target: {target}}}}}]}}]"
        )
    };
    let metrics = "metrics: [{name: qps, target: \"4\", role: router}]}]";
    let behavior = |rules: &str| format!("behavior: {{scaleUp: {rules}}}, metrics:");
    for (from, to, says) in [
        (
            "metrics:",
            behavior("{stabilizationWindowSeconds: 5m}"),
            "roles[0].behavior.scaleUp.stabilizationWindowSeconds: invalid type: string \"5m\"; write a whole number",
        ),
        (
            "metrics:",
            behavior("{tolerance: 0.1}"),
            "roles[0].behavior.scaleUp.tolerance: quote it: write \"0.1\" instead of 0.1",
        ),
        (
            "metrics:",
            behavior("[]"),
            "roles[0].behavior.scaleUp: invalid type: sequence; write a mapping (key: value)",
        ),
        (
            metrics,
            verbatim("{type: AverageValue, averageValue: 0.5}"),
            "metrics[0].external.target.averageValue: quote it: write \"0.5\" instead of 0.5",
        ),
        (
            metrics,
            verbatim("AverageValue"),
            "metrics[0].external.target: invalid type: string \"AverageValue\"; write a mapping (key: value)",
        ),
        (
            "groupRef: {name: demo}",
            "mode: Enforce".to_owned(),
            "autoscaler.spec.groupRef: is missing; add it",
        ),
        ("{name: demo}", "{}".to_owned(), "autoscaler.spec.groupRef.name: is missing; add it"),
        ("maxReplicas: 8, ", String::new(), "autoscaler.spec.roles[0].maxReplicas: is missing; add it"),
        (
            "groupRef: {name: demo}",
            "mode: 1\n    groupRef: {name: demo}".to_owned(),
            "autoscaler.spec.mode: invalid type: integer `1`; write Enforce, Recommend or Disabled",
        ),
        (
            "\"2026-11-21T10:00:00Z\"",
            "\"\"".to_owned(),
            "now: \"\": expected four digit year (or leading sign for six digit year), but found end of input; write a time such as",
        ),
        (
            "specReplicas: 2",
            "specReplicas: 2, pods: [a]".to_owned(),
            "roles.decode.pods[0]: invalid type: string \"a\"; write a mapping (key: value)",
        ),
    ] {
        refused(from, &to, says);
    }
}

#[test]
fn a_field_without_a_value_is_as_if_it_were_not_there() {
    let (_, want, _) = decide(DOCUMENT, "json");
    for (from, to) in [
        ("    groupRef", "    ratios:\n    schedules:\n    hold:\n    groupRef".to_owned()),
        ("  spec:", "  metadata:\n  spec:".to_owned()),
        ("specReplicas: 2", "specReplicas: 2, pods: null, wake: , templates: , history: ".to_owned()),
        ("now:", "capacity: {nodes: , pods: , reserved: }\nnow:".to_owned()),
    ] {
        let document = DOCUMENT.replace(from, &to);
        let (code, found, err) = decide(&document, "json");
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""), "{to}");
        assert_eq!(found, want, "{to}");
    }
    refused(
        "specReplicas: 2",
        "specReplicas: 2, pods: [{metadata: {name: a}, spec: {containers: [{name: c, resources: {requests: {cpu: null}}}]}}]",
        "requests.cpu: invalid type: null; write a quantity",
    );
    refused(
        "readings: [{values: [\"13\"]}]",
        "readings: [{values: null}]",
        "readings[0]: says nothing about qps; write values",
    );
}

#[test]
fn a_yaml_document_may_stand_in_braces() {
    let (_, want, _) = decide(DOCUMENT, "json");
    let inner = "now: 2026-11-21T10:00:00Z, autoscaler: {spec: {groupRef: {name: demo}, roles: [{name: decode, \
         maxReplicas: 8, metrics: [{name: qps, target: '4', role: router}]}]}}, \
         roles: {decode: {specReplicas: 2, readings: [{values: ['13']}]}}";
    let (code, found, err) = decide(&format!("{{{inner}}}"), "json");
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
    assert_eq!(found, want);
    for broken in ["{\"now\": 1,}", "{", "{now: [}"] {
        assert_eq!(decide(broken, "json").0, ExitCode::from(2), "{broken}");
    }
}

#[test]
fn what_no_type_refuses_is_refused_too() {
    let beside = |text: &str| format!("{text}\nroles:\n  decode");
    let roles = "roles:\n  decode";
    for (from, to, says) in [
        ("values: [\"13\"]", "values: [.nan]".to_owned(), "document: `.nan` is no number at line 8"),
        (
            "values: [\"13\"]",
            "values: [\"NaN\"]".to_owned(),
            "readings[0].values[0]: \"NaN\" is not a quantity",
        ),
        ("values: [\"13\"]", "values: [.inf]".to_owned(), "; write a number, or leave a value out"),
        ("10:00:00Z", "10:00:00".to_owned(), "now: \"2026-11-21T10:00:00\": failed to find offset component"),
        (
            roles,
            beside("capacity: {nodes: [{}]}"),
            "capacity.nodes[0].metadata.name: is missing; write the name of the node",
        ),
        (
            roles,
            beside("capacity: {nodes: [{metadata: {name: n}}, {metadata: {name: n}}]}"),
            "capacity.nodes[1].metadata.name: \"n\" is there twice; write each node once",
        ),
        (
            roles,
            beside("capacity: {reserved: [{node: n, ports: [80/TCP, http]}]}"),
            "capacity.reserved[0].ports[1]: \"http\" is no port; write a number",
        ),
        (
            roles,
            beside("capacity: {taken: [{node: n, ports: [99999/UDP]}]}"),
            "capacity.taken[0].ports[0]: \"99999/UDP\" is no port; write a number",
        ),
    ] {
        refused(from, &to, says);
    }
}

#[test]
fn wrong_quantities_of_core_objects_are_named() {
    for (from, to, says) in [
        (
            "specReplicas: 2",
            "specReplicas: 2, pods: [{metadata: {name: a}, spec: {containers: [{name: c, resources: {requests: {cpu: lots}}}]}}]",
            "roles.decode.pods[0].spec.containers[0].resources.requests.cpu: \"lots\" is not a quantity; write a number",
        ),
        (
            "specReplicas: 2",
            "specReplicas: 2, templates: [{count: 1, spec: {containers: [], overhead: {memory: \"-1\"}}}]",
            "roles.decode.templates[0].spec.overhead.memory: \"-1\" is below zero; write 0 or more",
        ),
        (
            "specReplicas: 2",
            "specReplicas: 2, templates: [{count: 1, spec: {initContainers: [{name: i, resources: {limits: {nvidia.com/gpu: 1.5.2}}}], containers: []}}]",
            "roles.decode.templates[0].spec.initContainers[0].resources.limits.nvidia.com/gpu: \"1.5.2\" is not a quantity",
        ),
        (
            "roles:\n  decode",
            "capacity: {nodes: [{metadata: {name: n}, status: {allocatable: {cpu: 1x}}}]}\nroles:\n  decode",
            "capacity.nodes[0].status.allocatable.cpu: \"1x\" is not a quantity; write",
        ),
        (
            "roles:\n  decode",
            "capacity: {pods: [{metadata: {name: p}, spec: {containers: [], resources: {requests: {cpu: a}}}}]}\nroles:\n  decode",
            "capacity.pods[0].spec.resources.requests.cpu: \"a\" is not a quantity; write",
        ),
    ] {
        refused(from, to, says);
    }
}

#[test]
fn unknown_keys_are_ignored_inside_core_objects_only() {
    let pods =
        "{specReplicas: 2, pods: [{metadata: {name: a, x: 1}, spec: {containers: [], y: 1}, status: {z: 1}}]";
    let (code, _, err) = decide(&DOCUMENT.replace("{specReplicas: 2", pods), "json");
    assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
    for (from, to, field) in [
        ("groupRef:", "colour: blue, groupRef:", "colour"),
        ("target: \"4\"", "target: \"4\", unit: s", "autoscaler.spec.roles[0].metrics[0].unit"),
        (
            "metrics:",
            "behavior: {scaleUp: {windowSeconds: 3}}, metrics:",
            "autoscaler.spec.roles[0].behavior.scaleUp.windowSeconds",
        ),
    ] {
        let document =
            DOCUMENT.replace(from, to).replace("colour: blue, groupRef:", "colour: blue\n    groupRef:");
        let (code, _, err) = decide(&document, "json");
        assert_eq!(code, ExitCode::from(2), "{to}");
        assert!(err.contains(&format!("{field}: is no field of this document")), "{to}: {err}");
    }
}

#[test]
fn what_is_odd_but_harmless_is_a_warning() {
    let document = DOCUMENT.replace("roles:\n  decode:", "roles:\n  router: {specReplicas: 1}\n  decode:");
    let (code, _, err) = decide(&document, "json");
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(err.contains("warning: roles.router: is not scaled by the policy"), "{err}");
}

#[test]
fn a_file_that_is_not_there_is_wrong_input() {
    let arguments = Arguments::parse_from(["kubectl-rbga", "decide", "-f", "/nonexistent/snapshot.yaml"]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(arguments, &mut std::io::empty(), &mut out, &mut err);
    assert_eq!(code, ExitCode::from(2));
    assert!(String::from_utf8_lossy(&err).contains("name a file, or - for standard input"));
}

/// A reader that went away.
struct Gone;

impl std::io::Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_went_away_is_no_fault() {
    for output in ["table", "yaml", "json"] {
        let arguments = Arguments::parse_from(["kubectl-rbga", "decide", "-f", "-", "-o", output]);
        let mut err = Vec::new();
        let code = run(arguments, &mut DOCUMENT.as_bytes(), &mut Gone, &mut err);
        assert_eq!((code, String::from_utf8_lossy(&err).as_ref()), (ExitCode::SUCCESS, ""), "{output}");
    }
}

#[test]
fn bytes_that_are_no_text_are_wrong_input() {
    let arguments = Arguments::parse_from(["kubectl-rbga", "decide", "-f", "-"]);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(arguments, &mut &b"now: \xff\xfe"[..], &mut out, &mut err);
    assert_eq!(code, ExitCode::from(2));
    assert!(String::from_utf8_lossy(&err).contains("-: is no text in UTF-8; name a document"));
}

#[test]
fn the_examples_page_shows_what_is_answered_and_names_every_file() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/snapshots");
    let page = std::fs::read_to_string(format!("{folder}/README.md")).expect("the page");
    let example = std::fs::read_to_string(format!("{folder}/gang-rounding.yaml")).expect("the example");
    let (_, table, _) = decide(&example, "table");
    assert!(page.contains(&table), "the page shows another answer than\n{table}");
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let name = entry.expect("a file").file_name().into_string().expect("UTF-8");
        assert!(name == "README.md" || page.contains(&format!("]({name})")), "{name} is not on the page");
    }
}
