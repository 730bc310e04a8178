//! Random payloads and contexts for comparing engines.
//!
//! [`Lane::Ordinary`] stays where every engine agrees (evaluation.md 9: ASCII, whole percentages,
//! present groups, weights above zero, valid definitions, no draw that shows). [`Lane::Aimed`] adds
//! what the law decides but engines differ in, and leans on what a plan shares, folds and indexes.

use serde_json::{Value, json};

use crate::support::{context::TestContext, naive_text::RE2, payload::Rng};

/// How far a payload may stray.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Ordinary,
    Aimed,
}

/// Draws payloads and contexts.
#[derive(Debug)]
pub(crate) struct Maker {
    pub(crate) rng: Rng,
    lane: Lane,
    /// Whether `currentTime` may be a JSON number. Then nothing asks for its text, which is the
    /// engine's own affair: the law only says which date it is.
    has_numeric_times: bool,
}

/// Fields and the texts that contexts and definitions draw for them. Kept small, so that lists of
/// several flags overlap and contexts hit them.
const COUNTRIES: [&str; 6] = ["de", "DE", "fr", "se", "us", "Us"];
const PLANS: [&str; 5] = ["free", "pro", "Pro", "enterprise", "pro-plus"];
const USERS: [&str; 8] = ["1", "7", "42", "user-1", "user-22", "a@b.example", "0123", "Anna"];
const NUMBERS: [&str; 12] =
    ["0", "1", "-1", "7", "7.0", "7.5", "1e1", "+3", "5.", "100", "0.1", "-0"];
const VERSIONS: [&str; 9] = [
    "1.2.3",
    "1.2.4",
    "2.0.0",
    "2.0.0-alpha",
    "2.0.0-alpha.1",
    "2.0.0-beta",
    "2.0.0-rc.11",
    "2.0.0-rc.2",
    "2.0.0+7",
];
const DATES: [&str; 6] = [
    "2022-01-30T13:00:00.000Z",
    "2022-01-30T13:00:00Z",
    "2022-01-30T15:00:00+02:00",
    "2022-01-30T13:00:00.001Z",
    "2021-12-31T23:59:59Z",
    "2023-06-01T00:00:00.000-05:00",
];
const ADDRESSES: [&str; 7] = [
    "10.0.0.1",
    "10.0.0.200",
    "10.9.8.7",
    "192.168.1.5",
    "2001:db8::1",
    "2001:db8:1::1",
    "::ffff:10.0.0.1",
];
const NETWORKS: [&str; 9] = [
    "10.0.0.1",
    "10.0.0.0/24",
    "10.0.0.7/8",
    "192.168.0.0/16",
    "2001:db8::/32",
    "2001:db8::1",
    "0.0.0.0/0",
    "::/0",
    "10.0.0.0/255.0.0.0",
];
const PATTERNS: [&str; 8] =
    ["^[0-9]+$", "pro", "^(de|fr)$", "[A-Z]", "^.{2,4}$", "e.*e", "^user-[0-9]{1,2}$", "(unclosed"];
const GROUPS: [&str; 6] = ["g", "ab", "abc", "shared", "shared.group", "another.shared.group"];
const PERCENTAGES: [&str; 9] = ["0", "1", "10", "33", "50", "66", "99", "100", "050"];

// Only in the aimed lane.
const ODD_TEXTS: [&str; 12] = [
    "",
    " ",
    "å",
    "Ålesund",
    "ÅLESUND",
    "ΟΔΟΣ",
    "οδος",
    "你好",
    "user-😊",
    "a\"b",
    "a\\b",
    "x y\u{a0}z",
];
const ODD_PERCENTAGES: [&str; 14] = [
    "", "abc", "-1", "+50", " 50 ", "33.5", "100.0", "1e2", "101", "1000", "0.5", "0.0", "50%",
    "NaN",
];
const ODD_NUMBERS: [&str; 10] =
    ["", "abc", ".5", " 12 ", "0x10", "inf", "Infinity", "NaN", "1_000", "1.2.2"];
const ODD_VERSIONS: [&str; 9] =
    ["v2.0.0", "1.2", "01.2.3", "nope", "", " 1.2.3", "2.0.0-", "2.0.0-01", "1.2.3.4"];
const ODD_DATES: [&str; 10] = [
    "2022-01-30",
    "2022-01-30T13:00:00",
    "2022-01-30 13:00:00Z",
    "2022-01-30t13:00:00Z",
    "2022-01-30T13:00:00.000000001Z",
    "2022-01-30T13:00:00+0200",
    "2022-01-30T13:00:00 UTC",
    "2022-13-30T13:00:00Z",
    "yesterday",
    "",
];
const ODD_NETWORKS: [&str; 7] =
    ["", " 10.0.0.0/24 ", "10.0.0.0/33", "garbage", "2001:db8::/129", "10.0.0", "010.0.0.1"];
const OPERATORS: [&str; 19] = [
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
];
/// Every field but `currentTime`, with the texts it takes.
const FIELDS: [(&str, &[&str]); 11] = [
    ("userId", &USERS),
    ("sessionId", &["s1", "s2", "42", "session-3"]),
    ("environment", &["development", "production", "Production"]),
    ("appName", &["web", "Web", "web-2", "ios"]),
    ("remoteAddress", &ADDRESSES),
    ("tenant", &["t1", "t2", "t3", "tenant-4", "5"]),
    ("country", &COUNTRIES),
    ("plan", &PLANS),
    ("amount", &NUMBERS),
    ("version", &VERSIONS),
    ("since", &DATES),
];

// === impl Maker ===

impl Maker {
    pub(crate) fn new(lane: Lane, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let has_numeric_times = rng.chance(50);
        Self { rng, lane, has_numeric_times }
    }

    /// A payload of `flags` flags.
    pub(crate) fn payload(&mut self, flags: usize) -> Value {
        let segments: Vec<Value> = (1..=4).map(|id| self.segment(id)).collect();
        let mut features: Vec<Value> = (0..flags).map(|index| self.flag(index)).collect();
        for child in 1..features.len() {
            if self.rng.chance(20) {
                features[child]["dependencies"] = self.dependencies(&features);
            }
        }
        json!({ "version": 2, "features": features, "segments": segments })
    }

    /// A context. In the ordinary lane it has a user or a session, and always a tenant.
    pub(crate) fn context(&mut self) -> TestContext {
        let mut context = TestContext::new();
        for (field, texts) in FIELDS {
            let is_needed = self.lane == Lane::Ordinary
                && (field == "tenant" || (field == "sessionId" && context.top.is_empty()));
            if !is_needed && self.rng.chance(25) {
                continue;
            }
            let value = self.context_text(texts);
            let is_root = crate::support::context::ROOTS.contains(&field);
            context = match (is_root, self.aimed(8)) {
                (true, false) | (false, true) => context.top(field, &value),
                _ => context.property(field, &value),
            };
            if self.aimed(5) {
                let twin = self.context_text(texts);
                context = if self.rng.chance(50) {
                    context.top(field, &twin)
                } else {
                    context.property(field, &twin)
                };
            }
        }
        self.with_time(context)
    }

    fn with_time(&mut self, mut context: TestContext) -> TestContext {
        if self.rng.chance(50) {
            let text = *self.rng.pick(&DATES);
            let odd = *self.rng.pick(&ODD_DATES);
            context = context.top("currentTime", if self.aimed(30) { odd } else { text });
        } else if self.has_numeric_times && self.aimed(40) {
            context.time_millis = Some(1_643_547_600_000 + self.rng.below(2) as i64);
        }
        context
    }

    /// A value that the field's own definitions may know, or any other field's.
    fn context_text(&mut self, texts: &[&str]) -> String {
        if self.aimed(15) {
            return self.odd_text();
        }
        if self.rng.chance(20) {
            let (_, other) = *self.rng.pick(&FIELDS);
            return (*self.rng.pick(other)).to_owned();
        }
        (*self.rng.pick(texts)).to_owned()
    }

    /// Odd letters, or an identifier of 0 to 40 bytes: every length of a hash's tail.
    fn odd_text(&mut self) -> String {
        let pools: [&[&str]; 5] = [
            &ODD_TEXTS,
            &ODD_NUMBERS,
            &ODD_VERSIONS,
            &ODD_NETWORKS,
            &["fe80::1%eth0", "10.1.1.1/24"],
        ];
        if self.rng.chance(50) {
            let pool = *self.rng.pick(&pools);
            return (*self.rng.pick(pool)).to_owned();
        }
        let length = self.rng.below(41);
        (0..length).map(|_| char::from(b'a' + self.rng.below(26) as u8)).collect()
    }

    fn aimed(&mut self, percent: u64) -> bool {
        self.lane == Lane::Aimed && self.rng.chance(percent)
    }

    pub(crate) fn segment(&mut self, id: usize) -> Value {
        let count = self.rng.below(3);
        json!({ "id": id, "name": format!("s{id}"), "constraints": self.constraints(count) })
    }

    /// A flag without parents, called after `index`.
    pub(crate) fn flag(&mut self, index: usize) -> Value {
        let name = if self.aimed(10) { format!("flågg-{index}") } else { format!("flag-{index}") };
        let count = self.rng.below(4);
        let strategies: Vec<Value> = (0..count).map(|_| self.strategy(&name)).collect();
        let mut flag = json!({ "name": name, "enabled": self.rng.chance(85) });
        if !strategies.is_empty() || self.rng.chance(50) {
            flag["strategies"] = Value::Array(strategies);
        } else if self.rng.chance(50) {
            flag["strategies"] = Value::Null;
        }
        if self.rng.chance(40) {
            flag["variants"] = self.flag_variants();
        }
        flag
    }

    fn strategy(&mut self, flag: &str) -> Value {
        let group = if self.rng.chance(50) { flag } else { *self.rng.pick(&GROUPS) }.to_owned();
        let group = if self.rng.chance(3) { String::new() } else { group };
        let group = if self.aimed(8) { self.odd_text() } else { group };
        let (name, mut parameters) = match self.rng.below(16) {
            0 | 1 => ("default", json!({})),
            2 => ("userWithId", json!({ "userIds": self.listed(&USERS) })),
            3 => ("gradualRolloutUserId", json!({ "percentage": self.percentage() })),
            4 => ("gradualRolloutSessionId", json!({ "percentage": self.percentage() })),
            5 => {
                let whole = *self.rng.pick(&["0", "100"]);
                let drawn = self.percentage();
                let percentage = if self.aimed(50) { drawn } else { json!(whole) };
                ("gradualRolloutRandom", json!({ "percentage": percentage }))
            }
            6 => ("remoteAddress", json!({ "IPs": self.listed(&NETWORKS) })),
            7 => {
                let known = self.aimed(50);
                let names = if known { "a,  test-HOST ,b" } else { "a,b" };
                ("applicationHostname", json!({ "hostNames": names }))
            }
            8 => ("acmeCustom", json!({ "percentage": "100" })),
            _ => ("flexibleRollout", json!({ "rollout": self.percentage() })),
        };
        if name == "flexibleRollout" {
            self.make_sticky(&mut parameters);
        } else if self.aimed(15) {
            let field = *self.rng.pick(&["", "default", "tenant", "country", "sessionId"]);
            parameters["stickiness"] = json!(field);
        }
        if !self.aimed(20) {
            parameters["groupId"] = json!(group);
        }
        let variants = self.strategy_variants(&parameters);
        let count = self.rng.below(4).saturating_sub(1);
        let mut strategy = json!({ "name": name, "parameters": parameters, "constraints": self.constraints(count) });
        if self.rng.chance(25) {
            let ids: Vec<u64> = (0..=self.rng.below(2)).map(|_| 1 + self.rng.below(4)).collect();
            strategy["segments"] = if self.aimed(10) { json!([1, 99]) } else { json!(ids) };
        }
        if !variants.is_null() {
            strategy["variants"] = variants;
        }
        if self.aimed(3) {
            strategy["parameters"] = Value::Null;
        }
        strategy
    }

    fn make_sticky(&mut self, parameters: &mut Value) {
        let fields = [
            "default",
            "userId",
            "sessionId",
            "environment",
            "appName",
            "remoteAddress",
            "tenant",
            "country",
        ];
        if self.rng.chance(80) {
            parameters["stickiness"] = json!(self.rng.pick(&fields));
        }
        if self.rng.chance(4) {
            parameters["stickiness"] = json!("random");
            parameters["rollout"] = json!(self.rng.pick(&["0", "100"]));
        }
        if self.aimed(10) {
            parameters["stickiness"] = json!(self.odd_stickiness());
        }
    }

    fn odd_stickiness(&mut self) -> &'static str {
        let time = if self.has_numeric_times { "sessionId" } else { "currentTime" };
        self.rng.pick::<&str>(&["", "random", "missing", "userId", "country", time])
    }

    fn percentage(&mut self) -> Value {
        if self.aimed(25) {
            return match self.rng.below(8) {
                0 => json!(50),
                1 => json!(33.5),
                2 => Value::Null,
                _ => json!(self.rng.pick(&ODD_PERCENTAGES)),
            };
        }
        if self.rng.chance(50) {
            json!(self.rng.pick(&PERCENTAGES))
        } else {
            json!(self.rng.below(101).to_string())
        }
    }

    fn listed(&mut self, texts: &[&str]) -> String {
        let count = 1 + self.rng.below(4);
        let separator = *self.rng.pick(&[",", ", ", " ,"]);
        let mut items: Vec<String> =
            (0..count).map(|_| (*self.rng.pick(texts)).to_owned()).collect();
        if self.aimed(20) {
            items.insert(0, self.odd_text());
        }
        items.join(separator)
    }

    /// Variants that never show a draw: sticky to what the strategy already asked for, or single.
    fn strategy_variants(&mut self, parameters: &Value) -> Value {
        if !self.rng.chance(35) {
            return if self.rng.chance(50) { json!([]) } else { Value::Null };
        }
        let stickiness = parameters["stickiness"].as_str().unwrap_or("default").to_owned();
        let mut variants = self.variants();
        if stickiness == "random" {
            variants.truncate(1);
            variants[0]["weight"] = json!(10);
        }
        for variant in variants.iter_mut() {
            if self.rng.chance(50) {
                variant["stickiness"] = json!(stickiness);
            }
            if self.aimed(20) {
                variant["stickiness"] = json!(self.rng.pick(&["tenant", "country", "random", ""]));
            }
        }
        Value::Array(variants)
    }

    fn flag_variants(&mut self) -> Value {
        let mut variants = self.variants();
        let stickiness = *self.rng.pick(&["default", "tenant"]);
        for variant in variants.iter_mut() {
            if self.rng.chance(70) {
                variant["stickiness"] = json!(stickiness);
            }
            if self.aimed(10) {
                variant["stickiness"] = json!(self.odd_stickiness());
            }
            if self.rng.chance(20) {
                let (field, texts) = self.field();
                let values = [*self.rng.pick(texts), *self.rng.pick(texts)];
                variant["overrides"] = json!([{ "contextName": field, "values": values }]);
            }
        }
        Value::Array(variants)
    }

    fn variants(&mut self) -> Vec<Value> {
        let count = 1 + self.rng.below(4);
        let mut variants: Vec<Value> = (0..count)
            .map(|index| {
                let weight = *self.rng.pick(&[0, 1, 1, 33, 50, 333, 334, 1000]);
                let mut variant = json!({ "name": format!("v{index}"), "weight": weight });
                if self.rng.chance(60) {
                    let kind = *self.rng.pick(&["string", "json", "csv", "number"]);
                    let value =
                        *self.rng.pick(&["", "1", "{\"a\":[1,\"ü\"]}", "a,b", "line\nbreak"]);
                    variant["payload"] = json!({ "type": kind, "value": value });
                }
                variant
            })
            .collect();
        if !self.aimed(10) {
            variants[0]["weight"] = json!(self.rng.pick(&[1, 50, 500]));
        }
        if self.aimed(5) {
            variants[0]["weight"] = json!(-5);
        }
        variants
    }

    fn constraints(&mut self, count: u64) -> Value {
        (0..count).map(|_| self.constraint()).collect()
    }

    fn field(&mut self) -> (&'static str, &'static [&'static str]) {
        *self.rng.pick(&FIELDS)
    }

    fn constraint(&mut self) -> Value {
        let (mut field, texts) = self.field();
        let mut operator = *self.rng.pick(&OPERATORS);
        // Half of the time an operator that suits the field, so that conditions are met at all.
        if self.rng.chance(50) {
            let suited: &[&str] = match field {
                "amount" => &OPERATORS[5..10],
                "since" => &OPERATORS[10..12],
                "version" => &OPERATORS[12..17],
                "remoteAddress" => &OPERATORS[18..],
                _ => &OPERATORS[..5],
            };
            operator = *self.rng.pick(suited);
        }
        if operator.starts_with("DATE_") && self.rng.chance(60) {
            field = "currentTime";
        }
        if self.aimed(3) {
            operator = *self.rng.pick(&["NUM_NE", "SEMVER_", "in", "FUTURE_OPERATOR"]);
        }
        let mut constraint = json!({ "contextName": field, "operator": operator });
        if self.rng.chance(35) {
            constraint["inverted"] = json!(true);
        }
        if self.rng.chance(35) {
            constraint["caseInsensitive"] = json!(true);
        }
        self.add_operand(&mut constraint, texts);
        constraint
    }

    fn add_operand(&mut self, constraint: &mut Value, texts: &[&str]) {
        let operator = constraint["operator"].as_str().unwrap_or_default().to_owned();
        let one: (&[&str], &[&str]) = match operator.split('_').next() {
            Some("NUM") => (&NUMBERS, &ODD_NUMBERS),
            Some("DATE") => (&DATES, &ODD_DATES),
            Some("SEMVER") => (&VERSIONS, &ODD_VERSIONS),
            Some("REGEX") => (&PATTERNS, &[]),
            _ => return self.add_values(constraint, &operator, texts),
        };
        if self.aimed(3) {
            return;
        }
        let mut value = *self.rng.pick(one.0);
        if self.aimed(20) {
            value = match one.1 {
                [] => self.rng.pick(&RE2).0,
                odd => *self.rng.pick(odd),
            };
        }
        constraint["value"] = json!(value);
    }

    fn add_values(&mut self, constraint: &mut Value, operator: &str, texts: &[&str]) {
        let texts = if operator == "IN_CIDR" { &NETWORKS } else { texts };
        // Only `IN` and `NOT_IN` agree with everybody on an empty list.
        let least = if operator.ends_with("IN") { 0 } else { 1 };
        let least = if self.aimed(20) { 0 } else { least };
        let count = least + self.rng.below(5);
        let mut values: Vec<String> = (0..count)
            .map(|_| {
                let text = *self.rng.pick(texts);
                // Parts of a value, so that prefixes and suffixes are met.
                let is_part = operator.starts_with("STR_") && self.rng.chance(50);
                if is_part { text[text.len() / 2..].to_owned() } else { text.to_owned() }
            })
            .collect();
        if self.lane == Lane::Ordinary {
            values.retain(|value| !value.is_empty());
            if values.is_empty() && least > 0 {
                values.push("x".to_owned());
            }
        }
        if self.aimed(25) {
            values.push(self.odd_text());
        }
        constraint["values"] = json!(values);
        if self.aimed(4) {
            constraint["values"] = Value::Null;
        }
    }

    fn dependencies(&mut self, features: &[Value]) -> Value {
        let count = 1 + self.rng.below(2);
        (0..count)
            .map(|_| {
                let parent = self.rng.pick(features);
                let mut dependency = json!({ "feature": parent["name"] });
                if self.rng.chance(5) {
                    dependency["feature"] = json!("nobody");
                }
                match self.rng.below(4) {
                    0 => dependency["enabled"] = json!(true),
                    1 => dependency["enabled"] = json!(false),
                    2 => dependency["enabled"] = Value::Null,
                    _ => {}
                }
                if dependency["enabled"] != json!(false) && self.rng.chance(50) {
                    let has_variants = parent["variants"].as_array().is_some_and(|v| !v.is_empty());
                    let mut names = vec!["v0"];
                    if self.rng.chance(50) {
                        names.push("v1");
                    }
                    // Engines differ where a parent may be on without a variant (D-20).
                    if self.rng.chance(30) || !(has_variants || self.lane == Lane::Aimed) {
                        names.push("disabled");
                    }
                    dependency["variants"] = json!(names);
                } else if self.aimed(20) {
                    dependency["variants"] = json!(["v1"]);
                }
                dependency
            })
            .collect()
    }
}
