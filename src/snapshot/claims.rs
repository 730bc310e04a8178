//! What clients claim to have seen, and what upstream said to it.
//!
//! Instances poll at different moments. A client whose tag has a newer revision than ours has seen
//! a change that we have not, or its tag is forged, or upstream went back to an older database.
//! Only upstream can tell, so it is asked; until it has answered the claim binds us, and not any
//! longer. `docs/adr/0003-a-page-never-goes-back.md` says why it is done like this.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
        },
    },
};

use tokio::sync::Notify;

/// How many claimed revisions are remembered. A newer one takes the place of an older one.
const SLOTS: usize = 1024;
/// For how many polls upstream's word on a claimed revision is remembered. Longer than a client
/// waits between two requests: with the usual interval more than an hour, and never less than five
/// minutes where claims are what makes us poll.
const REMEMBERED_FOR: u64 = 300;

/// What is claimed of one environment: written by the workers that hear it, settled by `sync`.
// Atomics, because the read path knows no lock. A request that claims nothing touches none of them.
pub struct Claims {
    /// The newest revision that was published or is about to be; 0 where there is none.
    known: AtomicU64,
    /// How many polls have begun. INVARIANT: these numbers never go down.
    begun: AtomicU64,
    /// Every claim that was heard before the poll of this number began has upstream's answer.
    settled: AtomicU64,
    /// Whether a claim was heard that no poll has begun after.
    wanted: AtomicBool,
    slots: Box<[Slot]>,
    bell: Arc<Notify>,
}

/// One claimed revision.
// Two words that are not written as one: whoever finds the revision finds the number that was
// written before it, or a later one. Where two writers meet, a claim may get the other's number,
// and so an answer one poll sooner or later.
#[derive(Debug, Default)]
struct Slot {
    /// 0: nothing was claimed.
    revision: AtomicU64,
    /// How many polls had begun when it was heard.
    heard: AtomicU64,
}

/// What follows from a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Upstream has not answered yet: what the client holds may be newer than what we have.
    Wait,
    /// Upstream was asked after the claim was heard, and did not confirm it: what we have counts.
    Refuted,
}

// === impl Claims ===

impl Claims {
    /// Without any claim. `bell` is rung when upstream is to be asked; who hears it looks for the
    /// claims that are [wanted](Claims::is_wanted).
    pub fn new(bell: Arc<Notify>) -> Self {
        Self {
            known: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            bell,
        }
    }

    /// Hears that a client holds flags of `revision`, which is newer than what its worker has.
    ///
    /// Asks for a poll in any case. Claims that upstream refuted before are refuted at once, so that
    /// of all who claim the same revision only the first have to wait.
    pub fn hear(&self, revision: u64) -> Verdict {
        let begun = self.begun.load(Acquire);
        let settled = self.settled.load(Acquire);
        // After `settled`: what a settled poll brought is known here even where the worker's own
        // snapshot is still the one before it.
        if revision <= self.known.load(Relaxed) {
            return Verdict::Wait;
        }
        let Some(slot) = self.slots.get(place(revision)) else { return Verdict::Refuted };
        let is_known = slot.revision.load(Acquire) == revision;
        let heard = slot.heard.load(Relaxed);
        let is_remembered = is_known && settled.saturating_sub(heard) <= REMEMBERED_FOR;
        if !is_remembered {
            slot.heard.store(begun, Relaxed);
            slot.revision.store(revision, Release);
        }
        // Read first: a flood of claims must not fight over one line of the cache.
        if !self.wanted.load(Relaxed) && !self.wanted.swap(true, AcqRel) {
            self.bell.notify_one();
        }
        if is_remembered && heard < settled { Verdict::Refuted } else { Verdict::Wait }
    }

    /// Whether a claim was heard since [`Claims::attend`].
    pub fn is_wanted(&self) -> bool {
        self.wanted.load(Acquire)
    }

    /// Says that all that was claimed so far is being seen to; whatever is heard from now on is
    /// [wanted](Claims::is_wanted) again. To be called before [`Claims::begin`].
    pub fn attend(&self) {
        self.wanted.store(false, Relaxed);
    }

    /// Says that a poll begins. Returns its number, from 1 on.
    pub fn begin(&self) -> u64 {
        // Only sync writes it. Whoever reads the number sees that nothing is wanted any more.
        let number = self.begun.load(Relaxed).saturating_add(1);
        self.begun.store(number, Release);
        number
    }

    /// Says what is about to be published, 0 for flags without a revision. A restored database may
    /// make it less than before.
    pub fn know(&self, revision: u64) {
        self.known.store(revision, Relaxed);
    }

    /// Says that the poll of this number, and every one before it, has ended, however it ended, and
    /// that what it brought is published. A number lower than an earlier one changes nothing.
    pub fn settle(&self, number: u64) {
        self.settled.fetch_max(number, Release);
    }
}

/// Without what was claimed: there may be much of it.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("known", &self.known)
            .field("begun", &self.begun)
            .field("settled", &self.settled)
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}

/// Where a revision is remembered. Neighbours are apart, and so are most others.
fn place(revision: u64) -> usize {
    let mixed = revision.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(mixed >> (u64::BITS - SLOTS.ilog2())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Refuted, Wait};

    /// What happens to claims, in the order of a row.
    #[derive(Clone, Copy, Debug)]
    enum Act {
        Hear(u64, Verdict),
        /// A poll that brings this revision: begun, published, ended.
        Poll(u64),
        Begin,
        /// The poll that began last ends.
        End,
        Know(u64),
    }

    fn claims() -> Claims {
        let claims = Claims::new(Arc::default());
        claims.know(5);
        claims
    }

    fn play(acts: &[Act]) {
        let claims = claims();
        let mut last = 0;
        for (at, act) in acts.iter().enumerate() {
            match *act {
                Act::Hear(revision, verdict) => {
                    assert_eq!(claims.hear(revision), verdict, "step {at} of {acts:?}");
                }
                Act::Poll(revision) => {
                    last = claims.begin();
                    claims.know(revision);
                    claims.settle(last);
                }
                Act::Begin => last = claims.begin(),
                Act::End => claims.settle(last),
                Act::Know(revision) => claims.know(revision),
            }
        }
    }

    #[test]
    fn a_claim_binds_until_a_poll_that_began_after_it_has_ended() {
        use Act::{Begin, End, Hear, Know, Poll};
        let rows: [&[Act]; 9] = [
            // Refuted, and for everybody who claims the same.
            &[Hear(9, Wait), Poll(5), Hear(9, Refuted), Hear(9, Refuted)],
            // A poll under way when the claim comes may have been answered before the change.
            &[Begin, Hear(9, Wait), End, Hear(9, Wait), Poll(5), Hear(9, Refuted)],
            // Nothing is decided while the poll is under way.
            &[Hear(9, Wait), Begin, Hear(9, Wait), End, Hear(9, Refuted)],
            // One refuted claim says nothing about another, larger or smaller.
            &[Hear(u64::MAX, Wait), Poll(5), Hear(u64::MAX, Refuted), Hear(6, Wait)],
            &[Hear(6, Wait), Poll(5), Hear(6, Refuted), Hear(7, Wait)],
            // A worker that has not seen yet what the poll brought does not go back.
            &[Hear(6, Wait), Poll(6), Hear(6, Wait)],
            &[Hear(9, Wait), Begin, Know(9), Hear(9, Wait), End, Hear(9, Wait)],
            // A restored database.
            &[
                Poll(100),
                Hear(101, Wait),
                Poll(50),
                Hear(101, Refuted),
                Hear(100, Wait),
                Poll(50),
                Hear(100, Refuted),
                Poll(51),
                Hear(100, Refuted),
            ],
            // A poll that brought something newer, and not what was claimed.
            &[Hear(9, Wait), Poll(7), Hear(9, Refuted), Hear(8, Wait)],
        ];
        rows.into_iter().for_each(play);
    }

    #[test]
    fn upstreams_word_is_forgotten_after_many_polls() {
        let claims = claims();
        assert_eq!(claims.hear(9), Wait);
        for _ in 0..REMEMBERED_FOR {
            claims.settle(claims.begin());
        }
        assert_eq!(claims.hear(9), Refuted);
        claims.settle(claims.begin());
        assert_eq!(claims.hear(9), Wait, "it may be true by now");
        claims.settle(claims.begin());
        assert_eq!(claims.hear(9), Refuted);
    }

    #[test]
    fn the_bell_rings_once_for_all_claims_until_they_are_attended_to() {
        let bell = Arc::new(Notify::new());
        let claims = Claims::new(Arc::clone(&bell));
        let rings = || {
            let ring = bell.notified();
            futures_util::FutureExt::now_or_never(ring).is_some()
        };
        assert!(!claims.is_wanted() && !rings());
        for revision in 1..50 {
            claims.hear(revision);
        }
        assert!(claims.is_wanted() && rings() && !rings());
        claims.attend();
        assert!(!claims.is_wanted());
        let number = claims.begin();
        claims.settle(number);
        assert_eq!(claims.hear(7), Refuted);
        assert!(claims.is_wanted() && rings(), "a refuted claim may have become true");
        claims.attend();
        claims.know(7);
        claims.hear(7);
        assert!(!claims.is_wanted() && !rings(), "what is known need not be asked for");
    }

    #[test]
    fn a_flood_of_claims_takes_no_more_room_and_leaves_nobody_refuted_wrongly() {
        let claims = claims();
        for revision in 1_000..100_000 {
            assert_eq!(claims.hear(revision), Wait);
        }
        claims.settle(claims.begin());
        assert_eq!(claims.hear(6), Wait, "never claimed before");
        assert_eq!(claims.slots.len(), SLOTS);
        // The newest first: asking for one that is forgotten takes the place of another.
        let refuted = (1_000..100_000).rev().filter(|&it| claims.hear(it) == Refuted).count();
        assert!((1..=SLOTS).contains(&refuted), "{refuted}");
    }

    #[test]
    fn polls_settle_in_their_order_only() {
        let claims = claims();
        let (first, second) = (claims.begin(), claims.begin());
        assert_eq!((first, second), (1, 2));
        claims.settle(second);
        claims.settle(first);
        assert_eq!(claims.settled.load(Relaxed), 2);
    }

    #[test]
    fn neighbours_are_remembered_apart() {
        let places: std::collections::HashSet<usize> = (1..=200).map(place).collect();
        assert!(places.len() > 190, "{}", places.len());
        assert!([0, 1, u64::MAX].into_iter().all(|revision| place(revision) < SLOTS));
    }
}
