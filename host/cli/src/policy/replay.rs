//! `policy replay`: decisions made again with another module.

use std::path::Path;

use anyhow::Context as _;
use hera_policy::{Call, Decision, Policy, Record};
use serde::Serialize;
use serde_json::Value;

use super::module;
use crate::Verdict;
use crate::output::{Output, bad, good, odd};

#[derive(Serialize)]
struct Replay {
    decisions: usize,
    differ: Vec<Difference>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    object: String,
    now_unix_ms: u64,
    /// The very module that decided then.
    same_module: bool,
    lines: Vec<String>,
}

/// Makes every decision of a log again that is of the module's kind.
///
/// # Errors
/// When a file cannot be read, or the module does not load.
pub async fn run(
    log: &Path,
    with: &Path,
    settings: Option<&Path>,
    output: Output,
) -> anyhow::Result<Verdict> {
    let bytes = module::read(with)?;
    let settings = match settings {
        Some(file) => Some(module::settings(Some(file))?),
        None => None,
    };
    let text =
        std::fs::read_to_string(log).with_context(|| format!("the log {}", log.display()))?;
    let records = records(&text).with_context(|| format!("the log {}", log.display()))?;
    let (decision, _) = module::decision(&bytes)?;
    let replay = hera_policy::for_decision!(decision.as_str(), D => {
        let policy = module::load::<D>(bytes).await??;
        again::<D>(&policy, records, settings.as_deref())?
    })
    .ok_or_else(|| module::unknown(&decision))?;
    output.print(&replay, describe)?;
    Ok(Verdict::from(replay.differ.is_empty()))
}

/// A line of JSON each, or one list.
pub fn records(text: &str) -> anyhow::Result<Vec<Value>> {
    if text.trim_start().starts_with('[') {
        return Ok(serde_json::from_str(text)?);
    }
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn again<D: Decision>(
    policy: &Policy<D>,
    records: Vec<Value>,
    settings: Option<&str>,
) -> anyhow::Result<Replay> {
    let (mut decisions, mut differ) = (0, Vec::new());
    for record in records {
        if record.get("decision").and_then(Value::as_str) != Some(D::NAME) {
            continue;
        }
        let record: Record<D::Input, D::Answer> = serde_json::from_value(record)?;
        decisions += 1;
        let mut context = record.context.clone();
        if let Some(settings) = settings {
            settings.clone_into(&mut context.settings);
        }
        let call = policy.ask_blocking("replay", &context, &record.input);
        if !call.agrees(&record.call) {
            differ.push(Difference {
                object: format!("{}/{}", context.namespace, context.name),
                now_unix_ms: context.now_unix_ms,
                same_module: call.digest == record.call.digest && settings.is_none(),
                lines: lines::<D>(&record.call, &call),
            });
        }
    }
    Ok(Replay { decisions, differ })
}

fn lines<D: Decision>(then: &Call<D::Answer>, now: &Call<D::Answer>) -> Vec<String> {
    match (then.outcome.good(), now.outcome.good()) {
        (Some(then), Some(now)) => D::diff(then, now),
        _ => vec![format!(
            "then {}, now {}",
            then.outcome.words(),
            now.outcome.words()
        )],
    }
}

fn describe(replay: &Replay) -> String {
    let mut text = String::new();
    for difference in &replay.differ {
        let at = i64::try_from(difference.now_unix_ms)
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .map_or(String::new(), |at| at.to_string());
        text.push_str(&format!("{}  {at}\n", odd(&difference.object)));
        if difference.same_module {
            text.push_str(&bad(
                "  the same module answers the same question in two ways\n",
            ));
        }
        for line in &difference.lines {
            text.push_str(&format!("  {line}\n"));
        }
    }
    let count = replay.differ.len();
    let last = format!("{} decisions, {count} would differ", replay.decisions);
    text + &if count == 0 { good(&last) } else { odd(&last) } + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_lines_or_a_list() {
        assert_eq!(records("{\"a\":1}\n\n{\"a\":2}\n").unwrap().len(), 2);
        assert_eq!(records(" [{\"a\":1}]").unwrap().len(), 1);
        assert!(records("no").is_err());
    }
}
