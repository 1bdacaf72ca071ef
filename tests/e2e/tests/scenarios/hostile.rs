//! What hostile policies do to others: nothing (issue 4).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::policy_healthy as reason;
use hera_tests_e2e::{Instance, Scenario, Signal, Space, Writer, millis, module, padded};

use crate::policies::{RULES, swap, with_worker, worker_spec};

pub const ALL: &[Scenario] = scenarios![Alone;
    a_flood_of_bad_modules_in_one_namespace_delays_no_other,
    modules_that_wear_the_compiler_out_delay_no_other_namespace,
    a_server_recovers_under_an_endless_loop_as_fast_as_without,
];

/// While one namespace brings another bad module every few milliseconds, each of them new, a swap
/// in another namespace shows as soon as ever.
async fn a_flood_of_bad_modules_in_one_namespace_delays_no_other(space: &Space<'_>) -> Result<()> {
    let (permissive, strict, panic) = tokio::try_join!(
        module("acl-presets"),
        module("acl-no-delete"),
        module("panic")
    )?;
    let (_instance, login) = with_worker(space, &permissive).await?;
    let mut client = login.connect().await?;
    let noisy = space.beside("flood").await?;
    let (flooded, _) = with_worker(&noisy, &permissive).await?;
    let stop = AtomicBool::new(false);
    let flood = async {
        let mut sent: u32 = 0;
        while !stop.load(Ordering::Relaxed) {
            // Loads as any other and fails when it is asked: what costs the operator most.
            let bad = padded(&panic, &sent.to_le_bytes());
            noisy.put_policy(RULES, &bad).await?;
            sent += 1;
        }
        anyhow::Ok(sent)
    };
    let swaps = async {
        flooded
            .wait_condition(reason::TYPE, "False", reason::TRAP)
            .await?;
        let mut times = Vec::new();
        for round in 0..6 {
            let deletes = round % 2 == 1;
            let module = if deletes { &permissive } else { &strict };
            times.push(swap(space, &mut client, module, deletes).await?);
        }
        stop.store(true, Ordering::Relaxed);
        anyhow::Ok(times)
    };
    let (sent, times) = tokio::try_join!(flood, swaps)?;
    noisy.clear().await?;
    let figures = &space.bed().figures;
    figures.note_times("policy swapped while another namespace floods", &times);
    figures.note("bad modules that it brought meanwhile", sent.to_string());
    let mut sorted = times.clone();
    sorted.sort();
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    // A queue behind the flood would take as long as that lasts, each time; noise of two cores, a second or so.
    ensure!(
        median < Duration::from_secs(3),
        "a swap took {} ms",
        median.as_millis()
    );
    Ok(())
}

/// The same with modules that take all the processor time that they may, one after another.
async fn modules_that_wear_the_compiler_out_delay_no_other_namespace(
    space: &Space<'_>,
) -> Result<()> {
    let (permissive, strict, slow) = tokio::try_join!(
        module("acl-presets"),
        module("acl-no-delete"),
        module("slow-to-compile")
    )?;
    let (_instance, login) = with_worker(space, &permissive).await?;
    let mut client = login.connect().await?;
    let noisy = space.beside("slow").await?;
    let (worn, _) = with_worker(&noisy, &permissive).await?;
    let mut times = Vec::new();
    for round in 0..4_u32 {
        // Another digest each time, so that no failure is remembered.
        let another = padded(&slow, &round.to_le_bytes());
        noisy.put_policy(RULES, &another).await?;
        worn.wait_condition(reason::TYPE, "True", reason::LOADING)
            .await?;
        let deletes = round % 2 == 1;
        let module = if deletes { &permissive } else { &strict };
        times.push(swap(space, &mut client, module, deletes).await?);
    }
    worn.wait_condition(reason::TYPE, "False", reason::LOAD_FAILED)
        .await?;
    noisy.clear().await?;
    space.bed().figures.note_times(
        "policy swapped while another namespace's module wears the compiler out",
        &times,
    );
    let longest = times.iter().max().copied().unwrap_or_default();
    ensure!(
        longest < Duration::from_secs(1),
        "a swap took {} ms",
        longest.as_millis()
    );
    Ok(())
}

/// Healing never waits for a policy: with one that loops the same fault takes no longer.
async fn a_server_recovers_under_an_endless_loop_as_fast_as_without(
    space: &Space<'_>,
) -> Result<()> {
    let good = module("acl-presets").await?;
    // A server that dies again soon waits longer before it starts: one fault for each instance.
    let (healthy, _) = with_worker(space, &good).await?;
    let ill = space.ready("ill", worker_spec()).await?;
    let (more_healthy, more_ill) = (
        space.ready("more-healthy", worker_spec()).await?,
        space.ready("more-ill", worker_spec()).await?,
    );
    let mut without = Vec::new();
    for instance in [&healthy, &more_healthy] {
        without.push(kill_server(space, instance).await?);
    }
    space
        .put_policy(RULES, &module("endless-loop").await?)
        .await?;
    let mut with = Vec::new();
    for instance in [&ill, &more_ill] {
        instance
            .wait_condition(reason::TYPE, "False", reason::OUT_OF_FUEL)
            .await?;
        with.push(kill_server(space, instance).await?);
    }
    let figures = &space.bed().figures;
    figures.note_times("server killed: longest gap of a client", &without);
    figures.note_times(
        "server killed under an endless-loop policy: longest gap of a client",
        &with,
    );
    let (without, with) = (without.iter().min(), with.iter().min());
    let (without, with) = without.zip(with).context("no fault")?;
    // One call of the policy is ended after 200 ms, and a pass that waited for it would show.
    ensure!(
        *with < *without + Duration::from_millis(150),
        "{} with the loop, {} without",
        millis(*with),
        millis(*without)
    );
    Ok(())
}

/// Kills the server under a writer; gives the writer's longest gap.
async fn kill_server(space: &Space<'_>, instance: &Instance<'_>) -> Result<Duration> {
    let writer = Writer::start("service", instance.app().await?);
    writer.wait_for_more(50, Duration::from_secs(10)).await?;
    let run_id = instance.run_id().await?;
    let pid = instance.pid("redis-server").await?;
    space.bed().testbed.kill_process(pid, Signal::SIGKILL)?;
    writer.wait_for_more(50, Duration::from_secs(30)).await?;
    ensure!(
        instance.run_id().await? != run_id,
        "the fault did not happen"
    );
    Ok(writer.longest_gap())
}
