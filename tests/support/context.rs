//! A context and a decision, before any engine has its own form of them.

use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

use offleash::engine::ContextWriter;
use serde_json::{Map, Value, json};

/// The fields that are not properties.
pub(crate) const ROOTS: [&str; 6] =
    ["userId", "sessionId", "environment", "appName", "remoteAddress", "currentTime"];

/// What a caller sends: top-level entries and entries of `properties`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TestContext {
    pub(crate) top: Vec<(String, String)>,
    pub(crate) properties: Vec<(String, String)>,
    /// `currentTime` as a JSON number.
    pub(crate) time_millis: Option<i64>,
}

/// What a flag is for a context, whoever decided it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Decision {
    pub(crate) enabled: bool,
    pub(crate) variant: Option<Variant>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Variant {
    pub(crate) name: String,
    pub(crate) payload: Option<Value>,
}

/// The machine's clock, in Unix milliseconds.
pub(crate) fn now_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

// === impl TestContext ===

impl TestContext {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A context with nothing but this user.
    pub(crate) fn user(id: &str) -> Self {
        Self::new().top("userId", id)
    }

    pub(crate) fn top(mut self, name: &str, value: &str) -> Self {
        self.top.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn property(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Reads the JSON form. Only strings have a value here: the tests that send others say so.
    pub(crate) fn from_json(json: &Value) -> Self {
        let mut context = Self::new();
        for (name, value) in json.as_object().into_iter().flatten() {
            if let Value::String(value) = value {
                context.top.push((name.clone(), value.clone()));
            }
        }
        for (name, value) in json["properties"].as_object().into_iter().flatten() {
            if let Value::String(value) = value {
                context.properties.push((name.clone(), value.clone()));
            }
        }
        context
    }

    /// The form a client sends.
    pub(crate) fn to_json(&self) -> Value {
        let mut object: Map<String, Value> =
            self.top.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        if let Some(millis) = self.time_millis {
            object.insert("currentTime".to_owned(), json!(millis));
        }
        let properties: Map<String, Value> =
            self.properties.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        if !properties.is_empty() {
            object.insert("properties".to_owned(), Value::Object(properties));
        }
        Value::Object(object)
    }

    /// Writes the entries into a context of the engine.
    pub(crate) fn write(&self, mut writer: ContextWriter<'_>) {
        for (name, value) in &self.top {
            writer.top(name, value);
        }
        for (name, value) in &self.properties {
            writer.property(name, value);
        }
        if let Some(millis) = self.time_millis {
            writer.root_time_millis(millis);
        }
    }

    /// One value per name (evaluation.md 2.1): a root field wins over its namesake in `properties`,
    /// any other top-level entry yields to it.
    pub(crate) fn slots(&self) -> BTreeMap<String, String> {
        let is_root = |name: &str| ROOTS.contains(&name);
        let (roots, flat): (Vec<_>, Vec<_>) =
            self.top.iter().partition(|(name, _)| is_root(name.as_str()));
        let mut slots = BTreeMap::new();
        for (name, value) in flat.into_iter().chain(&self.properties).chain(roots) {
            slots.insert(name.clone(), value.clone());
        }
        slots
    }
}
