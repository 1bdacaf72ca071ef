//! A policy says when a backup begins, and from which copy it is read.

use std::time::Duration;

use hera_api::BackupPhase;
use hera_api::conditions::completed;
use hera_api::validate::backup_plan;
use hera_core::backup::Wish;
use hera_core::backup::decision::{BackupInput, Cause, Choice, Decided, Demand};
use hera_core::shard::Member;
use kube::ResourceExt as _;

use super::super::question::{self, About, Asked};
use super::super::status::{self, Said};
use super::super::target::Target;
use super::super::{known, record};
use super::{Again, Pass};
use crate::controllers::outcome::PassError;
use crate::policies::now_unix_ms;

/// A policy that is asked for is waited for so long while it is loaded.
const LOADS_MS: u64 = 30_000;
/// Between two looks meanwhile.
const SOON: Duration = Duration::from_secs(1);
/// A policy is asked again after this at the soonest.
const WAIT_AT_LEAST_MS: u64 = 60_000;

/// What is done about a backup that could begin.
pub(super) enum Turn {
    /// It begins with the copy that the host chooses.
    Begins,
    /// It begins with the pod of this ordinal.
    Reads(u32),
    /// It is looked at again.
    Later(Again),
}

impl Pass<'_> {
    /// Asks the policy before the first attempt, until the latest time at which it begins whatever that says.
    pub(super) async fn ask(
        &mut self,
        target: &Target,
        members: &[Member],
        wish: Wish<'_>,
    ) -> Result<Turn, PassError> {
        let demand = record::demand(&self.backup);
        if self.attempts() > 0 || !is_asked(&demand, now_unix_ms()) {
            return Ok(Turn::Begins);
        }
        let Ok(Some(plan)) = backup_plan(&target.object.spec) else {
            // The host goes by what it can read.
            return Ok(Turn::Begins);
        };
        let Some(all) = self.shared.backups.known.of(&self.target) else {
            return Ok(Turn::Later(Some(SOON)));
        };
        let all = known::read(&all);
        let about = About {
            shared: self.shared,
            object: &target.object,
            key: &self.target,
            uid: target.uid(),
            plan: &plan,
            members,
        };
        let shards = about.shards(wish, &all).await;
        let history = question::history(&plan, target.uid(), &all);
        let name = self.backup.name_any();
        let input = BackupInput {
            demand: Some(demand.clone()),
            others: question::others(&all, Some(&name)),
            ..about.input(shards, history, wish.source)
        };
        let made = match Box::pin(about.ask(&input)).await? {
            Asked::Made(made) => *made,
            Asked::Loading => {
                let since = *self.kept.loading_since_ms.get_or_insert(self.now_ms);
                return Ok(match self.now_ms.saturating_sub(since) < LOADS_MS {
                    true => Turn::Later(Some(SOON)),
                    false => Turn::Begins,
                });
            }
        };
        self.kept.loading_since_ms = None;
        let Some(answer) = made.answer else {
            return Ok(Turn::Begins);
        };
        match answer.next {
            Decided::Start(choices) => Ok(first(&choices).map_or(Turn::Begins, Turn::Reads)),
            Decided::WaitUntil(asked) => {
                let now = now_unix_ms();
                let Some(until) = waits_until(now, demand.latest_unix_ms, asked) else {
                    return Ok(Turn::Begins);
                };
                let waits = self.policy_waits(now, until, &answer.reason);
                waits.await.map(Turn::Later)
            }
            Decided::Skip => {
                let words = format!("the policy left it out: {}", answer.reason);
                let said = Said::new(completed::POLICY_SKIPPED, words);
                let over = self.over(BackupPhase::Skipped, said);
                over.await.map(Turn::Later)
            }
        }
    }

    /// Others of the object have their turn meanwhile.
    async fn policy_waits(
        &mut self,
        now: u64,
        until: u64,
        reason: &str,
    ) -> Result<Again, PassError> {
        let words = format!(
            "the policy has it wait until {}: {reason}",
            record::second(until).0
        );
        let said = Said::new(completed::POLICY_WAITS, words);
        let wanted = status::with(&self.backup, BackupPhase::Pending, &said);
        self.write(wanted).await?;
        let wait = until.saturating_sub(now);
        self.kept.due_ms = self.now_ms.saturating_add(wait);
        self.stands_aside(wait);
        Ok(Some(Duration::from_millis(wait)))
    }
}

/// What must not wait any longer, or never could, begins. Of what never could a policy says from which copy.
fn is_asked(demand: &Demand, now_unix_ms: u64) -> bool {
    match demand.cause {
        Cause::Age | Cause::Replay => true,
        Cause::Schedule | Cause::Person | Cause::Gap => now_unix_ms < demand.latest_unix_ms,
    }
}

/// Until when it waits that is to wait until `asked` and begins at `latest`; none once that is over, as it is for what
/// never waits: it would be asked about again at once, and for ever.
fn waits_until(now: u64, latest: u64, asked: u64) -> Option<u64> {
    let until = asked.max(now.saturating_add(WAIT_AT_LEAST_MS));
    (now < latest).then_some(until.min(latest))
}

fn first(choices: &[Choice]) -> Option<u32> {
    choices.first().map(|choice| choice.copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    #[test]
    fn a_policy_is_asked_again_after_a_minute_at_the_soonest_and_no_later_than_it_must_begin() {
        let until = |latest, asked| {
            waits_until(MINUTE, latest * MINUTE, asked * MINUTE).map(|until| until / MINUTE)
        };
        assert_eq!(until(60, 30), Some(30));
        assert_eq!(until(60, 0), Some(2));
        assert_eq!(until(60, 90), Some(60));
    }

    #[test]
    fn what_begins_at_once_or_is_past_its_latest_time_waits_for_no_answer() {
        let waits = |latest, asked| waits_until(MINUTE, latest, asked).is_some();
        assert!(waits(MINUTE + 1, 0));
        assert!(!waits(MINUTE, 0) && !waits(MINUTE, MINUTE) && !waits(0, 0));
    }

    #[test]
    fn what_is_past_its_latest_time_begins_and_of_what_never_waits_the_copy_is_asked_for() {
        let asked = |cause, now| {
            let demand = Demand {
                name: "a".to_owned(),
                cause,
                schedule: String::new(),
                since_unix_ms: 0,
                latest_unix_ms: 10,
            };
            is_asked(&demand, now)
        };
        for cause in [Cause::Schedule, Cause::Person, Cause::Gap] {
            assert!(asked(cause, 9) && !asked(cause, 10));
        }
        assert!(asked(Cause::Age, 10) && asked(Cause::Replay, 10));
    }
}
