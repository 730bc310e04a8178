//! The flags that ship inside the binary, and what to try with them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The features payload of `offleash demo`, as an upstream would send it.
pub const FLAGS: &str = include_str!("demo/flags.json");

/// The frontend key of `offleash demo`. No secret: the flags are public.
pub const KEY: &str = "demo-key";

/// The context of the line to try: root fields, then properties.
const ROOT_FIELDS: &[(&str, &str)] = &[("userId", "7"), ("currentTime", "2026-12-24T12:00:00Z")];
const PROPERTIES: &[(&str, &str)] = &[
    ("plan", "pro"),
    ("region", "NO"),
    ("email", "ada@example.com"),
    ("appVersion", "2.4.1"),
    ("tenantId", "acme"),
];

/// What is on for that context, and why. With the caller on this machine, and only then, exactly
/// these are on.
const ON: &[(&[&str], &str)] = &[
    (&["new-header"], "on for everyone"),
    (&["fast-search", "checkout-theme"], "user 7 is in the first half, and is shown `green`"),
    (&["beta-editor", "welcome-text"], "the mail is a colleague's; the plan gets the `warm` text"),
    (&["one-click-pay", "one-click-refund"], "allowed in NO; the second needs the first"),
    (
        &["camera-filters", "office-tools", "winter-sale"],
        "2.4.1 is above 2.3.0; asked from this machine; on Christmas Eve",
    ),
];

/// What is off for that context, and why.
const OFF: &[(&[&str], &str)] = &[
    (&["maintenance-mode"], "a kill switch that nobody pulled"),
    (&["team-sidebar"], "tenant acme is in the other half; globex is in the first"),
];

/// What `offleash demo` says once it listens on `address`: one line to try, and what to expect.
pub fn greeting(address: SocketAddr) -> String {
    let host = match address.ip() {
        host if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host,
    };
    let base = format!("http://{}", SocketAddr::new(host, address.port()));
    let version = crate::telemetry::VERSION;
    let mut text = format!(
        "Offleash {version} serves {} demo flags on {base} (Ctrl-C stops it). Try:\n\n  \
         curl -sg -H 'Authorization: {KEY}' '{base}/api/frontend?{}'\n\nOn for this context:\n",
        ON.iter().chain(OFF).map(|(names, _)| names.len()).sum::<usize>(),
        query(),
    );
    for (names, why) in ON {
        text.push_str(&format!("  {}: {why}\n", names.join(", ")));
    }
    text.push_str("Off, and therefore not in the answer:\n");
    for (names, why) in OFF {
        text.push_str(&format!("  {}: {why}\n", names.join(", ")));
    }
    text
}

fn query() -> String {
    let roots = ROOT_FIELDS.iter().map(|(name, value)| format!("{name}={value}"));
    let properties = PROPERTIES.iter().map(|(name, value)| format!("properties[{name}]={value}"));
    roots.chain(properties).collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;
    use unleash_types::client_features::ClientFeatures;
    use unleash_yggdrasil::{Context as OtherContext, EngineState, UpdateMessage};

    use super::*;
    use crate::engine::{Context, Features, Host, Profile, Projects, Root, Scratch, Show, compile};

    /// The variants that the greeting promises.
    const VARIANTS: &[(&str, &str)] = &[("checkout-theme", "green"), ("welcome-text", "warm")];

    fn names(expected: &[(&'static [&'static str], &str)]) -> BTreeSet<&'static str> {
        expected.iter().flat_map(|(names, _)| names.iter().copied()).collect()
    }

    /// What the engine says to the context of the greeting: name → variant.
    fn answer(tenant: &str) -> BTreeMap<String, String> {
        let (features, warnings) = Features::parse(FLAGS.as_bytes()).unwrap();
        assert_eq!(warnings, []);
        let (plan, warnings) = compile(&features, &Projects::All, &Host::default());
        assert_eq!(warnings, []);
        let mut context = Context::new();
        let mut writer = context.start(&plan, 0, 1);
        for (name, value) in ROOT_FIELDS {
            writer.top(name, value);
        }
        for (name, value) in PROPERTIES {
            writer.property(name, if *name == "tenantId" { tenant } else { value });
        }
        writer.fill(Root::RemoteAddress, "127.0.0.1");
        let mut scratch = Scratch::new();
        let mut body = Vec::new();
        plan.evaluate_all(&context, &mut scratch, Show::Enabled)
            .render_into(Profile::Edge, &mut body);
        let body: Value = serde_json::from_slice(&body).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let toggles = body["toggles"].as_array().unwrap();
        toggles.iter().map(|flag| (text(&flag["name"]), text(&flag["variant"]["name"]))).collect()
    }

    #[test]
    fn the_greeting_tells_the_truth_about_this_engine() {
        let answer = answer("acme");
        assert_eq!(answer.keys().map(String::as_str).collect::<BTreeSet<_>>(), names(ON));
        for (flag, variant) in VARIANTS {
            assert_eq!(answer[*flag], *variant, "{flag}");
        }
    }

    #[test]
    fn the_other_tenant_of_the_greeting_has_the_sidebar() {
        assert!(answer("globex").contains_key("team-sidebar"));
    }

    #[test]
    fn an_independent_engine_agrees_with_the_greeting() {
        let features: ClientFeatures = serde_json::from_str(FLAGS).unwrap();
        let engine = EngineState::default();
        assert!(engine.take_state(UpdateMessage::FullResponse(features)).is_none());
        let context = ROOT_FIELDS.iter().chain(PROPERTIES).chain(&[("remoteAddress", "127.0.0.1")]);
        let context: Value = context.map(|(name, value)| (*name, *value)).collect();
        let context: OtherContext = serde_json::from_value(context).unwrap();
        let answer = engine.resolve_all(&context, &None).unwrap();
        let on = answer.iter().filter(|(_, flag)| flag.enabled).map(|(name, _)| name.as_str());
        assert_eq!(on.collect::<BTreeSet<_>>(), names(ON));
        for (flag, variant) in VARIANTS {
            assert_eq!(answer[*flag].variant.name, *variant, "{flag}");
        }
    }

    #[test]
    fn every_flag_of_the_payload_is_in_the_greeting() {
        let payload: Value = serde_json::from_str(FLAGS).unwrap();
        let flags = payload["features"].as_array().unwrap();
        let flags: BTreeSet<_> = flags.iter().map(|flag| flag["name"].as_str().unwrap()).collect();
        assert_eq!(flags, names(ON).union(&names(OFF)).copied().collect());
    }

    #[test]
    fn the_greeting_shows_a_line_that_can_be_pasted() {
        let text = greeting("[::]:4000".parse().unwrap());
        let line = "curl -sg -H 'Authorization: demo-key' 'http://127.0.0.1:4000/api/frontend?\
                    userId=7&currentTime=2026-12-24T12:00:00Z&properties[plan]=pro";
        assert!(text.contains(line), "{text}");
    }
}
