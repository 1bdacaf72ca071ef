//! Brings slots to the shards that an accepted plan names, and shards in and out: from what was observed to the
//! next orders (decision 027).
