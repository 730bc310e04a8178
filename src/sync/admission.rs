//! Callers nobody knows yet: one question upstream for all who ask, and a short memory for no.
//!
//! A caller's token is unknown until upstream has called it good. [`Queue`] holds everyone who
//! waits for that, so that upstream is asked once per token and by one request at a time;
//! [`Denials`] remembers refusals, so that a wrong token costs upstream one question in a while.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ahash::AHashMap;
use dashmap::DashMap;
use tokio::sync::oneshot;

use crate::token::{Admission, Token};

/// How long a refusal is remembered: a token works that long after it was made, at the latest.
pub(super) const DENIED_FOR: Duration = Duration::from_secs(30);
/// How many refusals are remembered.
pub(super) const MAX_DENIALS: usize = 10_000;
/// Longer tokens are nobody's: Unleash's have about 100 bytes, and names of at most 255.
pub(super) const MAX_TOKEN_BYTES: usize = 1024;
/// How many callers may wait at a time.
pub(super) const MAX_WAITING: usize = 10_000;
/// How many tokens are asked for in one request.
const MAX_BATCH: usize = 100;

/// The refusals, as every worker reads them.
// No `Debug`, like everything here that holds tokens as text: it would print them.
#[derive(Clone)]
pub(super) struct Denials {
    // A sharded map: workers read while the sync thread writes, and no reader waits for another.
    until: Arc<DashMap<Box<str>, Instant, ahash::RandomState>>,
    // Only counts; nothing is ordered by it.
    turned_away: Arc<AtomicU64>,
}

/// The refusals, as the sync thread writes them.
pub(super) struct DenialsWriter {
    denials: Denials,
    limit: usize,
    /// Oldest first. Everything is remembered equally long, so what is oldest expires first.
    order: VecDeque<(Instant, Box<str>)>,
}

/// Everyone who waits for upstream's word.
#[derive(Default)]
pub(super) struct Queue {
    waiting: AHashMap<Box<str>, Vec<oneshot::Sender<Admission>>>,
    /// Tokens that were not asked for yet, oldest first.
    unasked: VecDeque<Box<str>>,
    waiters: usize,
}

// === impl Denials ===

impl Denials {
    /// `limit`: how many refusals are remembered; beyond it the oldest make room.
    pub(super) fn new(limit: usize) -> (Self, DenialsWriter) {
        let until = Arc::new(DashMap::default());
        let denials = Self { until, turned_away: Arc::default() };
        (denials.clone(), DenialsWriter { denials, limit, order: VecDeque::new() })
    }

    pub(super) fn contains(&self, token: &str, now: Instant) -> bool {
        self.until.get(token).is_some_and(|until| *until > now)
    }

    /// How many refusals are remembered, expired ones that nobody replaced among them.
    pub(super) fn len(&self) -> usize {
        self.until.len()
    }

    /// Counts a caller, or a refusal, that there was no room for.
    pub(super) fn count_turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn turned_away(&self) -> u64 {
        self.turned_away.load(Ordering::Relaxed)
    }
}

// === impl DenialsWriter ===

impl DenialsWriter {
    pub(super) fn remember(&mut self, token: &str, now: Instant) {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
        while self.order.len() >= self.limit.max(1) {
            self.forget_oldest();
            self.denials.count_turned_away();
        }
        let until = now + DENIED_FOR;
        self.order.push_back((until, token.into()));
        self.denials.until.insert(token.into(), until);
    }

    pub(super) fn shared(&self) -> &Denials {
        &self.denials
    }

    fn forget_oldest(&mut self) {
        if let Some((until, token)) = self.order.pop_front() {
            // It may have been refused again since.
            self.denials.until.remove_if(&token, |_, known| *known <= until);
        }
    }
}

// === impl Queue ===

impl Queue {
    /// Lets `reply` wait for what upstream says of `token`; turns it away when the queue is full.
    /// Returns whether there was room.
    pub(super) fn join(&mut self, token: Box<str>, reply: oneshot::Sender<Admission>) -> bool {
        if self.waiters >= MAX_WAITING {
            answer(reply, Admission::UpstreamStatus(503));
            return false;
        }
        self.waiters += 1;
        if let Some(others) = self.waiting.get_mut(&token) {
            others.push(reply);
        } else {
            self.unasked.push_back(token.clone());
            self.waiting.insert(token, vec![reply]);
        }
        true
    }

    /// The tokens to ask for next, each handed out once.
    pub(super) fn next_batch(&mut self) -> Vec<Token> {
        let count = self.unasked.len().min(MAX_BATCH);
        self.unasked.drain(..count).map(Token::new).collect()
    }

    /// How many callers wait.
    pub(super) fn len(&self) -> usize {
        self.waiters
    }

    /// Answers everyone who waits for `token`.
    pub(super) fn settle(&mut self, token: &Token, admission: Admission) {
        for reply in self.waiting.remove(token.secret()).into_iter().flatten() {
            self.waiters = self.waiters.saturating_sub(1);
            answer(reply, admission);
        }
    }
}

/// Whoever does not wait any more needs no answer.
pub(super) fn answer(reply: oneshot::Sender<Admission>, admission: Admission) {
    let _ = reply.send(admission);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_remembered_for_a_while_and_no_longer() {
        let (denials, mut writer) = Denials::new(10);
        let now = Instant::now();
        writer.remember("*:dev.a", now);
        assert!(denials.contains("*:dev.a", now + DENIED_FOR - Duration::from_millis(1)));
        assert!(!denials.contains("*:dev.a", now + DENIED_FOR));
        assert!(!denials.contains("*:dev.b", now));
    }

    #[test]
    fn what_expired_goes_before_what_did_not_and_is_not_counted() {
        let (denials, mut writer) = Denials::new(2);
        let now = Instant::now();
        let later = now + DENIED_FOR;
        writer.remember("a", now);
        writer.remember("b", later);
        writer.remember("c", later);
        assert!(denials.contains("b", later) && denials.contains("c", later));
        assert_eq!(denials.turned_away(), 0);
        assert_eq!(denials.until.len(), 2);
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_counts_it() {
        let (denials, mut writer) = Denials::new(3);
        let now = Instant::now();
        for n in 0..10 {
            writer.remember(&format!("t{n}"), now);
        }
        assert_eq!(denials.until.len(), 3);
        assert_eq!(denials.turned_away(), 7);
        assert!(!denials.contains("t6", now) && denials.contains("t7", now));
    }

    #[test]
    fn a_token_that_was_refused_twice_is_remembered_from_the_second_time() {
        let (denials, mut writer) = Denials::new(2);
        let now = Instant::now();
        let second = now + DENIED_FOR / 2;
        writer.remember("a", now);
        writer.remember("a", second);
        writer.remember("b", now + DENIED_FOR);
        assert!(denials.contains("a", now + DENIED_FOR));
    }

    #[test]
    fn everyone_who_asks_for_one_token_waits_for_one_question() {
        let mut queue = Queue::default();
        let mut replies = Vec::new();
        for token in ["a", "b", "a", "a"] {
            let (reply, heard) = oneshot::channel();
            assert!(queue.join(token.into(), reply));
            replies.push(heard);
        }
        assert_eq!(queue.next_batch(), [Token::new("a"), Token::new("b")]);
        assert_eq!(queue.next_batch(), []);
        let (reply, late) = oneshot::channel();
        queue.join("a".into(), reply);
        assert_eq!(queue.next_batch(), [], "a is being asked for");

        queue.settle(&Token::new("a"), Admission::Granted);
        queue.settle(&Token::new("b"), Admission::Invalid);
        let mut heard: Vec<_> = replies.iter_mut().map(|reply| reply.try_recv().unwrap()).collect();
        heard.dedup();
        assert_eq!(heard, [Admission::Granted, Admission::Invalid, Admission::Granted]);
        assert_eq!({ late }.try_recv(), Ok(Admission::Granted));
        assert_eq!(queue.waiters, 0);
        assert!(queue.waiting.is_empty());
    }

    #[test]
    fn a_full_queue_turns_away_at_once() {
        let mut queue = Queue { waiters: MAX_WAITING, ..Queue::default() };
        let (reply, mut heard) = oneshot::channel();
        assert!(!queue.join("a".into(), reply));
        assert_eq!(heard.try_recv(), Ok(Admission::UpstreamStatus(503)));
        assert_eq!(queue.next_batch(), []);
    }

    #[test]
    fn a_batch_is_bounded_and_keeps_the_order() {
        let mut queue = Queue::default();
        for n in 0..MAX_BATCH + 1 {
            queue.join(format!("{n}").into(), oneshot::channel().0);
        }
        assert_eq!(queue.next_batch().len(), MAX_BATCH);
        assert_eq!(queue.next_batch(), [Token::new(format!("{MAX_BATCH}"))]);
    }
}
