//! The first lane: ordinary data, where every answer must be the same.

use serde_json::Value;

use crate::support::{
    context::{Decision, TestContext, now_millis},
    excerpt::excerpt,
    generate::{Lane, Maker},
    naive::{Naive, Outcome},
    ours::{HOST, Ours},
    payload,
    yggdrasil::Yggdrasil,
};

const PAYLOADS: u64 = 260;
const FLAGS: usize = 20;
const CONTEXTS: usize = 20;
const AT_LEAST: usize = 100_000;

/// What was seen, so that a lane that compares nothing but "off" with "off" fails.
#[derive(Debug, Default)]
struct Seen {
    checks: usize,
    on: usize,
    variants: usize,
}

#[test]
fn ordinary_flags_are_decided_as_yggdrasil_decides_them() {
    let mut seen = Seen::default();
    for seed in 0..PAYLOADS {
        let mut maker = Maker::new(Lane::Ordinary, seed);
        let payload = maker.payload(FLAGS);
        let contexts: Vec<TestContext> = (0..CONTEXTS).map(|_| maker.context()).collect();
        let mut ours = Ours::new(&payload);
        let decide = |name: &str, context: &TestContext| ours.decide(name, context);
        compare(&payload, &contexts, decide, &mut seen);
    }
    seen.assert_telling();
}

#[test]
fn realistic_flags_are_decided_as_yggdrasil_decides_them() {
    let payload = payload::payload(1_000, 7);
    let contexts: Vec<TestContext> =
        payload::contexts(100, 7).iter().map(TestContext::from_json).collect();
    let mut ours = Ours::new(&payload);
    let mut seen = Seen::default();
    let decide = |name: &str, context: &TestContext| ours.decide(name, context);
    compare(&payload, &contexts, decide, &mut seen);
    seen.assert_telling();
}

/// Keeps the reference evaluator honest: what it says of ordinary flags is what Yggdrasil says.
#[test]
fn naive_evaluator_decides_ordinary_flags_as_yggdrasil_does() {
    let mut seen = Seen::default();
    let now = now_millis();
    for seed in 0..PAYLOADS {
        let mut maker = Maker::new(Lane::Ordinary, seed);
        let payload = maker.payload(FLAGS);
        let contexts: Vec<TestContext> = (0..CONTEXTS).map(|_| maker.context()).collect();
        let naive = Naive::new(&payload, HOST);
        let decide = |name: &str, context: &TestContext| match naive.decide(name, context, now) {
            Outcome::Sure(decision) => decision,
            outcome => panic!("`{name}`: {outcome:?}, so the lane is not ordinary"),
        };
        compare(&payload, &contexts, decide, &mut seen);
    }
    seen.assert_telling();
}

fn compare(
    payload: &Value,
    contexts: &[TestContext],
    mut decide: impl FnMut(&str, &TestContext) -> Decision,
    seen: &mut Seen,
) {
    let theirs = Yggdrasil::new(payload);
    for flag in payload["features"].as_array().unwrap() {
        let name = flag["name"].as_str().unwrap();
        for context in contexts {
            let (our, their) = (decide(name, context), theirs.decide(name, context));
            assert!(
                our == their,
                "flag: {name}\npayload: {}\ncontext: {}\nours: {our:?}\nyggdrasil's: {their:?}",
                excerpt(payload, name),
                context.to_json(),
            );
            seen.checks += 1;
            seen.on += usize::from(our.enabled);
            seen.variants += usize::from(our.variant.is_some());
        }
    }
}

// === impl Seen ===

impl Seen {
    fn assert_telling(&self) {
        println!("{self:?}");
        assert!(self.checks >= AT_LEAST, "too few checks: {self:?}");
        assert!(self.on > self.checks / 10 && self.on < self.checks * 9 / 10, "{self:?}");
        assert!(self.variants > self.checks / 50, "{self:?}");
    }
}
