//! Versioned snapshots: one writer publishes, every worker reads its own cached copy.

use std::{fmt, sync::Arc};

use actix_web::web::Bytes;
use ahash::AHashMap;
use arc_swap::{ArcSwap, cache::Cache};

use crate::{
    engine::Plan,
    token::{Kind, Scope},
};

/// Everything a request is answered from: who may ask, and the plan that answers them.
///
/// Immutable once published, so an answer is computed from one snapshot and never half old, half
/// new.
#[derive(Default)]
pub struct Snapshot {
    /// Counts publications: 0 is the empty snapshot every process starts with.
    pub version: u64,
    /// Every token that is known to be good, by its whole text.
    pub grants: AHashMap<Box<str>, Grant>,
    /// Whether an evaluation works for every source that tokens were configured for.
    pub ready: bool,
}

/// What a token may see.
#[derive(Clone, Debug)]
pub struct Grant {
    pub kind: Kind,
    pub scope: Scope,
    /// The compiled flags of the scope. `None` until its source has delivered once.
    pub plan: Option<Arc<Plan>>,
    /// The definitions of the scope, where the token may ask for them and they have come.
    pub definitions: Option<Definitions>,
}

/// A document of definitions, shared by everybody of one scope.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// `{"version":2,"features":[…],"segments":[…]}`; cloning it copies no byte.
    pub body: Bytes,
    /// Of the body.
    pub hash: u128,
}

/// The only writer of snapshots; held by `sync`.
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    version: u64,
}

/// Hands out readers; cheap to clone across threads.
#[derive(Clone)]
pub struct Subscriber {
    current: Arc<ArcSwap<Snapshot>>,
}

/// One worker's view of the newest snapshot.
// The cache keeps an `Arc` of its own, so that reading costs one atomic load when nothing changed.
pub struct Reader {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
}

/// Makes the writer and the source of readers around an empty snapshot, version 0, not ready.
pub fn channel() -> (Publisher, Subscriber) {
    let current = Arc::new(ArcSwap::from_pointee(Snapshot::default()));
    (Publisher { current: Arc::clone(&current), version: 0 }, Subscriber { current })
}

// === impl Definitions ===

impl Definitions {
    /// Takes `body` as it is.
    pub fn new(body: Vec<u8>) -> Self {
        Self { hash: xxhash_rust::xxh3::xxh3_128(&body), body: Bytes::from(body) }
    }
}

// === impl Publisher ===

impl Publisher {
    /// Makes `grants` what every later request is answered from. Returns the version it got.
    pub fn publish(&mut self, grants: AHashMap<Box<str>, Grant>, ready: bool) -> u64 {
        self.version += 1;
        self.current.store(Arc::new(Snapshot { version: self.version, grants, ready }));
        self.version
    }
}

// === impl Subscriber ===

impl Subscriber {
    /// A reader for one worker.
    pub fn reader(&self) -> Reader {
        Reader { cache: Cache::new(Arc::clone(&self.current)) }
    }
}

// === impl Reader ===

impl Reader {
    /// The newest snapshot.
    ///
    /// The reader pins what it returned last until it is asked again: an idle worker renews it on a
    /// slow tick.
    pub fn current(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }
}

/// Without the tokens.
impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .field("ready", &self.ready)
            .field("grants", &self.grants.len())
            .finish()
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("version", &self.version).finish_non_exhaustive()
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Projects;

    fn grants(tokens: &[&str]) -> AHashMap<Box<str>, Grant> {
        let scope = Scope { environment: "dev".into(), projects: Projects::All };
        let grant = Grant { kind: Kind::Frontend, scope, plan: None, definitions: None };
        tokens.iter().map(|&token| (token.into(), grant.clone())).collect()
    }

    #[test]
    fn a_reader_starts_with_nothing_and_is_not_ready() {
        let (_publisher, subscriber) = channel();
        let mut reader = subscriber.reader();
        let snapshot = reader.current();
        assert_eq!((snapshot.version, snapshot.ready), (0, false));
        assert!(snapshot.grants.is_empty());
    }

    #[test]
    fn every_reader_sees_what_was_published_last_and_versions_count() {
        let (mut publisher, subscriber) = channel();
        let mut early = subscriber.reader();
        early.current();
        assert_eq!(publisher.publish(grants(&["a"]), false), 1);
        assert_eq!(publisher.publish(grants(&["a", "b"]), true), 2);
        for reader in [&mut early, &mut subscriber.clone().reader()] {
            let snapshot = reader.current();
            assert_eq!((snapshot.version, snapshot.ready), (2, true));
            assert_eq!(snapshot.grants.len(), 2);
        }
    }

    #[test]
    fn a_snapshot_in_hand_does_not_change_under_the_hand() {
        let (mut publisher, subscriber) = channel();
        let mut reader = subscriber.reader();
        publisher.publish(grants(&["a"]), true);
        let held = Arc::clone(reader.current());
        publisher.publish(grants(&[]), true);
        assert_eq!((held.version, held.grants.len()), (1, 1));
        assert_eq!(reader.current().grants.len(), 0);
    }

    #[test]
    fn an_old_snapshot_goes_when_its_last_reader_moves_on() {
        let (mut publisher, subscriber) = channel();
        let mut reader = subscriber.reader();
        publisher.publish(grants(&["a"]), true);
        let old = Arc::downgrade(reader.current());
        publisher.publish(grants(&["b"]), true);
        assert!(old.upgrade().is_some(), "an idle reader pins what it returned last");
        reader.current();
        assert!(old.upgrade().is_none());
    }

    #[test]
    fn nothing_here_prints_a_token() {
        let (mut publisher, subscriber) = channel();
        publisher.publish(grants(&["sesame"]), true);
        let mut reader = subscriber.reader();
        let snapshot = Arc::clone(reader.current());
        let text = format!("{publisher:?} {subscriber:?} {reader:?} {snapshot:?}");
        assert!(text.contains('1') && !text.contains("sesame"), "{text}");
    }
}
