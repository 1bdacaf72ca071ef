use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use hera_testbed::Testbed;
use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::{Audit, Figures, Operator};

/// The images that the testbed has loaded, in place of the public ones of `deploy/`.
const CATALOG: &str = r#"{"apiVersion": "v1", "kind": "ConfigMap",
    "metadata": {"name": "hera-catalog", "namespace": "hera-system"},
    "data": {"redis-6.2": "localhost/redis:6.2", "redis-7.0": "localhost/redis:7.0.15", "redis-7.2": "localhost/redis:7.2.4",
        "redis-8.0": "localhost/redis:8.0", "valkey-8.1": "localhost/valkey:8.1"}}"#;

/// The testbed with the operator on it.
pub struct Bed {
    /// The testbed's own faults and files.
    pub testbed: Testbed,
    /// Speaks to the API server as the administrator.
    pub client: Client,
    /// What scenarios measured.
    pub figures: Figures,
    repo: PathBuf,
}

/// A forwarded port, until it is dropped. It dies as well when nobody takes what it prints.
pub struct Forward {
    _child: Child,
    _lines: Lines<BufReader<ChildStdout>>,
}

impl Bed {
    /// The running testbed of this clone.
    ///
    /// # Errors
    /// When none runs; the message says how to get one.
    pub async fn attach() -> Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let repo = here
            .ancestors()
            .nth(2)
            .context("this crate is not in tests/e2e")?
            .to_path_buf();
        let testbed = Testbed::attach(&repo)
            .context("the scenarios need the testbed: run `make testbed-up image` first")?;
        let file = Kubeconfig::read_from(testbed.kubeconfig())?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        let client = Client::try_from(config)?;
        Ok(Self {
            testbed,
            client,
            figures: Figures::default(),
            repo,
        })
    }

    /// The repository's root.
    pub fn repo(&self) -> &Path {
        &self.repo
    }

    /// The pid on the host of a process of a pod.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn pid_in(&self, pod: &Pod, program: &str) -> Result<i32> {
        let uid = pod.uid().context("a pod without uid")?;
        let processes = self.testbed.pod_processes(&uid)?;
        let runs = |cmdline: &str| {
            let path = cmdline.split(' ').next();
            path.is_some_and(|path| path.ends_with(program))
        };
        let found = processes.iter().find(|process| runs(&process.cmdline));
        Ok(found
            .with_context(|| format!("no {program} among {processes:?}"))?
            .pid)
    }

    /// Installs the operator as the documentation says, with the testbed's catalog, and waits
    /// until it is available. `fresh`: also starts it again, as its image may be a newer one under
    /// the old name.
    ///
    /// # Errors
    /// When it does not become available.
    pub async fn install(&self, fresh: bool) -> Result<()> {
        self.kubectl(&["apply", "-f", "deploy/crd/"]).await?;
        self.kubectl(&["apply", "-f", "deploy/manager/"]).await?;
        self.apply("hera-system", CATALOG).await?;
        if fresh {
            self.kubectl(&[
                "-n",
                "hera-system",
                "rollout",
                "restart",
                "deployment/hera-operator",
            ])
            .await?;
        }
        self.operator()
            .wait_rolled_out(Duration::from_secs(90))
            .await
            .context("the operator does not become available: was its image built? `make image`")
    }

    /// The installed operator.
    pub fn operator(&self) -> Operator<'_> {
        Operator::new(self)
    }

    /// From now on: who asks the API server for what.
    ///
    /// # Errors
    /// When there is no audit log.
    pub fn audit(&self) -> Result<Audit> {
        Audit::from_now(self.testbed.audit_log())
    }

    /// Runs kubectl in the repository's root, as the administrator, for at most a minute.
    ///
    /// # Errors
    /// With what it said, when it fails.
    pub async fn kubectl(&self, words: &[&str]) -> Result<String> {
        self.kubectl_with(words, "").await
    }

    /// `kubectl apply -f -` in a namespace.
    ///
    /// # Errors
    /// With what it said, when it is refused.
    pub async fn apply(&self, namespace: &str, manifest: &str) -> Result<String> {
        self.kubectl_with(&["-n", namespace, "apply", "-f", "-"], manifest)
            .await
    }

    /// Runs `kubectl port-forward …` until the second value is dropped; the first is where it
    /// listens.
    ///
    /// # Errors
    /// When it does not within a while.
    pub async fn forward(&self, words: &[&str]) -> Result<(String, Forward)> {
        let mut child = self.command(words).spawn()?;
        let out = child.stdout.take().context("kubectl prints nothing")?;
        let mut lines = BufReader::new(out).lines();
        let first = tokio::time::timeout(Duration::from_secs(20), lines.next_line());
        let line = first.await.context("port-forward")??.unwrap_or_default();
        let address = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split(' ').next())
            .with_context(|| format!("kubectl says '{line}'"))?;
        let forward = Forward {
            _child: child,
            _lines: lines,
        };
        Ok((address.to_owned(), forward))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(self.repo.join(".testbed/bin/kubectl"));
        command
            .arg("--kubeconfig")
            .arg(self.testbed.kubeconfig())
            .args(words)
            .current_dir(&self.repo)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    async fn kubectl_with(&self, words: &[&str], input: &str) -> Result<String> {
        let mut child = self
            .command(words)
            .arg("--request-timeout=50s")
            .spawn()
            .context("kubectl does not start: run `make testbed-up`")?;
        let mut stdin = child
            .stdin
            .take()
            .ok_or_else(|| anyhow!("kubectl takes no input"))?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(60), child.wait_with_output())
            .await
            .map_err(|_| anyhow!("kubectl {} takes more than a minute", words.join(" ")))??;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        bail!(
            "kubectl {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        )
    }
}
