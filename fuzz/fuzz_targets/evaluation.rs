//! Payloads that are flags, built from bytes: odd in every part, understood as a whole.

#![no_main]

use libfuzzer_sys::{
    arbitrary::{Result, Unstructured},
    fuzz_target,
};
use offleash::engine::{Context, Features, Host, Projects, compile};
use offleash_fuzz::{NOW_MILLIS, check};
use serde_json::{Map, Value, json};

const FIELDS: [&str; 8] = [
    "userId",
    "sessionId",
    "environment",
    "appName",
    "remoteAddress",
    "currentTime",
    "country",
    "größe",
];
const OPERATORS: [&str; 20] = [
    "IN",
    "NOT_IN",
    "STR_STARTS_WITH",
    "STR_ENDS_WITH",
    "STR_CONTAINS",
    "NUM_EQ",
    "NUM_GT",
    "NUM_GTE",
    "NUM_LT",
    "NUM_LTE",
    "DATE_AFTER",
    "DATE_BEFORE",
    "SEMVER_EQ",
    "SEMVER_GT",
    "SEMVER_GTE",
    "SEMVER_LT",
    "SEMVER_LTE",
    "REGEX",
    "IN_CIDR",
    "NO_SUCH",
];
const STRATEGIES: [&str; 9] = [
    "default",
    "flexibleRollout",
    "gradualRolloutUserId",
    "gradualRolloutSessionId",
    "gradualRolloutRandom",
    "userWithId",
    "remoteAddress",
    "applicationHostname",
    "noSuch",
];
const STICKINESS: [&str; 6] = ["default", "random", "userId", "sessionId", "country", ""];
/// Shared by constraints and contexts, so that they meet.
const VALUES: [&str; 32] = [
    "",
    " ",
    "a",
    "A",
    "ab",
    "ä",
    "Ä",
    "İ",
    "ß",
    "7",
    "7.0",
    "-0",
    "1e3",
    "1e999",
    "NaN",
    "0x7",
    "1.2.3",
    "1.2.3-beta.1",
    "1.2.3+build",
    "v1.2.3",
    "10.0.0.1",
    "10.0.0.0/8",
    "10.0.0.1/33",
    "::1",
    "2001:db8::/32",
    "::ffff:10.0.0.1",
    "2026-11-22T00:00:00Z",
    "2026-11-22",
    "2026-11-22T00:00:00+23:59",
    "^a.*[0-9]$",
    "(",
    "a,b, ,a",
];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    // A flag takes some forty bytes; past their end everything is zero.
    let payload = payload(&mut input).expect("zeros are enough");
    let (features, _) = Features::parse(payload.to_string().as_bytes()).expect("it is a payload");
    let (plan, _) = compile(&features, &Projects::All, &Host { name: "a".to_owned() });
    let mut context = Context::new();
    for seed in 0..3 {
        let mut writer = context.start(&plan, NOW_MILLIS, seed);
        for _ in 0..input.int_in_range(0..=7).unwrap_or(0) {
            let field = input.choose(&FIELDS).map_or("userId", |field| field);
            let value = text(&mut input).unwrap_or_default();
            if input.arbitrary().unwrap_or(false) {
                writer.property(field, &value);
            } else {
                writer.top(field, &value);
            }
        }
        check(&plan, &context);
    }
});

fn payload(input: &mut Unstructured<'_>) -> Result<Value> {
    let count = input.int_in_range(1..=6)?;
    let features = (0..count).map(|number| flag(input, number)).collect::<Result<Vec<_>>>()?;
    let segments = (1..=2)
        .map(|id| Ok(json!({ "id": id, "constraints": some(input, 3, constraint)? })))
        .collect::<Result<Vec<_>>>()?;
    Ok(json!({ "version": 2, "features": features, "segments": segments }))
}

fn flag(input: &mut Unstructured<'_>, number: u32) -> Result<Value> {
    let mut flag = json!({
        "name": format!("flag-{number}"),
        "enabled": input.ratio(7, 8)?,
        "strategies": some(input, 3, strategy)?,
        "variants": some(input, 3, variant)?,
    });
    if input.ratio(1, 4)? {
        flag["dependencies"] = some(input, 2, dependency)?;
    }
    match input.int_in_range(0..=3)? {
        0 => flag["impressionData"] = Value::Null,
        1 => flag["impressionData"] = json!(input.arbitrary::<bool>()?),
        _ => {}
    }
    Ok(flag)
}

fn strategy(input: &mut Unstructured<'_>) -> Result<Value> {
    let mut parameters = Map::new();
    for name in ["rollout", "percentage"] {
        parameters.insert(name.into(), percentage(input)?);
    }
    if input.ratio(3, 4)? {
        parameters.insert("stickiness".into(), json!(input.choose(&STICKINESS)?));
    }
    parameters.insert("groupId".into(), json!(text(input)?));
    for name in ["userIds", "IPs", "hostNames"] {
        let values =
            (0..input.int_in_range(0..=3)?).map(|_| text(input)).collect::<Result<Vec<_>>>()?;
        parameters.insert(name.into(), json!(values.join(",")));
    }
    let mut strategy = json!({
        "name": input.choose(&STRATEGIES)?,
        "parameters": parameters,
        "constraints": some(input, 3, constraint)?,
        "variants": some(input, 3, variant)?,
    });
    if input.ratio(1, 4)? {
        // The third one is nobody's.
        strategy["segments"] = json!([input.int_in_range(1..=3)?]);
    }
    Ok(strategy)
}

fn percentage(input: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match input.int_in_range(0..=5)? {
        0 => json!(input.int_in_range(0..=100)?.to_string()),
        1 => json!(input.int_in_range(-1..=101)?),
        2 => json!(input.arbitrary::<f32>()?),
        3 => Value::Null,
        4 => json!("50"),
        _ => json!(text(input)?),
    })
}

fn constraint(input: &mut Unstructured<'_>) -> Result<Value> {
    let mut constraint = json!({
        "contextName": input.choose(&FIELDS)?,
        "operator": input.choose(&OPERATORS)?,
        "values": some(input, 4, |input| Ok(json!(text(input)?)))?,
        "value": text(input)?,
        "inverted": input.arbitrary::<bool>()?,
        "caseInsensitive": input.arbitrary::<bool>()?,
    });
    if input.ratio(1, 16)? {
        let key = *input.choose(&["contextName", "operator", "values", "value", "inverted"])?;
        constraint[key] = Value::Null;
    }
    Ok(constraint)
}

fn variant(input: &mut Unstructured<'_>) -> Result<Value> {
    let weight = match input.int_in_range(0..=3)? {
        0 => json!(0),
        1 => json!(input.int_in_range(1..=1_000)?),
        2 => json!(500),
        _ => json!(input.arbitrary::<i64>()?),
    };
    let mut variant = json!({
        "name": *input.choose(&["red", "blue", "disabled", "\"\\\u{0}"])?,
        "weight": weight,
        "stickiness": input.choose(&STICKINESS)?,
    });
    if input.arbitrary()? {
        variant["payload"] = json!({ "type": "string", "value": text(input)? });
    }
    if input.ratio(1, 4)? {
        let values = some(input, 3, |input| Ok(json!(text(input)?)))?;
        variant["overrides"] = json!([{ "contextName": input.choose(&FIELDS)?, "values": values }]);
    }
    Ok(variant)
}

fn dependency(input: &mut Unstructured<'_>) -> Result<Value> {
    // There may be no such flag, and it may be the flag itself or a child.
    let mut dependency = json!({ "feature": format!("flag-{}", input.int_in_range(0..=6)?) });
    if input.arbitrary()? {
        dependency["enabled"] = json!(input.arbitrary::<bool>()?);
    }
    if input.ratio(1, 3)? {
        dependency["variants"] = json!([*input.choose(&["red", "blue", "disabled"])?]);
    }
    Ok(dependency)
}

fn text(input: &mut Unstructured<'_>) -> Result<String> {
    if input.ratio(1, 8)? {
        return Ok(input.arbitrary::<&str>()?.chars().take(50).collect());
    }
    Ok((*input.choose(&VALUES)?).to_owned())
}

fn some(
    input: &mut Unstructured<'_>,
    most: usize,
    mut part: impl FnMut(&mut Unstructured<'_>) -> Result<Value>,
) -> Result<Value> {
    let count = input.int_in_range(0..=most)?;
    Ok(Value::Array((0..count).map(|_| part(input)).collect::<Result<_>>()?))
}
