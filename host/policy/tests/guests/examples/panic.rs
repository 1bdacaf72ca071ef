//! Panics.

hera_policy_hostile::policy!(|_, input| {
    assert!(input.users.is_empty(), "no users were expected");
    Ok(hera_policy_hostile::honest(input))
});
