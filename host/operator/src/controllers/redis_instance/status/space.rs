//! What conditions say of volumes that are full, or nearly so.

use hera_api::conditions::{degraded, ready};
use hera_core::agent::{RefusedWrites, Space};
use hera_core::instance::Verdict;
use hera_core::shard::ShortOfSpace;

/// Reason and words of `Ready` while the primary refuses writes.
pub fn not_ready(pod: &str, refused: &RefusedWrites) -> (&'static str, String) {
    match refused.full {
        true => {
            let words = format!(
                "the volume of {pod} is full{}, and its server refuses writes: {}; reads work. Set \
                 spec.persistence.size higher",
                free(refused),
                refused.words
            );
            (ready::VOLUME_FULL, words)
        }
        false => {
            let words = format!(
                "the server of {pod} refuses writes{}: {}; reads work. The log of the pod says more",
                free(refused),
                refused.words
            );
            (ready::WRITES_REFUSED, words)
        }
    }
}

/// True for the reasons of [`not_ready`].
pub fn refuses_writes(reason: &str) -> bool {
    matches!(reason, ready::VOLUME_FULL | ready::WRITES_REFUSED)
}

/// In steps: nothing that traffic drives is in the status.
fn free(refused: &RefusedWrites) -> String {
    refused
        .free_below_mib
        .map_or(String::new(), |mib| format!(" (less than {mib} MiB free)"))
}

/// What keeps pods from writing: a reason of `Degraded`, and words.
pub fn full(verdict: &Verdict) -> Option<(&'static str, String)> {
    let all = &verdict.short_of_space;
    let unwritten = each(all, |short| {
        let words = short.volume.state_error.as_ref()?;
        Some(format!("{} cannot write its own state: {words}", short.pod))
    });
    if let Some(words) = unwritten {
        return Some((degraded::STATE_NOT_WRITTEN, words));
    }
    let full = each(all, |short| match &short.volume.refused_writes {
        Some(refused) if refused.full => {
            let (pod, free) = (&short.pod, free(refused));
            Some(format!(
                "the volume of {pod} is full{free}: {}",
                refused.words
            ))
        }
        None if short.volume.space == Space::Full => {
            Some(format!("the volume of {} is full", short.pod))
        }
        _ => None,
    });
    if let Some(words) = full {
        let words = format!("{words}. Set spec.persistence.size higher");
        return Some((degraded::VOLUME_FULL, words));
    }
    let refused = each(all, |short| {
        let refused = short.volume.refused_writes.as_ref()?;
        Some(format!("{}{}: {}", short.pod, free(refused), refused.words))
    });
    refused.map(|words| (degraded::WRITES_REFUSED, words))
}

/// The early warning: a reason of `Degraded`, and words.
pub fn nearly_full(verdict: &Verdict) -> Option<(&'static str, String)> {
    let low = |short: &ShortOfSpace| (short.volume.space == Space::Low).then(|| short.pod.clone());
    let mut pods = verdict.short_of_space.iter().filter_map(low).peekable();
    pods.peek()?;
    let words = format!(
        "less is free on the volume of {} than the file takes that holds the data, which is written anew \
         beside the old one: set spec.persistence.size higher",
        pods.collect::<Vec<_>>().join(", ")
    );
    Some((degraded::VOLUME_NEARLY_FULL, words))
}

fn each(all: &[ShortOfSpace], say: impl Fn(&ShortOfSpace) -> Option<String>) -> Option<String> {
    let words: Vec<_> = all.iter().filter_map(say).collect();
    (!words.is_empty()).then(|| words.join("; "))
}

#[cfg(test)]
mod tests {
    use hera_api::{Phase, RedisInstance, RedisInstanceStatus};
    use hera_core::agent::{
        AclState, AgentStatus, ConfigState, Members, Memory, Role, ServerState, Volume,
    };
    use hera_core::instance::{Observation, Plan, Wanted, verdict};
    use hera_core::shard::{AgentView, Member, PodView, PodsWanted};
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::controllers::redis_instance::status::{Found, build};

    fn wanted() -> Wanted {
        Wanted {
            pods: PodsWanted {
                count: Some(1),
                ..PodsWanted::default()
            },
            ..Wanted::default()
        }
    }

    fn primary(volume: Volume) -> Member {
        let status = AgentStatus {
            protocol: 1,
            agent_version: String::new(),
            boot_id: String::new(),
            pod_uid: "uid".to_owned(),
            server: ServerState::Running {
                pid: 1,
                run_id: "r".to_owned(),
            },
            role: Role::Primary,
            led_to: None,
            forked_at: None,
            connections: None,
            script: None,
            login: None,
            recovery: None,
            capture: None,
            cluster: None,
            link: None,
            memory: Memory::default(),
            members: Members::default(),
            leaving: false,
            hangs: false,
            engine: None,
            version: Some("7.2.4".to_owned()),
            term: 1,
            config: ConfigState::default(),
            acl: AclState::default(),
            restarts: 0,
            last_exit: None,
            waiting_for: None,
            volume,
        };
        Member {
            agent: AgentView::Connected(Box::new(status)),
            pod: Some(PodView {
                name: "shop-0".to_owned(),
                uid: "uid".to_owned(),
                ip: Some("10.0.0.1".to_owned()),
                ..PodView::default()
            }),
            ..Member::default()
        }
    }

    /// The status after one like `before`, and what each condition says: truth, reason and words.
    fn told(
        volume: Volume,
        before: Option<RedisInstanceStatus>,
    ) -> (RedisInstanceStatus, [(String, String, String); 2]) {
        let object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance",
            "metadata": {"name": "shop", "generation": 1}, "spec": {"version": "7.2"},
        });
        let mut object: RedisInstance = serde_json::from_value(object).unwrap();
        object.status = before;
        let seen = Observation {
            members: vec![primary(volume)],
            ..Observation::default()
        };
        let verdict = verdict(&wanted(), &seen, &Plan::default());
        let found = Found {
            verdict: Some(&verdict),
            agent: seen.members[0].agent.status(),
            primary: Some("shop-0"),
            pods: 1,
            app_user: true,
            refused: None,
            ..Found::of(&object, "", String::new())
        };
        let status = build(&found, Timestamp::UNIX_EPOCH);
        let of = |type_: &str| {
            let mut all = status.conditions.iter();
            let found = all.find(|condition| condition.type_ == type_).unwrap();
            (
                found.status.clone(),
                found.reason.clone(),
                found.message.clone(),
            )
        };
        let conditions = [of(ready::TYPE), of(degraded::TYPE)];
        (status, conditions)
    }

    fn refused(full: bool) -> Volume {
        Volume {
            space: Space::Full,
            refused_writes: Some(RefusedWrites {
                words: "MISCONF Errors writing".to_owned(),
                full,
                free_below_mib: Some(4),
            }),
            state_error: None,
            dump_not_read: false,
        }
    }

    #[test]
    fn a_full_volume_is_told_with_pod_words_and_room_and_all_of_it_goes_once_it_has_grown() {
        let (fine, [ready, degraded]) = told(Volume::default(), None);
        assert_eq!((ready.0.as_str(), degraded.0.as_str()), ("True", "False"));
        let (full, [ready, degraded]) = told(refused(true), Some(fine.clone()));
        assert_eq!(
            (ready.0.as_str(), ready.1.as_str()),
            ("False", "VolumeFull")
        );
        for word in [
            "shop-0",
            "less than 4 MiB",
            "MISCONF Errors writing",
            "spec.",
        ] {
            assert!(ready.2.contains(word), "{word}: {}", ready.2);
        }
        assert_eq!(
            (degraded.0.as_str(), degraded.1.as_str()),
            ("True", "VolumeFull")
        );
        assert_eq!(full.primary.as_deref(), Some("shop-0"), "it is read");
        assert_eq!(full.ready_replicas, Some(1));
        assert_eq!(full.phase, Some(Phase::Unavailable));
        let (healed, _) = told(Volume::default(), Some(full));
        let said = |status: &RedisInstanceStatus| {
            let all = status.conditions.iter();
            all.map(|c| (c.status.clone(), c.reason.clone(), c.message.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!((said(&healed), healed.phase), (said(&fine), fine.phase));
    }

    #[test]
    fn what_else_is_wrong_with_a_volume_has_reasons_of_its_own() {
        let (_, [ready, degraded]) = told(refused(false), None);
        assert_eq!(
            (ready.1.as_str(), degraded.1.as_str()),
            ("WritesRefused", "WritesRefused")
        );
        let low = Volume {
            space: Space::Low,
            ..Volume::default()
        };
        let (_, [ready, degraded]) = told(low.clone(), None);
        assert_eq!(
            (ready.1.as_str(), degraded.1.as_str()),
            ("Serving", "VolumeNearlyFull")
        );
        let unwritten = Volume {
            state_error: Some("/data/.hera/state: No space left on device".to_owned()),
            ..low
        };
        let (_, [ready, degraded]) = told(unwritten, None);
        assert_eq!(
            (ready.1.as_str(), degraded.1.as_str()),
            ("Serving", "StateNotWritten")
        );
        assert!(degraded.2.contains("shop-0") && degraded.2.contains("No space left"));
    }
}
