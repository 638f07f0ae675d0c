//! Scaling adapters: followed, made and bound.

use kube::{
    Api, Error, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use super::{
    super::{
        blueprint::identity,
        observed::owner,
        scaling_adapter::{self, demanded, is_bound},
        types::{Role, RoleBasedGroup, RoleBasedGroupScalingAdapter, RoleStatus},
    },
    Reconciler, Result, StandInError, now,
};

impl Reconciler {
    /// Gives roles the counts that their adapters say.
    ///
    /// As upstream does it, the whole group is written as its types know it: every other field, of every role, is lost.
    pub(super) async fn obey(
        &self,
        mut group: RoleBasedGroup,
        adapters: &[RoleBasedGroupScalingAdapter],
    ) -> Result<RoleBasedGroup> {
        let api: Api<RoleBasedGroup> = self.api(identity(&group).1);
        for _ in 0..5 {
            let mut changed = false;
            let uid = group.metadata.uid.clone();
            for role in &mut group.spec.roles {
                let adapter = of_role(adapters, uid.as_deref(), &role.name);
                if let Some(count) = demanded(role, adapter).filter(|count| *count != role.replicas) {
                    role.replicas = count;
                    changed = true;
                }
            }
            if !changed {
                return Ok(group);
            }
            match api.replace(&group.name_any(), &PostParams::default(), &group).await {
                Err(Error::Api(status)) if status.is_conflict() => group = api.get(&group.name_any()).await?,
                other => return Ok(other?),
            }
        }
        Err(StandInError::Contended)
    }

    /// Makes missing adapters and brings their status up to date.
    pub(super) async fn bind(
        &self,
        group: &RoleBasedGroup,
        adapters: &[RoleBasedGroupScalingAdapter],
        statuses: &[RoleStatus],
    ) -> Result<()> {
        let uid = group.metadata.uid.as_deref();
        for (role, status) in group.spec.roles.iter().zip(statuses) {
            if !role.has_scaling_adapter() {
                continue;
            }
            match of_role(adapters, uid, &role.name) {
                Some(found) => self.update_adapter(group, role, found, status).await?,
                None => self.create_adapter(group, role, status).await?,
            }
        }
        Ok(())
    }

    /// Deletes an adapter.
    pub(super) async fn delete_adapter(
        &self,
        namespace: &str,
        adapter: &RoleBasedGroupScalingAdapter,
    ) -> Result<()> {
        let uid = adapter.uid().unwrap_or_default();
        self.delete::<RoleBasedGroupScalingAdapter>(namespace, &adapter.name_any(), &uid).await
    }

    async fn create_adapter(&self, group: &RoleBasedGroup, role: &Role, status: &RoleStatus) -> Result<()> {
        let api: Api<RoleBasedGroupScalingAdapter> = self.api(identity(group).1);
        let wanted = scaling_adapter::wanted(group, role);
        match api.create(&PostParams::default(), &wanted).await {
            Err(Error::Api(status)) if status.is_already_exists() => {
                Err(StandInError::NameTaken(wanted.name_any()))
            }
            other => self.update_adapter(group, role, &other?, status).await,
        }
    }

    async fn update_adapter(
        &self,
        group: &RoleBasedGroup,
        role: &Role,
        found: &RoleBasedGroupScalingAdapter,
        status: &RoleStatus,
    ) -> Result<()> {
        let (api, name) = (self.api(identity(group).1), found.name_any());
        let wanted = scaling_adapter::wanted(group, role);
        let labels = wanted.labels();
        let count_is_new = !is_bound(found) && found.spec.replicas != wanted.spec.replicas;
        if count_is_new || labels.iter().any(|(key, value)| found.labels().get(key) != Some(value)) {
            let mut patch = json!({"metadata": {"labels": labels}});
            if count_is_new {
                patch["spec"]["replicas"] = json!(wanted.spec.replicas);
            }
            patch_adapter(&api, &name, patch, false).await?;
        }
        let status = scaling_adapter::status(group, role, status, found.status.as_ref(), now());
        if found.status.as_ref() != Some(&status) {
            patch_adapter(&api, &name, json!({"status": status}), true).await?;
        }
        Ok(())
    }
}

async fn patch_adapter(
    api: &Api<RoleBasedGroupScalingAdapter>,
    name: &str,
    patch: serde_json::Value,
    status: bool,
) -> Result<()> {
    let (how, patch) = (PatchParams::default(), Patch::Merge(patch));
    let done =
        if status { api.patch_status(name, &how, &patch).await } else { api.patch(name, &how, &patch).await };
    match done {
        Err(Error::Api(status)) if status.is_not_found() => Ok(()),
        other => Ok(other.map(drop)?),
    }
}

/// The adapter of a role among those that this very group made.
fn of_role<'a>(
    adapters: &'a [RoleBasedGroupScalingAdapter],
    uid: Option<&str>,
    role: &str,
) -> Option<&'a RoleBasedGroupScalingAdapter> {
    adapters.iter().find(|adapter| {
        adapter.spec.scale_target_ref.role == role && owner(&adapter.metadata).map(|(_, uid)| uid) == uid
    })
}
