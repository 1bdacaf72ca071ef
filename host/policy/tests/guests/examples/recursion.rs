//! Calls itself without end.

fn deeper(depth: u64) -> u64 {
    let kept = std::hint::black_box([depth; 64]);
    if kept.iter().sum::<u64>() == u64::MAX {
        return 0;
    }
    deeper(depth + 1) + std::hint::black_box(kept)[0]
}

hera_policy_hostile::policy!(|_, input| {
    std::hint::black_box(deeper(1));
    Ok(hera_policy_hostile::honest(input))
});
