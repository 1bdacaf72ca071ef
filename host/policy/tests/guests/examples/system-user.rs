//! Takes over the operator's own user.

hera_policy_hostile::policy!(|_, input| {
    let mut answer = hera_policy_hostile::honest(input);
    answer
        .users
        .push(hera_policy_hostile::UserGrants::new("hera-operator").allow_category("all"));
    Ok(answer)
});
