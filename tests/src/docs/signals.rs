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
const ENGINES: &str = "
## Engines

";
const MIDDLE: &str = "
`token_utilization` is no signal of its own: it is how many replicas' worth of token work a role has, computed from
`prompt_tokens_per_second`, `generation_tokens_per_second` and `pending_tokens` with the role's `throughput`. Only policies have it.

## PromQL

What is asked of Prometheus, one query per signal for the whole cluster, is large, because it joins all engines and tells idle
from missing. To see what one signal asks, read the adapter's log at `--v=6`.
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
