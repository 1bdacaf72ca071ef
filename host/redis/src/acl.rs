use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use hera_core::acl::AclUser;

use crate::{Error, Server};

/// A user as `ACL LIST` tells it. `Debug` shows how many passwords it has, not their hashes.
#[derive(Clone, PartialEq, Eq)]
pub struct ListedUser {
    /// Its name, as far as it can be read.
    pub name: String,
    /// Its name as the server has it: by hand it may be any bytes.
    pub raw_name: Vec<u8>,
    /// True when it may log in.
    pub enabled: bool,
    /// True when it may log in with any password.
    pub nopass: bool,
    /// SHA-256 of each password, hexadecimal.
    pub password_sha256: Vec<String>,
    /// Everything else in the server's notation and order, selectors in their brackets.
    pub rules: Vec<String>,
}

impl fmt::Debug for ListedUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListedUser")
            .field("name", &self.name)
            .field("enabled", &self.enabled)
            .field("nopass", &self.nopass)
            .field("passwords", &self.password_sha256.len())
            .field("rules", &self.rules)
            .finish()
    }
}

/// Reads one line of `ACL LIST`; none when it is no such line.
pub fn parse_acl_line(line: &[u8]) -> Option<ListedUser> {
    // No name has a space in it.
    let raw_name = line.split(|byte| *byte == b' ').nth(1)?;
    let text = String::from_utf8_lossy(line);
    let mut words = split_words(&text).into_iter();
    if words.next()? != "user" {
        return None;
    }
    let mut user = ListedUser {
        name: words.next()?.to_owned(),
        raw_name: raw_name.to_vec(),
        enabled: false,
        nopass: false,
        password_sha256: Vec::new(),
        rules: Vec::new(),
    };
    for word in words {
        match word {
            "on" => user.enabled = true,
            "off" => user.enabled = false,
            "nopass" => user.nopass = true,
            _ => match word.strip_prefix('#') {
                Some(hash) => user.password_sha256.push(hash.to_owned()),
                None => user.rules.push(word.to_owned()),
            },
        }
    }
    Some(user)
}

/// Which keys, with which access, and which channels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    /// Key pattern to (read, write).
    keys: BTreeMap<String, (bool, bool)>,
    channels: BTreeSet<String>,
}

/// The patterns in rules, however the server or the operator writes them: what is equal here is
/// equal on the server. Selectors are not looked into.
pub fn patterns(rules: &[String]) -> Patterns {
    let mut found = Patterns::default();
    for rule in rules {
        let (access, pattern) = match rule.strip_prefix('%').and_then(|rest| rest.split_once('~')) {
            Some((access, pattern)) => ((access.contains('R'), access.contains('W')), pattern),
            None => match rule.split_at_checked(1) {
                Some(("~", pattern)) => ((true, true), pattern),
                Some(("&", pattern)) => {
                    found.channels.insert(pattern.to_owned());
                    continue;
                }
                _ => continue,
            },
        };
        let known = found.keys.entry(pattern.to_owned()).or_default();
        *known = (known.0 || access.0, known.1 || access.1);
    }
    // The server forgets what another pattern covers whole.
    if found.keys.get("*") == Some(&(true, true)) {
        found.keys.retain(|pattern, _| pattern == "*");
    }
    if found.channels.contains("*") {
        found.channels.retain(|pattern| pattern == "*");
    }
    found
}

/// Words are separated by spaces; a selector in round brackets is one word.
fn split_words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let end = if rest.starts_with('(') {
            rest.find(')').map(|at| at + 1)
        } else {
            rest.find(' ')
        };
        let (word, after) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or((rest, ""));
        words.push(word);
        rest = after.trim_start();
    }
    words
}

impl Server {
    /// All users of the server.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn users(&self) -> Result<Vec<ListedUser>, Error> {
        let mut command = redis::cmd("ACL");
        command.arg("LIST");
        let lines: Vec<Vec<u8>> = self.ask("ACL LIST", &command).await?;
        lines
            .iter()
            .map(|line| {
                parse_acl_line(line)
                    .ok_or_else(|| Error::unexpected("ACL LIST", "a line that is no user"))
            })
            .collect()
    }

    /// Creates or replaces a user, in one command: a live connection of it is never without rights
    /// that it keeps. A `MONITOR` or a copy that runs goes on without the right: see [`Server::end_streams_of`].
    ///
    /// # Errors
    /// [`Error::Refused`] with the server's words; the user is then as it was.
    pub async fn set_user(&self, user: &AclUser) -> Result<(), Error> {
        let command = set_user_command(user);
        self.ask::<()>("ACL SETUSER", &command).await
    }

    /// Closes connections of these users on which `MONITOR` runs, or which follow as a replica: a server lets
    /// them go on when the right is taken away.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn end_streams_of(&self, users: &BTreeSet<&str>) -> Result<(), Error> {
        if users.is_empty() {
            return Ok(());
        }
        for of in ["normal", "replica"] {
            let mut list = redis::cmd("CLIENT");
            list.arg(&["LIST", "TYPE", of]);
            let clients: Vec<u8> = self.ask("CLIENT LIST", &list).await?;
            let clients = String::from_utf8_lossy(&clients);
            for id in streams_of(users, &clients) {
                let mut kill = redis::cmd("CLIENT");
                kill.arg(&["KILL", "ID", id]);
                let _: i64 = self.ask("CLIENT KILL", &kill).await?;
            }
        }
        Ok(())
    }

    /// Deletes a user, with which the server closes its connections. One that does not exist is no error.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn delete_user(&self, name: impl AsRef<[u8]>) -> Result<(), Error> {
        let mut command = redis::cmd("ACL");
        command.arg("DELUSER").arg(name.as_ref());
        let _: i64 = self.ask("ACL DELUSER", &command).await?;
        Ok(())
    }

    /// Closes all connections of a user. One that does not exist is no error, if its name is text: what the
    /// server says of others no client reads.
    ///
    /// # Errors
    /// As told by [`Error`].
    pub async fn kill_connections_of(&self, name: impl AsRef<[u8]>) -> Result<(), Error> {
        let mut command = redis::cmd("CLIENT");
        command.arg("KILL").arg("USER").arg(name.as_ref());
        match self.ask::<i64>("CLIENT KILL", &command).await {
            Ok(_) => Ok(()),
            // Some versions say so when the user itself is gone.
            Err(Error::Refused { message, .. }) if message.contains("No such user") => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Connections of these users, from `CLIENT LIST`, on which `MONITOR` runs (`O`), or that follow (`S`).
fn streams_of<'a>(users: &BTreeSet<&str>, clients: &'a str) -> Vec<&'a str> {
    let stream = |line: &'a str| {
        let field = |name: &str| {
            let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
            Some(fields.find(|(key, _)| *key == name)?.1)
        };
        let runs = users.contains(field("user")?) && field("flags")?.contains(['O', 'S']);
        field("id").filter(|_| runs)
    };
    clients.lines().filter_map(stream).collect()
}

fn set_user_command(user: &AclUser) -> redis::Cmd {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg(&user.name);
    // `reset` gives all channels on 6.2, hence the explicit `resetchannels`.
    command.arg("reset").arg("resetchannels").arg("on");
    for hash in &user.password_sha256 {
        command.arg(format!("#{hash}"));
    }
    for rule in &user.rules {
        command.arg(rule);
    }
    command
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_of_each_version_is_read() {
        let v62 = "user default on nopass ~* &* +@all";
        let user = parse_acl_line(v62.as_bytes()).unwrap();
        assert!(user.enabled && user.nopass);
        assert_eq!(user.rules, ["~*", "&*", "+@all"]);

        let v70 = "user app off sanitize-payload #ab12 ~a:* resetchannels -@all +get (~b:* +set)";
        let user = parse_acl_line(v70.as_bytes()).unwrap();
        assert!(!user.enabled && !user.nopass);
        assert_eq!(user.password_sha256, ["ab12"]);
        assert_eq!(
            user.rules,
            [
                "sanitize-payload",
                "~a:*",
                "resetchannels",
                "-@all",
                "+get",
                "(~b:* +set)"
            ]
        );
    }

    #[test]
    fn a_name_of_any_bytes_is_kept_as_it_is() {
        let user = parse_acl_line(b"user \xffeve on nopass ~* +@all").unwrap();
        assert_eq!(user.name, "\u{fffd}eve");
        assert_eq!(user.raw_name, b"\xffeve");
        assert!(user.nopass);
    }

    #[test]
    fn connections_that_monitor_or_follow_are_found_by_their_user() {
        let clients = "id=3 addr=1:2 name= flags=N db=0 cmd=get user=ops resp=2\n\
                       id=4 addr=1:3 name=user flags=O db=0 cmd=monitor user=ops resp=2\n\
                       id=5 addr=1:4 flags=OU cmd=monitor user=other\n\
                       id=6 addr=1:5 name= flags=S db=0 cmd=psync user=ops resp=2\n";
        assert_eq!(streams_of(&["ops"].into(), clients), ["4", "6"]);
        assert!(streams_of(&["op"].into(), clients).is_empty());
    }

    #[test]
    fn patterns_are_equal_however_they_are_written() {
        let of = |rules: &[&str]| {
            let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
            patterns(&rules)
        };
        assert_eq!(of(&["%R~a", "+get", "%W~a"]), of(&["resetchannels", "~a"]));
        assert_eq!(of(&["~b", "~*", "&c", "&*"]), of(&["~*", "&*"]));
        assert_ne!(of(&["%R~a"]), of(&["~a"]));
        assert_ne!(of(&["&a"]), of(&["~a"]));
    }

    #[test]
    fn debug_output_of_a_user_has_no_hash() {
        let user = parse_acl_line(b"user app on #abcdef +get").unwrap();
        assert!(!format!("{user:?}").contains("abcdef"));
    }

    proptest! {
        #[test]
        fn any_line_is_read_without_a_panic(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_acl_line(&line);
        }

        #[test]
        fn what_is_written_is_read_back(
            name in "[a-z-]{1,20}",
            on in any::<bool>(),
            hashes in prop::collection::vec("[0-9a-f]{64}", 0..3),
            rules in prop::collection::vec("[+~&-][a-z@:*|]{1,12}|\\([+~][a-z]{1,5} [+~][a-z]{1,5}\\)", 0..6),
        ) {
            let mut line = format!("user {name} {}", if on { "on" } else { "off" });
            for hash in &hashes { line.push_str(&format!(" #{hash}")); }
            for rule in &rules { line.push(' '); line.push_str(rule); }
            let user = parse_acl_line(line.as_bytes()).unwrap();
            prop_assert_eq!(user.name, name);
            prop_assert_eq!(user.enabled, on);
            prop_assert_eq!(user.password_sha256, hashes);
            prop_assert_eq!(user.rules, rules);
        }
    }
}
