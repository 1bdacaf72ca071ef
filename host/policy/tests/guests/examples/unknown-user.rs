//! Makes a user that nobody asked for.

hera_policy_hostile::policy!(|_, input| {
    let mut answer = hera_policy_hostile::honest(input);
    answer
        .users
        .push(hera_policy_hostile::UserGrants::new("backdoor").allow_command("get"));
    Ok(answer)
});
