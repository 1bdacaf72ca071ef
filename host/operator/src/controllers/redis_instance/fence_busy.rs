//! Ends the server of a primary that a script keeps busy, where another has all that it acknowledged.

use hera_core::agent::Order;
use hera_core::shard::{Member, Target};

use super::act::{self, Material};
use crate::controllers::outcome::PassError;

/// Orders it, with how far the replica has got that has got furthest: the agent knows how far its server was when
/// it last answered, before the script began. That a link stands says little: one that is cut stands for a minute.
pub async fn carry_out(material: &Material<'_>, pod: &Target, epoch: u64) -> Result<(), PassError> {
    let members = &material.site.members;
    let primary = members.iter().find(|member| member.uid() == pod.uid);
    let Some((primary, script)) = primary.and_then(|found| Some((found, found.script()?))) else {
        return Ok(());
    };
    let heirs = members
        .iter()
        .filter(|member| member.may_follow_busy(primary));
    let positions = futures::future::join_all(heirs.map(|heir| offset(material, heir))).await;
    let Some(offset) = positions.into_iter().flatten().max() else {
        let words = "no replica tells how far it has got";
        return Err(PassError::HandOver(words.to_owned()));
    };
    let order = Order::FenceBusy {
        epoch,
        script_since_unix_ms: script.since_unix_ms,
        offset,
    };
    act::order(material, pod, order).await
}

async fn offset(material: &Material<'_>, heir: &Member) -> Option<u64> {
    let position = material.agent(heir.uid()).ok()?.position().await.ok()?;
    Some(position.offset)
}
