//! The login of an agent at its server: the password is in the agent's memory alone, where who is root on the node
//! reads it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use hera_core::acl::AGENT_USER;
use hera_core::digest::sha256_hex;
use k8s_openapi::api::core::v1::Pod;

use crate::{Bed, Login};

/// So many hexadecimal digits has the password, and so has its hash.
const DIGITS: usize = 64;

/// As who looks at a pod's server where no user of a spec may.
pub fn login(bed: &Bed, pod: &Pod) -> Result<Login> {
    let ip = pod
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.as_ref());
    let password = password(bed.pid_in(pod, "hera-agent")?)?;
    Ok(Login::new(ip.context("no pod IP")?, AGENT_USER, &password))
}

/// The password that belongs to the hash in the agent's ACL file. An agent that starts again makes another.
fn password(agent: i32) -> Result<String> {
    static FOUND: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
    let found = || FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let file = fs::read_to_string(format!("/proc/{agent}/root/run/hera/users.acl"))
        .context("the agent's ACL file")?;
    let hash = hash(&file).context("the agent's user is not in its ACL file")?;
    let known = found().get(hash).cloned();
    if let Some(password) = known {
        return Ok(password);
    }
    let password = search(agent, hash)?;
    found().insert(hash.to_owned(), password.clone());
    Ok(password)
}

fn hash(file: &str) -> Option<&str> {
    let head = format!("user {AGENT_USER} on #");
    file.lines()
        .find_map(|line| line.strip_prefix(&head)?.get(..DIGITS))
}

fn search(agent: i32, hash: &str) -> Result<String> {
    let maps = fs::read_to_string(format!("/proc/{agent}/maps"))?;
    let memory = File::open(format!("/proc/{agent}/mem"))?;
    for range in maps.lines().filter_map(writable) {
        let mut bytes = vec![0; usize::try_from(range.end - range.start)?];
        // What the agent gave back since has nothing.
        if memory.read_exact_at(&mut bytes, range.start).is_err() {
            continue;
        }
        let digits = bytes.split(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut candidates = digits.flat_map(|digits| digits.windows(DIGITS));
        if let Some(found) = candidates.find(|candidate| sha256_hex(candidate) == hash) {
            return Ok(String::from_utf8(found.to_vec())?);
        }
    }
    bail!("the agent's password is not in the memory of process {agent}")
}

/// The addresses of a line of `maps`, if the process may write there.
fn writable(line: &str) -> Option<Range<u64>> {
    let (addresses, rest) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let address = |text: &str| u64::from_str_radix(text, 16).ok();
    rest.starts_with("rw")
        .then_some(address(start)?..address(end)?)
}
