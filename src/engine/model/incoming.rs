//! Reads a payload piece by piece, as it comes, so that whoever knows most of it never holds it
//! whole: a payload of a thousand flags is megabytes of text, of which a poll brings a few new
//! flags.

use std::{mem, sync::Arc};

use ahash::AHashMap;
use serde::de::{Error as _, IgnoredAny};
use serde_json::value::RawValue;

use super::{
    Feature, Features, PayloadError, Segment, Told, Warning, cursor::is_space, extent::Extent,
    fingerprint, json::Text, revision,
};

/// A payload on its way.
///
/// Takes the pieces in their order, cut wherever they are, and reads each feature when its last byte
/// is there. What stands in an earlier payload with the same text is shared with that.
#[derive(Debug)]
pub struct Incoming {
    known: Known,
    between: fn(),
    read: Features,
    /// What was said of each list, once it came.
    warnings: [Option<Vec<Warning>>; 2],
    /// Which of [`Part::ONCE`] came.
    came: [bool; 3],
    next: Next,
    extent: Extent,
    /// As much of the value under way as came in earlier pieces.
    text: Vec<u8>,
}

/// What stands in an earlier payload, by the hash of its text.
#[derive(Debug, Default)]
pub(super) struct Known {
    features: AHashMap<u128, Arc<Feature>>,
    segments: AHashMap<u128, Arc<Segment>>,
}

/// What has to come next, white space aside.
#[derive(Clone, Copy, Debug)]
enum Next {
    Open,
    FirstKey,
    Key,
    Colon(Part),
    Value(Part),
    /// A part other than a list of ours, to its end.
    Whole(Part),
    FirstElement(List),
    Element(List),
    AfterElement(List),
    AfterValue,
    Nothing,
}

/// Of the payload, by its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    List(List),
    Meta,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum List {
    Features,
    Segments,
}

// === impl Incoming ===

impl Incoming {
    /// A payload that comes after `previous`, of which no more than what is `told` is kept. Calls
    /// `between` before each feature, so that whoever reads a large payload can let others have the
    /// core.
    pub fn new(told: Told, previous: &Features, between: fn()) -> Self {
        Self {
            known: Known::of(previous, told),
            between,
            read: Features { told, ..Features::default() },
            warnings: [None, None],
            came: [false; 3],
            next: Next::Open,
            extent: Extent::default(),
            text: Vec::new(),
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    ///
    /// When this can become no payload any more, as [`Features::parse`] says. Whatever comes then is
    /// of no use.
    pub fn push(&mut self, piece: &[u8]) -> Result<(), PayloadError> {
        let mut rest = piece;
        while !rest.is_empty() {
            rest = self.step(rest)?;
        }
        Ok(())
    }

    /// What came, once all has come.
    ///
    /// # Errors
    ///
    /// As [`Features::parse`].
    pub fn finish(self) -> Result<(Features, Vec<Warning>), PayloadError> {
        if !matches!(self.next, Next::Nothing) {
            return Err(malformed("it ends before its last bracket"));
        }
        let [features, segments] = self.warnings;
        let mut warnings = features.ok_or(PayloadError::Missing("features"))?;
        warnings.extend(segments.unwrap_or_default());
        Ok((self.read, warnings))
    }

    /// Takes what stands at the front of `bytes`, and returns what is left.
    fn step<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], PayloadError> {
        if self.extent.is_under_way() {
            return self.go_on(bytes);
        }
        let spaces = bytes.iter().position(|byte| !is_space(*byte)).unwrap_or(bytes.len());
        let bytes = bytes.get(spaces..).unwrap_or_default();
        let Some((&mark, rest)) = bytes.split_first() else { return Ok(bytes) };
        self.next = match (self.next, mark) {
            (Next::Open, b'{') => Next::FirstKey,
            (Next::FirstKey | Next::AfterValue, b'}') => Next::Nothing,
            (Next::AfterValue, b',') => Next::Key,
            (Next::Colon(part), b':') => Next::Value(part),
            (Next::Value(Part::List(list)), b'[') => {
                *self.warnings_of(list) = Some(Vec::new());
                Next::FirstElement(list)
            }
            (Next::FirstElement(_) | Next::AfterElement(_), b']') => Next::AfterValue,
            (Next::AfterElement(list), b',') => Next::Element(list),
            (next, _) => {
                self.next = match next {
                    Next::FirstKey | Next::Key => Next::Key,
                    Next::Value(part) => Next::Whole(part),
                    Next::FirstElement(list) | Next::Element(list) => Next::Element(list),
                    _ => return Err(malformed("something stands between its parts")),
                };
                return self.go_on(bytes);
            }
        };
        Ok(rest)
    }

    /// Takes what `bytes` hold of the value under way.
    fn go_on<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], PayloadError> {
        let Some((last, rest)) = self.extent.end(bytes).and_then(|at| bytes.split_at_checked(at))
        else {
            self.text.extend_from_slice(bytes);
            return Ok(&[]);
        };
        // Most values stand whole in one piece, and are read there.
        if self.text.is_empty() {
            self.value(last)?;
        } else {
            let mut text = mem::take(&mut self.text);
            text.extend_from_slice(last);
            self.value(&text)?;
            // Its room is for the next that is cut in two.
            text.clear();
            self.text = text;
        }
        Ok(rest)
    }

    /// Reads the whole text of what [`Incoming::next`] says.
    fn value(&mut self, text: &[u8]) -> Result<(), PayloadError> {
        self.next = match self.next {
            Next::Element(list) => {
                self.element(list, text)?;
                Next::AfterElement(list)
            }
            Next::Whole(part) => {
                self.whole(part, text)?;
                Next::AfterValue
            }
            _ => Next::Colon(self.key(text)?),
        };
        Ok(())
    }

    fn key(&mut self, text: &[u8]) -> Result<Part, PayloadError> {
        let Text(key) = serde_json::from_slice(text)?;
        let part = Part::ONCE.iter().zip(&mut self.came).find(|((name, _), _)| *name == key);
        let Some(((name, part), came)) = part else { return Ok(Part::Other) };
        if mem::replace(came, true) {
            return Err(serde_json::Error::duplicate_field(name).into());
        }
        Ok(*part)
    }

    fn whole(&mut self, part: Part, text: &[u8]) -> Result<(), PayloadError> {
        match part {
            Part::Meta => {
                let meta: Option<&RawValue> = serde_json::from_slice(text)?;
                self.read.revision = meta.and_then(revision);
            }
            // `null` is as good as nothing, and all else is no list.
            Part::List(_) => {
                serde_json::from_slice::<Option<Vec<IgnoredAny>>>(text)?;
            }
            Part::Other => {
                serde_json::from_slice::<IgnoredAny>(text)?;
            }
        }
        Ok(())
    }

    /// Reads an element, unless its text is known: then it was JSON before.
    fn element(&mut self, list: List, text: &[u8]) -> Result<(), PayloadError> {
        let told = self.read.told;
        match list {
            List::Features => {
                (self.between)();
                let feature = match self.known.feature(text) {
                    Some(feature) => Ok(feature),
                    None => Feature::read(raw(text)?, told).map(Arc::new),
                };
                let warnings = self.warnings[0].get_or_insert_default();
                match feature {
                    Ok(feature) => self.read.insert(feature, warnings),
                    Err(warning) => warnings.push(warning),
                }
            }
            List::Segments => {
                let segment = match self.known.segment(text) {
                    Some(segment) => Ok(segment),
                    None => Segment::read(raw(text)?, told).map(Arc::new),
                };
                match segment {
                    Ok(segment) => {
                        self.read.segments.insert(segment.id, segment);
                    }
                    Err(warning) => self.warnings[1].get_or_insert_default().push(warning),
                }
            }
        }
        Ok(())
    }

    fn warnings_of(&mut self, list: List) -> &mut Option<Vec<Warning>> {
        let [features, segments] = &mut self.warnings;
        match list {
            List::Features => features,
            List::Segments => segments,
        }
    }
}

// === impl Known ===

impl Known {
    /// What `previous` has, as far as it is what is `told`.
    pub(super) fn of(previous: &Features, told: Told) -> Self {
        // Without their texts, features are not what is asked for.
        if previous.told != told {
            return Self::default();
        }
        let features = previous.features.values();
        let segments = previous.segments.values();
        Self {
            features: features.map(|known| (known.fingerprint, Arc::clone(known))).collect(),
            segments: segments.map(|known| (known.fingerprint, Arc::clone(known))).collect(),
        }
    }

    /// The feature of this text.
    pub(super) fn feature(&self, text: &[u8]) -> Option<Arc<Feature>> {
        self.features.get(&fingerprint(text)).map(Arc::clone)
    }

    /// The segment of this text.
    pub(super) fn segment(&self, text: &[u8]) -> Option<Arc<Segment>> {
        self.segments.get(&fingerprint(text)).map(Arc::clone)
    }
}

// === impl Part ===

impl Part {
    /// Those that may come once, by their keys.
    const ONCE: [(&str, Self); 3] = [
        ("features", Self::List(List::Features)),
        ("segments", Self::List(List::Segments)),
        ("meta", Self::Meta),
    ];
}

/// `text`, which is one JSON value.
fn raw(text: &[u8]) -> Result<&str, PayloadError> {
    Ok(serde_json::from_slice::<&RawValue>(text)?.get())
}

fn malformed(what: &str) -> PayloadError {
    serde_json::Error::custom(what).into()
}

#[cfg(test)]
mod tests;
