//! A context that remembers what was written to it, for tests.

use super::context::Entries;
use crate::engine::Root;

/// Wants every name but `unwanted`.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) written: Vec<String>,
}

impl Entries for Recorder {
    fn root(&mut self, field: Root, value: &str) {
        self.written.push(format!("top {}={value}", field.name()));
    }

    fn top(&mut self, name: &str, value: &str) {
        self.written.push(format!("top {name}={value}"));
    }

    fn property(&mut self, name: &str, value: &str) {
        self.written.push(format!("property {name}={value}"));
    }

    fn time_millis(&mut self, millis: i64) {
        self.written.push(format!("time {millis}"));
    }

    fn clear(&mut self) {
        self.written.clear();
    }

    fn wants(&self, name: &str) -> bool {
        name != "unwanted"
    }
}
