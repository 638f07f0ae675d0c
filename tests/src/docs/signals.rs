//! The reference of signals, from the catalog.

use std::fmt::Write as _;

use rbg_autoscaler::metrics::{Definition, Fold, catalog, refused_as_target};

const HEAD: &str = "# Signals

<!-- Made by `make docs` from the catalog in src/metrics/catalog. -->

A signal is one name over all engines: `queue_length` means the same for vLLM and SGLang, so a policy or an HPA need not know the
engine. Each pod is answered by the first engine of the list whose metrics it has. Windows are those of the default rate window
(1 m; the adapter's `--rate-window`). *Fold* is how the values of several pods of one replica become one. *Idle* is what an
engine without traffic counts as; no data at all is never zero.

| signal | meaning | unit | over | fold | idle | as a target |
| --- | --- | --- | --- | --- | --- | --- |
";
const IN_AN_HPA: &str = r#"
## In an HPA

Every signal but the latencies is there in three forms, whatever the metrics come from (Prometheus, VictoriaMetrics or the pods
themselves). Target `AverageValue` divides the total by the replicas.

```yaml fragment
metrics:
- type: Pods                                     # the average of the workload's own pods
  pods:
    metric: {name: queue_length}
    target: {type: AverageValue, averageValue: "5"}
- type: Object                                   # what the pods of something say together
  object:
    metric: {name: queue_length}
    describedObject: {apiVersion: workloads.x-k8s.io/v1alpha2, kind: RoleBasedGroup, name: chat}
    target: {type: AverageValue, averageValue: "5"}
- type: External                                 # the sum over the pods that a selector selects
  external:
    metric: {name: queue_length, selector: {matchLabels: {app: gateway}}}
    target: {type: AverageValue, averageValue: "5"}
```

- **Pods**: `metric.selector` narrows the series, such as `model_name`. So it does for objects.
- **Object**: a `RoleBasedGroup` stands for all its pods, the `RoleBasedGroupScalingAdapter` `<group>-<role>` for those of its role,
  a `Namespace` for those of all groups in it. Values add up or the largest counts, as *fold* says. Other kinds take a rule.
- **External**, with `adapter.externalMetrics: true` of the chart (`--external-signals`): `metric.selector` is over the labels of
  *pods*, and without one the pods of all groups of the namespace are meant. The HPA adds the pods up, shares too: for
  `kv_cache_usage` give an `AverageValue`, or take the object. A rule of the same name goes before the signal. Where KEDA serves
  external.metrics.k8s.io, leave it off.
- Latencies are quantiles, and those of several pods do not make one of all: ask for pods, or write a rule over summed buckets.

**A total is whole or there is none.** A sum that lacks a pod is too low, and the HPA would take away replicas for it. So while a
pod that ought to answer is silent, the answer is 503 and names it, and the HPA stays where it is. A pod ought to answer once it
has been Ready for 30 s, unless it is a worker (its leader speaks for it) or annotated `prometheus.io/scrape: "false"`. A role that
cannot have the signal, such as a router asked for its KV cache, is left out if its pods answer any other signal.

A younger pod counts as soon as it answers, and nobody waits for it. So one that answers and falls silent within its first 30 s
lowers the total, until it is 30 s old. The HPA's window for scaling down (300 s unless you set another) covers that: leave it at a
minute or more where a total decides.
"#;
const ENGINES: &str = "
## Engines

";
const MIDDLE: &str = "
`token_utilization` is no signal of its own: it is how many replicas' worth of token work a role has, computed from
`prompt_tokens_per_second`, `generation_tokens_per_second` and `pending_tokens` with the role's `throughput`. Only policies have it.

## PromQL

What is asked of Prometheus, one query per signal for the whole cluster, is large, because it joins all engines and tells idle
from missing: the adapter's log at `--v=6` has it whole. The part that makes the values, to try in Prometheus, is printed by
`kubectl rbga signals queue_length --promql`.
";

/// Returns the page.
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    let signals = catalog::built_in(catalog::RATE_WINDOW);
    for signal in &signals {
        let over = match signal.window.as_secs() {
            0 => "now".to_owned(),
            seconds => format!("{} m", seconds / 60),
        };
        let fold = match signal.fold {
            Fold::Sum => "sum",
            Fold::Max => "max",
        };
        let idle = signal.idle.map_or_else(|| "left out".to_owned(), |idle| idle.to_string());
        let target = if refused_as_target(&signal.name).is_some() { "refused" } else { "yes" };
        let (name, meaning, unit) = (&signal.name, &signal.meaning, signal.unit.text());
        let _ = writeln!(text, "| `{name}` | {meaning} | {unit} | {over} | {fold} | {idle} | {target} |");
    }
    text.push_str("\nLatencies are for people and dashboards: a proportional rule on them is unstable, so policies refuse them.\n");
    text.push_str(IN_AN_HPA);
    text.push_str(ENGINES);
    for signal in &signals {
        let Definition::Engines(engines) = &signal.definition else { continue };
        let mut names: Vec<&str> = Vec::new();
        for engine in *engines {
            if !names.contains(&engine.engine) {
                names.push(engine.engine);
            }
        }
        let _ = writeln!(text, "- `{}`: {}", signal.name, names.join(", "));
    }
    text.push_str(MIDDLE);
    text
}
