//! `docs/policies.md` as its reader goes through it: every block of it, as written (issue 4).

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use hera_api::ShadowVerdict;
use hera_tests_e2e::{Instance, Scenario, Space, plugin, wait_for};
use serde_json::json;

pub const ALL: &[Scenario] = scenarios![Alone;
    the_guide_for_authors_runs_as_written,
];

const OBJECT: &str = "my-redis";
const POLICY: &str = "team-acl";
/// The one line in the text, outside of blocks, that a reader may type.
const WITHOUT_CHECK: &str = "kubectl create configmap team-acl --from-file=policy.wasm";

/// A fenced block: its language and what it holds.
struct Block {
    language: String,
    text: String,
}

async fn the_guide_for_authors_runs_as_written(space: &Space<'_>) -> Result<()> {
    let guide = fs::read_to_string(space.bed().repo().join("docs/policies.md"))?;
    let blocks = blocks(&guide);
    let instance = space.ready(OBJECT, json!({})).await?;
    let reader = Reader::new(space).await?;
    let crate_folder = reader.home().join(POLICY);
    let mut seen = String::new();
    for block in &blocks {
        seen.push_str(&block.language);
        seen.push(' ');
        match block.language.as_str() {
            "sh" => reader.run(&block.text).await?,
            "rust" => fs::write(crate_folder.join("src/lib.rs"), &block.text)?,
            "json" => {
                fs::write(crate_folder.join("cases/of-the-guide.json"), &block.text)?;
                // What was typed first, now with the code and the case of the text.
                reader
                    .run("cargo test\nkubectl hera policy build\nkubectl hera policy check policy.wasm")
                    .await?;
            }
            "yaml" => {
                reader.patch(&block.text).await?;
                expect(&instance, &crate_folder, &block.text).await?;
            }
            other => anyhow::bail!("nobody runs a block of {other}"),
        }
    }
    ensure!(
        seen == "sh rust json sh yaml yaml sh ",
        "the guide has other blocks than this knows: {seen}"
    );
    ensure!(guide.contains(WITHOUT_CHECK), "the guide has lost a line");
    reader
        .run(&format!(
            "kubectl delete configmap {POLICY}\n{WITHOUT_CHECK}"
        ))
        .await?;
    reader
        .run("kubectl hera policy list\nkubectl hera status my-redis")
        .await
}

/// What a manifest of the guide leads to.
async fn expect(instance: &Instance<'_>, folder: &Path, manifest: &str) -> Result<()> {
    let digest = hera_core::digest::of(&fs::read(folder.join("policy.wasm"))?);
    if !manifest.contains("shadow") {
        return instance.wait_policy(&digest).await;
    }
    let bound = std::time::Duration::from_secs(20);
    wait_for("the shadow answers", bound, async || {
        let status = instance.status().await?;
        let policy = status.policies.first().context("no status.policies")?;
        let shadow = policy.shadow.as_ref().context("no shadow")?;
        // With default settings the policy of the guide grants what the built-in does.
        ensure!(shadow.verdict == ShadowVerdict::Same, "it is {shadow:?}");
        Ok(())
    })
    .await
}

/// A person at a terminal: a folder of their own, the plugin in their PATH, a namespace chosen.
struct Reader {
    home: tempfile::TempDir,
    before: String,
    /// Where `cd` in an earlier block has led to.
    place: std::path::PathBuf,
}

impl Reader {
    async fn new(space: &Space<'_>) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let bin = space.bed().repo().join(".testbed/bin");
        let plugin = plugin::program()?;
        let plugins = plugin.parent().context("no folder")?;
        let config = home.path().join("kubeconfig");
        fs::copy(space.bed().repo().join(".testbed/kubeconfig"), &config)?;
        let before = format!(
            "set -eu\nexport PATH={}:{}:$PATH KUBECONFIG={}\n",
            plugins.display(),
            bin.display(),
            config.display()
        );
        let reader = Self {
            before,
            place: home.path().join("place"),
            home,
        };
        let namespace = space.namespace();
        let choose = format!("kubectl config set-context --current --namespace={namespace}");
        reader.run(&choose).await?;
        Ok(reader)
    }

    fn home(&self) -> &Path {
        self.home.path()
    }

    async fn run(&self, commands: &str) -> Result<()> {
        let place = self.place.display();
        let script = format!(
            "{}if [ -e {place} ]; then cd \"$(cat {place})\"; fi\n{commands}\npwd > {place}\n",
            self.before
        );
        let said = plugin::run(Path::new("bash"), &["-c", &script], self.home()).await?;
        said.with_code(0).with_context(|| commands.to_owned())?;
        Ok(())
    }

    async fn patch(&self, spec: &str) -> Result<()> {
        let file = self.home().join("patch.yaml");
        // A reader who goes on to the shadow takes the policy away, as the comment there says.
        let spec = if spec.contains("shadow") {
            spec.replace(
                "      shadow:",
                "      configMapRef: null\n      settings: null\n      shadow:",
            )
        } else {
            spec.to_owned()
        };
        fs::write(&file, spec)?;
        let file = file.display();
        self.run(&format!(
            "kubectl patch redisinstance {OBJECT} --type merge --patch-file {file}"
        ))
        .await
    }
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            continue;
        };
        let inside = lines.by_ref().take_while(|line| !line.starts_with("```"));
        found.push(Block {
            language: language.to_owned(),
            text: inside.collect::<Vec<_>>().join("\n"),
        });
    }
    found
}
