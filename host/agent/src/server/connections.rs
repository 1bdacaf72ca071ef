//! Connections of the server, when few are left. The agent's own counts as any other.

use std::path::Path;
use std::time::Duration;

use hera_core::agent::Connections;
use hera_redis::ServerInfo;
use tokio::io::AsyncReadExt as _;
use tokio::net::UnixStream;
use tracing::warn;

use crate::agent::Agent;

/// What a server says, unasked, to a connection that is one too many, before it closes it.
const ONE_TOO_MANY: &[u8] = b"-ERR max number of clients";
/// It says that at once.
const AT_ONCE: Duration = Duration::from_millis(500);

/// True if the server at `socket` lets nobody in because all connections are taken.
pub async fn are_all_taken(socket: &Path) -> bool {
    let said = async {
        let mut stream = UnixStream::connect(socket).await.ok()?;
        // Nothing is sent: who closes before he has read it takes his own last words away.
        let mut words = [0; ONE_TOO_MANY.len()];
        stream.read_exact(&mut words).await.ok()?;
        Some(words)
    };
    let said = tokio::time::timeout(AT_ONCE, said).await;
    matches!(said, Ok(Some(words)) if words == ONE_TOO_MANY)
}

/// Tells that the agent is not let in.
pub fn lock_out(agent: &Agent) {
    agent.board.change(|status| {
        if !status.connections.as_ref().is_some_and(|few| few.all_taken) {
            warn!("all connections of the server are taken");
        }
        status.connections.get_or_insert_default().all_taken = true;
    });
}

/// Tells when few connections are left, and when there are enough again.
pub fn attend(agent: &Agent, info: &ServerInfo) {
    agent.board.change(|status| {
        let known = status.connections.take();
        status.connections = now(known, info.connections, info.max_connections);
    });
}

/// From nine tenths of the limit on few are left, until it is less than eight. Meanwhile the numbers stay:
/// traffic drives them.
fn now(known: Option<Connections>, open: u64, limit: Option<u64>) -> Option<Connections> {
    let limit = limit.filter(|limit| *limit > 0)?;
    let tenths = open.saturating_mul(10) / limit;
    match known.filter(|known| !known.all_taken) {
        Some(known) => (tenths >= 8).then_some(known),
        None => (tenths >= 9).then_some(Connections {
            open: Some(open),
            limit: Some(limit),
            all_taken: false,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_left_from_nine_tenths_on_until_less_than_eight() {
        let at = |known: Option<Connections>, open| now(known, open, Some(100));
        assert_eq!(at(None, 89), None);
        let few = at(None, 90);
        assert_eq!(few.as_ref().and_then(|few| few.open), Some(90));
        assert_eq!(at(few.clone(), 100), few, "numbers alone are no news");
        assert_eq!(at(few.clone(), 80), few);
        assert_eq!(at(few, 79), None);
    }

    #[test]
    fn a_server_without_a_limit_has_enough() {
        assert_eq!(now(None, 5, None), None);
        assert_eq!(now(None, 5, Some(0)), None);
    }

    #[test]
    fn who_is_let_in_again_tells_numbers() {
        let locked_out = Connections {
            all_taken: true,
            ..Connections::default()
        };
        let few = now(Some(locked_out.clone()), 95, Some(100)).unwrap();
        assert_eq!((few.open, few.all_taken), (Some(95), false));
        assert_eq!(now(Some(locked_out), 50, Some(100)), None);
    }
}
