//! Instances that begin with an instant of another, from its log (issue 22).

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::backup_healthy;
use hera_core::backup::log::SLACK_MS;
use hera_tests_e2e::{Acknowledged, Instance, Login, Scenario, Space, Writer, millis, wait_for};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use serde_json::{Value, json};

use crate::backups::{STORE, back_up, store, wait_whole};
use crate::replicas::{wait_in_sync, wait_other_primary};
use crate::scene::LONG;

pub const ALL: &[Scenario] = scenarios![Few;
    flushed_comes_back_to_the_instant_before,
    a_failover_between_base_and_instant,
    a_log_goes_on_without_a_gap_when_the_pod_that_keeps_it_is_killed,
    a_log_goes_on_without_a_gap_when_the_store_was_down,
];

const SOME: Duration = Duration::from_secs(30);
/// What was acknowledged so long before an instant is in whatever happened; as a rule everything is.
const SLACK: Duration = Duration::from_millis(SLACK_MS);
/// Times of an instant are no finer.
const GRAIN: Duration = Duration::from_millis(1);
/// Longer than most stores are away.
const DOWN: Duration = Duration::from_secs(60);

/// A moment by the clock of times in a spec, and by that of what writers note. Pods have the clock of this machine.
pub struct Moment {
    pub wall: Timestamp,
    at: Instant,
}

impl Moment {
    pub fn now() -> Result<Self> {
        let wall = Timestamp::now();
        Ok(Self {
            wall: Timestamp::from_millisecond(wall.as_millisecond())?,
            at: Instant::now(),
        })
    }
}

/// An instance whose log is kept, a backup that it goes on from, and a client that writes all along.
struct Logged<'a> {
    instance: Instance<'a>,
    app: Login,
    writer: Writer,
}

impl<'a> Logged<'a> {
    async fn begin(space: &'a Space<'_>) -> Result<Self> {
        let log = json!({"maxDelay": "1s"});
        let spec = json!({
            "replicas": 3, "auth": {"preset": "Owner"},
            "backup": {"storeRef": {"name": STORE}, "log": log},
        });
        let instance = space.ready("cache", spec).await?;
        wait_in_sync(&instance, 3).await?;
        let app = instance.app().await?;
        let writer = Writer::start("load", app.clone());
        writer.wait_for_more(100, SOME).await?;
        wait_covered(space, &Moment::now()?).await?;
        back_up(space, &instance, "base").await?;
        wait_whole(space, "base").await?;
        let logged = Self {
            instance,
            app,
            writer,
        };
        logged.wait_healthy().await?;
        logged.writer.wait_for_more(500, SOME).await?;
        Ok(logged)
    }

    /// The log has no gap since a backup: that one, or the one that a log has by itself.
    async fn wait_healthy(&self) -> Result<()> {
        let healthy =
            self.instance
                .wait_condition(backup_healthy::TYPE, "True", backup_healthy::HEALTHY);
        healthy.await.map(drop)
    }
}

/// Waits until the store covers a moment; gives the pod that keeps the log.
pub async fn wait_covered(space: &Space<'_>, moment: &Moment) -> Result<String> {
    wait_for("the log covers it", LONG, async || {
        let asked = ["backup", "status", "ri/cache", "-o", "json"];
        let said = space.hera(&asked).await?;
        let seen: Value = serde_json::from_str(&said.text).with_context(|| said.errors.clone())?;
        let kept = &seen["log"]["kept"];
        let covered = kept["covered"].as_str();
        let covered: Timestamp = covered.with_context(|| seen["log"].to_string())?.parse()?;
        ensure!(covered >= moment.wall, "until {covered}");
        Ok(kept["pod"].as_str().context("no pod")?.to_owned())
    })
    .await
}

/// What the plugin makes of an instant, with one pod.
pub async fn recover<'a>(space: &'a Space<'_>, to: &Moment, name: &str) -> Result<Instance<'a>> {
    let time = to.wall.to_string();
    let words = [
        "recover", "cache", "--to", &time, "--as", name, "-o", "json",
    ];
    let said = space.hera(&words).await?.with_code(0)?;
    let mut manifest: Value = serde_json::from_str(&said)?;
    manifest["spec"]["replicas"] = json!(1);
    space.apply(&manifest.to_string()).await?;
    let recovered = space.instance(name);
    recovered.wait_settled().await?;
    let status = recovered.status().await?.recovery;
    let status = status.context("no status.recovery")?;
    ensure!(
        status.requested.as_deref() == Some(time.as_str()),
        "{status:?}, and {time} was asked for"
    );
    Ok(recovered)
}

/// All that was acknowledged well before the instant is there, and nothing that was sent after it. Gives how long
/// before it the first was acknowledged that is not there.
pub fn ensure_of(moment: &Moment, found: &[(Acknowledged, bool)]) -> Result<Duration> {
    let after = moment.at + GRAIN;
    let (mut there, mut missing) = (0, Duration::ZERO);
    // A client sends the next one once it has the answer.
    let mut is_later = false;
    for (write, is_there) in found {
        let before = moment.at.saturating_duration_since(write.answered);
        if *is_there {
            ensure!(
                !is_later,
                "write {} was sent after the instant",
                write.number
            );
            there += 1;
        } else {
            missing = missing.max(before);
        }
        is_later = write.answered > after;
    }
    let all = found.len();
    ensure!(missing <= SLACK, "a write of {missing:?} before is missing");
    ensure!(0 < there && there < all, "{there} of {all} are there");
    Ok(missing)
}

/// Those that another server has.
fn of_those(
    found: Vec<(Acknowledged, bool)>,
    here: &[(Acknowledged, bool)],
) -> Vec<(Acknowledged, bool)> {
    let both = found.into_iter().zip(here);
    let both = both.filter(|(_, (_, is_here))| *is_here);
    both.map(|(write, _)| write).collect()
}

/// The whole story: all that was acknowledged before somebody flushed is in the new instance, and nothing that was
/// written since. The old one goes on as it was.
async fn flushed_comes_back_to_the_instant_before(space: &Space<'_>) -> Result<()> {
    let _store = store(space).await?;
    let logged = Logged::begin(space).await?;
    let run_id = logged.instance.run_id().await?;

    let before = Moment::now()?;
    let _: String = logged.app.ask(&["FLUSHALL"]).await?;
    let gone: Option<String> = logged.app.ask(&["GET", "load:1"]).await?;
    ensure!(gone.is_none(), "it is not flushed");
    logged.writer.wait_for_more(200, SOME).await?;
    wait_covered(space, &before).await?;
    let said = space.hera(&["backup", "status", "ri/cache"]).await?;
    let text = said.with_code(0)?;
    ensure!(text.contains("covers all"), "{text}");

    let start = Instant::now();
    let recovered = recover(space, &before, "recovered").await?;
    space
        .bed()
        .figures
        .note("a pod begins with an instant", millis(start.elapsed()));
    let written = logged.writer.stopped().await?;
    let found = written.found_at(&recovered.app().await?).await?;
    let missing = ensure_of(&before, &found)?;
    space
        .bed()
        .figures
        .note("missing before an instant", millis(missing));
    let cut = found.iter().filter(|(_, is_there)| !is_there).count();
    let tail = found.iter().rev().take_while(|(_, is_there)| !is_there);
    ensure!(tail.count() == cut, "what is there is no beginning");
    ensure!(
        logged.instance.run_id().await? == run_id,
        "the old server is another"
    );
    Ok(())
}

/// Row: failover between base and instant: before it and after it, each instant of the history that went on comes back.
async fn a_failover_between_base_and_instant(space: &Space<'_>) -> Result<()> {
    let _store = store(space).await?;
    let logged = Logged::begin(space).await?;
    let before = Moment::now()?;
    // What was asked of the old primary says so for certain; a moment that ends with it may be refused.
    wait_covered(space, &before).await?;

    let primary = logged.instance.primary_pod().await?.name_any();
    kill(space, &primary).await?;
    wait_other_primary(&logged.instance, &primary).await?;
    logged.writer.wait_for_more(500, SOME).await?;
    let after = Moment::now()?;
    logged.writer.wait_for_more(100, SOME).await?;
    wait_covered(space, &after).await?;
    wait_in_sync(&logged.instance, 3).await?;
    logged.wait_healthy().await?;

    let (earlier, later) = tokio::try_join!(
        recover(space, &before, "earlier"),
        recover(space, &after, "later"),
    )?;
    let written = logged.writer.stopped().await?;
    let here = written.found_at(&logged.app).await?;
    let lost = here.iter().filter(|(_, is_here)| !is_here).count();
    space.bed().figures.note(
        "lost by the failover between base and instant",
        lost.to_string(),
    );
    for (moment, recovered) in [(&before, earlier), (&after, later)] {
        let found = written.found_at(&recovered.app().await?).await?;
        // What the old primary alone had is of a history that ended.
        ensure_of(moment, &of_those(found, &here)).with_context(|| recovered.name().to_owned())?;
    }
    Ok(())
}

/// Row: pod of the capturer lost: another goes on where the store ends.
async fn a_log_goes_on_without_a_gap_when_the_pod_that_keeps_it_is_killed(
    space: &Space<'_>,
) -> Result<()> {
    let _store = store(space).await?;
    let logged = Logged::begin(space).await?;
    let keeper = wait_covered(space, &Moment::now()?).await?;
    kill(space, &keeper).await?;
    let killed = Moment::now()?;
    logged.writer.wait_for_more(300, SOME).await?;
    let after = Moment::now()?;
    logged.writer.wait_for_more(100, SOME).await?;
    wait_covered(space, &after).await?;
    space.bed().figures.note(
        "pod of the log killed: until it covers what came after",
        millis(killed.at.elapsed()),
    );
    wait_in_sync(&logged.instance, 3).await?;
    ensure_comes_back(space, logged, &after).await
}

/// Row: store down for a minute under load: nobody waits, the reason is told, and the log has no gap after it.
async fn a_log_goes_on_without_a_gap_when_the_store_was_down(space: &Space<'_>) -> Result<()> {
    let mut store = store(space).await?;
    let logged = Logged::begin(space).await?;
    let down = Instant::now();
    store.stop();
    let words = logged
        .instance
        .wait_condition(
            backup_healthy::TYPE,
            "False",
            backup_healthy::STORE_UNREACHABLE,
        )
        .await?;
    let said = space.hera(&["backup", "status", "ri/cache"]).await?;
    ensure!(
        said.code == 1 && said.text.contains(backup_healthy::STORE_UNREACHABLE),
        "{words}: {said:?}"
    );
    let meanwhile = Moment::now()?;
    tokio::time::sleep(DOWN.saturating_sub(down.elapsed())).await;
    let gap = logged.writer.longest_gap();
    ensure!(gap < Duration::from_secs(2), "a client waited {gap:?}");
    store.start_again().await?;
    let back = Instant::now();
    wait_covered(space, &meanwhile).await?;
    space.bed().figures.note(
        "store back after a minute: until the log covers it",
        millis(back.elapsed()),
    );
    ensure_comes_back(space, logged, &meanwhile).await
}

/// The log has no gap, and a moment of it comes back.
async fn ensure_comes_back(space: &Space<'_>, logged: Logged<'_>, moment: &Moment) -> Result<()> {
    logged.wait_healthy().await?;
    let recovered = recover(space, moment, "recovered").await?;
    let written = logged.writer.stopped().await?;
    let found = written.found_at(&recovered.app().await?).await?;
    ensure_of(moment, &found).map(drop)
}

async fn kill(space: &Space<'_>, pod: &str) -> Result<()> {
    let at_once = DeleteParams::default().grace_period(0);
    space.api::<Pod>().delete(pod, &at_once).await?;
    Ok(())
}
