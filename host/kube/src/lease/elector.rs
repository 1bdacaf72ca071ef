use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tracing::{info, warn};

use super::tenure::{Leadership, Seat};
use super::{DURATION, LOOK_EVERY, RENEW_EVERY, Record, Verdict, evaluate};

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
    observed: Option<(Record, Instant)>,
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
            observed: None,
        };
        (elector, leadership)
    }

    /// Holds, renews or waits for the Lease until `shutdown` completes, then releases it.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::pin!(shutdown);
        loop {
            let attempt = tokio::time::timeout(RENEW_EVERY, self.step());
            let answer = tokio::select! {
                answer = attempt => answer,
                () = &mut shutdown => break,
            };
            match &answer {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "the Lease could not be read or written"),
                Err(_) => warn!("the API server did not answer about the Lease in time"),
            }
            self.seat.expire();
            // A leader that was not answered asks again soon: one late answer must not end its term.
            let pause = match answer {
                Ok(Ok(())) if self.seat.is_taken() => RENEW_EVERY,
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

    async fn step(&mut self) -> kube::Result<()> {
        let sent = Instant::now();
        let live = self.api.get_opt(&self.name.name).await?;
        let record = live.as_ref().map(record_of);
        let unchanged_for = self.observe(record.as_ref(), sent);
        match evaluate(&self.me, record.as_ref(), unchanged_for) {
            Verdict::Yield => {
                self.seat.leave();
                Ok(())
            }
            Verdict::Renew { term } | Verdict::Acquire { term } => {
                let term = term.max(*self.at_least.borrow_and_update());
                self.write(live, &self.me.clone(), term).await?;
                self.seat.lead(term, sent + DURATION);
                Ok(())
            }
        }
    }

    /// Notes the record and answers for how long it has been the same.
    fn observe(&mut self, record: Option<&Record>, now: Instant) -> Duration {
        match (&self.observed, record) {
            (Some((known, since)), Some(seen)) if known == seen => now.duration_since(*since),
            (_, Some(seen)) => {
                self.observed = Some((seen.clone(), now));
                Duration::ZERO
            }
            (_, None) => {
                self.observed = None;
                Duration::ZERO
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
            let live = self.api.get_opt(&self.name.name).await?;
            if live
                .as_ref()
                .map(record_of)
                .is_some_and(|r| r.holder == self.me)
            {
                self.write(live, "", term).await?;
            }
            Ok::<(), kube::Error>(())
        };
        match tokio::time::timeout(RENEW_EVERY, released).await {
            Ok(Ok(())) => info!("Lease released"),
            Ok(Err(error)) => warn!(%error, "the Lease could not be released"),
            Err(_) => warn!("the API server did not answer; the Lease runs out by itself"),
        }
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
