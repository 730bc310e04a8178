//! The fragments of a list, gathered.

use crate::engine::plan::fragment::Run;

/// Runs of fragments, each as long as can be. Kept between requests.
#[derive(Debug, Default)]
pub(in crate::engine) struct Runs {
    /// So many runs. What follows is of other requests.
    runs: Vec<Run>,
    count: usize,
}

const NONE: Run = Run { first: 0, end: 0 };

// === impl Runs ===

impl Runs {
    /// Forgets all, and makes room for `count` runs.
    pub(super) fn start(&mut self, count: usize) {
        if self.runs.len() < count {
            self.runs.resize(count, NONE);
        }
        self.count = 0;
    }

    /// Appends `run`. Beyond what there is room for, nothing is.
    #[inline(always)]
    pub(super) fn append(&mut self, run: Run) {
        if let Some(place) = self.runs.get_mut(self.count) {
            *place = run;
            self.count += 1;
        }
    }

    /// Appends runs that begin and end with `written`, as two bits a part say. If the first part of
    /// them `goes_on` where the last run ended, so does that run.
    // INVARIANT: whatever begins ends, and no run begins before the one before it has ended.
    #[inline(always)]
    pub(super) fn extend(&mut self, begins: u64, ends: u64, goes_on: bool, written: &[Run]) {
        let (mut begins, mut ends) = (begins, ends);
        let run_at = |bits: u64| written.get(bits.trailing_zeros() as usize / 2).copied();
        if goes_on {
            let last = self.count.checked_sub(1).and_then(|last| self.runs.get_mut(last));
            if let (Some(last), Some(run)) = (last, run_at(ends)) {
                last.end = run.end;
            }
            ends &= ends - 1;
        }
        while let (Some(begin), Some(end)) = (run_at(begins), run_at(ends)) {
            self.append(Run { first: begin.first, end: end.end });
            begins &= begins - 1;
            ends &= ends - 1;
        }
    }

    /// Writes `run` over the one that so many stand behind, itself among them.
    pub(super) fn overwrite(&mut self, behind: u32, run: Run) {
        let place = self.count.checked_sub(behind as usize);
        if let Some(place) = place.and_then(|place| self.runs.get_mut(place)) {
            *place = run;
        }
    }

    pub(super) fn as_slice(&self) -> &[Run] {
        self.runs.get(..self.count).unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(first: u32, end: u32) -> Run {
        Run { first, end }
    }

    /// The bits of these parts.
    fn bits(parts: &[u32]) -> u64 {
        parts.iter().map(|part| 1 << (2 * part)).sum()
    }

    #[test]
    fn runs_begin_and_end_where_the_bits_say_and_go_on_over_blocks() {
        let written: Vec<Run> = (0..32).map(|part| run(10 * part, 10 * part + 10)).collect();
        let mut runs = Runs::default();
        for _ in 0..2 {
            runs.start(40);
            assert_eq!(runs.as_slice(), []);
            runs.extend(bits(&[0, 3, 31]), bits(&[1, 3, 31]), false, &written);
            assert_eq!(runs.as_slice(), [run(0, 20), run(30, 40), run(310, 320)]);
            let behind: Vec<Run> =
                written.iter().map(|each| run(each.first + 320, each.end + 320)).collect();
            runs.extend(bits(&[5]), bits(&[2, 7]), true, &behind);
            assert_eq!(runs.as_slice()[2..], [run(310, 350), run(370, 400)]);
            runs.extend(0, 0, false, &behind);
            runs.append(run(7, 8));
            assert_eq!(runs.as_slice()[3..], [run(370, 400), run(7, 8)]);
            runs.overwrite(2, run(1, 2));
            assert_eq!(runs.as_slice()[3..], [run(1, 2), run(7, 8)]);
        }
    }

    #[test]
    fn nothing_is_written_where_there_is_no_room() {
        let mut runs = Runs::default();
        runs.start(0);
        runs.extend(bits(&[0]), bits(&[0]), false, &[run(1, 2)]);
        runs.overwrite(1, run(3, 4));
        assert_eq!(runs.as_slice(), []);
    }
}
