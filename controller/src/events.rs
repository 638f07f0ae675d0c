//! [`Recorder`]: tells users what happened, as Kubernetes Events; never waits for the API server.
//!
//! Callers publish on transitions only. What the API server does not take now waits in an [`Outbox`] and is sent again;
//! what it never takes is logged and counted. A decision never depends on any of it.

mod outbox;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{
        core::v1::ObjectReference,
        events::v1::{Event, EventSeries},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, Resource, api::PostParams};
use tokio::sync::{Notify, mpsc};
use tracing::{debug, warn};

use self::outbox::{Letter, Outbox};
use crate::telemetry::Telemetry;

/// What events name as their controller.
const CONTROLLER: &str = "rbg-autoscaler.dev/controller";
/// The API server's limit of a note.
const NOTE_LIMIT: usize = 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
/// Events that are sent at the same time: enough for a thousand groups that change at once, and few beside what counts.
const SENDERS: usize = 4;
/// How long a sender waits after an event that was not taken; doubles.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// An event that was not taken so often is given up: minutes of an API server that answers nothing else either.
const MOST_TRIES: u32 = 20;

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

/// Tells users; clones share what waits.
#[derive(Clone, Debug)]
pub struct Recorder {
    sink: Sink,
}

#[derive(Clone, Debug)]
enum Sink {
    /// Sent to the API server in the background.
    Outbox(Arc<Shared>),
    /// Handed to somebody who sends or counts them.
    Queue(mpsc::UnboundedSender<Happening>),
}

#[derive(Debug)]
struct Shared {
    outbox: Mutex<Outbox>,
    /// Something waits.
    filled: Notify,
    /// Nothing waits and nothing is under way.
    emptied: Notify,
    telemetry: Arc<Telemetry>,
}

impl Shared {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    /// Returns a recorder whose events are sent in the background, for as long as the process runs.
    pub fn start(client: &Client, instance: &str, telemetry: Arc<Telemetry>) -> Self {
        let shared = Arc::new(Shared {
            outbox: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            telemetry,
        });
        for _ in 0..SENDERS {
            tokio::spawn(deliver(Arc::clone(&shared), client.clone(), instance.to_owned()));
        }
        Self { sink: Sink::Outbox(shared) }
    }

    /// Returns a recorder and the queue that it fills, for a caller that sends or counts them itself.
    pub fn to_queue() -> (Self, mpsc::UnboundedReceiver<Happening>) {
        let (queue, happenings) = mpsc::unbounded_channel();
        (Self { sink: Sink::Queue(queue) }, happenings)
    }

    /// Hands an event over.
    pub fn publish(&self, happening: Happening) {
        match &self.sink {
            Sink::Outbox(shared) => {
                let lost = shared.outbox().put(happening);
                if let Some(Happening { regarding, reason, note, .. }) = lost {
                    warn!(object = regarding.name, reason, note, "too many events about one object wait");
                    shared.telemetry.error("event_lost");
                }
                shared.filled.notify_one();
            }
            // Who counted them may have gone.
            Sink::Queue(queue) => drop(queue.send(happening)),
        }
    }

    /// Waits until everything was sent.
    pub async fn sent(&self) {
        let Sink::Outbox(shared) = &self.sink else { return };
        loop {
            let emptied = shared.emptied.notified();
            if shared.outbox().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

/// Sends what waits, one after another; what the API server does not take now is tried again.
async fn deliver(shared: Arc<Shared>, client: Client, instance: String) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let taken = shared.outbox().take();
        let Some(letter) = taken else {
            shared.filled.notified().await;
            continue;
        };
        let answer = send(&client, event_of(&instance, &letter)).await;
        let reason = &letter.happening.reason;
        let lost = match &answer {
            Sent::Taken => None,
            Sent::Later(why) if letter.tries < MOST_TRIES => {
                debug!(reason, error = why, "an event waits for the API server");
                None
            }
            Sent::Never(why) | Sent::Later(why) => Some(why),
        };
        if let Some(error) = lost {
            let object = letter.happening.regarding.name.as_deref();
            warn!(object, reason, note = letter.happening.note, error, "could not send an event");
            shared.telemetry.error("event_refused");
        }
        if matches!(answer, Sent::Later(_)) && lost.is_none() {
            shared.outbox().put_back(letter);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            continue;
        }
        pause = SHORTEST_PAUSE;
        let is_empty = {
            let mut outbox = shared.outbox();
            outbox.sent();
            outbox.is_empty()
        };
        if is_empty {
            shared.emptied.notify_waiters();
        }
    }
}

/// What became of an event.
#[derive(Debug)]
enum Sent {
    Taken,
    /// The API server could not be asked, or has too much to do.
    Later(String),
    /// It will never take it.
    Never(String),
}

async fn send(client: &Client, event: Event) -> Sent {
    let namespace = event.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Event> = Api::namespaced(client.clone(), namespace);
    match tokio::time::timeout(TIMEOUT, api.create(&PostParams::default(), &event)).await {
        Ok(Ok(_)) => Sent::Taken,
        // An earlier try whose answer was lost.
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Sent::Taken,
        Ok(Err(kube::Error::Api(status))) if status.code < 500 && status.code != 429 => {
            Sent::Never(status.to_string())
        }
        Ok(Err(error)) => Sent::Later(error.to_string()),
        Err(_) => Sent::Later(format!("no answer within {TIMEOUT:?}")),
    }
}

fn event_of(instance: &str, letter: &Letter) -> Event {
    let happening = &letter.happening;
    let namespace = happening.regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
    let name = happening.regarding.name.as_deref().unwrap_or("unknown");
    let series = EventSeries { count: letter.times, last_observed_time: MicroTime(letter.last) };
    Event {
        metadata: ObjectMeta {
            // One decision may tell several things at the same instant.
            name: Some(format!("{name}.{:x}", happening.time.as_nanosecond() + i128::from(letter.number))),
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
        // The API server takes a series of two or more.
        series: (letter.times > 1).then_some(series),
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
    use http::{Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;

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
        let happening = happening("decode: 4 → 8".to_owned());
        let last = happening.time;
        let mut letter = Letter { happening, number: 0, times: 1, last, tries: 0 };
        insta::assert_json_snapshot!(event_of("pod-1", &letter), @r#"
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
        letter.times = 3;
        let series = event_of("pod-1", &letter).series.map(|series| series.count);
        assert_eq!(series, Some(3));
    }

    /// An API server that answers the first requests with these codes, and takes all others.
    fn client(codes: &'static [u16]) -> (Client, Arc<Mutex<Vec<String>>>) {
        let mut codes = codes.iter().copied();
        let taken = Arc::<Mutex<Vec<String>>>::default();
        let note = Arc::clone(&taken);
        let codes = Arc::new(Mutex::new(std::iter::from_fn(move || codes.next())));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (note, code) = (Arc::clone(&note), codes.lock().expect("a lock").next());
            async move {
                let body = request.into_body().collect().await.expect("a body").to_bytes();
                if code.is_none() {
                    let event: Event = serde_json::from_slice(&body).expect("an event");
                    note.lock().expect("a lock").push(event.note.unwrap_or_default());
                }
                let body = match code {
                    None => body.to_vec(),
                    Some(code) => {
                        serde_json::json!({"status": "Failure", "code": code, "message": "no", "reason": "x"})
                            .to_string()
                            .into_bytes()
                    }
                };
                let answer = Response::builder().status(code.unwrap_or(201)).body(Body::from(body));
                Ok::<_, std::convert::Infallible>(answer.expect("an answer"))
            }
        });
        (Client::new(service, "serving"), taken)
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_api_server_does_not_take_now_is_sent_again_and_what_it_refuses_is_counted() {
        struct Case {
            name: &'static str,
            codes: &'static [u16],
            want: usize,
            refused: bool,
        }
        for Case { name, codes, want, refused } in [
            Case { name: "takes all", codes: &[], want: 3, refused: false },
            Case { name: "is overloaded for a while", codes: &[429, 503, 500, 429], want: 3, refused: false },
            Case { name: "refuses one", codes: &[422], want: 2, refused: true },
            Case { name: "has one already", codes: &[409], want: 2, refused: false },
        ] {
            let (client, taken) = client(codes);
            let telemetry = Arc::<Telemetry>::default();
            let recorder = Recorder::start(&client, "pod-1", Arc::clone(&telemetry));
            for note in ["a", "b", "c"] {
                recorder.publish(happening(note.to_owned()));
            }
            recorder.sent().await;
            assert_eq!(taken.lock().expect("a lock").len(), want, "{name}");
            let text = telemetry.text().expect("metrics");
            assert_eq!(text.contains("class=\"event_refused\""), refused, "{name}: {text}");
        }
    }

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = truncated(&"é→".repeat(400));
        assert!(note.len() <= NOTE_LIMIT && note.ends_with('…'), "{} bytes", note.len());
    }
}
