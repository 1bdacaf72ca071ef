use std::time::Instant;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use thiserror::Error;
use tokio::sync::watch;
use tracing::{info, warn};

use super::decide::{Record, Sight, Verdict};
use super::tenure::{Leadership, Seat};
use super::{DURATION, LOOK_EVERY, RENEW_EVERY};

/// Where the Lease lies.
#[derive(Clone, Debug)]
pub struct LeaseName {
    /// Its namespace: the operator's own.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Takes part in the election.
pub struct Elector {
    api: Api<Lease>,
    name: LeaseName,
    me: String,
    seat: Seat,
    at_least: watch::Receiver<u64>,
    sight: Sight,
}

impl Elector {
    /// A candidate called `me`, which must be different for each replica.
    pub fn new(client: Client, name: LeaseName, me: String) -> (Self, Leadership) {
        let (seat, leadership, at_least) = Seat::new();
        let api = Api::namespaced(client, &name.namespace);
        let elector = Self {
            api,
            name,
            me,
            seat,
            at_least,
            sight: Sight::default(),
        };
        (elector, leadership)
    }

    /// Holds, renews or waits for the Lease until `shutdown` completes, then releases it.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let began = Instant::now();
            let answer = tokio::select! {
                answer = self.step() => answer,
                () = &mut shutdown => break,
            };
            if let Err(error) = &answer {
                warn!(%error, "the Lease could not be read or written");
            }
            self.seat.expire();
            // A leader that was not answered asks again soon: one late answer must not end its term.
            let pause = match answer {
                Ok(()) if self.seat.is_taken() => RENEW_EVERY.saturating_sub(began.elapsed()),
                _ => LOOK_EVERY,
            };
            let raised = self.at_least.changed();
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = raised => {}
                () = &mut shutdown => break,
            }
        }
        self.release().await;
    }

    async fn step(&mut self) -> Result<(), Unanswered> {
        let live = answered(self.api.get_opt(&self.name.name)).await?;
        let record = live.as_ref().map(record_of);
        let leads = self.seat.is_taken();
        match self.sight.look(&self.me, record, leads, Instant::now()) {
            Verdict::Yield => {
                self.seat.leave();
                Ok(())
            }
            Verdict::Renew { term } | Verdict::Acquire { term } => {
                let term = term.max(*self.at_least.borrow_and_update());
                let sent = Instant::now();
                answered(self.write(live, &self.me, term)).await?;
                self.seat.lead(term, sent + DURATION);
                Ok(())
            }
        }
    }

    /// Writes on top of exactly the Lease that was read: its `resourceVersion` goes along.
    async fn write(&self, live: Option<Lease>, holder: &str, term: u64) -> kube::Result<()> {
        let now = MicroTime(Timestamp::now());
        let before = live
            .as_ref()
            .and_then(|lease| lease.spec.clone())
            .unwrap_or_default();
        let same_holder = before.holder_identity.as_deref() == Some(holder);
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(self.name.name.clone()),
                namespace: Some(self.name.namespace.clone()),
                resource_version: live.as_ref().and_then(ResourceExt::resource_version),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                lease_transitions: Some(i32::try_from(term).unwrap_or(i32::MAX)),
                acquire_time: before
                    .acquire_time
                    .filter(|_| same_holder)
                    .or(Some(now.clone())),
                renew_time: Some(now),
                ..LeaseSpec::default()
            }),
        };
        let params = PostParams::default();
        match live {
            Some(_) => self.api.replace(&self.name.name, &params, &lease).await?,
            None => self.api.create(&params, &lease).await?,
        };
        Ok(())
    }

    async fn release(&self) {
        let Some(term) = self.seat.leave() else {
            return;
        };
        let released = async {
            let live = answered(self.api.get_opt(&self.name.name)).await?;
            if live
                .as_ref()
                .map(record_of)
                .is_some_and(|r| r.holder == self.me)
            {
                answered(self.write(live, "", term)).await?;
            }
            Ok::<(), Unanswered>(())
        };
        match released.await {
            Ok(()) => info!("Lease released"),
            Err(error) => warn!(%error, "the Lease could not be released; it runs out by itself"),
        }
    }
}

/// Why the Lease was not read or written.
#[derive(Debug, Error)]
enum Unanswered {
    #[error(transparent)]
    Refused(#[from] kube::Error),
    #[error("the API server did not answer within {} s", RENEW_EVERY.as_secs())]
    Late,
}

/// Waits for one answer. A request that is given up may be carried out all the same.
async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
    match tokio::time::timeout(RENEW_EVERY, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Unanswered::Late),
    }
}

fn record_of(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        holder: spec.holder_identity.unwrap_or_default(),
        transitions: spec
            .lease_transitions
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(0),
        renewal: lease.resource_version().unwrap_or_default(),
    }
}
