//! Honest: logs all that it is told, so that a test sees every field arrive.

hera_policy_hostile::policy!(|context, input| {
    hera_policy_sdk::log::debug(&format!("{context:?}"));
    hera_policy_sdk::log::info(&format!("{:?}", input.users));
    let read: Vec<_> = input.commands_of("read").take(3).collect();
    hera_policy_sdk::log::warn(&format!(
        "{} commands, read: {read:?}",
        input.commands.len()
    ));
    Ok(hera_policy_hostile::honest(input))
});
