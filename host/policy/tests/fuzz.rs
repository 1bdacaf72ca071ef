//! Damaged modules, and answers of all kinds before the guard, for as many seconds as
//! `HERA_FUZZ_SECONDS` says: a module is refused or runs within its limits, an answer is refused or says
//! nothing that the spec does not, and neither ends the process.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::support::{context, corpus, input};
use hera_core::acl::{
    AclAnswer, AclInput, CLEAR, CommandRule, KeyAccess, KeyGrant, UserGrants, compile,
    is_system_user,
};
use hera_policy::{Acl, Decision as _, Limits, Registry};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

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

/// How long to go on, and what all follows from: shown when it fails, as the same does the same again.
fn bound() -> (Duration, StdRng) {
    let seconds = std::env::var("HERA_FUZZ_SECONDS");
    let seconds = seconds.map_or(SECONDS, |text| text.parse().unwrap());
    let seed: u64 = match std::env::var("HERA_FUZZ_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => rand::random(),
    };
    // Past the harness, which keeps what is printed to itself until a test has ended.
    let mut out = std::io::stderr().lock();
    writeln!(out, "HERA_FUZZ_SEED={seed}").unwrap();
    (Duration::from_secs(seconds), StdRng::seed_from_u64(seed))
}

#[tokio::test]
async fn no_damage_to_a_module_harms_the_host() {
    let (bound, mut random) = bound();
    let seeds: Vec<Vec<u8>> = corpus::all().unwrap().into_iter().map(|m| m.1).collect();
    let small: Vec<Vec<u8>> = seeds.into_iter().filter(|m| m.len() < 128 << 10).collect();
    let registry = Registry::new(Limits::default(), None).unwrap();
    let (context, input) = (context(""), input(2));
    // Building the corpus takes its own time.
    let until = Instant::now() + bound;
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
    println!("{tried} modules, {ran} of them ran");
    assert!(tried > 0);
}

/// Words that a server or a careless host would read as more than they are.
const WORDS: &[&str] = &[
    "get",
    "set",
    "flushall",
    "config|set",
    "all",
    "read",
    "nopass",
    "reset",
    ">secret",
    "#00",
    "a b",
    "a\nuser x on nopass",
    "*",
    "app:*",
    "one",
    "%R~x",
    "(+@all ~*)",
    "",
    "\u{e9}",
    "on",
    "@all",
    "~*",
    "skip-sanitize-payload",
    "news:*",
    "app:[a-c]?",
    "a\0",
    "sanitize-payload",
    "allkeys",
];

fn word(random: &mut StdRng) -> String {
    let word = WORDS[random.random_range(0..WORDS.len())].to_owned();
    match random.random_range(0..10) {
        0 => word + WORDS[random.random_range(0..WORDS.len())],
        1 => word.repeat(random.random_range(1..200)),
        _ => word,
    }
}

/// What the built-in would grant, with some of it exchanged, or something else altogether.
fn answer(random: &mut StdRng, input: &AclInput) -> AclAnswer {
    let mut users: Vec<UserGrants> = input
        .users
        .iter()
        .map(|user| UserGrants {
            name: match random.random_range(0..40) {
                0 => "default".to_owned(),
                1 => "hera-operator".to_owned(),
                2 => word(random),
                _ => user.name.clone(),
            },
            commands: (0..random.random_range(0..4))
                .map(|_| {
                    let name = word(random);
                    match random.random_range(0..4) {
                        0 => CommandRule::AllowCommand(name),
                        1 => CommandRule::DenyCommand(name),
                        2 => CommandRule::AllowCategory(name),
                        _ => CommandRule::DenyCategory(name),
                    }
                })
                .collect(),
            keys: (0..random.random_range(0..3))
                .map(|_| KeyGrant {
                    pattern: match user.keys.first() {
                        Some(pattern) if random.random() => pattern.clone(),
                        _ => word(random),
                    },
                    access: match random.random_range(0..3) {
                        0 => KeyAccess::Read,
                        1 => KeyAccess::Write,
                        _ => KeyAccess::ReadWrite,
                    },
                })
                .collect(),
            channels: (0..random.random_range(0..2))
                .map(|_| word(random))
                .collect(),
        })
        .collect();
    if random.random_range(0..20) == 0 {
        users.pop();
    }
    AclAnswer { users }
}

#[test]
fn no_answer_gets_more_past_the_guard_than_the_spec_says() {
    let (bound, mut random) = bound();
    let until = Instant::now() + bound;
    let (mut tried, mut passed) = (0_u64, 0_u64);
    while Instant::now() < until {
        let number = random.random_range(0..1_000);
        let input = Acl::example(&mut random, number);
        let input = AclInput {
            users: input.users.into_iter().take(3).collect(),
            ..input
        };
        let answer = answer(&mut random, &input);
        tried += 1;
        if Acl::guard(&input, &answer).is_err() {
            continue;
        }
        passed += 1;
        assert_eq!(answer.users.len(), input.users.len());
        for (granted, asked) in answer.users.iter().map(|user| {
            let asked = input.users.iter().find(|asked| asked.name == user.name);
            (user, asked.unwrap())
        }) {
            assert!(!is_system_user(&granted.name));
            for rule in compile(granted, &[]).rules.iter().skip(CLEAR.len()) {
                assert!(rule.starts_with(['+', '-', '~', '%', '&']), "{rule:?}");
                assert!(rule.bytes().all(|byte| byte.is_ascii_graphic()), "{rule:?}");
            }
            for key in &granted.keys {
                let within = asked.keys.iter().any(|spec| {
                    let stem = spec
                        .strip_suffix('*')
                        .filter(|stem| !stem.contains(['*', '?', '[', '\\']));
                    key.pattern == *spec || stem.is_some_and(|stem| key.pattern.starts_with(stem))
                });
                assert!(within, "{key:?} of {asked:?}");
            }
        }
    }
    println!("{tried} answers, {passed} of them passed");
    assert!(passed > 0);
}
