//! The cluster: objects, and the decision log of the operator that leads.

use anyhow::{Context as _, bail};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::args::Cluster;

/// The operator's Lease.
const LEASE: &str = "hera-operator";
/// Where each operator pod serves its decision log, to itself and to who may forward a port.
const INSPECT_PORT: u16 = 8081;

/// A cluster that answers.
pub struct Connected {
    /// The API server.
    pub client: Client,
    /// The namespace that is meant.
    pub namespace: String,
    operator_namespace: String,
}

/// Connects as kubectl would.
///
/// # Errors
/// When there is no usable kubeconfig.
pub async fn connect(wanted: &Cluster) -> anyhow::Result<Connected> {
    let options = KubeConfigOptions {
        context: wanted.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = match &wanted.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path)
                .with_context(|| format!("the kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(file, &options).await?
        }
        None => Config::from_kubeconfig(&options)
            .await
            .context("no kubeconfig is usable: set KUBECONFIG")?,
    };
    let namespace = wanted
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    Ok(Connected {
        client: Client::try_from(config)?,
        namespace,
        operator_namespace: wanted.operator_namespace.clone(),
    })
}

impl Connected {
    /// Asks the operator that leads for a path of its inspection server.
    ///
    /// # Errors
    /// When no operator leads, or its port cannot be forwarded.
    pub async fn ask_leader(&self, path: &str) -> anyhow::Result<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), &self.operator_namespace);
        let lease = leases.get_opt(LEASE).await?.with_context(|| {
            format!(
                "there is no operator in namespace {}: say where with --operator-namespace",
                self.operator_namespace
            )
        })?;
        let leader = lease
            .spec
            .and_then(|spec| spec.holder_identity)
            .filter(|holder| !holder.is_empty())
            .context("no operator leads at the moment")?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.operator_namespace);
        ask_pod(&pods, &leader, INSPECT_PORT, path).await
    }

    /// Namespace of the operator.
    pub fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }
}

/// Asks a pod for a path that it serves over plain HTTP, by a port forwarded by the API server.
///
/// # Errors
/// When the port cannot be forwarded, or it answers with an error.
pub async fn ask_pod(pods: &Api<Pod>, name: &str, port: u16, path: &str) -> anyhow::Result<String> {
    let mut forwarded = pods
        .portforward(name, &[port])
        .await
        .with_context(|| format!("forwarding a port of pod {name}"))?;
    let stream = forwarded
        .take_stream(port)
        .context("the port was not forwarded")?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, "localhost")
        .body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body).into_owned();
    if !status.is_success() {
        bail!("pod {name} answers {status}: {text}");
    }
    Ok(text)
}
