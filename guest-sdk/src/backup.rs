//! The `backup` decision: when a backup that is due begins, from which copies it is read, and which ones go.

use serde::de::DeserializeOwned;

pub use crate::bindings::backup::exports::hera::policy::backup::{
    BackupAnswer, BackupInput, Cause, Choice, DataCopy as Copy, Demand, Limits, Next, Past, Role,
    Shard, Source,
};
use crate::{Context, PolicyError};

/// A policy that decides when backups begin, from which copies they are read, and which ones go. Register it
/// with [`export_backup_policy!`](crate::export_backup_policy).
pub trait BackupPolicy {
    /// What stands beside the policy under `settings`; no settings mean the default.
    type Settings: DeserializeOwned + Default;

    /// What becomes of the backup that is wanted, and which backups go. [`calmest`](crate::calmest) has what the
    /// built-in answers, to begin with.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] when there is no answer; the built-in then decides this time.
    fn decide(
        context: &Context,
        settings: &Self::Settings,
        input: &BackupInput,
    ) -> Result<BackupAnswer, PolicyError>;

    /// Checks settings beyond their shape.
    ///
    /// # Errors
    ///
    /// A sentence for the person who wrote them.
    fn validate(_settings: &Self::Settings) -> Result<(), String> {
        Ok(())
    }
}

impl BackupInput {
    /// Until when the backup may wait at most, in milliseconds since 1970, as the operator reckons: until its latest
    /// time, and no longer than until the newest backup of a shard is as old as it may get. None if none is wanted.
    pub fn may_wait_until(&self) -> Option<u64> {
        let latest = self.demand.as_ref()?.latest_unix_ms;
        let too_old = self.shards.iter().filter_map(|shard| self.too_old(shard));
        Some(too_old.fold(latest, u64::min))
    }

    /// True if the answer may be to skip, as the operator reckons: no backup is wanted, or a schedule wants it, and
    /// where the spec has a greatest age, the next schedule is due before the newest backup of any shard is older.
    pub fn may_skip(&self) -> bool {
        let Some(demand) = &self.demand else {
            return true;
        };
        let is_young = |shard: &Shard| match (self.too_old(shard), self.next_due_unix_ms) {
            (Some(too_old), Some(due)) => due <= too_old,
            (None, _) | (_, None) => false,
        };
        let ages = self.limits.max_age_seconds.is_some();
        demand.cause == Cause::Schedule && (!ages || self.shards.iter().all(is_young))
    }

    /// Those in the store that may go.
    pub fn droppable(&self) -> impl Iterator<Item = &Past> {
        self.history.iter().filter(|past| !past.needed)
    }

    /// When the newest backup of a shard is as old as it may get; none if there is none, or no such age.
    fn too_old(&self, shard: &Shard) -> Option<u64> {
        let age = self.limits.max_age_seconds?.saturating_mul(1_000);
        Some(shard.base_unix_ms?.saturating_add(age))
    }
}

impl BackupAnswer {
    /// It begins now, on these copies: one of each shard.
    pub fn start(copies: Vec<Choice>, reason: &str) -> Self {
        Self::new(Next::Start(copies), reason)
    }

    /// It is asked about again then, in milliseconds since 1970; a minute after it was asked at the soonest.
    pub fn wait_until(unix_ms: u64, reason: &str) -> Self {
        Self::new(Next::WaitUntil(unix_ms), reason)
    }

    /// It is not made; also what to say where none is wanted.
    pub fn skip(reason: &str) -> Self {
        Self::new(Next::Skip, reason)
    }

    /// Lets these backups go, named by [`Past::id`].
    #[must_use]
    pub fn dropping(mut self, ids: impl IntoIterator<Item = String>) -> Self {
        self.drop.extend(ids);
        self
    }

    fn new(next: Next, reason: &str) -> Self {
        Self {
            next,
            drop: vec![],
            reason: reason.to_owned(),
        }
    }
}

/// Turns a policy type into the component that the operator loads.
#[macro_export]
macro_rules! export_backup_policy {
    ($policy:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            struct Component;

            impl $crate::export::backup::Guest for Component {
                fn decide(
                    context: $crate::Context,
                    input: $crate::backup::BackupInput,
                ) -> ::core::result::Result<$crate::backup::BackupAnswer, $crate::PolicyError>
                {
                    $crate::export::decide_backup::<$policy>(context, input)
                }

                fn validate_settings(
                    settings: $crate::export::String,
                ) -> ::core::result::Result<(), $crate::export::String> {
                    $crate::export::validate_backup::<$policy>(settings)
                }
            }

    $crate::bindings::backup::__export_backup_policy!(Component with_types_in $crate::bindings::backup);

            // The host reads this before anything runs, so that its messages can say what a
            // module was built with.
            #[used]
            #[unsafe(link_section = "hera-policy-sdk")]
            static SDK: [u8; $crate::SDK_VERSION.len()] = $crate::export::sdk_bytes();
        };
    };
}
