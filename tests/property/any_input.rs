//! No payload and no context ends the process, and what comes out is well formed.

use offleash::engine::{Context, Delta, Features, Profile, Root, Scratch, Show};
use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use crate::{
    cases,
    support::{
        context::TestContext,
        generate::{Lane, Maker},
        hostile::{any_json, any_text, wounded_payload},
        ours::{Ours, read_decision},
    },
};

const PROFILES: [Profile; 2] = [Profile::Proxy, Profile::Edge];

/// Any entries at all, some of them under names that flags ask for.
pub(crate) fn any_context() -> impl Strategy<Value = TestContext> {
    let entry = || (any_text(), any_text());
    (any::<u64>(), vec(entry(), 0..6), vec(entry(), 0..6), any::<Option<i64>>()).prop_map(
        |(seed, top, properties, time_millis)| {
            let mut context = Maker::new(Lane::Aimed, seed).context();
            for (name, value) in top {
                // Hostile values under known names, known values under hostile ones.
                if let Some(known) = context.top.iter_mut().find(|(known, _)| *known < name) {
                    known.1.clone_from(&value);
                }
                context = context.top(&name, &value);
            }
            context.properties.extend(properties);
            context.time_millis = time_millis.or(context.time_millis);
            context
        },
    )
}

/// The names in a rendered body, in its order.
fn names(body: &[u8]) -> Vec<String> {
    let body: Value = serde_json::from_slice(body).expect("a body is JSON");
    assert_eq!(body.as_object().unwrap().len(), 1, "`toggles` and nothing else");
    let toggles = body["toggles"].as_array().expect("`toggles` is a list");
    toggles.iter().map(|toggle| toggle["name"].as_str().unwrap().to_owned()).collect()
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn any_payload_and_any_context_are_answered(
        payload in wounded_payload(),
        context in any_context(),
        seed in any::<u64>(),
    ) {
        let mut ours = Ours::new(&payload);
        ours.seed = seed;
        for profile in PROFILES {
            let (all, all_tag) = ours.list(&context, Show::All, profile);
            let listed = names(&all);
            prop_assert!(listed.windows(2).all(|pair| pair[0] < pair[1]), "unsorted: {listed:?}");
            prop_assert_eq!(listed.len(), ours.plan.len());
            let (enabled, enabled_tag) = ours.list(&context, Show::Enabled, profile);
            prop_assert!(names(&enabled).len() <= listed.len());

            // The same question has the same answer, to the byte.
            let again = ours.list(&context, Show::All, profile);
            prop_assert_eq!(&again, &(all.clone(), all_tag));
            let mut fresh = Ours::new(&payload);
            (fresh.seed, fresh.now_millis) = (seed, ours.now_millis);
            prop_assert_eq!(fresh.list(&context, Show::All, profile), (all.clone(), all_tag));
            prop_assert_eq!(
                fresh.list(&context, Show::Enabled, profile),
                (enabled.clone(), enabled_tag)
            );

            // What the list says of a flag is what the flag alone says.
            let toggles: Value = serde_json::from_slice(&all).unwrap();
            let mut on = Vec::new();
            for toggle in toggles["toggles"].as_array().unwrap() {
                let name = toggle["name"].as_str().unwrap();
                let decision = ours.decide(name, &context);
                prop_assert_eq!(read_decision(toggle), decision.clone(), "`{}`", name);
                if decision.enabled {
                    on.push(name.to_owned());
                }
            }
            prop_assert_eq!(names(&enabled), on);
        }
    }

    #[test]
    fn named_flags_are_answered_in_the_order_asked(
        payload in wounded_payload(),
        context in any_context(),
        more in vec(any_text(), 0..4),
        picks in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut ours = Ours::new(&payload);
        let (all, _) = ours.list(&context, Show::All, Profile::Proxy);
        let mut asked = more;
        let known = names(&all);
        if !known.is_empty() {
            asked.extend(picks.iter().map(|pick| pick.get(&known).clone()));
        }
        for profile in PROFILES {
            let (body, tag) = ours.named(&context, &asked, profile);
            prop_assert_eq!(names(&body), asked.clone());
            prop_assert_eq!(ours.named(&context, &asked, profile), (body.clone(), tag));
            let body: Value = serde_json::from_slice(&body).unwrap();
            for toggle in body["toggles"].as_array().unwrap() {
                let name = toggle["name"].as_str().unwrap();
                prop_assert_eq!(read_decision(toggle), ours.decide(name, &context), "`{}`", name);
            }
        }
    }

    #[test]
    fn context_takes_any_names_in_any_way(
        payload in wounded_payload(),
        entries in vec((0..7_u8, any_text(), any_text(), any::<prop::sample::Index>()), 0..24),
        now_millis in any::<i64>(),
        seed in any::<u64>(),
    ) {
        let ours = Ours::new(&payload);
        let (mut context, mut scratch) = (Context::new(), Scratch::new());
        let mut writer = context.start(&ours.plan, now_millis, seed);
        for (how, name, value, field) in &entries {
            let field = *field.get(&Root::ALL);
            match how {
                0 | 1 => writer.top(name, value),
                2 => writer.property(name, value),
                3 => writer.root(field, value),
                4 => writer.force(field, value),
                5 => writer.fill(field, value),
                _ => writer.root_time_millis(value.len() as i64 * now_millis.signum()),
            }
            prop_assert!(!(3..=5).contains(how) || writer.has(field));
        }
        let answer = ours.plan.evaluate_all(&context, &mut scratch, Show::All);
        let mut body = Vec::new();
        answer.render_into(Profile::Proxy, &mut body);
        prop_assert_eq!(names(&body).len(), ours.plan.len());
    }

    #[test]
    fn any_json_is_read_or_refused(json in any_json()) {
        let bytes = serde_json::to_vec(&json).unwrap();
        let has_segments = json["segments"].is_null() || json["segments"].is_array();
        let is_payload = json["features"].is_array() && has_segments;
        prop_assert!(!is_payload || Features::parse(&bytes).is_ok(), "{}", json);
        if let Ok(delta) = Delta::parse(&bytes) {
            let mut features = Features::default();
            features.apply(&delta);
            Ours::from_features(&features);
        }
    }

    #[test]
    fn any_event_is_applied_or_asks_for_a_hydration(
        events in vec(any_json(), 0..4),
        kinds in vec(prop::sample::select(vec![
            "hydration", "feature-updated", "feature-removed", "segment-updated", "segment-removed",
            "future-event",
        ]), 4),
    ) {
        let events: Vec<Value> = events
            .into_iter()
            .zip(kinds)
            .map(|(event, kind)| match event {
                Value::Object(mut event) => {
                    event.insert("type".to_owned(), Value::from(kind));
                    Value::Object(event)
                }
                other => other,
            })
            .collect();
        let message = serde_json::json!({ "events": events });
        let delta = Delta::parse(&serde_json::to_vec(&message).unwrap()).unwrap();
        let mut features = Features::default();
        let applied = features.apply(&delta);
        let has_unknown = events.iter().any(|event| event["type"] == "future-event" || !event.is_object());
        prop_assert!(!has_unknown || applied.rehydrate, "{}", message);
        Ours::from_features(&features).list(&TestContext::new(), Show::All, Profile::Edge);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..256)) {
        let _ = Features::parse(&bytes);
        let _ = Delta::parse(&bytes);
    }

    #[test]
    fn any_torn_payload_is_read_or_refused(
        payload in wounded_payload(),
        cut in any::<prop::sample::Index>(),
        strikes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = serde_json::to_vec(&payload).unwrap();
        for (place, byte) in strikes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok((features, _)) = Features::parse(&bytes) {
            Ours::from_features(&features).list(&TestContext::new(), Show::All, Profile::Edge);
        }
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(Features::parse(&bytes).is_err(), "half a payload is none");
    }
}

/// Depth that would end a recursive reader's stack.
#[test]
fn deep_nesting_is_refused_or_neutralised() {
    for depth in [100, 1_000, 200_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let _ = Features::parse(nested.as_bytes());
            let _ = Delta::parse(nested.as_bytes());
            let payload = format!(
                "{{\"features\":[{{\"name\":\"f\",\"enabled\":true,\"variants\":[{{\"name\":\"v\",\
                 \"weight\":1,\"payload\":{nested}}}]}}]}}"
            );
            if let Ok((features, _)) = Features::parse(payload.as_bytes()) {
                Ours::from_features(&features).list(&TestContext::new(), Show::All, Profile::Edge);
            }
        }
    }
}
