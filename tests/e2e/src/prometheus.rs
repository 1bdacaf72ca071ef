use std::fs::{self, File};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use hera_testbed::Layout;
use k8s_openapi::api::core::v1::Pod;
use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::http::{http_get, http_get_url};
use crate::{Bed, monitors, wait_for};

/// Between two looks at its targets, and at its rules.
const EVERY: &str = "2s";
/// Long enough on a busy machine; what is expected takes a second or two.
const LIMIT: Duration = Duration::from_secs(60);
/// Lines of its log that tell why it does not answer.
const LAST_WORDS: usize = 5;
/// promtool has read everything, and knows better names for some of it.
const HAS_ADVICE: i32 = 3;

/// A Prometheus beside the testbed, with the monitors and rules of `deploy/monitoring`, until it is dropped.
pub struct Prometheus {
    // Ends before its folder goes.
    _program: Child,
    address: String,
    folder: TempDir,
}

/// An alert as Prometheus tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub name: String,
    /// `pending` or `firing`.
    pub state: String,
}

impl Prometheus {
    /// Starts one that looks at the operator and at the data pods of a namespace. What an alert has to wait for is
    /// `hold`. `make promtool` builds it; else it is built here, which takes minutes.
    ///
    /// # Errors
    /// When it does not answer within a while.
    pub async fn start(bed: &Bed, namespace: &str, hold: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = json!({
            "global": {
                "scrape_interval": EVERY,
                "scrape_timeout": EVERY,
                "evaluation_interval": EVERY,
            },
            "rule_files": ["rules.yaml"],
            "scrape_configs": [monitors::pods(bed, namespace)?, monitors::operator(bed)?],
        });
        // JSON is YAML.
        fs::write(folder.path().join("prometheus.yaml"), config.to_string())?;
        fs::write(
            folder.path().join("rules.yaml"),
            monitors::rules(bed, hold)?,
        )?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let program = Command::new(programs(bed)?.join("prometheus"))
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.path().join("log"))?)
            .spawn()
            .context("Prometheus does not start")?;
        let started = Self {
            _program: program,
            address,
            folder,
        };
        wait_for("Prometheus answers", LIMIT, async || {
            let answer = http_get(&started.address, "/-/ready").await;
            answer.with_context(|| started.last_words())
        })
        .await?;
        Ok(started)
    }

    /// What a query gives.
    ///
    /// # Errors
    /// When it is none.
    pub async fn query(&self, query: &str) -> Result<Vec<Value>> {
        let mut url = Url::parse(&format!("http://{}/api/v1/query", self.address))?;
        url.query_pairs_mut().append_pair("query", query);
        let answer = http_get_url(url).await.with_context(|| query.to_owned())?;
        found(&answer, "/data/result")
    }

    /// The alerts about a namespace.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn alerts(&self, namespace: &str) -> Result<Vec<Alert>> {
        let answer = http_get(&self.address, "/api/v1/alerts").await?;
        let all = found(&answer, "/data/alerts")?;
        let text = |alert: &Value, pointer: &str| {
            let text = alert.pointer(pointer).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let about = all
            .iter()
            .filter(|alert| text(alert, "/labels/namespace") == namespace);
        let told = about.map(|alert| Alert {
            name: text(alert, "/labels/alertname"),
            state: text(alert, "/state"),
        });
        Ok(told.collect())
    }

    /// What it scrapes, each with its health.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn targets(&self) -> Result<Vec<Value>> {
        let answer = http_get(&self.address, "/api/v1/targets?state=active").await?;
        found(&answer, "/data/activeTargets")
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        let mut lines: Vec<&str> = log.lines().rev().take(LAST_WORDS).collect();
        lines.reverse();
        lines.join("\n")
    }
}

fn found(answer: &str, pointer: &str) -> Result<Vec<Value>> {
    let answer: Value = serde_json::from_str(answer)?;
    let list = answer.pointer(pointer).and_then(Value::as_array).cloned();
    list.with_context(|| format!("no {pointer} in {answer}"))
}

/// The folder with `prometheus` and `promtool`.
fn programs(bed: &Bed) -> Result<PathBuf> {
    hera_testbed::prometheus(&Layout::find(bed.repo())?)
}

impl Bed {
    /// What a pod serves as its metrics.
    ///
    /// # Errors
    /// When it does not.
    pub async fn metrics(&self, pod: &Pod, port: u16) -> Result<String> {
        let ip = pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        let ip = ip.context("no pod IP")?;
        http_get(&format!("{ip}:{port}"), "/metrics").await
    }

    /// What `promtool check metrics` would have otherwise in metrics that it can read, a line for each.
    ///
    /// # Errors
    /// When it cannot read them.
    pub async fn check_metrics(&self, metrics: &str) -> Result<Vec<String>> {
        let mut promtool = Command::new(programs(self)?.join("promtool"))
            .args(["check", "metrics"])
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("promtool does not start")?;
        let mut input = promtool.stdin.take().context("promtool takes no input")?;
        let (written, ended) = tokio::join!(
            async {
                input.write_all(metrics.as_bytes()).await?;
                input.shutdown().await?;
                drop(input);
                anyhow::Ok(())
            },
            tokio::time::timeout(LIMIT, promtool.wait_with_output()),
        );
        let output = ended.context("promtool does not end")??;
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        written.with_context(|| words.clone())?;
        let code = output.status.code();
        ensure!(
            code == Some(0) || code == Some(HAS_ADVICE),
            "exit code {code:?}: {words}"
        );
        Ok(words.lines().map(str::to_owned).collect())
    }
}
