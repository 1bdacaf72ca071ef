//! One sweep: an agent looks, a policy says what goes of what is not needed, the agent deletes it, and the RedisBackups
//! of it go.

use std::collections::BTreeSet;
use std::time::Duration;

use hera_api::conditions::{completed, dropped};
use hera_api::validate::{BackupPlan, backup_plan};
use hera_api::{BackupPhase, RedisBackup};
use hera_core::backup::{Held, Keep, MOST_HELD, Wish};
use hera_core::shard::{Member, primary};
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};

use super::super::bases::news;
use super::super::known::{Guarded, is_of};
use super::super::question::{self, About, Asked};
use super::super::remove::{self, Which};
use super::super::status::{self, Said};
use super::super::target::{self, Target};
use super::super::{access, dropping, record};
use super::failed::Failed;
use super::kept::Kept;
use super::orders::{Order, Sweeper, Told};
use super::{Done, Swept, Wanted, Why, keep_of, look};
use crate::agents::AgentClient;
use crate::controllers::pods::requests::hibernates;
use crate::policies::now_unix_ms;
use crate::shared::Shared;

/// Without retention the last one stays.
const THE_LAST: Keep = Keep {
    for_ms: None,
    last: 1,
};
/// The policy is waited for so often while it is loaded, and so long in between.
const LOADS: u32 = 30;
const LOADING: Duration = Duration::from_secs(1);
/// More orders than there can be files.
const ORDERS: u32 = 1_000;

/// Carries out a sweep. None of one that somebody asked for.
///
/// # Errors
/// See [`Failed`]: what was deleted is gone, and the next one goes on.
pub async fn run(shared: &Shared, wanted: &Wanted) -> Result<Option<Done>, Failed> {
    let (name, uid) = match &wanted.why {
        Why::Due => return Box::pin(due(shared, wanted)).await.map(Some),
        Why::Drop { name, uid } => (name, uid),
    };
    let backups: Api<Guarded> = Api::namespaced(shared.client.clone(), &wanted.object.namespace);
    let found = backups.get_opt(name).await?.and_then(|found| found.0.ok());
    let found = found.filter(|found| found.uid().as_ref() == Some(uid));
    let Some(backup) =
        found.filter(|found| dropping::is_asked(found) && found.phase() == BackupPhase::Completed)
    else {
        return Ok(None);
    };
    let done = Box::pin(drop_one(shared, wanted, &backup)).await;
    if let Err(failed) = &done {
        tell(shared, &backup, failed).await?;
    }
    done.map(|()| None)
}

/// Says why a backup is not deleted that somebody wants gone. Only without its object no other try helps.
async fn tell(shared: &Shared, backup: &RedisBackup, failed: &Failed) -> Result<(), Failed> {
    match failed {
        Failed::NotLeading => Ok(()),
        Failed::NoTarget(words) => {
            let words =
                format!("{words}: no agent can delete its data; delete its folder in the store");
            let said = Said::new(completed::NO_TARGET, words);
            Ok(dropping::refuse(shared, backup, &said).await?)
        }
        failed => {
            // The words are those of the first time: others say no more.
            let mut conditions = backup.status.iter().flat_map(|status| &status.conditions);
            let is_told = conditions
                .any(|known| known.type_ == dropped::TYPE && known.reason == completed::PENDING);
            if !is_told {
                let words = format!("it is tried again: {failed}");
                let said = Said::new(completed::PENDING, words);
                status::refuse_drop(shared, backup, &said).await?;
            }
            Ok(())
        }
    }
}

/// What a sweep goes by.
struct Sweep<'a> {
    sweeper: Sweeper<'a>,
    target: Target,
    plan: BackupPlan,
    members: Vec<Member>,
    /// Name of the store.
    store: String,
    began_unix_ms: u64,
}

impl<'a> Sweep<'a> {
    /// Everything that it needs. `store` is its name, that of the spec if none is named.
    async fn begin(
        shared: &'a Shared,
        wanted: &'a Wanted,
        store: Option<String>,
    ) -> Result<Self, Failed> {
        let term = shared.leadership.term().ok_or(Failed::NotLeading)?;
        let (client, object) = (&shared.client, &wanted.object);
        let read = Box::pin(Target::read(client, &object.namespace, &object.name));
        let target = read.await?.map_err(Failed::NoTarget)?;
        if target.uid() != wanted.uid {
            let words = format!("{object} was deleted, and made anew");
            return Err(Failed::NoTarget(words));
        }
        let plan = match backup_plan(&target.object.spec) {
            Ok(Some(plan)) => plan,
            Ok(None) => {
                let words = format!("spec.backup of {object} names no store");
                return Err(Failed::Spec(words));
            }
            Err(invalid) => return Err(Failed::Spec(invalid.to_string())),
        };
        if hibernates(&target.object) {
            return Err(Failed::Hibernates);
        }
        let members = Box::pin(target.members(shared)).await?;
        let agent = agent(shared, &members, &wanted.uid).ok_or(Failed::NoAgent)?;
        let store = store.unwrap_or_else(|| plan.store.clone());
        let access = Box::pin(access::of(client, &object.namespace, &store)).await;
        let access = access.map_err(|missing| Failed::Store(missing.words))?;
        let owner = shared.owners.file(client, object, &wanted.uid).await?;
        Ok(Self {
            sweeper: Sweeper {
                shared,
                object,
                term,
                agent,
                owner,
                store: access,
            },
            target,
            plan,
            members,
            store,
            began_unix_ms: now_unix_ms(),
        })
    }

    /// The backups of the object that there are, as the API server says.
    async fn backups(&self) -> Result<Vec<RedisBackup>, Failed> {
        let (shared, object) = (self.sweeper.shared, self.sweeper.object);
        let backups: Api<Guarded> = Api::namespaced(shared.client.clone(), &object.namespace);
        let listed = backups.list(&ListParams::default()).await?;
        let read = listed.items.into_iter().filter_map(|backup| backup.0.ok());
        Ok(read.filter(|backup| is_of(backup, object)).collect())
    }

    async fn kept(&self) -> Result<Kept, Failed> {
        let (shared, object) = (self.sweeper.shared, self.sweeper.object);
        Ok(Kept::read(&shared.client, &object.namespace).await?)
    }

    /// What there is, of which nothing is deleted.
    async fn look(&self, keep: Keep, kept: &Kept) -> Result<Told, Failed> {
        let order = Order {
            id: format!("{}-{}", self.target.uid(), self.began_unix_ms),
            keep,
            kept: kept.names().into_iter().collect(),
            drop: Vec::new(),
            trims: false,
        };
        Box::pin(self.sweeper.order(order)).await
    }

    /// Has these deleted that nothing needs, and what was needed for them alone. `stay`: these stay, whatever `keep`
    /// says.
    async fn delete(
        &self,
        keep: Keep,
        stay: &BTreeSet<String>,
        drop: &[String],
    ) -> Result<Told, Failed> {
        let mut all = Told::default();
        for number in 0..ORDERS {
            // What somebody keeps since then counts.
            let kept = self.kept().await?;
            let order = Order {
                id: format!("{}-{}-{number}", self.target.uid(), self.began_unix_ms),
                keep,
                kept: kept.names().union(stay).cloned().collect(),
                drop: drop.to_vec(),
                trims: true,
            };
            let told = Box::pin(self.sweeper.order(order)).await?;
            // An agent does not say of others that they are gone.
            let dropped = told.dropped.into_iter().filter(|id| drop.contains(id));
            let dropped: Vec<String> = dropped.collect();
            self.remove(&dropped).await?;
            all.dropped.extend(dropped);
            all.refused = told.refused;
            all.first_unix_ms = told.first_unix_ms;
            if !told.has_more {
                return Ok(all);
            }
        }
        Err(Failed::TooSlow)
    }

    /// Deletes the RedisBackups of what was deleted.
    async fn remove(&self, dropped: &[String]) -> Result<(), Failed> {
        if dropped.is_empty() {
            return Ok(());
        }
        let dropped: BTreeSet<&str> = dropped.iter().map(String::as_str).collect();
        let backups = self.backups().await?;
        let gone = backups.iter().filter(|backup| {
            record::is_stored(backup, self.target.uid(), &self.store)
                && dropped.contains(backup.name_any().as_str())
        });
        let gone: Vec<&RedisBackup> = gone.collect();
        self.remove_all(&gone).await
    }

    async fn remove_all(&self, backups: &[&RedisBackup]) -> Result<(), Failed> {
        let client = &self.sweeper.shared.client;
        for backup in backups {
            self.sweeper.leads()?;
            remove::object(client, backup, Which::Itself).await?;
        }
        Ok(())
    }
}

/// It is time.
async fn due(shared: &Shared, wanted: &Wanted) -> Result<Done, Failed> {
    let sweep = Box::pin(Sweep::begin(shared, wanted, None)).await?;
    let Some(keep) = keep_of(&sweep.plan) else {
        return Err(Failed::Spec("spec.backup.keep is not set".to_owned()));
    };
    let kept = sweep.kept().await?;
    let told = sweep.look(keep, &kept).await?;
    let backups = sweep.backups().await?;
    let backups: Vec<&RedisBackup> = backups.iter().collect();
    let drop = Box::pin(chosen(&sweep, keep, &kept, &told, &backups)).await?;
    // The log gets older though no backup goes.
    let first_unix_ms = match drop.is_empty() && !sweep.plan.log_kept {
        true => told.first_unix_ms,
        false => {
            let stay = BTreeSet::new();
            let done = Box::pin(sweep.delete(keep, &stay, &drop)).await?;
            done.first_unix_ms
        }
    };
    let uid = sweep.target.uid();
    let gone = look::gone(&backups, &told.held, uid, &sweep.store, sweep.began_unix_ms);
    sweep.remove_all(&gone).await?;
    Ok(Done {
        swept: Swept {
            at_unix_ms: sweep.began_unix_ms,
            first_unix_ms,
        },
        keep,
    })
}

/// What goes, as the policy says, of what is not needed.
async fn chosen(
    sweep: &Sweep<'_>,
    keep: Keep,
    kept: &Kept,
    told: &Told,
    backups: &[&RedisBackup],
) -> Result<Vec<String>, Failed> {
    let names = kept.names();
    let history = look::history(&told.held, keep, &names, backups, now_unix_ms())?;
    let may_go = history.iter().filter(|past| !past.needed);
    let may_go: BTreeSet<String> = may_go.map(|past| past.id.clone()).collect();
    if may_go.is_empty() {
        return Ok(Vec::new());
    }
    let (shared, object) = (sweep.sweeper.shared, sweep.sweeper.object);
    let about = About {
        shared,
        object: &sweep.target.object,
        key: object,
        uid: sweep.target.uid(),
        plan: &sweep.plan,
        members: &sweep.members,
    };
    let source = target::source(sweep.plan.source);
    let wish = Wish {
        source,
        needs_replicas: sweep.plan.needs_replicas,
        after: None,
    };
    let mut input = about.input(about.shards(wish, backups).await, history, source);
    input.others = question::others(backups, None);
    for _ in 0..LOADS {
        let made = match Box::pin(about.ask(&input)).await? {
            Asked::Made(made) => *made,
            Asked::Loading => {
                tokio::time::sleep(LOADING).await;
                sweep.sweeper.leads()?;
                continue;
            }
        };
        let answer = made.answer.ok_or(Failed::NoPolicy)?;
        // The guard has seen to it; what is deleted is looked at twice.
        let drop = answer.drop.into_iter().filter(|id| may_go.contains(id));
        return Ok(drop.collect());
    }
    Err(Failed::Loading)
}

/// Somebody wants one deleted.
async fn drop_one(shared: &Shared, wanted: &Wanted, backup: &RedisBackup) -> Result<(), Failed> {
    let name = backup.name_any();
    let store = backup
        .status
        .as_ref()
        .and_then(|status| status.store.clone());
    let sweep = Box::pin(Sweep::begin(shared, wanted, store)).await?;
    let keep = keep_of(&sweep.plan);
    let kept = sweep.kept().await?;
    let bound = keep.unwrap_or(THE_LAST);
    let told = sweep.look(bound, &kept).await?;
    let names = kept.names();
    let history = look::history(&told.held, bound, &names, &[backup], now_unix_ms())?;
    let is_needed = match history.iter().find(|past| past.id == name) {
        Some(past) if past.needed => true,
        // All others are to stay, so all have to be known.
        Some(_) if keep.is_none() && told.held.len() >= MOST_HELD => return Err(too_many()),
        Some(_) => {
            let stay = others(&told.held, &name, keep);
            let done = Box::pin(sweep.delete(bound, &stay, std::slice::from_ref(&name))).await?;
            !done.dropped.contains(&name)
        }
        None if told.held.is_empty() => {
            let words = format!(
                "store {} has no backup of {} where it leads to now, so this one lies elsewhere",
                sweep.store, wanted.object
            );
            return Err(Failed::NoTarget(words));
        }
        // There is nothing of it in the store, or more than is told of.
        None if told.held.len() < MOST_HELD => {
            remove::object(&shared.client, backup, Which::Itself).await?;
            return Ok(());
        }
        None => return Err(too_many()),
    };
    if is_needed {
        let words = look::why_needed(&name, &told.held, keep, &kept);
        dropping::refuse(shared, backup, &Said::new(dropped::NEEDED, words)).await?;
    }
    Ok(())
}

fn too_many() -> Failed {
    let words = "the store has more backups than an agent tells of".to_owned();
    Failed::Doubt(words)
}

/// What stays beside one that somebody wants deleted: without retention all others do, and with them the log behind the
/// oldest of them, which would go if only the last one were to stay.
fn others(held: &[Held], name: &str, keep: Option<Keep>) -> BTreeSet<String> {
    let others = held.iter().filter(|held| keep.is_none() && held.id != name);
    others.map(|held| held.id.clone()).collect()
}

/// The agent that keeps the log; else that of the primary, or any that is heard.
fn agent(shared: &Shared, members: &[Member], uid: &str) -> Option<AgentClient> {
    let keeps = members.iter().filter(|member| news(member, uid).is_some());
    let heard = members
        .iter()
        .filter(|member| member.agent.status().is_some());
    let mut all = keeps.chain(primary(members)).chain(heard);
    all.find_map(|member| shared.agents.client(member.uid()))
}
