//! What many faults and many objects leave behind in the operator's own part: from a ConfigMap to a
//! line of the decision log, with an API server of a few lines.

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
use serde_json::json;
use tokio::sync::mpsc;

use super::{Common, Journal, Lane, Made, Problem, Question};
use crate::metrics::Metrics;
use crate::shared::InstanceRef;

#[path = "../../../policy/guests.rs"]
mod guests;

const OBJECTS: usize = 200;
const MODULES: usize = 20;

/// Modules by the name of their ConfigMap.
type Maps = Arc<Mutex<HashMap<String, Vec<u8>>>>;

fn panicking() -> Vec<u8> {
    let target = std::env::current_exe().unwrap();
    let folder = guests::build(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."),
        &guests::target_dir(&target),
        &["-p", "hera-policy-hostile", "--examples"],
    );
    std::fs::read(folder.unwrap().join("examples/panic.wasm")).unwrap()
}

/// The built-in with a byte in it that nobody looks at: another digest.
fn padded(byte: u8) -> Vec<u8> {
    [builtin::ACL_PRESETS, &[0, 3, 1, b'p', byte]].concat()
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

async fn lane(maps: Maps) -> (Arc<Common>, Lane<Acl>) {
    let (wake, _) = mpsc::unbounded_channel();
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
        validated: Mutex::default(),
    });
    let lane = Lane::new(common.clone(), builtin::ACL_PRESETS)
        .await
        .unwrap();
    (common, lane)
}

async fn decide(
    lane: &Lane<Acl>,
    object: usize,
    map: &str,
) -> Made<<Acl as hera_policy::Decision>::Answer> {
    let instance = InstanceRef::new(&format!("cache-{object}")).within("shop");
    let source: PolicySource =
        serde_json::from_value(json!({"configMapRef": {"name": map}})).unwrap();
    let question = Question {
        instance: &instance,
        source: Some(&source),
        status: None,
        context: Context::example(),
        input: &Acl::example_of(2),
    };
    lane.decide(&question).await.unwrap()
}

fn is_loading(problem: &Problem) -> bool {
    problem.reason == policy_healthy::LOADING
}

/// Resident memory of this process in KiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value.unwrap().parse().unwrap()
}

/// In a process of its own: what other tests allocate, and the allocator keeps, is no leak of this one.
#[test]
fn faults_leave_no_memory_behind_and_objects_share_their_modules() {
    let own = "policies::endurance::in_its_own_process";
    let run = std::process::Command::new(std::env::current_exe().unwrap())
        .args([own, "--exact", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    println!("{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success() && said.contains("1 passed"));
}

// One test: they would measure each other.
#[tokio::test]
#[ignore = "measures its process: the test above runs it alone"]
async fn in_its_own_process() {
    let maps = Maps::default();
    maps.lock().unwrap().insert("panic".to_owned(), panicking());
    let (_, bad) = lane(maps.clone()).await;
    let faults = async |count: usize| {
        for object in 0..count {
            // Another object each time: the same would be set aside after three.
            let made = decide(&bad, object, "panic").await;
            assert!(made.answer.is_none() && made.problem.is_some());
            bad.forget(&InstanceRef::new(&format!("cache-{object}")).within("shop"));
        }
    };
    // Until the decision log is full.
    faults(1_500).await;
    let before = resident();
    faults(10_000).await;
    let after = resident();
    println!("resident memory: {before} KiB, after 10 000 faults {after} KiB");
    assert!(
        after * 10 <= before * 11,
        "{before} KiB grew to {after} KiB"
    );

    for module in 0..MODULES {
        let bytes = padded(u8::try_from(module).unwrap());
        maps.lock()
            .unwrap()
            .insert(format!("rules-{module}"), bytes);
    }
    let (common, lane) = lane(maps.clone()).await;
    let all = async || {
        for object in 0..OBJECTS {
            let map = format!("rules-{}", object % MODULES);
            let mut made = decide(&lane, object, &map).await;
            // A slow machine compiles a module for longer than a pass waits for it.
            while made.problem.as_ref().is_some_and(is_loading) {
                made = decide(&lane, object, &map).await;
            }
            assert!(made.answer.is_some());
        }
    };
    let asked = |journal: &Journal| journal.lines(None).lines().count();
    all().await;
    assert_eq!(asked(&common.journal), OBJECTS);
    // And the built-in.
    assert_eq!(common.registry.loaded(), MODULES + 1);
    all().await;
    assert_eq!(asked(&common.journal), OBJECTS, "nothing changed");
    maps.lock()
        .unwrap()
        .insert("rules-7".to_owned(), padded(77));
    all().await;
    let users = OBJECTS / MODULES;
    assert_eq!(
        asked(&common.journal),
        OBJECTS + users,
        "only who uses it is asked anew"
    );
}

#[tokio::test]
async fn a_version_before_decides_on_and_another_policy_only_stands_in() {
    let maps = Maps::default();
    let module = builtin::ACL_PRESETS.to_vec();
    maps.lock().unwrap().insert("rules".to_owned(), module);
    let (_, lane) = lane(maps.clone()).await;
    let mut made = decide(&lane, 0, "rules").await;
    while made.problem.as_ref().is_some_and(is_loading) {
        made = decide(&lane, 0, "rules").await;
    }
    assert!(made.answer.is_some() && !made.stands_in);
    maps.lock().unwrap().clear();
    let made = decide(&lane, 0, "rules").await;
    let problem = made.problem.map(|problem| problem.reason);
    assert_eq!(problem, Some(policy_healthy::CONFIG_MAP_MISSING));
    assert!(made.answer.is_some() && !made.stands_in, "a version before");
    let made = decide(&lane, 0, "others").await;
    assert!(made.answer.is_some() && made.stands_in, "another policy");
}
