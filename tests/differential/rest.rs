//! Rows of sections 1, 2, 5, 6, 7 and 9 about payloads, contexts, parents and variants.

use offleash::engine::{Context, Delta, Features, Host, Projects, Root, Scratch, compile};
use serde_json::{Value, json};
use unleash_types::client_features::ClientFeatures;

use super::small::{assert_both, constraint, decision, flag, ours, payload, theirs, users};
use crate::support::{
    context::{Decision, TestContext, Variant},
    ours::Ours,
    yggdrasil::Yggdrasil,
};

fn plain(name: &str) -> Value {
    json!({ "name": name, "enabled": true, "strategies": [] })
}

/// A child `f` of `parent`.
fn child(dependency: Value) -> Value {
    let mut child = plain("f");
    child["dependencies"] = json!([dependency]);
    child
}

fn chosen(name: &str) -> Decision {
    Decision { enabled: true, variant: Some(Variant { name: name.to_owned(), payload: None }) }
}

#[test]
fn d1_flag_without_strategies_is_on() {
    assert_both(
        &payload(&[json!({ "name": "f", "enabled": true })]),
        &TestContext::new(),
        true,
        true,
    );
    for strategies in [Value::Null, json!([])] {
        assert_both(&flag(strategies), &TestContext::new(), true, true);
    }
}

#[test]
fn d4_type_error_stays_where_it_is() {
    let with = |key: &str, value: Value| {
        let mut flag = plain("f");
        flag[key] = value;
        flag
    };
    let strategy = |strategy: Value| with("strategies", json!([strategy]));
    let listed = |constraint: Value| {
        let mut whole = json!({ "contextName": "userId", "operator": "IN", "values": ["1"] });
        whole.as_object_mut().unwrap().extend(constraint.as_object().unwrap().clone());
        strategy(json!({ "name": "default", "constraints": [whole] }))
    };
    // The flag, and whether it is still on for user 1.
    let wounded = [
        (strategy(json!({ "name": "flexibleRollout", "parameters": { "rollout": 100 } })), true),
        (listed(json!({ "inverted": null })), true),
        (listed(json!({ "values": ["1", null] })), true),
        (listed(json!({ "operator": "NUM_EQ", "value": 1 })), true),
        (with("createdAt", json!("yesterday")), true),
        (with("variants", json!([{ "name": "v", "weight": 1.5 }])), true),
        (with("enabled", json!("yes")), false),
        (with("enabled", Value::Null), false),
        (with("strategies", json!("default")), false),
        (strategy(json!({ "name": 7 })), false),
        (listed(json!({ "operator": ["IN"] })), false),
    ];
    for (flag, is_on) in wounded {
        let payload = payload(&[plain("before"), flag, plain("after")]);
        assert!(serde_json::from_value::<ClientFeatures>(payload.clone()).is_err(), "{payload}");
        let mut ours = Ours::new(&payload);
        assert_eq!(ours.is_on("f", &TestContext::user("1")), is_on, "{payload}");
        assert!(ours.is_on("before", &TestContext::new()), "{payload}");
        assert!(ours.is_on("after", &TestContext::new()), "{payload}");
    }
}

#[test]
fn d4_payload_without_features_is_refused() {
    for json in ["", "{}", "[]", "null", "{\"features\":{}}", "{\"events\":[]}", "{\"features\":["]
    {
        assert!(Features::parse(json.as_bytes()).is_err(), "{json}");
    }
    let (features, warnings) = Features::parse(b"{\"features\":[]}").unwrap();
    assert!(features.is_empty() && warnings.is_empty());
}

#[test]
fn d16_parameter_decides_the_stickiness_of_strategy_variants() {
    let variants = |stickiness: &str| {
        json!([
            { "name": "a", "weight": 1, "stickiness": stickiness },
            { "name": "b", "weight": 1, "stickiness": stickiness },
        ])
    };
    let with = |parameters: Value, stickiness: &str| {
        let variants = variants(stickiness);
        flag(json!([{ "name": "default", "parameters": parameters, "variants": variants }]))
    };
    let by_user = with(json!({ "stickiness": "userId" }), "tenant");
    let by_tenant = with(json!({}), "tenant");
    let empty_parameter = with(json!({ "stickiness": "" }), "tenant");
    let they_by_tenant = Yggdrasil::new(&by_tenant);
    let [mut user, mut tenant, mut empty, mut plain] =
        [&by_user, &by_tenant, &empty_parameter, &with(json!({}), "default")].map(Ours::new);
    let mut they_differ = false;
    for n in 0..50 {
        let id = n.to_string();
        let both = TestContext::user(&id).property("tenant", "t");
        assert_eq!(user.decide("f", &both), plain.decide("f", &TestContext::user(&id)));
        // The same tenant has the same variant whoever it is, and as a user of that name has.
        assert_eq!(tenant.decide("f", &both), plain.decide("f", &TestContext::user("t")));
        assert_eq!(empty.decide("f", &both), tenant.decide("f", &both));
        they_differ |= they_by_tenant.decide("f", &both) != tenant.decide("f", &both);
    }
    assert!(they_differ, "Yggdrasil does not look at the variant's stickiness");
}

/// Yggdrasil is not asked: it divides by the total.
#[test]
fn d17_variants_without_weight_are_none() {
    let weightless = json!([{ "name": "a", "weight": 0 }, { "name": "b", "weight": -3 }]);
    let mut with_none = plain("f");
    with_none["variants"] = weightless.clone();
    let none = Decision { enabled: true, variant: None };
    for context in [TestContext::new(), TestContext::user("1")] {
        assert_eq!(decision(&payload(&[with_none.clone()]), &context), none);
    }
    // A strategy's set that yields nothing gives way to the flag's.
    let falls_back = json!({
        "name": "f", "enabled": true,
        "strategies": [{ "name": "default", "variants": weightless }],
        "variants": [{ "name": "legacy", "weight": 1 }],
    });
    assert_eq!(decision(&payload(&[falls_back]), &TestContext::new()), chosen("legacy"));
}

#[test]
fn d20_parent_without_variants_has_the_variant_disabled() {
    let wants = |names: Value| {
        payload(&[plain("parent"), child(json!({ "feature": "parent", "variants": names }))])
    };
    assert_both(&wants(json!(["v1"])), &TestContext::new(), false, true);
    assert_both(&wants(json!(["disabled"])), &TestContext::new(), true, true);
    assert_both(&wants(json!([])), &TestContext::new(), true, true);
    assert_both(&wants(Value::Null), &TestContext::new(), true, true);
}

#[test]
fn d21_variants_of_a_parent_that_must_be_off_are_ignored() {
    let parent = json!({
        "name": "parent", "enabled": false, "strategies": [],
        "variants": [{ "name": "v0", "weight": 1 }],
    });
    let dependency = json!({ "feature": "parent", "enabled": false, "variants": ["other"] });
    assert_both(&payload(&[parent, child(dependency)]), &TestContext::new(), true, false);
}

/// Section 6.
#[test]
fn parents_are_asked_one_level_deep() {
    let cases = [
        (json!({ "feature": "nobody" }), false),
        (json!({ "feature": "nobody", "enabled": false }), false),
        (json!({ "feature": "f" }), false),
        (json!({ "feature": "middle" }), false),
        (json!({ "feature": "middle", "enabled": false }), false),
        (json!({ "feature": "root" }), true),
        (json!({ "feature": "root", "enabled": null }), true),
        (json!({ "feature": "root", "enabled": false }), false),
        (json!({ "feature": "off", "enabled": false }), true),
        (json!({ "feature": "off" }), false),
        (json!({ "feature": "off", "variants": ["disabled"] }), false),
    ];
    let mut middle = plain("middle");
    middle["dependencies"] = json!([{ "feature": "root" }]);
    let mut root = plain("root");
    root["dependencies"] = json!([]);
    let off = json!({ "name": "off", "enabled": false, "strategies": [] });
    for (dependency, expected) in cases {
        let features = [root.clone(), middle.clone(), off.clone(), child(dependency)];
        assert_both(&payload(&features), &TestContext::new(), expected, expected);
    }
}

/// Section 6: every parent counts, the server repeats some of them, and off stays off.
#[test]
fn all_parents_must_be_satisfied() {
    let off = json!({ "name": "off", "enabled": false });
    let mut both = child(json!({ "feature": "on" }));
    both["dependencies"] = json!([{ "feature": "on" }, { "feature": "on" }]);
    assert_both(&payload(&[plain("on"), both.clone()]), &TestContext::new(), true, true);
    let mut disabled = both.clone();
    disabled["enabled"] = json!(false);
    assert_both(&payload(&[plain("on"), disabled]), &TestContext::new(), false, false);
    both["dependencies"] = json!([{ "feature": "on" }, { "feature": "off" }]);
    assert_both(&payload(&[plain("on"), off, both]), &TestContext::new(), false, false);
}

/// Section 2.1: one slot per name.
#[test]
fn d28_every_name_has_one_value() {
    let is = |field: &str, wanted: &str| constraint(field, "IN", json!({ "values": [wanted] }));
    let new = TestContext::new;
    let cases = [
        (is("userId", "root"), new().top("userId", "root").property("userId", "property"), true),
        (is("userId", "property"), new().property("userId", "property"), true),
        (is("x", "property"), new().top("x", "flat").property("x", "property"), true),
        (is("x", "property"), new().property("x", "property").top("x", "flat"), true),
        (is("x", "flat"), new().top("x", "flat"), true),
        (is("X", "flat"), new().top("x", "flat"), false),
        (is("properties", "flat"), new().top("properties", "flat"), true),
        (is("__proto__", "v"), new().property("__proto__", "v"), true),
        (is("constructor", "v"), new(), false),
    ];
    for (payload, context, expected) in cases {
        assert_eq!(ours(&payload, &context), expected, "{payload} {context:?}");
    }
    // A promoted user is the one that strategies see.
    let parameters = json!({ "userIds": "7" });
    let payload = flag(json!([{ "name": "userWithId", "parameters": parameters }]));
    assert!(ours(&payload, &new().property("userId", "7")));
    assert!(!ours(&payload, &new().property("userId", "7").top("userId", "8")));
}

#[test]
fn d28_forced_values_win_and_filled_ones_yield() {
    let payload = constraint("environment", "IN", json!({ "values": ["ours"] }));
    let (features, _) = Features::parse(&serde_json::to_vec(&payload).unwrap()).unwrap();
    let (plan, _) = compile(&features, &Projects::All, &Host::default());
    let (mut context, mut scratch) = (Context::new(), Scratch::new());
    let flag = plan.flag("f").unwrap();

    let mut writer = context.start(&plan, 0, 0);
    writer.force(Root::Environment, "ours");
    writer.top("environment", "theirs");
    writer.fill(Root::Environment, "nobody's");
    assert!(plan.evaluate_one(flag, &context, &mut scratch).enabled);

    let mut writer = context.start(&plan, 0, 0);
    assert!(!writer.has(Root::Environment), "a new start forgets");
    writer.property("environment", "theirs");
    writer.fill(Root::Environment, "ours");
    assert!(!plan.evaluate_one(flag, &context, &mut scratch).enabled);

    let mut writer = context.start(&plan, 0, 0);
    assert!(writer.wants("environment"));
    writer.fill(Root::Environment, "ours");
    assert!(plan.evaluate_one(flag, &context, &mut scratch).enabled);
}

#[test]
fn d32_unknown_event_is_skipped_and_asks_for_a_hydration() {
    let events = json!({ "events": [
        { "type": "future-event", "eventId": 1 },
        { "type": "feature-updated", "eventId": 2, "feature": plain("f") },
    ]});
    let mut features = Features::default();
    let applied = features.apply(&Delta::parse(events.to_string().as_bytes()).unwrap());
    assert!(applied.rehydrate);
    assert!(!applied.warnings.is_empty());
    assert!(Ours::from_features(&features).is_on("f", &TestContext::new()));
}

#[test]
fn d32_hydration_without_segments_has_none() {
    let with_segment = json!({ "name": "f", "enabled": true, "strategies": [
        { "name": "default", "segments": [1] },
    ]});
    let segment = json!({ "id": 1, "constraints": [] });
    let whole = json!({ "features": [with_segment], "segments": [segment] });
    let (mut features, _) = Features::parse(whole.to_string().as_bytes()).unwrap();
    assert!(Ours::from_features(&features).is_on("f", &TestContext::new()));
    let events =
        json!({ "events": [{ "type": "hydration", "eventId": 9, "features": [with_segment] }] });
    let applied = features.apply(&Delta::parse(events.to_string().as_bytes()).unwrap());
    assert!(!applied.rehydrate);
    assert_eq!(features.revision(), Some(9));
    assert!(!Ours::from_features(&features).is_on("f", &TestContext::new()));
}

/// Section 1.1.
#[test]
fn last_of_two_flags_with_one_name_counts() {
    let off = json!({ "name": "f", "enabled": false });
    assert_both(&payload(&[plain("f"), off.clone()]), &TestContext::new(), false, false);
    assert_both(&payload(&[off, plain("f")]), &TestContext::new(), true, true);
}

/// Sections 1.2 and 5.
#[test]
fn segments_hold_together_and_those_of_a_flag_are_ignored() {
    let is_user = |id: &str| json!([{ "contextName": "userId", "operator": "IN", "values": [id] }]);
    let with = |ids: Value| {
        let mut payload = flag(json!([{ "name": "default", "segments": ids }]));
        payload["segments"] = json!([
            { "id": 1, "constraints": is_user("1") },
            { "id": 2, "constraints": is_user("2") },
            { "id": 3, "constraints": [] },
        ]);
        payload["features"][0]["segments"] = json!([2]);
        payload
    };
    let cases = [
        (json!([1]), true),
        (json!([1, 1]), true),
        (json!([1, 3]), true),
        (json!([1, 2]), false),
        (json!([]), true),
        (Value::Null, true),
        (json!([99]), false),
    ];
    for (ids, expected) in cases {
        assert_both(&with(ids), &TestContext::user("1"), expected, expected);
    }
}

/// Section 7.2.
#[test]
fn override_comes_before_weights() {
    let mut flag = plain("f");
    flag["variants"] = json!([
        { "name": "a", "weight": 1 },
        { "name": "b", "weight": 0, "overrides": [{ "contextName": "tenant", "values": ["t"] }] },
        { "name": "c", "weight": 1, "overrides": [{ "contextName": "tenant", "values": ["t"] }] },
    ]);
    let payload = payload(&[flag]);
    let theirs = Yggdrasil::new(&payload);
    for user in users() {
        let context = user.property("tenant", "t");
        assert_eq!(decision(&payload, &context), chosen("b"));
        assert_eq!(theirs.decide("f", &context), chosen("b"));
    }
}

/// Section 7.2: a property called `random` is no stickiness.
#[test]
fn random_stickiness_is_random() {
    let mut flag = plain("f");
    flag["variants"] = json!([
        { "name": "a", "weight": 1, "stickiness": "random" },
        { "name": "b", "weight": 1 },
    ]);
    let payload = payload(&[flag]);
    let mut ours = Ours::new(&payload);
    let context = TestContext::user("1").property("random", "1");
    let mut names = Vec::new();
    for seed in 0..100 {
        ours.seed = seed;
        names.push(ours.decide("f", &context).variant.unwrap().name);
    }
    names.sort();
    names.dedup();
    assert_eq!(names, ["a", "b"]);
    let theirs = Yggdrasil::new(&payload);
    let first = theirs.decide("f", &context);
    assert!((0..100).all(|_| theirs.decide("f", &context) == first), "Yggdrasil's is sticky");
}

/// Section 7.2: payloads are opaque, unknown keys and all.
#[test]
fn variant_payloads_are_verbatim() {
    let odd =
        json!({ "type": "json", "value": "{\"a\": 1}\n\"é\u{2028}", "extra": [1, 2.50, null] });
    let mut flag = plain("f");
    flag["variants"] = json!([{ "name": "a", "weight": 1, "payload": odd }]);
    let got = decision(&payload(&[flag]), &TestContext::user("1"));
    assert_eq!(got.variant.unwrap().payload, Some(odd));
}

/// Section 7.1.
#[test]
fn variants_follow_the_first_strategy_that_matches() {
    let variant = |name: &str| json!([{ "name": name, "weight": 1 }]);
    let user = |id: &str, variants: Value| {
        let parameters = json!({ "userIds": id });
        json!({ "name": "userWithId", "parameters": parameters, "variants": variants })
    };
    let strategies = json!([
        user("1,2", variant("first")),
        user("2,3", variant("second")),
        user("4", json!([])),
        { "name": "userWithId", "parameters": { "userIds": "5" } },
    ]);
    let flag = json!({
        "name": "f", "enabled": true, "strategies": strategies, "variants": variant("legacy"),
    });
    let payload = payload(&[flag]);
    let expected =
        [("1", "first"), ("2", "first"), ("3", "second"), ("4", "legacy"), ("5", "legacy")];
    for (id, name) in expected {
        assert_eq!(decision(&payload, &TestContext::user(id)), chosen(name), "user {id}");
        let theirs = Yggdrasil::new(&payload).decide("f", &TestContext::user(id));
        assert_eq!(theirs, chosen(name), "user {id}");
    }
    assert!(!theirs(&payload, &TestContext::user("6")));
    assert_eq!(decision(&payload, &TestContext::user("6")), Decision::default());
}
