//! Which copy of the data a backup is read from.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::shard::{Member, primary};

/// Which copies may be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// A replica in sync, or the primary if there is none.
    #[default]
    PreferReplica,
    /// A replica in sync, and nothing else.
    Replica,
    /// The primary.
    Primary,
}

/// What a copy is to be like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// Which copies may be read.
    pub source: Source,
    /// The primary takes writes only with replicas in sync: it is not read in place of one.
    pub needs_replicas: bool,
    /// Name of the pod that was read last, and of which nothing came: any other is better, also once it was made anew.
    pub after: Option<&'a str>,
}

/// Why no copy can be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoCopy {
    /// Without a primary nobody can say which copy is the right one.
    #[error("there is no primary now, and which copy is the right one is not known without it")]
    NoPrimary,
    /// The primary is asked for, and cannot be read.
    #[error("the primary is busy or about to go")]
    PrimaryUnfit,
    /// A replica is asked for.
    #[error("no replica is in sync and can be read")]
    NoReplica,
    /// The primary would be read in place of a replica, and may not.
    #[error(
        "no replica is in sync, and a primary with durability.minReplicasToWrite takes no writes until one is: it is \
         waited for"
    )]
    ReplicasNeeded,
}

/// The copy to read: another than that of which nothing came, if there is one; of several replicas that with the
/// lowest ordinal.
///
/// # Errors
/// See [`NoCopy`].
pub fn choose<'a>(members: &'a [Member], wish: Wish<'_>) -> Result<&'a Member, NoCopy> {
    let primary = primary(members).ok_or(NoCopy::NoPrimary)?;
    let of_primary = Some(primary).filter(|member| can_be_read(member));
    if wish.source == Source::Primary {
        return of_primary.ok_or(NoCopy::PrimaryUnfit);
    }
    let failed = |member: &Member| Some(member.name()) == wish.after;
    let replicas = members
        .iter()
        .filter(|member| member.is_in_sync(primary) && can_be_read(member));
    let replica = replicas.min_by_key(|member| (failed(member), member.ordinal));
    if wish.source == Source::Replica {
        return replica.ok_or(NoCopy::NoReplica);
    }
    match (replica, of_primary) {
        (None, _) if wish.needs_replicas => Err(NoCopy::ReplicasNeeded),
        (Some(replica), _) if wish.needs_replicas => Ok(replica),
        // The primary comes in once the only replica came to nothing.
        (replica, of_primary) => {
            let both = replica.into_iter().chain(of_primary);
            let best = both.min_by_key(|member| failed(member));
            best.ok_or(NoCopy::NoReplica)
        }
    }
}

/// Its server answers, and goes on to.
pub(super) fn can_be_read(member: &Member) -> bool {
    let status = member.agent.status();
    member.is_running()
        && !member.is_leaving()
        && status.is_some_and(|status| !status.hangs && status.script.is_none())
}

/// Pods for tests.
#[cfg(test)]
pub(super) mod members {
    use serde_json::{Value, json};

    use crate::agent::{AgentStatus, PROTOCOL, REDIS_PORT};
    use crate::shard::{AgentView, Member, PodView};

    fn status(uid: &str, role: &str, link: &Value) -> AgentStatus {
        let told = json!({
            "protocol": PROTOCOL, "agentVersion": "0.1.0", "bootId": "b", "podUid": uid,
            "server": {"state": "running", "pid": 7, "runId": "r"}, "role": role, "link": link,
            "memory": {"epoch": 1, "primaryUid": "uid-0", "wasPrimary": role == "primary", "offset": 0, "promisedEpoch": 0},
            "engine": "redis", "version": "7.2.4", "term": 1,
            "config": {"revision": 1, "pendingRestart": [], "rejected": {}},
            "acl": {"revision": 1, "confirmed": true, "rejected": {}},
            "restarts": 0, "lastExit": null, "waitingFor": null,
        });
        serde_json::from_value(told).unwrap()
    }

    pub fn member(ordinal: u32, role: &str) -> Member {
        let uid = format!("uid-{ordinal}");
        let link = json!({"host": "10.0.0.0", "port": REDIS_PORT, "up": true, "syncing": false});
        let link = if role == "primary" { Value::Null } else { link };
        Member {
            ordinal,
            agent: AgentView::Connected(Box::new(status(&uid, role, &link))),
            pod: Some(PodView {
                name: format!("cache-{ordinal}"),
                uid,
                ip: Some(format!("10.0.0.{ordinal}")),
                ..PodView::default()
            }),
            ..Member::default()
        }
    }

    pub fn three() -> Vec<Member> {
        vec![
            member(0, "primary"),
            member(1, "replica"),
            member(2, "replica"),
        ]
    }

    pub fn change(member: &mut Member, change: impl FnOnce(&mut AgentStatus)) {
        let AgentView::Connected(status) = &mut member.agent else {
            panic!("it is not heard");
        };
        change(status);
    }

    pub fn lose_sync(member: &mut Member) {
        change(member, |status| {
            status.link.as_mut().unwrap().syncing = true;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::members::{change, lose_sync, three};
    use super::*;
    use crate::agent::{AgentStatus, Role, Script};

    fn with(source: Source) -> Wish<'static> {
        Wish {
            source,
            ..Wish::default()
        }
    }

    fn ordinal(members: &[Member], wish: Wish<'_>) -> Result<u32, NoCopy> {
        choose(members, wish).map(|member| member.ordinal)
    }

    #[test]
    fn a_replica_in_sync_is_read_and_the_primary_where_there_is_none() {
        let mut members = three();
        assert_eq!(ordinal(&members, Wish::default()), Ok(1));
        lose_sync(&mut members[1]);
        assert_eq!(ordinal(&members, Wish::default()), Ok(2));
        lose_sync(&mut members[2]);
        assert_eq!(ordinal(&members, Wish::default()), Ok(0));
        assert_eq!(
            ordinal(&members, with(Source::Replica)),
            Err(NoCopy::NoReplica)
        );
    }

    #[test]
    fn of_which_nothing_came_is_read_again_only_where_there_is_no_other() {
        let members = three();
        let after = |pod| Wish {
            after: Some(pod),
            ..Wish::default()
        };
        assert_eq!(ordinal(&members, after("cache-1")), Ok(2));
        assert_eq!(ordinal(&members, after("cache-2")), Ok(1));
        let two = &members[..2];
        assert_eq!(ordinal(two, after("cache-1")), Ok(0), "then the primary");
        assert_eq!(ordinal(two, after("cache-0")), Ok(1));
        let replica = Wish {
            source: Source::Replica,
            ..after("cache-1")
        };
        assert_eq!(ordinal(two, replica), Ok(1));
        assert_eq!(ordinal(&members[..1], after("cache-0")), Ok(0));
    }

    #[test]
    fn the_primary_is_read_where_it_is_asked_for() {
        let mut members = three();
        assert_eq!(ordinal(&members, with(Source::Primary)), Ok(0));
        change(&mut members[0], |status| status.leaving = true);
        assert_eq!(
            ordinal(&members, with(Source::Primary)),
            Err(NoCopy::PrimaryUnfit)
        );
    }

    #[test]
    fn a_primary_that_needs_replicas_is_not_read_in_place_of_one() {
        let mut members = three();
        members.pop();
        let wish = Wish {
            needs_replicas: true,
            after: Some("cache-1"),
            ..Wish::default()
        };
        assert_eq!(ordinal(&members, wish), Ok(1));
        lose_sync(&mut members[1]);
        assert_eq!(ordinal(&members, wish), Err(NoCopy::ReplicasNeeded));
    }

    #[test]
    fn a_server_that_is_busy_or_about_to_go_is_not_read() {
        for busy in [
            (|status| status.hangs = true) as fn(&mut AgentStatus),
            |status| status.leaving = true,
            |status| status.script = Some(Script::default()),
        ] {
            let mut members = three();
            change(&mut members[1], busy);
            assert_eq!(ordinal(&members, Wish::default()), Ok(2));
        }
        let mut members = three();
        members[1].pod.as_mut().unwrap().deleting = true;
        assert_eq!(ordinal(&members, Wish::default()), Ok(2));
    }

    #[test]
    fn without_a_primary_nothing_is_read() {
        let mut members = three();
        change(&mut members[0], |status| status.role = Role::Held);
        for source in [Source::PreferReplica, Source::Replica, Source::Primary] {
            assert_eq!(ordinal(&members, with(source)), Err(NoCopy::NoPrimary));
        }
        assert_eq!(ordinal(&[], Wish::default()), Err(NoCopy::NoPrimary));
    }
}
