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

fn variants() -> Value {
    let weighed = ["red", "green", "blue"].iter().zip([200, 300, 500]);
    weighed
        .map(|(name, weight)| json!({"name": name, "weight": weight, "stickiness": "default"}))
        .collect()
}

fn compiled(payload: &Value) -> Plan {
    let (features, warnings) = Features::parse(payload.to_string().as_bytes()).unwrap();
    assert_eq!(warnings, []);
    let (plan, warnings) = compile(&features, &Projects::All, &Host::default());
    assert_eq!(warnings, []);
    plan
}

fn plan() -> Plan {
    let flag = |name: &str, strategies: Value| json!({"name": name, "enabled": true, "strategies": strategies});
    let variants = variants();
    compiled(&json!({"version": 2, "features": [
        flag("one", json!([strategy(false, &json!([]))])),
        flag("same", json!([strategy(false, &json!([]))])),
        flag("inverted", json!([strategy(true, &json!([]))])),
        flag("drawn", json!([strategy(false, &variants)])),
        flag("drawn-inverted", json!([strategy(true, &variants)])),
        flag("of-two", json!([strategy(false, &variants), strategy(true, &json!([]))])),
        flag("always", json!([])),
    ]}))
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
fn asked(
    plan: &Plan,
    names: &[String],
    context: &Context,
    scratch: &mut Scratch,
) -> Vec<(String, Option<String>)> {
    let asked = names.iter().map(|name| (name, plan.flag(name).unwrap()));
    asked
        .filter_map(|(name, flag)| {
            let verdict = plan.evaluate_one(flag, context, scratch);
            verdict.enabled.then(|| (name.clone(), verdict.variant.map(str::to_owned)))
        })
        .collect()
}

#[test]
fn a_list_agrees_with_its_flags_where_a_conjunction_is_open_and_chance_decides() {
    let plan = plan();
    let names = ["always", "drawn", "drawn-inverted", "inverted", "of-two", "one", "same"];
    let names = names.map(str::to_owned);
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
            let one_by_one = asked(&plan, &names, &context, &mut scratch);
            assert_eq!(list, one_by_one, "{seed} {email:?} {country}");
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

/// A strategy of one of many kinds, as `number` says.
fn any_strategy(number: u64) -> Value {
    let stickiness = match number % 200 {
        7 => "random",
        other => ["default", "userId", "tenant"][(other % 3) as usize],
    };
    let rollout = ["30", "60", "100"][(number / 2 % 3) as usize];
    let constraints = [
        json!({"contextName": "country", "operator": "IN", "values": ["DE", "FR"]}),
        json!({"contextName": "country", "operator": "NOT_IN", "values": ["FR"]}),
        json!({"contextName": "email", "operator": "REGEX", "value": "^a.*org$", "inverted": number.is_multiple_of(3)}),
        json!({"contextName": "age", "operator": "NUM_GT", "value": (number % 50).to_string()}),
    ];
    let asked = constraints.iter().enumerate().filter(|(at, _)| number >> (7 + at) & 1 == 1);
    json!({
        "name": "flexibleRollout",
        "parameters": {"rollout": rollout, "stickiness": stickiness, "groupId": (number % 40).to_string()},
        "constraints": asked.map(|(_, constraint)| constraint).collect::<Vec<_>>(),
        "variants": if number.is_multiple_of(5) { variants() } else { json!([]) },
    })
}

/// Flags of up to 70 strategies, among others that are off or on for everybody, some of them the
/// parents of those behind them: whatever a block of parts can begin and end with.
fn many(seed: u64) -> (Plan, Vec<String>) {
    let mut draws = seed;
    let mut below = |limit: u64| {
        draws =
            draws.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (draws >> 33) % limit
    };
    let mut features: Vec<Value> = Vec::new();
    let mut parents: Vec<String> = Vec::new();
    for number in 0..60 + below(60) {
        let name = format!("flag-{number:03}");
        let count = [0, 1, 1, 1, 2, 3, 5, 70][below(8) as usize];
        let strategies: Vec<Value> = (0..count).map(|_| any_strategy(below(1 << 20))).collect();
        let mut feature = json!({
            "name": name, "enabled": below(4) > 0, "strategies": strategies, "variants": [],
        });
        if !parents.is_empty() && below(4) == 0 {
            let parent = &parents[below(parents.len() as u64) as usize];
            let variants = if below(3) == 0 { json!(["red", "green"]) } else { json!([]) };
            feature["dependencies"] =
                json!([{"feature": parent, "enabled": below(4) > 0, "variants": variants}]);
        } else {
            parents.push(name);
        }
        features.push(feature);
    }
    let names = features.iter().map(|feature| feature["name"].as_str().unwrap().to_owned());
    let names = names.collect();
    (compiled(&json!({"version": 2, "features": features})), names)
}

#[test]
fn a_list_agrees_with_its_flags_however_their_strategies_fall_into_blocks() {
    let (mut context, mut scratch) = (Context::new(), Scratch::new());
    let (mut on, mut variants, mut parts, mut longest) = (0, 0, 0, 0);
    for seed in 0..60 {
        let (plan, names) = many(seed);
        parts = parts.max(plan.listing.len());
        longest = plan.flags.iter().map(|flag| flag.strategies.len()).fold(longest, usize::max);
        for asked_for in 0..16_u64 {
            let mut writer = context.start(&plan, 0, seed + asked_for);
            if asked_for & 1 == 1 {
                writer.top("userId", &format!("user-{}", seed * asked_for));
            }
            if asked_for & 2 == 2 {
                writer
                    .top("tenant", ["acme", "an identifier of some length", ""][seed as usize % 3]);
            }
            if asked_for & 4 == 4 {
                writer.top("email", ["a@example.org", "b@example.org"][seed as usize % 2]);
            }
            writer.top("country", ["DE", "FR", "US"][asked_for as usize % 3]);
            writer.top("age", &(3 * asked_for).to_string());
            let list = listed(&plan, &context, &mut scratch);
            let one_by_one = asked(&plan, &names, &context, &mut scratch);
            assert_eq!(list, one_by_one, "{seed} {asked_for}");
            on += list.len();
            variants += list.iter().filter(|(_, variant)| variant.is_some()).count();
        }
    }
    // What was compared has all that it is about.
    assert!(on > 20_000 && variants > 2_000, "{on} {variants}");
    assert!(parts > 10 * 32 && longest > 64, "{parts} {longest}");
}
