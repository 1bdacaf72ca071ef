//! HTTP with who cannot be trusted: a tenant's pod may send without end, or connect without end. Every answer
//! that is read and every connection that is taken has a bound here, and nowhere else.

pub mod answer;
mod clean;
pub mod places;
pub mod serve;
