//! [`View`]: what kubectl would show of the demo's workloads, read from the API server.

use anyhow::Result;
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::{HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition},
    core::v1::Event,
};
use kube::{Api, Client, api::ListParams};
use rbg_autoscaler::api::autoscaler::{KIND, RoleBasedGroupAutoscaler, RoleStatus};

use super::scenario::{GROUP, NAMESPACE, STREAMS, Scaler, Stream};

/// The replicas of one workload, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Replicas that serve.
    pub ready: u32,
    /// Replicas asked for.
    pub replicas: u32,
    /// Replicas decided on.
    pub desired: u32,
    /// The last change of replicas in words; `None` before the first.
    pub decision: Option<String>,
    /// What is wrong, if anything is.
    pub trouble: Option<String>,
}

/// Returns the views of all streams, in their order. Errors: the API server does not answer.
pub async fn look(client: &Client) -> Result<Vec<View>> {
    let autoscalers: Api<RoleBasedGroupAutoscaler> = Api::namespaced(client.clone(), NAMESPACE);
    let listed = autoscalers.list(&ListParams::default()).await?.items;
    let autoscaler = listed.into_iter().find(|autoscaler| autoscaler.spec.group_ref.name == GROUP);
    let roles = autoscaler.and_then(|autoscaler| autoscaler.status).map(|status| status.roles);
    let roles = roles.unwrap_or_default();
    let told = rescales(client).await?;
    let mut views = Vec::with_capacity(STREAMS.len());
    for stream in STREAMS {
        let view = match stream.scaler {
            Scaler::Role => {
                roles.iter().find(|role| role.name == stream.name).map(of_role).unwrap_or_default()
            }
            Scaler::Hpa => of_hpa(client, &stream).await?,
        };
        views.push(View { decision: last(&told, &stream), ..view });
    }
    Ok(views)
}

fn of_role(role: &RoleStatus) -> View {
    View {
        ready: count(role.ready_replicas),
        replicas: count(role.replicas),
        desired: count(role.desired_replicas),
        decision: None,
        trouble: role.metrics.iter().find_map(|metric| metric.error.clone()),
    }
}

async fn of_hpa(client: &Client, stream: &Stream) -> Result<View> {
    let deployment = Api::<Deployment>::namespaced(client.clone(), NAMESPACE).get_opt(stream.name).await?;
    let hpa =
        Api::<HorizontalPodAutoscaler>::namespaced(client.clone(), NAMESPACE).get_opt(stream.name).await?;
    let replicas = deployment.as_ref().and_then(|d| d.spec.as_ref()?.replicas).unwrap_or_default();
    let status = hpa.and_then(|hpa| hpa.status);
    let conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
    let failing = |condition: &&HorizontalPodAutoscalerCondition| {
        condition.type_ == "ScalingActive" && condition.status == "False"
    };
    Ok(View {
        ready: count(deployment.and_then(|d| d.status?.ready_replicas).unwrap_or_default()),
        replicas: count(replicas),
        trouble: conditions.into_iter().find(failing).and_then(|condition| condition.message.clone()),
        desired: count(status.map_or(replicas, |status| status.desired_replicas)),
        decision: None,
    })
}

/// Returns the events of all changes of replicas, oldest first.
async fn rescales(client: &Client) -> Result<Vec<Event>> {
    let events: Api<Event> = Api::namespaced(client.clone(), NAMESPACE);
    let mut events = events.list(&ListParams::default().fields("reason=SuccessfulRescale")).await?.items;
    events.sort_by_key(|event| {
        let micros = event.event_time.as_ref().map(|time| time.0);
        micros.or(event.last_timestamp.as_ref().map(|time| time.0)).unwrap_or(Timestamp::UNIX_EPOCH)
    });
    Ok(events)
}

/// Returns what was told of the newest change of a stream's replicas.
fn last(told: &[Event], stream: &Stream) -> Option<String> {
    told.iter().rev().find_map(|event| {
        let message = event.message.as_deref()?;
        match (stream.scaler, event.involved_object.kind.as_deref()?) {
            (Scaler::Role, KIND) => {
                message.strip_prefix(stream.name)?.strip_prefix(": ").map(ToOwned::to_owned)
            }
            (Scaler::Hpa, "HorizontalPodAutoscaler") => {
                Some(format!("HPA: {}", message.trim_start_matches("(combined from similar events): ")))
            }
            _ => None,
        }
    })
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}
