//! Tries to say words that a server would read as more than a command or a key.

hera_policy_hostile::policy!(|context, input| {
    let mut answer = hera_policy_hostile::honest(input);
    for user in &mut answer.users {
        if context.seed % 2 == 0 {
            user.keys.push(hera_policy_sdk::acl::KeyGrant {
                pattern: "* nopass".to_owned(),
                access: hera_policy_sdk::acl::KeyAccess::ReadWrite,
            });
        } else {
            let rule = hera_policy_sdk::acl::CommandRule::AllowCommand("get nopass".to_owned());
            user.commands.push(rule);
        }
    }
    Ok(answer)
});
