//! What a server says of its cluster, and the commands that change it.

use hera_core::cluster::{self, Command, Entry, Failover, SlotSet};

use crate::{Error, Server, ServerInfo, SlotOf};

/// Reads a line of `CLUSTER NODES`: whom it is about, and whether that is the server that was asked.
fn entry(line: &str) -> Option<(Entry, bool)> {
    let mut words = line.split_whitespace();
    let id = words.next()?.to_owned();
    let address = words.next()?;
    let flags = words.next()?;
    let primary = words.next()?;
    let mut words = words.skip(2);
    let config_epoch = words.next()?.parse().ok()?;
    let link = words.next()?;
    // `:0@0` of one whose address is not known; names may follow it.
    let (ip, port) = address.split_once('@')?.0.rsplit_once(':')?;
    let has = |flag: &str| flags.split(',').any(|known| known == flag);
    let (mut ranges, mut open_slots) = (Vec::new(), Vec::new());
    for slots in words {
        if slots.starts_with('[') {
            open_slots.push(slots.to_owned());
            continue;
        }
        let (first, last) = slots.split_once('-').unwrap_or((slots, slots));
        ranges.push((first.parse().ok()?, last.parse().ok()?));
    }
    let is_myself = has("myself");
    let entry = Entry {
        id,
        ip: match has("noaddr") {
            true => String::new(),
            false => ip.to_owned(),
        },
        port: port.parse().ok()?,
        replica_of: (primary != "-").then(|| primary.to_owned()),
        failed: has("fail") || has("fail?"),
        handshake: has("handshake"),
        connected: is_myself || link == "connected",
        config_epoch,
        slots: SlotSet::of(ranges),
        open_slots,
    };
    Some((entry, is_myself))
}

impl Server {
    /// What the server, which has just told `info`, says of itself and of its cluster.
    ///
    /// # Errors
    /// It is in no cluster, or busy; or a line is not understood.
    pub async fn cluster(&self, info: &ServerInfo) -> Result<cluster::Server, Error> {
        let text: String = self.ask("CLUSTER NODES", &words(&["NODES"])).await?;
        let strange = |line: &str| Error::unexpected("CLUSTER NODES", line.to_owned());
        let mut own = None;
        let mut known = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (entry, is_myself) = entry(line).ok_or_else(|| strange(line))?;
            if is_myself {
                own = Some(entry.id.clone());
            }
            known.push(entry);
        }
        let (serves, current_epoch) = self.cluster_state().await?;
        let link = info.replication.master_link.as_ref();
        Ok(cluster::Server {
            id: own.ok_or_else(|| strange(&text))?,
            keys: info.keys,
            offset: info.replication.offset,
            connects_to: link.map(|link| (link.host.clone(), link.port)),
            link_up: link.is_some_and(|link| link.up && !link.syncing),
            link_down_ms: link.and_then(|link| link.down_seconds.map(|s| s.saturating_mul(1_000))),
            serves,
            current_epoch,
            used_bytes: Some(info.used_memory),
            max_bytes: Some(info.max_memory).filter(|max| *max > 0),
            // A mean is for who looks more than once.
            ops_per_second: None,
            heaviest: Vec::new(),
            known,
            // Of that the agent knows.
            moving: None,
        })
    }

    /// Whether it serves its slots, and the highest epoch that it knows.
    async fn cluster_state(&self) -> Result<(bool, u64), Error> {
        let text: String = self.ask("CLUSTER INFO", &words(&["INFO"])).await?;
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.trim().split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let epoch = field("cluster_current_epoch").and_then(|value| value.parse().ok());
        Ok((field("cluster_state") == Some("ok"), epoch.unwrap_or(0)))
    }

    /// Carries out a command. That a server was told to take over says nothing of whether it did; one that
    /// runs is started. How slots move is the agent's affair: nothing is told here of those commands.
    ///
    /// # Errors
    /// The server will not: it knows others and takes no epoch, it has keys of its own or does not know whom to
    /// replicate, or its primary is not there to agree.
    pub async fn cluster_command(&self, command: &Command) -> Result<(), Error> {
        match command {
            Command::Start
            | Command::Rejoin { .. }
            | Command::GiveSlots { .. }
            | Command::TakeSlots { .. }
            | Command::StopMoving
            | Command::CloseSlots { .. } => Ok(()),
            Command::SetEpoch { epoch } => {
                self.told(&["SET-CONFIG-EPOCH", &epoch.to_string()]).await
            }
            Command::BumpEpoch => self.told(&["BUMPEPOCH"]).await,
            Command::AddSlots { slots } => self.add_slots(slots).await,
            Command::Meet { ip, port } => self.told(&["MEET", ip, &port.to_string()]).await,
            Command::Replicate { primary } => self.told(&["REPLICATE", primary]).await,
            Command::Failover { how, .. } => match how {
                Failover::Agreed => self.told(&["FAILOVER"]).await,
                Failover::Force => self.told(&["FAILOVER", "FORCE"]).await,
                Failover::Takeover => self.told(&["FAILOVER", "TAKEOVER"]).await,
            },
            Command::Forget { id } => self.told(&["FORGET", id]).await,
        }
    }

    /// Of slots that it takes for another's it is told one by one that they are its own.
    async fn add_slots(&self, slots: &SlotSet) -> Result<(), Error> {
        // Ranges in one command came with 7.0.
        let mut command = words(&["ADDSLOTS"]);
        for slot in slots.iter() {
            command.arg(slot);
        }
        match self.ask("CLUSTER ADDSLOTS", &command).await {
            Err(Error::Refused { message, .. }) if message.contains("already busy") => {}
            answer => return answer,
        }
        let own: String = self.ask("CLUSTER MYID", &words(&["MYID"])).await?;
        for slot in slots.iter() {
            self.set_slot(slot, SlotOf::Node(&own)).await?;
        }
        Ok(())
    }

    async fn told(&self, command: &[&str]) -> Result<(), Error> {
        self.ask("CLUSTER", &words(command)).await
    }
}

fn words(words: &[&str]) -> redis::Cmd {
    let mut command = redis::cmd("CLUSTER");
    command.arg(words);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_versions_are_read() {
        let old = "07c3 127.0.0.1:30004@31004 slave e7d1 0 1426238317239 4 connected";
        let (replica, _) = entry(old).unwrap();
        assert_eq!(
            (replica.port, replica.replica_of.as_deref()),
            (30004, Some("e7d1"))
        );
        let lost =
            "67ed :0@0 master,noaddr,fail? - 1426238316232 1426238315232 2 disconnected 5461-10922";
        let (lost, _) = entry(lost).unwrap();
        assert!(lost.ip.is_empty() && lost.failed && !lost.connected);
        assert_eq!(lost.slots.ranges(), [(5461, 10922)]);
        let named = "e7d1 10.0.0.7:6379@16379,a-0.b.svc,shard-id=c9 myself,master - 0 0 1 connected 0 [93-<-67ed]";
        let (own, is_myself) = entry(named).unwrap();
        assert!(is_myself && own.ip == "10.0.0.7");
        assert_eq!(
            (own.slots.len(), own.open_slots),
            (1, vec!["[93-<-67ed]".to_owned()])
        );
        assert_eq!(entry("e7d1 nowhere"), None);
    }
}
