//! When to report next, and what is worth a line in the log. Pure.

use std::time::Duration;

/// After this many failures reports get no rarer.
const MAX_FAILURES: u32 = 10;
/// The longest that upstream's own `Retry-After` is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How reports to one upstream go.
#[derive(Debug)]
pub(super) struct Pace {
    every: Duration,
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
    pub(super) fn new(every: Duration) -> Self {
        Self { every, failures: 0, trouble: None }
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

    /// How long to wait for the next report; `wish` is upstream's.
    pub(super) fn pause(&self, wish: Option<Duration>) -> Duration {
        let pause = self.every.saturating_mul(1 + self.failures);
        pause.max(wish.unwrap_or_default().min(MAX_RETRY_AFTER))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_changes_by_one_step_at_a_time_and_each_change_is_said_once() {
        use Trouble::{Absent, Failed, Refused};
        let mut pace = Pace::new(Duration::from_secs(10));
        assert_eq!(pace.pause(None), Duration::from_secs(10));
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
            assert_eq!(pace.pause(None), Duration::from_secs(seconds), "{trouble:?}");
        }
        for _ in 0..20 {
            pace.step(Some(Absent));
        }
        assert_eq!(pace.pause(None), Duration::from_secs(110));
        assert_eq!(pace.pause(Some(Duration::from_secs(200))), Duration::from_secs(200));
        assert_eq!(pace.pause(Some(Duration::MAX)), MAX_RETRY_AFTER);
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
