//! Rotation of a password that the operator makes, the application's or that of replication: from what is written
//! down and seen to what is done next (decision 025).
//!
//! # Guarantees
//! A password that the Secret shows, or showed no longer than the overlap ago, is accepted by every server that
//! holds the users as they are written. The next password is written down before a server gets it, and the
//! Secret shows it only once every server has it. One that servers log in with themselves is accepted as long as
//! any of them may still do so. A pass that ends after any of its writes loses none: what is done next follows
//! from what was written.

mod spread;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use spread::Spread;

use crate::digest::sha256_hex;

/// What is written down about the password, where no pod reads it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rotation {
    /// The request that was taken up last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// SHA-256 of the password that the Secret shows.
    pub current: String,
    /// Since when it shows that one, in milliseconds since 1970.
    pub since_ms: u64,
    /// How far it is.
    pub phase: Phase,
}

/// No password is printed, and no hash of one.
impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation")
            .field("request", &self.request)
            .field("since_ms", &self.since_ms)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

/// How far a rotation is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "camelCase",
    tag = "name"
)]
pub enum Phase {
    /// There is one password.
    Settled,
    /// The next one is on its way to the servers; the Secret shows the current one until all have it.
    Spreading {
        /// The next password.
        next: String,
    },
    /// The Secret shows the new one; servers accept the one before as well.
    Overlap {
        /// SHA-256 of the one before.
        previous: String,
        /// How long, in milliseconds since 1970.
        until_ms: u64,
    },
    /// The one before is on its way out of the servers.
    Withdrawing,
}

/// No password is printed.
impl fmt::Debug for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settled => f.write_str("Settled"),
            Self::Spreading { .. } => f.debug_struct("Spreading").finish_non_exhaustive(),
            Self::Overlap { until_ms, .. } => f
                .debug_struct("Overlap")
                .field("until_ms", until_ms)
                .finish_non_exhaustive(),
            Self::Withdrawing => f.write_str("Withdrawing"),
        }
    }
}

/// What is asked for, and seen.
pub struct Seen<'a> {
    /// What is written down; none before the first rotation.
    pub written: Option<&'a Rotation>,
    /// The password that the Secret shows; a new one where there is no Secret.
    pub shown: &'a str,
    /// When the Secret was made, in milliseconds since 1970; none while it shows no password.
    pub made_ms: Option<u64>,
    /// A person's request for another password.
    pub request: Option<&'a str>,
    /// The age in milliseconds at which a password is replaced; none for never.
    pub rotate_after_ms: Option<u64>,
    /// How long the one before is accepted once the Secret shows another, in milliseconds.
    pub overlap_ms: u64,
    /// The name of its user.
    pub user: &'a str,
    /// Further users that log in with it.
    pub others: &'a [&'a str],
    /// Servers log in with it themselves, at their primary: the one before is accepted until none of them may use it.
    pub servers_log_in: bool,
    /// How far the users have come that are written down.
    pub spread: &'a Spread<'a>,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

impl Seen<'_> {
    /// Who logs in with it. A further user that is not written down yet logs in nowhere, and waits for nothing.
    fn users(&self) -> impl Iterator<Item = &str> {
        let others = self.others.iter().copied();
        let written = others.filter(move |user| self.spread.is_written(user));
        std::iter::once(self.user).chain(written)
    }

    /// True if every server lets each of them in with a password of this hash.
    fn all_accept(&self, hash: &str) -> bool {
        self.users().all(|user| self.spread.all_accept(user, hash))
    }

    /// True if a server may still log in with another than the one with this hash.
    fn is_former_in_use(&self, shown: &str) -> bool {
        self.servers_log_in && !self.spread.logging_in_otherwise(shown).is_empty()
    }

    /// True if every server does, and with no other.
    fn all_accept_only(&self, hash: &str) -> bool {
        let only = |user| self.spread.all_accept_only(user, hash);
        self.users().all(only)
    }
}

/// What is done next. At most one of the two Secrets gets something new, and servers only what is written down.
#[derive(Clone, PartialEq, Eq)]
pub struct Step {
    /// What is to be written down; none where nothing ever was.
    pub rotation: Option<Rotation>,
    /// The password that the Secret is to show.
    pub show: String,
    /// SHA-256 of each password that servers are to accept.
    pub accept: Vec<String>,
    /// When something is due, in milliseconds since 1970.
    pub due_ms: Option<u64>,
    /// Something of it is new, so that another look is due once it is written.
    pub moved: bool,
}

/// The next step. `fresh` makes a password, if one is needed.
pub fn step(seen: &Seen<'_>, fresh: impl FnOnce() -> String) -> Step {
    let shown = sha256_hex(seen.shown.as_bytes());
    let unmoved = |rotation: Option<&Rotation>| Step {
        rotation: rotation.cloned(),
        show: seen.shown.to_owned(),
        accept: vec![shown.clone()],
        due_ms: None,
        moved: false,
    };
    // Where the password is just being made, the next pass sees it shown.
    let Some(made_ms) = seen.made_ms else {
        // Its Secret may be older, so that its age is written down.
        let since_now = seen.rotate_after_ms.map(|_| Rotation {
            request: None,
            current: shown.clone(),
            since_ms: seen.now_ms,
            phase: Phase::Settled,
        });
        return unmoved(seen.written.or(since_now.as_ref()));
    };
    let before = match seen.written {
        Some(written) => written.clone(),
        None if seen.request.is_none() && seen.rotate_after_ms.is_none() => return unmoved(None),
        None => Rotation {
            request: None,
            current: shown.clone(),
            since_ms: made_ms,
            phase: Phase::Settled,
        },
    };
    let (after, show) = before.follow(&shown, seen, fresh);
    Step {
        accept: after.accept(),
        due_ms: after.due_ms(seen),
        moved: seen.written != Some(&after) || show.is_some(),
        show: show.unwrap_or_else(|| seen.shown.to_owned()),
        rotation: Some(after),
    }
}

impl Rotation {
    /// True if this request was done before: it was taken up, and what it asked for is shown since.
    pub fn has_done(&self, asked: &str) -> bool {
        let is_on_its_way = matches!(self.phase, Phase::Spreading { .. });
        self.request.as_deref() == Some(asked) && !is_on_its_way
    }

    /// What follows where the Secret shows a password with the hash `shown`; and the password that it is to
    /// show, if that is another.
    fn follow(
        mut self,
        shown: &str,
        seen: &Seen<'_>,
        fresh: impl FnOnce() -> String,
    ) -> (Self, Option<String>) {
        let now_ms = seen.now_ms;
        if let Phase::Spreading { next } = &self.phase
            && sha256_hex(next.as_bytes()) == shown
        {
            self.phase = Phase::Overlap {
                previous: std::mem::replace(&mut self.current, shown.to_owned()),
                until_ms: now_ms.saturating_add(seen.overlap_ms),
            };
            self.since_ms = now_ms;
        }
        if self.current != shown {
            // Somebody changed it by hand: that one counts, and no other.
            shown.clone_into(&mut self.current);
            self.since_ms = now_ms;
            self.phase = Phase::Settled;
        }
        // Who lowers the overlap does not want the one before for as long as it was.
        if let Phase::Overlap { until_ms, .. } = &mut self.phase {
            *until_ms = (*until_ms).min(self.since_ms.saturating_add(seen.overlap_ms));
        }
        match &self.phase {
            Phase::Spreading { next } => {
                let asked = seen.request;
                match asked.filter(|asked| self.request.as_deref() != Some(*asked)) {
                    // Nobody knows that one yet: it serves a request of now as well.
                    Some(asked) => self.request = Some(asked.to_owned()),
                    None if seen.all_accept(&sha256_hex(next.as_bytes())) => {
                        let show = next.clone();
                        return (self, Some(show));
                    }
                    None => {}
                }
            }
            Phase::Overlap { until_ms, .. }
                if *until_ms <= now_ms && !seen.is_former_in_use(shown) =>
            {
                self.phase = Phase::Withdrawing;
            }
            Phase::Withdrawing if seen.all_accept_only(shown) => {
                self.phase = Phase::Settled;
            }
            Phase::Settled if self.is_due(seen) => {
                if let Some(asked) = seen.request {
                    self.request = Some(asked.to_owned());
                }
                self.phase = Phase::Spreading { next: fresh() };
            }
            Phase::Overlap { .. } | Phase::Withdrawing | Phase::Settled => {}
        }
        (self, None)
    }

    /// A new password is due: by its age, or because somebody asks for one.
    fn is_due(&self, seen: &Seen<'_>) -> bool {
        let is_new = seen
            .request
            .is_some_and(|asked| self.request.as_deref() != Some(asked));
        let is_old = |after_ms| self.since_ms.saturating_add(after_ms) <= seen.now_ms;
        is_new || seen.rotate_after_ms.is_some_and(is_old)
    }

    /// SHA-256 of each password that servers are to accept.
    fn accept(&self) -> Vec<String> {
        let other = match &self.phase {
            Phase::Spreading { next } => Some(sha256_hex(next.as_bytes())),
            Phase::Overlap { previous, .. } => Some(previous.clone()),
            Phase::Settled | Phase::Withdrawing => None,
        };
        std::iter::once(self.current.clone()).chain(other).collect()
    }

    /// When something is due without news of a pod.
    fn due_ms(&self, seen: &Seen<'_>) -> Option<u64> {
        match self.phase {
            Phase::Settled => Some(self.since_ms.saturating_add(seen.rotate_after_ms?)),
            Phase::Overlap { .. } if seen.is_former_in_use(&self.current) => None,
            Phase::Overlap { until_ms, .. } => Some(until_ms),
            Phase::Spreading { .. } | Phase::Withdrawing => None,
        }
    }
}
