//! Keys of each database.

use crate::families::Families;
use crate::info::{Info, number, parts};

/// Databases that are shown: as many as a server has unless somebody wants more.
const DATABASES: usize = 16;

pub fn add(info: &Info<'_>, families: &mut Families) {
    // db0:keys=12,expires=3,avg_ttl=4500
    let databases = info
        .under("db")
        .filter(|(rest, _)| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()));
    for (database, value) in databases.take(DATABASES) {
        let name = format!("db{database}");
        let labels = [("db", name.as_str())];
        let parts = parts(value);
        let part = |name: &str| parts.get(name).and_then(|value| number(value));
        if let Some(keys) = part("keys") {
            families.gauge("redis_db_keys", "Keys.", &labels, keys);
        }
        if let Some(keys) = part("expires") {
            let help = "Keys that expire.";
            families.gauge("redis_db_keys_expiring", help, &labels, keys);
        }
        if let Some(millis) = part("avg_ttl") {
            let help = "How long keys that expire live on, on average.";
            let seconds = millis / 1_000.0;
            families.gauge("redis_db_avg_ttl_seconds", help, &labels, seconds);
        }
    }
}
