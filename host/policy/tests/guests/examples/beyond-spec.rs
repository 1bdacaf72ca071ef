//! Grants everybody every command.

hera_policy_hostile::policy!(|_, input| {
    let mut answer = hera_policy_hostile::honest(input);
    for user in &mut answer.users {
        user.commands = hera_policy_hostile::UserGrants::new("")
            .allow_category("all")
            .commands;
    }
    Ok(answer)
});
