//! A server that led waits with its start: its replicas follow its address, and take whatever is there (P05,
//! decision 019).

use std::path::Path;
use std::time::Duration;

use hera_core::agent::{ClusterNews, Role, ServerState};
use hera_core::cluster::Held;
use tracing::{info, warn};

use super::nodes_conf;
use super::state::Cluster;
use crate::agent::Agent;
use crate::server::boot;

/// The directive that says after how many milliseconds the servers vote.
const NODE_TIMEOUT: &str = "cluster-node-timeout";
/// Its default.
const DEFAULT_NODE_TIMEOUT: u64 = 15_000;
/// A vote that is due takes less than this.
const VOTE: Duration = Duration::from_secs(5);

/// Completes once the server may start. A replica starts at once. One that led starts when the operator says
/// so; without it, once the others would have voted for another, and only with data.
pub async fn wait(agent: &Agent, cluster: &Cluster) {
    let data = &agent.settings.data;
    let has_data = boot::has_data(data);
    let path = data.join(nodes_conf::NAME);
    if !has_data && path.exists() {
        // It says which slots are served here, and their keys are gone.
        warn!("the volume has no data: what it says of the cluster is removed");
        let _ = std::fs::remove_file(&path);
    }
    let text = read(&path);
    cluster.begins_as(nodes_conf::own_id(&text).map(str::to_owned));
    if nodes_conf::is_replicas(&text) {
        return;
    }
    cluster.held.send_replace(Some(Held { has_data }));
    let news = ClusterNews {
        id: nodes_conf::own_id(&text).unwrap_or_default().to_owned(),
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
    let alone = alone(agent).await;
    let mut held = cluster.held.subscribe();
    tokio::select! {
        _ = held.wait_for(Option::is_none) => info!("the server starts"),
        () = tokio::time::sleep(alone), if has_data => {
            warn!("no operator says when the server starts: it does, as the others have voted by now");
        }
        () = agent.fence.until_down() => {}
        () = agent.until_stopping() => {}
    }
    cluster.held.send_replace(None);
}

/// How long nobody is heard before the others have voted.
async fn alone(agent: &Agent) -> Duration {
    let directives = agent.work.lock().await.held.good();
    let timeout = directives.get(NODE_TIMEOUT);
    let timeout = timeout.and_then(|text| text.parse().ok());
    Duration::from_millis(timeout.unwrap_or(DEFAULT_NODE_TIMEOUT)) + VOTE
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
