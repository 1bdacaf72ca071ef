//! What is slow to make is kept by the content hash of what it is made from.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::layout::Layout;
use crate::run::wait;

/// The hash of everything a thing is made from.
#[derive(Default)]
pub struct Recipe(Sha256);

impl Recipe {
    /// Adds a text, such as a flag.
    pub fn text(mut self, text: &str) -> Self {
        self.0
            .update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(text);
        self
    }

    /// Adds a file's name and content.
    pub fn file(self, path: &Path) -> Result<Self> {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut with_name = self.text(&name);
        with_name
            .0
            .update(u64::try_from(content.len())?.to_le_bytes());
        with_name.0.update(&content);
        Ok(with_name)
    }

    /// The name under which the thing is kept.
    pub fn key(self) -> String {
        hex(&self.0.finalize()).chars().take(16).collect()
    }
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The file or folder `<cache>/<kind>/<key>`, made by `make` at a temporary path if it is missing.
/// Two who want the same thing at once: one makes it, the other waits.
pub fn get(
    layout: &Layout,
    kind: &str,
    key: &str,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let dir = layout.cache.join(kind);
    let done = dir.join(key);
    if done.exists() {
        return Ok(done);
    }
    fs::create_dir_all(&dir).with_context(|| format!("cannot make the cache {}", dir.display()))?;
    let lock = fs::File::create(dir.join(format!(".{key}.lock")))?;
    wait(
        &format!("the making of {} by another", done.display()),
        Duration::from_secs(1800),
        || Ok(lock.try_lock().is_ok()),
    )?;
    if !done.exists() {
        let temporary = dir.join(format!(".{key}.new"));
        remove(&temporary)?;
        make(&temporary)?;
        fs::rename(&temporary, &done).with_context(|| format!("cannot keep {}", done.display()))?;
    }
    Ok(done)
}

fn remove(path: &Path) -> Result<()> {
    if path.is_dir() {
        fs::remove_dir_all(path)?;
    } else if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_depends_on_where_one_text_ends() {
        let one = Recipe::default().text("ab").text("c").key();
        let other = Recipe::default().text("a").text("bc").key();
        assert_ne!(one, other);
        assert_eq!(one, Recipe::default().text("ab").text("c").key());
    }

    #[test]
    fn a_thing_is_made_once_and_a_failed_try_leaves_none() {
        let base = std::env::temp_dir().join(format!("hera-cache-test-{}", std::process::id()));
        let layout = Layout {
            repo: base.clone(),
            cache: base.clone(),
        };
        assert!(get(&layout, "k", "a", |_| anyhow::bail!("no")).is_err());
        let path = get(&layout, "k", "a", |path| Ok(fs::write(path, "1")?)).unwrap();
        get(&layout, "k", "a", |_| anyhow::bail!("made twice")).unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "1");
        fs::remove_dir_all(base).unwrap();
    }
}
