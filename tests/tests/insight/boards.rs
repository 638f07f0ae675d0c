//! Every query of the dashboards and every rule, asked of a Prometheus that scraped the scene.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use kube::{api::GetParams, core::Request};
use rbg_autoscaler_tests::dashboards::{self, Expression};
use serde_json::Value;
use tokio::time::timeout;

use super::world::{World, seen};

/// Queries that may answer nothing here, and why.
const MAY_BE_EMPTY: [(&str, &str); 10] = [
    (
        "role / Gangs taken back",
        "the counter begins with the first rollback, so its first step is not seen as an increase",
    ),
    ("role / GPU utilization by pod", "needs the DCGM exporter"),
    ("adapter / APIService unavailable", "needs the metrics of kube-apiserver"),
    ("adapter / HPA: time to compute metrics", "needs the metrics of kube-controller-manager"),
    ("adapter / HPA: reconciliations", "needs the metrics of kube-controller-manager"),
    ("adapter / Errors", "nothing fails"),
    ("adapter / Objects without a value", "nobody asked for an object without a value"),
    ("adapter / Share of failures", "falls back to zero"),
    ("overview / annotation Lowered", "only while a count falls"),
    ("role / annotation", "only while a count changes"),
];
/// The role that a dashboard of one role shows here.
const SHOWN: [(&str, &str); 2] = [("group", "demo"), ("role", "up")];

pub async fn every_query_answers(world: &World) -> Result<()> {
    let namespace = world.scene.namespace().name();
    ask_the_adapter(world).await?;
    names_exist(world).await?;
    let mut expressions = Vec::new();
    for board in dashboards::all()? {
        expressions.extend(board.expressions());
    }
    for rule in dashboards::rules()? {
        if let Some(record) = rule["record"].as_str() {
            let text = rule["expr"].as_str().unwrap_or_default().to_owned();
            expressions.push(Expression { place: format!("rule {record}"), text, instant: true });
        }
    }
    ensure!(expressions.len() > 90, "only {} queries were found", expressions.len());
    seen("every query answers", async || {
        ask_the_adapter(world).await?;
        let mut empty = Vec::new();
        for expression in &expressions {
            let count = series(world, expression, namespace).await?;
            if count == 0 && !may_be_empty(&expression.place) {
                empty.push(format!(
                    "{}: {}",
                    expression.place,
                    expression.filled_in(&filled(expression, namespace))
                ));
            }
        }
        if !empty.is_empty() {
            bail!("{} queries answer nothing:\n{}", empty.len(), empty.join("\n"));
        }
        Ok(Some(()))
    })
    .await
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
    let engines = ["rule rbg:gpu_utilization", "rule rbg:prefix_cache_hit_rate"];
    MAY_BE_EMPTY.iter().any(|(known, _)| place.starts_with(known))
        || engines.iter().any(|rule| place.starts_with(rule))
}

#[expect(clippy::disallowed_methods, reason = "Prometheus is asked about the present")]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Returns how many series an expression has a number in; complains about a wrong shape.
async fn series(world: &World, expression: &Expression, namespace: &str) -> Result<usize> {
    let query = expression.filled_in(&filled(expression, namespace));
    let now = now();
    let (path, span) = if expression.instant {
        ("query", vec![("time", now.to_string())])
    } else {
        (
            "query_range",
            vec![("start", (now - 60).to_string()), ("end", now.to_string()), ("step", "5".to_owned())],
        )
    };
    let url = format!("{}/api/v1/{path}", world.prometheus);
    let mut form: Vec<(&str, String)> = vec![("query", query.clone())];
    form.extend(span);
    let address = reqwest::Url::parse_with_params(&url, &form)?;
    let answer: Value = serde_json::from_str(&reqwest::get(address).await?.text().await?)?;
    ensure!(answer["status"] == "success", "{}: {query}: {answer}", expression.place);
    let wanted = if expression.instant { "vector" } else { "matrix" };
    ensure!(answer["data"]["resultType"] == wanted, "{}: {}", expression.place, answer["data"]["resultType"]);
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
async fn names_exist(world: &World) -> Result<()> {
    let mut wanted = BTreeSet::new();
    for board in dashboards::all()? {
        wanted.extend(board.expressions().iter().flat_map(|expression| own_names(&expression.text)));
    }
    for rule in dashboards::rules()? {
        wanted.extend(own_names(rule["expr"].as_str().unwrap_or_default()));
    }
    // They appear with the first error, rollback or reading of a GPU.
    for late in ["rbg_autoscaler_errors_total", "rbg:gpu_utilization:pod"] {
        wanted.remove(late);
    }
    seen("every name is scraped or recorded", async || {
        let url = format!("{}/api/v1/label/__name__/values", world.prometheus);
        let answer: Value = serde_json::from_str(&reqwest::get(url).await?.text().await?)?;
        let known: BTreeSet<String> = answer["data"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        let missing: Vec<_> = wanted.difference(&known).collect();
        if !missing.is_empty() {
            bail!("nobody exposes {missing:?}");
        }
        Ok(Some(()))
    })
    .await
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
