//! Tables of what [`plan`] should do.

use super::{
    super::{
        blueprint::{Blueprint, WantedPod},
        manifest::{self, manifest},
        observed::ObservedPod,
        types::{Role, RoleBasedGroup},
    },
    plan,
};

fn blueprint(role: manifest::Role) -> (Role, Blueprint) {
    let group: RoleBasedGroup = serde_json::from_value(manifest("g", [role])).unwrap();
    let role = group.spec.roles[0].clone();
    let blueprint = Blueprint::new(&group, &role).unwrap().unwrap();
    (role, blueprint)
}

/// Ready pods of these ordinals, as that role makes them.
pub fn pods(role: &manifest::Role, ordinals: impl IntoIterator<Item = u32>) -> Vec<ObservedPod> {
    let (_, blueprint) = blueprint(role.clone());
    let observe = |ordinal: u32, pod: WantedPod| ObservedPod {
        name: pod.name,
        role: "r".into(),
        ordinal: Some(ordinal),
        size: blueprint.pods(ordinal).len(),
        revision: blueprint.revision.clone(),
        ready: true,
        ..ObservedPod::default()
    };
    ordinals
        .into_iter()
        .flat_map(|ordinal| blueprint.pods(ordinal).into_iter().map(move |pod| observe(ordinal, pod)))
        .collect()
}

pub fn with(mut pods: Vec<ObservedPod>, name: &str, change: impl Fn(&mut ObservedPod)) -> Vec<ObservedPod> {
    change(pods.iter_mut().find(|pod| pod.name == name).unwrap());
    pods
}

pub fn without(mut pods: Vec<ObservedPod>, name: &str) -> Vec<ObservedPod> {
    pods.retain(|pod| pod.name != name);
    pods
}

/// A role with the pods it has, and what follows.
pub struct Case {
    pub name: &'static str,
    pub role: manifest::Role,
    pub pods: Vec<ObservedPod>,
    pub delete: &'static [&'static str],
    pub create: &'static [&'static str],
    /// Replicas, ready, updated.
    pub status: [u32; 3],
}

pub fn check(cases: Vec<Case>) {
    for Case { name, role, pods, delete, create, status } in cases {
        let (role, blueprint) = blueprint(role);
        let got = plan(&role, &blueprint, &pods);
        assert_eq!(
            got.delete.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(),
            delete,
            "{name}: delete"
        );
        assert_eq!(
            got.create.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>(),
            create,
            "{name}: create"
        );
        let counts = [got.status.replicas, got.status.ready_replicas, got.status.updated_replicas];
        assert_eq!(counts, status, "{name}: status");
    }
}
