//! Damaged modules, for as many seconds as `HERA_FUZZ_SECONDS` says: each is refused or runs within
//! its limits, none ends the process.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod support;

use std::time::{Duration, Instant};

use hera_policy::{Acl, Limits, Registry};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use support::{context, corpus, input};

const SECONDS: u64 = 5;

/// One to eight of: a byte changed, a part taken out, doubled, or put in from another module.
fn damage(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
    for _ in 0..random.random_range(1..=8) {
        let other = &seeds[random.random_range(0..seeds.len())];
        let from = random.random_range(0..other.len());
        let part = other[from..other.len().min(from + random.random_range(1..64))].to_vec();
        let at = random.random_range(0..bytes.len());
        let end = bytes.len().min(at + part.len());
        match random.random_range(0..4) {
            0 => bytes[at] = random.random(),
            1 if end - at < bytes.len() => drop(bytes.drain(at..end)),
            2 => drop(bytes.splice(at..at, part)),
            _ => drop(bytes.splice(at..end, part)),
        }
    }
    bytes
}

#[tokio::test]
async fn no_damage_to_a_module_harms_the_host() {
    let seconds = std::env::var("HERA_FUZZ_SECONDS");
    let seconds = seconds.map_or(SECONDS, |text| text.parse().unwrap());
    let seed: u64 = match std::env::var("HERA_FUZZ_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    };
    // Shown when it fails: the same seed does the same again.
    println!("HERA_FUZZ_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let seeds: Vec<Vec<u8>> = corpus::all().unwrap().into_iter().map(|m| m.1).collect();
    let small: Vec<Vec<u8>> = seeds.into_iter().filter(|m| m.len() < 128 << 10).collect();
    let registry = Registry::new(Limits::default(), None).unwrap();
    let (context, input) = (context(""), input(2));
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut tried, mut ran) = (0_u64, 0_u64);
    while Instant::now() < until {
        let module = damage(&mut random, &small);
        tried += 1;
        if let Ok(policy) = registry.load::<Acl>(module, "tests").await {
            let call = policy.ask("tests", &context, &input).await;
            assert!(!call.outcome.name().is_empty());
            ran += 1;
        }
    }
    println!("{tried} modules in {seconds} s, {ran} of them ran");
    assert!(tried > 0);
}
