//! Logs strings of a size that only adds up.

hera_policy_hostile::policy!(|_, input| {
    let text = "x".repeat(200_000);
    for _ in 0..1_000 {
        hera_policy_sdk::log::info(&text);
    }
    Ok(hera_policy_hostile::honest(input))
});
