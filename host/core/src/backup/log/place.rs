//! Which copy's stream is read.

use crate::backup::choose::can_be_read;
use crate::backup::{NoCopy, Source, Wish, choose};
use crate::shard::{Member, primary};

/// The copy whose agent keeps the log: the one that does (`capturing`, the uid of its pod) while it is fit, else the
/// one that a snapshot would be read from.
///
/// # Errors
/// See [`NoCopy`].
pub fn place<'a>(
    members: &'a [Member],
    source: Source,
    needs_replicas: bool,
    capturing: Option<&str>,
) -> Result<&'a Member, NoCopy> {
    let primary = primary(members).ok_or(NoCopy::NoPrimary)?;
    let of_source = |member: &Member| match (source, member.ordinal == primary.ordinal) {
        (Source::Primary, is_primary) => is_primary,
        (Source::Replica, true) => false,
        (Source::PreferReplica, true) => !needs_replicas,
        (Source::Replica | Source::PreferReplica, false) => member.is_in_sync(primary),
    };
    let capturing = capturing.filter(|uid| !uid.is_empty());
    let stays = members
        .iter()
        .filter(|member| Some(member.uid()) == capturing)
        .find(|member| can_be_read(member) && of_source(member));
    let wish = Wish {
        source,
        needs_replicas,
        after: None,
    };
    stays.map_or_else(|| choose(members, wish), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::choose::members::{change, lose_sync, member, three};

    fn kept_by(
        members: &[Member],
        source: Source,
        needs_replicas: bool,
        capturing: &str,
    ) -> Result<u32, NoCopy> {
        let placed = place(members, source, needs_replicas, Some(capturing));
        placed.map(|member| member.ordinal)
    }

    #[test]
    fn who_keeps_it_goes_on_while_it_is_fit() {
        let mut members = three();
        let prefer = Source::PreferReplica;
        assert_eq!(kept_by(&members, prefer, false, "uid-2"), Ok(2));
        assert_eq!(kept_by(&members, prefer, false, "uid-0"), Ok(0));
        assert_eq!(kept_by(&members, prefer, false, "uid-9"), Ok(1));
        assert_eq!(kept_by(&members, prefer, false, ""), Ok(1));
        lose_sync(&mut members[2]);
        assert_eq!(kept_by(&members, prefer, false, "uid-2"), Ok(1));
        change(&mut members[0], |status| status.leaving = true);
        assert_eq!(kept_by(&members, prefer, false, "uid-0"), Ok(1));
    }

    #[test]
    fn it_moves_from_a_primary_that_may_not_be_read() {
        let members = three();
        let needed = kept_by(&members, Source::PreferReplica, true, "uid-0");
        assert_eq!(needed, Ok(1));
        assert_eq!(kept_by(&members, Source::Replica, false, "uid-0"), Ok(1));
        assert_eq!(kept_by(&members, Source::Primary, true, "uid-0"), Ok(0));
        let alone = [member(0, "primary")];
        let waits = kept_by(&alone, Source::PreferReplica, true, "uid-0");
        assert_eq!(waits, Err(NoCopy::ReplicasNeeded));
    }

    #[test]
    fn it_moves_to_the_primary_where_that_is_asked_for() {
        assert_eq!(kept_by(&three(), Source::Primary, false, "uid-1"), Ok(0));
        assert_eq!(
            place(&[], Source::Primary, false, None).unwrap_err(),
            NoCopy::NoPrimary
        );
    }
}
