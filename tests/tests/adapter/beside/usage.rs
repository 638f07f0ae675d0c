//! metrics.k8s.io of both adapters, by the same `resourceRules`.

use std::{collections::BTreeSet, slice};

use anyhow::{Context as _, Result, ensure};
use rbg_autoscaler_tests::harness::eventually;
use serde_json::Value;

use crate::{
    beside::Pair,
    page::Page,
    world::{PATIENCE, World},
};

pub const RULES: &str = r#"resourceRules:
  cpu:
    containerQuery: sum(container_cpu_usage_seconds_total{<<.LabelMatchers>>,container!="POD"}) by (<<.GroupBy>>)
    nodeQuery: sum(fixed_on_node{<<.LabelMatchers>>}) by (<<.GroupBy>>)
    resources: {overrides: {namespace: {resource: namespace}, node: {resource: node}, pod: {resource: pod}}}
    containerLabel: container
  memory:
    containerQuery: sum(container_memory_working_set_bytes{<<.LabelMatchers>>,container!="POD"}) by (<<.GroupBy>>)
    nodeQuery: sum(fixed_on_node{<<.LabelMatchers>>} * 1073741824) by (<<.GroupBy>>)
    resources: {overrides: {namespace: {resource: namespace}, node: {resource: node}, pod: {resource: pod}}}
    containerLabel: container
  window: 3m
"#;

impl Pair {
    /// CPU and memory by `resourceRules`.
    pub async fn measure_the_same(&self, world: &World, page: &Page) -> Result<()> {
        let namespace = world.namespace.name();
        let pod = page.pods.first().context("no pod")?;
        for (rest, code, count) in [
            (format!("namespaces/{namespace}/pods?labelSelector=app%3Dpage"), 200, 2),
            ("pods?labelSelector=app+in+%28page%29".to_owned(), 200, 2),
            (format!("namespaces/{namespace}/pods/{pod}"), 200, 1),
            (format!("namespaces/{namespace}/pods?labelSelector=app%3Dfirst"), 200, 0),
            (format!("namespaces/{namespace}/pods/nobody"), 404, 0),
            ("nodes".to_owned(), 200, 1),
            ("nodes/node-0".to_owned(), 200, 1),
            ("nodes/node-1".to_owned(), 404, 0),
        ] {
            let path = format!("/apis/metrics.k8s.io/v1beta1/{rest}");
            eventually(&path, PATIENCE, async || {
                let (their_code, theirs) = self.ask(world, self.theirs, &path).await?;
                let (our_code, ours) = self.ask(world, self.ours, &path).await?;
                ensure!((their_code, our_code) == (code, code), "{theirs} and {ours}");
                let (theirs, ours) = (usages(&theirs), usages(&ours));
                ensure!(theirs == ours && theirs.len() == count, "{theirs:?} and {ours:?}");
                Ok(Some(()))
            })
            .await?;
        }
        Ok(())
    }
}

/// Whose CPU and memory, over which window, and how much, of one object or a list; without the time.
fn usages(answer: &Value) -> BTreeSet<String> {
    let one = slice::from_ref(answer);
    let items = match answer["items"].as_array() {
        Some(items) => items.as_slice(),
        None if answer["kind"] == "Status" => &[],
        None => one,
    };
    let usage = |item: &Value| {
        let metadata = &item["metadata"];
        format!(
            "{}/{} {} {} {}",
            metadata["namespace"], metadata["name"], item["window"], item["containers"], item["usage"]
        )
    };
    items.iter().map(usage).collect()
}
