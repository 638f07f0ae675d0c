//! Whether the gang scheduling that a group asks for reaches its pods.
//!
//! RBG makes a PodGroup for the annotation, but labels its pods with a key that scheduler-plugins no longer reads: the PodGroup then has
//! no member, and pods are placed one by one, as without it.

use kube::ResourceExt;
use rbg_autoscaler::api::rbg::{GANG_SCHEDULING, POD_GROUP, RoleBasedGroup};

use crate::cache::{World, store::ObjectKey};

/// Returns why gang scheduling has no effect on a group that asks for it; none when it may have, or nobody asks for it.
pub fn ineffective_gang_scheduling(world: &World, key: &ObjectKey, group: &RoleBasedGroup) -> Option<String> {
    if group.annotations().get(GANG_SCHEDULING).is_none_or(|value| value != "true") {
        return None;
    }
    let pods = |role: &str| world.pods.of(key, role).map_or(&[][..], |pods| pods.as_slice());
    let role = group
        .spec
        .roles
        .iter()
        .find(|role| pods(&role.name).iter().any(|pod| !pod.is_in_pod_group() && !pod.is_deleted()))?;
    Some(format!(
        "{GANG_SCHEDULING} has no effect: pods of role {} lack the label {POD_GROUP}, so the scheduler places them one by one; set it \
         to {} in the pod templates",
        role.name, key.name
    ))
}
