//! Labels, annotations, readiness gates and names that RBG gives to what it makes. Knows no Kubernetes client.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Annotation of a group that asks for gang scheduling: `"true"`.
pub const GANG_SCHEDULING: &str = "rbg.workloads.x-k8s.io/group-gang-scheduling";
/// Label of the pods of such a group. Schedulers of today read another one, `scheduling.x-k8s.io/pod-group`.
pub const OLD_POD_GROUP: &str = "pod-group.scheduling.sigs.k8s.io/name";
/// Label: the group a pod, workload or scaling adapter belongs to.
pub const GROUP_NAME: &str = "rbg.workloads.x-k8s.io/group-name";
/// Label: a hash that tells groups apart, see [`group_hash`].
pub const GROUP_UID: &str = "rbg.workloads.x-k8s.io/group-uid";
/// Label: the role a pod, workload or scaling adapter belongs to.
pub const ROLE_NAME: &str = "rbg.workloads.x-k8s.io/role-name";
/// Label of a pod: its replica, such as `demo-prefill-0`.
pub const ROLE_INSTANCE_NAME: &str = "rbg.workloads.x-k8s.io/role-instance-name";
/// Label of a pod: the ordinal of its replica.
pub const ROLE_INSTANCE_INDEX: &str = "rbg.workloads.x-k8s.io/role-instance-index";
/// Label of a pod: `leader` or `worker`, a custom component, or the role's name where there is only one kind of pod.
pub const COMPONENT_NAME: &str = "rbg.workloads.x-k8s.io/component-name";
/// Label of a pod: its number among the pods of its component.
pub const COMPONENT_ID: &str = "rbg.workloads.x-k8s.io/component-id";
/// Label of a leader-worker pod: its place in the replica, 0 is the leader. Other pods do not have it.
pub const COMPONENT_INDEX: &str = "rbg.workloads.x-k8s.io/component-index";
/// Label of a pod: pods per replica (of a custom component: pods of that component).
pub const COMPONENT_SIZE: &str = "rbg.workloads.x-k8s.io/component-size";
/// Label of a pod: the name of its replica, in the manner of stateful sets.
pub const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// Label of a pod: which revision of the role's template it was made from.
pub const REVISION: &str = "controller-revision-hash";
/// Prefix of a label of a workload that ends in the role's name: the revision of the role.
pub const ROLE_REVISION_PREFIX: &str = "rbg.workloads.x-k8s.io/role-revision-";

/// Label of a LeaderWorkerSet's pod: the name of the set.
pub const LWS_NAME: &str = "leaderworkerset.sigs.k8s.io/name";
/// Label of a LeaderWorkerSet's pod: the ordinal of its replica.
pub const LWS_GROUP_INDEX: &str = "leaderworkerset.sigs.k8s.io/group-index";
/// Label of a LeaderWorkerSet's pod: its place in the replica, 0 is the leader.
pub const LWS_WORKER_INDEX: &str = "leaderworkerset.sigs.k8s.io/worker-index";
/// Label of a LeaderWorkerSet's pod: which revision of the templates it was made from.
pub const LWS_REVISION: &str = "leaderworkerset.sigs.k8s.io/template-revision-hash";
/// Annotation of a LeaderWorkerSet's pod: pods per replica.
pub const LWS_SIZE: &str = "leaderworkerset.sigs.k8s.io/size";

/// Annotation of a role: which kind of workload runs it, as `apiVersion/kind`.
pub const WORKLOAD_TYPE: &str = "rbg.workloads.x-k8s.io/role-workload-type";

/// The two readiness gates of pods that RBG makes itself.
pub const READINESS_GATES: [&str; 2] = ["InPlaceUpdateReady", "InstancePodReady"];

/// Returns what the label [`GROUP_UID`] holds: SHA-1 of `namespace/name` in hex, the same for a group made anew.
pub fn group_hash(namespace: &str, group: &str) -> String {
    hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{namespace}/{group}").as_bytes()).as_ref())
}

/// Returns a short name for a revision: the first ten hex digits of the text's SHA-1.
pub fn revision_hash(text: &str) -> String {
    hex(&digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref()[..5])
}

/// Returns the name of a role's workload: `<group>-<role>`, cut to 63 characters without a hyphen at the end.
pub fn workload_name(group: &str, role: &str) -> String {
    let name: String = format!("{group}-{role}").chars().take(63).collect();
    name.trim_end_matches('-').to_owned()
}

/// Returns the name of a role's scaling adapter: `<group>-<role>`, never cut.
pub fn scaling_adapter_name(group: &str, role: &str) -> String {
    format!("{group}-{role}")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_sha1_in_hex() {
        // printf default/demo | sha1sum
        assert_eq!(group_hash("default", "demo"), "60712f45d72293f5714d00f45a6b901b93958596");
        assert_eq!(revision_hash("abc"), "a9993e3647");
    }

    #[test]
    fn workload_names_fit_a_label() {
        struct Case {
            name: &'static str,
            group: String,
            want: String,
        }
        let cases = [
            Case { name: "short", group: "demo".into(), want: "demo-decode".into() },
            Case { name: "cut", group: "g".repeat(60), want: format!("{}-de", "g".repeat(60)) },
            Case { name: "cut before the hyphen", group: "g".repeat(62), want: "g".repeat(62) },
        ];
        for Case { name, group, want } in cases {
            assert_eq!(workload_name(&group, "decode"), want, "{name}");
        }
    }
}
