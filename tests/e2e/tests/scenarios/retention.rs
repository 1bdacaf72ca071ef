//! Backups by schedule, which of them stay, and a policy that wants neither (issue 22).

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::policy_healthy;
use hera_api::meta::{ANNOTATION_BACKUP_DUE, LABEL_BACKUP_CAUSE, LABEL_BACKUP_SCHEDULE};
use hera_api::{BackupPhase, RedisBackup};
use hera_tests_e2e::{Scenario, Space, Store, Writer, module, wait_for};
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::backups::{STORE, back_up, store, wait_whole};
use crate::instants::{Moment, ensure_of, recover, wait_covered};
use crate::policies::RULES;
use crate::scene::LONG;

pub const ALL: &[Scenario] = scenarios![Few;
    schedules_make_backups_and_only_the_last_ones_stay,
    a_policy_that_begins_nothing_and_drops_everything_is_overruled,
];

const SOME: Duration = Duration::from_secs(30);

/// One that is due each minute.
fn each_minute() -> Value {
    json!([{"name": "minutely", "cron": "* * * * *"}])
}

async fn all(space: &Space<'_>) -> Result<Vec<RedisBackup>> {
    let backups = space.api::<RedisBackup>();
    Ok(backups.list(&ListParams::default()).await?.items)
}

/// Waits until a backup that was made for this reason is whole.
async fn wait_made(space: &Space<'_>, cause: &str) -> Result<RedisBackup> {
    let what = format!("a backup that is made by itself is whole: {cause}");
    wait_for(&what, LONG, async || {
        let all = all(space).await?;
        let told: Vec<_> = all.iter().map(said).collect();
        let mut made = all.into_iter().filter(|one| is_caused(one, cause));
        let whole = made.find(|one| one.phase() == BackupPhase::Completed);
        whole.with_context(|| format!("{told:?}"))
    })
    .await
}

fn is_caused(backup: &RedisBackup, cause: &str) -> bool {
    let label = backup.labels().get(LABEL_BACKUP_CAUSE);
    label.is_some_and(|label| label == cause)
}

fn said(backup: &RedisBackup) -> (String, BackupPhase) {
    (backup.name_any(), backup.phase())
}

/// Waits until no backup is to be made any more; gives the names of those that are whole.
async fn wait_over(space: &Space<'_>) -> Result<BTreeSet<String>> {
    wait_for("all backups are over", LONG, async || {
        let all = all(space).await?;
        let told: Vec<_> = all.iter().map(said).collect();
        ensure!(all.iter().all(RedisBackup::is_over), "{told:?}");
        Ok(whole(&all))
    })
    .await
}

fn whole(all: &[RedisBackup]) -> BTreeSet<String> {
    let whole = all
        .iter()
        .filter(|one| one.phase() == BackupPhase::Completed);
    whole.map(|one| one.name_any()).collect()
}

/// Names of the backups that the store has.
fn stored(store: &Store) -> Result<BTreeSet<String>> {
    let files = store.files()?;
    let names = files.iter().filter_map(|path| {
        let (_, file) = path.split_once("/backups/")?;
        Some(file.strip_suffix(".json")?.to_owned())
    });
    Ok(names.collect())
}

/// A log gets its first backup by itself, a schedule makes more, and once only two are to stay the older ones go; what
/// lies between the two comes back as it was.
async fn schedules_make_backups_and_only_the_last_ones_stay(space: &Space<'_>) -> Result<()> {
    let store = store(space).await?;
    let log = json!({"maxDelay": "1s"});
    let spec = json!({
        "auth": {"preset": "Owner"},
        "backup": {"storeRef": {"name": STORE}, "log": log, "schedules": each_minute()},
    });
    let instance = space.ready("cache", spec).await?;
    let writer = Writer::start("load", instance.app().await?);
    let first = wait_made(space, "gap").await?.name_any();
    writer.wait_for_more(200, SOME).await?;
    wait_covered(space, &Moment::now()?).await?;

    let scheduled = wait_made(space, "schedule").await?;
    let schedule = scheduled.labels().get(LABEL_BACKUP_SCHEDULE);
    let due = scheduled.annotations().get(ANNOTATION_BACKUP_DUE);
    let due = due.with_context(|| format!("{:?}", scheduled.metadata))?;
    ensure!(
        schedule.is_some_and(|name| name == "minutely")
            && due.ends_with(":00Z")
            && scheduled.name_any().starts_with("cache-20"),
        "{:?}",
        scheduled.metadata
    );
    let no_more = json!({"backup": {"schedules": null}});
    instance.patch_spec(no_more).await?;
    let before = wait_over(space).await?;
    let held = stored(&store)?;
    ensure!(
        before.len() >= 2 && held == before,
        "{before:?}, and the store has {held:?}"
    );
    writer.wait_for_more(200, SOME).await?;
    let between = Moment::now()?;
    writer.wait_for_more(200, SOME).await?;
    back_up(space, &instance, "by-hand").await?;
    wait_whole(space, "by-hand").await?;
    let after = Moment::now()?;
    wait_covered(space, &after).await?;

    let keep = json!({"backup": {"keep": {"last": 2}}});
    instance.patch_spec(keep).await?;
    let stay = wait_for("two backups stay", LONG, async || {
        let stay = whole(&all(space).await?);
        ensure!(stay.len() == 2 && stored(&store)? == stay, "{stay:?}");
        Ok(stay)
    })
    .await?;
    ensure!(
        stay.contains("by-hand") && !stay.contains(&first),
        "{stay:?}, and {first} was the first"
    );
    let bases = store.files()?;
    let bases = bases.iter().filter(|path| path.ends_with("/base.json"));
    ensure!(bases.count() == 2, "other bases are there");
    wait_for("the status says from when on", SOME, async || {
        let status = instance.status().await?.backup;
        let status = status.context("no status.backup")?;
        let earliest = status.first_recoverable.context("no firstRecoverable")?.0;
        ensure!(earliest <= between.wall, "from {earliest}");
        Ok(())
    })
    .await?;
    let listed = space.hera(&["backup", "ls", "cache", "-o", "json"]).await?;
    let rows: Vec<Value> = serde_json::from_str(&listed.with_code(0)?)?;
    let needed = rows.iter().filter(|row| row["needed"] == true);
    ensure!(needed.count() == 2, "{rows:?}");
    refuse_to_drop(space, "by-hand").await?;

    let recovered = recover(space, &between, "recovered").await?;
    let written = writer.stopped().await?;
    let found = written.found_at(&recovered.app().await?).await?;
    ensure_of(&between, &found).map(drop)
}

/// What is needed is not dropped, and stays.
async fn refuse_to_drop(space: &Space<'_>, name: &str) -> Result<()> {
    let words = ["backup", "drop", name, "--yes", "--wait"];
    let said = space.hera(&words).await?;
    ensure!(said.code == 1 && said.text.contains("Needed"), "{said:?}");
    let there = space.api::<RedisBackup>().get_opt(name).await?;
    ensure!(there.is_some(), "it is gone");
    Ok(())
}

/// Row: hostile policy: one that lets every backup wait for ever and drops all that there are. It is refused by the name
/// of a rule, the built-in does it, and what is needed stays.
async fn a_policy_that_begins_nothing_and_drops_everything_is_overruled(
    space: &Space<'_>,
) -> Result<()> {
    let store = store(space).await?;
    let hostile = module("backup-never").await?;
    space.put_policy(RULES, &hostile).await?;
    let instance = space
        .ready(
            "cache",
            json!({
                "backup": {
                    "storeRef": {"name": STORE}, "schedules": each_minute(), "maxAge": "10m",
                    "keep": {"last": 1},
                },
                "policies": {"backup": {"configMapRef": {"name": RULES}}},
            }),
        )
        .await?;
    let _: String = instance.app().await?.ask(&["SET", "key", "value"]).await?;
    let made = wait_made(space, "schedule").await?.name_any();
    wait_for(
        "the refusal is told by the name of its rule",
        LONG,
        async || {
            let said = instance.condition(policy_healthy::TYPE).await?;
            let rules = ["wait-beyond-latest", "wait-beyond-age", "drop-needed"];
            ensure!(
                said.reason == policy_healthy::GUARD_REFUSED
                    && rules.iter().any(|rule| said.message.contains(rule)),
                "{said:?}"
            );
            Ok(())
        },
    )
    .await?;
    // Time for what must not happen: the next question, and a sweep.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let newest = all(space).await?;
    let newest = newest
        .iter()
        .filter(|one| one.phase() == BackupPhase::Completed)
        .max_by_key(|one| one.name_any())
        .context("no backup is whole")?
        .name_any();
    ensure!(newest >= made, "{newest} is older than {made}");
    ensure!(
        stored(&store)?.contains(&newest),
        "{newest} is not in the store"
    );
    Ok(())
}
