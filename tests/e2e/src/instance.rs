use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use hera_api::conditions::{policy_healthy, progressing, ready};
use hera_api::{RedisInstance, RedisInstanceStatus};
use k8s_openapi::api::core::v1::{ContainerStatus, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use redis::FromRedisValue;
use serde_json::{Value, json};

use crate::{Children, Login, Space, insider, not_yet, wait_for};

/// Long enough on a busy machine; what is expected takes a few seconds.
const READY_LIMIT: Duration = Duration::from_secs(90);
const CONDITION_LIMIT: Duration = Duration::from_secs(45);

/// A manifest of a small instance; `spec` overrides the fields that it names.
pub fn manifest(name: &str, spec: Value) -> String {
    let mut all = json!({
        "version": "7.2",
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"},
            "limits": {"memory": "128Mi"},
        },
    });
    if let (Some(all), Value::Object(spec)) = (all.as_object_mut(), spec) {
        all.extend(spec);
    }
    json!({
        "apiVersion": "cache.hera.io/v1alpha1",
        "kind": "RedisInstance",
        "metadata": {"name": name},
        "spec": all,
    })
    .to_string()
}

/// A `RedisInstance` in a scenario's namespace.
pub struct Instance<'a> {
    space: &'a Space<'a>,
    name: String,
}

impl<'a> Instance<'a> {
    pub(crate) fn new(space: &'a Space<'a>, name: &str) -> Self {
        Self {
            space,
            name: name.to_owned(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn space(&self) -> &'a Space<'a> {
        self.space
    }

    fn api(&self) -> Api<RedisInstance> {
        self.space.api()
    }

    /// The object as it is.
    ///
    /// # Errors
    /// When it is not there.
    pub async fn get(&self) -> Result<RedisInstance> {
        self.api()
            .get(&self.name)
            .await
            .with_context(|| format!("RedisInstance {}", self.name))
    }

    /// Its status.
    ///
    /// # Errors
    /// When it has none yet.
    pub async fn status(&self) -> Result<RedisInstanceStatus> {
        self.get().await?.status.context("no status yet")
    }

    /// One of its conditions.
    ///
    /// # Errors
    /// When it has none of this type yet.
    pub async fn condition(&self, type_: &str) -> Result<Condition> {
        let status = self.status().await?;
        let found = status
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == type_);
        found.with_context(|| format!("no condition {type_} yet"))
    }

    /// Waits for a condition with this status and reason; gives its message.
    ///
    /// # Errors
    /// After a while.
    pub async fn wait_condition(&self, type_: &str, status: &str, reason: &str) -> Result<String> {
        let what = format!("{type_}={status} {reason} of {}", self.name);
        wait_for(&what, CONDITION_LIMIT, async || {
            let found = self.condition(type_).await?;
            if found.status == status && found.reason == reason {
                return Ok(found.message);
            }
            not_yet(format!(
                "{}={} {}: {}",
                type_, found.status, found.reason, found.message
            ))
        })
        .await
    }

    /// Waits until it is Ready for the spec as it stands now, with nothing under way.
    ///
    /// # Errors
    /// After a while.
    pub async fn wait_settled(&self) -> Result<()> {
        wait_for(
            &format!("{} is Ready and settled", self.name),
            READY_LIMIT,
            async || {
                let object = self.get().await?;
                let status = object.status.context("no status yet")?;
                let seen = status.observed_generation;
                ensure!(
                    seen == object.metadata.generation,
                    "generation {seen:?} is observed"
                );
                for (type_, wanted) in [(ready::TYPE, "True"), (progressing::TYPE, "False")] {
                    let found = status.conditions.iter().find(|c| c.type_ == type_);
                    let found = found.with_context(|| format!("no condition {type_} yet"))?;
                    let (status, reason, message) = (&found.status, &found.reason, &found.message);
                    ensure!(status == wanted, "{type_}={status} {reason}: {message}");
                }
                Ok(())
            },
        )
        .await
    }

    /// Waits until `acl` is decided by the module with this digest, and says it is healthy.
    ///
    /// # Errors
    /// After a while.
    pub async fn wait_policy(&self, digest: &str) -> Result<()> {
        wait_for(
            &format!("policy {digest} in status.policies"),
            CONDITION_LIMIT,
            async || {
                let status = self.status().await?;
                let found = status
                    .policies
                    .iter()
                    .find(|policy| policy.decision == "acl");
                let found = found.context("no acl in status.policies")?;
                ensure!(found.digest.as_deref() == Some(digest), "it is {found:?}");
                ensure!(found.error.is_none(), "it is {found:?}");
                let healthy = status
                    .conditions
                    .iter()
                    .find(|c| c.type_ == policy_healthy::TYPE);
                ensure!(
                    healthy.is_some_and(|c| c.status == "True"),
                    "it is {healthy:?}"
                );
                Ok(())
            },
        )
        .await
    }

    /// Sets an annotation, or takes it away.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn annotate(&self, name: &str, value: Option<&str>) -> Result<()> {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {name: value}}}));
        self.api()
            .patch(&self.name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Changes the spec by a merge patch.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn patch_spec(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.api()
            .patch(&self.name, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }

    /// Deletes it and waits until it and its pod are gone.
    ///
    /// # Errors
    /// After a while.
    pub async fn delete(&self) -> Result<()> {
        self.api()
            .delete(&self.name, &DeleteParams::default())
            .await?;
        wait_for(&format!("{} is gone", self.name), READY_LIMIT, async || {
            ensure!(
                self.api().get_opt(&self.name).await?.is_none(),
                "the object is there"
            );
            let pods: Api<Pod> = self.space.api();
            ensure!(
                pods.get_opt(&self.pod_name()).await?.is_none(),
                "the pod is there"
            );
            Ok(())
        })
        .await
    }

    fn pod_name(&self) -> String {
        format!("{}-0", self.name)
    }

    fn claim_name(&self) -> String {
        format!("data-{}-0", self.name)
    }

    /// Its pod.
    ///
    /// # Errors
    /// When there is none.
    pub async fn pod(&self) -> Result<Pod> {
        Ok(self.space.api::<Pod>().get(&self.pod_name()).await?)
    }

    /// A data pod.
    ///
    /// # Errors
    /// When there is none of this ordinal.
    pub async fn pod_of(&self, ordinal: u32) -> Result<Pod> {
        let name = format!("{}-{ordinal}", self.name);
        Ok(self.space.api::<Pod>().get(&name).await?)
    }

    /// The pod that the status names as the primary.
    ///
    /// # Errors
    /// When there is none.
    pub async fn primary_pod(&self) -> Result<Pod> {
        let primary = self.status().await?.primary.context("no primary")?;
        Ok(self.space.api::<Pod>().get(&primary).await?)
    }

    /// The pid on the host of a process of a pod.
    ///
    /// # Errors
    /// When there is no such process.
    pub fn pid_in(&self, pod: &Pod, program: &str) -> Result<i32> {
        self.space.bed().pid_in(pod, program)
    }

    /// Its pod's uid.
    ///
    /// # Errors
    /// When there is none.
    pub async fn pod_uid(&self) -> Result<String> {
        self.pod().await?.uid().context("a pod without uid")
    }

    /// Its pod's address.
    ///
    /// # Errors
    /// When it has none yet.
    pub async fn pod_ip(&self) -> Result<String> {
        self.pod()
            .await?
            .status
            .and_then(|status| status.pod_ip)
            .context("no pod IP yet")
    }

    /// How often the kubelet restarted the server's container, and which container it is. The
    /// kubelet tells it later than the agent tells the operator that the server serves.
    ///
    /// # Errors
    /// When it does not tell within a while.
    pub async fn container(&self) -> Result<(i32, String)> {
        wait_for("the kubelet names the container", READY_LIMIT, async || {
            let pod = self.pod().await?;
            let statuses = pod
                .status
                .and_then(|status| status.container_statuses)
                .unwrap_or_default();
            let found: Option<ContainerStatus> = statuses.into_iter().find(|c| c.name == "redis");
            let found = found.context("no container status yet")?;
            let id = found.container_id.context("the container has no id yet")?;
            Ok((found.restart_count, id))
        })
        .await
    }

    /// Deletes its pod, with its grace period or at once.
    ///
    /// # Errors
    /// When there is none.
    pub async fn delete_pod(&self, at_once: bool) -> Result<()> {
        let params = if at_once {
            DeleteParams::default().grace_period(0)
        } else {
            DeleteParams::default()
        };
        self.space
            .api::<Pod>()
            .delete(&self.pod_name(), &params)
            .await?;
        Ok(())
    }

    /// The pid on the host of its server, or of its agent.
    ///
    /// # Errors
    /// When there is no such process.
    pub async fn pid(&self, program: &str) -> Result<i32> {
        self.pid_in(&self.pod().await?, program)
    }

    /// Its volume claim.
    ///
    /// # Errors
    /// When there is none.
    pub async fn claim(&self) -> Result<PersistentVolumeClaim> {
        Ok(self
            .space
            .api::<PersistentVolumeClaim>()
            .get(&self.claim_name())
            .await?)
    }

    /// Its volume claim, if there is one.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn claim_opt(&self) -> Result<Option<PersistentVolumeClaim>> {
        Ok(self
            .space
            .api::<PersistentVolumeClaim>()
            .get_opt(&self.claim_name())
            .await?)
    }

    /// The address of its Service.
    ///
    /// # Errors
    /// When there is none.
    pub async fn cluster_ip(&self) -> Result<String> {
        let service: Service = self.space.api().get(&self.name).await?;
        service
            .spec
            .and_then(|spec| spec.cluster_ip)
            .context("a Service without address")
    }

    /// The application user's login through the Service, from the generated Secret.
    ///
    /// # Errors
    /// When there is no Secret or Service yet.
    pub async fn app(&self) -> Result<Login> {
        let secret = format!("{}-app", self.name);
        let (user, password) = tokio::try_join!(
            self.space.secret(&secret, "username"),
            self.space.secret(&secret, "password"),
        )?;
        Ok(Login::new(&self.cluster_ip().await?, &user, &password))
    }

    /// Asks the pod's server what no user of a spec may.
    async fn ask_inside<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let login = insider::login(self.space.bed(), &self.pod().await?)?;
        login.ask(words).await
    }

    /// The server's id of its run: another one after each start.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn run_id(&self) -> Result<String> {
        self.info("run_id").await
    }

    /// A field of the server's INFO.
    ///
    /// # Errors
    /// When the server does not answer, or has no such field.
    pub async fn info(&self, field: &str) -> Result<String> {
        self.info_at(&self.pod().await?, field).await
    }

    /// A field of the INFO of a pod's server.
    ///
    /// # Errors
    /// When the server does not answer, or has no such field.
    pub async fn info_at(&self, pod: &Pod, field: &str) -> Result<String> {
        let login = insider::login(self.space.bed(), pod)?;
        let info: String = login.ask(&["INFO"]).await?;
        let mut fields = info.lines().filter_map(|line| line.split_once(':'));
        let found = fields.find(|(name, _)| *name == field);
        found
            .map(|(_, value)| value.to_owned())
            .with_context(|| format!("no {field} in INFO"))
    }

    /// What the server says about a directive.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn config(&self, directive: &str) -> Result<String> {
        let pair: Vec<String> = self.ask_inside(&["CONFIG", "GET", directive]).await?;
        pair.into_iter()
            .nth(1)
            .with_context(|| format!("no directive {directive}"))
    }

    /// All users and their rights as the server has them, sorted.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn rights(&self) -> Result<Vec<String>> {
        let mut rights: Vec<String> = self.ask_inside(&["ACL", "LIST"]).await?;
        // The agent's own passwords are others with each start of the pod.
        let own = [
            "user hera-agent ",
            "user hera-metrics ",
            "user hera-migration ",
        ];
        rights.retain(|line| !own.iter().any(|user| line.starts_with(user)));
        rights.sort_unstable();
        Ok(rights)
    }

    /// The object and all its children.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn children(&self) -> Result<Children> {
        Children::of(&self.space.bed().client, self.space.namespace(), &self.name).await
    }

    /// Waits until nothing of it changes any more for `quiet`; gives what there is then.
    ///
    /// # Errors
    /// After a while.
    pub async fn wait_quiet(&self, quiet: Duration) -> Result<Children> {
        self.wait_settled().await?;
        let mut last = self.children().await?;
        for _ in 0..10 {
            tokio::time::sleep(quiet).await;
            let now = self.children().await?;
            if now == last {
                return Ok(now);
            }
            last = now;
        }
        Err(anyhow!("{} never comes to rest", self.name))
    }
}
