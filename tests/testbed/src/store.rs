//! A store for backups that the testbed's pods reach; `down` takes it away with the rest.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::gateway::{self, ACCESS_KEY, REGION, SECRET_KEY};
use crate::layout::Layout;
use crate::names::{DATA, HOST_IP, STORE_PORT};
use crate::owner::{self, Owner};
use crate::programs;
use crate::run::wait;
use crate::spawn::Program;

/// Its name among the testbed's programs.
pub const PROGRAM: &str = "store";
/// Name of the RedisBackupStore, and of its Secret.
const NAME: &str = "testbed";
/// For a start on a machine that builds beside it.
const START: Duration = Duration::from_secs(30);

/// Starts it unless it runs, and makes a bucket. Gives what is to be applied in a namespace: a RedisBackupStore
/// `testbed` and the Secret with its keys, as a list on one line.
///
/// # Errors
/// When no testbed of this clone runs, or the store does not start.
pub fn store(layout: &Layout, bucket: &str) -> Result<String> {
    let program = program(layout)?;
    let _lock = owner::lock()?;
    let ours = Owner::load().filter(|owner| owner.lives() && owner.clone == layout.repo);
    let mut owner =
        ours.context("no testbed of this clone is running; bring it up with `make testbed-up`")?;
    let folder = root().join(bucket);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    owner.ensure(layout, &program)?;
    let address = address()?;
    wait("an answer of the store", START, || {
        Ok(!owner.runs(PROGRAM) || gateway::is_healthy(address)?)
    })?;
    if !owner.runs(PROGRAM) {
        bail!(program.ended(layout));
    }
    Ok(manifest(bucket, address).to_string())
}

/// It, on the address by which pods reach this machine.
pub fn program(layout: &Layout) -> Result<Program> {
    let words = gateway::words(&programs::versitygw(layout)?, address()?, &root());
    Ok(Program::control(PROGRAM, words))
}

fn root() -> PathBuf {
    Path::new(DATA).join(PROGRAM)
}

fn address() -> Result<SocketAddr> {
    let ip: Ipv4Addr = HOST_IP.parse()?;
    Ok(SocketAddr::from((ip, STORE_PORT)))
}

fn manifest(bucket: &str, address: SocketAddr) -> Value {
    let key = |key: &str| json!({"name": NAME, "key": key});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": NAME},
        "stringData": {"id": ACCESS_KEY, "secret": SECRET_KEY},
    });
    let store = json!({
        "apiVersion": "cache.hera.io/v1alpha1", "kind": "RedisBackupStore", "metadata": {"name": NAME},
        "spec": {"s3": {
            "bucket": bucket, "region": REGION, "endpoint": format!("http://{address}"),
            "accessKeyIdRef": key("id"), "secretAccessKeyRef": key("secret"),
        }},
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [secret, store]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_applied_stands_on_one_line_and_leads_to_the_bridge() {
        let text = manifest("demo", address().unwrap()).to_string();
        assert!(!text.contains('\n'));
        assert!(
            text.contains(r#""endpoint":"http://172.30.0.1:7070""#),
            "{text}"
        );
    }
}
