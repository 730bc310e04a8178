//! A payload that came in events answers as the one that came whole.

use offleash::engine::{Delta, Features, Profile, Show};
use serde_json::{Value, json};

use crate::support::{
    events,
    generate::{Lane, Maker},
    ours::Ours,
};

const RUNS: u64 = 150;
const FLAGS: u64 = 10;

#[test]
fn events_amount_to_the_payload_they_describe() {
    for seed in 0..RUNS {
        let mut maker = Maker::new(Lane::Aimed, seed);
        let mut payload = maker.payload(FLAGS as usize);
        let (mut features, _) = Features::parse(&bytes(&payload)).unwrap();
        for revision in 1..=4 {
            let count = 1 + maker.rng.below(4);
            let events: Vec<Value> =
                (0..count).map(|step| event(&mut maker, 10 * revision + step)).collect();
            let message = json!({ "events": events });
            let applied = features.apply(&Delta::parse(&bytes(&message)).unwrap());
            assert!(!applied.rehydrate, "{message}");
            events::apply(&mut payload, &events);
            assert_same(&features, &payload, &mut maker, &message);
        }
    }
}

fn event(maker: &mut Maker, id: u64) -> Value {
    let index = maker.rng.below(FLAGS + 2) as usize;
    let flag = maker.flag(index);
    let mut event = match maker.rng.below(10) {
        0..=3 => json!({ "type": "feature-updated", "feature": flag }),
        4 | 5 => {
            let name = flag["name"].clone();
            json!({ "type": "feature-removed", "featureName": name, "project": "default" })
        }
        6 | 7 => {
            let segment = 1 + maker.rng.below(5) as usize;
            json!({ "type": "segment-updated", "segment": maker.segment(segment) })
        }
        8 => json!({ "type": "segment-removed", "segmentId": 1 + maker.rng.below(5) }),
        _ => {
            let payload = maker.payload(3);
            let (features, segments) = (payload["features"].clone(), payload["segments"].clone());
            json!({ "type": "hydration", "features": features, "segments": segments })
        }
    };
    event["eventId"] = json!(id);
    event
}

fn assert_same(features: &Features, payload: &Value, maker: &mut Maker, message: &Value) {
    let mut applied = Ours::from_features(features);
    let mut whole = Ours::new(payload);
    assert_eq!(applied.plan.len(), whole.plan.len(), "{message:#}");
    for _ in 0..3 {
        let context = maker.context();
        // The same moment for both: a date may lie between two looks at the clock.
        whole.now_millis = applied.now_millis;
        for profile in [Profile::Proxy, Profile::Edge] {
            for show in [Show::All, Show::Enabled] {
                let (left, left_tag) = applied.list(&context, show, profile);
                let (right, right_tag) = whole.list(&context, show, profile);
                assert_eq!(text(&left), text(&right), "{message:#}\n{context:?}");
                assert_eq!(left_tag, right_tag, "{message:#}\n{context:?}");
            }
        }
    }
}

fn bytes(json: &Value) -> Vec<u8> {
    serde_json::to_vec(json).unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
