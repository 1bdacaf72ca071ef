//! Behaves a thousand times, then loops. It cannot count, so the number comes with the question.

hera_policy_hostile::policy!(|context, input| {
    while std::hint::black_box(context.seed) >= 1_000 {}
    Ok(hera_policy_hostile::honest(input))
});
