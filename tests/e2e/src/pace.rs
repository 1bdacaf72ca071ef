use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Dependent multiplications in one look at the clock.
const STEPS: u32 = 2_000_000;
/// What they take on the machines that the bounds of the scenarios were made for.
const USUAL: Duration = Duration::from_micros(3_500);
/// Looks on each processor, all at the same time: some machines are fast only while idle.
const LOOKS: usize = 20;
/// No wait grows beyond this many times its bound: more is not slow but broken.
const MOST: f64 = 4.0;
/// From here on what a scenario says of timing is said of the machine.
const SLOW: f64 = 3.0;

/// How many times slower than usual this machine's processor is, at least 1; measured once.
pub fn pace() -> f64 {
    static PACE: OnceLock<f64> = OnceLock::new();
    *PACE.get_or_init(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut looks = std::thread::scope(|scope| {
            let each = |_| scope.spawn(|| [(); LOOKS].map(|()| look()));
            let threads: Vec<_> = (0..processors).map(each).collect();
            let joined = threads.into_iter().filter_map(|thread| thread.join().ok());
            joined.flatten().collect::<Vec<_>>()
        });
        looks.sort_unstable();
        let median = looks.get(looks.len() / 2).copied().unwrap_or(USUAL);
        (median.as_secs_f64() / USUAL.as_secs_f64()).max(1.0)
    })
}

/// A bound of the scenarios, on this machine.
pub fn paced(bound: Duration) -> Duration {
    bound.mul_f64(pace().min(MOST))
}

/// Whether this machine is too slow for all scenarios in the time that CI has.
pub fn is_slow() -> bool {
    pace() >= SLOW
}

fn look() -> Duration {
    let start = Instant::now();
    let (mut value, mut step) = (black_box(1_u64), 0);
    while step < STEPS {
        value = value.wrapping_mul(6_364_136_223_846_793_005) | 1;
        step += 1;
    }
    black_box(value);
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_never_shrinks_and_grows_with_a_limit() {
        let bound = Duration::from_secs(10);
        assert!(paced(bound) >= bound && paced(bound) <= bound.mul_f64(MOST));
    }
}
