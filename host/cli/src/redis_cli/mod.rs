//! `cli`: a redis-cli over a forwarded port.

mod answer;
mod login;
mod redirect;
mod talk;
mod words;

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail};
use hera_api::names::ObjectName;
use hera_redis::Credentials;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::Verdict;
use crate::args::{Cli, Cluster};
use crate::named::Object;
use crate::output::Output;
use crate::reach::{Reach, Whom};
use answer::Style;
use talk::{Lines, Piped, Shards, Talk};

/// Speaks with a server: one command, the lines of a pipe, or a person.
///
/// # Errors
/// When the cluster, the Secret or the server cannot be asked.
pub async fn run(cli: &Cli, wanted: &Cluster, output: Output) -> anyhow::Result<Verdict> {
    if !output.is_text() {
        bail!("cli prints what the server says, as redis-cli does: leave out --output");
    }
    let reach = Reach::new(&cli.place, wanted).await?;
    let object = reach.object().await?;
    let login = credentials(&reach, &object, cli.user.as_deref()).await?;
    let style = match io::stdout().is_terminal() {
        true => Style::Quoted,
        false => Style::Raw,
    };
    let is_person = cli.command.is_empty() && io::stdin().is_terminal();
    let mut out = io::stdout();
    let talk = Talk {
        opens: &reach,
        login,
        out: &mut out,
        style,
        shards: match object {
            Object::Instance(_) => None,
            Object::Cluster(_) => Some(Shards {
                reads_replica: *reach.whom() != Whom::Primary,
                tells: is_person,
            }),
        },
    };
    if !cli.command.is_empty() {
        let words: Vec<Vec<u8>> = cli.command.iter().map(|word| word.clone().into()).collect();
        return talk.one(&words).await;
    }
    if !is_person {
        return talk.all(&mut Piped(io::stdin().lock())).await;
    }
    talk.with_person(&mut Typed(DefaultEditor::new()?)).await
}

/// Lines of a person. They are remembered until the end, and written nowhere: there may be secrets.
struct Typed(DefaultEditor);

impl Lines for Typed {
    fn next(&mut self, prompt: &str) -> io::Result<Option<Vec<u8>>> {
        match self.0.readline(prompt) {
            Ok(line) => {
                self.0
                    .add_history_entry(line.as_str())
                    .map_err(io::Error::other)?;
                Ok(Some(line.into_bytes()))
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => {
                io::stdout().flush()?;
                Ok(None)
            }
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// As whom to log in, with the password of the Secret.
async fn credentials(
    reach: &Reach,
    object: &Object,
    asked: Option<&str>,
) -> anyhow::Result<Credentials> {
    let spec = object.common();
    let secrets: Api<Secret> = reach.api();
    let read = async |secret: &str| {
        let found = secrets.get_opt(secret).await?;
        let found = found.with_context(|| format!("there is no Secret {secret}"))?;
        anyhow::Ok(found.data.unwrap_or_default())
    };
    if let Some(user) = asked
        && let Some(reference) = login::secret_of(spec, user)
    {
        return Ok(login::user(user, reference, &read(&reference.name).await?)?);
    }
    let app = login::app_secret(spec, &ObjectName::new(object.kind(), object.name())?);
    Ok(login::app(spec, &app, &read(&app.name).await?, asked)?)
}
