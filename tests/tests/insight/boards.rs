//! Every query of the dashboards and every rule, asked of a Prometheus and of a VictoriaMetrics that scraped the scene.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use kube::{api::GetParams, core::Request};
use rbg_autoscaler_tests::dashboards::{self, Expression};
use serde_json::Value;
use tokio::time::timeout;

use super::world::{World, seen};

/// Queries that may answer nothing here, and why.
const MAY_BE_EMPTY: [(&str, &str); 8] = [
    (
        "role / Gangs taken back",
        "the counter begins with the first rollback, so its first step is not seen as an increase",
    ),
    (
        "overview / Counts written / A",
        "the counters begin with the first write, which is not seen as an increase",
    ),
    ("adapter / Errors", "nothing fails"),
    ("adapter / Objects without a value", "nobody asked for an object without a value"),
    ("adapter / Share of failures", "falls back to zero"),
    ("overview / annotation Lowered", "only while a count falls"),
    ("role / annotation", "only while a count changes"),
    ("rule rbg:prefix_cache_hit_rate", "the engines' prefix cache is not used"),
];
/// The role that a dashboard of one role shows here.
const SHOWN: [(&str, &str); 2] = [("group", "demo"), ("role", "up")];

/// Alerts that must fire here sooner or later: a role is at its maximum, one finds no room, one has no metrics.
const FIRING: [&str; 4] =
    ["RBGRoleAtMaximum", "RBGRoleWithoutRoom", "RBGMetricMissing", "RBGAllMetricsMissing"];

/// Something with the HTTP API of Prometheus.
struct Source<'a> {
    name: &'static str,
    url: &'a str,
}

pub async fn every_query_answers(world: &World) -> Result<()> {
    ask_the_adapter(world).await?;
    let mut sources = vec![Source { name: "Prometheus", url: &world.prometheus }];
    if let Some(victoria) = &world.victoria {
        sources.push(Source { name: "VictoriaMetrics", url: victoria.url() });
    }
    for source in sources {
        source.knows_every_name().await.context(source.name)?;
        source.answers_every_query(world).await.context(source.name)?;
    }
    Ok(())
}

/// The queries of dashboards, what rules record, and the conditions of alerts.
fn expressions() -> Result<Vec<Expression>> {
    let mut expressions = Vec::new();
    for board in dashboards::all()? {
        expressions.extend(board.expressions());
    }
    for rule in dashboards::rules()? {
        let name = rule["record"].as_str().or(rule["alert"].as_str()).context("a rule without a name")?;
        let kind = if rule["record"].is_string() { "rule" } else { "alert" };
        let text = rule["expr"].as_str().unwrap_or_default().to_owned();
        expressions.push(Expression { place: format!("{kind} {name}"), text, instant: true });
    }
    ensure!(expressions.len() > 110, "only {} queries were found", expressions.len());
    Ok(expressions)
}

/// Asks the adapter as HPAs do, again and again: its figures need somebody who asks.
async fn ask_the_adapter(world: &World) -> Result<()> {
    let client = world.plane.client().await?;
    let namespace = world.scene.namespace().name();
    let path = format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*");
    for signal in ["queue_length", "qps", "prefix_cache_hit_rate"] {
        let request = Request::new(path.as_str()).get(signal, &GetParams::default())?;
        // A signal that no pod has is answered by 404, which is an answer too.
        let _ = timeout(Duration::from_secs(3), client.request_text(request)).await;
    }
    Ok(())
}

fn filled<'a>(expression: &Expression, namespace: &'a str) -> Vec<(&'static str, &'a str)> {
    let mut filled = vec![("namespace", namespace)];
    if expression.place.starts_with("role / ") {
        filled.extend(SHOWN);
    }
    filled
}

fn may_be_empty(place: &str) -> bool {
    MAY_BE_EMPTY.iter().any(|(known, _)| place.starts_with(known))
        || place.strip_prefix("alert ").is_some_and(|alert| !FIRING.contains(&alert))
}

#[expect(clippy::disallowed_methods, reason = "Prometheus is asked about the present")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

impl Source<'_> {
    async fn answers_every_query(&self, world: &World) -> Result<()> {
        let namespace = world.scene.namespace().name();
        let expressions = expressions()?;
        seen("every query answers", async || {
            ask_the_adapter(world).await?;
            let mut empty = Vec::new();
            let mut answered = 0;
            for expression in &expressions {
                let query = expression.filled_in(&filled(expression, namespace));
                match self.series(expression, &query).await? {
                    0 if !may_be_empty(&expression.place) => {
                        empty.push(format!("{}: {query}", expression.place));
                    }
                    0 => {}
                    _ => answered += 1,
                }
            }
            if !empty.is_empty() {
                bail!("{} queries answer nothing:\n{}", empty.len(), empty.join("\n"));
            }
            println!("{}: {answered} of {} queries answer", self.name, expressions.len());
            Ok(Some(()))
        })
        .await
    }

    async fn get(&self, path: &str, form: &[(&str, String)]) -> Result<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}/api/v1/{path}", self.url), form)?;
        let answer: Value = serde_json::from_str(&reqwest::get(url).await?.text().await?)?;
        ensure!(answer["status"] == "success", "{form:?}: {answer}");
        Ok(answer)
    }

    /// Returns how many series an expression has a number in; complains about a wrong shape.
    async fn series(&self, expression: &Expression, query: &str) -> Result<usize> {
        let now = now();
        let mut form = vec![("query", query.to_owned())];
        let path = if expression.instant {
            form.push(("time", now.to_string()));
            "query"
        } else {
            form.extend([
                ("start", (now - 600).to_string()),
                ("end", now.to_string()),
                ("step", "5".to_owned()),
            ]);
            "query_range"
        };
        let answer = self.get(path, &form).await.with_context(|| expression.place.clone())?;
        let wanted = if expression.instant { "vector" } else { "matrix" };
        let shape = &answer["data"]["resultType"];
        ensure!(*shape == wanted, "{}: {shape}", expression.place);
        let result = answer["data"]["result"].as_array().context("no result")?;
        let has_number = |series: &&Value| {
            let one = [&series["value"]];
            let values: Vec<&Value> =
                series["values"].as_array().map_or(one.to_vec(), |values| values.iter().collect());
            values.iter().any(|value| value[1].as_str().is_some_and(|text| text != "NaN"))
        };
        Ok(result.iter().filter(has_number).count())
    }

    /// Every name of ours in a dashboard or rule is one that is scraped or recorded.
    async fn knows_every_name(&self) -> Result<()> {
        let mut wanted: BTreeSet<String> =
            expressions()?.iter().flat_map(|expression| own_names(&expression.text)).collect();
        // It appears with the first error.
        wanted.remove("rbg_autoscaler_errors_total");
        seen("every name is scraped or recorded", async || {
            let answer = self.get("label/__name__/values", &[]).await?;
            let known = answer["data"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let known: BTreeSet<String> = known.map(str::to_owned).collect();
            let missing: Vec<_> = wanted.difference(&known).collect();
            if !missing.is_empty() {
                bail!("nobody exposes {missing:?}");
            }
            Ok(Some(()))
        })
        .await
    }
}

fn own_names(text: &str) -> Vec<String> {
    let is_of_a_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':';
    let words = text.split(|letter: char| !is_of_a_name(letter));
    let own = |word: &&str| {
        word.starts_with("rbg_autoscaler_")
            || word.starts_with("rbg_metrics_adapter_")
            || word.starts_with("rbg:")
    };
    words.filter(own).map(str::to_owned).collect()
}
