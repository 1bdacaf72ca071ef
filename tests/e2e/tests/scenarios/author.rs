//! The path of a policy's author: from nothing to a policy that decides, breaks, and decides again
//! (issue 4). Also what `docs/policies.md` says, in its order.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use hera_api::ShadowVerdict;
use hera_api::conditions::policy_healthy as reason;
use hera_tests_e2e::{
    Instance, Login, Scenario, Space, is_denied, millis, module, plugin, text, wait_for,
};
use serde_json::{Value, json};

pub const ALL: &[Scenario] = scenarios![Alone;
    an_author_gets_from_nothing_to_a_policy_that_decides,
];

const SOON: Duration = Duration::from_secs(20);
const NAME: &str = "team-acl";

async fn an_author_gets_from_nothing_to_a_policy_that_decides(space: &Space<'_>) -> Result<()> {
    let bed = space.bed();
    let figures = &bed.figures;
    let work = tempfile::tempdir()?;
    let home = work.path();
    let folder = home.join(NAME);

    // New, edit, test, build, check.
    let start = Instant::now();
    bed.hera(home, &["policy", "new", "acl", NAME])
        .await?
        .with_code(0)?;
    // The versions that this repository uses are on this machine already.
    fs::copy(bed.repo().join("Cargo.lock"), folder.join("Cargo.lock"))?;
    let cargo = Path::new("cargo");
    let native = plugin::run(cargo, &["test"], &folder).await?;
    native
        .with_code(0)
        .context("a new crate passes its tests at once")?;
    edit(&folder)?;
    let native = plugin::run(cargo, &["test"], &folder).await?;
    native.with_code(0).context("after the edit")?;
    bed.hera(&folder, &["policy", "build"])
        .await?
        .with_code(0)?;
    let checked = bed
        .hera(&folder, &["policy", "check", "policy.wasm"])
        .await?;
    let checked = checked.with_code(0)?;
    ensure!(checked.contains("2 cases"), "{checked}");
    let built = start.elapsed();

    // Into the cluster, in the shadow first.
    let (instance, login) = worker(space).await?;
    let mut client = login.connect().await?;
    ensure!(may_script(&mut client).await?, "the built-in denies EVAL");
    let namespace = space.namespace();
    let apply = [
        "-n",
        namespace,
        "policy",
        "apply",
        "policy.wasm",
        "--configmap",
        NAME,
    ];
    let start = Instant::now();
    let applied = bed.hera(&folder, &apply).await?.with_code(0)?;
    let digest = hera_core::digest::of(&fs::read(folder.join("policy.wasm"))?);
    ensure!(applied.contains(&digest), "{applied}");
    let shadow = json!({"policies": {"acl": {"shadow": {"configMapRef": {"name": NAME}}}}});
    instance.patch_spec(shadow).await?;
    wait_for("the shadow differs as expected", SOON, async || {
        let status = instance.status().await?;
        let policy = status.policies.first().context("no status.policies")?;
        let shadow = policy.shadow.as_ref().context("no shadow")?;
        let message = shadow.message.clone().unwrap_or_default();
        ensure!(
            shadow.verdict == ShadowVerdict::Differs && message.contains("adds -@scripting"),
            "it is {shadow:?}"
        );
        Ok(())
    })
    .await?;
    ensure!(may_script(&mut client).await?, "a shadow changes rights");
    let active = json!({"policies": {"acl": {
        "shadow": null, "configMapRef": {"name": NAME},
    }}});
    instance.patch_spec(active).await?;
    instance.wait_policy(&digest).await?;
    wait_for("EVAL is denied", SOON, async || {
        ensure!(!may_script(&mut client).await?, "it is allowed");
        Ok(())
    })
    .await?;
    let shipped = start.elapsed();

    // What people see of it.
    let tree = bed
        .hera(home, &["-n", namespace, "status", "cache"])
        .await?;
    let tree = tree.with_code(0)?;
    ensure!(tree.contains("configMap team-acl"), "{tree}");
    let list = bed.hera(home, &["-n", namespace, "policy", "list"]).await?;
    ensure!(list.text.contains("True AsExpected"), "{}", list.text);
    replay(space, home, &folder).await?;

    // A broken version; a restart of the operator; the correction.
    space.put_policy(NAME, &module("garbage").await?).await?;
    let words = instance
        .wait_condition(reason::TYPE, "False", reason::LOAD_FAILED)
        .await?;
    ensure!(words.contains("Malformed"), "{words}");
    let operator = bed.operator();
    for pod in operator.pods().await? {
        let name = pod.metadata.name.unwrap_or_default();
        operator.delete_pod(&name).await?;
    }
    operator.wait_rolled_out(Duration::from_secs(60)).await?;
    operator.wait_leader(&[], Duration::from_secs(30)).await?;
    instance
        .wait_condition(reason::TYPE, "False", reason::LOAD_FAILED)
        .await?;
    ensure!(
        !may_script(&mut client).await?,
        "the last good one does not decide any more"
    );
    bed.hera(&folder, &apply).await?.with_code(0)?;
    instance.wait_policy(&digest).await?;
    instance
        .wait_condition(reason::TYPE, "True", reason::AS_EXPECTED)
        .await?;
    figures.note("author: new -> test -> build -> check", millis(built));
    figures.note(
        "author: apply -> shadow -> active -> on the server",
        millis(shipped),
    );
    Ok(())
}

/// Without scripts whatever the settings say.
fn edit(folder: &Path) -> Result<()> {
    let file = folder.join("src/lib.rs");
    let code = fs::read_to_string(&file)?;
    let condition = "if settings.no_scripts && input";
    ensure!(code.contains(condition), "the template has changed");
    let code = code
        .replace(condition, "if input")
        .replace("settings: &Settings, input", "_: &Settings, input");
    fs::write(file, code)?;
    Ok(())
}

/// The log of the leading operator, made again with another module: the old one differs, the same
/// one does not.
async fn replay(space: &Space<'_>, home: &Path, folder: &Path) -> Result<()> {
    let bed = space.bed();
    let words = [
        "-n",
        space.namespace(),
        "-o",
        "json",
        "policy",
        "log",
        "cache",
    ];
    let log = bed.hera(home, &words).await?.with_code(0)?;
    let records: Value = serde_json::from_str(&log)?;
    let last = records.as_array().and_then(|all| all.last());
    let last = last.context("the log is empty")?;
    ensure!(!log.contains("of-the-worker"), "a password is in the log");
    fs::write(home.join("log.json"), serde_json::to_vec(&[last])?)?;
    let log = home.join("log.json").display().to_string();
    let same = ["policy", "replay", &log, "--with", "policy.wasm"];
    bed.hera(folder, &same).await?.with_code(0)?;
    let other = home.join("presets.wasm");
    fs::write(&other, module("acl-presets").await?.bytes)?;
    let other = other.display().to_string();
    let differs = ["policy", "replay", &log, "--with", &other];
    let differs = bed.hera(folder, &differs).await?.with_code(1)?;
    ensure!(differs.contains("lacks -@scripting"), "{differs}");
    Ok(())
}

async fn worker<'a>(space: &'a Space<'_>) -> Result<(Instance<'a>, Login)> {
    space
        .put_secret("worker", &[("password", "of-the-worker")])
        .await?;
    let spec = json!({"users": [{
        "name": "worker", "preset": "ReadWrite", "keys": ["app:*"],
        "passwordSecretRef": {"name": "worker"},
    }]});
    let instance = space.ready("cache", spec).await?;
    let login = Login::new(&instance.cluster_ip().await?, "worker", "of-the-worker");
    Ok((instance, login))
}

async fn may_script(client: &mut redis::aio::MultiplexedConnection) -> Result<bool> {
    match text(client, &["EVAL", "return 'ok'", "0"]).await {
        Ok(_) => Ok(true),
        Err(error) if is_denied(&error) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
