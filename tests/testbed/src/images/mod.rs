//! The images of `deploy/images`, and loading them into the nodes.

pub mod dockerfile;
mod oci;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::cache::{self, Recipe};
use crate::layout::Layout;
use crate::names::{NODES, Node};
use crate::programs;
use crate::run::{command, logged, output, wait};

/// The images without which no pod starts.
pub const FIRST: [&str; 2] = ["pause", "coredns"];
/// The servers' images.
pub const SERVERS: [&str; 5] = [
    "redis-7.2",
    "redis-7.0",
    "redis-8.0",
    "valkey-8.1",
    "redis-6.2",
];
/// Raised when archives are written otherwise than before.
const FORMAT: &str = "1";

/// An image as one file.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The image's name in the cluster.
    pub tag: String,
    /// The OCI archive.
    pub path: PathBuf,
}

/// The archive of an image of `deploy/images`, from the cache or made now.
pub fn archive(layout: &Layout, name: &str) -> Result<Archive> {
    let dir = layout.images().join(name);
    let tag = field(&dir, "tag")?.with_context(|| format!("{name} has no tag"))?;
    let recipe = Recipe::default()
        .text(FORMAT)
        .text(&rootfs_key(layout, name)?)
        .file(&dir.join("Dockerfile"))?;
    let recipe = if name == "coredns" {
        recipe.text(&programs::coredns_key(layout)?)
    } else {
        recipe
    };
    let path = cache::get(
        layout,
        "images",
        &format!("{name}-{}.tar", recipe.key()),
        |out| {
            let text = fs::read_to_string(dir.join("Dockerfile"))?;
            oci::write(&dockerfile::parse(&text)?, &tag, out, |file| match file {
                "rootfs.tar" => rootfs(layout, name),
                "catatonit" => Ok(PathBuf::from("/usr/bin/catatonit")),
                "coredns" => programs::coredns(layout),
                other => bail!("{name} asks for {other}, which the testbed does not make"),
            })
        },
    )?;
    Ok(Archive { tag, path })
}

/// The archive of the image that is called `image`: by its folder's name or by its tag.
pub fn find(layout: &Layout, image: &str) -> Result<Archive> {
    for name in FIRST.iter().chain(&SERVERS) {
        if *name == image || field(&layout.images().join(name), "tag")?.as_deref() == Some(image) {
            return archive(layout, name);
        }
    }
    bail!("no file and no image of deploy/images is called {image}")
}

/// The root file system of an image, as a tar.
pub fn rootfs(layout: &Layout, name: &str) -> Result<PathBuf> {
    cache::get(
        layout,
        "rootfs",
        &format!("{name}-{}.tar", rootfs_key(layout, name)?),
        |out| {
            println!("          making the root file system of {name}");
            let script = layout.images().join("rootfs.sh").display().to_string();
            let words = [
                script,
                layout.images().join(name).display().to_string(),
                out.display().to_string(),
            ];
            logged(
                &mut command(&words)?,
                &layout.log_of(&format!("rootfs-{name}")),
            )
        },
    )
}

/// The content hash of what a root file system is made from.
pub fn rootfs_key(layout: &Layout, name: &str) -> Result<String> {
    let recipe = Recipe::default().file(&layout.images().join("rootfs.sh"))?;
    Ok(recipe
        .file(&layout.images().join(name).join("recipe"))?
        .key())
}

/// A field of a recipe.
pub fn field(dir: &Path, name: &str) -> Result<Option<String>> {
    let path = dir.join("recipe");
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(value.map(|value| value.trim_matches('"').to_owned()))
}

/// Makes the operator's image from the two programs; a second or two.
pub fn operator(
    layout: &Layout,
    operator: &Path,
    agent: &Path,
    tag: &str,
    out: &Path,
) -> Result<Archive> {
    let text = fs::read_to_string(layout.images().join("operator/Dockerfile"))?;
    oci::write(&dockerfile::parse(&text)?, tag, out, |file| match file {
        "rootfs.tar" => rootfs(layout, "base"),
        "hera-operator" => Ok(operator.to_path_buf()),
        "hera-agent" => Ok(agent.to_path_buf()),
        other => bail!("the operator's image asks for {other}"),
    })?;
    Ok(Archive {
        tag: tag.to_owned(),
        path: out.to_path_buf(),
    })
}

/// Loads an archive into all nodes at once.
pub fn load(archive: &Path) -> Result<()> {
    std::thread::scope(|scope| {
        let loads: Vec<_> = NODES
            .map(|node| scope.spawn(move || load_into(node, archive)))
            .into_iter()
            .collect();
        loads.into_iter().try_for_each(|load| {
            load.join()
                .unwrap_or_else(|_| bail!("a load stopped short"))
        })
    })
}

/// Loads an archive into one node. What had the name before is removed, so that loading an image
/// again and again does not fill the disk.
pub fn load_into(node: Node, archive: &Path) -> Result<()> {
    let path = archive.display().to_string();
    let before = references(node)?;
    ctr(node, &["images", "import", &path])
        .with_context(|| format!("cannot load {path} into {}", node.name()))?;
    // The runtime interface names a new image by its content, the kubelet's name for it; that a name
    // moved to another image it notes only after its mark is gone.
    let mut after = references(node)?;
    for (name, _) in before
        .iter()
        .filter(|old| !old.0.starts_with("sha256:") && !after.contains(old))
    {
        ctr(node, &["images", "label", name, "io.cri-containerd.image="])?;
    }
    let what = format!("the kubelet's name for {path} on {}", node.name());
    wait(&what, Duration::from_secs(20), || {
        after = references(node)?;
        Ok(all_noted(&after))
    })?;
    for reference in replaced(&before, &after) {
        ctr(node, &["images", "remove", reference])?;
    }
    Ok(())
}

/// A name and the digest it stands for.
type Reference = (String, String);

fn references(node: Node) -> Result<Vec<Reference>> {
    let table = ctr(node, &["images", "list"])?;
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    Ok(rows
        .filter_map(|row| Some(((*row.first()?).to_owned(), (*row.get(2)?).to_owned())))
        .collect())
}

/// Whether each named image has the kubelet's name too.
fn all_noted(references: &[Reference]) -> bool {
    references.iter().all(|(_, digest)| {
        references
            .iter()
            .any(|(name, other)| name.starts_with("sha256:") && other == digest)
    })
}

/// The kubelet's names for images that lost their own: `sha256:…`, of a digest that a name left.
fn replaced<'a>(before: &[Reference], after: &'a [Reference]) -> Vec<&'a str> {
    let lost = before.iter().filter(|(name, digest)| {
        !name.starts_with("sha256:")
            && after
                .iter()
                .any(|(other, now)| other == name && now != digest)
    });
    let lost: Vec<_> = lost.map(|(_, digest)| digest).collect();
    let dangling = after
        .iter()
        .filter(|(name, digest)| name.starts_with("sha256:") && lost.contains(&digest));
    dangling.map(|(name, _)| name.as_str()).collect()
}

/// Loads those images that a node has not got yet, by name.
pub fn load_missing(node: Node, archives: &[Archive]) -> Result<()> {
    for archive in archives {
        let mark = node
            .data()
            .join("loaded")
            .join(archive.path.file_name().unwrap_or_default());
        if mark.exists() && has(node, &archive.tag)? {
            continue;
        }
        load_into(node, &archive.path)?;
        fs::create_dir_all(node.data().join("loaded"))?;
        fs::write(mark, "")?;
    }
    Ok(())
}

fn has(node: Node, tag: &str) -> Result<bool> {
    let names = ctr(node, &["images", "list", "--quiet"])?;
    Ok(names.lines().any(|line| line.trim() == tag))
}

fn ctr(node: Node, words: &[&str]) -> Result<String> {
    let socket = node.socket().display().to_string();
    let mut all = vec!["ctr", "--address", &socket, "--namespace", "k8s.io"];
    all.extend(words);
    output(&mut command(&all)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::find(Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn every_image_that_is_loaded_has_a_name_on_localhost() {
        for name in FIRST.iter().chain(&SERVERS) {
            let tag = field(&layout().images().join(name), "tag")
                .unwrap()
                .unwrap();
            assert!(tag.starts_with("localhost/"), "{tag}");
        }
    }

    #[test]
    fn an_image_that_lost_its_name_is_removed_and_no_other() {
        let reference = |name: &str, digest: &str| (name.to_owned(), digest.to_owned());
        let before = [
            reference("a:1", "d1"),
            reference("sha256:c1", "d1"),
            reference("sha256:c2", "d2"),
        ];
        let mut after = before.to_vec();
        assert!(replaced(&before, &after).is_empty() && all_noted(&after));
        after[0].1 = "d3".to_owned();
        assert_eq!(replaced(&before, &after), ["sha256:c1"]);
        assert!(!all_noted(&after));
    }

    #[test]
    fn two_recipes_have_two_keys() {
        let key = |name| rootfs_key(&layout(), name).unwrap();
        assert_ne!(key("redis-7.0"), key("redis-8.0"));
    }
}
