//! Lets everybody write, which is within what some specs allow and beyond what others do.

hera_policy_hostile::policy!(|_, input| {
    let mut answer = hera_policy_hostile::honest(input);
    for user in &mut answer.users {
        let set = hera_policy_hostile::UserGrants::new("").allow_command("set");
        user.commands.extend(set.commands);
    }
    Ok(answer)
});
