//! The fragments of a list, gathered.

use std::hint::select_unpredictable;

use crate::engine::plan::fragment::Run;

/// Runs of fragments, each as long as can be. Kept between requests.
#[derive(Debug)]
pub(in crate::engine) struct Runs {
    /// So many runs, behind one that is none. What follows is of other requests.
    runs: Vec<Run>,
    count: usize,
    /// The last of them, or none.
    last: Run,
}

/// Goes on nowhere, and nothing goes on behind it.
const NONE: Run = Run { first: u32::MAX, end: u32::MAX };

// === impl Runs ===

impl Default for Runs {
    fn default() -> Self {
        Self { runs: Vec::new(), count: 0, last: NONE }
    }
}

impl Runs {
    /// Forgets all, and makes room for `count` runs.
    pub(super) fn start(&mut self, count: usize) {
        if self.runs.len() <= count {
            self.runs.resize(count + 1, NONE);
        }
        (self.count, self.last) = (0, NONE);
    }

    /// Appends `run` if `is_on`: to the last run where it goes on from there. Beyond what there is
    /// room for, nothing is.
    // Whether a flag is on cannot be guessed, so nothing here depends on a guess: a place is written
    // in any case.
    #[inline(always)]
    pub(super) fn append_if(&mut self, is_on: bool, run: Run) {
        let is_new = is_on & (self.last.end != run.first);
        self.count += usize::from(is_new);
        self.last.first = select_unpredictable(is_new, run.first, self.last.first);
        self.last.end = select_unpredictable(is_on, run.end, self.last.end);
        if let Some(place) = self.runs.get_mut(self.count) {
            *place = self.last;
        }
    }

    pub(super) fn as_slice(&self) -> &[Run] {
        self.runs.get(1..=self.count).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_that_are_on_are_one_run() {
        let run = |first, end| Run { first, end };
        let mut runs = Runs::default();
        for _ in 0..2 {
            runs.start(4);
            assert_eq!(runs.as_slice(), []);
            for (is_on, part) in [
                (false, run(0, 1)),
                (true, run(1, 2)),
                (true, run(2, 5)),
                (false, run(5, 6)),
                (true, run(6, 7)),
                (false, run(7, 8)),
                (false, run(8, 9)),
                (true, run(9, 10)),
            ] {
                runs.append_if(is_on, part);
            }
            assert_eq!(runs.as_slice(), [run(1, 5), run(6, 7), run(9, 10)]);
        }
    }

    #[test]
    fn a_list_may_begin_anywhere_and_be_empty() {
        let mut runs = Runs::default();
        runs.start(0);
        assert_eq!(runs.as_slice(), []);
        runs.start(1);
        runs.append_if(true, Run::of(0));
        assert_eq!(runs.as_slice(), [Run::of(0)]);
    }
}
