//! Random histories: with the real rules no guarantee breaks; with a broken rule one does.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use hera_tests_scenarios::{Fault, Guarantee, Outcome, Rules, Tally, run};

/// Much of a search is making and dropping small things.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A search of hours says how far it is.
const TOLD_EVERY: u64 = 10_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs the histories of these seeds on all cores, until one breaks a guarantee that counts: its seed.
fn search(
    seeds: std::ops::Range<u64>,
    rules: Rules,
    counts: impl Fn(Guarantee) -> bool + Sync,
) -> (Tally, Option<u64>) {
    let next = AtomicU64::new(seeds.start);
    let worst = AtomicU64::new(u64::MAX);
    let total = Mutex::new(Tally::default());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut tally = Tally::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || seed > worst.load(Ordering::Relaxed) {
                        break;
                    }
                    if seed != seeds.start && (seed - seeds.start).is_multiple_of(TOLD_EVERY) {
                        println!("begins seed {seed}");
                    }
                    let outcome = run(seed, rules, false);
                    tally.add(&outcome.tally);
                    if outcome
                        .breach
                        .is_some_and(|breach| counts(breach.guarantee))
                    {
                        worst.fetch_min(seed, Ordering::Relaxed);
                    }
                }
                total.lock().unwrap().add(&tally);
            });
        }
    });
    let tally = *total.lock().unwrap();
    let worst = worst.into_inner();
    (tally, (worst != u64::MAX).then_some(worst))
}

fn tell(outcome: &Outcome) {
    let lines = &outcome.journal;
    let skip = lines
        .len()
        .saturating_sub(number("HERA_LINES").map_or(60, |lines| lines as usize));
    if let Some(first) = lines.first().filter(|_| skip > 0) {
        println!("{first}");
    }
    for line in lines.iter().skip(skip) {
        println!("{line}");
    }
}

#[test]
fn ten_thousand_random_histories_break_no_guarantee() {
    if let Some(seed) = number("HERA_SEED") {
        let outcome = run(seed, Rules::default(), true);
        tell(&outcome);
        assert!(outcome.breach.is_none(), "{:?}", outcome.breach);
        return;
    }
    let first = number("HERA_FIRST").unwrap_or(1);
    let histories = number("HERA_HISTORIES").unwrap_or(10_000);
    let started = Instant::now();
    let (tally, broken) = search(first..first + histories, Rules::default(), |_| true);
    if let Some(seed) = broken {
        let outcome = run(seed, Rules::default(), true);
        tell(&outcome);
        panic!("HERA_SEED={seed} breaks a guarantee: {:?}", outcome.breach);
    }
    println!(
        "figures: {} histories from seed {first}, {} steps, {} hours in the model, {:.0} s: {} writes \
         acknowledged, {} promotions ({} without proof), {} handovers, {} primaries stopped by their \
         fence, {} copies replaced, {} shortened, {} pods made ({} histories ran out of names for them), \
         {} writes acknowledged between waking and the fence, {} that wait for a person because nothing \
         proves that the last primary is gone",
        tally.histories,
        tally.steps,
        tally.millis / 3_600_000,
        started.elapsed().as_secs_f64(),
        tally.writes,
        tally.promotions,
        tally.granted,
        tally.handovers,
        tally.fenced,
        tally.replaced,
        tally.shortened,
        tally.pods,
        tally.cut_short,
        tally.after_thaw,
        tally.stuck,
    );
    assert!(tally.promotions > tally.histories && tally.granted > 0 && tally.handovers > 0);
}

/// Within so many histories the fault breaks one of these guarantees; another may break before, such
/// as the promise that it settles.
fn is_noticed(fault: Fault, guarantees: &[Guarantee]) {
    let rules = Rules::with(fault);
    let started = Instant::now();
    let seeds = match number("HERA_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("HERA_SEARCH").unwrap_or(60_000) + 1,
    };
    let (tally, broken) = search(seeds, rules, |broken| guarantees.contains(&broken));
    let Some(seed) = broken else {
        panic!("{fault:?} breaks nothing in {} histories", tally.histories);
    };
    let outcome = run(seed, rules, number("HERA_LINES").is_some());
    tell(&outcome);
    let breach = outcome.breach.unwrap();
    println!(
        "figures: {fault:?} breaks {:?} in history {seed}, after {:.1} s: {}",
        breach.guarantee,
        started.elapsed().as_secs_f64(),
        breach.what
    );
    assert!(guarantees.contains(&breach.guarantee), "{breach:?}");
}

macro_rules! noticed {
    ($($(#[$attribute:meta])* $name:ident: $fault:ident breaks $($guarantee:ident)|+;)+) => {
        $(
            $(#[$attribute])*
            #[test]
            fn $name() {
                is_noticed(Fault::$fault, &[$(Guarantee::$guarantee),+]);
            }
        )+
    };
}

noticed! {
    noticed_if_the_peers_are_not_asked: PeersNotAsked breaks Fence | OnePrimary;
    noticed_if_one_promise_too_few_will_do: OneTooFew breaks Fence | OnePrimary;
    noticed_if_the_term_is_ignored: TermIgnored breaks OlderTerm;
    noticed_if_a_confirmation_counts_from_the_answer: ClockFromAnswer breaks Fence | OnePrimary;
    #[ignore = "a long search: this rule rarely decides alone"]
    noticed_if_a_restart_forgets_promises: PromiseForgotten breaks Fence | OnePrimary;
    #[ignore = "a long search: this rule rarely decides alone"]
    noticed_if_a_promotion_counts_from_its_arrival: PromotionFromArrival breaks Fence | OnePrimary;
    noticed_if_nothing_is_written_down: NothingWrittenDown breaks Fence | OnePrimary | BestCopy | HandoverLosesNothing;
    noticed_if_promises_count_over_the_pods_of_today: ListOfToday breaks Fence | OnePrimary;
    noticed_if_lists_overtake_each_other: ListsUnordered breaks Fence | OnePrimary;
    noticed_if_a_primary_follows_unpaused: FollowsUnpaused breaks HandoverLosesNothing;
    noticed_if_a_primary_follows_in_any_pause: AnyPause breaks HandoverLosesNothing;
    noticed_if_a_promotion_is_carried_out_twice: PromotedTwice breaks Fence | OnePrimary | NothingWiped | HandoverLosesNothing;
    noticed_if_a_token_outlives_its_server: TokenOutlivesServer breaks HandoverLosesNothing | BestCopy;
    noticed_if_another_limit_stops_the_primary: LimitUnguarded breaks Settles;
    #[ignore = "a long search: this rule rarely decides alone"]
    noticed_if_another_limit_is_not_noted: ChangeUnnoted breaks Fence | OnePrimary;
    noticed_if_any_copy_is_promoted: AnyCopy breaks BestCopy | OnePrimary;
    noticed_if_the_limit_of_today_counts: LimitOfToday breaks Fence | OnePrimary;
    noticed_if_one_with_an_unknown_list_is_promoted: UnknownList breaks Fence | OnePrimary | Settles;
    noticed_if_a_fenced_copy_is_forgotten: FencedForgotten breaks BestCopy | Settles;
    noticed_if_a_server_starts_as_what_it_was: NoBootGuard breaks Fence | OnePrimary | NothingWiped;
    noticed_if_a_peer_does_not_note_that_it_vouched: VouchUnnoted breaks Fence | OnePrimary;
    noticed_if_nobody_looks_at_full_volumes: FullLeads breaks Settles;
    noticed_if_a_temporary_claim_goes_early: ClaimGoesEarly breaks NothingWiped;
    #[ignore = "a long search: this rule rarely decides alone"]
    noticed_if_what_was_left_counts_as_what_stayed: LeftForgotten breaks Remade | NothingWiped | BestCopy;
    #[ignore = "a long search: this rule rarely decides alone"]
    noticed_if_no_pod_is_started_for_later_data: SparesForgotten breaks Remade | NothingWiped | BestCopy;
    noticed_if_volumes_of_another_object_know_no_epoch: LineageForgotten breaks Remade | NothingWiped;
}
