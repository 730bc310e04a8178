//! The plan folds, shares and indexes; the naive evaluator reads the law aloud. Both say the same.

use offleash::engine::{Profile, Show};
use serde_json::{Value, json};

use crate::support::{
    context::{Decision, TestContext},
    excerpt::excerpt,
    generate::{Lane, Maker},
    naive::{Naive, Outcome},
    naive_text::murmur3,
    ours::{HOST, Ours, read_decision},
};

const PAYLOADS: u64 = 3_000;
const FLAGS: usize = 12;
const CONTEXTS: usize = 8;

/// How often which outcome was seen, so that an evaluator that always says "off" is found out.
#[derive(Debug, Default)]
struct Seen {
    off: usize,
    on: usize,
    variants: usize,
    drawn: usize,
}

/// One flag, asked by both.
#[derive(Debug)]
struct Question<'a> {
    payload: &'a Value,
    flag: &'a str,
    context: &'a TestContext,
}

// === impl Question ===

impl Question<'_> {
    fn compare(&self, expected: &Outcome, got: &Decision, seen: &mut Seen) {
        let agrees = match expected {
            Outcome::Sure(decision) => got == decision,
            Outcome::DrawnVariant => got.enabled && got.variant.is_some(),
            // Statistics speak about these: see `draws`.
            Outcome::Drawn => true,
        };
        assert!(agrees, "{}", self.report(expected, got));
        match expected {
            Outcome::Sure(Decision { enabled: false, .. }) => seen.off += 1,
            Outcome::Sure(Decision { variant: None, .. }) => seen.on += 1,
            Outcome::Sure(_) => seen.variants += 1,
            Outcome::DrawnVariant | Outcome::Drawn => seen.drawn += 1,
        }
    }

    fn report(&self, expected: &Outcome, got: &Decision) -> String {
        let reproduction = excerpt(self.payload, self.flag);
        format!(
            "flag: {}\npayload: {reproduction}\ncontext: {:?}\nexpected: {expected:?}\ngot: {got:?}",
            self.flag, self.context,
        )
    }
}

#[test]
fn plan_decides_what_the_naive_evaluator_decides() {
    let mut seen = Seen::default();
    for seed in 0..PAYLOADS {
        let mut maker = Maker::new(Lane::Aimed, seed);
        let payload = maker.payload(FLAGS);
        let naive = Naive::new(&payload, HOST);
        let mut ours = Ours::new(&payload);
        ours.seed = seed;
        for _ in 0..CONTEXTS {
            let context = maker.context();
            compare_all(&payload, &naive, &mut ours, &context, &mut seen);
        }
    }
    println!("{seen:?}");
    assert!(seen.off > 10_000 && seen.on > 10_000 && seen.variants > 10_000, "{seen:?}");
}

/// One flag at a time, then all of them as the list tells them.
fn compare_all(
    payload: &Value,
    naive: &Naive<'_>,
    ours: &mut Ours,
    context: &TestContext,
    seen: &mut Seen,
) {
    let now = ours.now_millis;
    for feature in payload["features"].as_array().unwrap() {
        let flag = feature["name"].as_str().unwrap();
        let expected = naive.decide(flag, context, now);
        let got = ours.decide(flag, context);
        Question { payload, flag, context }.compare(&expected, &got, seen);
    }
    let (body, _) = ours.list(context, Show::All, Profile::Edge);
    let body: Value = serde_json::from_slice(&body).unwrap();
    for toggle in body["toggles"].as_array().unwrap() {
        let flag = toggle["name"].as_str().unwrap();
        let expected = naive.decide(flag, context, now);
        let got = read_decision(toggle);
        Question { payload, flag, context }.compare(&expected, &got, seen);
    }
}

/// A rollout per group length and an identifier per length: every alignment of block and tail.
#[test]
fn every_alignment_of_group_and_identifier_hashes_alike() {
    let letters = "abcdefghijklmnopqrstuvwxyz0123456789-_.~åé你😊";
    let prefix = |chars: usize| -> String { letters.chars().take(chars).collect() };
    let length = letters.chars().count();
    let features: Vec<Value> = (0..length)
        .map(|chars| {
            let parameters =
                json!({ "groupId": prefix(chars), "rollout": "50", "stickiness": "userId" });
            let variants = json!([{ "name": "a", "weight": 1 }, { "name": "b", "weight": 2 }]);
            json!({ "name": format!("group-{chars}"), "enabled": true, "strategies": [
                { "name": "flexibleRollout", "parameters": parameters, "variants": variants },
            ]})
        })
        .collect();
    let payload = json!({ "version": 2, "features": features });
    let naive = Naive::new(&payload, HOST);
    let mut ours = Ours::new(&payload);
    let mut seen = Seen::default();
    for chars in 0..length {
        compare_all(&payload, &naive, &mut ours, &TestContext::user(&prefix(chars)), &mut seen);
    }
    assert!(seen.variants > 500 && seen.off > 500, "{seen:?}");
}

/// The golden vectors of evaluation.md 3.4, so that the naive hash is nobody's mirror.
#[test]
fn naive_hash_reproduces_the_golden_vectors() {
    let golden: [(&str, u32, u32); 10] = [
        ("", 0, 4_002_661_964),
        ("a", 1_009_084_850, 1_778_238_603),
        ("ab", 2_613_040_991, 1_594_296_940),
        ("abc", 3_017_643_002, 212_112_276),
        ("abcd", 1_139_631_978, 2_679_851_658),
        ("abcde", 3_902_511_862, 1_101_984_857),
        ("g:", 2_914_506_663, 3_235_096_778),
        ("é", 269_551_495, 2_948_797_259),
        ("hello:world", 2_806_897_566, 219_839_100),
        ("Feature.Variants.A:0", 1_878_332_929, 839_185_900),
    ];
    for (text, rollout, variant) in golden {
        assert_eq!(murmur3(text.as_bytes(), 0), rollout, "`{text}`");
        assert_eq!(murmur3(text.as_bytes(), 86_028_157), variant, "`{text}`");
    }
}
