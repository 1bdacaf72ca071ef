//! Asks for all the memory there is at once.

hera_policy_hostile::policy!(|_, input| {
    let all = std::hint::black_box(vec![1_u8; 1 << 30]);
    std::hint::black_box(&all);
    Ok(hera_policy_hostile::honest(input))
});
