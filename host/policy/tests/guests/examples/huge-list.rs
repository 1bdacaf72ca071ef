//! Answers with a list longer than an answer may be.

hera_policy_hostile::policy!(|_, input| {
    let mut answer = hera_policy_hostile::honest(input);
    let rule = hera_policy_sdk::acl::CommandRule::AllowCommand("get".to_owned());
    for user in &mut answer.users {
        user.commands.extend(vec![rule.clone(); 40_000]);
    }
    Ok(answer)
});
