//! `kubectl rbga signals`: the named metrics, what they mean and where they come from.

use std::{io::Write, sync::Arc, time::Duration};

use clap::{Args, ValueEnum};
use rbg_autoscaler::{
    metrics::{Definition, EngineQuery, Fold, Signal, Unit, catalog, refused_as_target},
    units::{GatewayDuration, MilliValue},
};
use serde::Serialize;

use super::{CliError, table};

pub(super) const ABOUT: &str = "\
List the signals: named metrics that mean the same for every engine.

A policy or an HPA names a signal, such as queue_length; the adapter and the controller compute it from whatever metrics the engine
of each pod exposes. The first of a signal's engines that fits a pod answers for it. Signals that you add in a file of rules are not listed:
they are in the adapter's discovery.";

pub(super) const EXAMPLES: &str = "\
Examples:
  kubectl rbga signals                          all signals, one line each
  kubectl rbga signals -o wide                  with the engines that feed them
  kubectl rbga signals queue_length ttft_p95    with the engines' own metrics
  kubectl rbga signals queue_length --promql    the query to try in Prometheus
  kubectl rbga signals -o json | jq -r '.[] | select(.isTarget) | .name'

WINDOW is the time that the numbers are taken over, - for a value of one moment. FOLD is how the pods of one replica become one
value. IDLE is what an engine without traffic answers; with - it is left out, since no number would be true.";

/// What `signals` takes.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Only these signals, with the metrics of each engine
    #[arg(value_name = "SIGNAL")]
    names: Vec<String>,
    /// How the answer is written
    #[arg(short, long, value_enum, default_value_t = Form::Table)]
    output: Form,
    /// Print the PromQL of each signal's value, grouped by namespace and pod
    #[arg(long)]
    promql: bool,
    /// What rates are taken over, as with the adapter's flag; ratios and quantiles over five times as much
    #[arg(long, value_name = "DURATION", default_value = "1m")]
    rate_window: GatewayDuration,
}

/// How the signals are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One line each
    Table,
    /// One line each, with the engines
    Wide,
    /// For programs and people
    Yaml,
    /// For programs
    Json,
}

/// A signal as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SignalDocument {
    name: String,
    unit: Unit,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<GatewayDuration>,
    fold: Fold,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle: Option<MilliValue>,
    meaning: String,
    /// Whether a policy may scale on it.
    is_target: bool,
    engines: Vec<EngineDocument>,
    promql: String,
}

/// What feeds a signal, in the order in which it is tried.
#[derive(Debug, Serialize)]
struct EngineDocument {
    engine: &'static str,
    metrics: Vec<String>,
}

pub(super) fn run(options: &Options, out: &mut dyn Write) -> Result<(), CliError> {
    let signals = chosen(options)?;
    let documents: Vec<_> = signals.iter().map(|signal| SignalDocument::of(signal)).collect();
    match options.output {
        Form::Json => {
            serde_json::to_writer_pretty(&mut *out, &documents)?;
            writeln!(out)?;
        }
        Form::Yaml => out.write_all(serde_saphyr::to_string(&documents)?.as_bytes())?,
        Form::Table | Form::Wide if options.promql => {
            for document in &documents {
                writeln!(out, "# {}: {}\n{}\n", document.name, document.meaning, document.promql)?;
            }
        }
        Form::Table | Form::Wide => out.write_all(tables(&documents, options).as_bytes())?,
    }
    out.flush()?;
    Ok(())
}

fn chosen(options: &Options) -> Result<Vec<Arc<Signal>>, CliError> {
    let all = catalog::built_in(Duration::from(options.rate_window));
    if options.names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|signal| signal.name == *name).cloned();
        found.ok_or_else(|| CliError::UnknownSignal { name: name.clone(), known: names(&all) })
    };
    options.names.iter().map(find).collect()
}

fn names(signals: &[Arc<Signal>]) -> String {
    let names: Vec<_> = signals.iter().map(|signal| signal.name.as_str()).collect();
    names.join(", ")
}

fn tables(documents: &[SignalDocument], options: &Options) -> String {
    let mut text = String::new();
    if options.output == Form::Wide {
        let head = ["NAME", "UNIT", "WINDOW", "FOLD", "IDLE", "ENGINES", "MEANING"].map(str::to_owned);
        let rows = documents.iter().map(SignalDocument::wide);
        table::columns(&mut text, &std::iter::once(head).chain(rows).collect::<Vec<_>>());
    } else {
        let head = ["NAME", "UNIT", "WINDOW", "FOLD", "IDLE", "MEANING"].map(str::to_owned);
        let rows = documents.iter().map(|document| {
            let [name, unit, window, fold, idle, _, meaning] = document.wide();
            [name, unit, window, fold, idle, meaning]
        });
        table::columns(&mut text, &std::iter::once(head).chain(rows).collect::<Vec<_>>());
    }
    if !options.names.is_empty() {
        let engines = documents.iter().flat_map(|document| {
            let engines = document.engines.iter();
            engines.map(|engine| [document.name.clone(), engine.engine.to_owned(), engine.metrics.join(", ")])
        });
        let head = ["SIGNAL", "ENGINE", "METRICS"].map(str::to_owned);
        let rows: Vec<_> = std::iter::once(head).chain(engines).collect();
        text.push('\n');
        table::columns(&mut text, &rows);
    }
    text
}

fn fold(fold: Fold) -> &'static str {
    match fold {
        Fold::Sum => "sum",
        Fold::Max => "max",
    }
}

impl SignalDocument {
    fn of(signal: &Signal) -> Self {
        let engines: &[EngineQuery] = match &signal.definition {
            Definition::Engines(engines) | Definition::Narrowed(engines, _) => engines,
            Definition::Query(_) => &[],
        };
        Self {
            name: signal.name.clone(),
            unit: signal.unit,
            window: Some(signal.window.into()).filter(|_| !signal.window.is_zero()),
            fold: signal.fold,
            idle: signal.idle,
            meaning: signal.meaning.clone(),
            is_target: refused_as_target(&signal.name).is_none(),
            engines: engines.iter().map(EngineDocument::of).collect(),
            promql: signal.value_query(),
        }
    }

    /// The cells of a row, engines included.
    fn wide(&self) -> [String; 7] {
        [
            self.name.clone(),
            self.unit.text().to_owned(),
            self.window.map_or_else(|| "-".to_owned(), |window| window.to_string()),
            fold(self.fold).to_owned(),
            self.idle.map_or_else(|| "-".to_owned(), |idle| idle.to_string()),
            self.engine_names(),
            self.meaning.clone(),
        ]
    }

    fn engine_names(&self) -> String {
        let mut names: Vec<_> = self.engines.iter().map(|engine| engine.engine).collect();
        // Where an engine has several forms they stand together.
        names.dedup();
        names.join(",")
    }
}

impl EngineDocument {
    fn of(engine: &EngineQuery) -> Self {
        let mut metrics = Vec::new();
        engine.expression.each_name(&mut |name| {
            if !metrics.contains(&name) {
                metrics.push(name);
            }
        });
        Self { engine: engine.engine, metrics }
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use clap::Parser;

    use super::super::{Arguments, run};

    fn signals(arguments: &[&str]) -> (ExitCode, String, String) {
        let arguments = ["kubectl-rbga", "signals"].iter().chain(arguments);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(Arguments::parse_from(arguments), &mut "".as_bytes(), &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (code, text(out), text(err))
    }

    #[test]
    fn one_line_per_signal() {
        insta::assert_snapshot!(signals(&[]).1);
    }

    #[test]
    fn a_named_signal_tells_its_metrics() {
        let (_, text, _) = signals(&["qps", "--rate-window", "30s"]);
        assert!(
            text.contains("qps   requests/s  30s     sum   0     requests finished per second\n"),
            "{text}"
        );
        assert!(text.contains("qps     vllm           vllm:request_success_total\n"), "{text}");
        let (_, text, _) = signals(&["queue_length", "--promql"]);
        assert!(text.contains("sum by (namespace, pod) (vllm:num_requests_waiting)"), "{text}");
        let (_, text, _) = signals(&["-o", "wide"]);
        assert!(text.contains(",triton-trtllm,dynamo,tgi,llamacpp"), "{text}");
    }

    #[test]
    fn documents_say_the_same() {
        let (code, json, _) = signals(&["-o", "json"]);
        assert_eq!(code, ExitCode::SUCCESS);
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let yaml: serde_json::Value = serde_saphyr::from_str(&signals(&["-o", "yaml"]).1).expect("YAML");
        assert_eq!(json, yaml);
        let find = |name: &str| {
            json.as_array().and_then(|all| all.iter().find(|signal| signal["name"] == name)).expect("there")
        };
        assert_eq!(find("ttft_p95")["isTarget"], false);
        assert_eq!(find("queue_length")["isTarget"], true);
        assert_eq!(find("prefix_cache_hit_rate").get("idle"), None);
        assert_eq!(
            find("qps")["engines"][0],
            serde_json::json!({"engine": "vllm", "metrics": ["vllm:request_success_total"]})
        );
    }

    #[test]
    fn an_unknown_name_lists_the_known() {
        let (code, _, err) = signals(&["queue"]);
        assert_eq!(code, ExitCode::from(2));
        assert!(err.contains("there is no signal \"queue\"; write one of qps, running_requests"), "{err}");
    }
}
