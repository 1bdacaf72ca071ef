//! `policy run`: one question.

use std::path::Path;

use anyhow::{Context as _, bail};
use hera_policy::{Call, Context, Decision, Outcome, Record};

use super::module;
use crate::Verdict;
use crate::args::Module;
use crate::output::{Output, bad, faint, good, moment};

/// Asks the question in a file.
///
/// # Errors
/// When a file cannot be read, or the module does not load.
pub async fn run(asked: &Module, input: &Path, output: Output) -> anyhow::Result<Verdict> {
    let bytes = module::read(&asked.file)?;
    let settings = module::settings(asked.settings.as_deref())?;
    let text = std::fs::read_to_string(input)
        .with_context(|| format!("the question {}", input.display()))?;
    let (decision, _) = module::decision(&bytes)?;
    hera_policy::for_decision!(decision.as_str(), D => {
        let policy = module::load::<D>(bytes).await??;
        let (mut context, question) = question::<D>(&text)
            .with_context(|| format!("the question {}", input.display()))?;
        if asked.settings.is_some() {
            context.settings = settings;
        }
        let source = asked.file.display().to_string();
        let call = policy.ask_blocking(&source, &context, &question);
        output.print(&call, describe::<D>)?;
        Ok(Verdict::from(call.outcome.good().is_some()))
    })
    .ok_or_else(|| module::unknown(&decision))?
}

/// A line of a decision log, a case, or the bare input.
fn question<D: Decision>(text: &str) -> anyhow::Result<(Context, D::Input)> {
    if let Ok(record) = serde_json::from_str::<Record<D::Input, D::Answer>>(text) {
        return Ok((record.context, record.input));
    }
    let case = match D::case(text) {
        Ok(case) => return Ok(case),
        Err(error) => error,
    };
    match serde_json::from_str::<D::Input>(text) {
        Ok(input) => Ok((Context::example(), input)),
        Err(error) => bail!(
            "it is neither a line of a decision log, nor a case ({case}), nor the input of a decision ({error})"
        ),
    }
}

/// A call for people.
pub fn describe<D: Decision>(call: &Call<D::Answer>) -> String {
    let mut text = match &call.outcome {
        Outcome::Ok {
            answer,
            again_at_unix_ms,
        } => lines(&D::show(answer)) + &again_at_unix_ms.map_or(String::new(), until),
        Outcome::GuardRefused { answer, refused } => {
            lines(&D::show(answer)) + &format!("{} {}\n", bad("the guard refuses this:"), refused)
        }
        Outcome::Fault {
            reason, message, ..
        } => format!("{} {message}\n", bad(&format!("{reason}:"))),
    };
    for line in &call.logs {
        text.push_str(&faint(&format!("{}: {}", line.level, line.text)));
        text.push('\n');
    }
    let verdict = match call.outcome.good() {
        Some(_) => good("the operator would use it"),
        None => bad("the operator would not use it"),
    };
    text + &format!("{verdict}; {} fuel, {} µs\n", call.fuel, call.micros)
}

fn until(unix_ms: u64) -> String {
    let until = moment(unix_ms).unwrap_or_else(|| format!("{unix_ms} ms since 1970"));
    format!("until {until}, when it is asked again\n")
}

fn lines(lines: &[String]) -> String {
    lines
        .iter()
        .fold(String::new(), |text, line| text + line + "\n")
}
