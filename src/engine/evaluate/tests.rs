//! A list says what its flags say one by one, also where a condition waits and where chance decides.

use serde_json::{Value, json};

use super::*;
use crate::engine::{Features, Host, Profile, Projects, compile};

/// What decides: a regular expression and a short list, asked together, and a share of the callers.
/// Nobody is named in the contexts below, so the share is left to chance.
fn strategy(inverted: bool, variants: &Value) -> Value {
    json!({
        "name": "flexibleRollout",
        "parameters": {"rollout": "50", "stickiness": "default", "groupId": "g"},
        "constraints": [
            {"contextName": "email", "operator": "REGEX", "value": "^.+@example[.]org$", "inverted": inverted},
            {"contextName": "country", "operator": "IN", "values": ["DE", "FR"]},
        ],
        "variants": variants,
    })
}

fn plan() -> Plan {
    let variants: Vec<Value> = ["red", "green", "blue"]
        .iter()
        .zip([200, 300, 500])
        .map(|(name, weight)| json!({"name": name, "weight": weight, "stickiness": "default"}))
        .collect();
    let flag = |name: &str, strategies: Value| json!({"name": name, "enabled": true, "strategies": strategies});
    let variants = Value::from(variants);
    let payload = json!({"version": 2, "features": [
        flag("one", json!([strategy(false, &json!([]))])),
        flag("same", json!([strategy(false, &json!([]))])),
        flag("inverted", json!([strategy(true, &json!([]))])),
        flag("drawn", json!([strategy(false, &variants)])),
        flag("drawn-inverted", json!([strategy(true, &variants)])),
        flag("of-two", json!([strategy(false, &variants), strategy(true, &json!([]))])),
        flag("always", json!([])),
    ]});
    let (features, warnings) = Features::parse(payload.to_string().as_bytes()).unwrap();
    assert_eq!(warnings, []);
    let (plan, warnings) = compile(&features, &Projects::All, &Host::default());
    assert_eq!(warnings, []);
    plan
}

/// The flags that a list shows, with their variants.
fn listed(plan: &Plan, context: &Context, scratch: &mut Scratch) -> Vec<(String, Option<String>)> {
    let mut body = Vec::new();
    plan.evaluate_all(context, scratch, Show::Enabled).render_into(Profile::Edge, &mut body);
    let body: Value = serde_json::from_slice(&body).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let toggles = body["toggles"].as_array().unwrap().iter();
    toggles
        .map(|toggle| {
            let variant = &toggle["variant"];
            let chosen = variant["enabled"] == json!(true);
            (text(&toggle["name"]), chosen.then(|| text(&variant["name"])))
        })
        .collect()
}

/// The same, flag by flag.
fn asked(plan: &Plan, context: &Context, scratch: &mut Scratch) -> Vec<(String, Option<String>)> {
    let names = ["always", "drawn", "drawn-inverted", "inverted", "of-two", "one", "same"];
    names
        .iter()
        .filter_map(|name| {
            let verdict = plan.evaluate_one(plan.flag(name).unwrap(), context, scratch);
            verdict.enabled.then(|| ((*name).to_owned(), verdict.variant.map(str::to_owned)))
        })
        .collect()
}

#[test]
fn a_list_agrees_with_its_flags_where_a_conjunction_is_open_and_chance_decides() {
    let plan = plan();
    let (mut context, mut scratch) = (Context::new(), Scratch::new());
    let emails = [Some("a@example.org"), Some("a@example.com"), None];
    let mut seen: Vec<Vec<(String, Option<String>)>> = Vec::new();
    for seed in 0..200 {
        for (email, country) in emails.iter().flat_map(|email| ["DE", "US"].map(|it| (*email, it)))
        {
            let mut writer = context.start(&plan, 0, seed);
            writer.top("country", country);
            if let Some(email) = email {
                writer.top("email", email);
            }
            let list = listed(&plan, &context, &mut scratch);
            assert_eq!(list, asked(&plan, &context, &mut scratch), "{seed} {email:?} {country}");
            let is_on = |name: &str| list.iter().any(|(on, _)| on == name);
            assert!(is_on("always"));
            assert_eq!(is_on("one"), is_on("same"), "one request draws once");
            if country == "US" || email != Some("a@example.org") {
                assert!(!is_on("one") && !is_on("drawn"), "{email:?} {country}");
            }
            if country == "US" || email == Some("a@example.org") {
                assert!(!is_on("inverted") && !is_on("drawn-inverted"), "{email:?} {country}");
            }
            seen.push(list);
        }
    }
    // What was compared is not always the same.
    for name in ["one", "inverted", "of-two"] {
        assert!(seen.iter().any(|list| list.iter().any(|(on, _)| on == name)), "{name}");
    }
    for variant in ["red", "green", "blue"] {
        let drawn = ("drawn".to_owned(), Some(variant.to_owned()));
        assert!(seen.iter().any(|list| list.contains(&drawn)), "{variant}");
    }
    assert!(seen.iter().any(|list| list.len() == 1), "chance says no, too");
}
