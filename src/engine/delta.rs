//! Delta events: what changed upstream since a revision (`spec/evaluation.md` 1.5).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::model::{Feature, Features, PayloadError, Segment, Warning};

/// An answer of `/client/delta` or one streamed message: events, to be applied in order.
#[derive(Debug)]
pub struct Delta {
    events: Vec<Event>,
}

/// What applying a [`Delta`] did.
#[derive(Debug, Default)]
pub struct Applied {
    /// Parts that are off, and events that were not understood.
    pub warnings: Vec<Warning>,
    /// An event was not understood: only a hydration tells what it meant.
    pub rehydrate: bool,
}

#[derive(Debug)]
struct Event {
    id: Option<u64>,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Hydration { features: Vec<Box<RawValue>>, segments: Vec<Box<RawValue>> },
    FeatureUpdated(Box<RawValue>),
    FeatureRemoved(Box<str>),
    SegmentUpdated(Box<RawValue>),
    SegmentRemoved(i64),
    Unknown(String),
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    events: Option<Vec<&'a RawValue>>,
}

/// An event's keys, whichever its type uses.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Keys {
    r#type: String,
    event_id: Option<u64>,
    features: Option<Vec<Box<RawValue>>>,
    segments: Option<Vec<Box<RawValue>>>,
    feature: Option<Box<RawValue>>,
    feature_name: Option<Box<str>>,
    segment: Option<Box<RawValue>>,
    segment_id: Option<i64>,
}

// === impl Delta ===

impl Delta {
    /// Reads `{"events": […]}`. An event that is not understood is kept as such: see
    /// [`Applied::rehydrate`].
    ///
    /// # Errors
    ///
    /// When `json` is not JSON or has no `events` array.
    pub fn parse(json: &[u8]) -> Result<Self, PayloadError> {
        let envelope: Envelope<'_> = serde_json::from_slice(json)?;
        let events = envelope.events.ok_or(PayloadError::Missing("events"))?;
        Ok(Self { events: events.into_iter().map(Event::read).collect() })
    }
}

// === impl Event ===

impl Event {
    fn read(raw: &RawValue) -> Self {
        match serde_json::from_str::<Keys>(raw.get()) {
            Ok(keys) => Self { id: keys.event_id, change: Change::read(keys) },
            Err(err) => Self { id: None, change: Change::Unknown(format!("unreadable: {err}")) },
        }
    }
}

impl Change {
    fn read(keys: Keys) -> Self {
        let change = match keys.r#type.as_str() {
            "hydration" => keys.features.map(|features| Self::Hydration {
                features,
                segments: keys.segments.unwrap_or_default(),
            }),
            "feature-updated" => keys.feature.map(Self::FeatureUpdated),
            "feature-removed" => keys.feature_name.map(Self::FeatureRemoved),
            "segment-updated" => keys.segment.map(Self::SegmentUpdated),
            "segment-removed" => keys.segment_id.map(Self::SegmentRemoved),
            _ => None,
        };
        change.unwrap_or(Self::Unknown(keys.r#type))
    }
}

// === impl Features ===

impl Features {
    /// Applies every event in order. What an event says about a part that cannot be read leaves
    /// the older part in place and asks for a hydration.
    pub fn apply(&mut self, delta: &Delta) -> Applied {
        let mut applied = Applied::default();
        for event in &delta.events {
            if let Err(warning) = self.apply_one(&event.change, &mut applied.warnings) {
                applied.warnings.push(warning);
                applied.rehydrate = true;
            }
            self.revision = self.revision.max(event.id);
        }
        applied
    }

    fn apply_one(&mut self, change: &Change, warnings: &mut Vec<Warning>) -> Result<(), Warning> {
        match change {
            Change::Hydration { features, segments } => {
                let features: Vec<&RawValue> = features.iter().map(|raw| &**raw).collect();
                let segments: Vec<&RawValue> = segments.iter().map(|raw| &**raw).collect();
                // Events count from here on, so that a restored older upstream is believed.
                self.revision = None;
                let previous = self.clone();
                warnings.extend(self.replace(&features, &segments, &previous));
            }
            Change::FeatureUpdated(raw) => {
                self.insert(Arc::new(Feature::read(raw.get(), self.told())?), warnings);
            }
            Change::FeatureRemoved(name) => {
                self.features.remove(name);
            }
            Change::SegmentUpdated(raw) => {
                let segment = Segment::read(raw.get(), self.told())?;
                self.segments.insert(segment.id, Arc::new(segment));
            }
            Change::SegmentRemoved(id) => {
                self.segments.remove(id);
            }
            Change::Unknown(what) => {
                return Err(Warning::general(format!("a delta event `{what}` is skipped")));
            }
        }
        Ok(())
    }
}
