//! Policies in tests: modules in ConfigMaps, behind an API server of a few lines.

use std::collections::HashMap;
use std::convert::Infallible;
use std::path::Path;
use std::sync::{Arc, Mutex};

use hera_api::PolicySource;
use hera_api::conditions::policy_healthy;
use hera_policy::{Acl, Context, Decision as _, Limits, Registry, builtin};
use http::{Method, Request, Response, StatusCode};
use k8s_openapi::ByteString;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedSender};

use super::{Common, Lane, Made, Policies, Problem, Question};
use crate::metrics::Metrics;
use crate::object::ObjectKey;

#[path = "../../../policy/guests.rs"]
mod guests;

/// Modules by the name of their ConfigMap.
pub type Maps = Arc<Mutex<HashMap<String, Vec<u8>>>>;

/// A module of this workspace: an example policy, or one of those that misbehave.
pub fn module(package: &str, file: &str) -> Vec<u8> {
    let target = std::env::current_exe().unwrap();
    let folder = guests::build(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        &guests::target_dir(&target),
        &["-p", package, "--lib", "--examples"],
    );
    std::fs::read(folder.unwrap().join(file)).unwrap()
}

/// ConfigMaps can be read, and made.
fn client(maps: Maps) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let name = request.uri().path().rsplit('/').next().unwrap().to_owned();
        let module = maps.lock().unwrap().get(&name).cloned();
        let (code, answer) = match (request.method(), module) {
            (&Method::GET, Some(module)) => (
                StatusCode::OK,
                json!({
                    "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                    "binaryData": {"policy.wasm": ByteString(module)},
                }),
            ),
            (&Method::POST, _) => (
                StatusCode::CREATED,
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept"}}),
            ),
            _ => (
                StatusCode::NOT_FOUND,
                json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404}),
            ),
        };
        let response = Response::builder().status(code).body(answer.to_string());
        std::future::ready(Ok::<_, Infallible>(response.unwrap()))
    });
    Client::new(service, "shop")
}

/// A lane over these ConfigMaps.
pub async fn lane(maps: Maps) -> (Arc<Common>, Lane<Acl>) {
    let Policies { common, acl, .. } = policies(maps, mpsc::unbounded_channel().0).await;
    (common, acl)
}

/// The same as a whole, and what is woken.
pub async fn policies(maps: Maps, wake: UnboundedSender<ObjectKey>) -> Policies {
    let common = Arc::new(Common {
        client: client(maps),
        namespace: "hera-system".to_owned(),
        registry: Registry::new(Limits::default(), None).unwrap(),
        metrics: Arc::new(Metrics::new().unwrap()),
        journal: Arc::default(),
        wake,
        namespaces: Vec::new(),
        kept: Mutex::default(),
        changed: tokio::sync::Notify::new(),
        due: tokio::sync::Notify::new(),
        validated: Mutex::default(),
    });
    let lane = Lane::new(common.clone(), builtin::ACL_PRESETS)
        .await
        .unwrap();
    let rebalance = Lane::new(common.clone(), builtin::REBALANCE_EVEN)
        .await
        .unwrap();
    let backup = Lane::new(common.clone(), builtin::BACKUP_CRON)
        .await
        .unwrap();
    Policies {
        common,
        acl: lane,
        rebalance,
        backup,
    }
}

/// Asks for the rights of two users of an object.
pub async fn decide(
    lane: &Lane<Acl>,
    object: usize,
    map: &str,
) -> Made<<Acl as hera_policy::Decision>::Answer> {
    let asked = Asked {
        source: json!({"configMapRef": {"name": map}}),
        now_unix_ms: 0,
        request: None,
    };
    asked.of(lane, object).await
}

/// A question in a test.
#[derive(Clone)]
pub struct Asked {
    /// The policy, as a spec has it.
    pub source: Value,
    pub now_unix_ms: u64,
    pub request: Option<&'static str>,
}

impl Asked {
    /// Asks for the rights of two users of an object.
    pub async fn of(
        &self,
        lane: &Lane<Acl>,
        object: usize,
    ) -> Made<<Acl as hera_policy::Decision>::Answer> {
        let instance = instance(object);
        let source: PolicySource = serde_json::from_value(self.source.clone()).unwrap();
        let question = Question {
            instance: &instance,
            source: Some(&source),
            status: None,
            context: Context {
                now_unix_ms: self.now_unix_ms,
                ..Context::example()
            },
            input: &Acl::example_of(2),
            request: self.request,
        };
        lane.decide(&question).await.unwrap()
    }

    /// The same once the module is loaded: a slow machine compiles for longer than a pass waits for it.
    pub async fn loaded(
        &self,
        lane: &Lane<Acl>,
        object: usize,
    ) -> Made<<Acl as hera_policy::Decision>::Answer> {
        let mut made = self.of(lane, object).await;
        while made.problem.as_ref().is_some_and(is_loading) {
            made = self.of(lane, object).await;
        }
        made
    }
}

/// An object of a test.
pub fn instance(object: usize) -> ObjectKey {
    ObjectKey::instance("shop", &format!("cache-{object}"))
}

pub fn is_loading(problem: &Problem) -> bool {
    problem.reason == policy_healthy::LOADING
}
