//! Leader election by a Lease, with a term.
//!
//! The term stands in an annotation of the Lease: it grows with every change of holder, so whoever is
//! told a term can refuse an older leader. The Lease's own count of transitions is kept in step as far as
//! it reaches. Nothing that an agent says changes the Lease (decision 015).
//!
//! # Guarantees
//! [`Leadership::term`] answers a term only while this process renewed the Lease less than the
//! Lease's duration ago by its own monotonic clock; a process that was stopped and wakes up later
//! is no leader any more, before it has talked to anybody.
//!
//! # Caveats
//! A write that was already on its way cannot be called back: writes carry preconditions, orders
//! to agents carry the term.

mod decide;
mod elector;
mod record;
mod tenure;

pub use elector::{Elector, LeaseName};
pub use tenure::Leadership;

use std::time::Duration;

/// Annotation of the Lease: the term of who holds it, or held it last.
pub const ANNOTATION_TERM: &str = "cache.hera.io/term";
/// Annotation of the Lease: since when terms may have been given that it does not tell of, as it was
/// missing or set back.
pub const ANNOTATION_TERMS_LOST: &str = "cache.hera.io/terms-lost";

/// How long a holder that does not renew is still believed (design §6).
pub const DURATION: Duration = Duration::from_secs(6);
/// How often the holder renews.
pub const RENEW_EVERY: Duration = Duration::from_secs(2);
/// How often a candidate looks: a Lease that was released does not lie about for long.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);
