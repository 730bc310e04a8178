//! Both engines, ready to be asked: the same payload, the same contexts, nothing left to parse.

#![allow(dead_code, reason = "each crate that includes this file uses its part of it")]

use std::collections::HashMap;

use offleash::engine::{
    Context, ContextWriter, Features, Host, Plan, Profile, Projects, Scratch, Show, compile,
};
use serde_json::Value;
use unleash_types::client_features::{ClientFeatures, Context as TheirContext};
use unleash_yggdrasil::{EngineState, ResolvedToggle};

/// The instant of every evaluation.
pub(crate) const NOW_MILLIS: i64 = 1_795_305_600_000;

/// Our engine with the memory that a worker keeps between requests.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) plan: Plan,
    pub(crate) context: Context,
    pub(crate) scratch: Scratch,
    pub(crate) body: Vec<u8>,
}

/// Yggdrasil, holding the same flags.
pub(crate) struct Theirs {
    pub(crate) state: EngineState,
}

/// A context as a list of names and values, as a parsed query string is.
#[derive(Clone, Debug)]
pub(crate) struct Fields(Vec<Field>);

#[derive(Clone, Debug)]
struct Field {
    level: Level,
    name: String,
    value: String,
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Top,
    Property,
}

// === impl Ours ===

impl Ours {
    /// Compiles `payload`, in which nothing may be wrong.
    pub(crate) fn new(payload: &Value) -> Self {
        let text = payload.to_string();
        let (features, warnings) = Features::parse(text.as_bytes()).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        let (plan, warnings) = compile(&features, &Projects::All, &Host::default());
        assert!(warnings.is_empty(), "{warnings:?}");
        Self { plan, context: Context::new(), scratch: Scratch::new(), body: Vec::new() }
    }

    /// What a request costs between its parsed query and its written answer. Returns the tag.
    #[inline]
    pub(crate) fn answer(&mut self, fields: &Fields, show: Show, profile: Profile) -> u128 {
        self.fill(fields);
        self.body.clear();
        let answer = self.plan.evaluate_all(&self.context, &mut self.scratch, show);
        let tag = answer.tag(profile);
        answer.render_into(profile, &mut self.body);
        tag
    }

    #[inline]
    pub(crate) fn fill(&mut self, fields: &Fields) {
        fields.write(self.context.start(&self.plan, NOW_MILLIS, 1));
    }

    /// Whether a flag that exists is on for the context that is filled in.
    #[inline]
    pub(crate) fn is_enabled(&mut self, name: &str) -> bool {
        let Some(flag) = self.plan.flag(name) else { return false };
        self.plan.evaluate_one(flag, &self.context, &mut self.scratch).enabled
    }

    /// The names of the flags that the last answer shows, in its order.
    pub(crate) fn shown(&self) -> Vec<String> {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        let toggles = body["toggles"].as_array().unwrap();
        toggles.iter().map(|toggle| toggle["name"].as_str().unwrap().to_owned()).collect()
    }
}

// === impl Theirs ===

impl Theirs {
    pub(crate) fn new(payload: &Value) -> Self {
        let state = EngineState::initial_state(chrono::Utc::now());
        let warnings = state.apply_client_features(their_features(payload));
        assert!(warnings.is_none_or(|warnings| warnings.is_empty()));
        Self { state }
    }

    #[inline]
    pub(crate) fn resolve_all(&self, context: &TheirContext) -> HashMap<String, ResolvedToggle> {
        self.state.resolve_all(context, &None).unwrap()
    }

    #[inline]
    pub(crate) fn is_enabled(&self, name: &str, context: &TheirContext) -> bool {
        self.state.is_enabled(name, context, &None)
    }

    /// The names of the flags that are on, sorted.
    pub(crate) fn enabled(&self, context: &TheirContext) -> Vec<String> {
        let resolved = self.resolve_all(context);
        let mut names: Vec<String> =
            resolved.into_iter().filter(|(_, flag)| flag.enabled).map(|(name, _)| name).collect();
        names.sort_unstable();
        names
    }
}

pub(crate) fn their_features(payload: &Value) -> ClientFeatures {
    serde_json::from_value(payload.clone()).unwrap()
}

pub(crate) fn their_context(context: &Value) -> TheirContext {
    serde_json::from_value(context.clone()).unwrap()
}

// === impl Fields ===

impl Fields {
    pub(crate) fn new(context: &Value) -> Self {
        let mut fields = Vec::new();
        for (name, value) in context.as_object().unwrap() {
            match value {
                Value::Object(properties) => fields.extend(
                    properties.iter().map(|(name, value)| Field::new(Level::Property, name, value)),
                ),
                value => fields.push(Field::new(Level::Top, name, value)),
            }
        }
        Self(fields)
    }

    #[inline]
    pub(crate) fn write(&self, mut writer: ContextWriter<'_>) {
        for field in &self.0 {
            match field.level {
                Level::Top => writer.top(&field.name, &field.value),
                Level::Property => writer.property(&field.name, &field.value),
            }
        }
    }
}

// === impl Field ===

impl Field {
    fn new(level: Level, name: &str, value: &Value) -> Self {
        let (name, value) = (name.to_owned(), value.as_str().unwrap().to_owned());
        Self { level, name, value }
    }
}
