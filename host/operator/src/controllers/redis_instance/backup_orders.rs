//! Orders about backups to the agents of an instance.

use hera_core::backup::BackupOrder;
use hera_core::shard::Member;
use tracing::info;

use super::act::Material;
use crate::controllers::outcome::PassError;

/// Gives an agent an order about backups.
///
/// # Errors
/// It refuses, or does not answer; or another replica leads.
pub async fn order(
    material: &Material<'_>,
    member: &Member,
    order: BackupOrder,
) -> Result<(), PassError> {
    let site = material.site;
    if site.shared.leadership.term() != Some(site.term) {
        return Err(PassError::LeadershipLost);
    }
    info!(pod = member.name(), ?order, "ordered");
    let agent = material.agent(member.uid())?;
    let given = agent.order_backup(&material.request(order)).await;
    given
        .map(drop)
        .map_err(|error| material.refused(member.uid(), error))
}
