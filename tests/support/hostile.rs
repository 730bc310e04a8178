//! Payloads and contexts that nobody would send, or only somebody would.

use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Map, Number, Value, json};

use crate::support::{
    generate::{Lane, Maker},
    payload::Rng,
};

/// Names that the payload's own objects use, so that wrong types stand in the right places.
const KEYS: [&str; 24] = [
    "features",
    "segments",
    "name",
    "enabled",
    "strategies",
    "variants",
    "dependencies",
    "parameters",
    "constraints",
    "contextName",
    "operator",
    "values",
    "value",
    "inverted",
    "caseInsensitive",
    "weight",
    "stickiness",
    "payload",
    "overrides",
    "feature",
    "groupId",
    "rollout",
    "project",
    "impressionData",
];

/// Texts that break parsers, hashes and renderers.
const TEXTS: [&str; 20] = [
    "",
    " ",
    "\0",
    "\u{1f}\u{7f}\u{80}",
    "\u{2028}\u{2029}\u{feff}",
    "\u{202e}abc",
    "e\u{301}",
    "😊👩‍👩‍👧‍👦",
    "\"\\\n\r\t</script>",
    "ß",
    "İ",
    "Σ",
    "__proto__",
    "constructor",
    "999999999999999999999999999999",
    "1e309",
    "-1e-400",
    "9999-99-99T99:99:99Z",
    "18446744073709551616.0.0",
    "((((((((((((((((a*)*)*)*)*)*)*)*)*)*)*)*)*)*)*)*",
];

/// Any text, often one that hurts.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        select(TEXTS.as_slice()).prop_map(str::to_owned),
        select(KEYS.as_slice()).prop_map(str::to_owned),
        "\\PC{0,12}",
        "[a-z0-9.:/-]{0,24}",
        any::<String>(),
    ]
}

/// Any JSON value, with the payload's key names in its objects.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(|f| Number::from_f64(f).map_or(Value::Null, Value::Number)),
        any_text().prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 48, 6, |inner| {
        let key = prop_oneof![select(KEYS.as_slice()).prop_map(str::to_owned), any_text()];
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            vec((key, inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// A payload that was good until `wounds` were made: each puts a value where another one was.
pub(crate) fn wounded_payload() -> impl Strategy<Value = Value> {
    (any::<u64>(), vec((any::<u64>(), any_json()), 0..12)).prop_map(|(seed, wounds)| {
        let mut maker = Maker::new(Lane::Aimed, seed);
        let mut payload = maker.payload(8);
        entangle(&mut payload, &mut maker.rng);
        for (path, wound) in wounds {
            replace_somewhere(&mut payload, &mut Rng::new(path), wound);
        }
        // Without these lists there is no payload at all.
        for list in ["features", "segments"] {
            if !payload[list].is_array() {
                payload[list] = json!([]);
            }
        }
        payload
    })
}

/// Cycles, parents of themselves, names used twice.
fn entangle(payload: &mut Value, rng: &mut Rng) {
    let Value::Array(features) = &mut payload["features"] else { return };
    if rng.chance(50) {
        features[0]["dependencies"] = json!([{ "feature": features[1]["name"] }]);
        features[1]["dependencies"] = json!([{ "feature": features[0]["name"] }]);
    }
    if rng.chance(50) {
        features[2]["dependencies"] = json!([{ "feature": features[2]["name"] }]);
    }
    if rng.chance(50) {
        features[3]["name"] = features[4]["name"].clone();
    }
}

/// Walks down at random and replaces what it ends at, never the payload itself.
fn replace_somewhere(value: &mut Value, rng: &mut Rng, wound: Value) {
    let stops = rng.chance(12);
    match value {
        Value::Object(object) if !object.is_empty() => {
            let index = rng.below(object.len() as u64) as usize;
            let child = object.values_mut().nth(index).unwrap();
            if stops { *child = wound } else { replace_somewhere(child, rng, wound) }
        }
        Value::Array(array) if !array.is_empty() => {
            let index = rng.below(array.len() as u64) as usize;
            if stops {
                array[index] = wound
            } else {
                replace_somewhere(&mut array[index], rng, wound)
            }
        }
        leaf => *leaf = wound,
    }
}
