//! What the author of a policy depends on.
