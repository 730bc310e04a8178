//! What the conditions of a group compare with.

use std::sync::Arc;

use memchr::memmem;
use regex::Regex;

use crate::engine::{
    plan::{
        definition::{Comparison, Definition, Place, Predicate, Version},
        values::{ValueCache, ValueSets},
    },
    value::{date::Instant, network::Networks},
};

/// How a group decides its conditions.
#[derive(Debug)]
pub(super) enum Form {
    In(Arc<ValueSets>),
    Numbers(Box<[(Comparison, f64)]>),
    Dates(Box<[(Comparison, Instant)]>),
    Versions(Box<[(Comparison, Version)]>),
    Networks(Box<[Networks]>),
    // The dear ones stand alone: decided only when a strategy gets as far as asking.
    Text(Needles),
    Pattern { regex: Regex, case_insensitive: bool },
}

#[derive(Debug)]
pub(super) struct Needles {
    pub(super) place: Place,
    pub(super) folded: bool,
    pub(super) needles: Box<[memmem::Finder<'static>]>,
}

// === impl Form ===

impl Form {
    /// The form for predicates of one family. `None` for none.
    pub(super) fn of(members: &[&Arc<Definition>], values: &mut ValueCache) -> Option<Self> {
        Some(match &members.first()?.predicate {
            Predicate::In(_) => Self::In(values.get(members)),
            Predicate::Number(..) => Self::Numbers(gather(members, |predicate| match predicate {
                Predicate::Number(comparison, number) => Some((*comparison, number.0)),
                _ => None,
            })),
            Predicate::Date(..) => Self::Dates(gather(members, |predicate| match predicate {
                Predicate::Date(comparison, instant) => Some((*comparison, *instant)),
                _ => None,
            })),
            Predicate::Version(..) => {
                Self::Versions(gather(members, |predicate| match predicate {
                    Predicate::Version(comparison, version) => Some((*comparison, version.clone())),
                    _ => None,
                }))
            }
            Predicate::Network(_) => Self::Networks(gather(members, |predicate| match predicate {
                Predicate::Network(networks) => Some(networks.clone()),
                _ => None,
            })),
            Predicate::Text { place, needles, folded } => Self::Text(Needles {
                place: *place,
                folded: *folded,
                needles: needles
                    .iter()
                    .map(|needle| memmem::Finder::new(needle.as_bytes()).into_owned())
                    .collect(),
            }),
            Predicate::Pattern(pattern) => Self::Pattern {
                regex: pattern.regex.clone(),
                case_insensitive: pattern.case_insensitive,
            },
        })
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::In(sets) => sets.bytes(),
            Self::Numbers(list) => size_of_val(&**list),
            Self::Dates(list) => size_of_val(&**list),
            Self::Versions(list) => size_of_val(&**list),
            Self::Networks(list) => {
                size_of_val(&**list) + list.iter().map(Networks::bytes).sum::<usize>()
            }
            Self::Text(needles) => size_of_val(&*needles.needles),
            // What a pattern holds is the library's secret; its source is a floor.
            Self::Pattern { regex, .. } => regex.as_str().len(),
        }
    }
}

fn gather<T>(members: &[&Arc<Definition>], part: impl Fn(&Predicate) -> Option<T>) -> Box<[T]> {
    members.iter().filter_map(|member| part(&member.predicate)).collect()
}

// === impl Needles ===

impl Needles {
    pub(super) fn found_in(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.needles.iter().any(|finder| match self.place {
            Place::Start => text.starts_with(finder.needle()),
            Place::End => text.ends_with(finder.needle()),
            Place::Anywhere => finder.find(text).is_some(),
        })
    }
}
