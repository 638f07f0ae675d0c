//! The pods of one replica as templates, where the group does not tell them: taken from a replica that exists.

use k8s_openapi::api::core::v1::PodSpec;

use super::{ReplicaFold, RolePod};

impl ReplicaFold<'_> {
    /// Returns the pods of the last complete replica, leader first, as (how many, spec); empty when there is none.
    ///
    /// The last replica is likely to have the newest template. A pod whose containers were left out tells nothing, and
    /// the node that a pod is bound to is no part of a template.
    pub fn templates(&self, pods_per_replica: u32) -> Vec<(u32, PodSpec)> {
        let complete = self.members().rev().find_map(|members| {
            let specs: Option<Vec<(Option<u32>, PodSpec)>> = members
                .iter()
                .map(|member| Some((member.pod.component_index(), template(member.pod)?)))
                .collect();
            specs.filter(|specs| u32::try_from(specs.len()) == Ok(pods_per_replica))
        });
        let mut specs = complete.unwrap_or_default();
        specs.sort_by_key(|(index, _)| *index);
        let mut templates: Vec<(u32, PodSpec)> = Vec::new();
        for (_, spec) in specs {
            match templates.last_mut() {
                Some((count, last)) if *last == spec => *count += 1,
                _ => templates.push((1, spec)),
            }
        }
        templates
    }
}

fn template(pod: &RolePod) -> Option<PodSpec> {
    pod.spec().filter(|spec| !spec.containers.is_empty()).map(|spec| PodSpec::clone(spec))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn the_last_complete_replica_is_the_template() {
        let pod = |replica: u32, index: u32, gpus: u32, node: &str| -> RolePod {
            let container =
                json!({"name": "engine", "resources": {"requests": {"nvidia.com/gpu": gpus.to_string()}}});
            let pod: Pod = from_value(json!({
                "metadata": {"name": format!("demo-decode-{replica}-{index}"), "labels": {
                    "rbg.workloads.x-k8s.io/role-instance-name": format!("demo-decode-{replica}"),
                    "rbg.workloads.x-k8s.io/component-index": index.to_string(),
                }},
                "spec": {"nodeName": node, "containers": if gpus == 9 { json!([]) } else { json!([container]) }},
            }))
            .expect("a pod");
            RolePod::new(pod, Arc::new)
        };
        let shape = |pods: &[RolePod]| -> Vec<(u32, String)> {
            let templates = ReplicaFold::of(pods, 3).templates(3);
            assert!(templates.iter().all(|(_, spec)| spec.node_name.is_none()), "no template is bound");
            let gpus = |spec: &PodSpec| {
                let requests =
                    spec.containers[0].resources.as_ref().and_then(|resources| resources.requests.as_ref());
                requests.expect("requests")["nvidia.com/gpu"].0.clone()
            };
            templates.iter().map(|(count, spec)| (*count, gpus(spec))).collect()
        };
        let old = [pod(0, 0, 1, "a"), pod(0, 1, 4, "b"), pod(0, 2, 4, "c")];
        let new = [pod(1, 2, 8, "d"), pod(1, 1, 8, "e"), pod(1, 0, 2, "f")];
        let some = |count, gpus: &str| (count, gpus.to_owned());
        assert_eq!(shape(&[&old[..], &new[..]].concat()), [some(1, "2"), some(2, "8")], "leader first");
        assert_eq!(
            shape(&[&old[..], &new[..2]].concat()),
            [some(1, "1"), some(2, "4")],
            "the last is not complete"
        );
        assert_eq!(shape(&old[..2]), [], "none is complete");
        assert_eq!(
            shape(&[pod(0, 0, 9, "a"), pod(0, 1, 1, "a"), pod(0, 2, 1, "a")]),
            [],
            "a pod without containers"
        );
    }
}
