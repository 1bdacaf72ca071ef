//! What a server says of its history, and whether it can be read.

use hera_core::backup::log::ServerHistory;
use hera_core::backup::{Failure, FailureReason};

use crate::backup::failed;

/// The program of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// `redis` or `valkey`.
    pub engine: String,
    /// Its version.
    pub version: String,
}

/// What a server says of its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// It serves writes.
    pub is_primary: bool,
    /// What it has.
    pub history: ServerHistory,
    link_is_up: bool,
    counts_replicas: bool,
}

/// Reads `INFO replication`; none if it is not understood.
pub fn read(info: &str) -> Option<Told> {
    let field = |name: &str| {
        let mut lines = info.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim)
    };
    let number = |name: &str| field(name)?.parse::<u64>().ok();
    let is_primary = match field("role")? {
        "master" | "primary" => true,
        "slave" | "replica" => false,
        _ => return None,
    };
    let id2 = field("master_replid2").filter(|id| id.chars().any(|c| c != '0'));
    Some(Told {
        is_primary,
        history: ServerHistory {
            id: field("master_replid")?.to_owned(),
            offset: number("master_repl_offset")?,
            id2: id2.map(str::to_owned),
            second_offset: number("second_repl_offset"),
            backlog_from: number("repl_backlog_first_byte_offset")
                .filter(|_| field("repl_backlog_active") == Some("1")),
        },
        link_is_up: field("master_link_status") == Some("up"),
        // Told only where writes are refused without them.
        counts_replicas: number("min_slaves_good_slaves").is_some(),
    })
}

impl Told {
    /// Whether the stream of this server can be read now.
    ///
    /// # Errors
    /// Why not.
    pub fn may_be_read(&self) -> Result<(), Failure> {
        let lacks = match self.is_primary {
            true if self.counts_replicas => {
                "its minReplicasToWrite would count the agent as a replica, so only a replica is read"
            }
            true => return Ok(()),
            false if !self.link_is_up => "it is a replica without a link to its primary",
            false if self.history.backlog_from.is_none() => "it is a replica without a backlog",
            false => return Ok(()),
        };
        let words = format!("the server cannot be read now: {lacks}");
        Err(failed(FailureReason::NoCopyFits, words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "f268b1a1945b4cb0d92ca291ebe4fd355785d3ad";
    const NONE: &str = "0000000000000000000000000000000000000000";

    fn info(more: &str, id2: &str, second: &str) -> String {
        format!(
            "# Replication\r\n{more}\r\nmaster_replid:{ID}\r\nmaster_replid2:{id2}\r\nmaster_repl_offset:700\r\n\
             second_repl_offset:{second}\r\n"
        )
    }

    const BACKLOG: &str = "repl_backlog_active:1\r\nrepl_backlog_first_byte_offset:101";

    #[test]
    fn a_history_is_told_with_where_it_forked_and_what_can_be_sent() {
        let primary = format!("role:master\r\nconnected_slaves:1\r\n{BACKLOG}");
        let told = read(&info(&primary, &NONE.replace('0', "a"), "501")).unwrap();
        assert!(told.is_primary && told.may_be_read().is_ok());
        let expected = ServerHistory {
            id: ID.to_owned(),
            offset: 700,
            id2: Some(NONE.replace('0', "a")),
            second_offset: Some(501),
            backlog_from: Some(101),
        };
        assert_eq!(told.history, expected);
    }

    #[test]
    fn a_server_without_a_backlog_or_an_earlier_history_tells_none() {
        let lone = "role:master\r\nrepl_backlog_active:0\r\nrepl_backlog_first_byte_offset:0";
        let told = read(&info(lone, NONE, "-1")).unwrap();
        let ServerHistory {
            id2,
            second_offset,
            backlog_from,
            ..
        } = told.history;
        assert_eq!((id2, second_offset, backlog_from), (None, None, None));
        assert_eq!(read("role:master\r\n"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_replica_is_read_while_its_link_is_up_and_a_primary_where_no_replica_counts() {
        let reads = |more: &str| {
            let told = read(&info(&format!("{more}\r\n{BACKLOG}"), NONE, "-1")).unwrap();
            told.may_be_read().map_err(|failure| failure.reason)
        };
        let not_now = Err(FailureReason::NoCopyFits);
        assert_eq!(reads("role:slave\r\nmaster_link_status:up"), Ok(()));
        assert_eq!(reads("role:slave\r\nmaster_link_status:down"), not_now);
        assert_eq!(reads("role:master"), Ok(()));
        assert_eq!(reads("role:master\r\nmin_slaves_good_slaves:0"), not_now);
    }
}
