//! Asking again: an answer may say until when it holds.
//!
//! Passes have no part in it: at its time the same question is put once more, and only what comes
//! out otherwise wakes the object.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use hera_kube::Leadership;
use hera_policy::{Context, Decision};
use jiff::Timestamp;

use super::memory::{Again, Last, Memory};
use super::{Lane, Policies};
use crate::object::ObjectKey;

/// The least time between two times that the same is asked because the answer wants it: an answer
/// that holds for a moment only is no load.
const PAUSE_MS: u64 = 60_000;
/// Questions on their way at a time; how many policies run at a time is the sandbox's to say.
const AT_ONCE: usize = 16;
/// Bounds of a wait: a clock that is set is noticed within the longer one.
const WAIT_AT_LEAST: Duration = Duration::from_secs(1);
const WAIT_AT_MOST: Duration = Duration::from_secs(3600);

/// When to ask again, where something was asked and the answer holds until `wanted`.
pub fn due(asked_unix_ms: u64, wanted: impl IntoIterator<Item = u64>) -> Option<u64> {
    let first = wanted.into_iter().min()?;
    Some(first.max(asked_unix_ms.saturating_add(PAUSE_MS)))
}

/// The time as policies are told it.
pub fn now_unix_ms() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
}

impl Policies {
    /// Asks each policy again whose answer held until now; never completes.
    pub async fn ask_again(&self, leadership: &Leadership) {
        loop {
            if leadership.term().is_some() {
                self.ask_again_at(&self.acl, now_unix_ms()).await;
            }
            let wait = match self.acl.next_due() {
                Some(due) => Duration::from_millis(due.saturating_sub(now_unix_ms()))
                    .clamp(WAIT_AT_LEAST, WAIT_AT_MOST),
                None => WAIT_AT_MOST,
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.common.due.notified() => {}
            }
        }
    }

    async fn ask_again_at<D: Decision>(&self, lane: &Lane<D>, now: u64) {
        futures::stream::iter(lane.due(now))
            .for_each_concurrent(AT_ONCE, |instance: ObjectKey| async move {
                if lane.ask_again(&instance, now).await {
                    // Nobody listens only while the operator ends.
                    let _ = self.common.wake.send(instance);
                }
            })
            .await;
    }
}

impl<D: Decision> Lane<D> {
    /// When the first answer ends to hold.
    fn next_due(&self) -> Option<u64> {
        let objects = self.lock();
        let again = objects.values().filter_map(Memory::again);
        again.map(|again| again.due_unix_ms).min()
    }

    /// The objects whose answers hold no longer.
    fn due(&self, now_unix_ms: u64) -> Vec<ObjectKey> {
        let objects = self.lock();
        let due = objects.iter().filter(|(_, memory)| {
            memory
                .again()
                .is_some_and(|again| again.due_unix_ms <= now_unix_ms)
        });
        due.map(|(instance, _)| instance.clone()).collect()
    }

    /// Puts the last question about an object once more; true if something else comes of it.
    async fn ask_again(&self, instance: &ObjectKey, now_unix_ms: u64) -> bool {
        let last = self.lock().get(instance).and_then(|memory| {
            let last = memory.last.as_ref()?;
            Some((last.key.clone(), last.asked.clone(), last.again.clone()?))
        });
        let Some((key, before, again)) = last else {
            return false;
        };
        let context = Context {
            now_unix_ms,
            ..again.context.clone()
        };
        let asked = self
            .ask(
                instance,
                &again.choice,
                again.shadow.clone(),
                &context,
                &again.input,
            )
            .await;
        let same = asked.call.agrees(&before.call) && asked.shadow == before.shadow;
        let good = asked.call.outcome.good().is_some();
        let mut objects = self.lock();
        // What was asked meanwhile, of a pass that saw more, is newer.
        let Some(memory) = objects
            .get_mut(instance)
            .filter(|memory| memory.last.as_ref().is_some_and(|last| last.key == key))
        else {
            return false;
        };
        memory.begin_anew(&again.policy_key);
        memory.conduct.note(&asked.call, now_unix_ms);
        memory.last = Some(Last {
            key,
            again: asked.due_unix_ms.map(|due_unix_ms| {
                Arc::new(Again {
                    due_unix_ms,
                    policy_key: again.policy_key.clone(),
                    choice: again.choice.clone(),
                    shadow: again.shadow.clone(),
                    context,
                    input: again.input.clone(),
                })
            }),
            asked,
        });
        !(same && good)
    }
}

#[cfg(test)]
mod tests {
    use hera_policy::Acl;
    use serde_json::json;
    use tokio::sync::mpsc;

    use super::super::fixture::{Asked, Maps, instance, lane, module, policies};
    use super::super::{Common, Made};
    use super::*;

    type MadeAcl = Made<<Acl as Decision>::Answer>;

    const MINUTE: u64 = 60_000;
    /// Eight o'clock in the evening, in UTC.
    const EIGHT: u64 = 20 * 60 * MINUTE;

    #[test]
    fn what_is_asked_again_is_asked_a_minute_later_at_the_soonest() {
        assert_eq!(due(1_000, [500_000]), Some(500_000));
        assert_eq!(due(1_000, [0]), Some(61_000));
        assert_eq!(due(1_000, [90_000, 70_000]), Some(70_000), "the first");
        assert_eq!(due(1_000, []), None);
        assert_eq!(due(u64::MAX, [1]), Some(u64::MAX));
    }

    /// One user writes from eight o'clock, for 28 minutes.
    fn hours(now_unix_ms: u64) -> Asked {
        let settings = json!({"users": ["user-0"], "from": "20:00", "to": "20:28"});
        Asked {
            source: json!({"configMapRef": {"name": "hours"}, "settings": settings}),
            now_unix_ms,
            request: None,
        }
    }

    fn maps() -> Maps {
        let hours = module(
            "hera-policy-acl-write-hours",
            "hera_policy_acl_write_hours.wasm",
        );
        let panic = module("hera-policy-hostile", "examples/panic.wasm");
        let modules = [("hours".to_owned(), hours), ("panic".to_owned(), panic)];
        Arc::new(std::sync::Mutex::new(modules.into()))
    }

    fn writes(made: &MadeAcl) -> bool {
        let answer = made.answer.as_ref().unwrap();
        let shown = <Acl as Decision>::show(answer);
        !shown[0].contains("-@write")
    }

    fn decisions(common: &Common) -> usize {
        common.journal.lines(None).lines().count()
    }

    #[tokio::test]
    async fn an_answer_that_holds_until_a_time_is_asked_for_again_then_and_wakes_if_it_differs() {
        let (wake, mut woken) = mpsc::unbounded_channel();
        let policies = policies(maps(), wake).await;
        let (lane, common) = (&policies.acl, &policies.common);
        assert!(writes(&hours(EIGHT).loaded(lane, 0).await));
        assert_eq!(lane.next_due(), Some(EIGHT + 28 * MINUTE));
        assert!(writes(&hours(EIGHT + 27 * MINUTE).of(lane, 0).await));
        assert_eq!(decisions(common), 1, "the clock alone is no reason to ask");

        policies.ask_again_at(lane, EIGHT + 27 * MINUTE).await;
        assert_eq!(decisions(common), 1, "not yet");
        policies.ask_again_at(lane, EIGHT + 28 * MINUTE).await;
        assert_eq!(decisions(common), 2);
        assert_eq!(woken.try_recv().ok(), Some(instance(0)));
        assert!(!writes(&hours(EIGHT + 29 * MINUTE).of(lane, 0).await));
        assert_eq!(decisions(common), 2, "the pass takes what is known");
        assert_eq!(lane.next_due(), Some(EIGHT + 24 * 60 * MINUTE));
    }

    #[tokio::test]
    async fn the_same_answer_wakes_nobody() {
        let (wake, mut woken) = mpsc::unbounded_channel();
        let policies = policies(maps(), wake).await;
        let lane = &policies.acl;
        // Half a minute before its end: not before a minute is over.
        let late = EIGHT + 27 * MINUTE + MINUTE / 2;
        hours(late).loaded(lane, 0).await;
        // A module that took its time to load is news.
        while woken.try_recv().is_ok() {}
        assert_eq!(lane.next_due(), Some(late + MINUTE));
        // A clock that was set back.
        assert!(!lane.ask_again(&instance(0), EIGHT + MINUTE).await);
        assert_eq!(lane.next_due(), Some(EIGHT + 28 * MINUTE));
        assert!(woken.try_recv().is_err());
        assert_eq!(decisions(&policies.common), 2);
    }

    #[tokio::test]
    async fn a_pass_that_comes_late_asks_itself() {
        let (common, lane) = lane(maps()).await;
        assert!(writes(&hours(EIGHT).loaded(&lane, 0).await));
        assert!(!writes(&hours(EIGHT + 28 * MINUTE).of(&lane, 0).await));
        assert_eq!(decisions(&common), 2);
    }

    #[tokio::test]
    async fn who_is_gone_is_not_asked_about() {
        let (common, lane) = lane(maps()).await;
        hours(EIGHT).loaded(&lane, 0).await;
        lane.forget(&instance(0));
        assert_eq!(lane.next_due(), None);
        assert!(!lane.ask_again(&instance(0), EIGHT + 28 * MINUTE).await);
        assert_eq!(decisions(&common), 1);
    }

    #[tokio::test]
    async fn a_person_asks_at_once_and_once() {
        let (common, lane) = lane(maps()).await;
        let asked = |request| Asked {
            request,
            ..hours(EIGHT)
        };
        asked(None).loaded(&lane, 0).await;
        asked(Some("one")).of(&lane, 0).await;
        asked(Some("one")).of(&lane, 0).await;
        assert_eq!(decisions(&common), 2);
        asked(Some("two")).of(&lane, 0).await;
        assert_eq!(decisions(&common), 3);
    }

    #[tokio::test]
    async fn a_policy_that_was_set_aside_gets_another_chance_from_a_person() {
        let (common, lane) = lane(maps()).await;
        let asked = |now_unix_ms, request| Asked {
            source: json!({"configMapRef": {"name": "panic"}}),
            now_unix_ms,
            request,
        };
        asked(0, None).loaded(&lane, 0).await;
        for attempt in 1..10 {
            asked(attempt * 10_000, None).of(&lane, 0).await;
        }
        let before = decisions(&common);
        asked(100_000, None).of(&lane, 0).await;
        assert_eq!(decisions(&common), before, "set aside");
        asked(100_000, Some("now")).of(&lane, 0).await;
        assert_eq!(decisions(&common), before + 1);
    }
}
