//! Answers with megabytes.

hera_policy_hostile::policy!(|_, input| {
    let mut answer = hera_policy_hostile::honest(input);
    for user in &mut answer.users {
        user.channels.push("x".repeat(3 << 20));
    }
    Ok(answer)
});
