//! Fragments: the bytes of every answer a flag can give, written at compile time.
//!
//! One per flag and outcome, in each [`Profile`]'s spelling (`spec/evaluation.md` 9.1). An answer is
//! fragments copied one after another; its tag is a sum over their hashes.

use xxhash_rust::xxh3::xxh3_128;

use super::lower::Choice;
use crate::engine::model::Impression;

/// Whose spelling of an answer: keys, their order, and what an absent value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The Unleash Proxy's.
    Proxy,
    /// Unleash Edge's.
    Edge,
}

/// All fragments of a plan, numbered.
#[derive(Debug, Default)]
pub(in crate::engine) struct Fragments {
    spellings: [Spelling; 2],
    /// Sums of the fragments' hashes up to and with each, wrapping: a run's sum is a difference.
    hash_sums: Vec<u128>,
}

/// The bytes of one profile. Every fragment ends with a comma.
#[derive(Debug, Default)]
struct Spelling {
    bytes: Vec<u8>,
    /// Where each fragment ends in `bytes`.
    ends: Vec<u32>,
}

/// One fragment in both spellings, on its way into [`Fragments`].
#[derive(Debug)]
pub(super) struct Fragment {
    proxy: Box<str>,
    edge: Box<str>,
    hash: u128,
}

/// What a fragment says of its flag.
#[derive(Clone, Copy, Debug)]
pub(super) enum Says<'a> {
    Off,
    On,
    Chosen(&'a Choice),
}

// === impl Fragments ===

impl Fragments {
    pub(super) fn push(&mut self, fragment: &Fragment) {
        let sum = self.hash_sums.last().copied().unwrap_or(0);
        self.hash_sums.push(sum.wrapping_add(fragment.hash));
        for (spelling, text) in self.spellings.iter_mut().zip([&fragment.proxy, &fragment.edge]) {
            spelling.bytes.extend_from_slice(text.as_bytes());
            spelling.ends.push(spelling.bytes.len() as u32);
        }
    }

    /// Makes room for `all`, so that nothing is moved while they come.
    pub(super) fn reserve<'a>(&mut self, all: impl Iterator<Item = &'a Fragment>) {
        let (mut count, mut proxy, mut edge) = (0, 0, 0);
        for fragment in all {
            count += 1;
            proxy += fragment.proxy.len();
            edge += fragment.edge.len();
        }
        self.hash_sums.reserve_exact(count);
        for (spelling, bytes) in self.spellings.iter_mut().zip([proxy, edge]) {
            spelling.bytes.reserve_exact(bytes);
            spelling.ends.reserve_exact(count);
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.hash_sums.len() as u32
    }

    pub(super) fn bytes(&self) -> usize {
        let spellings: usize =
            self.spellings.iter().map(|s| s.bytes.capacity() + 4 * s.ends.capacity()).sum();
        spellings + size_of::<u128>() * self.hash_sums.capacity()
    }

    /// The bytes of the fragments `first..end`, each with its comma.
    #[inline]
    pub(in crate::engine) fn get(&self, profile: Profile, first: u32, end: u32) -> &[u8] {
        let spelling = match profile {
            Profile::Proxy => &self.spellings[0],
            Profile::Edge => &self.spellings[1],
        };
        let limit = |fragment: u32| match fragment {
            0 => 0,
            fragment => spelling.ends.get(fragment as usize - 1).copied().unwrap_or(0) as usize,
        };
        spelling.bytes.get(limit(first)..limit(end)).unwrap_or(&[])
    }

    /// The sum of the hashes of the fragments `first..end`, wrapping.
    #[inline]
    pub(in crate::engine) fn hash_sum(&self, first: u32, end: u32) -> u128 {
        let limit = |fragment: u32| match fragment {
            0 => 0,
            fragment => self.hash_sums.get(fragment as usize - 1).copied().unwrap_or(0),
        };
        limit(end).wrapping_sub(limit(first))
    }
}

// === impl Fragment ===

impl Fragment {
    pub(super) fn new(name: &str, impression: Impression, says: Says<'_>) -> Self {
        let name = quoted(name);
        let proxy = proxy_fragment(&name, impression, says);
        let edge = edge_fragment(&name, impression, says);
        // Edge's bytes follow from the same facts: hashing one spelling is enough.
        Self { hash: xxh3_128(proxy.as_bytes()), proxy: proxy.into(), edge: edge.into() }
    }
}

fn proxy_fragment(name: &str, impression: Impression, says: Says<'_>) -> String {
    let on = !matches!(says, Says::Off);
    let variant = match says {
        // Only an answer to a question by name repeats `featureEnabled` for a flag that is off.
        Says::Off => r#""name":"disabled","enabled":false,"feature_enabled":false"#.to_owned(),
        Says::On => {
            r#""name":"disabled","enabled":false,"feature_enabled":true,"featureEnabled":true"#
                .to_owned()
        }
        Says::Chosen(choice) => {
            let payload = match &choice.payload {
                Some(payload) => [",\"payload\":", payload].concat(),
                None => String::new(),
            };
            let name = quoted(&choice.name);
            let (first, second) = if choice.of_strategy {
                (",\"enabled\":true", payload.as_str())
            } else {
                (payload.as_str(), ",\"enabled\":true")
            };
            let rest = ",\"feature_enabled\":true,\"featureEnabled\":true";
            ["\"name\":", &name, first, second, rest].concat()
        }
    };
    let impression = match impression {
        Impression::Absent => "",
        Impression::Null => ",\"impressionData\":null",
        Impression::Is(true) => ",\"impressionData\":true",
        Impression::Is(false) => ",\"impressionData\":false",
    };
    let enabled = [",\"enabled\":", text(on), ",\"variant\":{"].concat();
    ["{\"name\":", name, &enabled, &variant, "}", impression, "},"].concat()
}

fn edge_fragment(name: &str, impression: Impression, says: Says<'_>) -> String {
    let on = !matches!(says, Says::Off);
    let variant = match says {
        Says::Off | Says::On => r#""name":"disabled","enabled":false,"payload":null"#.to_owned(),
        Says::Chosen(choice) => {
            let payload = choice.payload.as_deref().unwrap_or("null");
            ["\"name\":", &quoted(&choice.name), ",\"enabled\":true,\"payload\":", payload].concat()
        }
    };
    let impression = text(impression == Impression::Is(true));
    let enabled = [",\"enabled\":", text(on), ",\"variant\":{"].concat();
    let tail = ["},\"impression_data\":", impression, ",\"impressionData\":", impression, "},"];
    ["{\"name\":", name, &enabled, &variant, &tail.concat()].concat()
}

fn text(is: bool) -> &'static str {
    if is { "true" } else { "false" }
}

/// `text` as a JSON string.
fn quoted(text: &str) -> String {
    let mut json = Vec::with_capacity(text.len() + 2);
    write_quoted(text, &mut json);
    String::from_utf8(json).unwrap_or_default()
}

/// Appends `text` as a JSON string.
pub(in crate::engine) fn write_quoted(text: &str, json: &mut Vec<u8>) {
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(json, text);
}
