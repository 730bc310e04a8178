//! Realistic feature payloads and contexts, the same for the same seed.
//!
//! What a server would send to a company with a few teams: a third of the flags off, the rest plain,
//! rolled out by percentage, constrained, in segments, with variants and parents. Every value stays
//! where the engines we measure and compare ourselves with agree, so that one payload serves
//! benches, load tests and differential tests.

#![allow(dead_code, reason = "each crate that includes this file uses its part of it")]
#![allow(clippy::indexing_slicing, reason = "a generator that goes wrong should stop")]

use serde_json::{Map, Value, json};

/// Users that contexts and lists are drawn from.
const USERS: u64 = 10_000;
/// One segment for so many flags.
const FLAGS_PER_SEGMENT: usize = 50;
/// One flag in so many has a parent.
const FLAGS_PER_CHILD: usize = 20;

const TEAMS: [&str; 8] =
    ["billing", "cart", "checkout", "login", "mobile", "profile", "search", "web"];
const TOPICS: [&str; 10] = [
    "banner",
    "cache",
    "dark-mode",
    "discount",
    "export",
    "layout",
    "offers",
    "reviews",
    "sharing",
    "upsell",
];
const PROJECTS: [&str; 3] = ["default", "shop", "platform"];
const COUNTRIES: [&str; 16] = [
    "AT", "BE", "BR", "CH", "DE", "DK", "ES", "FI", "FR", "GB", "IT", "JP", "NO", "PL", "SE", "US",
];
const APPS: [&str; 5] = ["shop-android", "shop-ios", "shop-web", "backoffice", "kiosk"];
const PERCENTAGES: [u32; 7] = [0, 5, 10, 25, 50, 75, 100];

/// A small deterministic source of numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

/// How user ids are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `user-123456`.
    Counted,
    /// 36 characters.
    Uuid,
}

/// Where a list of users stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// In an `IN` constraint.
    Constraint,
    /// In the parameters of `userWithId`.
    Strategy,
}

/// How many flags, which numbers.
#[derive(Debug)]
struct Generator {
    rng: Rng,
    segments: usize,
}

/// A `/client/features` answer with `flags` flags in byte order of their names.
pub(crate) fn payload(flags: usize, seed: u64) -> Value {
    let segments = flags.div_ceil(FLAGS_PER_SEGMENT);
    let mut generator = Generator { rng: Rng::new(seed), segments };
    let mut features: Vec<Value> = (0..flags).map(|index| generator.flag(index)).collect();
    generator.add_parents(&mut features);
    features.sort_by(|left, right| left["name"].as_str().cmp(&right["name"].as_str()));
    let segments: Vec<Value> = (1..=segments).map(|id| generator.segment(id)).collect();
    json!({
        "version": 2,
        "features": features,
        "segments": segments,
        "query": { "environment": "production", "inlineSegmentConstraints": false },
        "meta": { "revisionId": 4711, "etag": "\"76d8bb0e:4711:v1\"", "queryHash": "76d8bb0e" },
    })
}

/// Contexts as clients send them: up to seven fields, some of them absent, always an id.
pub(crate) fn contexts(count: usize, seed: u64) -> Vec<Value> {
    let mut rng = Rng::new(seed ^ 0x636f_6e74_6578_7473);
    (0..count).map(|_| context(&mut rng)).collect()
}

/// Distinct user ids as account systems make them.
pub(crate) fn many_users(spelling: Spelling, count: u32) -> Vec<String> {
    let mut rng = Rng::new(u64::from(count));
    (0..count)
        .map(|number| match spelling {
            Spelling::Counted => format!("user-{}", 100_000 + number),
            Spelling::Uuid => {
                let (high, low) = (rng.next(), rng.next());
                format!(
                    "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
                    high >> 32,
                    high >> 16 & 0xffff,
                    high & 0xfff,
                    0x8000 | low >> 48 & 0x3fff,
                    low & 0xffff_ffff_ffff
                )
            }
        })
        .collect()
}

/// One flag, called `huge`, that is on for these users.
pub(crate) fn huge_list(listed: Listed, users: &[String]) -> Value {
    let mut strategy = match listed {
        Listed::Constraint => strategy("default", json!({})),
        Listed::Strategy => strategy("userWithId", json!({ "userIds": users.join(",") })),
    };
    if listed == Listed::Constraint {
        strategy["constraints"] =
            json!([{ "contextName": "userId", "operator": "IN", "values": users }]);
    }
    let flag = json!({
        "name": "huge",
        "type": "release",
        "enabled": true,
        "project": "default",
        "strategies": [strategy],
        "variants": [],
    });
    json!({ "version": 2, "features": [flag] })
}

fn context(rng: &mut Rng) -> Value {
    let mut top = Map::new();
    let user = rng.chance(80);
    if user {
        top.insert("userId".into(), json!(user_id(rng)));
    }
    if !user || rng.chance(90) {
        top.insert("sessionId".into(), json!(format!("{:016x}", rng.next())));
    }
    if rng.chance(90) {
        top.insert("remoteAddress".into(), json!(address(rng)));
    }
    if rng.chance(95) {
        top.insert("appName".into(), json!(rng.pick(&APPS)));
    }
    let mut properties = Map::new();
    if rng.chance(90) {
        properties.insert("country".into(), json!(rng.pick(&COUNTRIES)));
    }
    if rng.chance(80) {
        properties.insert("appVersion".into(), json!(version(rng)));
    }
    if rng.chance(60) {
        properties.insert("age".into(), json!(rng.below(90).to_string()));
    }
    top.insert("properties".into(), Value::Object(properties));
    Value::Object(top)
}

fn user_id(rng: &mut Rng) -> String {
    format!("user-{}", rng.below(USERS))
}

fn address(rng: &mut Rng) -> String {
    if rng.chance(15) {
        format!("2001:db8:{:x}::{:x}", rng.below(16), 1 + rng.below(0xfffe))
    } else {
        format!("10.{}.{}.{}", rng.below(8), rng.below(256), 1 + rng.below(254))
    }
}

fn version(rng: &mut Rng) -> String {
    let release = format!("{}.{}.{}", 1 + rng.below(4), rng.below(10), rng.below(20));
    if rng.chance(10) { format!("{release}-beta.{}", rng.below(5)) } else { release }
}

fn name_of(index: usize) -> String {
    let (team, topic) = (TEAMS[index % TEAMS.len()], TOPICS[index / 8 % TOPICS.len()]);
    format!("{team}.{topic}-{index:04}")
}

// === impl Rng ===

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to `bound` - 1. `bound` must not be 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in `percent` of 100 calls.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which must not be empty.
    pub(crate) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

// === impl Generator ===

impl Generator {
    fn flag(&mut self, index: usize) -> Value {
        let name = name_of(index);
        let enabled = !self.rng.chance(33);
        let strategies: Vec<Value> = match self.rng.below(10) {
            0 | 1 => vec![strategy("default", json!({}))],
            2..=4 => vec![self.rollout(&name)],
            5 | 6 => vec![self.constrained(&name)],
            7 => vec![self.listed()],
            8 => vec![self.constrained(&name), self.rollout(&name)],
            _ => vec![self.listed(), self.with_variants(&name)],
        };
        let variants = if self.rng.chance(10) { self.legacy_variants() } else { json!([]) };
        json!({
            "name": name,
            "type": self.rng.pick(&["release", "experiment", "operational", "kill-switch"]),
            "description": format!("Decides whether {} is shown", TOPICS[index % TOPICS.len()]),
            "enabled": enabled,
            "project": self.rng.pick(&PROJECTS),
            "stale": self.rng.chance(5),
            "impressionData": self.rng.chance(10),
            "strategies": strategies,
            "variants": variants,
        })
    }

    fn rollout(&mut self, group: &str) -> Value {
        let percentage = self.rng.pick(&PERCENTAGES).to_string();
        let stickiness = *self.rng.pick(&["default", "default", "userId", "sessionId"]);
        let parameters =
            json!({ "groupId": group, "rollout": percentage, "stickiness": stickiness });
        strategy("flexibleRollout", parameters)
    }

    fn constrained(&mut self, group: &str) -> Value {
        let mut strategy = self.rollout(group);
        if self.rng.chance(40) {
            let id = 1 + self.rng.below(self.segments as u64);
            strategy["segments"] = json!([id]);
        }
        let count = 1 + self.rng.below(3);
        strategy["constraints"] = (0..count).map(|_| self.constraint()).collect();
        strategy
    }

    fn listed(&mut self) -> Value {
        if self.rng.chance(60) {
            let count = 3 + self.rng.below(30);
            let users: Vec<String> = (0..count).map(|_| user_id(&mut self.rng)).collect();
            return strategy("userWithId", json!({ "userIds": users.join(", ") }));
        }
        strategy("remoteAddress", json!({ "IPs": self.networks().join(",") }))
    }

    fn with_variants(&mut self, group: &str) -> Value {
        let mut strategy = self.rollout(group);
        let stickiness = strategy["parameters"]["stickiness"].clone();
        let mut variants = self.variants();
        for variant in variants.iter_mut() {
            variant["stickiness"] = stickiness.clone();
        }
        strategy["variants"] = Value::Array(variants);
        strategy
    }

    fn legacy_variants(&mut self) -> Value {
        let mut variants = self.variants();
        if self.rng.chance(30) {
            let values = [user_id(&mut self.rng), user_id(&mut self.rng)];
            variants[0]["overrides"] = json!([{ "contextName": "userId", "values": values }]);
        }
        for variant in variants.iter_mut() {
            variant["stickiness"] = json!("default");
        }
        Value::Array(variants)
    }

    /// Two to four variants whose weights sum to 1,000, as the server normalises them.
    fn variants(&mut self) -> Vec<Value> {
        let count = 2 + self.rng.below(3);
        (0..count)
            .map(|index| {
                let weight = 1000 / count + if index == 0 { 1000 % count } else { 0 };
                let mut variant = json!({
                    "name": format!("variant-{index}"),
                    "weight": weight,
                    "weightType": "variable",
                });
                match self.rng.below(4) {
                    0 => {}
                    1 => variant["payload"] = json!({ "type": "string", "value": "Save 10 %" }),
                    2 => {
                        let value =
                            format!("{{\"columns\":{index},\"title\":\"New \\\"look\\\"\"}}");
                        variant["payload"] = json!({ "type": "json", "value": value });
                    }
                    _ => variant["payload"] = json!({ "type": "number", "value": "12.5" }),
                }
                variant
            })
            .collect()
    }

    fn segment(&mut self, id: usize) -> Value {
        let count = 1 + self.rng.below(2);
        let constraints: Vec<Value> = (0..count).map(|_| self.constraint()).collect();
        json!({ "id": id, "name": format!("segment-{id}"), "constraints": constraints })
    }

    fn constraint(&mut self) -> Value {
        let (field, operator, operand) = match self.rng.below(12) {
            0 | 1 => ("country", *self.rng.pick(&["IN", "NOT_IN"]), self.countries()),
            2 | 3 => ("userId", *self.rng.pick(&["IN", "NOT_IN"]), self.users()),
            4 => ("appName", "STR_STARTS_WITH", values(&["shop", "Back"])),
            5 => ("appName", "STR_CONTAINS", values(&["-web", "kiosk"])),
            6 => ("userId", "STR_ENDS_WITH", values(&["7", "42"])),
            7 => {
                let operator =
                    *self.rng.pick(&["NUM_EQ", "NUM_GT", "NUM_GTE", "NUM_LT", "NUM_LTE"]);
                ("age", operator, value(&self.rng.below(90).to_string()))
            }
            8 => {
                let operator = *self.rng.pick(&["DATE_AFTER", "DATE_BEFORE"]);
                let date = *self.rng.pick(&["2021-06-01T00:00:00.000Z", "2090-01-01T00:00:00Z"]);
                ("currentTime", operator, value(date))
            }
            9 => {
                let operators = ["SEMVER_EQ", "SEMVER_GT", "SEMVER_GTE", "SEMVER_LT", "SEMVER_LTE"];
                ("appVersion", *self.rng.pick(&operators), value(&version(&mut self.rng)))
            }
            10 => ("remoteAddress", "IN_CIDR", json!({ "values": self.networks() })),
            _ => {
                let pattern = *self.rng.pick(&["^user-[0-9]{2}5", "[13579]$", "-(1|22|333)"]);
                ("userId", "REGEX", value(pattern))
            }
        };
        let mut constraint = json!({
            "contextName": field,
            "operator": operator,
            "values": [],
            "inverted": operator != "REGEX" && self.rng.chance(15),
            "caseInsensitive": operator.starts_with("STR") && self.rng.chance(40),
        });
        if let (Some(constraint), Value::Object(operand)) = (constraint.as_object_mut(), operand) {
            constraint.extend(operand);
        }
        constraint
    }

    fn countries(&mut self) -> Value {
        let count = 3 + self.rng.below(6);
        let picked: Vec<&str> = (0..count).map(|_| *self.rng.pick(&COUNTRIES)).collect();
        values(&picked)
    }

    /// A list of 3 to 500 users; most are short.
    fn users(&mut self) -> Value {
        let longest = *self.rng.pick(&[10, 10, 20, 20, 50, 100, 497]);
        let count = 3 + self.rng.below(longest + 1);
        let users: Vec<String> = (0..count).map(|_| user_id(&mut self.rng)).collect();
        json!({ "values": users })
    }

    fn networks(&mut self) -> Vec<String> {
        let count = 2 + self.rng.below(6);
        (0..count)
            .map(|_| match self.rng.below(4) {
                0 => format!("10.{}.0.0/16", self.rng.below(8)),
                1 => format!("10.{}.{}.0/24", self.rng.below(8), self.rng.below(256)),
                2 => format!("2001:db8:{:x}::/48", self.rng.below(16)),
                _ => address(&mut self.rng),
            })
            .collect()
    }

    /// Gives one flag in [`FLAGS_PER_CHILD`] a parent that has none itself.
    fn add_parents(&mut self, features: &mut [Value]) {
        for child in (0..features.len()).skip(7).step_by(FLAGS_PER_CHILD) {
            // The seven flags before it are never children.
            let parent = &features[child - 1 - self.rng.below(7) as usize];
            let mut dependency = json!({ "feature": parent["name"], "enabled": true });
            match &parent["variants"] {
                Value::Array(variants) if !variants.is_empty() => {
                    dependency["variants"] = json!([variants[0]["name"]]);
                }
                _ => {}
            }
            features[child]["dependencies"] = json!([dependency]);
        }
    }
}

fn strategy(name: &str, parameters: Value) -> Value {
    json!({ "name": name, "constraints": [], "parameters": parameters, "variants": [] })
}

fn values(values: &[&str]) -> Value {
    json!({ "values": values })
}

fn value(value: &str) -> Value {
    json!({ "value": value })
}
