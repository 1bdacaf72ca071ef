//! Evidence in order.
