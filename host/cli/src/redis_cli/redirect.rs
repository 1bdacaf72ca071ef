//! Where a server of a cluster says that a key is.

use hera_redis::Value;

use crate::reach::Announced;

/// It is at another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The slot of the key.
    pub slot: u16,
    /// Where the other is.
    pub at: Announced,
    /// This once: the slot moves, and that one takes the command only if it is told so.
    pub is_ask: bool,
}

impl Redirect {
    /// What an answer says; none if it is another.
    pub fn of(answer: &Value) -> Option<Self> {
        let Value::ServerError(error) = answer else {
            return None;
        };
        let is_ask = match error.code() {
            "MOVED" => false,
            "ASK" => true,
            _ => return None,
        };
        let (slot, place) = error.details()?.split_once(' ')?;
        // An IPv6 address has colons, too.
        let (host, port) = place.rsplit_once(':')?;
        Some(Self {
            slot: slot.parse().ok()?,
            at: Announced {
                host: host.to_owned(),
                port: port.parse().ok()?,
            },
            is_ask,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn redirect(line: &str) -> Option<Redirect> {
        let (stream, mut server) = tokio::io::duplex(64);
        let mut session = hera_redis::Session::new(stream, "a test");
        tokio::io::AsyncWriteExt::write_all(&mut server, line.as_bytes())
            .await
            .unwrap();
        Redirect::of(&session.next().await.unwrap())
    }

    #[tokio::test]
    async fn it_is_read_as_servers_write_it() {
        let found = |slot, host: &str, is_ask| {
            Some(Redirect {
                slot,
                at: Announced {
                    host: host.to_owned(),
                    port: 6379,
                },
                is_ask,
            })
        };
        let moved = redirect("-MOVED 3999 10.0.0.7:6379\r\n").await;
        assert_eq!(moved, found(3999, "10.0.0.7", false));
        let ask = redirect("-ASK 7 fd00::2:6379\r\n").await;
        assert_eq!(ask, found(7, "fd00::2", true));
        let unknown = redirect("-MOVED 7 ?:6379\r\n").await;
        assert_eq!(unknown, found(7, "?", false));
    }

    #[tokio::test]
    async fn other_answers_lead_nowhere() {
        for line in [
            "+MOVED 1 10.0.0.7:6379\r\n",
            "-CLUSTERDOWN Hash slot not served\r\n",
            "-MOVED much\r\n",
            "-MOVED 1 there\r\n",
        ] {
            assert_eq!(redirect(line).await, None, "{line}");
        }
    }
}
