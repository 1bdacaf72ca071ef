//! Takes memory without end.

hera_policy_hostile::policy!(|_, input| {
    let mut hoard = Vec::new();
    for _ in 0..64 {
        hoard.push(std::hint::black_box(vec![0_u8; 1 << 20]));
    }
    std::hint::black_box(&hoard);
    Ok(hera_policy_hostile::honest(input))
});
