//! Primaries that drifted to one place by failovers are led away again, one after the other.

use std::time::Duration;

use hera_core::cluster::{drift, together};
use hera_core::shard::Shard;

use super::roll::Shards;
use crate::controllers::outcome::PassError;
use crate::leaders::boot_millis;

/// Between two planned switches, and for how long a cluster is to be whole before the first: who just came
/// back is not touched at once.
const PAUSE: Duration = Duration::from_secs(300);

/// Where copies and primaries are.
#[derive(Debug, Default)]
pub struct Spread {
    /// What one node or zone would take with it, for people.
    pub words: Vec<String>,
    /// When a primary is led away, at the soonest.
    pub due: Option<Duration>,
    /// One was.
    pub moved: bool,
}

impl Shards<'_> {
    /// Looks at where everything is, and leads one primary away if that is due and the cluster is `at_rest`.
    ///
    /// # Errors
    /// When the switch is not taken.
    pub async fn spread(&self, at_rest: bool) -> Result<Spread, PassError> {
        let (site, key) = (self.site, self.site.key());
        let clusters = &site.shared.clusters;
        let shards: Vec<Shard<'_>> = self.all().map(|(_, shard)| shard).collect();
        let shared = together(&shards).into_iter();
        let shared = shared.map(|shard| format!("copies of shard {shard} are on one node"));
        let mut spread = Spread {
            words: shared.collect(),
            ..Spread::default()
        };
        let Some(drift) = drift(&shards).filter(|_| at_rest) else {
            clusters.drifts_no_more(&key);
            return Ok(spread);
        };
        let now = boot_millis();
        let past = Duration::from_millis(now.saturating_sub(clusters.drifts(&key, now)));
        match PAUSE.checked_sub(past).filter(|left| !left.is_zero()) {
            Some(left) => {
                spread.due = Some(left);
                let minutes = PAUSE.as_secs() / 60;
                let (reason, to) = (&drift.reason, drift.to.name());
                let words = format!("{reason}: after {minutes} min of that {to} takes one over");
                spread.words.push(words);
            }
            None => {
                clusters.drifts_no_more(&key);
                let roll = self
                    .switch_over(drift.from, drift.to, &drift.reason)
                    .await?;
                spread.words.extend(roll.words);
                spread.moved = roll.moved;
            }
        }
        Ok(spread)
    }
}
