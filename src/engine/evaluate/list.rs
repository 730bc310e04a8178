//! Lists: what of all visible flags a caller gets to see.

use super::{Evaluation, Memory, Remembering, Runs};
use crate::engine::plan::{
    OFF, ON, Truth,
    fragment::Run,
    listing::{Block, Late, Part},
    rollout::Bucket,
};

/// The lower bit of each part. Over it stands whether the part is on, in the bits of a block, and
/// here whether it may be yet.
const LOWER: u64 = 0x5555_5555_5555_5555;
/// How far the bits of the last part of a block stand from those of the first.
const LAST: u32 = u64::BITS - 2;

impl Evaluation<'_, Remembering<'_>> {
    pub(super) fn list_enabled(&mut self, runs: &mut Runs) {
        let listing = &self.plan.listing;
        runs.start(listing.len());
        for dependency in &self.plan.dependencies {
            let code = self.memory.parent(dependency.parenthood).unwrap_or(OFF);
            self.memory.decided.append(Truth::of(dependency.wanted.admits(code)));
        }
        listing.conjunctions.decide(self.memory.decided);
        // Of the last part of the block before: whether its flag is decided, and whether it is on.
        let (mut was_decided, mut was_on) = (0, 0);
        for (block, parts, written) in listing.blocks() {
            let known = self.look_at(parts);
            let mut on = known >> 1 & LOWER;
            let mut open = known & LOWER & !on;
            if self.memory.leaves_to_chance {
                // Chance decides when somebody asks for the part alone.
                (on, open) = (0, on | open);
            }
            let mut taken = self.taken(on, was_decided, block);
            // Who is decided by a part before has nothing open.
            open &= !taken;
            if open != 0 {
                on = self.settle((on, open), was_decided, block, parts);
                taken = self.taken(on, was_decided, block);
            }
            was_decided = (on | taken) >> LAST;
            on &= !taken;
            let goes_on = on & block.joins & (on << 2 | was_on);
            was_on = on >> LAST;
            let begins = on & !goes_on;
            runs.extend(begins, on & !(goes_on >> 2), goes_on & 1 != 0, written);
            self.write_late(on & block.late, begins, (block, written), runs);
        }
    }

    pub(super) fn list_all(&mut self, runs: &mut Runs) {
        runs.start(self.plan.len());
        for number in 0..self.plan.len() as u32 {
            let code = self.outcome_of(number);
            runs.append(self.plan.run_of(number, code));
        }
    }

    /// What is known of each part: its lower bit says that it may be on, its upper one that it is.
    #[inline(always)]
    fn look_at(&self, parts: &[Part]) -> u64 {
        let truths = self.memory.decided.truths();
        let buckets = self.memory.buckets;
        let mut known = 0;
        for Part { literals: [one, other], share } in parts {
            let bucket = buckets.get(share.rollout as usize).copied().unwrap_or(Bucket::NONE);
            let is_of = Truth::of(bucket.is_within(share.percent));
            let truth = truths.of(*one) & truths.of(*other) & is_of;
            known = known >> 2 | truth.bits() << LAST;
        }
        // A block of which all is unknown has no parts.
        known.checked_shr(u64::BITS - 2 * parts.len() as u32).unwrap_or(0)
    }

    /// Those of the `on` and all other parts whose flags are decided by a part before them.
    #[inline(always)]
    fn taken(&self, on: u64, was_decided: u64, block: &Block) -> u64 {
        let mut taken = (on << 2 | was_decided) & block.follows;
        for _ in 2..self.plan.listing.longest {
            taken |= taken << 2 & block.follows;
        }
        taken
    }

    /// Those of the parts that are `on`, and of the `open` ones before which no other part decides:
    /// what is decided only when somebody asks is asked.
    #[cold]
    fn settle(
        &mut self,
        (mut on, mut open): (u64, u64),
        was_decided: u64,
        block: &Block,
        parts: &[Part],
    ) -> u64 {
        while open != 0 {
            let at = open.trailing_zeros();
            let bit = 1 << at;
            open &= !bit;
            let is_on = match (self.plan.listing.late(block, bit), parts.get(at as usize / 2)) {
                (Some(Late::Flag(number)), _) => self.outcome_of(number) != OFF,
                (_, Some(Part { literals, share })) => {
                    literals.iter().all(|literal| self.holds_at_last(*literal))
                        && self.is_of(*share)
                }
                (_, None) => false,
            };
            if is_on {
                on |= bit;
                open &= !self.taken(on, was_decided, block);
            }
        }
        on
    }

    /// Whether a literal holds, of conditions, or a conjunction of such.
    fn holds_at_last(&mut self, literal: u32) -> bool {
        match self.memory.decided.truth(literal) {
            Truth::OPEN => match self.plan.listing.conjunctions.pair(literal) {
                Some(pair) => pair.iter().all(|literal| self.holds_at_last(*literal)),
                None => self.agrees(literal),
            },
            truth => truth == Truth::HOLDS,
        }
    }

    /// Writes what `late` parts say over what stands for them among the runs of their block, one for
    /// each that `begins`.
    fn write_late(
        &mut self,
        mut late: u64,
        begins: u64,
        (block, written): (&Block, &[Run]),
        runs: &mut Runs,
    ) {
        while late != 0 {
            let bit = late & late.wrapping_neg();
            late &= !bit;
            let behind = (begins & !(bit - 1)).count_ones();
            let said = written.get(bit.trailing_zeros() as usize / 2);
            let run = match (self.plan.listing.late(block, bit), said) {
                (Some(Late::Drawn(draw)), Some(said)) => {
                    Run::of(said.first + (self.choose(draw) - ON))
                }
                (Some(Late::Flag(number)), _) => {
                    let code = self.outcome_of(number);
                    self.plan.run_of(number, code)
                }
                _ => continue,
            };
            runs.overwrite(behind, run);
        }
    }
}
