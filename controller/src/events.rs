//! [`Recorder`]: tells users what happened, as Kubernetes Events; never waits for the API server.
//!
//! Callers publish on transitions only, so nothing here counts or merges. Events that cannot be sent are dropped and
//! counted: a decision never depends on them.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, api::PostParams};
use tokio::sync::mpsc;
use tracing::warn;

/// What events name as their controller.
const CONTROLLER: &str = "rbg-autoscaler.dev/controller";
/// The API server's limit of a note.
const NOTE_LIMIT: usize = 1024;
const QUEUE: usize = 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Whether an event is a cause for concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The world changed as it should.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// The object.
    pub regarding: ObjectReference,
    /// Whether it is a cause for concern.
    pub severity: Severity,
    /// Why, as one word in camel case.
    pub reason: String,
    /// What was being done, as one word in camel case.
    pub action: &'static str,
    /// What happened, in words.
    pub note: String,
    /// When.
    pub time: Timestamp,
}

/// Sends events in the background.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: mpsc::Sender<Happening>,
}

impl Recorder {
    /// Returns a recorder whose events are sent by a task of their own until the last clone is dropped.
    pub fn start(client: Client, instance: String) -> Self {
        let (queue, mut happenings) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut sequence = 0;
            while let Some(happening) = happenings.recv().await {
                send(&client, event_of(&instance, sequence, &happening)).await;
                sequence += 1;
            }
        });
        Self { queue }
    }

    /// Returns a recorder and the queue that it fills, for a caller that sends or counts them itself.
    pub fn to_queue() -> (Self, mpsc::Receiver<Happening>) {
        let (queue, happenings) = mpsc::channel(QUEUE);
        (Self { queue }, happenings)
    }

    /// Hands an event over; drops it when too many wait.
    pub fn publish(&self, happening: Happening) {
        if let Err(error) = self.queue.try_send(happening) {
            let reason = error.into_inner().reason;
            warn!(reason, "dropped an event, too many wait");
        }
    }
}

async fn send(client: &Client, event: Event) {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    let reason = &event.reason;
    match tokio::time::timeout(TIMEOUT, api.create(&PostParams::default(), &event)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn!(reason, %error, "could not send an event"),
        Err(_) => warn!(reason, "could not send an event in time"),
    }
}

fn event_of(instance: &str, sequence: i128, happening: &Happening) -> Event {
    let namespace = happening.regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = happening.regarding.name.as_deref().unwrap_or("unknown");
    Event {
        metadata: ObjectMeta {
            // One decision may tell several things at the same instant.
            name: Some(format!("{name}.{:x}", happening.time.as_nanosecond() + sequence)),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        action: Some(happening.action.to_owned()),
        event_time: Some(MicroTime(happening.time)),
        note: Some(truncated(&happening.note)),
        reason: Some(happening.reason.clone()),
        regarding: Some(happening.regarding.clone()),
        reporting_controller: Some(CONTROLLER.to_owned()),
        reporting_instance: Some(instance.to_owned()),
        type_: Some(if happening.severity == Severity::Normal { "Normal" } else { "Warning" }.to_owned()),
        ..Event::default()
    }
}

fn truncated(note: &str) -> String {
    if note.len() <= NOTE_LIMIT {
        return note.to_owned();
    }
    let mut end = NOTE_LIMIT - '…'.len_utf8();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &note[..end])
}

/// Returns a reference to an object as events want it.
pub fn reference<K: Resource<DynamicType = ()>>(object: &K) -> ObjectReference {
    object.object_ref(&())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn happening(note: String) -> Happening {
        Happening {
            regarding: ObjectReference {
                api_version: Some("rbg-autoscaler.dev/v1alpha1".to_owned()),
                kind: Some("RoleBasedGroupAutoscaler".to_owned()),
                namespace: Some("serving".to_owned()),
                name: Some("demo".to_owned()),
                ..ObjectReference::default()
            },
            severity: Severity::Normal,
            reason: "SuccessfulRescale".to_owned(),
            action: "Rescale",
            note,
            time: Timestamp::from_second(1_795_255_200).expect("a time"),
        }
    }

    #[test]
    fn an_event_as_it_is_sent() {
        insta::assert_json_snapshot!(event_of("pod-1", 0, &happening("decode: 4 → 8".to_owned())), @r#"
        {
          "apiVersion": "events.k8s.io/v1",
          "kind": "Event",
          "action": "Rescale",
          "eventTime": "2026-11-21T10:00:00.000000Z",
          "metadata": {
            "name": "demo.18ea0717bd2c4000",
            "namespace": "serving"
          },
          "note": "decode: 4 → 8",
          "reason": "SuccessfulRescale",
          "regarding": {
            "apiVersion": "rbg-autoscaler.dev/v1alpha1",
            "kind": "RoleBasedGroupAutoscaler",
            "name": "demo",
            "namespace": "serving"
          },
          "reportingController": "rbg-autoscaler.dev/controller",
          "reportingInstance": "pod-1",
          "type": "Normal"
        }
        "#);
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = truncated(&"é→".repeat(400));
        assert!(note.len() <= NOTE_LIMIT && note.ends_with('…'), "{} bytes", note.len());
    }
}
