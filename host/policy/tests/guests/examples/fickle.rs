//! Answers the same question in another way from one time to the next.

hera_policy_hostile::policy!(|context, input| {
    let answer = hera_policy_hostile::honest(input);
    let denies = context.now_unix_ms % 2 == 1;
    let users = answer.users.into_iter().map(|user| match denies {
        true => user.deny_command("get"),
        false => user,
    });
    Ok(hera_policy_hostile::AclAnswer::new(users))
});
