//! Paired rounds: contenders take turns within one run, so that what else the machine does falls on
//! all of them alike, and medians of many rounds are compared.

#![allow(dead_code, reason = "each crate that includes this file uses its part of it")]

use std::{
    env, fs,
    ops::Range,
    time::{Duration, Instant},
};

/// Rounds of one comparison.
pub(crate) const ROUNDS: usize = 21;
/// How long a contender works in a round, about.
pub(crate) const TURN: Duration = Duration::from_millis(20);

/// Something that is done over and over.
pub(crate) struct Contender<'a> {
    /// Does the repetitions of these numbers.
    work: Box<dyn FnMut(Range<usize>) + 'a>,
    /// The number of the next repetition.
    next: usize,
    /// Repetitions a turn.
    turn: usize,
    nanos: Vec<f64>,
}

/// Whether this is `cargo bench`, not a test run of the benches.
pub(crate) fn measuring() -> bool {
    env::args().any(|argument| argument == "--bench")
}

/// Runs all contenders in turn and returns the median nanoseconds of one repetition of each.
pub(crate) fn medians<const N: usize>(mut contenders: [Contender<'_>; N]) -> [f64; N] {
    for contender in &mut contenders {
        contender.calibrate();
    }
    for round in 0..ROUNDS {
        for place in 0..N {
            // Nobody always follows the same one.
            contenders[(place + round) % N].take_turn();
        }
    }
    contenders.map(|contender| median(contender.nanos))
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The processor and its caches, as the system tells.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let caches: Vec<String> = (0..4)
        .map(|index| format!("/sys/devices/system/cpu/cpu0/cache/index{index}"))
        .map(|cache| {
            let [level, kind, size] = ["level", "type", "size"]
                .map(|file| read(&format!("{cache}/{file}")).trim().to_owned());
            format!("L{level} {} {size}", kind.to_lowercase())
        })
        .filter(|cache| cache.ends_with('K'))
        .collect();
    let caches = if caches.is_empty() { "caches unknown".to_owned() } else { caches.join(", ") };
    format!("{} ({caches})", name.unwrap_or("unknown processor"))
}

// === impl Contender ===

impl<'a> Contender<'a> {
    /// `work` is given the number of the repetition.
    pub(crate) fn new(mut work: impl FnMut(usize) + 'a) -> Self {
        // The loop is inside of the box: work of ten nanoseconds would feel a call each time.
        let work = Box::new(move |numbers: Range<usize>| numbers.for_each(&mut work));
        Self { work, next: 0, turn: 1, nanos: Vec::with_capacity(ROUNDS) }
    }

    /// Warms up and finds how many repetitions make a turn.
    fn calibrate(&mut self) {
        let started = Instant::now();
        let mut done = 0;
        while started.elapsed() < TURN {
            // As many again and one more: soon past a turn, however quick the work is.
            let more = done + 1;
            self.repeat(more);
            done += more;
        }
        let each = started.elapsed().as_secs_f64() / done as f64;
        self.turn = (TURN.as_secs_f64() / each).ceil() as usize;
    }

    fn take_turn(&mut self) {
        let started = Instant::now();
        self.repeat(self.turn);
        self.nanos.push(started.elapsed().as_nanos() as f64 / self.turn as f64);
    }

    fn repeat(&mut self, times: usize) {
        (self.work)(self.next..self.next + times);
        self.next += times;
    }
}
