//! Has no answer, and says so at length.

hera_policy_hostile::policy!(|context, _| {
    let text = format!(
        "not for \u{1b}[31m{} {}",
        context.name,
        "because ".repeat(100)
    );
    Err(hera_policy_hostile::PolicyError::Undecided(text))
});
