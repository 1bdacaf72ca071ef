use std::time::Instant;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, PostParams};
use thiserror::Error;
use tracing::{info, warn};

use super::decide::{Sight, Verdict};
use super::record::{is_lost, lease_of, record_of};
use super::tenure::{Leadership, Seat};
use super::{ANNOTATION_TERM, DURATION, LOOK_EVERY, RENEW_EVERY};

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
    sight: Sight,
}

impl Elector {
    /// A candidate called `me`, which must be different for each replica.
    pub fn new(client: Client, name: LeaseName, me: String) -> (Self, Leadership) {
        let (seat, leadership) = Seat::new();
        let api = Api::namespaced(client, &name.namespace);
        let elector = Self {
            api,
            name,
            me,
            seat,
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
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut shutdown => break,
            }
        }
        self.release().await;
    }

    async fn step(&mut self) -> Result<(), Unanswered> {
        let live = answered(self.api.get_opt(&self.name.name)).await?;
        let record = live.as_ref().map(record_of);
        let leads = self.seat.is_taken();
        let (term, lost) = match self.sight.look(&self.me, record, leads, Instant::now()) {
            Verdict::Yield => {
                self.seat.leave();
                return Ok(());
            }
            Verdict::Spent => {
                self.seat.leave();
                return Err(Unanswered::Spent);
            }
            Verdict::Renew { term } => (term, false),
            Verdict::Acquire { term, lost } => (term, lost),
        };
        if lost {
            warn!(
                term,
                "the Lease was missing or set back: what an agent knows of terms counts for its instance"
            );
        }
        let lost = lost || live.as_ref().is_some_and(is_lost);
        let sent = Instant::now();
        answered(self.write(live, &self.me, term, lost)).await?;
        self.sight.leads(term);
        self.seat.lead(term, lost, sent + DURATION);
        Ok(())
    }

    /// Writes on top of exactly the Lease that was read.
    async fn write(
        &self,
        live: Option<Lease>,
        holder: &str,
        term: u64,
        lost: bool,
    ) -> kube::Result<()> {
        let lease = lease_of(live.as_ref(), &self.name, holder, term, lost);
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
                answered(self.write(live, "", term, false)).await?;
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
    #[error(
        "its annotation {ANNOTATION_TERM} says the last term that there is, and nobody can lead: delete the \
         Lease, and instances go on from the terms that their agents know"
    )]
    Spent,
}

/// Waits for one answer. A request that is given up may be carried out all the same.
async fn answered<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
    match tokio::time::timeout(RENEW_EVERY, request).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(Unanswered::Late),
    }
}
