//! How many commands a server carries out, as a mean over minutes.

/// Over so long, in milliseconds.
const OVER: u64 = 300_000;
/// Before so long, in milliseconds, nothing is said of it.
const FIRST: u64 = 10_000;
/// Commands are counted in so many parts, so that a few a minute are not none.
const PARTS: u64 = 1_000;

/// A mean that follows what is new within minutes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    /// When it was looked at first and last, and how many commands there were at the last look.
    seen: Option<(u64, u64, u64)>,
    /// Thousandths of a command a second.
    mean: u64,
}

impl Rate {
    /// There were so many commands in all, at a time in milliseconds.
    pub fn sees(&mut self, commands: u64, now: u64) {
        let Some((first, last, before)) = self.seen else {
            self.seen = Some((now, now, commands));
            return;
        };
        let passed = now.saturating_sub(last);
        if passed == 0 {
            return;
        }
        // Fewer than before: somebody had its statistics forgotten.
        let done = commands.saturating_sub(before);
        let rate = done.saturating_mul(1_000).saturating_mul(PARTS) / passed;
        // All looks count alike until the mean is over its whole time.
        let over = now.saturating_sub(first).min(OVER).max(passed);
        let (new, old) = (u128::from(passed), u128::from(over - passed));
        let sum = u128::from(rate) * new + u128::from(self.mean) * old;
        self.mean = u64::try_from(sum / u128::from(over)).unwrap_or(u64::MAX);
        self.seen = Some((first, now, commands));
    }

    /// Commands a second; none before there is a mean.
    pub fn per_second(&self) -> Option<u64> {
        let (first, last, _) = self.seen?;
        (last.saturating_sub(first) >= FIRST).then_some(self.mean / PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks once a second, for so many seconds.
    fn looks(rate: &mut Rate, from: u64, seconds: u64, commands: &mut u64, each: u64) {
        for second in from..from + seconds {
            rate.sees(*commands, second * 1_000);
            *commands += each;
        }
    }

    #[test]
    fn a_steady_load_is_told_after_some_seconds_as_it_is() {
        let (mut rate, mut commands) = (Rate::default(), 7);
        looks(&mut rate, 0, 5, &mut commands, 50);
        assert_eq!(rate.per_second(), None);
        looks(&mut rate, 5, 20, &mut commands, 50);
        assert_eq!(rate.per_second(), Some(50));
    }

    #[test]
    fn a_moment_is_no_load_and_minutes_are() {
        let (mut rate, mut commands) = (Rate::default(), 0);
        looks(&mut rate, 0, 300, &mut commands, 0);
        looks(&mut rate, 300, 3, &mut commands, 1_000);
        looks(&mut rate, 303, 1, &mut commands, 0);
        let moment = rate.per_second().unwrap();
        assert!(moment < 20, "{moment}");
        looks(&mut rate, 304, 1_500, &mut commands, 1_000);
        let long = rate.per_second().unwrap();
        assert!((980..=1_000).contains(&long), "{long}");
    }

    #[test]
    fn statistics_that_were_forgotten_are_no_load() {
        let (mut rate, mut commands) = (Rate::default(), 1_000_000);
        looks(&mut rate, 0, 20, &mut commands, 0);
        rate.sees(0, 20_000);
        assert_eq!(rate.per_second(), Some(0));
    }
}
