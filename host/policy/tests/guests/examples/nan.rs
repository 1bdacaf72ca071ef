//! Decides by the bits of a number that is none: they must be the same on every machine.

hera_policy_hostile::policy!(|context, input| {
    let zero = f64::from(u32::from(context.name.is_empty()));
    let none = std::hint::black_box(zero) / std::hint::black_box(0.0);
    let other = std::hint::black_box(-1.0) * none;
    hera_policy_sdk::log::info(&format!("{:x} {:x}", none.to_bits(), other.to_bits()));
    Ok(hera_policy_hostile::honest(input))
});
