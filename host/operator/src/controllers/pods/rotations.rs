//! How far the passwords that the operator makes are replaced, and what is next (decision 025).

use hera_api::validate::Validated;
use hera_core::acl::REPLICATION_USER;
use hera_core::rotation::{self, Rotation, Seen, Spread, Step};
use hera_render::{REPLICATION_ROTATION_KEY, ROTATION_KEY};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt as _;

use super::observe::{CommonLive, millis};
use crate::policies::now_unix_ms;
use crate::users;

/// What it goes by.
pub struct Rotations<'a> {
    pub v: &'a Validated,
    pub common: &'a CommonLive,
    /// How far the users have come that are written down.
    pub spread: &'a Spread<'a>,
}

/// How one password is replaced.
pub struct Replaced {
    /// What was written down before.
    written: Option<Rotation>,
    /// What is to be written down: while changes wait, what was.
    to_write: Option<Rotation>,
    /// What is next; none while changes wait, and where the operator makes none.
    step: Option<Step>,
}

impl Rotations<'_> {
    /// The application's, of which its Secret shows this; none where it shows none. `request` is a person's.
    pub fn app(&self, shown: Option<&str>, request: Option<&str>) -> Replaced {
        let v = self.v;
        let is_made = v.auth.password.is_none();
        let written = self.written(ROTATION_KEY);
        let others = v.users.iter().filter(|user| v.shares_generated(user));
        let others: Vec<&str> = others.map(|user| user.name.as_str()).collect();
        let live = self.common.app.as_ref();
        // One without a password gets it now, as one that is just made.
        let live = live.filter(|secret| users::app_password(Some(secret)).is_some());
        let shown = shown.filter(|_| is_made && !v.paused);
        let step = shown.map(|shown| {
            let seen = Seen {
                shown,
                made_ms: live.map(made_ms),
                overlap_ms: v.auth.rotation.overlap_ms,
                user: &v.auth.username,
                others: &others,
                servers_log_in: false,
                ..self.seen(written.as_ref(), request)
            };
            rotation::step(&seen, users::generate)
        });
        Replaced::of(written, step, is_made)
    }

    /// That with which servers log in at their primaries. Nobody else has it, so nothing is waited for but them.
    pub fn replication(&self, shown: &str, request: Option<&str>) -> Replaced {
        let written = self.written(REPLICATION_ROTATION_KEY);
        let live = self.common.system.as_ref();
        let live = live.filter(|secret| users::replication_password(Some(secret)).is_some());
        let step = (!self.v.paused).then(|| {
            let seen = Seen {
                shown,
                made_ms: live.map(made_ms),
                overlap_ms: 0,
                user: REPLICATION_USER,
                others: &[],
                servers_log_in: true,
                ..self.seen(written.as_ref(), request)
            };
            rotation::step(&seen, users::generate)
        });
        Replaced::of(written, step, true)
    }

    fn written(&self, key: &str) -> Option<Rotation> {
        users::written_rotation(self.common.system.as_ref(), key)
    }

    /// What is the same of both.
    fn seen<'b>(&'b self, written: Option<&'b Rotation>, request: Option<&'b str>) -> Seen<'b> {
        Seen {
            written,
            shown: "",
            made_ms: None,
            request,
            rotate_after_ms: self.v.auth.rotation.after_ms,
            overlap_ms: 0,
            user: "",
            others: &[],
            servers_log_in: false,
            spread: self.spread,
            now_ms: now_unix_ms(),
        }
    }
}

impl Replaced {
    fn of(written: Option<Rotation>, step: Option<Step>, is_made: bool) -> Self {
        let to_write = match &step {
            Some(step) => step.rotation.clone(),
            None => written.clone().filter(|_| is_made),
        };
        Self {
            written,
            to_write,
            step,
        }
    }

    /// What is to be written down.
    pub fn to_write(&self) -> Option<&Rotation> {
        self.to_write.as_ref()
    }

    /// The same as JSON.
    ///
    /// # Errors
    /// It cannot be written as JSON; it can.
    pub fn text(&self) -> serde_json::Result<Option<String>> {
        self.to_write().map(serde_json::to_string).transpose()
    }

    /// The password that the Secret is to show; none where that stays.
    pub fn show(&self) -> Option<&str> {
        self.step.as_ref().map(|step| step.show.as_str())
    }

    /// SHA-256 of each that servers are to accept; none where that is the one that is shown.
    pub fn accept(&self) -> Vec<String> {
        let step = self.step.as_ref();
        step.map(|step| step.accept.clone()).unwrap_or_default()
    }

    /// True if this request was taken up, and that is written down.
    pub fn has_begun(&self, asked: &str) -> bool {
        let written = self.written.as_ref();
        written.and_then(|written| written.request.as_deref()) == Some(asked)
    }

    /// True if this request was done before.
    pub fn has_done(&self, asked: &str) -> bool {
        let written = self.written.as_ref();
        written.is_some_and(|written| written.has_done(asked))
    }

    /// Something of it is new, so that another look is due.
    pub fn moved(&self) -> bool {
        self.step.as_ref().is_some_and(|step| step.moved)
    }

    /// When something of it is due without news, in milliseconds since 1970.
    pub fn due_ms(&self) -> Option<u64> {
        self.step.as_ref().and_then(|step| step.due_ms)
    }
}

fn made_ms(secret: &Secret) -> u64 {
    let made = secret.creation_timestamp();
    made.map_or(0, |made| millis(made.0))
}
