//! Small payloads around one flag, `f`, and what both engines say of it.

use serde_json::{Value, json};

use crate::support::{
    context::{Decision, TestContext},
    naive_text::murmur3,
    ours::Ours,
    yggdrasil::Yggdrasil,
};

/// A payload of these flags.
pub(crate) fn payload(features: &[Value]) -> Value {
    json!({ "version": 2, "features": features, "segments": [] })
}

/// A payload of `f` alone, with these strategies.
pub(crate) fn flag(strategies: Value) -> Value {
    payload(&[json!({ "name": "f", "enabled": true, "strategies": strategies })])
}

/// `f` with one strategy that has these parameters.
pub(crate) fn strategy(name: &str, parameters: Value) -> Value {
    flag(json!([{ "name": name, "parameters": parameters }]))
}

/// `f`, on where `field operator operand` holds; `operand` is merged into the constraint.
pub(crate) fn constraint(field: &str, operator: &str, operand: Value) -> Value {
    let mut constraint = json!({ "contextName": field, "operator": operator });
    let Value::Object(operand) = operand else { panic!("an operand is an object") };
    constraint.as_object_mut().unwrap().extend(operand);
    flag(json!([{ "name": "default", "parameters": {}, "constraints": [constraint] }]))
}

/// Whether `f` is on for us.
pub(crate) fn ours(payload: &Value, context: &TestContext) -> bool {
    decision(payload, context).enabled
}

pub(crate) fn decision(payload: &Value, context: &TestContext) -> Decision {
    Ours::new(payload).decide("f", context)
}

/// Whether `f` is on for Yggdrasil, which may have turned it off as a whole.
pub(crate) fn theirs(payload: &Value, context: &TestContext) -> bool {
    Yggdrasil::with_warnings(payload).0.is_on("f", context)
}

/// Asserts our answer and theirs.
pub(crate) fn assert_both(payload: &Value, context: &TestContext, our: bool, their: bool) {
    assert_eq!(ours(payload, context), our, "ours: {payload} {context:?}");
    assert_eq!(theirs(payload, context), their, "Yggdrasil's: {payload} {context:?}");
}

/// Asserts our answer to a constraint, plain and inverted.
pub(crate) fn assert_ours(
    (field, operator, operand): (&str, &str, Value),
    context: &TestContext,
    plain: bool,
    inverted: bool,
) {
    for (is_inverted, expected) in [(false, plain), (true, inverted)] {
        let mut operand = operand.clone();
        operand["inverted"] = json!(is_inverted);
        let payload = constraint(field, operator, operand);
        assert_eq!(ours(&payload, context), expected, "{payload} {context:?}");
    }
}

/// A user whose rollout bucket in `group` is `bucket`.
pub(crate) fn user_in_bucket(group: &str, bucket: u32) -> TestContext {
    let user = (0..).map(|n| format!("u{n}"));
    let mut user =
        user.filter(|u| murmur3(format!("{group}:{u}").as_bytes(), 0) % 100 + 1 == bucket);
    TestContext::user(&user.next().unwrap())
}

/// Users enough to tell two ways of hashing apart.
pub(crate) fn users() -> impl Iterator<Item = TestContext> {
    (0..200).map(|n| TestContext::user(&format!("user-{n}")))
}
