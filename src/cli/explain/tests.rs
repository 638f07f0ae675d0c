//! What is told of the situations that the documentation shows, and of a controller's answer.

use std::fs;

use rbg_autoscaler::api::{
    autoscaler::RoleBasedGroupAutoscalerStatus,
    snapshot::{DecisionDocument, LiveDecision, ScalingSnapshot, TrailPoint},
};
use serde_json::{Value, json};

use super::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PLAIN: Ink = Ink { colours: false };

fn example(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/examples/snapshots/{name}.yaml")).expect("an example")
}

fn explained(text: &str) -> Account {
    let mut err = Vec::new();
    let account = of_document(text, &mut err).expect("an account");
    assert!(err.is_empty(), "{}", String::from_utf8_lossy(&err));
    account
}

#[test]
fn the_documentation_shows_what_is_printed() {
    let path = format!("{ROOT}/docs/explain.md");
    let committed = fs::read_to_string(&path).expect("docs/explain.md");
    let mut made = String::new();
    let mut situations = 0;
    for part in committed.split_inclusive("```\n") {
        let command = "```text\n$ kubectl rbga explain -f ";
        let Some((before, rest)) = part.split_once(command) else {
            made += part;
            continue;
        };
        situations += 1;
        let file = rest.lines().next().unwrap_or_default();
        let text = fs::read_to_string(format!("{ROOT}/{file}")).expect("an example");
        made += &[before, command, file, "\n", &paint::text(&explained(&text), PLAIN), "```\n"].concat();
    }
    assert_eq!(situations, 5);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &made).expect("a writable file");
    }
    assert!(
        made == fs::read_to_string(&path).unwrap_or_default(),
        "run: UPDATE_DOCS=1 cargo test -p rbg-autoscaler --bin kubectl-rbga documentation\n{made}"
    );
}

fn next(account: &Account) -> Vec<&str> {
    account.roles[0].next.iter().map(|outlook| outlook.text.as_str()).collect()
}

#[test]
fn what_is_told_to_change_the_count_does_change_it() {
    let text = example("steady");
    let account = explained(&text);
    let up = account.roles[0].next.iter().find(|next| next.to.get() > 4).expect("a way up");
    let passes: f64 = up.passes.as_deref().expect("a value").parse().expect("a number");
    for (value, changes) in [(passes, false), (passes + 0.01, true)] {
        let mut document: Value = serde_saphyr::from_str(&text).expect("YAML");
        for sample in document["roles"]["decode"]["readings"][0]["samples"].as_array_mut().expect("samples") {
            sample["value"] = json!(format!("{value:.3}"));
        }
        let changed = explained(&document.to_string());
        assert_eq!(
            changed.roles[0].desired_replicas == up.to,
            changes,
            "{value}: {}",
            changed.roles[0].verdict
        );
    }
}

#[test]
fn time_is_told_when_it_is_enough() {
    let held = example("steady")
        .replace("value: \"9\"", "value: \"2\"")
        .replace("value: \"11\"", "value: \"2\"")
        .replace("value: \"10\"", "value: \"2\"");
    let account = explained(&held);
    assert_eq!(account.roles[0].verdict, "stays at 4; the metrics ask for 2");
    assert_eq!(next(&account)[0], "lowers to 2 in 3 min if the load stays as it is");
}

#[test]
fn a_mode_that_writes_nothing_speaks_in_the_conditional() {
    let recommended =
        example("queue").replace("groupRef: {name: chat}", "groupRef: {name: chat}\n    mode: Recommend");
    let account = explained(&recommended);
    assert_eq!((account.mode, account.roles[0].verdict.as_str()), ("Recommend", "would raise 6 → 23"));
}

#[test]
fn of_equal_answers_the_first_decides() {
    let pods: Vec<_> = (0..4).map(|pod| format!("{{pod: decode-{pod}, value: \"0.1\"}}")).collect();
    let both = example("missing-metrics")
        .replace("error: \"prometheus: connection refused\"", &format!("samples: [{}]", pods.join(", ")));
    let account = explained(&both);
    let metrics = &account.roles[0].metrics;
    let marks: Vec<_> =
        metrics.iter().map(|metric| (metric.proposed_replicas, metric.decides, metric.agrees)).collect();
    assert_eq!(marks, [(Some(1), true, false), (Some(1), false, true)]);
    let text = paint::text(&account, PLAIN);
    assert!(text.contains("→ 1  ← decides") && text.contains("→ 1  ← asks for the same"), "{text}");
}

#[test]
fn of_answers_that_ask_for_nothing_the_one_that_the_decision_names_decides() {
    let idle = r#"
apiVersion: rbg-autoscaler.dev/v1alpha1
kind: ScalingSnapshot
autoscaler:
  spec:
    groupRef: {name: chat}
    roles: [{name: decode, maxReplicas: 8, metrics: [{name: qps, role: router, target: "4"}, {name: queue_length, role: router, target: "5"}]}]
roles:
  decode: {specReplicas: 2, readings: [{values: ["0"]}, {values: ["0"]}]}
"#;
    let account = explained(idle);
    let marks: Vec<_> =
        account.roles[0].metrics.iter().map(|metric| (metric.decides, metric.agrees)).collect();
    assert_eq!(marks, [(false, true), (true, false)]);
    let text = paint::text(&account, PLAIN);
    assert!(text.contains("queue_length: 0 in all, target 5 per replica"), "{text}");
}

#[test]
fn the_tolerance_is_the_policys_own() {
    let wide = example("steady")
        .replace("behavior: {}", "behavior: {scaleUp: {tolerance: \"0.25\"}}")
        .replace("value: \"9\"", "value: \"15\"");
    let account = explained(&wide);
    assert_eq!(account.roles[0].metrics[0].formula, "12 ÷ 10 = 1.2, within 25 % of 1 → 4");
}

#[test]
fn colours_only_where_they_are_wanted() {
    let account = explained(&example("missing-metrics"));
    assert!(!paint::text(&account, PLAIN).contains('\u{1b}'));
    let painted = paint::text(&account, Ink { colours: true });
    assert!(painted.contains("\u{1b}[1mdecode\u{1b}[0m"), "{painted}");
    let mut bare = painted;
    for code in ["\u{1b}[0m", "\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[32m", "\u{1b}[33m"] {
        bare = bare.replace(code, "");
    }
    assert_eq!(bare, paint::text(&account, PLAIN));
}

#[test]
fn a_controllers_answer_shows_the_way_here_and_its_own_conditions() {
    let snapshot = ScalingSnapshot::parse(&example("steady")).expect("a document");
    let input = snapshot.clone().into_input(present()).expect("an input");
    let status: RoleBasedGroupAutoscalerStatus = serde_json::from_value(json!({"conditions": [
        {"type": "Ready", "status": "False", "reason": "WriteFailed", "message": "role decode: refused: forbidden"}]}))
    .expect("a status");
    let point = |second: i64, load: Option<f32>, replicas| TrailPoint {
        time: jiff::Timestamp::from_second(1_795_255_000 + second).expect("in range"),
        load,
        replicas,
        ready_replicas: replicas,
        desired_replicas: replicas,
    };
    let trail = vec![
        point(0, Some(0.2), 2),
        point(10, Some(2.4), 2),
        point(20, None, 4),
        point(30, Some(1.2), 4),
        point(40, Some(1.0), 4),
    ];
    let mut live = LiveDecision {
        decision: DecisionDocument::new(&input.policy, input.decide()),
        snapshot,
        status,
        trail: [("decode".to_owned(), trail)].into(),
    };
    let account = of_live(live.clone()).expect("an account");
    let told = paint::text(&account, PLAIN);
    let head: Vec<_> = told.lines().take(8).collect();
    insta::assert_snapshot!(head.join("\n"));
    assert_eq!(account.warning, None);
    live.decision.recheck_at = Some(jiff::Timestamp::UNIX_EPOCH);
    let warning = of_live(live).expect("an account").warning;
    assert_eq!(warning.as_deref(), Some("a decision on the snapshot differs from the live one"));
}
