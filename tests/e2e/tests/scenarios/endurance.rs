//! What many faults of policies leave behind in the operator's pod: nothing (issue 4).

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_api::conditions::policy_healthy as reason;
use hera_tests_e2e::{Instance, Operator, Scenario, Space, module, wait_for};
use serde_json::json;

use crate::policies::RULES;

pub const ALL: &[Scenario] = scenarios![Alone;
    many_faults_leave_the_operators_memory_as_it_was,
];

/// `make report` asks for 10 000.
const FAULTS: &str = "HERA_E2E_FAULTS";
const DEFAULT: usize = 250;
const MANY: usize = 10_000;
/// At least, before the first look: caches fill, the allocator gets its arenas.
const WARM_UP: usize = 150;
const OBJECTS: usize = 12;
const TRAPS: &str = "hera_policy_decisions_total{decision=\"acl\",outcome=\"Trap\"";

/// Each change of the settings is a new question to a policy that crashes.
async fn many_faults_leave_the_operators_memory_as_it_was(space: &Space<'_>) -> Result<()> {
    let wanted = match std::env::var(FAULTS) {
        Ok(number) => number.parse().context(FAULTS)?,
        Err(_) => DEFAULT,
    };
    space
        .put_policy(RULES, &module("acl-presets").await?)
        .await?;
    let spec = json!({"policies": {"acl": {"configMapRef": {"name": RULES}}}});
    let names: Vec<String> = (0..OBJECTS)
        .map(|number| format!("cache-{number}"))
        .collect();
    let made = names.iter().map(|name| space.ready(name, spec.clone()));
    let instances = futures::future::try_join_all(made).await?;
    space.put_policy(RULES, &module("panic").await?).await?;
    for instance in &instances {
        instance
            .wait_condition(reason::TYPE, "False", reason::TRAP)
            .await?;
    }
    let operator = space.bed().operator();
    provoke(&operator, &instances, WARM_UP.max(wanted / 10)).await?;
    let before = resident(&operator).await?;
    provoke(&operator, &instances, wanted).await?;
    let after = resident(&operator).await?;
    space.bed().figures.note(
        format!("resident memory of the operator that leads, before and after {wanted} faults"),
        format!("{before:.1} and {after:.1} MiB"),
    );
    // Few faults are soon over, and caches still fill: they show a leak, many show a tendency.
    let most = match wanted < MANY {
        true => before + 16.0,
        false => before * 1.1,
    };
    ensure!(
        after <= most,
        "{before:.1} MiB before and {after:.1} MiB after {wanted} faults"
    );
    Ok(())
}

/// Makes the policies of all instances crash until they have so often in all.
async fn provoke(operator: &Operator<'_>, instances: &[Instance<'_>], faults: usize) -> Result<()> {
    let start = operator.metric(TRAPS).await?;
    let bound = Duration::from_secs(30 + faults as u64 / 10);
    let mut round = 0_u64;
    wait_for("the faults", bound, async || {
        round += 1;
        let settings = json!({"policies": {"acl": {"settings": {"round": round}}}});
        let patches = instances
            .iter()
            .map(|instance| instance.patch_spec(settings.clone()));
        futures::future::try_join_all(patches).await?;
        let seen = operator.metric(TRAPS).await? - start;
        ensure!(seen >= faults as f64, "{seen} of {faults}");
        Ok(())
    })
    .await
}

/// Resident memory in MiB of the pod that leads.
async fn resident(operator: &Operator<'_>) -> Result<f64> {
    let leader = operator.leader().await?;
    let usage = operator.usage().await?;
    let of_leader = usage.into_iter().find(|(pod, _)| *pod == leader);
    Ok(of_leader.context("no leader")?.1.rss_mib)
}
