//! Writes OCI image archives: plain tar layers, so that making and importing one takes seconds.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::dockerfile::{Dockerfile, Layer};
use crate::cache::hex;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

struct Blob {
    digest: String,
    size: u64,
    content: Content,
}

enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// Writes the image `tag` to `out`; `find` gives the file that a layer names.
pub fn write(
    file: &Dockerfile,
    tag: &str,
    out: &Path,
    find: impl Fn(&str) -> Result<PathBuf>,
) -> Result<()> {
    let layers = file
        .layers
        .iter()
        .map(|layer| match layer {
            Layer::Tar(name) => file_blob(&find(name)?),
            Layer::File(from, to) => Ok(bytes_blob(program_layer(&find(from)?, to)?)),
        })
        .collect::<Result<Vec<_>>>()?;
    let config = bytes_blob(serde_json::to_vec(&config(file, &layers))?);
    let manifest = bytes_blob(serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": layers.iter().map(|layer| descriptor(LAYER, layer)).collect::<Vec<_>>(),
    }))?);
    let mut entry = descriptor(MANIFEST, &manifest);
    if let Some(entry) = entry.as_object_mut() {
        entry.insert(
            "annotations".into(),
            json!({"io.containerd.image.name": tag, "org.opencontainers.image.ref.name": tag}),
        );
    }
    let index = json!({"schemaVersion": 2, "manifests": [entry]});

    let target = File::create(out).with_context(|| format!("cannot write {}", out.display()))?;
    let mut archive = tar::Builder::new(std::io::BufWriter::with_capacity(1 << 20, target));
    append(
        &mut archive,
        "oci-layout",
        br#"{"imageLayoutVersion":"1.0.0"}"#,
    )?;
    append(&mut archive, "index.json", &serde_json::to_vec(&index)?)?;
    let mut written = Vec::new();
    for blob in layers
        .iter()
        .chain([&config, &manifest])
        .filter(|blob| !blob.digest.is_empty())
    {
        if written.contains(&&blob.digest) {
            continue;
        }
        written.push(&blob.digest);
        let path = format!("blobs/sha256/{}", blob.digest);
        match &blob.content {
            Content::Bytes(bytes) => append(&mut archive, &path, bytes)?,
            Content::File(file) => {
                let mut header = header(blob.size, 0o644);
                archive.append_data(
                    &mut header,
                    &path,
                    BufReader::with_capacity(1 << 20, File::open(file)?),
                )?;
            }
        }
    }
    archive.into_inner()?.flush()?;
    Ok(())
}

fn config(file: &Dockerfile, layers: &[Blob]) -> Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Env": file.env,
            "User": file.user,
            "WorkingDir": file.workdir,
            "Entrypoint": file.entrypoint,
            "Cmd": file.cmd,
        },
        "rootfs": {
            "type": "layers",
            "diff_ids": layers.iter().map(|layer| format!("sha256:{}", layer.digest)).collect::<Vec<_>>(),
        },
    })
}

fn descriptor(kind: &str, blob: &Blob) -> Value {
    json!({"mediaType": kind, "digest": format!("sha256:{}", blob.digest), "size": blob.size})
}

/// A layer with one program in it.
fn program_layer(from: &Path, to: &str) -> Result<Vec<u8>> {
    let content = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    let mut layer = tar::Builder::new(Vec::with_capacity(content.len() + 4096));
    let mut header = header(u64::try_from(content.len())?, 0o755);
    layer.append_data(&mut header, to.trim_start_matches('/'), content.as_slice())?;
    Ok(layer.into_inner()?)
}

fn header(size: u64, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(0);
    header
}

fn append<W: Write>(archive: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = header(u64::try_from(bytes.len())?, 0o644);
    Ok(archive.append_data(&mut header, path, bytes)?)
}

fn bytes_blob(bytes: Vec<u8>) -> Blob {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    Blob {
        digest: hex(&Sha256::digest(&bytes)),
        size,
        content: Content::Bytes(bytes),
    }
}

fn file_blob(path: &Path) -> Result<Blob> {
    let mut file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        let Some(chunk) = buffer.get(..count).filter(|chunk| !chunk.is_empty()) else {
            break;
        };
        hash.update(chunk);
        size += u64::try_from(count)?;
    }
    Ok(Blob {
        digest: hex(&hash.finalize()),
        size,
        content: Content::File(path.to_path_buf()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_holds_every_blob_under_its_own_digest() {
        let dir = std::env::temp_dir().join(format!("hera-oci-test-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let (program, out) = (dir.join("program"), dir.join("out.tar"));
        std::fs::write(&program, "#!").unwrap();
        let file =
            super::super::dockerfile::parse("FROM scratch\nCOPY p /p\nUSER 1:1\nCMD [\"/p\"]\n")
                .unwrap();
        write(&file, "localhost/p:1", &out, |_| Ok(program.clone())).unwrap();
        let mut blobs = 0;
        for entry in tar::Archive::new(File::open(&out).unwrap())
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if let Some(digest) = path.strip_prefix("blobs/sha256/") {
                assert_eq!(digest, hex(&Sha256::digest(&bytes)));
                blobs += 1;
            }
        }
        assert_eq!(blobs, 3);
        std::fs::remove_dir_all(dir).unwrap();
    }
}
