//! The Dockerfiles of `deploy/images`, in the subset that they use: no RUN, one stage, FROM scratch.

use anyhow::{Context, Result, bail};

/// What an image holds and how it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// Layers, in order.
    pub layers: Vec<Layer>,
    /// `KEY=value`.
    pub env: Vec<String>,
    /// User and group, by number.
    pub user: String,
    /// The working folder.
    pub workdir: String,
    /// The program that always starts.
    pub entrypoint: Vec<String>,
    /// The arguments, or the program where there is no entry point.
    pub cmd: Vec<String>,
}

/// Where a layer comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layer {
    /// An archive that is unpacked at the root.
    Tar(String),
    /// A program, with its path in the image.
    File(String, String),
}

/// Reads a Dockerfile; a line that the testbed would build otherwise than Docker is an error.
pub fn parse(text: &str) -> Result<Dockerfile> {
    let mut file = Dockerfile::default();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (word, rest) = line
            .split_once(' ')
            .with_context(|| format!("no argument: {line}"))?;
        let rest = rest.trim();
        match (word, rest.split_whitespace().collect::<Vec<_>>().as_slice()) {
            ("FROM", ["scratch"]) => {}
            ("ADD", [archive, "/"]) if archive.ends_with(".tar") => {
                file.layers.push(Layer::Tar((*archive).to_owned()))
            }
            ("COPY", [from, to]) => file
                .layers
                .push(Layer::File((*from).to_owned(), (*to).to_owned())),
            ("ENV", [pair]) if pair.contains('=') => file.env.push((*pair).to_owned()),
            ("USER", [user]) => file.user = (*user).to_owned(),
            ("WORKDIR", [dir]) => file.workdir = (*dir).to_owned(),
            ("ENTRYPOINT", _) => file.entrypoint = words(rest)?,
            ("CMD", _) => file.cmd = words(rest)?,
            _ => bail!("the testbed does not build this line of a Dockerfile: {line}"),
        }
    }
    Ok(file)
}

fn words(json: &str) -> Result<Vec<String>> {
    serde_json::from_str(json).with_context(|| format!("not a JSON list of words: {json}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dockerfile_of_the_project_can_be_built() {
        let images = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/images");
        let mut seen = 0;
        for entry in images
            .read_dir()
            .unwrap()
            .flatten()
            .filter(|entry| entry.path().is_dir())
        {
            let text = std::fs::read_to_string(entry.path().join("Dockerfile")).unwrap();
            let file = parse(&text).unwrap();
            assert!(
                !file.user.is_empty() && !file.user.starts_with('0'),
                "{:?} runs as root",
                entry.path()
            );
            seen += 1;
        }
        assert!(seen >= 7);
    }

    #[test]
    fn an_instruction_that_needs_a_shell_is_refused() {
        let err = parse("FROM scratch\nRUN apt-get update\n").unwrap_err();
        assert!(err.to_string().contains("RUN apt-get update"));
    }
}
