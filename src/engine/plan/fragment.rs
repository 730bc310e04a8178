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

/// All fragments of a plan, numbered: neighbours are one piece of bytes.
#[derive(Debug)]
pub(in crate::engine) struct Fragments {
    /// The bytes in the spelling of each profile. Every fragment ends with a comma.
    spellings: [Vec<u8>; 2],
    /// Between any two fragments, before the first and after the last.
    bounds: Vec<Bound>,
}

/// What all fragments before a place come to. All that a run of fragments takes stands in two of
/// these: they are side by side where the run is short.
#[derive(Clone, Copy, Debug, Default)]
struct Bound {
    /// The sum of their hashes, wrapping, its lower half first: a run's sum is a difference.
    hash_sum: [u64; 2],
    /// Their bytes in the spelling of each profile.
    bytes: [u32; 2],
}

/// The fragments `first..end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct Run {
    pub(in crate::engine) first: u32,
    pub(in crate::engine) end: u32,
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

impl Default for Fragments {
    fn default() -> Self {
        Self { spellings: Default::default(), bounds: vec![Bound::default()] }
    }
}

impl Fragments {
    /// `None`: a fragment that nobody asks for, to keep a place.
    pub(super) fn push(&mut self, fragment: Option<&Fragment>) {
        let mut bound = self.bounds.last().copied().unwrap_or_default();
        if let Some(fragment) = fragment {
            bound.hash_sum = halves(whole(bound.hash_sum).wrapping_add(fragment.hash));
            let texts = [&fragment.proxy, &fragment.edge];
            for ((bytes, end), text) in self.spellings.iter_mut().zip(&mut bound.bytes).zip(texts) {
                bytes.extend_from_slice(text.as_bytes());
                // Payloads are bounded far below 4 GiB by the transport.
                *end = bytes.len() as u32;
            }
        }
        self.bounds.push(bound);
    }

    /// Makes room for `all`, so that nothing is moved while they come.
    pub(super) fn reserve<'a>(&mut self, all: impl Iterator<Item = Option<&'a Fragment>>) {
        let (mut count, mut proxy, mut edge) = (0, 0, 0);
        for fragment in all {
            count += 1;
            proxy += fragment.map_or(0, |fragment| fragment.proxy.len());
            edge += fragment.map_or(0, |fragment| fragment.edge.len());
        }
        self.bounds.reserve_exact(count);
        for (spelling, bytes) in self.spellings.iter_mut().zip([proxy, edge]) {
            spelling.reserve_exact(bytes);
        }
    }

    pub(super) fn len(&self) -> u32 {
        self.bounds.len() as u32 - 1
    }

    pub(super) fn bytes(&self) -> usize {
        let spellings: usize = self.spellings.iter().map(Vec::capacity).sum();
        spellings + size_of::<Bound>() * self.bounds.capacity()
    }

    /// The bytes of a run of fragments, each with its comma.
    #[inline]
    pub(in crate::engine) fn get(&self, profile: Profile, run: Run) -> &[u8] {
        let [proxy, edge] = &self.spellings;
        match profile {
            Profile::Proxy => self.spelled(proxy, run, |&[end, _]| end),
            Profile::Edge => self.spelled(edge, run, |&[_, end]| end),
        }
    }

    /// Appends the bytes of `runs`, one behind the other.
    pub(in crate::engine) fn copy_into(&self, body: &mut Vec<u8>, profile: Profile, runs: &[Run]) {
        // One loop for each, so that none asks in every turn which it is.
        let [proxy, edge] = &self.spellings;
        match profile {
            Profile::Proxy => runs.iter().for_each(|run| {
                body.extend_from_slice(self.spelled(proxy, *run, |&[end, _]| end));
            }),
            Profile::Edge => runs.iter().for_each(|run| {
                body.extend_from_slice(self.spelled(edge, *run, |&[_, end]| end));
            }),
        }
    }

    /// What a run is in a spelling, whose place `of` a bound is.
    #[inline(always)]
    fn spelled<'s>(&self, spelling: &'s [u8], run: Run, of: impl Fn(&[u32; 2]) -> u32) -> &'s [u8] {
        let place =
            |at: u32| self.bounds.get(at as usize).map_or(0, |bound| of(&bound.bytes) as usize);
        spelling.get(place(run.first)..place(run.end)).unwrap_or(&[])
    }

    /// The sum of the hashes of a run of fragments, wrapping.
    #[inline]
    pub(in crate::engine) fn hash_sum(&self, run: Run) -> u128 {
        let sum = |place| whole(self.bound(place).hash_sum);
        sum(run.end).wrapping_sub(sum(run.first))
    }

    #[inline]
    fn bound(&self, place: u32) -> Bound {
        self.bounds.get(place as usize).copied().unwrap_or_default()
    }
}

fn whole([low, high]: [u64; 2]) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

fn halves(whole: u128) -> [u64; 2] {
    [whole as u64, (whole >> 64) as u64]
}

// === impl Run ===

impl Run {
    /// One fragment.
    #[inline]
    pub(in crate::engine) fn of(fragment: u32) -> Self {
        Self { first: fragment, end: fragment + 1 }
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
