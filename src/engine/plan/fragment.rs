//! Fragments: the bytes of every answer a flag can give, written at compile time.
//!
//! One per flag and outcome, in each [`Profile`]'s spelling (`spec/evaluation.md` 9.1). An answer is
//! fragments copied one after another; its tag is a sum over their hashes.

use xxhash_rust::xxh3::xxh3_128;

use super::lower::Choice;
use crate::engine::model::{Impression, plain_len};

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

/// One fragment as it is known before its bytes are: they are written where a plan is linked, so
/// that nobody holds them beside the plans.
#[derive(Debug)]
pub(super) struct Fragment {
    /// Of the Proxy's spelling, the lower half first. Edge's follows from the same facts.
    hash: [u64; 2],
    /// Its bytes in the spelling of each profile.
    bytes: [u32; 2],
}

/// Writes the fragments of one flag after another; has to be turned to a flag first.
#[derive(Debug)]
pub(super) struct Speller {
    /// Every fragment of a flag starts with its name.
    start: Vec<u8>,
    impression: Impression,
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
    /// Appends what `speller`'s flag `says`, which is `fragment`.
    pub(super) fn push(&mut self, fragment: &Fragment, speller: &Speller, says: Says<'_>) {
        let mut bound = self.bounds.last().copied().unwrap_or_default();
        bound.hash_sum = halves(whole(bound.hash_sum).wrapping_add(whole(fragment.hash)));
        let ends = bound.bytes.iter_mut().zip(fragment.bytes);
        for ((profile, bytes), (end, measured)) in
            Profile::ALL.into_iter().zip(&mut self.spellings).zip(ends)
        {
            let start = bytes.len();
            speller.write(profile, says, bytes);
            debug_assert_eq!(bytes.len() - start, measured as usize);
            // Payloads are bounded far below 4 GiB by the transport.
            *end = bytes.len() as u32;
        }
        self.bounds.push(bound);
    }

    /// Keeps the place of a fragment that nobody asks for.
    pub(super) fn skip(&mut self) {
        self.bounds.push(self.bounds.last().copied().unwrap_or_default());
    }

    /// Makes room for `all`, so that nothing is moved while they come. `None` is one to skip.
    pub(super) fn reserve<'a>(&mut self, all: impl Iterator<Item = Option<&'a Fragment>>) {
        let mut count = 0;
        let mut sizes = [0, 0];
        for fragment in all {
            count += 1;
            for (size, bytes) in sizes.iter_mut().zip(fragment.map_or([0, 0], |it| it.bytes)) {
                *size += bytes as usize;
            }
        }
        self.bounds.reserve_exact(count);
        for (spelling, bytes) in self.spellings.iter_mut().zip(sizes) {
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
    /// What `speller`'s flag `says`. `buffer` is anybody's, and is left with the Proxy's spelling.
    pub(super) fn measure(speller: &Speller, says: Says<'_>, buffer: &mut Vec<u8>) -> Self {
        // The Proxy's spelling last: it is the one that is hashed.
        let [edge, proxy] = [Profile::Edge, Profile::Proxy].map(|profile| {
            buffer.clear();
            speller.write(profile, says, buffer);
            buffer.len() as u32
        });
        Self { hash: halves(xxh3_128(buffer)), bytes: [proxy, edge] }
    }
}

// === impl Profile ===

impl Profile {
    /// In the order in which fragments keep them.
    const ALL: [Self; 2] = [Self::Proxy, Self::Edge];
}

// === impl Speller ===

impl Default for Speller {
    fn default() -> Self {
        Self { start: Vec::new(), impression: Impression::Absent }
    }
}

impl Speller {
    /// Turns to the flag called `name`.
    pub(super) fn turn_to(&mut self, name: &str, impression: Impression) {
        self.start.clear();
        self.start.extend_from_slice(b"{\"name\":");
        write_quoted(name, &mut self.start);
        self.impression = impression;
    }

    /// Appends what the flag `says`, with its comma.
    fn write(&self, profile: Profile, says: Says<'_>, json: &mut Vec<u8>) {
        json.extend_from_slice(&self.start);
        match profile {
            Profile::Proxy => self.write_proxy(says, json),
            Profile::Edge => self.write_edge(says, json),
        }
    }

    fn write_proxy(&self, says: Says<'_>, json: &mut Vec<u8>) {
        match says {
            // Only an answer to a question by name repeats `featureEnabled` for a flag that is off.
            Says::Off => json.extend_from_slice(
                br#","enabled":false,"variant":{"name":"disabled","enabled":false,"feature_enabled":false}"#,
            ),
            Says::On => json.extend_from_slice(
                br#","enabled":true,"variant":{"name":"disabled","enabled":false,"feature_enabled":true,"featureEnabled":true}"#,
            ),
            Says::Chosen(choice) => {
                json.extend_from_slice(br#","enabled":true,"variant":{"name":"#);
                write_quoted(&choice.name, json);
                if choice.of_strategy {
                    json.extend_from_slice(br#","enabled":true"#);
                }
                if let Some(payload) = &choice.payload {
                    json.extend_from_slice(br#","payload":"#);
                    json.extend_from_slice(payload.as_bytes());
                }
                if !choice.of_strategy {
                    json.extend_from_slice(br#","enabled":true"#);
                }
                json.extend_from_slice(br#","feature_enabled":true,"featureEnabled":true}"#);
            }
        }
        json.extend_from_slice(match self.impression {
            Impression::Absent => b"},",
            Impression::Null => br#","impressionData":null},"#,
            Impression::Is(true) => br#","impressionData":true},"#,
            Impression::Is(false) => br#","impressionData":false},"#,
        });
    }

    fn write_edge(&self, says: Says<'_>, json: &mut Vec<u8>) {
        match says {
            Says::Off => json.extend_from_slice(
                br#","enabled":false,"variant":{"name":"disabled","enabled":false,"payload":null}"#,
            ),
            Says::On => json.extend_from_slice(
                br#","enabled":true,"variant":{"name":"disabled","enabled":false,"payload":null}"#,
            ),
            Says::Chosen(choice) => {
                json.extend_from_slice(br#","enabled":true,"variant":{"name":"#);
                write_quoted(&choice.name, json);
                json.extend_from_slice(br#","enabled":true,"payload":"#);
                json.extend_from_slice(choice.payload.as_deref().unwrap_or("null").as_bytes());
                json.push(b'}');
            }
        }
        json.extend_from_slice(match self.impression {
            Impression::Is(true) => br#","impression_data":true,"impressionData":true},"#,
            _ => br#","impression_data":false,"impressionData":false},"#,
        });
    }
}

/// Appends `text` as a JSON string.
pub(in crate::engine) fn write_quoted(text: &str, json: &mut Vec<u8>) {
    // Nearly all names are what they look like.
    if plain_len(text.as_bytes()) == text.len() {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
        return;
    }
    // Writing a string to memory cannot fail.
    let _ = serde_json::to_writer(json, text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_as_json_does_whatever_they_hold() {
        let odd = ["", "plain", "\"", "\\", "é", "a\u{2028}b", "\u{7f}", "emoji 🦀", "ends in \""];
        let controls = (0..0x20u8).map(|byte| format!("a{}b", byte as char));
        for text in odd.into_iter().map(str::to_owned).chain(controls) {
            let mut quoted = b"before".to_vec();
            write_quoted(&text, &mut quoted);
            let expected = format!("before{}", serde_json::to_string(&text).unwrap());
            assert_eq!(String::from_utf8(quoted).unwrap(), expected);
        }
    }

    #[test]
    fn a_fragment_is_as_long_as_it_was_measured_and_a_flag_of_every_outcome() {
        let choice = |of_strategy, payload: Option<&str>| Choice {
            name: "v\"1".into(),
            payload: payload.map(Box::from),
            of_strategy,
        };
        let payload = r#"{"type":"string","value":"x"}"#;
        let choices = [true, false].map(|of| [choice(of, None), choice(of, Some(payload))]);
        let chosen = choices.as_flattened().iter().map(Says::Chosen);
        let all: Vec<Says<'_>> = [Says::Off, Says::On].into_iter().chain(chosen).collect();
        let spellings = [Impression::Absent, Impression::Null, Impression::Is(true)];
        for impression in spellings.into_iter().chain([Impression::Is(false)]) {
            let mut speller = Speller::default();
            speller.turn_to("a \"flag\"", impression);
            for says in &all {
                let fragment = Fragment::measure(&speller, *says, &mut vec![1, 2, 3]);
                for profile in Profile::ALL {
                    let mut json = Vec::new();
                    speller.write(profile, *says, &mut json);
                    assert_eq!(json.len(), fragment.bytes[profile as usize] as usize);
                    assert_eq!(json.pop(), Some(b','));
                    let flag: serde_json::Value = serde_json::from_slice(&json).unwrap();
                    assert_eq!(flag["name"], "a \"flag\"");
                    assert_eq!(flag["enabled"], !matches!(says, Says::Off));
                }
            }
        }
    }
}
