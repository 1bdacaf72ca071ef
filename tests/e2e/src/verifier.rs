//! Proof that a change or a fault lost nothing: clients of several tempers write all along, one of
//! them to the old primary's own address, and everything acknowledged is read back by content.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::settled::settled;
use crate::writer::Acknowledged;
use crate::{Instance, Login, Settled, Writer, figures::millis};

/// Before and after, each client must have written this often, or nothing is proved.
const AT_LEAST: usize = 100;
const BOUND: Duration = Duration::from_secs(90);

/// Clients that write.
pub struct Verifier {
    /// Through the Service; connects anew after any error.
    quick: Writer,
    /// Through the Service; keeps its connection as long as it stands.
    stubborn: Writer,
    /// To the old primary's address, all along.
    prober: Writer,
    old_address: IpAddr,
    begun: Instant,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Acknowledged writes of all clients.
    pub acknowledged: usize,
    /// Those that are not there at the end.
    pub lost: usize,
    /// Further ones, which the old address acknowledged when another server served already.
    pub lost_at_old_address: usize,
    /// The longest time without an acknowledged write for the client that connects anew.
    pub longest_gap: Duration,
    /// The same for the one that keeps its connection.
    pub longest_gap_stubborn: Duration,
}

impl Verifier {
    /// Starts the clients, and waits until each has written for a while and kube-proxy is calm.
    ///
    /// # Errors
    /// When they cannot write.
    pub async fn start(instance: &Instance<'_>, old_address: &str) -> Result<Self> {
        let app = instance.app().await?;
        let verifier = Self {
            quick: Writer::start("quick", app.clone()),
            stubborn: Writer::start_stubborn("stubborn", app.clone()),
            prober: Writer::start("prober", app.at(old_address)),
            old_address: old_address.parse().context("no address")?,
            begun: Instant::now(),
        };
        for writer in [&verifier.quick, &verifier.stubborn, &verifier.prober] {
            writer.wait_for_more(AT_LEAST, BOUND).await?;
        }
        instance.space().wait_proxy().await?;
        Ok(verifier)
    }

    /// When one server alone acknowledged writes after a fault, and what two did.
    pub fn settled(&self, fault: Instant) -> Option<Settled> {
        let clients = [&self.quick, &self.stubborn, &self.prober];
        let writes = clients.map(|client| client.acknowledged_since(fault));
        settled(fault, &writes.concat())
    }

    /// Acknowledged writes a second of the client that connects anew: before a fault, and from some
    /// time after it.
    pub fn rates(&self, fault: Instant, after: Duration) -> (f64, f64) {
        let before = self.quick.rate(self.begun, fault);
        (before, self.quick.rate(fault + after, Instant::now()))
    }

    /// Writes of the clients of the Service that were acknowledged since a moment.
    pub fn written_since(&self, moment: Instant) -> usize {
        self.quick.since(moment) + self.stubborn.since(moment)
    }

    /// Waits until the clients of the Service have written for a while since.
    ///
    /// # Errors
    /// When they do not.
    pub async fn wait_for_more(&self) -> Result<()> {
        for writer in [&self.quick, &self.stubborn] {
            writer.wait_for_more(AT_LEAST, BOUND).await?;
        }
        Ok(())
    }

    /// When a server at another address served a client of the Service first.
    fn switched(&self) -> Option<Instant> {
        let clients = [&self.quick, &self.stubborn];
        let writes = clients.map(|client| client.acknowledged_since(self.begun));
        let is_other = |write: &&Acknowledged| {
            let server = write.server.map(|server| server.ip());
            server.is_some_and(|server| server != self.old_address)
        };
        let others = writes.iter().flatten().filter(is_other);
        others.map(|write| write.answered).min()
    }

    /// Stops the clients and reads back what was acknowledged.
    ///
    /// # Errors
    /// When it cannot be read, or too little was written to prove anything.
    pub async fn finish(self, login: &Login) -> Result<Report> {
        let seconds = self.begun.elapsed();
        let (longest_gap, longest_gap_stubborn) =
            (self.quick.longest_gap(), self.stubborn.longest_gap());
        let switched = self.switched();
        let (quick, lost_quick) = self.quick.read_back(login).await?;
        let (stubborn, lost_stubborn) = self.stubborn.read_back(login).await?;
        let (prober, lost_prober) = self.prober.read_back(login).await?;
        ensure!(
            quick >= 2 * AT_LEAST && stubborn >= 2 * AT_LEAST,
            "only {quick} and {stubborn} writes in {seconds:?}"
        );
        let is_late = |lost: &&Acknowledged| switched.is_some_and(|at| lost.answered > at);
        let late = lost_prober.iter().filter(is_late).count();
        Ok(Report {
            acknowledged: quick + stubborn + prober,
            lost: lost_quick.len() + lost_stubborn.len() + lost_prober.len() - late,
            lost_at_old_address: late,
            longest_gap,
            longest_gap_stubborn,
        })
    }
}

impl Report {
    /// For a table of figures.
    pub fn line(&self) -> String {
        format!(
            "gap {}, for a client that keeps its connection {}; lost {} of {}, and {} at the old address",
            millis(self.longest_gap),
            millis(self.longest_gap_stubborn),
            self.lost,
            self.acknowledged,
            self.lost_at_old_address
        )
    }
}
