//! How two answers differ, for people.

use std::collections::{BTreeMap, BTreeSet};

use super::{AclAnswer, CLEAR, compile};

/// A line for each user that is granted something else: what `two` adds and takes away.
pub fn diff(one: &AclAnswer, two: &AclAnswer) -> Vec<String> {
    let (one, two) = (granted(one), granted(two));
    let names: BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    names
        .into_iter()
        .filter_map(|name| {
            let changed = match (one.get(name), two.get(name)) {
                (Some(before), Some(after)) if before == after => return None,
                (Some(before), Some(after)) => changed(before, after),
                (Some(_), None) => "gone".to_owned(),
                (None, _) => "new".to_owned(),
            };
            Some(format!("user {name}: {changed}"))
        })
        .collect()
}

/// What each user is granted, in the server's notation; without what takes everything away first.
pub fn granted(answer: &AclAnswer) -> BTreeMap<String, Vec<String>> {
    let user = |user| {
        let compiled = compile(user, &[]);
        let rules = compiled.rules.into_iter().skip(CLEAR.len()).collect();
        (compiled.name, rules)
    };
    answer.users.iter().map(user).collect()
}

fn changed(before: &[String], after: &[String]) -> String {
    let lacks = |list: &[String], other: &[String]| -> Vec<String> {
        let missing = list.iter().filter(|rule| !other.contains(rule));
        missing.cloned().collect()
    };
    let (added, removed) = (lacks(after, before), lacks(before, after));
    let part = |word: &str, rules: &[String]| {
        (!rules.is_empty()).then(|| format!("{word} {}", rules.join(" ")))
    };
    let parts: Vec<String> = [part("adds", &added), part("lacks", &removed)]
        .into_iter()
        .flatten()
        .collect();
    match parts.is_empty() {
        true => "the same rules in another order".to_owned(),
        false => parts.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::acl::{CommandRule, UserGrants};

    fn answer(users: &[(&str, &[&str])]) -> AclAnswer {
        let user = |(name, rules): &(&str, &[&str])| UserGrants {
            name: (*name).to_owned(),
            commands: rules
                .iter()
                .filter_map(|rule| CommandRule::parse(rule))
                .collect(),
            keys: vec![],
            channels: vec![],
        };
        AclAnswer {
            users: users.iter().map(user).collect(),
        }
    }

    #[test]
    fn only_what_differs_is_told() {
        let one = answer(&[("a", &["+get"]), ("b", &["+get", "+set"]), ("c", &[])]);
        let two = answer(&[("a", &["+get"]), ("b", &["+get", "-set"]), ("d", &[])]);
        let expected = [
            "user b: adds -set, lacks +set",
            "user c: gone",
            "user d: new",
        ];
        assert_eq!(diff(&one, &two), expected);
        let turned = answer(&[("b", &["+set", "+get"])]);
        let plain = answer(&[("b", &["+get", "+set"])]);
        assert_eq!(
            diff(&plain, &turned),
            ["user b: the same rules in another order"]
        );
    }
}
