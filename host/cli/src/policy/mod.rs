//! `kubectl hera policy`: what authors do.

mod apply;
mod ask;
mod bench;
mod build;
mod check;
mod inspect;
mod list;
mod log;
mod module;
mod replay;
mod run;
mod scaffold;

pub use replay::records;

use crate::Verdict;
use crate::args::{Cluster, PolicyCommand};
use crate::output::Output;

/// Carries out a command.
///
/// # Errors
/// When a file, the cluster or the compiler cannot be used.
pub async fn run(
    command: PolicyCommand,
    cluster: &Cluster,
    output: Output,
) -> anyhow::Result<Verdict> {
    match command {
        PolicyCommand::New {
            decision,
            name,
            sdk,
        } => scaffold::run(&decision, &name, sdk.as_deref(), output),
        PolicyCommand::Build { folder, out } => build::run(&folder, &out, output),
        PolicyCommand::Inspect { file } => inspect::run(&file, output),
        PolicyCommand::Check {
            module,
            cases,
            questions,
            seed,
        } => {
            let suite = check::Suite {
                cases,
                questions,
                seed,
            };
            check::run(&module, &suite, output).await
        }
        PolicyCommand::Run { module, input } => run::run(&module, &input, output).await,
        PolicyCommand::Bench {
            module,
            size,
            calls,
        } => bench::run(&module, size, calls, output).await,
        PolicyCommand::Apply {
            module,
            configmap,
            key,
            default,
        } => {
            let place = apply::Place {
                configmap,
                key,
                default,
            };
            apply::run(&module, &place, cluster, output).await
        }
        PolicyCommand::List { all_namespaces } => list::run(all_namespaces, cluster, output).await,
        PolicyCommand::Log { target, limit } => {
            log::run(target.as_ref(), limit, cluster, output).await
        }
        PolicyCommand::Ask { target } => ask::run(&target, cluster, output).await,
        PolicyCommand::Replay {
            log,
            with,
            settings,
        } => replay::run(&log, &with, settings.as_deref(), output).await,
    }
}
