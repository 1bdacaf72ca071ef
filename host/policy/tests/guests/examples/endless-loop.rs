//! Never answers.

hera_policy_hostile::policy!(|_, _| loop {
    std::hint::black_box(());
});
