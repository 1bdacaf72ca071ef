//! Scenarios on the testbed, as a user meets them.
