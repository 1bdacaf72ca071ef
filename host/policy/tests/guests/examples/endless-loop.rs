//! Never answers. Filling memory burns fuel by the byte, so fuel ends it in a few milliseconds on
//! any machine, long before the wall clock does.

hera_policy_hostile::policy!(|_, _| {
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        buffer.fill(std::hint::black_box(1));
        std::hint::black_box(&buffer);
    }
});
