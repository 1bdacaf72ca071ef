//! Never answers, and spends its time in the host: a short line costs it next to no fuel.

hera_policy_hostile::policy!(|_, _| {
    loop {
        hera_policy_sdk::log::warn("!");
    }
});
