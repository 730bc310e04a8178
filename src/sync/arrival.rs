//! A payload on its way from upstream: cut up as it comes where most of it is known.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use super::{guard::guarded, priority};
use crate::{
    engine::{Features, Incoming, PayloadError, Told, Warning},
    upstream::Sink,
};

/// The body of an answer, as far as it has come.
pub(super) struct Arrival {
    hash: Xxh3,
    told: Told,
    body: Body,
}

enum Body {
    /// Nothing is known of it: all at once it is read in one pass.
    Whole(Vec<u8>),
    /// Nothing came yet, and mostly nothing will: upstream has nothing new. What came before.
    Awaited(Arc<Features>),
    // What is known need not be held: megabytes, at the very time at which old and new flags are.
    Cut(Box<Incoming>),
    Bad(BadPayload),
}

/// A payload that is no good. The one before it stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadPayload {
    #[error("the payload cannot be read: {0}")]
    Unreadable(#[from] PayloadError),
    #[error("our engine fails on the payload: this is a bug in offleash")]
    Panicked,
}

// === impl Arrival ===

impl Arrival {
    /// Of a payload that comes after `previous`, of which what is `told` is kept.
    // An upstream without tags sends the same again and again. Then all of it is looked up before its
    // hash says so: nothing was held to be hashed before.
    pub(super) fn after(previous: Arc<Features>, told: Told) -> Self {
        let body =
            if previous.is_empty() { Body::Whole(Vec::new()) } else { Body::Awaited(previous) };
        Self { hash: Xxh3::new(), told, body }
    }

    /// Of all that has come.
    pub(super) fn hash(&self) -> u128 {
        self.hash.digest128()
    }

    /// What came, once all has come.
    ///
    /// # Errors
    /// When it is no good.
    pub(super) fn read(self) -> Result<(Features, Vec<Warning>), BadPayload> {
        let Self { told, body, .. } = self;
        let nothing = Features::default();
        let read = guarded(|| match body {
            Body::Whole(json) => Ok(Features::parse_as(told, &json, &nothing, priority::give_way)?),
            Body::Awaited(_) => Ok(Features::parse_as(told, &[], &nothing, priority::give_way)?),
            Body::Cut(incoming) => Ok(incoming.finish()?),
            Body::Bad(err) => Err(err),
        });
        read.ok_or(BadPayload::Panicked)?
    }
}

impl Sink for Arrival {
    fn expect(&mut self, bytes: usize) {
        if let Body::Whole(json) = &mut self.body {
            json.reserve_exact(bytes);
        }
    }

    fn push(&mut self, piece: &[u8]) {
        self.hash.update(piece);
        if let Body::Awaited(previous) = &self.body {
            let incoming = guarded(|| Incoming::new(self.told, previous, priority::give_way));
            self.body = match incoming {
                Some(incoming) => Body::Cut(Box::new(incoming)),
                None => Body::Bad(BadPayload::Panicked),
            };
        }
        let pushed = match &mut self.body {
            Body::Whole(json) => {
                json.extend_from_slice(piece);
                return;
            }
            Body::Cut(incoming) => guarded(|| incoming.push(piece)),
            // The rest is read all the same, so that its connection can be used again.
            Body::Awaited(_) | Body::Bad(_) => return,
        };
        match pushed {
            Some(Ok(())) => {}
            Some(Err(err)) => self.body = Body::Bad(err.into()),
            None => self.body = Body::Bad(BadPayload::Panicked),
        }
    }
}

impl std::fmt::Debug for Arrival {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arrival").field("told", &self.told).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_128;

    use super::*;

    const BEFORE: &str = r#"{"features":[{"name":"a","enabled":true,"strategies":[]}]}"#;
    const AFTER: &str = r#"{"features":[{"name":"a","enabled":true,"strategies":[]},{"name":"b","enabled":7,"strategies":[]}]}"#;

    /// What takes `json`, in pieces of this size, after a payload that is known.
    fn arrived(json: &str, size: usize) -> Arrival {
        let (before, _) = Features::parse(BEFORE.as_bytes()).unwrap();
        let mut arrival = Arrival::after(Arc::new(before), Told::Definitions);
        arrival.expect(json.len());
        json.as_bytes().chunks(size).for_each(|piece| arrival.push(piece));
        arrival
    }

    #[test]
    fn what_comes_after_something_reads_as_what_comes_first() {
        let mut first = Arrival::after(Arc::default(), Told::Definitions);
        first.push(AFTER.as_bytes());
        let first = first.read().unwrap();
        assert_eq!((first.0.len(), first.1.len()), (2, 1));
        for size in 1..=AFTER.len() {
            let read = arrived(AFTER, size).read().unwrap();
            assert_eq!(format!("{read:?}"), format!("{first:?}"), "{size}");
        }
    }

    #[test]
    fn the_hash_is_that_of_the_whole_body() {
        for size in [1, 7, AFTER.len()] {
            assert_eq!(arrived(AFTER, size).hash(), xxh3_128(AFTER.as_bytes()), "{size}");
        }
    }

    #[test]
    fn what_breaks_off_or_is_no_payload_is_bad_whatever_comes_behind_it() {
        for json in [&AFTER[..AFTER.len() - 1], "{]", "{]}", r#"{"features":[{]}"#, ""] {
            for size in [1, 3, 100] {
                assert!(matches!(arrived(json, size).read(), Err(BadPayload::Unreadable(_))));
            }
        }
    }
}
