//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use hera_core::agent::REDIS_PORT;

use crate::backup::{About, BackupName, When};
use crate::named::Target;
use crate::reach::Whom;

/// Looks at Redis and Valkey, instances and clusters, and helps those who write policies for them.
///
/// Exit codes: 0 done and good, 1 done and the answer is no (refused, broken, different),
/// 2 wrong command line, 3 a file, the cluster or the compiler cannot be used.
#[derive(Debug, Parser)]
#[command(name = "kubectl-hera", bin_name = "kubectl hera", version, about)]
pub struct Args {
    /// How the answer looks.
    #[arg(short, long, global = true, value_enum, default_value = "text")]
    pub output: Format,
    /// Colour: on a terminal, always, or never.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub color: Color,
    #[command(flatten)]
    pub cluster: Cluster,
    #[command(subcommand)]
    pub command: Command,
}

/// Which cluster, and where in it.
#[derive(Clone, Debug, clap::Args)]
pub struct Cluster {
    /// Namespace of the object; that of the context otherwise.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The kubeconfig; KUBECONFIG or ~/.kube/config otherwise.
    #[arg(long, global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the operator.
    #[arg(long, global = true, default_value = "hera-system")]
    pub operator_namespace: String,
}

/// How the answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For programs and people.
    Yaml,
}

/// When to use colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write, try, ship and watch policies.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// An instance or cluster as a tree: what it is, how it is, what it waits for, who decides about it; of
    /// a cluster also who has which slots. Lag, fences and waits come from the operator, if it can be asked.
    /// Without a name a line for each object. The exit code says whether all of it serves.
    Status {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Option<Target>,
        /// Every namespace.
        #[arg(short = 'A', long, conflicts_with = "target")]
        all_namespaces: bool,
    },
    /// A redis-cli of its own, with the password from the Secret: one command, the lines of a pipe, or
    /// a prompt. Answers look as redis-cli's do; the exit code is 1 if the server's was an error. In a cluster
    /// it goes on at the server that has the key, as redis-cli -c does.
    Cli(Cli),
    /// A local port that leads to the primary of an instance, also to the next one, until Ctrl-C. (kubectl
    /// port-forward takes no Service without a selector.) Of a cluster name the pod.
    PortForward(PortForward),
    /// Slots that move between the shards of a cluster: what moves, and who says so.
    #[command(subcommand)]
    Rebalance(RebalanceCommand),
    /// Backups of an instance in a store, and the log beside them: make one, list them, see how they are.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// A new instance that begins with the data of a backup, or with what another held at an instant: prints its
    /// manifest, with the spec of the other. That one stays as it is. Users have the passwords of the same Secrets;
    /// the application's user gets a Secret of its own (NEW-app) unless auth.passwordSecretRef names one.
    Recover(Recover),
    #[command(flatten)]
    Request(Request),
    /// A completion script: put it where your shell looks for them.
    Completion {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// Which server.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The RedisInstance or RedisCluster.
    #[arg(value_name = "NAME")]
    pub target: Target,
    /// A replica that is in sync, instead of the primary.
    #[arg(long, conflicts_with = "pod")]
    pub replica: bool,
    /// This pod, instead of the primary.
    #[arg(long)]
    pub pod: Option<String>,
}

impl Place {
    /// Which pod is meant.
    pub fn whom(&self) -> Whom {
        match (&self.pod, self.replica) {
            (Some(pod), _) => Whom::Pod(pod.clone()),
            (None, true) => Whom::Replica,
            (None, false) => Whom::Primary,
        }
    }
}

/// A conversation with a server.
#[derive(Clone, Debug, clap::Args)]
pub struct Cli {
    #[command(flatten)]
    pub place: Place,
    /// One of spec.users; the application's user otherwise.
    #[arg(long)]
    pub user: Option<String>,
    /// One command; otherwise each line of the standard input is one.
    #[arg(last = true)]
    pub command: Vec<String>,
}

/// A local port.
#[derive(Clone, Debug, clap::Args)]
pub struct PortForward {
    #[command(flatten)]
    pub place: Place,
    /// The local port; 0 for any that is free.
    #[arg(default_value_t = REDIS_PORT)]
    pub local: u16,
}

/// What to ask the operator for. Each is an annotation on the object.
#[derive(Clone, Debug, Subcommand)]
pub enum Request {
    /// Let another pod become the primary, of a cluster that of its shard; nothing is lost.
    Promote {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
        /// The pod; a replica of an instance that is ready if none is named.
        pod: Option<String>,
    },
    /// Stop the servers of pods; their data and their agents stay.
    Fence {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
        /// The pods; a primary only if a script keeps it busy.
        #[arg(required = true)]
        pods: Vec<String>,
    },
    /// Let the servers of fenced pods start again, as replicas where another leads.
    Unfence {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
        /// The pods; all of them if none is named.
        pods: Vec<String>,
    },
    /// Replace each pod once, one at a time.
    Restart {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
    /// Replace the generated password of the application user; no login fails. Both are accepted until every
    /// server has the new one, and for auth.overlap once the Secret shows it.
    Rotate {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
        /// Replace the password with which its servers log in at each other instead; no link between them ends.
        #[arg(long)]
        replication: bool,
    },
    /// Take the pods away; the data stays.
    Hibernate {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
    /// Bring the pods of what hibernates back.
    Resume {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
    /// Let a step be taken that waits for somebody to approve it, or choose a copy of the data.
    Approve {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
        /// The digest that the condition Progressing names; without one, the step that waits is shown
        /// and asked about.
        digest: Option<String>,
        /// The pod whose copy is the right one, where nothing recorded of an instance says which is: the
        /// others are overwritten.
        #[arg(long, value_name = "POD", conflicts_with = "digest")]
        copy: Option<String>,
        /// Approve the step that waits without being asked.
        #[arg(long, conflicts_with_all = ["digest", "copy"])]
        yes: bool,
    },
}

impl Request {
    /// The object that it is about.
    pub fn target(&self) -> &Target {
        match self {
            Self::Promote { target, .. }
            | Self::Fence { target, .. }
            | Self::Unfence { target, .. }
            | Self::Restart { target }
            | Self::Rotate { target, .. }
            | Self::Hibernate { target }
            | Self::Resume { target }
            | Self::Approve { target, .. } => target,
        }
    }
}

/// What to do with slots that move. All but the first are annotations on the object.
#[derive(Clone, Debug, Subcommand)]
pub enum RebalanceCommand {
    /// What moves or is to move: from where to where, how much that is, how long it takes, and what each shard has
    /// before and after. Sizes come from the operator's decision log, if it can be read.
    Plan {
        /// The RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
    /// Let a plan be carried out that waits for somebody to approve it (rebalance.mode: Approve).
    Approve {
        /// The RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
        /// The digest of the plan; refused if another one waits by now. Without one, the plan that waits is shown
        /// and asked about.
        digest: Option<String>,
        /// Approve the plan that waits without being asked.
        #[arg(long, conflicts_with = "digest")]
        yes: bool,
    },
    /// Let moves rest: no further one is begun, slots that are half moved are finished first.
    Pause {
        /// The RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
    /// Let moves that rest go on.
    Resume {
        /// The RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
    /// Drop the plan: slots that moved stay where they are, the others as well. No other plan follows before
    /// something changes, or somebody asks for one (now).
    Cancel {
        /// The RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
    /// Ask at once which slots are to move, though nothing changed.
    Now {
        /// The RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
}

impl RebalanceCommand {
    /// The object that it is about.
    pub fn target(&self) -> &Target {
        match self {
            Self::Plan { target }
            | Self::Approve { target, .. }
            | Self::Pause { target }
            | Self::Resume { target }
            | Self::Cancel { target }
            | Self::Now { target } => target,
        }
    }
}

/// What to do with backups.
#[derive(Clone, Debug, Subcommand)]
pub enum BackupCommand {
    /// Make a backup: a RedisBackup, which the operator carries out.
    Now {
        /// The RedisInstance.
        #[arg(value_name = "NAME")]
        target: Target,
        /// Name of the backup; made of the instance's name and the time otherwise.
        #[arg(long, value_name = "BACKUP")]
        name: Option<String>,
        /// Wait until the store holds the whole of it, or nothing comes of it: the exit code is 1 then.
        #[arg(long)]
        wait: bool,
    },
    /// The backups of the namespace, or of one instance, the latest first. They outlive the instance.
    Ls {
        /// The RedisInstance, whether it is still there or not.
        #[arg(value_name = "NAME")]
        target: Option<Target>,
    },
    /// Of an instance: its store, its schedules, how far its log is, and how its last backups are; of a backup: all that
    /// is known. The exit code is 1 if the last one did not come to a good end, the store cannot be used, or something
    /// is wrong with the log or with the age of the last backup.
    Status {
        /// The RedisInstance or the RedisBackup; ri/NAME or rdb/NAME where both have the name.
        #[arg(value_name = "NAME")]
        about: About,
    },
    /// Delete a backup: its data in the store, and its RedisBackup. The operator refuses while something needs it.
    /// Where a log is kept, what of it is older than all backups that stay goes as well.
    Drop {
        /// The RedisBackup.
        #[arg(value_name = "BACKUP")]
        name: BackupName,
        /// Ask nobody.
        #[arg(long)]
        yes: bool,
        /// Wait until it is gone, or refused: the exit code is 1 then.
        #[arg(long)]
        wait: bool,
    },
    /// Keep a backup, whatever its age: nothing deletes it.
    Keep {
        /// The RedisBackup.
        #[arg(value_name = "BACKUP")]
        name: BackupName,
        /// Keep it no longer than spec.backup.keep of its instance says.
        #[arg(long)]
        undo: bool,
    },
}

/// A new instance with the data that another has in a store.
#[derive(Clone, Debug, clap::Args)]
pub struct Recover {
    /// The RedisInstance whose data it is, whether it is still there or not.
    #[arg(value_name = "NAME")]
    pub target: Target,
    /// The RedisBackup whose data is taken; with --to the one whose object and store are meant.
    #[arg(long, value_name = "BACKUP", required_unless_present = "to")]
    pub from: Option<String>,
    /// The instant, where a log is kept (spec.backup.log): nothing that was sent later is in. Such as
    /// 2026-11-28T14:03:04.5Z, -10m for ten minutes ago, or latest.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub to: Option<When>,
    /// Name of the new RedisInstance.
    #[arg(long = "as", value_name = "NEW")]
    pub new: String,
    /// Create it, instead of printing its manifest.
    #[arg(long)]
    pub apply: bool,
}

/// A module, and what it decides.
#[derive(Clone, Debug, clap::Args)]
pub struct Module {
    /// The module: what `policy build` made, or any component of the contract.
    pub file: PathBuf,
    /// The settings beside it: a file with a JSON object.
    #[arg(long)]
    pub settings: Option<PathBuf>,
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Start a policy: a crate that builds and passes its tests at once.
    New {
        /// The decision: acl, backup or rebalance.
        decision: String,
        /// Name of the crate, and of the folder that is made.
        name: String,
        /// Folder of hera-policy-sdk to depend on; a copy beside the crate otherwise.
        #[arg(long)]
        sdk: Option<PathBuf>,
    },
    /// Build the policy of this folder for the operator, and look at it.
    Build {
        /// The crate's folder.
        #[arg(default_value = ".")]
        folder: PathBuf,
        /// Where to put the module.
        #[arg(long, default_value = "policy.wasm")]
        out: PathBuf,
    },
    /// Show what a module is, without running it.
    Inspect {
        /// The module.
        file: PathBuf,
    },
    /// Hold a module against everything that the operator would: limits, world, a trial compile,
    /// settings, its answers to generated questions, its cases.
    Check {
        #[command(flatten)]
        module: Module,
        /// Folder of cases; `cases` beside the module or in this folder if there is one.
        #[arg(long)]
        cases: Option<PathBuf>,
        /// Generated questions.
        #[arg(long, default_value_t = 200)]
        questions: usize,
        /// What the questions follow from: the same seed asks the same.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Ask a module one question.
    Run {
        #[command(flatten)]
        module: Module,
        /// The question: a case file, a line of the decision log, or the bare input.
        #[arg(long)]
        input: PathBuf,
    },
    /// Measure what a module costs.
    Bench {
        #[command(flatten)]
        module: Module,
        /// Users or shards that are asked about.
        #[arg(long, alias = "users", default_value_t = 20)]
        size: usize,
        /// Calls.
        #[arg(long, default_value_t = 2000)]
        calls: usize,
    },
    /// Check a module, and put it into a ConfigMap.
    Apply {
        #[command(flatten)]
        module: Module,
        /// The ConfigMap.
        #[arg(long)]
        configmap: String,
        /// Its key.
        #[arg(long, default_value = "policy.wasm")]
        key: String,
        /// Make it the default of all objects that name none: in the operator's namespace.
        #[arg(long)]
        default: bool,
    },
    /// Who decides about the objects of a namespace, or of all.
    List {
        /// Every namespace.
        #[arg(short = 'A', long)]
        all_namespaces: bool,
    },
    /// What was decided about an object, as the leading operator remembers it.
    Log {
        /// The RedisInstance or RedisCluster; everything that is remembered otherwise.
        #[arg(value_name = "NAME")]
        target: Option<Target>,
        /// The last so many.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Ask the policies of an object at once, though nothing changed, and show what they decide; one that
    /// was set aside gets another chance.
    Ask {
        /// The RedisInstance or RedisCluster.
        #[arg(value_name = "NAME")]
        target: Target,
    },
    /// Make decisions of a log again with another module, and show what would differ.
    Replay {
        /// The log: `kubectl hera policy log NAME -o json > LOG`, or the operator's file.
        log: PathBuf,
        /// The module.
        #[arg(long)]
        with: PathBuf,
        /// Settings for it; those of each decision otherwise.
        #[arg(long)]
        settings: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        let words = std::iter::once("kubectl-hera").chain(line.split(' '));
        Args::try_parse_from(words).map(|args| args.command)
    }

    #[test]
    fn a_conversation_is_with_the_primary_unless_another_is_named() {
        let whom = |line: &str| match parse(line).unwrap() {
            Command::Cli(cli) => cli.place.whom(),
            other => panic!("{other:?}"),
        };
        assert_eq!(whom("cli shop"), Whom::Primary);
        assert_eq!(whom("cli shop --replica"), Whom::Replica);
        assert_eq!(whom("cli --pod shop-2 shop"), Whom::Pod("shop-2".into()));
        assert!(parse("cli shop --replica --pod shop-2").is_err());
    }

    #[test]
    fn what_follows_two_dashes_is_the_command_whatever_it_looks_like() {
        let Command::Cli(cli) = parse("cli shop --user worker -- --help -n 1").unwrap() else {
            panic!("no cli");
        };
        assert_eq!(cli.command, ["--help", "-n", "1"]);
        assert_eq!(cli.user.as_deref(), Some("worker"));
        // A password would stand in the list of processes.
        assert!(parse("cli shop --password x").is_err());
        assert!(parse("cli shop GET a").is_err());
    }

    #[test]
    fn a_plan_is_approved_by_its_digest_or_without_being_asked_and_not_both() {
        for line in ["approve shop", "approve shop aa", "approve shop --yes"] {
            let parsed = parse(&format!("rebalance {line}"));
            assert!(matches!(parsed, Ok(Command::Rebalance(_))), "{line}");
        }
        assert!(parse("rebalance approve shop aa --yes").is_err());
        assert!(parse("rebalance").is_err());
    }

    #[test]
    fn the_password_of_replication_is_replaced_where_somebody_says_so() {
        let replaces = |line: &str| match parse(line).unwrap() {
            Command::Request(Request::Rotate { replication, .. }) => replication,
            other => panic!("{other:?}"),
        };
        assert!(!replaces("rotate shop"));
        assert!(replaces("rotate rdc/shop --replication"));
    }

    #[test]
    fn a_recovery_names_the_backup_and_the_new_instance() {
        let Command::Recover(asked) = parse("recover cart --from b1 --as cart-2").unwrap() else {
            panic!("no recovery");
        };
        assert_eq!(asked.from.as_deref(), Some("b1"));
        assert_eq!(asked.new, "cart-2");
        assert!(!asked.apply);
        assert!(parse("recover cart --from b1").is_err());
        assert!(parse("recover cart --as cart-2").is_err());
    }

    #[test]
    fn backups_are_made_of_one_instance_and_listed_of_all() {
        for line in [
            "now cart",
            "now cart --name b1 --wait",
            "ls",
            "ls cart",
            "status cart",
            "status rdb/b1",
        ] {
            let parsed = parse(&format!("backup {line}"));
            assert!(matches!(parsed, Ok(Command::Backup(_))), "{line}");
        }
        for line in ["now", "status", "status pod/cart", "now cart b1"] {
            assert!(parse(&format!("backup {line}")).is_err(), "{line}");
        }
    }

    #[test]
    fn a_local_port_is_the_servers_own_unless_another_is_named() {
        let local = |line: &str| match parse(line).unwrap() {
            Command::PortForward(asked) => asked.local,
            other => panic!("{other:?}"),
        };
        assert_eq!(local("port-forward shop"), 6379);
        assert_eq!(local("port-forward shop 0"), 0);
        assert_eq!(local("port-forward shop 7000 --replica"), 7000);
        assert!(parse("port-forward shop 70000").is_err());
    }
}
