use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::json;

use crate::http::http_get;
use crate::usage::Usage;
use crate::{Bed, EndsWatch, wait_for};

const NAMESPACE: &str = "hera-system";
const NAME: &str = "hera-operator";

/// The operator in the cluster.
pub struct Operator<'b> {
    bed: &'b Bed,
}

impl<'b> Operator<'b> {
    pub(crate) fn new(bed: &'b Bed) -> Self {
        Self { bed }
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.bed.client.clone(), NAMESPACE)
    }

    fn pods_api(&self) -> Api<Pod> {
        Api::namespaced(self.bed.client.clone(), NAMESPACE)
    }

    /// The Deployment.
    ///
    /// # Errors
    /// When it is not installed.
    pub async fn deployment(&self) -> Result<Deployment> {
        self.deployments()
            .get(NAME)
            .await
            .context("the operator is not installed")
    }

    /// The user that it is for the API server.
    ///
    /// # Errors
    /// When it is not installed.
    pub async fn user(&self) -> Result<String> {
        let spec = self
            .deployment()
            .await?
            .spec
            .and_then(|spec| spec.template.spec);
        let account = spec.and_then(|spec| spec.service_account_name);
        let account = account.context("no service account")?;
        Ok(format!("system:serviceaccount:{NAMESPACE}:{account}"))
    }

    /// Its pods that are not being deleted.
    ///
    /// # Errors
    /// When it is not installed.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let spec = self.deployment().await?.spec.context("no spec")?;
        let labels = spec.selector.match_labels.unwrap_or_default();
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let pods = self
            .pods_api()
            .list(&ListParams::default().labels(&labels.join(",")))
            .await?;
        let here = pods
            .items
            .into_iter()
            .filter(|pod| pod.metadata.deletion_timestamp.is_none());
        Ok(here.collect())
    }

    /// Looks at how its containers end from then on.
    pub fn watch_ends(&self, since: Timestamp) -> EndsWatch {
        EndsWatch::begin(self.pods_api(), since)
    }

    /// Waits until the Deployment as it stands is rolled out and available.
    ///
    /// # Errors
    /// After `bound`.
    pub async fn wait_rolled_out(&self, bound: Duration) -> Result<()> {
        wait_for("the operator is available", bound, async || {
            let object = self.deployment().await?;
            let wanted = object
                .spec
                .as_ref()
                .and_then(|spec| spec.replicas)
                .unwrap_or(1);
            let status = object.status.unwrap_or_default();
            ensure!(
                status.observed_generation == object.metadata.generation,
                "not seen yet"
            );
            for (what, count) in [
                ("updated", status.updated_replicas),
                ("available", status.available_replicas),
                ("existing", status.replicas),
            ] {
                let count = count.unwrap_or(0);
                ensure!(count == wanted, "{count} of {wanted} replicas are {what}");
            }
            Ok(())
        })
        .await
    }

    /// Waits until somebody leads who was not `before`; gives the holder of the Lease.
    ///
    /// # Errors
    /// After `bound`.
    pub async fn wait_leader(&self, before: &[&str], bound: Duration) -> Result<String> {
        wait_for(
            &format!("a leader other than {before:?}"),
            bound,
            async || {
                let holder = self.leader().await?;
                ensure!(!before.contains(&holder.as_str()), "{holder} leads");
                Ok(holder)
            },
        )
        .await
    }

    /// The pod that holds the Lease.
    ///
    /// # Errors
    /// When nobody does.
    pub async fn leader(&self) -> Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.bed.client.clone(), NAMESPACE);
        let spec = leases.get(NAME).await?.spec.unwrap_or_default();
        spec.holder_identity
            .filter(|holder| !holder.is_empty())
            .context("nobody leads")
    }

    /// The term of the one that leads.
    ///
    /// # Errors
    /// When there is no Lease.
    pub async fn term(&self) -> Result<u64> {
        let leases: Api<Lease> = Api::namespaced(self.bed.client.clone(), NAMESPACE);
        let lease = leases.get(NAME).await?;
        let term = lease.annotations().get("cache.hera.io/term");
        Ok(term.context("the Lease has no term")?.parse()?)
    }

    /// Kills all processes of a pod of it, by the pod's name.
    ///
    /// # Errors
    /// When it has none.
    pub async fn kill(&self, pod: &str) -> Result<()> {
        let uid = self.pods_api().get(pod).await?.uid().unwrap_or_default();
        let killed = self.bed.testbed.kill_pod(&uid)?;
        ensure!(killed > 0, "{pod} had no process");
        Ok(())
    }

    /// Deletes a pod of it without grace.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn delete_pod(&self, pod: &str) -> Result<()> {
        let at_once = kube::api::DeleteParams::default().grace_period(0);
        self.pods_api().delete(pod, &at_once).await?;
        Ok(())
    }

    /// Sets the number of replicas and waits for it.
    ///
    /// # Errors
    /// After a while.
    pub async fn scale(&self, replicas: i32) -> Result<()> {
        self.patch(json!({"spec": {"replicas": replicas}})).await?;
        self.wait_rolled_out(Duration::from_secs(60)).await?;
        wait_for(
            "the pods of the operator",
            Duration::from_secs(60),
            async || {
                let pods = self.pods().await?.len();
                ensure!(i32::try_from(pods)? == replicas, "there are {pods}");
                Ok(())
            },
        )
        .await
    }

    /// A strategic merge patch of the Deployment.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn patch(&self, patch: serde_json::Value) -> Result<()> {
        let patch = Patch::Strategic(patch);
        self.deployments()
            .patch(NAME, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// What its pods have taken until now, by pod.
    ///
    /// # Errors
    /// When /proc does not tell.
    pub async fn usage(&self) -> Result<Vec<(String, Usage)>> {
        let mut all = Vec::new();
        for pod in self.pods().await? {
            let taken = self.bed.usage(&pod, "")?;
            all.push((pod.name_any(), taken));
        }
        Ok(all)
    }

    /// Sum over all pods of the values of a metric whose line begins with `name`.
    ///
    /// # Errors
    /// When a pod does not answer.
    pub async fn metric(&self, name: &str) -> Result<f64> {
        let mut sum = 0.0;
        for pod in self.pods().await? {
            let ip = pod
                .status
                .and_then(|status| status.pod_ip)
                .context("no pod IP")?;
            let text = http_get(&format!("{ip}:8080"), "/metrics").await?;
            let values = text.lines().filter(|line| line.starts_with(name));
            sum += values
                .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
                .sum::<f64>();
        }
        Ok(sum)
    }

    /// The decision log about an object, through a forwarded port, as `kubectl hera` reads it.
    ///
    /// # Errors
    /// When the leader does not give it.
    pub async fn decisions(&self, namespace: &str, name: &str) -> Result<Vec<serde_json::Value>> {
        let leader = format!("pod/{}", self.leader().await?);
        let (address, _forward) = self
            .bed
            .forward(&["-n", NAMESPACE, "port-forward", &leader, ":8081"])
            .await?;
        let lines = http_get(&address, &format!("/decisions/{namespace}/{name}")).await?;
        lines
            .lines()
            .map(|line| serde_json::from_str(line).context("no decision"))
            .collect()
    }

    /// The last lines of its log that name a namespace.
    pub async fn log_about(&self, namespace: &str) -> String {
        let mut lines = Vec::new();
        for pod in self.pods().await.unwrap_or_default() {
            let name = pod.name_any();
            let words = ["-n", NAMESPACE, "logs", &name, "--tail=3000"];
            let log = self
                .bed
                .kubectl(&words)
                .await
                .unwrap_or_else(|error| error.to_string());
            let about = log.lines().filter(|line| line.contains(namespace));
            lines.extend(about.map(|line| format!("{name}: {line}")));
        }
        let skip = lines.len().saturating_sub(60);
        lines.split_off(skip).join("\n")
    }
}
