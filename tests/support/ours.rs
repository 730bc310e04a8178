//! The engine under test, asked through its public face.

use offleash::engine::{
    Context, Features, Host, Plan, Profile, Projects, Scratch, Show, Warning, compile,
};
use serde_json::Value;

use crate::support::context::{Decision, TestContext, Variant, now_millis};

/// The host name that tests run under.
pub(crate) const HOST: &str = "Test-Host";

/// A compiled payload with the memory to evaluate it.
#[derive(Debug)]
pub(crate) struct Ours {
    pub(crate) plan: Plan,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) now_millis: i64,
    /// Decides every random draw.
    pub(crate) seed: u64,
    context: Context,
    scratch: Scratch,
}

// === impl Ours ===

impl Ours {
    /// Compiles a payload that must be readable as a whole.
    pub(crate) fn new(payload: &Value) -> Self {
        Self::from_bytes(&serde_json::to_vec(payload).unwrap())
    }

    pub(crate) fn from_bytes(payload: &[u8]) -> Self {
        let (features, warnings) = Features::parse(payload).unwrap();
        let mut ours = Self::from_features(&features);
        ours.warnings.splice(0..0, warnings);
        ours
    }

    pub(crate) fn from_features(features: &Features) -> Self {
        let host = Host { name: HOST.to_owned() };
        let (plan, warnings) = compile(features, &Projects::All, &host);
        Self {
            plan,
            warnings,
            now_millis: now_millis(),
            seed: 1,
            context: Context::new(),
            scratch: Scratch::new(),
        }
    }

    /// What the flag `name` is for `context`; a flag that is not there is off.
    pub(crate) fn decide(&mut self, name: &str, context: &TestContext) -> Decision {
        let Some(flag) = self.plan.flag(name) else { return Decision::default() };
        context.write(self.context.start(&self.plan, self.now_millis, self.seed));
        let verdict = self.plan.evaluate_one(flag, &self.context, &mut self.scratch);
        let variant = verdict.variant.map(|name| Variant {
            name: name.to_owned(),
            payload: verdict.payload.map(|json| serde_json::from_str(json).unwrap()),
        });
        Decision { enabled: verdict.enabled, variant }
    }

    pub(crate) fn is_on(&mut self, name: &str, context: &TestContext) -> bool {
        self.decide(name, context).enabled
    }

    /// The whole list's bytes and tag.
    pub(crate) fn list(
        &mut self,
        context: &TestContext,
        show: Show,
        profile: Profile,
    ) -> (Vec<u8>, u128) {
        context.write(self.context.start(&self.plan, self.now_millis, self.seed));
        let answer = self.plan.evaluate_all(&self.context, &mut self.scratch, show);
        let mut body = Vec::new();
        answer.render_into(profile, &mut body);
        (body, answer.tag(profile))
    }

    /// The bytes and tag of exactly these flags.
    pub(crate) fn named(
        &mut self,
        context: &TestContext,
        names: &[String],
        profile: Profile,
    ) -> (Vec<u8>, u128) {
        context.write(self.context.start(&self.plan, self.now_millis, self.seed));
        let answer = self.plan.evaluate_named(&self.context, &mut self.scratch, names);
        let mut body = Vec::new();
        answer.render_into(profile, &mut body);
        (body, answer.tag(profile))
    }
}

/// What a rendered body says of the flag `name`: `None` where it is not listed.
pub(crate) fn read_toggle(body: &[u8], name: &str) -> Option<Decision> {
    let body: Value = serde_json::from_slice(body).unwrap();
    let toggle = body["toggles"].as_array().unwrap().iter().find(|t| t["name"] == name)?;
    Some(read_decision(toggle))
}

/// What one element of `toggles` says.
pub(crate) fn read_decision(toggle: &Value) -> Decision {
    let variant = &toggle["variant"];
    let is_chosen = variant["enabled"] == Value::Bool(true);
    let payload = variant.get("payload").filter(|payload| !payload.is_null()).cloned();
    let name = variant["name"].as_str().unwrap().to_owned();
    Decision {
        enabled: toggle["enabled"] == Value::Bool(true),
        variant: is_chosen.then_some(Variant { name, payload }),
    }
}
