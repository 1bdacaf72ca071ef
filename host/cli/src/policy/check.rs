//! `policy check`: what the operator would say to a module, before it meets one.

use std::path::{Path, PathBuf};

use hera_policy::{CaseResult, Conformance, Decision, Inspection, Limits, LoadError, Policy};
use serde::Serialize;

use super::module;
use crate::Verdict;
use crate::args::Module;
use crate::output::{Output, bad, good};

/// What a module is held against.
pub struct Suite {
    /// A folder of cases.
    pub cases: Option<PathBuf>,
    /// Generated questions.
    pub questions: usize,
    /// What they follow from.
    pub seed: u64,
}

/// What came of it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// True if the operator would take it and use its answers.
    pub passed: bool,
    /// What the module is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<Inspection>,
    /// Step by step.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What was looked at.
    pub what: String,
    /// What is wrong.
    pub wrong: Vec<String>,
}

/// Checks a file and prints the report.
///
/// # Errors
/// When a file cannot be read, or the sandbox does not start.
pub async fn run(module: &Module, suite: &Suite, output: Output) -> anyhow::Result<Verdict> {
    let report = report(module, suite).await?;
    output.print(&report, describe)?;
    Ok(Verdict::from(report.passed))
}

/// Checks a file.
///
/// # Errors
/// As [`run`].
pub async fn report(asked: &Module, suite: &Suite) -> anyhow::Result<Report> {
    let bytes = module::read(&asked.file)?;
    let settings = module::settings(asked.settings.as_deref())?;
    let mut steps = Vec::new();
    let (decision, inspection) = match module::decision(&bytes) {
        Ok(found) => found,
        Err(error) => {
            steps.push(refused("limits and world", &error));
            return Ok(Report::of(None, steps));
        }
    };
    steps.push(Step::good("limits and world"));
    hera_policy::for_decision!(decision.as_str(), D => {
        match module::load::<D>(bytes).await? {
            Err(error) => steps.push(refused("trial compile and first start", &error)),
            Ok(policy) => {
                steps.push(Step::good("trial compile and first start"));
                behave::<D>(&policy, &settings, asked, suite, &mut steps).await?;
            }
        }
    })
    .ok_or_else(|| module::unknown(&decision))?;
    Ok(Report::of(Some(inspection), steps))
}

async fn behave<D: Decision>(
    policy: &Policy<D>,
    settings: &str,
    asked: &Module,
    suite: &Suite,
    steps: &mut Vec<Step>,
) -> anyhow::Result<()> {
    let takes = policy.validate_settings(settings).await;
    let settings_step = Step {
        what: match settings {
            "" => "no settings".to_owned(),
            _ => "settings".to_owned(),
        },
        wrong: takes.err().iter().map(ToString::to_string).collect(),
    };
    let usable = settings_step.wrong.is_empty();
    steps.push(settings_step);
    if usable {
        let found = hera_policy::conformance(policy, settings, suite.seed, suite.questions);
        steps.push(conformance(&found));
    }
    if let Some(folder) = cases(suite, asked) {
        let results = D::cases(policy, &folder)
            .map_err(|error| anyhow::anyhow!("the cases in {}: {error}", folder.display()))?;
        steps.push(case_step(&folder, &results));
    }
    Ok(())
}

fn conformance(found: &Conformance) -> Step {
    let share = found.most_fuel.saturating_mul(100) / Limits::default().fuel;
    Step {
        what: format!(
            "{} generated questions, at most {} fuel each ({share} % of the limit)",
            found.asked, found.most_fuel
        ),
        wrong: found
            .faults
            .iter()
            .map(|broken| {
                format!(
                    "question {}: {} ({})",
                    broken.input, broken.what, broken.question
                )
            })
            .collect(),
    }
}

fn case_step(folder: &Path, results: &[CaseResult]) -> Step {
    let wrong = results.iter().filter_map(|result| {
        let wrong = result.wrong.as_ref()?;
        Some(format!("{}: {wrong}", result.file.display()))
    });
    Step {
        what: format!("{} cases in {}", results.len(), folder.display()),
        wrong: wrong.collect(),
    }
}

/// The folder that is named, or the one that lies there.
fn cases(suite: &Suite, asked: &Module) -> Option<PathBuf> {
    let beside = asked.file.parent().map(|folder| folder.join("cases"));
    suite.cases.clone().or_else(|| {
        [beside, Some(PathBuf::from("cases"))]
            .into_iter()
            .flatten()
            .find(|folder| folder.is_dir())
    })
}

fn refused(what: &str, error: &LoadError) -> Step {
    Step {
        what: what.to_owned(),
        wrong: vec![format!("{}: {error}", error.reason())],
    }
}

impl Step {
    fn good(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            wrong: Vec::new(),
        }
    }
}

impl Report {
    fn of(module: Option<Inspection>, steps: Vec<Step>) -> Self {
        Self {
            passed: steps.iter().all(|step| step.wrong.is_empty()),
            module,
            steps,
        }
    }
}

/// A report for people.
pub fn describe(report: &Report) -> String {
    let mut text = String::new();
    for step in &report.steps {
        let mark = match step.wrong.is_empty() {
            true => good("ok    "),
            false => bad("FAILED"),
        };
        text.push_str(&format!("{mark}  {}\n", step.what));
        for wrong in &step.wrong {
            text.push_str(&format!("        {wrong}\n"));
        }
    }
    let last = match (report.passed, &report.module) {
        (true, Some(module)) => format!("{} {}\n", good("the operator would take"), module.digest),
        _ => bad("the operator would not use this module") + "\n",
    };
    text + &last
}
