//! The features payload as upstream spells it, read tolerantly: what cannot be understood is
//! neutralised where it stands and reported as a [`Warning`]; the rest goes on.
//!
//! The rules are `spec/evaluation.md` section 1, column *Ours*: a bad strategy turns itself off, a
//! bad flag costs only itself, a bad envelope changes nothing.

mod cursor;
mod definitions;
mod envelope;
mod extent;
mod incoming;
mod json;
mod numbers;
mod read;
mod texts;

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_128;

use incoming::Known;

pub(super) use cursor::plain_len;
pub use incoming::Incoming;
pub(super) use numbers::Numbers;
pub(super) use texts::{Texts, TextsBuilder};

/// What upstream said last: every feature and segment, by name and by id.
///
/// Cheap to clone: features and segments are shared, so that a delta copies two maps of pointers.
#[derive(Clone, Debug, Default)]
pub struct Features {
    // Sorted by name: the order of every answer.
    pub(super) features: BTreeMap<Box<str>, Arc<Feature>>,
    pub(super) segments: BTreeMap<i64, Arc<Segment>>,
    pub(super) revision: Option<u64>,
    told: Told,
}

/// What is told of a payload, and so what has to be kept of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Answers alone: the texts that upstream sent are let go.
    Answers,
    /// The definitions too, as upstream sent them.
    #[default]
    Definitions,
}

/// Why a payload as a whole cannot be used; what was known before stays.
#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error("upstream's payload is not valid JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("upstream's payload has no `{0}` array")]
    Missing(&'static str),
}

/// A part of the payload that is off, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Warning {
    /// The flag it is about. `None` when it is about a segment, an event or a nameless flag.
    pub feature: Option<Box<str>>,
    pub text: String,
}

/// One feature with all that its evaluation depends on, segments and parents aside.
// Thousands of these stay in memory: nothing in them has room to grow.
#[derive(Debug)]
pub(super) struct Feature {
    pub(super) name: Box<str>,
    pub(super) enabled: bool,
    pub(super) project: Box<str>,
    pub(super) impression: Impression,
    /// Empty: on for everyone.
    pub(super) strategies: Box<[Strategy]>,
    pub(super) variants: Box<[Variant]>,
    pub(super) dependencies: Box<[Dependency]>,
    pub(super) warnings: Box<[Warning]>,
    /// A hash of the text it was read from: the same text need not be read again.
    pub(super) fingerprint: u128,
    /// The text itself, for those who evaluate themselves; empty where they are told nothing.
    pub(super) raw: Box<str>,
}

/// `impressionData` as defined: surfaces differ in how they spell its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Impression {
    Absent,
    Null,
    Is(bool),
}

#[derive(Debug, Default)]
pub(super) struct Strategy {
    pub(super) name: Box<str>,
    /// Each name with its text behind it.
    pub(super) parameters: Texts,
    pub(super) constraints: Box<[Constraint]>,
    /// Sorted and distinct.
    pub(super) segments: Box<[i64]>,
    pub(super) variants: Box<[Variant]>,
    /// Why this strategy is off whatever it says.
    pub(super) fault: Option<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Constraint {
    pub(super) field: Box<str>,
    pub(super) operator: Box<str>,
    pub(super) values: Texts,
    pub(super) value: Option<Box<str>>,
    pub(super) inverted: bool,
    pub(super) case_insensitive: bool,
}

#[derive(Debug)]
pub(super) struct Variant {
    pub(super) name: Box<str>,
    pub(super) weight: u32,
    pub(super) stickiness: Option<Box<str>>,
    /// JSON text without needless white space.
    pub(super) payload: Option<Box<str>>,
    pub(super) overrides: Box<[Override]>,
}

#[derive(Debug)]
pub(super) struct Override {
    pub(super) field: Box<str>,
    pub(super) values: Texts,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub(super) parent: Box<str>,
    pub(super) enabled: bool,
    pub(super) variants: Texts,
}

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: i64,
    /// `Err`: why every strategy that names this segment is off.
    pub(super) constraints: Result<Box<[Constraint]>, Box<str>>,
    pub(super) fingerprint: u128,
    pub(super) raw: Box<str>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "revisionId")]
    revision: Option<u64>,
}

// === impl Features ===

impl Features {
    /// Reads an answer of `/client/features`: `{"features": […], "segments": […], "meta": …}`.
    ///
    /// Where two features share a name the last wins. Unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// When `json` is not JSON, has no `features` array, or has `segments` that are no array;
    /// everything smaller is a warning.
    pub fn parse(json: &[u8]) -> Result<(Self, Vec<Warning>), PayloadError> {
        Self::parse_over(json, &Self::default())
    }

    /// As [`Features::parse`], and shares with `previous` whatever stands in both with the same
    /// text: only what changed is read, and a [`Compiler`](super::Compiler) lowers no more than
    /// that.
    ///
    /// # Errors
    ///
    /// As [`Features::parse`].
    pub fn parse_over(json: &[u8], previous: &Self) -> Result<(Self, Vec<Warning>), PayloadError> {
        Self::parse_as(Told::Definitions, json, previous, || {})
    }

    /// As [`Features::parse_over`], and keeps no more than what is `told` takes. Calls `between`
    /// before each feature, so that whoever reads a large payload can let others have the core.
    ///
    /// # Errors
    ///
    /// As [`Features::parse`].
    pub fn parse_as(
        told: Told,
        json: &[u8],
        previous: &Self,
        between: fn(),
    ) -> Result<(Self, Vec<Warning>), PayloadError> {
        if previous.features.is_empty()
            && let Some(read) = Self::read_at_once(told, json, between)
        {
            return Ok(read);
        }
        Self::parse_cut(told, json, previous, between)
    }

    /// As [`Features::parse_as`], element by element.
    fn parse_cut(
        told: Told,
        json: &[u8],
        previous: &Self,
        between: fn(),
    ) -> Result<(Self, Vec<Warning>), PayloadError> {
        let mut incoming = Incoming::new(told, previous, between);
        incoming.push(json)?;
        incoming.finish()
    }

    /// One set from the answers of several tokens of one environment. Where two parts hold a
    /// feature or a segment of the same name the later part wins.
    pub fn merge<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut merged = Self::default();
        for part in parts {
            merged.features.extend(part.features.iter().map(|(k, v)| (k.clone(), Arc::clone(v))));
            merged.segments.extend(part.segments.iter().map(|(k, v)| (*k, Arc::clone(v))));
            merged.revision = merged.revision.max(part.revision);
            if part.told == Told::Answers {
                merged.told = Told::Answers;
            }
        }
        merged
    }

    /// The number of features.
    pub fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether there is no feature at all.
    pub fn is_empty(&self) -> bool {
        self.features.is_empty()
    }

    /// What of it can be told.
    pub(super) fn told(&self) -> Told {
        self.told
    }

    /// Upstream's revision (`meta.revisionId`, or the newest event applied). `None` for upstreams
    /// that count none.
    pub fn revision(&self) -> Option<u64> {
        self.revision
    }

    /// Replaces all features and segments, reading only what `previous` does not have.
    pub(super) fn replace(
        &mut self,
        features: &[&RawValue],
        segments: &[&RawValue],
        previous: &Self,
    ) -> Vec<Warning> {
        let mut warnings = Vec::new();
        let told = self.told;
        let known = Known::of(previous, told);
        self.features.clear();
        for raw in features {
            let read = || Feature::read(raw.get(), told).map(Arc::new);
            match known.feature(raw.get().as_bytes()).map_or_else(read, Ok) {
                Ok(feature) => self.insert(feature, &mut warnings),
                Err(warning) => warnings.push(warning),
            }
        }
        self.segments.clear();
        for raw in segments {
            let read = || Segment::read(raw.get(), told).map(Arc::new);
            match known.segment(raw.get().as_bytes()).map_or_else(read, Ok) {
                Ok(segment) => {
                    self.segments.insert(segment.id, segment);
                }
                Err(warning) => warnings.push(warning),
            }
        }
        warnings
    }

    pub(super) fn insert(&mut self, feature: Arc<Feature>, warnings: &mut Vec<Warning>) {
        warnings.extend(feature.warnings.iter().cloned());
        self.features.insert(feature.name.clone(), feature);
    }
}

// === impl Told ===

impl Told {
    fn keep(self, text: &str) -> Box<str> {
        match self {
            Self::Answers => Box::default(),
            Self::Definitions => text.into(),
        }
    }
}

fn fingerprint(text: &[u8]) -> u128 {
    xxh3_128(text)
}

/// The revision that `meta` tells. `None` where it tells none.
fn revision(meta: &RawValue) -> Option<u64> {
    serde_json::from_str::<Meta>(meta.get()).ok()?.revision
}

// === impl Strategy ===

impl Strategy {
    /// The text of a parameter. `None` when it is missing or null.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let count = self.parameters.len() as u32 / 2;
        let last = (0..count).rev().find(|number| self.parameters.get(2 * number) == name)?;
        Some(self.parameters.get(2 * last + 1))
    }
}

// === impl Warning ===

impl Warning {
    pub(super) fn about(feature: &str, text: impl Into<String>) -> Self {
        Self { feature: Some(feature.into()), text: text.into() }
    }

    pub(super) fn general(text: impl Into<String>) -> Self {
        Self { feature: None, text: text.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.feature {
            Some(feature) => write!(f, "feature `{feature}`: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests;
