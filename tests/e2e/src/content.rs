use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{Login, wait_for};

/// Of this size and as many: enough to be caught on the way to a store and back.
const SIZE: usize = 512 << 10;
const COUNT: usize = 24;
/// A new server, or one that was just promoted, may send clients away for a moment.
const SOME: Duration = Duration::from_secs(20);

/// Twelve megabytes in a server that no packing makes smaller.
pub struct Content(Vec<Vec<u8>>);

impl Content {
    /// Writes it.
    ///
    /// # Errors
    /// As the server or the network has it.
    pub async fn write(login: &Login) -> Result<Self> {
        let value = |_| {
            let mut value = vec![0u8; SIZE];
            rand::fill(value.as_mut_slice());
            value
        };
        let values: Vec<Vec<u8>> = (0..COUNT).map(value).collect();
        let mut connection = login.connect().await?;
        for (number, value) in values.iter().enumerate() {
            let mut set = redis::cmd("SET");
            set.arg(key(number)).arg(value.as_slice());
            set.query_async::<()>(&mut connection).await?;
        }
        Ok(Self(values))
    }

    /// All of it is there, byte for byte.
    ///
    /// # Errors
    /// When it is not.
    pub async fn ensure_at(&self, login: &Login) -> Result<()> {
        wait_for("the content is there", SOME, async || {
            let mut connection = login.connect().await?;
            for (number, value) in self.0.iter().enumerate() {
                let mut get = redis::cmd("GET");
                get.arg(key(number));
                let found: Option<Vec<u8>> = get.query_async(&mut connection).await?;
                let length = found.as_ref().map(Vec::len);
                ensure!(
                    found.as_ref() == Some(value),
                    "{} has another value, of {length:?} bytes",
                    key(number)
                );
            }
            Ok(())
        })
        .await
    }
}

fn key(number: usize) -> String {
    format!("content:{number}")
}
