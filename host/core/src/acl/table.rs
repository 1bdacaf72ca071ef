use std::collections::BTreeSet;

use super::{Categories, CommandRule};

/// The server's commands and categories, in lower case, with the questions the guard asks.
#[derive(Clone, Debug)]
pub struct CommandTable {
    commands: BTreeSet<String>,
    categories: Categories,
}

/// A rule names a command or category that the server does not have; it would refuse the user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this server has no {0}")]
pub struct UnknownName(String);

impl CommandTable {
    /// Reads the server's table. Every command of a server is in at least one category (`@fast`
    /// or `@slow`), so the categories name them all.
    pub fn new(categories: &Categories) -> Self {
        let categories: Categories = categories
            .iter()
            .map(|(name, commands)| {
                let commands = commands.iter().map(|command| command.to_ascii_lowercase());
                (name.to_ascii_lowercase(), commands.collect())
            })
            .collect();
        let commands = categories.values().flatten().cloned().collect();
        Self {
            commands,
            categories,
        }
    }

    /// Every command and subcommand.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(String::as_str)
    }

    /// True if the server has this command or subcommand.
    pub fn has(&self, name: &str) -> bool {
        self.commands.contains(name)
    }

    /// True if the command is in the category.
    pub fn is_in(&self, command: &str, category: &str) -> bool {
        self.categories
            .get(category)
            .is_some_and(|commands| commands.contains(command))
    }

    /// True for a command whose subcommands the server treats as commands (from 7.0 on).
    pub fn is_container(&self, command: &str) -> bool {
        self.subcommands(command).next().is_some()
    }

    fn subcommands<'a>(&'a self, command: &str) -> impl Iterator<Item = &'a String> {
        let prefix = format!("{command}|");
        self.commands
            .range(prefix.clone()..)
            .take_while(move |name| name.starts_with(&prefix))
    }

    /// The commands that these rules allow, read in order from nothing, as a server does.
    ///
    /// Where versions of the server differ, the result is the larger set: it may hold more than
    /// the server will allow, never less.
    ///
    /// # Errors
    ///
    /// [`UnknownName`] for a name that this server would refuse.
    pub fn effective<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a CommandRule>,
    ) -> Result<BTreeSet<String>, UnknownName> {
        let mut allowed = BTreeSet::new();
        for rule in rules {
            match rule {
                CommandRule::AllowCategory(name) => self.allow_category(&mut allowed, name)?,
                CommandRule::DenyCategory(name) => self.deny_category(&mut allowed, name)?,
                CommandRule::AllowCommand(name) => self.allow_command(&mut allowed, name)?,
                CommandRule::DenyCommand(name) => self.deny_command(&mut allowed, name)?,
            }
        }
        Ok(allowed)
    }

    /// The commands that these rules allow on every server that has this table, read in order from
    /// nothing: where versions differ, the smaller set, the other bound to [`Self::effective`]. What
    /// is unknown gives nothing and takes everything.
    pub fn certain<'a>(
        &self,
        rules: impl IntoIterator<Item = &'a CommandRule>,
    ) -> BTreeSet<String> {
        let mut allowed = BTreeSet::new();
        for rule in rules {
            match rule {
                CommandRule::AllowCategory(name) if name.eq_ignore_ascii_case("all") => {
                    allowed.extend(self.commands.iter().cloned());
                }
                CommandRule::AllowCategory(name) => {
                    allowed.extend(self.category(name).into_iter().flatten().cloned());
                }
                CommandRule::DenyCategory(name) => match self.category(name) {
                    Ok(listed) => listed.iter().for_each(|name| take(&mut allowed, name)),
                    Err(_) => allowed.clear(),
                },
                CommandRule::AllowCommand(name) => {
                    // An unknown one changes nothing.
                    let _ = self.allow_command(&mut allowed, name);
                }
                CommandRule::DenyCommand(name) => take(&mut allowed, &name.to_ascii_lowercase()),
            }
        }
        allowed
    }

    /// True if the server knows every name in the rule.
    pub fn knows(&self, rule: &CommandRule) -> bool {
        self.effective([rule]).is_ok()
    }

    /// Every category with its commands.
    pub fn categories(&self) -> &Categories {
        &self.categories
    }

    fn category(&self, name: &str) -> Result<&BTreeSet<String>, UnknownName> {
        let unknown = || UnknownName(format!("category @{name}"));
        self.categories
            .get(&name.to_ascii_lowercase())
            .ok_or_else(unknown)
    }

    fn allow_category(
        &self,
        allowed: &mut BTreeSet<String>,
        name: &str,
    ) -> Result<(), UnknownName> {
        if name.eq_ignore_ascii_case("all") {
            allowed.extend(self.commands.iter().cloned());
            return Ok(());
        }
        for command in self.category(name)? {
            allowed.insert(command.clone());
            // A container in a category takes all its subcommands with it.
            allowed.extend(self.subcommands(command).cloned());
        }
        Ok(())
    }

    fn deny_category(&self, allowed: &mut BTreeSet<String>, name: &str) -> Result<(), UnknownName> {
        if name.eq_ignore_ascii_case("all") {
            allowed.clear();
            return Ok(());
        }
        // Only what the category lists. `get|first` style grants of 6.2 stay: whether a server
        // takes them back here depends on its version.
        for command in self.category(name)? {
            allowed.remove(command);
        }
        Ok(())
    }

    fn allow_command(&self, allowed: &mut BTreeSet<String>, name: &str) -> Result<(), UnknownName> {
        let name = name.to_ascii_lowercase();
        let first_argument = || {
            // 6.2 has no subcommands; there, and for plain commands later, `cmd|word` allows the
            // command with that first argument.
            name.split_once('|')
                .is_some_and(|(base, _)| self.has(base) && !self.is_container(base))
        };
        if !self.has(&name) && !first_argument() {
            return Err(UnknownName(format!("command {name}")));
        }
        allowed.extend(self.subcommands(&name).cloned());
        allowed.insert(name);
        Ok(())
    }

    fn deny_command(&self, allowed: &mut BTreeSet<String>, name: &str) -> Result<(), UnknownName> {
        let name = name.to_ascii_lowercase();
        if !self.has(&name) {
            return Err(UnknownName(format!("command {name}")));
        }
        take(allowed, &name);
        Ok(())
    }
}

/// Without a command and all that is below it.
fn take(allowed: &mut BTreeSet<String>, name: &str) {
    let prefix = format!("{name}|");
    allowed.retain(|known| known != name && !known.starts_with(&prefix));
}
