//! Versioned snapshots: one writer publishes, every worker reads its own cached copy.

mod claims;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use actix_web::web::Bytes;
use ahash::AHashMap;
use arc_swap::{ArcSwap, cache::Cache};

pub use self::claims::{Claims, Verdict};
use crate::{
    engine::{Plan, Projects},
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
    /// How far these flags are. `None` where upstream counts no revisions, or where there is none
    /// to ask for newer ones.
    pub edition: Option<Edition>,
}

/// Which revision of its flags a scope has, and where to say that a client has seen a newer one.
#[derive(Clone, Debug)]
pub struct Edition {
    /// Upstream's `meta.revisionId`: the same on every instance that has the same flags. Where
    /// several tokens ask for one environment the sum of theirs, so that a change which came with
    /// one of them alone counts.
    pub revision: u64,
    /// A hash of the scope, the same on every instance.
    pub scope: u64,
    /// Shared by everybody of the environment.
    pub claims: Arc<Claims>,
}

/// A document of definitions, shared by everybody of one scope.
#[derive(Clone, Debug)]
pub struct Definitions {
    /// `{"version":2,"features":[…],"segments":[…]}`; cloning it copies no byte.
    pub body: Bytes,
    /// Of the body.
    pub hash: u128,
    /// The body compressed, in each coding that somebody has asked for.
    pub encodings: Encodings,
}

/// Compressed forms of one text, made once and shared by everybody who holds the text. Whoever
/// compresses numbers the codings.
#[derive(Clone, Debug, Default)]
pub struct Encodings(Arc<[OnceLock<Bytes>; 4]>);

/// The only writer of snapshots; held by `sync`.
pub struct Publisher {
    current: Arc<ArcSwap<Snapshot>>,
    version: u64,
    /// Those that were published before and that a reader may still be at.
    retired: Vec<Arc<Snapshot>>,
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
    let publisher = Publisher { current: Arc::clone(&current), version: 0, retired: Vec::new() };
    (publisher, Subscriber { current })
}

// === impl Definitions ===

impl Definitions {
    /// Takes `body` as it is.
    pub fn new(body: Vec<u8>) -> Self {
        let hash = xxhash_rust::xxh3::xxh3_128(&body);
        Self { hash, body: Bytes::from(body), encodings: Encodings::default() }
    }
}

// === impl Encodings ===

impl Encodings {
    /// The text in the coding of this number, made by `encode` if nobody has it yet. Nobody waits:
    /// two who ask at once both make it. Returns `None` when `encode` does, or for a number beyond
    /// the codings.
    pub fn get(&self, coding: usize, encode: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        let place = self.0.get(coding)?;
        if let Some(encoded) = place.get() {
            return Some(encoded.clone());
        }
        let encoded = encode()?;
        let _ = place.set(encoded.clone());
        Some(encoded)
    }
}

// === impl Edition ===

impl Edition {
    /// Of the flags that `scope` may see.
    pub fn new(revision: u64, scope: &Scope, claims: Arc<Claims>) -> Self {
        use xxhash_rust::xxh3::xxh3_64_with_seed as hash;
        let environment = hash(scope.environment.as_bytes(), 0);
        let scope = match &scope.projects {
            Projects::All => environment,
            Projects::Only(projects) => {
                projects.iter().fold(!environment, |sum, project| hash(project.as_bytes(), sum))
            }
        };
        Self { revision, scope, claims }
    }
}

// === impl Publisher ===

impl Publisher {
    /// Makes `grants` what every later request is answered from. Returns the version it got.
    pub fn publish(&mut self, grants: AHashMap<Box<str>, Grant>, ready: bool) -> u64 {
        self.version += 1;
        let news = Arc::new(Snapshot { version: self.version, grants, ready });
        self.retired.push(self.current.swap(news));
        self.reclaim();
        self.version
    }

    /// Frees what was published before, and that every reader has moved on from.
    ///
    /// To be called now and then. It is the writer that frees: a plan is thousands of pieces, which
    /// a worker would hand back to another thread's memory one by one while a request waits.
    pub fn reclaim(&mut self) {
        // One that only we hold can be found by nobody any more.
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
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

    fn grants(tokens: &[&str]) -> AHashMap<Box<str>, Grant> {
        let scope = Scope { environment: "dev".into(), projects: Projects::All };
        let grant =
            Grant { kind: Kind::Frontend, scope, plan: None, definitions: None, edition: None };
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
    fn an_old_snapshot_is_freed_by_the_writer_once_its_last_reader_has_moved_on() {
        let (mut publisher, subscriber) = channel();
        let mut reader = subscriber.reader();
        publisher.publish(grants(&["a"]), true);
        let old = Arc::downgrade(reader.current());
        publisher.publish(grants(&["b"]), true);
        publisher.reclaim();
        assert!(old.upgrade().is_some(), "an idle reader pins what it returned last");
        reader.current();
        assert!(old.upgrade().is_some(), "a reader frees nothing");
        publisher.reclaim();
        assert!(old.upgrade().is_none());
    }

    #[test]
    fn a_snapshot_that_nobody_has_read_is_freed_when_the_next_one_comes() {
        let (mut publisher, subscriber) = channel();
        let mut idle = subscriber.reader();
        for _ in 0..10 {
            publisher.publish(grants(&["a"]), true);
        }
        assert_eq!(idle.current().version, 10);
        assert_eq!(publisher.retired.len(), 1, "the first, which the idle reader was at");
        publisher.reclaim();
        assert!(publisher.retired.is_empty());
    }

    #[test]
    fn scopes_that_see_different_flags_have_different_hashes() {
        let scopes = [
            Scope::new("", ["*"]),
            Scope::new("dev", ["*"]),
            Scope::new("dev", ["a"]),
            Scope::new("dev", ["a", "b"]),
            Scope::new("dev", ["ab"]),
            Scope::new("prod", ["a"]),
        ];
        let hash =
            |scope: &Scope| Edition::new(1, scope, Arc::new(Claims::new(Arc::default()))).scope;
        let hashes: std::collections::HashSet<u64> = scopes.iter().map(hash).collect();
        assert_eq!(hashes.len(), scopes.len());
        let (one, other) = (Scope::new("dev", ["a", "b"]), Scope::new("dev", ["b", "a"]));
        assert_eq!(hash(&one), hash(&other), "whatever the order in which they were named");
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
