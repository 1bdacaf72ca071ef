//! Agents that lie about terms, against the code that speaks to them: the election, the connections, a
//! plan that is carried out. The API server is one of a few lines, and the agents are TLS servers that
//! follow a script.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use hera_api::Kind;
use hera_api::RedisInstance;
use hera_api::names::ObjectName;
use hera_core::agent::{
    AclState, AgentStatus, CONTROL_PORT, ConfigState, Members, Memory, PATH_ORDERS, Refusal, Role,
    ServerState, Volume,
};
use hera_core::instance::{Plan, PlannedStep, Step};
use hera_core::shard::{AgentView, Member, PodView, Target};
use hera_kube::lease::{Elector, LeaseName};
use hera_kube::{Applier, Events, Leadership, StatusWriter};
use hera_render::{ControlSources, Owner, TlsFiles};
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::client::Body;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::Deletions;
use super::act::{self, Material};
use super::intents::Notes;
use super::observe::Live;
use super::site::Site;
use crate::agents::{AgentClient, AgentError, AgentPool, Identities, Identity, Target as Listened};
use crate::authority::AuthorityCell;
use crate::backoff::Backoff;
use crate::controllers::outcome::PassError;
use crate::controllers::pods::members::server_name;
use crate::controllers::pods::observe::SetLive;
use crate::controllers::pods::refusals::Refusals;
use crate::last_seen::LastSeen;
use crate::leaders::Leaders;
use crate::metrics::Metrics;
use crate::object::ObjectKey;
use crate::policies::Policies;
use crate::shared::Shared;
use crate::watches::ReferenceWatches;

const OURS: &str = "hera-system";

/// What an API server holds, as far as it matters here.
#[derive(Default)]
struct Store {
    lease: Option<Value>,
    writes: u64,
    /// Path and body.
    patches: Vec<(String, Value)>,
}

type Api = Arc<Mutex<Store>>;

fn client(api: &Api) -> Client {
    let api = api.clone();
    let service = tower::service_fn(move |request: Request<Body>| {
        let api = api.clone();
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let mut store = api.lock().unwrap_or_else(PoisonError::into_inner);
            let (code, answer) = store.answer(&method, &path, body);
            let response = Response::builder().status(code);
            Ok::<_, Infallible>(
                response
                    .body(Body::from(answer.to_string().into_bytes()))
                    .unwrap(),
            )
        }
    });
    Client::new(service, OURS)
}

impl Store {
    fn answer(&mut self, method: &Method, path: &str, mut body: Value) -> (u16, Value) {
        let is_lease = path.contains("/leases");
        match (is_lease, method) {
            (true, &Method::GET) => match &self.lease {
                Some(lease) => (200, lease.clone()),
                None => absent(),
            },
            (true, _) => {
                self.writes += 1;
                body["metadata"]["resourceVersion"] = json!(self.writes.to_string());
                self.lease = Some(body.clone());
                (200, body)
            }
            (false, &Method::PATCH) => {
                self.patches.push((path.to_owned(), body));
                let kind = json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {}});
                (200, kind)
            }
            (false, &Method::POST) => (201, body),
            _ => absent(),
        }
    }
}

fn absent() -> (u16, Value) {
    let words = json!({"kind": "Status", "status": "Failure", "reason": "NotFound", "code": 404});
    (404, words)
}

/// The Lease's annotation and its transitions.
fn lease(api: &Api) -> (Value, Value) {
    let store = api.lock().unwrap();
    let lease = store.lease.as_ref().unwrap();
    let term = lease["metadata"]["annotations"]["cache.hera.io/term"].clone();
    (term, lease["spec"]["leaseTransitions"].clone())
}

/// What an agent answers to an order of a term.
type Script = Box<dyn FnMut(u64) -> Result<(), u64> + Send>;

/// The terms of the orders that an agent was given.
type Heard = Arc<Mutex<Vec<u64>>>;

fn start_agent(address: IpAddr, files: &TlsFiles, script: Script) -> Heard {
    let certificate = CertificateDer::from_pem_slice(files.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(files.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind(SocketAddr::new(address, CONTROL_PORT)).unwrap();
    let (heard, script) = (Heard::default(), Arc::new(Mutex::new(script)));
    let notes = heard.clone();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let (config, notes, script) = (config.clone(), notes.clone(), script.clone());
            std::thread::spawn(move || speak(socket, config, &notes, &script));
        }
    });
    heard
}

/// Answers the requests of one connection, until it ends.
fn speak(
    socket: TcpStream,
    config: Arc<ServerConfig>,
    heard: &Heard,
    script: &Mutex<Script>,
) -> Option<()> {
    let connection = ServerConnection::new(config).ok()?;
    let mut stream = BufReader::new(StreamOwned::new(connection, socket));
    loop {
        let (mut head, mut length) = (String::new(), 0);
        stream.read_line(&mut head).ok().filter(|read| *read > 0)?;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let (code, answer) = match head.contains(PATH_ORDERS) {
            true => {
                let order: Value = serde_json::from_slice(&body).ok()?;
                let term = order["term"].as_u64()?;
                heard.lock().ok()?.push(term);
                match script.lock().ok()?(term) {
                    Ok(()) => (200, json!(status(term))),
                    Err(told) => {
                        let message = "a later leader spoke".to_owned();
                        let term = Some(told);
                        (409, json!(Refusal { message, term }))
                    }
                }
            }
            false => (404, json!({"message": "no such path", "term": null})),
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {code} x\r\nContent-Length: {}\r\n\r\n",
            answer.len()
        );
        let stream = stream.get_mut();
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(answer.as_bytes()).ok()?;
        stream.flush().ok()?;
    }
}

fn status(term: u64) -> AgentStatus {
    AgentStatus {
        protocol: 1,
        agent_version: String::new(),
        boot_id: String::new(),
        pod_uid: String::new(),
        server: ServerState::Starting,
        role: Role::Held,
        link: None,
        memory: Memory::default(),
        members: Members::default(),
        leaving: false,
        hangs: false,
        engine: None,
        version: None,
        term,
        config: ConfigState::default(),
        acl: AclState::default(),
        restarts: 0,
        last_exit: None,
        waiting_for: None,
        volume: Volume::default(),
        led_to: None,
        forked_at: None,
        connections: None,
        script: None,
        login: None,
        recovery: None,
        capture: None,
        cluster: None,
    }
}

async fn shared(client: &Client, leadership: Leadership) -> Shared {
    let (wake, _) = mpsc::unbounded_channel();
    let (leaders, metrics) = (
        Arc::new(Leaders::default()),
        Arc::new(Metrics::new().unwrap()),
    );
    Shared {
        client: client.clone(),
        applier: Applier::new(client.clone()),
        status: StatusWriter::new(client.clone()),
        events: Events::new(client.clone(), "hera-operator", "me"),
        agents: AgentPool::new(wake.clone(), leadership.clone(), leaders.clone()),
        leadership,
        leaders,
        identities: Identities::default(),
        last_seen: LastSeen::default(),
        authority: AuthorityCell::default(),
        policies: Policies::for_test(client.clone(), metrics.clone())
            .await
            .unwrap(),
        references: ReferenceWatches::new(client.clone(), wake, OURS.to_owned()),
        metrics,
        namespace: OURS.to_owned(),
        control_sources: ControlSources::default(),
        agent_image: String::new(),
        tables: Default::default(),
        backoff: Backoff::default(),
        handovers: Backoff::default(),
        epochs: Backoff::default(),
        recoveries: Default::default(),
        logs: Default::default(),
        backups: Default::default(),
        looks: Default::default(),
        owners: Default::default(),
        turns: Arc::default(),
        deletions: Deletions::default(),
        cluster_status: StatusWriter::new(client.clone()),
        clusters: Default::default(),
        zones: Default::default(),
    }
}

/// An instance of one pod, with the agent of it.
struct Instance {
    object: RedisInstance,
    name: ObjectName,
    live: Live,
    address: IpAddr,
    heard: Heard,
}

impl Instance {
    async fn start(shared: &Shared, namespace: &str, address: [u8; 4], script: Script) -> Self {
        let object = json!({
            "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisInstance", "spec": {},
            "metadata": {"name": "cache", "namespace": namespace, "uid": namespace},
        });
        let name = ObjectName::new(Kind::RedisInstance, "cache").unwrap();
        let owner = Owner {
            name: &name,
            namespace,
            uid: namespace,
        };
        let server_name = server_name(&owner, None, 0);
        let authority = shared
            .authority
            .get(&shared.client, OURS, true)
            .await
            .unwrap();
        let files = authority.sign_agent(vec![server_name.clone()]).unwrap();
        let address = IpAddr::from(address);
        let heard = start_agent(address, &files, script);
        let identity = authority.sign_operator().unwrap();
        let agent =
            AgentClient::new(address, &server_name, &Identity::new(&identity).unwrap()).unwrap();
        let listened = Listened {
            instance: ObjectKey::instance(namespace, "cache"),
            pod_uid: namespace.to_owned(),
            ip: address,
            server_name,
        };
        shared.agents.listen(listened, agent);
        let live = Live {
            set: SetLive {
                stateful_set: Some(StatefulSet::default()),
                ..SetLive::default()
            },
            ..Live::default()
        };
        Self {
            object: serde_json::from_value(object).unwrap(),
            name,
            live,
            address,
            heard,
        }
    }

    /// What a pass does with the agent, which tells `term` in its status. Answers also what people are
    /// told.
    async fn order(&self, shared: &Shared, term: u64) -> (Result<(), PassError>, Option<String>) {
        let namespace = self.object.metadata.namespace.as_deref().unwrap();
        let member = Member {
            pod: Some(PodView {
                name: "cache-0".to_owned(),
                uid: namespace.to_owned(),
                ip: Some(self.address.to_string()),
                ..PodView::default()
            }),
            agent: AgentView::Connected(Box::new(status(term))),
            ..Member::default()
        };
        let site = Site {
            object: &self.object,
            shared,
            owner: Owner {
                name: &self.name,
                namespace,
                uid: namespace,
            },
            live: &self.live,
            members: vec![member],
            term: shared.leadership.term().unwrap(),
            recovery_due: false,
            handover_failed: false,
            refusals: Refusals::default(),
            notes: Notes::default(),
        };
        site.settle_terms().await;
        let about = ObjectReference::default();
        let material = Material {
            site: &site,
            positions_since_ms: 0,
            about: &about,
            config: None,
            acl: None,
            members: None,
        };
        let pod = Target {
            name: "cache-0".to_owned(),
            uid: namespace.to_owned(),
        };
        let plan = Plan {
            steps: vec![PlannedStep {
                step: Step::Start(pod),
                reason: "a test".to_owned(),
            }],
            ..Plan::default()
        };
        let done = act::carry_out(&plan, &material).await;
        (done, site.term_refused())
    }
}

/// An operator that leads, the Lease being as it is.
async fn leads(lease: Value) -> (Api, Shared, oneshot::Sender<()>) {
    let api = Api::default();
    api.lock().unwrap().lease = Some(lease);
    let client = client(&api);
    let name = LeaseName {
        namespace: OURS.to_owned(),
        name: "hera-operator".to_owned(),
    };
    let (elector, mut leadership) = Elector::new(client.clone(), name, "me".to_owned());
    let (stop, stopped) = oneshot::channel();
    tokio::spawn(elector.run(async move { drop(stopped.await) }));
    let led = tokio::time::timeout(Duration::from_secs(10), leadership.changed());
    led.await.unwrap();
    let shared = shared(&client, leadership).await;
    (api, shared, stop)
}

async fn until_renewed(api: &Api) {
    let writes = || api.lock().unwrap().writes;
    let before = writes();
    let renewed = async {
        while writes() == before {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed)
        .await
        .unwrap();
}

/// The Lease of the release before, led seven times.
fn led_seven_times() -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "hera-operator", "namespace": OURS, "resourceVersion": "0"},
        "spec": {"holderIdentity": "", "leaseTransitions": 7},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_tells_of_terms_that_no_lease_gave_changes_nothing_for_anybody() {
    let (api, shared, stop) = leads(led_seven_times()).await;
    let mut leadership = shared.leadership.clone();
    let mut told = [u64::MAX - 1, u64::MAX - 1, 1_000, 1 << 31, (1 << 32) - 1].into_iter();
    let lies: Script = Box::new(move |term| Err(told.next().unwrap_or(term + 1)));
    let liar = Instance::start(&shared, "shop", [127, 77, 0, 1], lies).await;
    let obeys: Script = Box::new(|_| Ok(()));
    let other = Instance::start(&shared, "other", [127, 77, 0, 2], obeys).await;

    for said in [u64::MAX - 1, 1_000, 1 << 31, (1 << 32) - 1, 9] {
        let (done, words) = liar.order(&shared, said).await;
        assert!(
            matches!(done, Err(PassError::Agent(AgentError::OldTerm(_)))),
            "{done:?}"
        );
        assert!(words.unwrap().contains("cache-0"));
        let (done, words) = other.order(&shared, 8).await;
        assert!(done.is_ok() && words.is_none(), "{done:?}, {words:?}");
    }
    until_renewed(&api).await;
    assert_eq!(lease(&api), (json!("8"), json!(8)));
    assert_eq!(shared.leadership.term(), Some(8));
    assert!(
        leadership.changed().now_or_never().is_none(),
        "no pass was ended"
    );
    assert_eq!(*other.heard.lock().unwrap(), [8; 5]);
    // Only a number that is no term is said back, once, to who told it.
    let heard = liar.heard.lock().unwrap().clone();
    assert_eq!(heard, [8, u64::MAX - 1, 8, 8, 8, 8]);
    assert_eq!(api.lock().unwrap().patches, []);
    drop(stop);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_lease_was_lost_what_an_agent_knows_counts_for_its_own_instance() {
    let mut made_by_hand = led_seven_times();
    made_by_hand["spec"] = json!({});
    let (api, shared, stop) = leads(made_by_hand).await;
    let honest: Script = Box::new(|term| if term > 100 { Ok(()) } else { Err(100) });
    let mut instance = Instance::start(&shared, "shop", [127, 77, 0, 3], honest).await;
    let obeys: Script = Box::new(|_| Ok(()));
    let other = Instance::start(&shared, "other", [127, 77, 0, 4], obeys).await;

    assert!(instance.order(&shared, 100).await.0.is_ok());
    assert!(other.order(&shared, 0).await.0.is_ok());
    let written = ("cache.hera.io/term-floor".to_owned(), "100".to_owned());
    let set = instance.live.set.stateful_set.as_mut().unwrap();
    set.metadata.annotations = Some([written].into());
    // What is told next comes too soon.
    assert!(instance.order(&shared, 5_000).await.0.is_ok());
    assert_eq!(*instance.heard.lock().unwrap(), [101, 101]);
    assert_eq!(*other.heard.lock().unwrap(), [1]);
    let patches = api.lock().unwrap().patches.clone();
    assert_eq!(patches.len(), 1, "{patches:?}");
    let (path, patch) = &patches[0];
    assert!(path.contains("/namespaces/shop/statefulsets/"), "{path}");
    assert_eq!(patch[1]["value"], "100");
    until_renewed(&api).await;
    assert_eq!(lease(&api), (json!("1"), json!(1)));
    drop(stop);
}
