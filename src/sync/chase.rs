//! When upstream is asked out of turn, because a client has newer flags than we. Pure: time is an
//! argument.
//!
//! Clients decide what they claim, so they must not decide how often upstream is asked: there is
//! one such poll a second, of one environment, for all of them together.

use std::time::Duration;

/// Two polls out of turn are at least this apart.
const LEAST_GAP: Duration = Duration::from_secs(1);

/// The pace of polls out of turn, and whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Chase {
    last: Option<Duration>,
    /// The source whose environment was asked for last.
    at: usize,
}

/// Where a source's environment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody claims anything newer.
    Current,
    /// Somebody does, and an answer is on its way that may have been given before.
    Busy,
    /// Somebody does.
    Behind,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing, until a claim comes or a poll ends.
    Rest,
    /// Look again after this long.
    Wait(Duration),
    /// Ask for the environment of this source.
    Ask(usize),
}

// === impl Chase ===

impl Chase {
    /// Whose turn it is at `now`, where the sources stand like this. Environments take turns.
    ///
    /// Returns [`Turn::Ask`] at most once a second: it is taken for done.
    pub(crate) fn turn(&mut self, now: Duration, sources: &[Standing]) -> Turn {
        let is_behind = |at: &usize| sources.get(*at) == Some(&Standing::Behind);
        let after = self.at.saturating_add(1);
        let mut order = (after..sources.len()).chain(0..after.min(sources.len()));
        let Some(at) = order.find(is_behind) else { return Turn::Rest };
        let due = self.last.map_or(now, |last| last + LEAST_GAP);
        if now < due {
            return Turn::Wait(due - now);
        }
        self.last = Some(now);
        self.at = at;
        Turn::Ask(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Standing::{Behind, Busy, Current};

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_first_claim_is_seen_to_at_once_and_the_next_after_a_second() {
        let mut chase = Chase::default();
        let rows = [
            (0, [Current], Turn::Rest),
            (5, [Behind], Turn::Ask(0)),
            (6, [Busy], Turn::Rest),
            (7, [Behind], Turn::Wait(millis(998))),
            (7, [Current], Turn::Rest),
            (1004, [Behind], Turn::Wait(millis(1))),
            (1005, [Behind], Turn::Ask(0)),
            (1005, [Behind], Turn::Wait(millis(1000))),
            (9000, [Behind], Turn::Ask(0)),
        ];
        for (now, sources, turn) in rows {
            assert_eq!(chase.turn(millis(now), &sources), turn, "at {now}");
        }
    }

    #[test]
    fn environments_take_turns_and_one_that_is_busy_keeps_no_other_waiting() {
        let mut chase = Chase::default();
        let rows = [
            ([Behind, Behind, Behind], 1),
            ([Behind, Behind, Behind], 2),
            ([Behind, Behind, Behind], 0),
            ([Behind, Busy, Behind], 2),
            ([Behind, Busy, Current], 0),
            ([Behind, Busy, Current], 0),
        ];
        for (second, (sources, expected)) in rows.into_iter().enumerate() {
            let now = millis(1000 * second as u64);
            assert_eq!(chase.turn(now, &sources), Turn::Ask(expected), "{second}");
        }
    }

    #[test]
    fn however_often_it_is_asked_it_asks_once_a_second_for_all_together() {
        let mut chase = Chase::default();
        let asked = (0..10_000)
            .filter(|&now| matches!(chase.turn(millis(now), &[Behind; 7]), Turn::Ask(_)))
            .count();
        assert_eq!(asked, 10);
        assert_eq!(chase.turn(millis(99_000), &[]), Turn::Rest);
    }
}
