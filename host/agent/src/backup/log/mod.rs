//! The log of the server: its replication stream is read without end, and stored in pieces (decision 029).
//!
//! One task owns it. Nobody waits for it: what is ordered is noted, and who promotes, demotes or stops the server does
//! that as if no log were kept. The server closes the link by itself then, and reading goes on from where it was.

pub(super) mod history;
mod job;
mod looks;
mod promoted;
mod queue;
mod reading;
mod session;
pub(super) mod stored;
mod stream;
pub(super) mod swept;
mod told;
mod upload;

use std::sync::Arc;

use hera_core::backup::{CaptureOrder, CaptureState};
use rustls::ClientConfig;
use tokio::sync::watch;
use tracing::info;

use self::promoted::Promoted;
use self::told::Told;
use super::backlog;
use crate::agent::Agent;

pub use looks::told as look;

/// What is ordered of the log, and what is told of it.
#[derive(Default)]
pub struct Log {
    /// When the server was promoted, whether a log is kept or not.
    pub promoted: Promoted,
    wanted: watch::Sender<Option<Arc<CaptureOrder>>>,
    told: Told,
}

impl Log {
    /// Keeps the log like this from now on. The same again changes nothing.
    pub fn order(&self, order: CaptureOrder) {
        self.wanted.send_if_modified(|wanted| {
            let is_new = wanted.as_deref() != Some(&order);
            if is_new {
                *wanted = Some(Arc::new(order));
            }
            is_new
        });
    }

    /// Reads no further. What was read is stored still.
    pub fn stop(&self) {
        self.wanted
            .send_if_modified(|wanted| wanted.take().is_some());
    }

    /// True while a log is to be kept.
    pub fn is_wanted(&self) -> bool {
        self.wanted.borrow().is_some()
    }

    /// How far it is; none where none is kept.
    pub fn state(&self) -> Option<CaptureState> {
        self.told.state()
    }
}

/// Keeps what log is ordered, until the server has stopped for good and the log is stored to its end, or cannot be in
/// time.
pub async fn keep(agent: Arc<Agent>, tls: watch::Receiver<ClientConfig>) {
    let mut wanted = agent.log.wanted.subscribe();
    loop {
        let order = wanted.borrow_and_update().clone();
        let Some(order) = order else {
            tokio::select! {
                _ = wanted.changed() => continue,
                () = agent.until_stopping() => return,
            }
        };
        info!(shard = %order.shard, store = %order.store.name, "the log is kept");
        Box::pin(job::run(&agent, &tls, order, &mut wanted)).await;
        if agent.is_stopping() {
            return;
        }
        if !agent.log.is_wanted() {
            info!("the log is kept no more");
            agent.log.told.ends();
            agent.log.told.publish(&agent.board);
            // The next order does not wait for it.
            let agent = agent.clone();
            tokio::spawn(async move { Box::pin(backlog::give_up(&agent)).await });
        }
    }
}

#[cfg(test)]
mod tests {
    use hera_core::backup::{OwnerFile, S3Access, StoreAccess};

    use super::*;

    pub fn order(key: &str) -> CaptureOrder {
        CaptureOrder {
            shard: "0".to_owned(),
            owner: OwnerFile {
                v: 1,
                cluster: "k".to_owned(),
                kind: "RedisInstance".to_owned(),
                namespace: "shop".to_owned(),
                name: "cache".to_owned(),
                uid: "u".to_owned(),
            },
            store: StoreAccess {
                name: "s3".to_owned(),
                s3: S3Access {
                    bucket: "b".to_owned(),
                    prefix: String::new(),
                    region: "r".to_owned(),
                    endpoint: None,
                    force_path_style: false,
                    ca: None,
                    access_key_id: key.to_owned(),
                    secret_access_key: "secret".to_owned(),
                },
            },
            max_delay_ms: 5_000,
        }
    }

    #[test]
    fn the_same_order_again_changes_nothing_and_a_stop_is_one_for_all() {
        let log = Log::default();
        let mut wanted = log.wanted.subscribe();
        let mut is_told = || {
            let is = wanted.has_changed().unwrap();
            wanted.mark_unchanged();
            is
        };
        log.stop();
        assert!(!is_told() && !log.is_wanted());
        log.order(order("a"));
        assert!(is_told() && log.is_wanted());
        log.order(order("a"));
        assert!(!is_told());
        log.order(order("b"));
        assert!(is_told());
        log.stop();
        log.stop();
        assert!(is_told() && !log.is_wanted());
    }
}
