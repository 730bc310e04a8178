//! When to report next, and what is worth a line in the log. Pure.

use std::time::Duration;

/// After this many failures reports get no rarer.
const MAX_FAILURES: u32 = 10;
/// The longest that upstream's own `Retry-After` is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// The shortest pause that jitter leaves, unless the interval itself is shorter.
const MIN_PAUSE: Duration = Duration::from_secs(1);

/// How reports to one upstream go.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    every: Duration,
    /// By how much a report may come earlier or later.
    jitter: Duration,
    failures: u32,
    trouble: Option<Trouble>,
}

/// Why a report did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// 401 or 403.
    Refused,
    /// 404: an upstream that takes no reports, such as GitLab.
    Absent,
    Failed,
}

/// A change of state that an operator wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Say {
    Trouble(Trouble),
    Recovered,
}

// === impl Trouble ===

impl Trouble {
    pub(super) fn of_status(status: Option<u16>) -> Self {
        match status {
            Some(401 | 403) => Self::Refused,
            Some(404) => Self::Absent,
            _ => Self::Failed,
        }
    }
}

// === impl Pace ===

impl Pace {
    pub(super) fn new(every: Duration, jitter: Duration) -> Self {
        Self { every, jitter, failures: 0, trouble: None }
    }

    /// Takes what came of a report: one step slower after a failure, one step faster after a
    /// success. Returns what is new.
    pub(super) fn step(&mut self, trouble: Option<Trouble>) -> Option<Say> {
        self.failures = match trouble {
            Some(_) => (self.failures + 1).min(MAX_FAILURES),
            None => self.failures.saturating_sub(1),
        };
        let before = std::mem::replace(&mut self.trouble, trouble);
        match (before, trouble) {
            (before, Some(trouble)) if before != Some(trouble) => Some(Say::Trouble(trouble)),
            (Some(_), None) => Some(Say::Recovered),
            _ => None,
        }
    }

    /// How long to wait for the next report; `wish` is upstream's, `dice` is uniform in 0..1.
    pub(super) fn pause(&self, wish: Option<Duration>, dice: f64) -> Duration {
        let pause = self.every.saturating_mul(1 + self.failures);
        self.spread(pause, dice).max(wish.unwrap_or_default().min(MAX_RETRY_AFTER))
    }

    /// How long to wait while there is nothing to report.
    pub(super) fn idle(&self, dice: f64) -> Duration {
        self.spread(self.every, dice)
    }

    /// `pause`, by up to the jitter less or more (`spec/unleash-proxy.md` 2.2).
    fn spread(&self, pause: Duration, dice: f64) -> Duration {
        let late = self.jitter.mul_f64(2.0 * dice.clamp(0.0, 1.0));
        let least = pause.min(MIN_PAUSE);
        pause.saturating_add(late).saturating_sub(self.jitter).max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_changes_by_one_step_at_a_time_and_each_change_is_said_once() {
        use Trouble::{Absent, Failed, Refused};
        let mut pace = Pace::new(Duration::from_secs(10), Duration::ZERO);
        assert_eq!(pace.pause(None, 0.3), Duration::from_secs(10));
        for (trouble, say, seconds) in [
            (None, None, 10),
            (Some(Failed), Some(Say::Trouble(Failed)), 20),
            (Some(Failed), None, 30),
            (Some(Refused), Some(Say::Trouble(Refused)), 40),
            (None, Some(Say::Recovered), 30),
            (None, None, 20),
            (Some(Absent), Some(Say::Trouble(Absent)), 30),
            (Some(Absent), None, 40),
        ] {
            assert_eq!(pace.step(trouble), say);
            assert_eq!(pace.pause(None, 0.3), Duration::from_secs(seconds), "{trouble:?}");
        }
        for _ in 0..20 {
            pace.step(Some(Absent));
        }
        assert_eq!(pace.pause(None, 0.3), Duration::from_secs(110));
        assert_eq!(pace.pause(Some(Duration::from_secs(200)), 0.3), Duration::from_secs(200));
        assert_eq!(pace.pause(Some(Duration::MAX), 0.3), MAX_RETRY_AFTER);
    }

    #[test]
    fn jitter_is_uniform_around_the_interval_and_never_leaves_no_pause() {
        let millis = Duration::from_millis;
        let pace = |every, jitter| Pace::new(millis(every), millis(jitter));
        let steps = || (0..=1000).map(|step| f64::from(step) / 1000.0);
        let pauses: Vec<_> = steps().map(|dice| pace(30_000, 4_000).idle(dice)).collect();
        assert_eq!(
            (pauses[0], pauses[500], pauses[1000]),
            (millis(26_000), millis(30_000), millis(34_000))
        );
        assert!(pauses.is_sorted());
        let mean = pauses.iter().sum::<Duration>() / 1001;
        assert!(mean.abs_diff(millis(30_000)) < millis(1), "{mean:?}");
        for dice in steps() {
            assert_eq!(pace(30_000, 0).pause(None, dice), millis(30_000));
            assert!(pace(30_000, 60_000).idle(dice) >= millis(1000));
            assert!(pace(30_000, 60_000).idle(dice) <= millis(90_000));
            assert!(pace(50, 60_000).idle(dice) >= millis(50));
            assert!(pace(30_000, u64::MAX).idle(dice) >= millis(1000), "and nothing overflows");
        }
        let mut slow = pace(10_000, 2_000);
        slow.step(Some(Trouble::Failed));
        assert_eq!(slow.pause(None, 1.0), millis(22_000), "jitter does not grow with the pause");
        assert_eq!(slow.pause(Some(millis(30_000)), 0.0), millis(30_000), "upstream's wish counts");
    }

    #[test]
    fn a_status_says_what_the_trouble_is() {
        for (status, trouble) in [
            (Some(401), Trouble::Refused),
            (Some(403), Trouble::Refused),
            (Some(404), Trouble::Absent),
            (Some(429), Trouble::Failed),
            (None, Trouble::Failed),
        ] {
            assert_eq!(Trouble::of_status(status), trouble);
        }
    }
}
