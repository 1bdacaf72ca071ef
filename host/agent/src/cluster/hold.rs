//! A server that led waits with its start: its replicas follow its address, and take whatever is there (P05,
//! decision 019).

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, SystemTime};

use hera_core::agent::{ClusterNews, Role, ServerState};
use hera_core::cluster::Held;
use hera_redis::nodes_conf;
use tracing::{info, warn};

use super::state::Cluster;
use crate::agent::Agent;
use crate::server::boot;
use crate::state::remembered::Source;

/// The directive that says after how many milliseconds the servers vote.
const NODE_TIMEOUT: &str = "cluster-node-timeout";
/// Its default.
const DEFAULT_NODE_TIMEOUT: u64 = 15_000;
/// A vote that is due takes less than this.
const VOTE: Duration = Duration::from_secs(5);

/// Completes once the server may start: not before the operator has confirmed who may log in, or has not for
/// a while. A replica starts then. One that led starts when the operator says so; where nobody hears of one,
/// once the others would have voted for another, and only with a log, which has all that it acknowledged.
pub async fn wait(agent: &Agent, cluster: &Cluster) {
    wait_for_users(agent).await;
    let path = agent.settings.data.join(nodes_conf::NAME);
    if agent.state_file.get().rejoins {
        warn!("the server joins as another: what it knew of the cluster is removed");
        let removed = std::fs::remove_file(&path).or_else(|error| match error.kind() {
            ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        });
        let noted = removed.map_err(|error| error.to_string()).and_then(|()| {
            agent
                .note(|state| state.rejoins = false)
                .map_err(|e| e.to_string())
        });
        if let Err(error) = noted {
            warn!(error, "it does with its next start");
        }
    }
    let text = read(&path);
    let id = nodes_conf::own_id(&text).map(str::to_owned);
    let wants_append = agent.work.lock().await.held.wants_append() == Some(true);
    let found = boot::next_data(agent, wants_append);
    if found.is_none() && path.exists() {
        // It says which slots are served here, and their keys are gone. Its replicas follow that id still.
        warn!("the volume has no data: what it says of the cluster is removed");
        let _ = std::fs::remove_file(&path);
    }
    cluster.begins_as(id.clone());
    if found.is_some() && nodes_conf::is_replicas(&text) {
        return;
    }
    let age = |at: SystemTime| at.elapsed().map_or(0, |age| age.as_millis());
    let snapshot = found.filter(|(source, _)| *source == Source::Rdb);
    let held = Held {
        has_data: found.is_some(),
        snapshot_ms: snapshot.map(|(_, at)| u64::try_from(age(at)).unwrap_or(u64::MAX)),
        epoch: nodes_conf::own_epoch(&text),
    };
    cluster.held.send_replace(Some(held));
    let news = ClusterNews {
        id: id.unwrap_or_default(),
        held: true,
        ..ClusterNews::default()
    };
    agent.board.change(|status| {
        status.server = ServerState::Fenced;
        status.role = Role::Unknown;
        status.link = None;
        status.cluster = Some(news);
        let words =
            "the operator says when it starts: replicas take whatever they find at its address";
        status.waiting_for = Some(words.to_owned());
    });
    let has_all = found.is_some_and(|(source, _)| source == Source::Aof);
    let mut released = cluster.held.subscribe();
    tokio::select! {
        _ = released.wait_for(Option::is_none) => info!("the server starts"),
        () = until_alone(agent, cluster), if has_all => {
            warn!("no operator says when the server starts: it does, as the others have voted by now");
        }
        () = agent.fence.until_down() => {}
        () = agent.until_stopping() => {}
    }
    cluster.held.send_replace(None);
}

/// A user whose rights were taken away meanwhile is not to log in.
async fn wait_for_users(agent: &Agent) {
    let mut news = agent.board.watch();
    let confirmed = news.wait_for(|status| status.acl.confirmed);
    tokio::select! {
        _ = tokio::time::timeout(agent.settings.confirm_limit(), confirmed) => {}
        () = agent.until_stopping() => {}
    }
}

/// Completes once no operator was heard for so long that the others have voted.
async fn until_alone(agent: &Agent, cluster: &Cluster) {
    let limit = alone(agent).await;
    loop {
        let left = limit.saturating_sub(cluster.operator_silent_for());
        if left.is_zero() {
            return;
        }
        tokio::time::sleep(left).await;
    }
}

/// How long nobody is heard before the others have voted.
async fn alone(agent: &Agent) -> Duration {
    node_timeout(agent).await + VOTE
}

/// How long a server may be silent before the others vote.
pub async fn node_timeout(agent: &Agent) -> Duration {
    let directives = agent.work.lock().await.held.good();
    let timeout = directives.get(NODE_TIMEOUT);
    let timeout = timeout.and_then(|text| text.parse().ok());
    Duration::from_millis(timeout.unwrap_or(DEFAULT_NODE_TIMEOUT))
}

/// Takes out of the file what its server could not read again. True if another start may do.
pub fn mend(agent: &Agent, words: &[String]) -> bool {
    if !nodes_conf::is_blamed(words) {
        return false;
    }
    let path = agent.settings.data.join(nodes_conf::NAME);
    let text = read(&path);
    let done = match nodes_conf::mended(&text, words) {
        Some(mended) => {
            warn!("the server cannot read what it wrote of the others: it meets them again");
            crate::state::durable::write(&path, mended.as_bytes()).is_ok()
        }
        None => {
            warn!("the server cannot read what it wrote of the cluster: it joins as another");
            std::fs::remove_file(&path).is_ok()
        }
    };
    done && !text.is_empty()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
