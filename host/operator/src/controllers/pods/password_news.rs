//! What people are told of passwords that are being replaced.

use std::iter::once;

use hera_api::conditions::progressing;
use hera_api::validate::Validated;
use hera_core::acl::REPLICATION_USER;
use hera_core::rotation::{Phase, Rotation, Spread};
use hera_core::shard::Member;
use k8s_openapi::jiff::Timestamp;

use crate::users::Passwords;

/// What is said of passwords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PasswordNews {
    /// What not every server has yet: a reason of `Progressing`, and words.
    pub under_way: Option<(&'static str, String)>,
    /// What they accept besides, while nothing is under way, also while changes wait; empty for nothing.
    pub settled: String,
    /// Next passwords that are the current ones; empty for none.
    pub same: String,
}

impl PasswordNews {
    /// What is to be said: of the generated password and of that of replication, whose rotations are this far while
    /// somebody has `asked` for another of the first, and of those in Secrets that somebody keeps. Of a user that is
    /// not written down nothing is said, as nothing of it is under way, and `Degraded` says why; nothing is under way
    /// while changes wait either.
    pub fn of(
        v: &Validated,
        (rotation, replication): (Option<&Rotation>, Option<&Rotation>),
        asked: Option<&str>,
        passwords: &Passwords,
        spread: &Spread<'_>,
    ) -> Self {
        let app = v.auth.username.as_str();
        let is_written = |user: &&str| spread.is_written(user);
        let (shares, keeps): (Vec<_>, Vec<_>) =
            v.users.iter().partition(|user| v.shares_generated(user));
        let shares = shares.iter().map(|user| user.name.as_str());
        let with_app: Vec<&str> = once(app).chain(shares).filter(is_written).collect();
        let who = names(with_app.iter().copied());
        let mut lacking = Vec::new();
        let mut missing = Vec::new();
        let mut settled = Vec::new();
        match rotation.map(|rotation| &rotation.phase) {
            _ if !is_written(&app) => {}
            Some(Phase::Spreading { .. }) if v.paused => settled.push(format!(
                "servers may accept the next password of user {who}, which the Secret shows once changes go on"
            )),
            Some(Phase::Withdrawing) if v.paused => settled.push(format!(
                "servers may accept the former password of user {who} until changes go on"
            )),
            Some(Phase::Spreading { .. }) => {
                missing.push(format!(
                    "not every server accepts the next password of user {who}, and the Secret shows the one \
                     before until all do"
                ));
                lacking.extend(with_app.iter().flat_map(|user| spread.lacking(user)));
            }
            Some(Phase::Withdrawing) => {
                missing.push(format!(
                    "not every server refuses the former password of user {who}"
                ));
                lacking.extend(with_app.iter().flat_map(|user| spread.lacking(user)));
            }
            Some(Phase::Overlap { .. }) if v.paused => settled.push(format!(
                "the former password of user {who} is accepted at least until changes go on"
            )),
            Some(Phase::Overlap { until_ms, .. }) => {
                let taken_up = rotation.and_then(|rotation| rotation.request.as_deref());
                let waits = asked.is_some() && asked != taken_up;
                settled.push(format!(
                    "the former password of user {who} is accepted until {}{}",
                    time(*until_ms),
                    if waits {
                        "; then it is replaced once more, as somebody asks"
                    } else {
                        ""
                    }
                ));
            }
            Some(Phase::Settled) | None => {}
        }
        let own = v.auth.password.iter().map(|_| app);
        let users = own.chain(keeps.iter().map(|user| user.name.as_str()));
        let (ready, not_ready): (Vec<_>, Vec<_>) = users
            .filter(is_written)
            .filter_map(|user| Some((user, passwords.next_of(user)?)))
            .partition(|(user, hash)| spread.all_accept(user, hash));
        if !ready.is_empty() {
            settled.push(format!(
                "every server accepts the next password of {}",
                names(ready.iter().map(|(user, _)| *user))
            ));
        }
        if !not_ready.is_empty() {
            missing.push(format!(
                "not every server accepts the next password of {}: do not use it yet",
                names(not_ready.iter().map(|(user, _)| *user))
            ));
            let each = not_ready.iter();
            lacking.extend(each.flat_map(|(user, _)| spread.lacking(user)));
        }
        if let Some((words, pods)) = of_replication(replication, spread) {
            match v.paused {
                true => settled.push(
                    "servers may accept two passwords of replication until changes go on"
                        .to_owned(),
                ),
                false => {
                    missing.push(words.to_owned());
                    lacking.extend(pods);
                }
            }
        }
        Self {
            under_way: (!missing.is_empty() && !v.paused).then(|| under_way(&missing, lacking)),
            settled: settled.join("; "),
            same: passwords.same.join("; "),
        }
    }
}

/// What not every server has of a new password of replication, and which pods lack it; none where all have all.
fn of_replication<'a>(
    rotation: Option<&Rotation>,
    spread: &Spread<'a>,
) -> Option<(&'static str, Vec<&'a Member>)> {
    let rotation = rotation.filter(|_| spread.is_written(REPLICATION_USER))?;
    match &rotation.phase {
        Phase::Settled => None,
        Phase::Spreading { .. } => Some((
            "not every server accepts the next password of replication",
            spread.lacking(REPLICATION_USER),
        )),
        Phase::Overlap { .. } => Some((
            "not every server logs in at its primary with the new password of replication",
            spread.logging_in_otherwise(&rotation.current),
        )),
        Phase::Withdrawing => Some((
            "not every server refuses the former password of replication",
            spread.lacking(REPLICATION_USER),
        )),
    }
}

fn under_way(missing: &[String], mut lacking: Vec<&Member>) -> (&'static str, String) {
    lacking.sort_by_key(|pod| pod.label());
    lacking.dedup_by_key(|pod| pod.label());
    let is_away = |pod: &&&Member| pod.agent.status().is_none();
    let away = labels(lacking.iter().filter(is_away));
    let late = labels(lacking.iter().filter(|pod| !is_away(pod)));
    let mut words = missing.join("; ");
    for (which, pods) in [("away", &away), ("not confirmed", &late)] {
        if !pods.is_empty() {
            words.push_str(&format!("; {which}: {pods}"));
        }
    }
    match away.is_empty() {
        true => (progressing::PASSWORD_SPREADING, words),
        false => (progressing::ROTATION_WAITING, words),
    }
}

fn labels<'a, 'b: 'a>(pods: impl Iterator<Item = &'a &'b Member>) -> String {
    pods.map(|pod| pod.label()).collect::<Vec<_>>().join(", ")
}

fn names<'a>(users: impl Iterator<Item = &'a str>) -> String {
    users.collect::<Vec<_>>().join(", ")
}

fn time(millis: u64) -> Timestamp {
    let seconds = i64::try_from(millis / 1000).unwrap_or(0);
    Timestamp::from_second(seconds).unwrap_or_default()
}
