//! Listings: a list of enabled flags, as far as it can be written before anybody asks.
//!
//! Most flags ask for a few literals and one rollout. Each of their strategies is a *part*, in the
//! order of the list, and the same is done for each: what comes of it are two bits, and what parts
//! mean for each other is known of 32 at a time, as masks of those bits. Nothing is to be guessed by
//! a processor that runs ahead, which at two flags in five guesses wrong.

use super::{
    Flag, Kind, OFF, ON, Outcome, Plan, Share, Strategy, Test,
    conjunction::{Conjunctions, ConjunctionsBuilder},
    fragment::Run,
};
use crate::engine::evaluate::slice;

/// What a list of enabled flags is made of.
#[derive(Debug, Default)]
pub(in crate::engine) struct Listing {
    parts: Vec<Part>,
    /// What the list gets of each part that is on.
    runs: Vec<Run>,
    blocks: Vec<Block>,
    /// The parts that are written late, in their order.
    lates: Vec<Late>,
    pub(in crate::engine) conjunctions: Conjunctions,
    /// The most parts that one flag has, as far as a block can hold them and what it begins with.
    pub(in crate::engine) longest: u32,
}

/// Fragments, for whom two literals and one rollout let have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Part {
    /// Both have to hold.
    pub(in crate::engine) literals: [u32; 2],
    pub(in crate::engine) share: Share,
}

/// How the [`Block::PARTS`] parts of a block stand to each other and to the one before them. Part
/// by part two bits of each mask, of which the upper one is never set.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::engine) struct Block {
    /// The parts of the flag that the part before them is of: they count where that did not.
    pub(in crate::engine) follows: u64,
    /// Their fragments go on where those of the part before end.
    pub(in crate::engine) joins: u64,
    /// What these say is known only once they are on.
    pub(in crate::engine) late: u64,
    /// How many late parts stand in the blocks before.
    lates_before: u32,
}

/// What a late part says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Late {
    /// The variant that this draw chooses, told by the fragments from the part's own on.
    Drawn(u32),
    /// What the flag of this number turns out to be: it asks for what no part can.
    Flag(u32),
}

/// What a strategy comes down to on its way into a listing.
struct Draft {
    part: Part,
    run: Run,
    late: Option<Late>,
    follows: bool,
}

/// Writes a [`Listing`].
struct Writer<'p> {
    plan: &'p Plan,
    listing: Listing,
    conjunctions: ConjunctionsBuilder,
    /// How many parts the last flag has so far.
    length: u32,
    /// What one strategy asks for. Kept from one to the next.
    literals: Vec<u32>,
}

// === impl Plan ===

impl Plan {
    /// Writes the listing of the first `visible` flags.
    pub(super) fn write_listing(&mut self, visible: usize) {
        let mut writer = Writer::new(self);
        for (number, flag) in (0..).zip(self.flags.iter().take(visible)) {
            writer.flag(number, flag);
        }
        self.listing = writer.build();
    }

    /// The literal that holds where a dependency lets its child be on.
    fn literal_of_dependency(&self, dependency: u32) -> u32 {
        self.conditions.next_literal() + dependency
    }
}

// === impl Writer ===

impl<'p> Writer<'p> {
    fn new(plan: &'p Plan) -> Self {
        let behind = plan.literal_of_dependency(plan.dependencies.len() as u32);
        let conjunctions = ConjunctionsBuilder::behind(behind, plan.conditions.always());
        Self { plan, listing: Listing::default(), conjunctions, length: 0, literals: Vec::new() }
    }

    fn flag(&mut self, number: u32, flag: &Flag) {
        let strategies = slice(&self.plan.strategies, &flag.strategies);
        match flag.kind {
            Kind::Folded(OFF) => {}
            Kind::Folded(_) => {
                let always = self.plan.conditions.always();
                self.push(self.draft(flag, [always; 2]));
            }
            Kind::Live if strategies.iter().all(|strategy| self.share(strategy).is_some()) => {
                for (at, strategy) in (0..).zip(strategies) {
                    let draft = self.strategy(flag, strategy);
                    self.push(Draft { follows: at > 0, ..draft });
                }
            }
            Kind::Live => {
                let unknown = self.plan.conditions.unknown();
                let draft = self.draft(flag, [unknown; 2]);
                self.push(Draft { late: Some(Late::Flag(number)), ..draft });
            }
        }
    }

    /// What these literals alone let be on.
    fn draft(&self, flag: &Flag, literals: [u32; 2]) -> Draft {
        Draft {
            part: Part { literals, share: self.plan.rollouts.everybody() },
            run: Run::of(flag.fragment),
            late: None,
            follows: false,
        }
    }

    /// The part that is a strategy of a flag, which asks for nothing that no part can.
    fn strategy(&mut self, flag: &Flag, strategy: &Strategy) -> Draft {
        let plan = self.plan;
        self.literals.clear();
        self.literals.extend_from_slice(slice(&plan.literals, &strategy.literals));
        let parents = flag.dependencies.clone();
        self.literals.extend(parents.map(|dependency| plan.literal_of_dependency(dependency)));
        let literals = self.conjunctions.two_of(&mut self.literals);
        let mut draft = self.draft(flag, literals);
        if let Some(share) = self.share(strategy) {
            draft.part.share = share;
        }
        match strategy.outcome {
            Outcome::Is(code) => draft.run = Run::of(flag.fragment + (code - ON)),
            Outcome::Drawn(draw) => draft.late = Some(Late::Drawn(draw)),
        }
        draft
    }

    /// Whom a strategy's own test lets have its flag, if a part can say that.
    fn share(&self, strategy: &Strategy) -> Option<Share> {
        match strategy.test {
            Test::Always => Some(self.plan.rollouts.everybody()),
            Test::Rollout(share) => Some(share),
            // Whoever has the field is somewhere among a hundred.
            Test::Present(slot) => self.plan.rollouts.everybody_with(slot),
            Test::Chance { .. } => None,
        }
    }

    fn push(&mut self, draft: Draft) {
        let Draft { part, run, late, follows } = draft;
        let listing = &mut self.listing;
        let at = listing.parts.len();
        let is_late =
            |at: usize| listing.block_of(at).is_some_and(|block| block.late & bit(at) != 0);
        let goes_on = match listing.runs.last() {
            Some(before) if before.end == run.first => late.is_none() && !is_late(at - 1),
            _ => false,
        };
        // What is for the same callers is one part, unless it is one of several of its flag.
        if goes_on && !follows && self.length == 1 && listing.parts.last() == Some(&part) {
            if let Some(before) = listing.runs.last_mut() {
                before.end = run.end;
            }
            return;
        }
        if at.is_multiple_of(Block::PARTS) {
            let lates_before = listing.lates.len() as u32;
            listing.blocks.push(Block { lates_before, ..Block::default() });
        }
        if let Some(block) = listing.blocks.last_mut() {
            for (mask, is) in [
                (&mut block.follows, follows),
                (&mut block.joins, goes_on),
                (&mut block.late, late.is_some()),
            ] {
                *mask |= if is { bit(at) } else { 0 };
            }
        }
        listing.parts.push(part);
        listing.runs.push(run);
        listing.lates.extend(late);
        self.length = if follows { self.length + 1 } else { 1 };
        listing.longest = listing.longest.max(self.length.min(Block::PARTS as u32 + 1));
    }

    fn build(self) -> Listing {
        let mut listing = self.listing;
        listing.parts.shrink_to_fit();
        listing.runs.shrink_to_fit();
        listing.blocks.shrink_to_fit();
        listing.lates.shrink_to_fit();
        listing.conjunctions = self.conjunctions.build();
        listing
    }
}

/// The bit of a part in the masks of its block.
fn bit(at: usize) -> u64 {
    1 << (2 * (at % Block::PARTS))
}

// === impl Listing ===

impl Listing {
    /// The number of parts.
    pub(in crate::engine) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Each block with its parts, and what the list gets of each of those.
    #[inline]
    pub(in crate::engine) fn blocks(&self) -> impl Iterator<Item = (&Block, &[Part], &[Run])> {
        let parts = self.parts.chunks(Block::PARTS);
        let each = self.blocks.iter().zip(parts).zip(self.runs.chunks(Block::PARTS));
        each.map(|((block, parts), runs)| (block, parts, runs))
    }

    /// What the late part at a bit of `block` says. `None` for a part that is not late.
    #[inline]
    pub(in crate::engine) fn late(&self, block: &Block, bit: u64) -> Option<Late> {
        if block.late & bit == 0 {
            return None;
        }
        let before = (block.late & (bit - 1)).count_ones();
        self.lates.get((block.lates_before + before) as usize).copied()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of::<Part>() * self.parts.capacity()
            + size_of::<Run>() * self.runs.capacity()
            + size_of::<Block>() * self.blocks.capacity()
            + size_of::<Late>() * self.lates.capacity()
            + self.conjunctions.bytes()
    }

    fn block_of(&self, at: usize) -> Option<&Block> {
        self.blocks.get(at / Block::PARTS)
    }
}

// === impl Block ===

impl Block {
    /// How many parts a block has; the last one of a listing may have fewer.
    pub(in crate::engine) const PARTS: usize = 32;
}
