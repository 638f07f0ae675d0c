//! What a decision sees of the cluster's room: nodes, pods, what was given away, and the pods of a new replica.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use rbg_autoscaler::{
    api::rbg::{Role, RoleBasedGroup},
    policy::Policy,
    scaling::{Observation, Reservation, RoleHistory},
};
use tracing::debug;

use super::Observed;
use crate::cache::{World, pods::RolePods, store::ObjectKey};

/// Returns whether a decision depends on the room, whatever the policy's mode: gangs were taken back, or may have to be.
pub fn may_roll_back(histories: &[RoleHistory], seen: &Observation) -> bool {
    let mut replicas = seen.roles.iter().flatten().flat_map(|role| &role.replicas);
    histories.iter().any(|history| history.rollback.is_some())
        || replicas.any(|replica| replica.unschedulable_since.is_some())
}

/// Adds the room to what a decision sees; `given` is what was given to others, and to this group before: the places, and pods that
/// nobody has placed.
pub fn see_room(
    world: &mut World,
    key: &ObjectKey,
    group: &RoleBasedGroup,
    policy: &Policy,
    given: (Vec<Reservation>, Vec<Arc<Pod>>),
    observed: &mut Observed,
) {
    let mut listed = Vec::new();
    for (policy, seen) in policy.roles.iter().zip(&mut observed.observation.roles) {
        let (Some(seen), Some((_, role))) = (seen, group.role(&policy.name)) else { continue };
        seen.templates = templates(world, key, group, role);
        // A rollback looks at the room that there would be without the pods that it takes back.
        if seen.replicas.iter().any(|replica| replica.unschedulable_since.is_some()) {
            let pods = world.pods.of(key, &role.name).into_iter().flat_map(RolePods::as_slice);
            listed.extend(pods.map(|pod| ObjectKey::new(key.namespace.as_str(), pod.name().as_ref())));
        }
    }
    let (reserved, waiting) = given;
    let mut room = world.room.seen(&listed, reserved);
    if room.nodes.is_some() {
        room.pods.extend(waiting);
    }
    observed.observation.capacity = Some(Arc::new(room));
}

/// The pods of one replica as the group describes them, with the priority that admission gave to those that exist.
fn templates(world: &World, key: &ObjectKey, group: &RoleBasedGroup, role: &Role) -> Vec<(u32, PodSpec)> {
    let mut templates = match group.pods_of_replica(role) {
        Ok(templates) => templates,
        Err(error) => {
            debug!(group = %key, role = role.name, %error, "the pods of a role are not known");
            return Vec::new();
        }
    };
    let (_, priority) = world.room.tenants().of_role(key, &role.name);
    for (_, spec) in &mut templates {
        spec.priority = spec.priority.or(priority);
    }
    templates
}
