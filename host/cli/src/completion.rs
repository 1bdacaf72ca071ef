//! Completion scripts.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::Verdict;
use crate::args::Args;

/// Prints the script of a shell, for `kubectl-hera`.
pub fn run(shell: Shell) -> anyhow::Result<Verdict> {
    let mut command = Args::command().bin_name("kubectl-hera");
    clap_complete::generate(shell, &mut command, "kubectl-hera", &mut std::io::stdout());
    Ok(Verdict::Yes)
}
