//! Kubernetes Events about our objects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::warn;

/// The API server refuses a longer note.
const NOTE_BYTES: usize = 1024;
/// What is said again within this is counted as a repeat: as long as a recorder remembers.
const REPEATED_WITHIN: Duration = Duration::from_secs(6 * 60);

/// Different words about one reason of one object within [`TOLD_WITHIN`] that are Events of their own.
/// More than these are counted under the last: text that varies must not flood a namespace.
const TOLD: usize = 5;
/// As long as an API server keeps Events, as a rule.
const TOLD_WITHIN: Duration = Duration::from_secs(60 * 60);

/// Whether an Event reports the ordinary course or something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The ordinary course.
    Normal,
    /// Something to look at.
    Warning,
}

/// Publishes Events; repeats are counted instead of piling up.
#[derive(Clone)]
pub struct Events {
    client: Client,
    reporter: Reporter,
    /// By note, with when each was used last. A recorder takes all Events of a reason for repeats of the
    /// first, and goes on showing the words of that.
    recorders: Arc<Mutex<HashMap<String, (Recorder, Instant)>>>,
    /// What was told of how something stands; the newest last.
    states: Arc<Mutex<States>>,
}

/// By object and reason.
type States = HashMap<(String, String), Vec<Told>>;

/// Words that were told.
struct Told {
    note: String,
    recorder: Recorder,
    since: Instant,
}

impl Events {
    /// Events reported by `controller`, from the replica called `instance`.
    pub fn new(client: Client, controller: &str, instance: &str) -> Self {
        let reporter = Reporter {
            controller: controller.to_owned(),
            instance: Some(instance.to_owned()),
        };
        Self {
            client,
            reporter,
            recorders: Arc::default(),
            states: Arc::default(),
        }
    }

    /// Publishes what was done. Other words are another deed.
    pub async fn publish_deed(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
    ) {
        let recorder = self.recorder(truncated(note));
        publish(&recorder, about, severity, reason, note).await;
    }

    /// Publishes how something stands. Other words are another Event, up to five of them an hour; from
    /// then on it is a repeat of the last.
    pub async fn publish_state(
        &self,
        about: &ObjectReference,
        severity: Severity,
        reason: &str,
        note: &str,
    ) {
        let recorder = self.state_recorder(about, reason, truncated(note), Instant::now());
        publish(&recorder, about, severity, reason, note).await;
    }

    fn state_recorder(
        &self,
        about: &ObjectReference,
        reason: &str,
        note: &str,
        now: Instant,
    ) -> Recorder {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.retain(|_, told| {
            told.retain(|told| now.duration_since(told.since) < TOLD_WITHIN);
            !told.is_empty()
        });
        let object = [&about.namespace, &about.name, &about.uid];
        let object = object.map(|part| part.as_deref().unwrap_or_default());
        let told = states.entry((object.join("/"), reason.to_owned()));
        let told = told.or_default();
        let known = told.iter().find(|told| told.note == note);
        match known.or(told.get(TOLD - 1)) {
            Some(told) => told.recorder.clone(),
            None => {
                let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
                told.push(Told {
                    note: note.to_owned(),
                    recorder: recorder.clone(),
                    since: now,
                });
                recorder
            }
        }
    }

    fn recorder(&self, note: &str) -> Recorder {
        let now = Instant::now();
        let mut recorders = self
            .recorders
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        recorders.retain(|_, (_, used)| now.duration_since(*used) < REPEATED_WITHIN);
        let made = || Recorder::new(self.client.clone(), self.reporter.clone());
        let known = recorders.entry(note.to_owned());
        let (recorder, used) = known.or_insert_with(|| (made(), now));
        *used = now;
        recorder.clone()
    }
}

/// A failure is logged: an Event never stands in the way of the work.
async fn publish(
    recorder: &Recorder,
    about: &ObjectReference,
    severity: Severity,
    reason: &str,
    note: &str,
) {
    let event = Event {
        type_: match severity {
            Severity::Normal => EventType::Normal,
            Severity::Warning => EventType::Warning,
        },
        reason: reason.to_owned(),
        note: Some(truncated(note).to_owned()),
        action: reason.to_owned(),
        secondary: None,
    };
    if let Err(error) = recorder.publish(&event, about).await {
        warn!(%error, reason, "Event could not be published");
    }
}

/// The longest beginning of `note` that the API server takes, cut at a character.
fn truncated(note: &str) -> &str {
    let mut end = note.len().min(NOTE_BYTES);
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    note.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Method, Request, Response};
    use http_body_util::BodyExt as _;
    use kube::client::Body;
    use serde_json::Value;

    use super::*;

    /// What an API server is sent: whether it is a new Event, and the note.
    type Sent = Arc<Mutex<Vec<(bool, String)>>>;

    /// Takes every Event.
    fn api_server(sent: Sent) -> Client {
        let service = tower::service_fn(move |request: Request<Body>| {
            let sent = sent.clone();
            async move {
                let is_new = request.method() == Method::POST;
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let event: Value = serde_json::from_slice(&body).unwrap();
                let note = event["note"].as_str().unwrap().to_owned();
                sent.lock().unwrap().push((is_new, note));
                Ok::<_, Infallible>(Response::new(Body::from(body)))
            }
        });
        Client::new(service, "shop")
    }

    fn cache() -> ObjectReference {
        ObjectReference {
            name: Some("cache".to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectReference::default()
        }
    }

    async fn tell(events: &Events, notes: &[&str]) {
        for note in notes {
            let severity = Severity::Warning;
            events
                .publish_state(&cache(), severity, "AsExpected", note)
                .await;
        }
    }

    fn expected(events: &[(bool, &str)]) -> Vec<(bool, String)> {
        let owned = |(is_new, note): &(bool, &str)| (*is_new, (*note).to_owned());
        events.iter().map(owned).collect()
    }

    #[tokio::test]
    async fn other_words_about_a_state_are_another_event() {
        let sent = Sent::default();
        let events = Events::new(api_server(sent.clone()), "hera", "one");
        let (one, other) = ("Degraded is False", "PolicyHealthy is True");
        tell(&events, &[one, other, one]).await;
        let told = expected(&[(true, one), (true, other), (false, one)]);
        assert_eq!(*sent.lock().unwrap(), told);
    }

    #[tokio::test]
    async fn words_that_always_vary_are_counted_under_the_last_of_a_few() {
        let sent = Sent::default();
        let events = Events::new(api_server(sent.clone()), "hera", "one");
        tell(&events, &["1", "2", "3", "4", "5", "6", "7", "2"]).await;
        let told = [
            (true, "1"),
            (true, "2"),
            (true, "3"),
            (true, "4"),
            (true, "5"),
            (false, "5"),
            (false, "5"),
            (false, "2"),
        ];
        assert_eq!(*sent.lock().unwrap(), expected(&told));
        let later = Instant::now() + TOLD_WITHIN;
        events.state_recorder(&cache(), "AsExpected", "8", later);
        let states = events.states.lock().unwrap();
        let notes: Vec<_> = states.values().flatten().map(|told| &told.note).collect();
        assert_eq!(notes, ["8"]);
    }

    #[tokio::test]
    async fn a_deed_is_counted_by_its_words() {
        let sent = Sent::default();
        let events = Events::new(api_server(sent.clone()), "hera", "one");
        let about = cache();
        for note in ["cache-0 leads", "cache-1 leads", "cache-0 leads"] {
            let severity = Severity::Normal;
            events
                .publish_deed(&about, severity, "Promoted", note)
                .await;
        }
        let told = [
            (true, "cache-0 leads"),
            (true, "cache-1 leads"),
            (false, "cache-0 leads"),
        ];
        assert_eq!(*sent.lock().unwrap(), expected(&told));
    }

    #[test]
    fn a_long_note_is_cut_at_a_character() {
        let note = "é".repeat(600);
        assert_eq!(truncated(&note).len(), 1024);
        assert_eq!(truncated(&format!("a{note}")).len(), 1023);
        assert_eq!(truncated("short"), "short");
    }
}
