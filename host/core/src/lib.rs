//! Pure decisions: from what was observed to what is done next.
