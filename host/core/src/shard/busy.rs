//! A primary that somebody asks to be down, or that a script keeps from answering anybody else: when its server ends,
//! and why not. One rule for every kind.

use super::member::Member;

/// True if somebody asks that the server of a pod be down.
pub fn is_asked_down(fenced: &[String], member: &Member) -> bool {
    fenced.iter().any(|name| name == member.name())
}

/// Who may lead in place of a primary that a script keeps busy: whoever has all that it acknowledged, and is to stay
/// up. A busy one is silent, and its links stand until `repl-timeout`.
pub fn busy_heirs<'a>(
    members: &'a [Member],
    fenced: &'a [String],
    primary: &'a Member,
) -> impl Iterator<Item = &'a Member> {
    let able = members
        .iter()
        .filter(move |member| member.may_follow_busy(primary));
    able.filter(move |member| !is_asked_down(fenced, member))
}

/// Why a primary that a script keeps busy is to end now, if it is. A script that has not written its agent ends.
pub fn why_busy_ends(
    members: &[Member],
    fenced: &[String],
    primary: &Member,
) -> Option<&'static str> {
    let script = primary.script()?;
    let reason = match (is_asked_down(fenced, primary), script.has_written) {
        (true, _) => "somebody asked for it, and a replica is in sync",
        (false, true) => "a script that has written runs for too long, and a replica is in sync",
        (false, false) => return None,
    };
    let mut heirs = busy_heirs(members, fenced, primary);
    heirs.next().is_some().then_some(reason)
}

/// Why a primary is not brought down though somebody asks for it, for people: what it acknowledged would be lost.
pub fn why_not_fenced(members: &[Member], fenced: &[String], primary: &Member) -> Option<String> {
    if !is_asked_down(fenced, primary) || why_busy_ends(members, fenced, primary).is_some() {
        return None;
    }
    let words = match (members.len(), primary.script()) {
        (1, _) => {
            "the pod is the only one: kubectl hera hibernate stops its server and keeps the data"
        }
        (_, Some(_)) => {
            "a script keeps the primary busy, and no replica is in sync: what it acknowledged would be lost"
        }
        (_, None) if !primary.is_running() => {
            "its server does not run yet and may be the primary: it is fenced once another leads"
        }
        (_, None) => {
            "the pod is the primary: hand over first (kubectl hera promote), then fence it"
        }
    };
    Some(format!("{}: {words}", primary.name()))
}

/// Why no pod of a cluster goes down though somebody asks for all of them, for people: a primary that serves stays up,
/// and would serve without a copy.
pub fn why_not_all_fenced<'a>(members: impl IntoIterator<Item = &'a Member>) -> Option<String> {
    let mut members = members.into_iter();
    let primary = members.find(|member| member.agent.serves())?;
    Some(format!(
        "*: {} serves as a primary and does not go down, so that it would serve without a copy: name the replicas that \
         are to be down; kubectl hera hibernate stops all servers and keeps the data",
        primary.name()
    ))
}

/// That there is no pod of a name that somebody asks to be down, for people.
pub fn no_such_pod<'a>(
    members: impl IntoIterator<Item = &'a Member>,
    fenced: &[String],
) -> Option<String> {
    let members: Vec<&Member> = members.into_iter().collect();
    let is_known = |name: &String| members.iter().any(|member| member.is_called(name));
    let unknown = fenced.iter().find(|name| !is_known(name))?;
    Some(format!("there is no data pod {unknown} to fence"))
}

/// Why a primary does not hand over, for people.
pub(crate) fn keeps_from_handing_over(primary: &Member) -> Option<String> {
    primary.script().map(|_| {
        format!(
            "a script keeps the server of {} busy, so it cannot hand over before that has ended; kubectl hera \
             fence ends the server, where a replica is in sync",
            primary.label()
        )
    })
}
