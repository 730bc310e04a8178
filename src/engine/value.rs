//! Texts that mean something: numbers, dates, versions, networks.

pub(in crate::engine) mod date;
pub(in crate::engine) mod fold;
pub(in crate::engine) mod network;
pub(in crate::engine) mod number;
pub(in crate::engine) mod version;

/// Whether `text` reads as a time wherever one is expected (`spec/evaluation.md` 2.5).
pub fn is_time(text: &str) -> bool {
    date::parse(text).is_some()
}
