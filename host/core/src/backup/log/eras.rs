//! Which histories follow one another.
