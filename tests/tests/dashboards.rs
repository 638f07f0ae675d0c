//! Dashboards and rules as they are committed: sound in form, of known metrics, and every alert fires when it should and only then.
//!
//! The rules of Grafana's dashboard-linter are held here: datasources by variable, reload on time change, titles and descriptions, units,
//! queries that are PromQL, rates over `$__rate_interval`, counters only inside rates, nothing editable. Two kinds are left out: variables
//! and matchers for job and instance, since people select by namespace, group and role; and `$__range` is allowed where a figure is
//! about the range shown. `insight.rs` asks the queries of a real Prometheus and a real VictoriaMetrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use rbg_autoscaler::metrics::catalog;
use rbg_autoscaler_tests::control_plane::programs;
use rbg_autoscaler_tests::dashboards::{self, Dashboard, Panel};
use serde_json::{Value, json};

/// Units of Grafana that our panels use.
const UNITS: [&str; 8] = ["short", "none", "s", "percentunit", "reqps", "ops", "cps", "bytes"];
/// Kinds of panels that show series or figures.
const KINDS: [&str; 6] = ["stat", "timeseries", "state-timeline", "table", "heatmap", "row"];

/// Everything that is wrong, so that one run tells all.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn unless(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.0.push(fault());
        }
    }

    fn none(self) {
        assert!(self.0.is_empty(), "\n{}", self.0.join("\n"));
    }
}

fn boards() -> Result<Vec<Dashboard>> {
    let boards = dashboards::all()?;
    let names: Vec<_> = boards.iter().map(|board| board.name.as_str()).collect();
    assert_eq!(names, ["adapter", "overview", "role"]);
    Ok(boards)
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(u64::MAX)
}

#[test]
fn dashboards_load_everywhere_and_cannot_be_edited_by_accident() -> Result<()> {
    let mut faults = Faults::default();
    let mut uids = BTreeSet::new();
    for board in boards()? {
        let name = &board.name;
        let json = &board.json;
        let uid = json["uid"].as_str().unwrap_or_default();
        faults.unless(uid == format!("rbg-as-{name}") && uid.len() <= 40, || format!("{name}: uid {uid:?}"));
        faults.unless(uids.insert(uid.to_owned()), || format!("{name}: uid {uid} twice"));
        faults.unless((39..=41).contains(&number(&json["schemaVersion"])), || {
            format!("{name}: schemaVersion {}; Grafana 10.4 to 12 load 39 to 41", json["schemaVersion"])
        });
        for (field, want) in [
            ("id", Value::Null),
            ("version", json!(1)),
            ("editable", json!(false)),
            ("graphTooltip", json!(1)),
            ("refresh", json!("30s")),
            ("timezone", json!("browser")),
            ("tags", json!(["rbg-autoscaler"])),
            ("time", json!({"from": "now-1h", "to": "now"})),
        ] {
            faults
                .unless(json[field] == want, || format!("{name}: {field} is {} and not {want}", json[field]));
        }
        for field in ["iteration", "__inputs", "__requires"] {
            faults.unless(json.get(field).is_none(), || format!("{name}: has {field}"));
        }
        let link = &json["links"][0];
        faults.unless(
            link["tags"] == json!(["rbg-autoscaler"])
                && link["includeVars"] == true
                && link["keepTime"] == true,
            || format!("{name}: the first link does not lead to the other dashboards"),
        );
    }
    faults.none();
    Ok(())
}

#[test]
fn panels_have_a_place_of_their_own_and_say_what_they_show() -> Result<()> {
    let mut faults = Faults::default();
    for board in boards()? {
        let panels = board.panels();
        let mut ids = BTreeSet::new();
        let mut titles = BTreeSet::new();
        let mut taken: BTreeMap<(u64, u64), String> = BTreeMap::new();
        for panel in &panels {
            let title = panel.title();
            let at = format!("{} / {title}", board.name);
            faults.unless(!title.is_empty() && titles.insert(title.clone()), || {
                format!("{at}: no title, or one that another panel has")
            });
            faults.unless(ids.insert(number(&panel.json["id"])), || {
                format!("{at}: id {} twice", panel.json["id"])
            });
            let place = &panel.json["gridPos"];
            let (x, y) = (number(&place["x"]), number(&place["y"]));
            let (width, height) = (number(&place["w"]), number(&place["h"]));
            faults.unless(x + width <= 24 && height > 0, || format!("{at}: outside the 24 columns: {place}"));
            for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
                if let Some(other) = taken.insert(cell, title.clone()) {
                    faults.0.push(format!("{at}: overlaps {other}"));
                    break;
                }
            }
            check_form(*panel, &at, &mut faults);
        }
    }
    faults.none();
    Ok(())
}

/// What the linter of Grafana's own dashboards asks of a panel.
fn check_form(panel: Panel<'_>, at: &str, faults: &mut Faults) {
    let json = panel.json;
    let kind = json["type"].as_str().unwrap_or_default();
    faults.unless(KINDS.contains(&kind), || format!("{at}: a panel of type {kind:?}"));
    if panel.is_row() {
        return;
    }
    let defaults = &json["fieldConfig"]["defaults"];
    faults.unless(json["description"].as_str().is_some_and(|text| text.ends_with('.')), || {
        format!("{at}: no description in whole sentences")
    });
    faults.unless(defaults["unit"].as_str().is_some_and(|unit| UNITS.contains(&unit)), || {
        format!("{at}: unit {} is none of {UNITS:?}", defaults["unit"])
    });
    faults.unless(defaults["noValue"].as_str().is_some_and(|text| !text.is_empty()), || {
        format!("{at}: says nothing when there is no data")
    });
    let targets = json["targets"].as_array().map_or(&[][..], Vec::as_slice);
    faults.unless(!targets.is_empty(), || format!("{at}: no query"));
    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    faults.unless(json["datasource"] == source, || format!("{at}: datasource {}", json["datasource"]));
    let mut refs = BTreeSet::new();
    for target in targets {
        let query = target["expr"].as_str().unwrap_or_default();
        faults.unless(target["datasource"] == source, || format!("{at}: a query with another datasource"));
        faults.unless(refs.insert(target["refId"].to_string()), || format!("{at}: refId twice"));
        faults.unless(query.contains("$cluster"), || format!("{at}: {query} does not select the cluster"));
        for counter in ["rate(", "increase(", "delta("] {
            for rest in query.split(counter).skip(1) {
                let range = rest.split(['[', ']']).nth(1).unwrap_or_default();
                faults.unless(matches!(range, "$__rate_interval" | "$__range"), || {
                    format!("{at}: {counter}…[{range}]; write $__rate_interval")
                });
            }
        }
    }
    if targets.len() > 1 && kind == "timeseries" {
        faults.unless(json["options"]["legend"]["calcs"] == json!(["lastNotNull", "max"]), || {
            format!("{at}: several series and no last and max in the legend")
        });
    }
}

#[test]
fn counters_are_shown_as_rates_only() -> Result<()> {
    let mut faults = Faults::default();
    let counted = ["_total", "_bucket", "_count", "_sum"];
    for board in boards()? {
        for expression in board.expressions() {
            let is_of_a_name =
                |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
            let text = &expression.text;
            for word in text.split(|letter| !is_of_a_name(letter)) {
                let is_counter = counted.iter().any(|ending| word.ends_with(ending));
                if is_counter && text.contains(&format!("{word}{{")) {
                    let rates =
                        ["rate", "increase"].iter().any(|rate| text.contains(&format!("{rate}({word}{{")));
                    faults.unless(rates, || format!("{}: {word} without a rate", expression.place));
                }
            }
        }
    }
    faults.none();
    Ok(())
}

#[test]
fn variables_are_those_that_queries_use() -> Result<()> {
    let mut faults = Faults::default();
    for board in boards()? {
        let name = &board.name;
        let variables: Vec<_> =
            board.variables().map(|variable| variable["name"].as_str().unwrap_or_default()).collect();
        let mut order = ["datasource", "cluster", "namespace", "group", "role", "metric"].to_vec();
        order.retain(|known| variables.contains(known));
        faults.unless(variables == order, || {
            format!("{name}: variables {variables:?}; the order is {order:?}")
        });
        let mut document = board.json.clone();
        let used = |variable: &str, text: &str| {
            text.split('$').skip(1).any(|rest| {
                rest.trim_start_matches('{').strip_prefix(variable).is_some_and(|rest| {
                    !rest.starts_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_')
                })
            })
        };
        let variables: Vec<Value> = board.variables().cloned().collect();
        for variable in &variables {
            let own = variable["name"].as_str().unwrap_or_default();
            document["templating"]["list"] =
                variables.iter().filter(|other| other["name"] != own).cloned().collect();
            faults.unless(used(own, &document.to_string()), || format!("{name}: variable {own} is not used"));
            faults.unless(variable["label"].as_str().is_some_and(|label| !label.is_empty()), || {
                format!("{name}: variable {own} has no label")
            });
            if own == "datasource" {
                faults.unless(variable["query"] == "prometheus" && variable["type"] == "datasource", || {
                    format!("{name}: the datasource is not chosen by a variable")
                });
                continue;
            }
            let source = json!({"type": "prometheus", "uid": "${datasource}"});
            faults
                .unless(variable["datasource"] == source, || format!("{name}: {own} has another datasource"));
            faults
                .unless(variable["refresh"] == 2, || format!("{name}: {own} does not follow the time range"));
            let is_multi = variable["multi"] == true;
            faults.unless(
                variable["includeAll"] == is_multi && (!is_multi || variable["allValue"].is_string()),
                || format!("{name}: {own} offers several values but no All"),
            );
            for expression in board.expressions() {
                let exact = format!("{own}=\"${own}\"");
                faults.unless(!is_multi || !expression.text.contains(&exact), || {
                    format!("{}: {exact} with a variable of several values; write =~", expression.place)
                });
            }
        }
        let known: Vec<_> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
        for expression in board.expressions() {
            for rest in expression.text.split('$').skip(1) {
                let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
                let variable = &rest[..end.unwrap_or(rest.len())];
                faults.unless(variable.starts_with("__") || known.contains(&variable), || {
                    format!("{}: there is no variable {variable}", expression.place)
                });
            }
        }
    }
    faults.none();
    Ok(())
}

#[test]
fn alerts_say_what_happens_and_where_to_read_on() -> Result<()> {
    let runbook = std::fs::read_to_string(dashboards::folder().join("../docs/alerts.md"))?;
    let mut faults = Faults::default();
    for rule in dashboards::rules()? {
        let Some(name) = rule["alert"].as_str() else { continue };
        let annotations = &rule["annotations"];
        for field in ["summary", "description", "runbook_url", "dashboard_url"] {
            faults.unless(annotations[field].is_string(), || format!("{name}: no {field}"));
        }
        for field in ["severity", "component"] {
            faults.unless(rule["labels"][field].is_string(), || format!("{name}: no label {field}"));
        }
        let url = format!("docs/alerts.md#{}", name.to_lowercase());
        faults.unless(annotations["runbook_url"].as_str().is_some_and(|text| text.ends_with(&url)), || {
            format!("{name}: runbook_url does not end in {url}")
        });
        faults.unless(runbook.contains(&format!("## {name}\n")), || format!("docs/alerts.md has no {name}"));
    }
    faults.none();
    Ok(())
}

#[test]
fn recording_rules_are_those_of_the_catalog() -> Result<()> {
    let file = dashboards::folder().join("rules/recording.yaml");
    let mut made = String::from(
        "# Made from the catalog of signals, so that dashboards name no engine. After a change of the catalog:\n\
         #   UPDATE_RULES=1 cargo test -p rbg-autoscaler-tests --test dashboards recording\n\
         groups:\n- name: rbg-engine-signals\n  interval: 15s\n  rules:\n",
    );
    for signal in catalog::built_in(catalog::RATE_WINDOW) {
        let query = signal.recorded_query().context("a built-in signal without engines")?;
        let lines = query.replace(" or ", "\n      or ");
        writeln!(made, "  # {} ({})", signal.meaning, signal.unit.text())?;
        write!(made, "  - record: {}\n    expr: |\n      {lines}\n", signal.recorded_name())?;
    }
    if std::env::var_os("UPDATE_RULES").is_some() {
        std::fs::write(&file, &made)?;
    }
    ensure!(
        std::fs::read_to_string(&file).unwrap_or_default() == made,
        "{}: see its first lines",
        file.display()
    );
    Ok(())
}

#[test]
fn every_query_of_a_dashboard_is_promql() -> Result<()> {
    let mut rules = Vec::new();
    for board in boards()? {
        for (index, expression) in board.expressions().iter().enumerate() {
            let record = format!("{}:{index}", board.name);
            rules.push(json!({"record": record, "expr": expression.filled_in(&[]),
                "labels": {"place": expression.place.replace('/', "-")}}));
        }
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("queries.yaml");
    std::fs::write(&file, json!({"groups": [{"name": "queries", "rules": rules}]}).to_string())?;
    promtool(&["check", "rules"], &[&file])
}

#[test]
fn rules_pass_promtool() -> Result<()> {
    let files = dashboards::rule_files()?;
    let files: Vec<_> = files.iter().map(|file| &**file).collect();
    promtool(&["check", "rules"], &files)
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() -> Result<()> {
    let cases = dashboards::folder().join("../tests/data/alerts.yaml");
    let document: Value = serde_saphyr::from_str(&std::fs::read_to_string(&cases)?)?;
    let tests = document["tests"].as_array().context("no tests")?;
    for rule in dashboards::rules()? {
        let Some(name) = rule["alert"].as_str() else { continue };
        let fires = |test: &&Value| {
            test["promql_expr_test"].to_string().contains(&format!("alertname=\\\"{name}\\\""))
        };
        let count = tests.iter().filter(fires).count();
        ensure!(count > 0 && count < tests.len(), "{name} fires in {count} of {} tests", tests.len());
    }
    promtool(&["test", "rules"], &[&cases])
}

#[test]
fn recording_rules_join_engines() -> Result<()> {
    promtool(&["test", "rules"], &[&dashboards::folder().join("../tests/data/recording.yaml")])
}

fn promtool(command: &[&str], files: &[&Path]) -> Result<()> {
    let output = Command::new(programs::find_prometheus("promtool")?).args(command).args(files).output()?;
    if !output.status.success() {
        let (told, warned) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("promtool {}:\n{told}{warned}", command.join(" "));
    }
    Ok(())
}
