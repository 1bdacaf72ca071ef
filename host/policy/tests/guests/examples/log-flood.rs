//! Logs without end, and unprintably, then answers well.

hera_policy_hostile::policy!(|_, input| {
    for _ in 0..1000 {
        hera_policy_sdk::log::warn(&"\u{1b}[2Jflood ".repeat(200));
    }
    Ok(hera_policy_hostile::honest(input))
});
