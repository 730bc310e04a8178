//! The independent engine, asked in our nouns.

use std::collections::HashMap;

use serde_json::{Value, json};
use unleash_types::client_features::{ClientFeatures, Context};
use unleash_yggdrasil::EngineState;

use crate::support::context::{Decision, TestContext, Variant};

/// A payload compiled by Yggdrasil.
pub(crate) struct Yggdrasil(EngineState);

// === impl Yggdrasil ===

impl Yggdrasil {
    /// Compiles `payload`, all of which Yggdrasil must understand.
    pub(crate) fn new(payload: &Value) -> Self {
        let (state, warnings) = Self::with_warnings(payload);
        assert!(warnings.is_empty(), "the payload is not ordinary: {warnings:#?}");
        state
    }

    /// Compiles `payload` and returns the texts of what Yggdrasil turned off.
    pub(crate) fn with_warnings(payload: &Value) -> (Self, Vec<String>) {
        let features: ClientFeatures = serde_json::from_value(payload.clone()).unwrap();
        let state = EngineState::initial_state(chrono::Utc::now());
        let warnings = state.apply_client_features(features).unwrap_or_default();
        let texts = warnings.iter().map(|w| format!("{}: {}", w.toggle_name, w.message));
        (Self(state), texts.collect())
    }

    /// What the flag `name` is for `context`; a flag that is not there is off.
    pub(crate) fn decide(&self, name: &str, context: &TestContext) -> Decision {
        let Some(toggle) = self.0.resolve(name, &native(context), &None) else {
            return Decision::default();
        };
        let variant = toggle.variant.enabled.then(|| Variant {
            name: toggle.variant.name.clone(),
            payload: toggle
                .variant
                .payload
                .as_ref()
                .map(|payload| json!({ "type": payload.payload_type, "value": payload.value })),
        });
        Decision { enabled: toggle.enabled, variant }
    }

    pub(crate) fn is_on(&self, name: &str, context: &TestContext) -> bool {
        self.decide(name, context).enabled
    }
}

fn native(context: &TestContext) -> Context {
    let mut slots: HashMap<String, String> = context.slots().into_iter().collect();
    Context {
        user_id: slots.remove("userId"),
        session_id: slots.remove("sessionId"),
        environment: slots.remove("environment"),
        app_name: slots.remove("appName"),
        current_time: slots.remove("currentTime"),
        remote_address: slots.remove("remoteAddress"),
        properties: Some(slots),
    }
}
