//! Takes memory page by page, for as long as it gets some.

hera_policy_hostile::policy!(|_, input| {
    let mut hoard = Vec::new();
    while hoard.len() < 100_000 {
        hoard.push(std::hint::black_box(vec![0_u8; 60_000]));
    }
    std::hint::black_box(&hoard);
    Ok(hera_policy_hostile::honest(input))
});
