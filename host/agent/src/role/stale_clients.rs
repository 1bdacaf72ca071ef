//! Clients that took this server for the primary and stay: a client that connects anew only when its
//! connection breaks would be refused for ever.

use std::time::{Duration, Instant};

/// Nodes follow a Service that moves within this: until then clients still come to a server that was
/// the primary.
const ALL: Duration = Duration::from_secs(3);
/// Nodes that were cut off from the API server follow later.
const WHO_WRITES: Duration = Duration::from_secs(120);

/// Whom a replica sends away.
#[derive(Debug, Default)]
pub struct StaleClients {
    /// Since when the server is a replica, and whether it led before.
    since: Option<(Instant, bool)>,
    /// Writes that it had refused at the last look.
    turned_away: u64,
}

impl StaleClients {
    /// The server became a replica.
    pub fn begin(&mut self, now: Instant, led: bool) {
        self.since = Some((now, led));
    }

    /// The server is no replica.
    pub fn end(&mut self) {
        self.since = None;
    }

    /// True if clients are to be sent away now. A replica that refused a write since the last look has
    /// a client that should be elsewhere.
    pub fn are_here(&mut self, now: Instant, turned_away: u64) -> bool {
        let more = turned_away > std::mem::replace(&mut self.turned_away, turned_away);
        let Some((since, led)) = self.since else {
            return false;
        };
        let passed = now.duration_since(since);
        (led && passed < ALL) || (more && passed < WHO_WRITES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_former_primary_sends_everybody_away_until_nodes_have_followed() {
        let (now, mut stale_clients) = (Instant::now(), StaleClients::default());
        assert!(!stale_clients.are_here(now, 0));
        stale_clients.begin(now, true);
        assert!(stale_clients.are_here(now + Duration::from_secs(2), 0));
        assert!(!stale_clients.are_here(now + Duration::from_secs(4), 0));
    }

    #[test]
    fn whoever_is_refused_by_a_new_replica_is_sent_away_for_two_minutes() {
        let (now, mut stale_clients) = (Instant::now(), StaleClients::default());
        stale_clients.begin(now, false);
        assert!(!stale_clients.are_here(now, 0));
        assert!(stale_clients.are_here(now + Duration::from_secs(60), 1));
        assert!(!stale_clients.are_here(now + Duration::from_secs(61), 1));
        assert!(!stale_clients.are_here(now + Duration::from_secs(121), 2));
        stale_clients.begin(now, false);
        stale_clients.end();
        assert!(!stale_clients.are_here(now, 3));
    }
}
