//! Servers of a cluster: held, formed by orders, failed over, and handed over.

use std::sync::Arc;
use std::time::Instant;

use hera_core::agent::{
    ClusterState, Order, PATH_CLUSTER, PATH_SLOT, PATH_TAKE_OVER, Role, ServerState, SlotStep,
    TakeOver, TakeSlot,
};
use hera_core::cluster::{
    Command, Failover, MovingState, Node, Observation, Plan, SlotSet, Wanted, Way, decide, guard,
    why_not_whole,
};
use hera_core::shard::Target;
use hera_testbed::servers::without_primary;
use reqwest::StatusCode;

use crate::certificates::Authority;
use crate::client::{Client as _, answer, app, http, login, login_with, replication, user};
use crate::config::SLOW;
use crate::engine::Engine;
use crate::group::Group;
use crate::metrics::{OF_CLUSTERS, assert_has};
use crate::pod::{Pod, is_running};
use crate::wait::{LIMIT, until};

on_both!(
    a_cluster_forms_by_orders_and_a_primary_that_ends_hands_over,
    a_server_that_reads_its_data_is_scraped_as_one_that_answers,
    a_server_that_led_waits_until_another_leads_or_nobody_is_heard,
    who_takes_over_follows_the_primary_that_is_named,
    who_has_slots_or_follows_does_not_join_as_another,
    who_led_joins_as_another_by_an_order_with_its_own_id,
    only_an_agent_of_the_object_asks_another_for_a_step_of_a_slot,
    whoever_brings_keys_of_slots_reads_and_follows_nothing,
    a_job_that_cannot_begin_is_told_and_the_slots_stay,
    a_copy_that_died_while_it_joined_joins_as_another,
);

const SHARDS: u32 = 3;
const REPLICAS: u32 = 1;
/// So that a server that nobody speaks for starts in the time of a test.
const QUICK: [(&str, &str); 5] = [
    ("appendonly", "yes"),
    ("save", "\"\""),
    ("repl-diskless-sync-delay", "0"),
    ("cluster-node-timeout", "2000"),
    ("cluster-allow-replica-migration", "no"),
];

/// The agents of a cluster, and who drives them.
pub struct Cluster {
    pub group: Group,
    formed: bool,
    begun: Instant,
}

impl Cluster {
    /// Formed and whole.
    pub async fn new(engine: Engine) -> Self {
        let count = u8::try_from(SHARDS * (REPLICAS + 1)).unwrap();
        let mut group = Group::new(engine, count);
        let authority = Arc::new(Authority::new());
        let identity = authority.agent("*.agents.test");
        for (at, pod) in group.pods.iter_mut().enumerate() {
            let shard = (at / 2).to_string();
            authority.write(&pod.path("tls"), &identity);
            let tls = authority.client(Some(&authority.operator()));
            pod.http = http(tls, pod.name(), pod.control());
            pod.mount_config(1, &QUICK);
            std::fs::write(pod.path("etc/login"), "hera-replication").unwrap();
            let login = pod.path("etc/login").display().to_string();
            let more = ["--shard", &shard, "--ip", "127.0.0.1", "--login", &login];
            pod.more = more.map(str::to_owned).to_vec();
        }
        let mut cluster = Self {
            group,
            formed: false,
            begun: Instant::now(),
        };
        for at in 0..cluster.group.pods.len() {
            cluster.start(at).await;
        }
        for shard in cluster.group.pods.chunks(2) {
            let mut members = cluster.group.members();
            members.pods = shard.iter().map(Pod::peer).collect();
            members.fence_after_ms = 0;
            for pod in shard {
                pod.push_members(1, &members).await.unwrap();
            }
        }
        cluster.until_whole("it forms").await;
        cluster
    }

    /// Starts an agent, and says who may log in.
    async fn start(&mut self, at: usize) {
        let pod = &mut self.group.pods[at];
        pod.start().await;
        pod.push_users(1, &[app(), replication()]).await.unwrap();
    }

    /// What an agent tells when it is asked.
    pub async fn state(&self, at: usize) -> ClusterState {
        let pod = &self.group.pods[at];
        answer(pod.http.get(pod.url(PATH_CLUSTER))).await.unwrap()
    }

    async fn observe(&self, running: &[usize]) -> Observation {
        let now_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap() + 1_000_000;
        let mut nodes = Vec::new();
        for (at, pod) in self.group.pods.iter().enumerate() {
            let place = u32::try_from(at).unwrap();
            let mut node = Node {
                shard: place / 2,
                ordinal: place % 2,
                pod: target(pod),
                ip: "127.0.0.1".to_owned(),
                port: pod.port,
                ..Node::default()
            };
            if running.contains(&at) {
                let state = self.state(at).await;
                node.last_id = state.id;
                node.server = state.server;
                node.held = state.held;
                node.dead_since_ms = state.dead_ms.map(|ms| now_ms - ms);
                node.asked_for_votes_ms = state.asked_ms.map(|ms| now_ms - ms);
            }
            nodes.push(node);
        }
        Observation {
            nodes,
            formed: self.formed,
            now_ms,
        }
    }

    fn all(&self) -> Vec<usize> {
        (0..self.group.pods.len()).collect()
    }

    /// What an operator does, once.
    async fn pass(&self, running: &[usize]) -> Observation {
        let seen = self.observe(running).await;
        let Plan { steps, .. } = decide(WANTED, &seen);
        for step in steps {
            let one = Plan {
                steps: vec![step.clone()],
                waiting_for: None,
            };
            guard(&one, &seen).unwrap();
            let pods = self.group.pods.iter();
            let mut pods = pods.filter(|pod| target(pod) == step.pod);
            let command = step.command;
            let _ = pods
                .next()
                .unwrap()
                .order(1, Order::Cluster { command })
                .await;
        }
        seen
    }

    async fn until_whole(&mut self, what: &str) {
        let since = Instant::now();
        loop {
            let seen = self.pass(&self.all()).await;
            let Some(lacks) = why_not_whole(WANTED, &seen) else {
                break;
            };
            assert!(since.elapsed() < LIMIT, "{what}: {lacks}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        self.formed = true;
    }

    async fn leads(&self, at: usize) -> bool {
        let server = self.state(at).await.server;
        server.is_some_and(|s| s.replica_of().is_none() && !s.slots().is_empty())
    }

    async fn until_leads(&self, at: usize) {
        until("another leads", async || match self.leads(at).await {
            true => Ok(()),
            false => Err("it does not".to_owned()),
        })
        .await;
    }
}

const WANTED: Wanted = Wanted {
    shards: SHARDS,
    replicas: REPLICAS,
};

fn target(pod: &Pod) -> Target {
    Target {
        name: pod.uid.clone(),
        uid: pod.uid.clone(),
    }
}

/// A pod's end hands over without any operator; by then the other has every write.
async fn a_cluster_forms_by_orders_and_a_primary_that_ends_hands_over(engine: Engine) {
    let mut cluster = Cluster::new(engine).await;
    // Slot 0 is that of "3560".
    let server = cluster.group.pods[0].app().await;
    server.set("3560", "kept").await.unwrap();
    assert!(cluster.leads(0).await && !cluster.leads(1).await);
    assert_has(&cluster.group.pods[0].scrape().await, OF_CLUSTERS);
    let ended = cluster.group.pods[0].terminate().await;
    assert!(ended.success());
    cluster.until_leads(1).await;
    let taken = cluster.group.pods[1].app().await;
    assert_eq!(taken.get("3560").await.unwrap().as_deref(), Some("kept"));
    // It comes back as a replica, which nobody has to let start.
    cluster.start(0).await;
    let back = cluster.group.pods[0]
        .until("it runs again", is_running)
        .await;
    assert!(back.cluster.is_some());
    cluster.until_whole("it comes back").await;
    assert!(cluster.leads(1).await);
}

/// Redis refuses `CLUSTER INFO` meanwhile, and other questions.
async fn a_server_that_reads_its_data_is_scraped_as_one_that_answers(engine: Engine) {
    const KEYS: u64 = 100;
    let mut cluster = Cluster::new(engine).await;
    let server = cluster.group.pods[0].app().await;
    let large = "x".repeat(4096);
    for number in 0..KEYS {
        let key = format!("{{3560}}:{number}");
        server.set(&key, &large).await.unwrap();
    }
    until("the replica has them", async || {
        let server = cluster.state(1).await.server;
        let keys = server.map_or(0, |server| server.keys);
        (keys == KEYS)
            .then_some(())
            .ok_or_else(|| format!("{keys} keys"))
    })
    .await;
    // Commands of a log would be read without a look at clients.
    let pod = &mut cluster.group.pods[1];
    let root = user("root", &["+@all", "~*", "&*"]);
    let users = [app(), replication(), root];
    pod.push_users(2, &users).await.unwrap();
    let hand = login(pod.port, "root").await.unwrap();
    hand.say(&["BGREWRITEAOF"]).await.unwrap();
    until("the log is a snapshot", async || {
        let info = hand.say(&["INFO", "persistence"]).await.unwrap();
        let over = ["aof_rewrite_in_progress:0", "aof_rewrite_scheduled:0"];
        match over.iter().all(|line| info.contains(line)) {
            true => Ok(()),
            false => Err(info),
        }
    })
    .await;
    assert!(pod.terminate().await.success());
    let slow: Vec<_> = QUICK.into_iter().chain(SLOW).collect();
    pod.mount_config(2, &slow);
    pod.start().await;
    pod.push_users(3, &users).await.unwrap();
    let loads = |status: &hera_core::agent::AgentStatus| {
        matches!(status.server, ServerState::Loading { .. })
    };
    pod.until("it reads", loads).await;
    let text = pod.scrape().await;
    for line in ["redis_up 1\n", "redis_loading_dump_file 1\n"] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

/// P05, decision 019.
async fn a_server_that_led_waits_until_another_leads_or_nobody_is_heard(engine: Engine) {
    let mut cluster = Cluster::new(engine).await;
    let pid = cluster.group.pods[2].kill_server().await;
    let held = |status: &hera_core::agent::AgentStatus| {
        status.cluster.as_ref().is_some_and(|news| news.held)
    };
    cluster.group.pods[2].until("it is held", held).await;
    let state = cluster.state(2).await;
    assert!(state.dead_ms.is_some() && state.id.is_some(), "{state:?}");
    assert_eq!(state.held.map(|held| held.has_data), Some(true));
    let started = Instant::now();
    cluster.until_whole("another leads, and it follows").await;
    assert!(cluster.leads(3).await && started.elapsed() < LIMIT);
    // Nobody asks any more: the shard's only other server is away, and this one has all in its log.
    let replica = cluster.group.pods[2].status().await.unwrap();
    assert_ne!(crate::pod::server_pid(&replica), Some(pid));
    cluster.group.pods[2].terminate().await;
    let alone = cluster.group.pods[3].kill_server().await;
    let again = |status: &hera_core::agent::AgentStatus| {
        is_running(status) && crate::pod::server_pid(status) != Some(alone)
    };
    cluster.group.pods[3]
        .until("it starts by itself", again)
        .await;
    assert!(cluster.leads(3).await);
}

/// An order that comes late is for the primary that it was about; an agent of another object orders nothing.
async fn who_takes_over_follows_the_primary_that_is_named(engine: Engine) {
    let cluster = Cluster::new(engine).await;
    let own = cluster.state(0).await.id.unwrap();
    let other = cluster.state(2).await.id.unwrap();
    let take_over = |primary: &str| Order::Cluster {
        command: Command::Failover {
            how: Failover::Takeover,
            primary: primary.to_owned(),
        },
    };
    let refused = cluster.group.pods[1].order(1, take_over(&other)).await;
    assert_eq!(refused.unwrap_err().0, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(cluster.leads(0).await);
    let pod = &cluster.group.pods[1];
    let asked = TakeOver {
        primary: own.clone(),
    };
    let ask = |http: &reqwest::Client| {
        let asked = http.post(pod.url(PATH_TAKE_OVER)).json(&asked);
        asked.header("hera-pod", &pod.uid).send()
    };
    let operator = ask(&pod.http).await.unwrap().status();
    assert_eq!(operator, StatusCode::FORBIDDEN, "only a peer of its object");
    let taken = pod.order(1, take_over(&own)).await;
    assert!(taken.is_ok(), "{taken:?}");
    pod.until("it leads", |status| status.role == Role::Primary)
        .await;
}

async fn who_has_slots_or_follows_does_not_join_as_another(engine: Engine) {
    let cluster = Cluster::new(engine).await;
    for (at, pod) in cluster.group.pods[..2].iter().enumerate() {
        let id = cluster.state(at).await.id.unwrap();
        let command = Command::Rejoin { id };
        let refused = pod.order(1, Order::Cluster { command }).await.unwrap_err();
        assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(is_running(&pod.status().await.unwrap()));
    }
}

/// An order that comes late is for the server that was meant. It has nothing of what it knew, and is started by order.
async fn who_led_joins_as_another_by_an_order_with_its_own_id(engine: Engine) {
    let cluster = Cluster::new(engine).await;
    let pod = &cluster.group.pods[0];
    let root = user("root", &["+@all", "~*", "&*"]);
    pod.push_users(2, &[app(), replication(), root])
        .await
        .unwrap();
    let hand = login(pod.port, "root").await.unwrap();
    let before = cluster.state(0).await.server.unwrap();
    for (first, last) in before.slots().ranges() {
        let (first, last) = (first.to_string(), last.to_string());
        let words = ["CLUSTER", "DELSLOTSRANGE", &first, &last];
        hand.say(&words).await.unwrap();
    }
    let other = cluster.state(2).await.id.unwrap();
    let rejoin = async |id: &str| {
        let id = id.to_owned();
        let command = Command::Rejoin { id };
        pod.order(1, Order::Cluster { command }).await
    };
    // Its agent looks for some seconds whether it gives keys up.
    until("it takes the order", async || {
        let refused = rejoin(&other).await.unwrap_err();
        assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY, "{refused:?}");
        let taken = rejoin(&before.id).await;
        taken.map(drop).map_err(|refused| format!("{refused:?}"))
    })
    .await;
    until("its next server waits, and knows nothing", async || {
        let state = cluster.state(0).await;
        match (&state.held, &state.id) {
            (Some(_), None) => Ok(()),
            _ => Err(format!("{state:?}")),
        }
    })
    .await;
    let command = Command::Start;
    pod.order(1, Order::Cluster { command }).await.unwrap();
    let now = until("it runs", async || {
        let state = cluster.state(0).await;
        state.server.ok_or_else(|| "it is not heard".to_owned())
    })
    .await;
    assert_ne!(now.id, before.id);
}

async fn only_an_agent_of_the_object_asks_another_for_a_step_of_a_slot(engine: Engine) {
    let cluster = Cluster::new(engine).await;
    let pod = &cluster.group.pods[2];
    let step = SlotStep {
        slots: SlotSet::of([(0, 1)]),
        source: cluster.state(0).await.id.unwrap(),
        epoch: 0,
        target: cluster.state(2).await.id.unwrap(),
        replicas: Vec::new(),
        step: TakeSlot::Import,
    };
    let asked = pod.http.post(pod.url(PATH_SLOT)).json(&step).send().await;
    assert_eq!(asked.unwrap().status(), StatusCode::FORBIDDEN);
    let target = cluster.state(2).await.server.unwrap();
    assert!(target.own().unwrap().open_slots.is_empty());
}

/// A user of its own, with the password of replicas.
async fn whoever_brings_keys_of_slots_reads_and_follows_nothing(engine: Engine) {
    let cluster = Cluster::new(engine).await;
    let pod = &cluster.group.pods[0];
    let root = user("root", &["+@all", "~*", "&*"]);
    pod.push_users(2, &[app(), replication(), root])
        .await
        .unwrap();
    login_with(pod.port, "hera-migration", "hera-replication")
        .await
        .unwrap();
    let hand = login(pod.port, "root").await.unwrap();
    let may = async |words: &[&str]| {
        let dry = ["ACL", "DRYRUN", "hera-migration"].iter().chain(words);
        let dry: Vec<&str> = dry.copied().collect();
        hand.say(&dry).await.unwrap() == "OK"
    };
    assert!(may(&["RESTORE-ASKING", "any", "0", "x"]).await);
    assert!(may(&["SELECT", "0"]).await);
    for words in [
        &["GET", "any"][..],
        &["PSYNC", "?", "-1"],
        &["SYNC"],
        &["FLUSHALL"],
        &["CONFIG", "GET", "*"],
        &["CLUSTER", "SETSLOT", "0", "STABLE"],
    ] {
        assert!(!may(words).await, "{words:?}");
    }
}

async fn a_job_that_cannot_begin_is_told_and_the_slots_stay(engine: Engine) {
    let cluster = Cluster::new(engine).await;
    let give = |ip: &str, way| Order::Cluster {
        command: Command::GiveSlots {
            slots: SlotSet::of([(0, 1)]),
            target: "0".repeat(40),
            ip: ip.to_owned(),
            port: 1,
            way,
            max_stall_ms: 100,
        },
    };
    let pod = &cluster.group.pods[0];
    for wrong in [give("a-host", Way::Keys), give("127.0.0.1", Way::Import)] {
        let refused = pod.order(1, wrong).await.unwrap_err();
        assert_eq!(refused.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    assert_eq!(cluster.state(0).await.server.unwrap().moving, None);
    // Nobody is there.
    pod.order(1, give("127.0.0.1", Way::Keys)).await.unwrap();
    let told = until("the job has ended", async || {
        let told = cluster.state(0).await.server.and_then(|s| s.moving);
        let told = told.ok_or_else(|| "no job".to_owned())?;
        match told.state {
            MovingState::Running => Err(format!("{told:?}")),
            _ => Ok(told),
        }
    })
    .await;
    assert!(told.state == MovingState::Failed && !told.words.is_empty());
    let own = cluster.state(0).await.server.unwrap();
    assert!(own.slots().contains(0) && own.own().unwrap().open_slots.is_empty());
}

/// Its slots are another's by then, and its keys not deleted yet.
async fn a_copy_that_died_while_it_joined_joins_as_another(engine: Engine) {
    let mut cluster = Cluster::new(engine).await;
    let server = cluster.group.pods[0].app().await;
    server.set("3560", "kept").await.unwrap();
    until("the replica has it", async || {
        let keys = cluster
            .state(1)
            .await
            .server
            .map_or(0, |server| server.keys);
        (keys > 0)
            .then_some(())
            .ok_or_else(|| format!("{keys} keys"))
    })
    .await;
    let before = cluster.state(1).await.id;
    assert!(cluster.group.pods[1].terminate().await.success());
    let path = cluster.group.pods[1].path("data/nodes.conf");
    let known = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, without_primary(&known)).unwrap();
    cluster.start(1).await;
    cluster.until_whole("a copy has keys and no slots").await;
    // Valkey needs no order: it gives the keys up, or hears what it is.
    let is_another = cluster.state(1).await.id != before;
    assert_eq!(is_another, engine.name == "redis");
    let server = cluster.group.pods[0].app().await;
    let value = server.get("3560").await.unwrap();
    assert_eq!(value.as_deref(), Some("kept"));
}
