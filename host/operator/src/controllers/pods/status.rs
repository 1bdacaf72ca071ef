//! What the status of every kind has.

use std::fmt;

use hera_api::names::ObjectName;
use hera_api::{Approval, Auth, Binding, Engine};
use hera_core::agent::{Connections, Script};
use hera_core::shard::Stall;
use k8s_openapi::jiff::Timestamp;

/// Messages are for people and stay short.
const MESSAGE_CHARS: usize = 1000;

/// As much of a message as a condition has.
pub fn shorten(message: &str) -> String {
    message.chars().take(MESSAGE_CHARS).collect()
}

/// What an application binds to: the Secret that the user named, as that has the password, or the one that is made.
pub fn binding(auth: &Auth, name: &ObjectName) -> Binding {
    let own = auth.password_secret_ref.as_ref();
    Binding {
        name: own.map_or_else(|| name.app_secret(), |own| own.name.clone()),
    }
}

/// What a condition says: truth, reason and words.
pub type Said = (bool, &'static str, String);

/// What `Degraded` says, with what somebody should know where nothing needs them.
pub fn with_notice(said: Said, notice: Option<&(&'static str, String)>) -> Said {
    match (said, notice) {
        ((false, _, words), Some((reason, notice))) if words.is_empty() => {
            (false, reason, notice.clone())
        }
        ((false, _, words), Some((reason, notice))) => {
            (false, reason, format!("{notice}; {words}"))
        }
        (said, _) => said,
    }
}

/// That changes wait, for people; and what servers accept meanwhile, if that is more than what the Secrets show.
pub fn paused(accepted: Option<&str>) -> String {
    let words = "spec.paused is set: changes wait";
    match accepted.filter(|accepted| !accepted.is_empty()) {
        Some(accepted) => format!("{words}; {accepted}"),
        None => words.to_owned(),
    }
}

/// The engine of this name.
pub fn engine(text: &str) -> Option<Engine> {
    [Engine::Redis, Engine::Valkey]
        .into_iter()
        .find(|engine| engine.as_str() == text)
}

/// What was rejected and why, for people.
pub fn list<'a>(rejected: impl IntoIterator<Item = (&'a String, &'a String)>) -> String {
    let each = rejected.into_iter();
    let each = each.map(|(name, why)| format!("{name}: {why}"));
    each.collect::<Vec<_>>().join("; ")
}

/// That somebody changed users, for people.
pub fn put_right<'a>(users: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<&str> = users.into_iter().map(String::as_str).collect();
    format!(
        "somebody changed users at a server, and they were put right: {}",
        names.join(", ")
    )
}

/// That a server has few connections left, for people.
pub fn few_connections(pod: &str, connections: &Connections) -> String {
    let Connections {
        open,
        limit,
        all_taken,
    } = connections;
    let numbers = match (open, limit) {
        (Some(open), Some(limit)) => format!(" ({open} of {limit} when they came near the limit)"),
        _ => String::new(),
    };
    let state = match all_taken {
        true => "all connections are taken, and nobody else is let in, its agent included",
        false => "few connections are left",
    };
    format!(
        "{pod}: {state}{numbers}. Close idle clients, or set config.timeout to the seconds after which the server \
         does, or raise config.maxclients"
    )
}

/// That a script keeps a primary busy, for people. `after_ms` is when it is ended, if that is known; 0 for never.
pub fn script_runs(pod: &str, script: Script, after_ms: Option<u64>) -> String {
    let since = i64::try_from(script.since_unix_ms).unwrap_or(0);
    let since = Timestamp::from_second(since / 1000).unwrap_or_default();
    let ends = match (script.has_written, after_ms) {
        (true, _) => "it has written, so only the end of the server ends it: wait, or kubectl hera fence, where a \
                      replica is in sync; a server that is killed loses what it has not saved"
            .to_owned(),
        (false, Some(0)) => "SCRIPT KILL or FUNCTION KILL ends it, and nobody else does, as \
                             spec.failover.scriptAfter is 0s"
            .to_owned(),
        (false, Some(after_ms)) => {
            format!("it is ended after {} s (spec.failover.scriptAfter)", after_ms.div_ceil(1000))
        }
        (false, None) => "it is ended if it takes too long".to_owned(),
    };
    format!(
        "a script or function keeps the server of {pod} from answering anybody else since {since}: {ends}"
    )
}

/// True if somebody approved what was asked, by its digest or that of one of the copies to choose from.
pub fn is_given(asked: &Approval, given: Option<&String>) -> bool {
    let mut digests = asked.copies.iter().map(|copy| &copy.digest);
    given == Some(&asked.digest) || digests.any(|digest| given == Some(digest))
}

/// A roll that stands still. Shown: what it waits for, since when, and what to do.
pub struct Stopped<'a> {
    pub stall: &'a Stall,
    /// Why a pod cannot be made.
    pub no_pod: Option<&'a str>,
    /// It waits for somebody.
    pub to_approve: bool,
    /// Why it does not go back.
    pub barred: Option<&'a str>,
}

impl fmt::Display for Stopped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = i64::try_from(self.stall.since_ms).unwrap_or(0);
        let since = Timestamp::from_second(since / 1000).unwrap_or_default();
        write!(
            f,
            "the roll stands still since {since}: {}",
            self.stall.step
        )?;
        if let Some(words) = self.no_pod {
            write!(f, " ({words})")?;
        }
        if let Some(words) = self.barred {
            write!(f, "; it does not go back: {words}")?;
        }
        f.write_str(match self.to_approve {
            true => "; approve it, or change the spec",
            false => {
                "; mend the pod, change the spec, or set spec.updateStrategy.surge to Never to do without a \
                 temporary pod"
            }
        })
    }
}
