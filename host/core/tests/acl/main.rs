//! What the guard lets through, and what it does not.

mod ceiling;
mod fixtures;
mod guard;
mod property;
