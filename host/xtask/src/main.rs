//! Generates what is checked in, and checks that it is up to date.
fn main() {}
