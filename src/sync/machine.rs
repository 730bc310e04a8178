//! When to ask next, and what is worth a line in the log. Pure: time and chance are arguments.
//!
//! ```text
//!               fetched                        fetched, unchanged
//!   Starting ────────────▶ Fresh ◀─────────────────────────────┐
//!      │                     │                                 │
//!      │ failed, unreadable  │ failed, unreadable              │
//!      ├─────────────────────┴───────▶ Retrying(n) ────────────┤
//!      │ 401, 403            │ 401, 403   │  ▲                 │
//!      └─────────────────────┴─────▶ Refused(n) ───────────────┘
//! ```
//!
//! No state is final: whatever happens there is a next time to ask.

use std::time::Duration;

/// The longest that upstream's own `Retry-After` is obeyed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
/// The shortest pause after a failure, unless the interval itself is shorter.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause after a failure, unless the interval itself is longer.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// Two good answers are at least an interval divided by this apart.
const LEAST_GAP: u64 = 10;
/// Back-off grows to this many intervals.
const MAX_INTERVALS: u32 = 10;

/// How often to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The pause between answers that are good.
    pub(crate) every: Duration,
    /// The longest pause after the first failure.
    pub(crate) retry_from: Duration,
    /// The longest pause after any number of failures.
    pub(crate) retry_to: Duration,
    /// Where this instance stands within the interval, so that a fleet does not ask as one.
    pub(crate) phase: Duration,
}

/// How one source is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing was ever fetched, and nothing went wrong yet.
    Starting,
    /// The last answer was good.
    Fresh,
    /// The last `n` answers were not.
    Retrying(u32, Trouble),
    /// Upstream does not take our token, `n` times in a row.
    Refused(u32),
}

/// Why an answer was no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nobody answered, or not in time, or not to the end.
    Unreachable,
    /// Upstream answered with an error.
    Status,
    /// What upstream answered makes no sense.
    Unreadable,
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A payload that can be read, and is new.
    Fetched,
    /// What we have is still current.
    Unchanged,
    /// 401 or 403.
    Refused,
    /// Anything else, with upstream's wish when to be asked again.
    Failed(Trouble, Option<Duration>),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// When to ask again, on the clock that `now` was read from.
    pub(crate) ask_at: Duration,
    /// What to log: something only when the state changed.
    pub(crate) say: Option<Say>,
}

/// A change of state that an operator wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Say {
    /// The first good answer.
    Synchronized,
    /// A good answer after this many that were not.
    Recovered(u32),
    Refused,
    Failing,
}

/// One source's state and schedule.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    policy: Policy,
    state: State,
    /// Whether there is good state to fall back on.
    delivered: bool,
}

// === impl Policy ===

impl Policy {
    /// Asks every `every`; `instance` decides where in the interval, always alike.
    pub(crate) fn new(every: Duration, instance: &str) -> Self {
        let every = every.max(Duration::from_millis(1));
        let hash = xxhash_rust::xxh3::xxh3_64(instance.as_bytes());
        let phase = Duration::from_millis(hash % millis(every));
        let most = (every.saturating_mul(MAX_INTERVALS)).clamp(MIN_PAUSE, MAX_PAUSE);
        Self { every, retry_from: every, retry_to: most.max(every), phase }
    }
}

// === impl Machine ===

impl Machine {
    pub(crate) fn new(policy: Policy) -> Self {
        Self { policy, state: State::Starting, delivered: false }
    }

    #[cfg(test)]
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Whether a good answer ever came.
    pub(crate) fn has_delivered(&self) -> bool {
        self.delivered
    }

    /// Whether the last answer was no good, so that nobody asks before the next time to ask.
    pub(crate) fn backs_off(&self) -> bool {
        matches!(self.state, State::Retrying(..) | State::Refused(_))
    }

    /// Takes what came of asking at `now`. `dice` is uniform in 0..1 and spreads retries.
    pub(crate) fn step(&mut self, event: Event, now: Duration, dice: f64) -> Step {
        let before = self.state;
        let tries = match before {
            State::Starting | State::Fresh => 0,
            State::Retrying(tries, _) | State::Refused(tries) => tries,
        };
        let again = tries.saturating_add(1);
        self.state = match event {
            // INVARIANT: only a payload makes a source fresh that has none.
            Event::Unchanged if !self.delivered => State::Retrying(again, Trouble::Unreadable),
            Event::Fetched | Event::Unchanged => State::Fresh,
            Event::Refused => State::Refused(again),
            Event::Failed(trouble, _) => State::Retrying(again, trouble),
        };
        let say = say(before, self.state, tries, self.delivered);
        self.delivered |= event == Event::Fetched;
        let wish = match event {
            Event::Failed(_, wish) => wish,
            _ => None,
        };
        Step { ask_at: self.ask_at(now, dice, wish), say }
    }

    fn ask_at(&self, now: Duration, dice: f64, wish: Option<Duration>) -> Duration {
        let (State::Retrying(tries, _) | State::Refused(tries)) = self.state else {
            return self.next_on_grid(now);
        };
        let pause = self.back_off(tries, dice);
        let wish = wish.map_or(Duration::ZERO, |wish| {
            // A fleet that was told the same second comes back spread over an interval.
            wish.min(MAX_RETRY_AFTER) + self.policy.every.min(MAX_PAUSE).mul_f64(dice)
        });
        now + pause.max(wish)
    }

    /// Full jitter: anything from the shortest pause to a ceiling that doubles.
    fn back_off(&self, tries: u32, dice: f64) -> Duration {
        let policy = &self.policy;
        let least = policy.retry_from.min(MIN_PAUSE);
        let doubled = policy.retry_from.saturating_mul(1 << (tries.saturating_sub(1)).min(16));
        let mut most = doubled.min(policy.retry_to);
        if !self.delivered && !matches!(self.state, State::Refused(_)) {
            // Who has nothing to serve asks no less often than who has.
            most = most.min(policy.retry_from.max(MIN_PAUSE));
        }
        least + most.saturating_sub(least).mul_f64(dice.clamp(0.0, 1.0))
    }

    /// The instance's next turn, which is at most an interval away. Where it is nearer than the
    /// least gap, half the way to the turn after it: never later, and on the grid from then on.
    fn next_on_grid(&self, now: Duration) -> Duration {
        let every = millis(self.policy.every);
        let phase = millis(self.policy.phase) % every;
        let now = millis(now);
        let turns = now.saturating_add(1).saturating_sub(phase).div_ceil(every);
        let turn = phase.saturating_add(turns.saturating_mul(every));
        let gap = turn.saturating_sub(now);
        let is_near = gap < every / LEAST_GAP;
        let gap = if is_near { gap.saturating_add(every) / 2 } else { gap };
        Duration::from_millis(now.saturating_add(gap))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn say(before: State, after: State, tries: u32, delivered: bool) -> Option<Say> {
    match (before, after) {
        (State::Fresh, State::Fresh) | (State::Refused(_), State::Refused(_)) => None,
        (_, State::Fresh) if !delivered => Some(Say::Synchronized),
        (_, State::Fresh) => Some(Say::Recovered(tries)),
        (_, State::Refused(_)) => Some(Say::Refused),
        (State::Retrying(_, was), State::Retrying(_, is)) if was == is => None,
        (_, State::Retrying(..)) => Some(Say::Failing),
        (_, State::Starting) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNREACHABLE: Event = Event::Failed(Trouble::Unreachable, None);
    const STATUS: Event = Event::Failed(Trouble::Status, None);
    const UNREADABLE: Event = Event::Failed(Trouble::Unreadable, None);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn machine(every: Duration) -> Machine {
        Machine::new(Policy { phase: Duration::ZERO, ..Policy::new(every, "") })
    }

    fn play(events: &[Event]) -> (Machine, Vec<Option<Say>>) {
        let mut machine = machine(secs(15));
        let said = events.iter().map(|&event| machine.step(event, secs(60), 0.5).say).collect();
        (machine, said)
    }

    #[test]
    fn every_change_of_state_is_said_once() {
        use Say::{Failing, Recovered, Refused, Synchronized};
        type Row = (&'static str, &'static [Event], &'static [Option<Say>], State);
        let rows: [Row; 9] = [
            (
                "all is well",
                &[Event::Fetched, Event::Unchanged, Event::Fetched],
                &[Some(Synchronized), None, None],
                State::Fresh,
            ),
            (
                "absent at start, then appearing",
                &[UNREACHABLE, UNREACHABLE, Event::Fetched],
                &[Some(Failing), None, Some(Synchronized)],
                State::Fresh,
            ),
            (
                "gone and back with news",
                &[Event::Fetched, UNREACHABLE, UNREACHABLE, Event::Fetched],
                &[Some(Synchronized), Some(Failing), None, Some(Recovered(2))],
                State::Fresh,
            ),
            (
                "gone and back without",
                &[Event::Fetched, STATUS, Event::Unchanged, Event::Unchanged],
                &[Some(Synchronized), Some(Failing), Some(Recovered(1)), None],
                State::Fresh,
            ),
            (
                "refused, again and again",
                &[Event::Fetched, Event::Refused, Event::Refused, Event::Refused],
                &[Some(Synchronized), Some(Refused), None, None],
                State::Refused(3),
            ),
            (
                "refused from the start",
                &[Event::Refused, Event::Refused, Event::Fetched],
                &[Some(Refused), None, Some(Synchronized)],
                State::Fresh,
            ),
            (
                "one trouble after another",
                &[Event::Fetched, UNREACHABLE, STATUS, STATUS, UNREADABLE, Event::Refused],
                &[
                    Some(Synchronized),
                    Some(Failing),
                    Some(Failing),
                    None,
                    Some(Failing),
                    Some(Refused),
                ],
                State::Refused(5),
            ),
            (
                "refused, then broken",
                &[Event::Refused, STATUS],
                &[Some(Refused), Some(Failing)],
                State::Retrying(2, Trouble::Status),
            ),
            (
                "nothing changed since nothing",
                &[Event::Unchanged],
                &[Some(Failing)],
                State::Retrying(1, Trouble::Unreadable),
            ),
        ];
        for (name, events, said, state) in rows {
            let (machine, heard) = play(events);
            assert_eq!(heard, said, "{name}");
            assert_eq!(machine.state(), state, "{name}");
            assert_eq!(machine.backs_off(), state != State::Fresh, "{name}");
            assert_eq!(machine.has_delivered(), events.contains(&Event::Fetched), "{name}");
        }
    }

    #[test]
    fn retries_back_off_from_the_interval_to_a_cap_with_full_jitter() {
        let pauses = |every, dice| {
            let mut machine = machine(every);
            machine.step(Event::Fetched, Duration::ZERO, dice);
            (0..12)
                .map(|_| machine.step(UNREACHABLE, secs(100), dice).ask_at - secs(100))
                .collect::<Vec<_>>()
        };
        let longest = pauses(secs(15), 1.0);
        assert_eq!(longest[..5], [secs(15), secs(30), secs(60), secs(120), secs(150)]);
        assert_eq!(longest[11], secs(150), "the cap is ten intervals");
        assert_eq!(pauses(secs(120), 1.0)[11], secs(300), "and at most five minutes");
        assert_eq!(pauses(secs(900), 1.0)[11], secs(900), "but never less than the interval");
        assert_eq!(pauses(secs(15), 0.0), [secs(1); 12], "the least pause is one second");
        let tenth = Duration::from_millis(100);
        assert_eq!(pauses(tenth, 0.0)[11], tenth, "unless the interval is shorter");
        assert_eq!(pauses(tenth, 1.0)[11], secs(1), "ten short intervals are at least a second");
    }

    #[test]
    fn a_source_that_has_nothing_asks_no_rarer_than_its_interval() {
        let mut machine = machine(secs(15));
        for _ in 0..20 {
            let step = machine.step(UNREACHABLE, secs(7), 1.0);
            assert_eq!(step.ask_at, secs(7 + 15));
        }
    }

    #[test]
    fn a_refused_source_backs_off_and_never_stops() {
        let mut machine = machine(secs(15));
        let mut last = Duration::ZERO;
        for _ in 0..100 {
            last = machine.step(Event::Refused, secs(50), 1.0).ask_at;
            assert!(last > secs(50));
        }
        assert_eq!(last, secs(50 + 150));
    }

    #[test]
    fn upstreams_own_wish_is_obeyed_within_an_hour() {
        let after = |wish, dice| {
            let mut machine = machine(secs(15));
            machine.step(Event::Fetched, Duration::ZERO, dice);
            let event = Event::Failed(Trouble::Status, Some(wish));
            machine.step(event, Duration::ZERO, dice).ask_at
        };
        assert_eq!(after(secs(120), 0.0), secs(120));
        assert_eq!(after(secs(120), 0.5), Duration::from_millis(127_500), "spread");
        assert_eq!(after(secs(1_000_000), 0.0), secs(3600), "bounded");
        assert_eq!(after(Duration::ZERO, 0.0), secs(1), "no sooner than without it");
    }

    #[test]
    fn good_answers_are_asked_for_on_the_instances_own_grid() {
        let policy = Policy { phase: secs(4), ..Policy::new(secs(10), "") };
        let mut machine = Machine::new(policy);
        let mut at = |now| machine.step(Event::Fetched, now, 0.7).ask_at;
        assert_eq!(at(Duration::from_millis(30)), secs(4), "the first gap is the short one");
        assert_eq!(at(Duration::from_millis(14_080)), secs(24), "latency does not add up");
        assert_eq!(at(Duration::from_millis(22_950)), secs(24));
        assert_eq!(
            at(Duration::from_millis(23_500)),
            Duration::from_millis(28_750),
            "not at once, and not a whole turn later"
        );
        assert_eq!(at(Duration::from_millis(28_760)), secs(34), "back on the grid");
    }

    #[test]
    fn after_a_good_answer_the_next_poll_is_at_most_an_interval_away_and_never_at_once() {
        for every in [1, 2, 7, 15, 20, 100, 5_000, 15_000, 3_600_000] {
            let least = Duration::from_millis((every / LEAST_GAP).max(1));
            let every = Duration::from_millis(every);
            for part in 0..50 {
                let phase = every * part / 50;
                let mut machine = Machine::new(Policy { phase, ..Policy::new(every, "") });
                let mut now = Duration::ZERO;
                for (answer, event) in [Event::Fetched, Event::Unchanged].iter().cycle().enumerate()
                {
                    let latency =
                        every.mul_f64(f64::from(part) / 40.0) + every * (answer as u32 % 3);
                    now += Duration::from_millis(millis(latency));
                    let ask_at = machine.step(*event, now, 0.3).ask_at;
                    let gap = ask_at.saturating_sub(now);
                    let told = format!("every {every:?}, phase {phase:?}, at {now:?}: {gap:?}");
                    assert!(gap <= every, "too late: {told}");
                    assert!(gap >= least, "too soon: {told}");
                    now = ask_at;
                    if answer == 60 {
                        break;
                    }
                }
            }
        }
    }

    #[test]
    fn instances_get_different_phases_and_each_always_the_same() {
        let phase = |name: &str| Policy::new(secs(15), name).phase;
        assert_eq!(phase("a"), phase("a"));
        assert!(phase("a") < secs(15));
        let mut phases: Vec<_> = (0..8).map(|n| phase(&format!("pod-{n}"))).collect();
        phases.sort_unstable();
        phases.dedup();
        assert_eq!(phases.len(), 8);
    }

    #[test]
    fn no_interval_and_no_time_overflows() {
        let mut machine = Machine::new(Policy::new(Duration::ZERO, "x"));
        assert!(machine.step(Event::Fetched, Duration::ZERO, 0.0).ask_at > Duration::ZERO);
        let mut machine = Machine::new(Policy::new(secs(u64::MAX / 2_000_000), "x"));
        for _ in 0..40 {
            machine.step(UNREACHABLE, secs(1), 1.0);
        }
    }
}
