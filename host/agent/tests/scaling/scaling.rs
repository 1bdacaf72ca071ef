//! Three shards become five, and three again, while clients write.

use std::time::{Duration, Instant};

use hera_core::cluster::{Server, SlotSet, Way};

use crate::audit::{audit, clean, tool};
use crate::case::Case;
use crate::data::Data;
use crate::driver::{Driver, Pass};
use crate::fleet::{Fleet, ROOT, table};
use crate::load::Load;
use crate::number;
use crate::sender::connect;
use crate::slots::of_moves;
use crate::wait::until;

facts!(
    keys_redis_7_2,
    KEYS,
    three_shards_become_five_and_three_again
);
facts!(
    import_redis_8_6,
    IMPORT,
    three_shards_become_five_and_three_again
);
facts!(
    export_valkey_9_1,
    EXPORT,
    three_shards_become_five_and_three_again
);

/// Keys of a landing; more are a measurement.
const FEW: u64 = 20_000;
/// Slots for each new shard of a landing where each costs a write to disk at both ends.
const SHARE: usize = 300;
/// The last slot of the first of three shards: it moves out, and back in.
const LAST: u16 = 5_460;
/// The large hash may hold up clients for longer than the default allows, where it goes in one piece.
const STALL_MS: u64 = 3_000;

async fn three_shards_become_five_and_three_again(case: Case) {
    let keys = number("HERA_SCALING_KEYS").unwrap_or(FEW);
    let is_measured = keys > FEW;
    let share = (case.way == Way::Keys && !is_measured).then_some(SHARE);
    let mut driver = Driver::formed(case, 3, 1).await;
    driver.allow(STALL_MS);
    let data = Data::write(&driver.fleet.owners().await, keys, LAST).await;
    let load = Load::start(driver.fleet.seeds(), "load").await;
    let all = data.count() + load.keys();

    driver.scale_out(5, share).await;
    leg(&mut driver, &data, &load, "3 to 5 shards").await;
    data.check(&driver.fleet.owners().await).await;
    audit(&mut driver.fleet, all).await;

    assert_eq!(load.unknown(), 0, "a connection broke, and no server ended");

    driver.scale_in(3).await;
    leg(&mut driver, &data, &load, "5 to 3 shards").await;
    assert!(driver.fleet.pods.iter().all(|placed| placed.shard < 3));
    let verdict = load.end(&SlotSet::default()).await;
    assert!(verdict.wrong.is_empty(), "{verdict:#?}");
    let (written, unknown) = (verdict.acknowledged, verdict.unknown);
    println!(
        "FIGURE {}: {written} writes meanwhile, and {unknown} whose answer was lost: none lost or doubled",
        case.name()
    );
    data.check(&driver.fleet.owners().await).await;
    audit(&mut driver.fleet, all).await;
    if is_measured {
        by_the_servers_tool(&mut driver, &data).await;
    }
}

/// Moves all that is planned, and tells how that went.
async fn leg(driver: &mut Driver, data: &Data, load: &Load, what: &str) {
    let keys = data.within(&of_moves(&driver.status.moves));
    assert!(keys > 0);
    let (moves, before) = (driver.status.moves.clone(), load.acknowledged());
    load.longest_gap();
    let begins = format!("{what}: slots begin to move");
    driver.until(&begins, Pass::moves).await;
    let took = driver.until(what, Pass::has_moved_all).await;
    driver
        .until_at_rest(&format!("{what}: all is at rest"))
        .await;
    let during = load.acknowledged() - before;
    // Each of four clients writes every few milliseconds.
    let least = u64::try_from(took.as_millis() / 50).unwrap();
    assert!(during > least, "{during} writes in {took:?}");
    let how = format!("{:?}", driver.fleet.case.way);
    let slots = of_moves(&moves);
    figure(
        driver.fleet.case,
        &format!("{what} by {how}"),
        &slots,
        keys,
        took,
        load,
    );
    load.goes_on().await;
}

fn figure(case: Case, what: &str, slots: &SlotSet, keys: usize, took: Duration, load: &Load) {
    let (slots, seconds) = (slots.len(), took.as_secs_f64());
    let a_second = u128::try_from(keys).unwrap() * 1_000 / took.as_millis().max(1);
    let gap = load.longest_gap().as_millis();
    println!(
        "FIGURE {}: {what}: {slots} slots with {keys} keys in {seconds:.1} s, {a_second} keys/s, longest gap {gap} ms",
        case.name()
    );
}

/// Until the server's tool can move slots: each server holds the cluster for whole, all say the same of it, and one may
/// log in at any other, which ours do for a while only.
async fn make_ready(fleet: &Fleet) {
    for placed in &fleet.pods {
        let server = connect(&placed.address(), ROOT).await.unwrap();
        until(
            &format!("{} holds the cluster for whole", placed.name()),
            async || {
                let mut info = hera_redis::command("CLUSTER");
                info.arg("INFO");
                let told: String = server.ask("CLUSTER INFO", &info).await.unwrap();
                told.contains("cluster_state:ok").then_some(()).ok_or(told)
            },
        )
        .await;
        if fleet.case.way == Way::Export {
            let mut login = hera_redis::command("CONFIG");
            login.arg(&["SET", "primaryuser", ROOT, "primaryauth", ROOT]);
            let _: String = server.ask("CONFIG SET", &login).await.unwrap();
        }
    }
    until("the tool finds nothing, and all shards", async || {
        let text = clean(fleet)?;
        let primaries = text.lines().filter(|line| line.contains("slots | "));
        match primaries.count() {
            5 => Ok(()),
            _ => Err(text),
        }
    })
    .await;
}

/// The same once more, by the server's own tool, under the same load. What it does to keys is its own affair.
async fn by_the_servers_tool(driver: &mut Driver, data: &Data) {
    // For a minute servers do not hear of one that they forgot.
    driver.fleet.clear_left();
    driver.scale_out(5, None).await;
    // The tool moves what it likes to.
    driver.status.moves.clear();
    let joined = |pass: &Pass| {
        let nodes = &pass.seen.nodes;
        let servers: Option<Vec<_>> = nodes.iter().map(|node| node.server.as_ref()).collect();
        // One that is new may know another before that one knows it.
        let knows_all = |server: &&Server| {
            let mut known = server.known.iter();
            server.known.len() == nodes.len() && known.all(|entry| !entry.handshake)
        };
        let are_whole = |servers: Vec<&Server>| {
            let linked = servers.iter().filter(|server| server.link_up).count();
            linked == 5 && servers.iter().all(knows_all)
        };
        servers.is_some_and(are_whole) && pass.has_moved_all()
    };
    driver.until("two empty shards join", joined).await;
    make_ready(&driver.fleet).await;
    let load = Load::start(driver.fleet.seeds(), "beside").await;
    let more: &[&str] = match driver.fleet.case.way {
        Way::Export => &[
            "--cluster-use-empty-primaries",
            "--cluster-use-atomic-slot-migration",
        ],
        Way::Keys | Way::Import => &["--cluster-use-empty-masters", "--cluster-pipeline", "100"],
    };
    let mut command = tool(&driver.fleet, "rebalance", more);
    command.args(["--cluster-threshold", "1", "--cluster-timeout", "10000"]);
    let since = Instant::now();
    let said = tokio::task::spawn_blocking(move || command.output()).await;
    let (said, took) = (said.unwrap().unwrap(), since.elapsed());
    // What it says of a migration that failed is no exit code.
    let text = String::from_utf8_lossy(&said.stdout);
    let done = said.status.success() && !text.contains("failed");
    assert!(done, "the server's tool moves slots: {text}");
    let owners = table(&driver.fleet.observe(true).await);
    let new = owners.iter().filter(|(shard, _)| **shard >= 3);
    let slots = new.fold(SlotSet::default(), |all, (_, slots)| all.with(slots));
    let what = "3 to 5 shards by the server's tool";
    figure(
        driver.fleet.case,
        what,
        &slots,
        data.within(&slots),
        took,
        &load,
    );
    let verdict = load.end(&SlotSet::default()).await;
    println!(
        "FIGURE {}: {} of its writes are wrong",
        driver.fleet.case.name(),
        verdict.wrong.len()
    );
}
