//! Writes the corpus to a folder, a file for each module, ready for a ConfigMap:
//! `cargo run -p hera-policy --example hostile -- DIR`.

use std::path::PathBuf;

#[path = "../tests/support/mod.rs"]
mod support;

fn main() -> Result<(), String> {
    let folder = std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .ok_or("usage: hostile DIR")?;
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let builtin = ("acl-presets", hera_policy::builtin::ACL_PRESETS.to_vec());
    for (name, bytes) in support::corpus::all()?.into_iter().chain([builtin]) {
        let path = folder.join(format!("{name}.wasm"));
        std::fs::write(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{:>8}  {}", bytes.len(), path.display());
    }
    Ok(())
}
