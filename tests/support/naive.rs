//! A deliberately naive evaluator: `spec/evaluation.md`, column *Ours*, read over plain JSON.
//!
//! Nothing is compiled, shared or remembered, so that whatever the plan folds, indexes or
//! pre-computes has an answer to be compared with. It asks for definitions whose types are right;
//! their values may be as odd as they like.

use std::{cmp::Ordering, collections::BTreeMap};

use serde_json::Value;

use crate::support::{
    context::{Decision, TestContext, Variant},
    naive_text::{self, Network},
};

const ROLLOUT_SEED: u32 = 0;
const VARIANT_SEED: u32 = 86_028_157;

/// A payload, searched anew for every question.
#[derive(Debug)]
pub(crate) struct Naive<'p> {
    features: BTreeMap<&'p str, &'p Value>,
    segments: BTreeMap<i64, &'p Value>,
    host: &'p str,
}

/// The answer, unless it hangs on a random draw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Sure(Decision),
    /// On, with a variant that a draw picks.
    DrawnVariant,
    /// A draw decides whether it is on.
    Drawn,
}

/// What a draw decides: the caller has to look at statistics instead.
#[derive(Debug, PartialEq)]
enum Drawn {
    Enabled,
    Variant,
}

/// What a flag is asked with.
#[derive(Debug)]
struct Ask {
    slots: BTreeMap<String, String>,
    time_millis: Option<i64>,
    now_millis: i64,
}

/// What a rollout or a set of variants is sticky to.
#[derive(Debug)]
enum Key<'c> {
    Given(&'c str),
    Missing,
    Random,
}

// === impl Naive ===

impl<'p> Naive<'p> {
    pub(crate) fn new(payload: &'p Value, host: &'p str) -> Self {
        // Later entries replace earlier ones: of two flags with one name the last counts.
        let features = list(&payload["features"]).iter();
        let segments = list(&payload["segments"]).iter();
        Self {
            features: features.filter_map(|f| Some((f["name"].as_str()?, f))).collect(),
            segments: segments.filter_map(|s| Some((s["id"].as_i64()?, s))).collect(),
            host,
        }
    }

    /// What the flag `name` is for `context` at `now_millis`.
    pub(crate) fn decide(&self, name: &str, context: &TestContext, now_millis: i64) -> Outcome {
        let ask = Ask { slots: context.slots(), time_millis: context.time_millis, now_millis };
        let Some(flag) = self.features.get(name) else {
            return Outcome::Sure(Decision::default());
        };
        match self.with_parents(flag, &ask) {
            Ok(decision) => Outcome::Sure(decision),
            Err(Drawn::Variant) => Outcome::DrawnVariant,
            Err(Drawn::Enabled) => Outcome::Drawn,
        }
    }

    fn with_parents(&self, flag: &Value, ask: &Ask) -> Result<Decision, Drawn> {
        let mut drawn = false;
        for dependency in list(&flag["dependencies"]) {
            match self.is_satisfied(dependency, ask) {
                Ok(true) => {}
                // One parent that says no is enough, whatever another one draws.
                Ok(false) => return Ok(Decision::default()),
                Err(_) => drawn = true,
            }
        }
        let alone = self.alone(flag, ask);
        let is_off = alone.as_ref().is_ok_and(|decision| !decision.enabled);
        if drawn && !is_off { Err(Drawn::Enabled) } else { alone }
    }

    /// Section 6.
    fn is_satisfied(&self, dependency: &Value, ask: &Ask) -> Result<bool, Drawn> {
        let parent = dependency["feature"].as_str().and_then(|name| self.features.get(name));
        let Some(parent) = parent else { return Ok(false) };
        if !list(&parent["dependencies"]).is_empty() {
            return Ok(false);
        }
        let wanted = list(&dependency["variants"]);
        let wants_off = dependency["enabled"] == Value::Bool(false);
        let decision = match self.alone(parent, ask) {
            // Whichever variant it is, the parent is on.
            Err(Drawn::Variant) if wants_off || wanted.is_empty() => return Ok(!wants_off),
            decision => decision?,
        };
        if wants_off {
            return Ok(!decision.enabled);
        }
        let chosen = decision.variant.map_or("disabled".to_owned(), |variant| variant.name);
        let is_wanted = wanted.iter().any(|name| name.as_str() == Some(&chosen));
        Ok(decision.enabled && (wanted.is_empty() || is_wanted))
    }

    /// The flag without its parents: sections 3.1 and 7.1.
    fn alone(&self, flag: &Value, ask: &Ask) -> Result<Decision, Drawn> {
        if flag["enabled"] != Value::Bool(true) {
            return Ok(Decision::default());
        }
        let name = flag["name"].as_str().unwrap_or_default();
        let strategies = list(&flag["strategies"]);
        let mut matched = None;
        for strategy in strategies {
            if self.matches(strategy, name, ask)? {
                matched = Some(strategy);
                break;
            }
        }
        if !strategies.is_empty() && matched.is_none() {
            return Ok(Decision::default());
        }
        let mut variant = None;
        if let Some(strategy) = matched {
            variant = strategy_variant(strategy, name, ask)?;
        }
        if variant.is_none() {
            variant = flag_variant(flag, name, ask)?;
        }
        Ok(Decision { enabled: true, variant })
    }

    fn matches(&self, strategy: &Value, flag: &str, ask: &Ask) -> Result<bool, Drawn> {
        for id in list(&strategy["segments"]) {
            let segment = id.as_i64().and_then(|id| self.segments.get(&id));
            let Some(segment) = segment else { return Ok(false) };
            if !list(&segment["constraints"]).iter().all(|constraint| holds(constraint, ask)) {
                return Ok(false);
            }
        }
        if !list(&strategy["constraints"]).iter().all(|constraint| holds(constraint, ask)) {
            return Ok(false);
        }
        self.passes(strategy, flag, ask)
    }

    /// Section 3.2.
    fn passes(&self, strategy: &Value, flag: &str, ask: &Ask) -> Result<bool, Drawn> {
        let parameter = |name: &str| parameter(strategy, name);
        let sticky = |field: &str| ask.get(field).filter(|value| !value.is_empty());
        match strategy["name"].as_str().unwrap_or_default() {
            "default" => Ok(true),
            "userWithId" => {
                let ids = parameter("userIds").unwrap_or_default();
                Ok(sticky("userId").is_some_and(|user| ids.split(',').any(|id| id.trim() == user)))
            }
            "flexibleRollout" => {
                let group = parameter("groupId").unwrap_or(flag.to_owned());
                let stickiness = parameter("stickiness").unwrap_or_default();
                rolled_out(&group, ask.key(&stickiness), parameter("rollout"))
            }
            "gradualRolloutUserId" | "gradualRolloutSessionId" => {
                let is_user = strategy["name"] == "gradualRolloutUserId";
                let field = if is_user { "userId" } else { "sessionId" };
                let group = parameter("groupId").unwrap_or_default();
                rolled_out(&group, ask.key(field), parameter("percentage"))
            }
            "gradualRolloutRandom" => rolled_out("", Key::Random, parameter("percentage")),
            "remoteAddress" => {
                let items = parameter("IPs").unwrap_or_default();
                Ok(is_in_networks(ask.get("remoteAddress"), items.split(',')))
            }
            "applicationHostname" => {
                let hosts = parameter("hostNames").unwrap_or_default().to_lowercase();
                Ok(hosts.split(',').any(|host| host.trim() == self.host.to_lowercase()))
            }
            _ => Ok(false),
        }
    }
}

// === impl Ask ===

impl Ask {
    fn get(&self, field: &str) -> Option<&str> {
        self.slots.get(field).map(String::as_str)
    }

    /// Sections 3.5 and 7.2: an empty value is a missing one.
    fn key(&self, stickiness: &str) -> Key<'_> {
        let sticky = |field: &str| self.get(field).filter(|value| !value.is_empty());
        match stickiness {
            "" | "default" => match sticky("userId").or(sticky("sessionId")) {
                Some(value) => Key::Given(value),
                None => Key::Random,
            },
            "random" => Key::Random,
            field => sticky(field).map_or(Key::Missing, Key::Given),
        }
    }
}

/// Section 3.3 and 3.4: on when the bucket of `group:key` is within `percentage`.
fn rolled_out(group: &str, key: Key<'_>, percentage: Option<String>) -> Result<bool, Drawn> {
    let Some(percentage) = percentage.and_then(|text| naive_text::number(&text)) else {
        return Ok(false);
    };
    let percentage = percentage.min(100.0);
    match key {
        Key::Missing => Ok(false),
        Key::Given(key) => {
            Ok(f64::from(bucket(group, key, 100, ROLLOUT_SEED)) <= percentage && percentage > 0.0)
        }
        Key::Random if percentage < 1.0 => Ok(false),
        Key::Random if percentage >= 100.0 => Ok(true),
        Key::Random => Err(Drawn::Enabled),
    }
}

/// Section 4.
fn holds(constraint: &Value, ask: &Ask) -> bool {
    let inverted = constraint["inverted"] == Value::Bool(true);
    base_result(constraint, ask).is_some_and(|base| base != inverted)
}

/// `None` is "never satisfied", inverted or not.
fn base_result(constraint: &Value, ask: &Ask) -> Option<bool> {
    let field = constraint["contextName"].as_str()?;
    let operator = constraint["operator"].as_str()?;
    let given = ask.get(field);
    let listed = || {
        let values = list(&constraint["values"]).iter().filter_map(Value::as_str);
        values.filter(|value| !value.is_empty())
    };
    let lower = constraint["caseInsensitive"] == Value::Bool(true);
    let folded = |text: &str| if lower { text.to_lowercase() } else { text.to_owned() };
    let any_text = |test: fn(&str, &str) -> bool| {
        given.is_some_and(|given| listed().any(|value| test(&folded(given), &folded(value))))
    };
    match operator {
        "IN" => Some(given.is_some_and(|given| listed().any(|value| value == given))),
        "NOT_IN" => Some(!given.is_some_and(|given| listed().any(|value| value == given))),
        "STR_STARTS_WITH" => Some(any_text(|given, value| given.starts_with(value))),
        "STR_ENDS_WITH" => Some(any_text(|given, value| given.ends_with(value))),
        "STR_CONTAINS" => Some(any_text(|given, value| given.contains(value))),
        "IN_CIDR" => Some(is_in_networks(given, listed())),
        "REGEX" => {
            let pattern = constraint["value"].as_str()?;
            let regex = naive_text::regex(pattern, lower);
            Some(given.is_some_and(|given| regex.is_some_and(|regex| regex.is_match(given))))
        }
        "DATE_AFTER" | "DATE_BEFORE" => {
            let limit = naive_text::date_nanos(constraint["value"].as_str()?)?;
            let given = match (field, given, ask.time_millis) {
                ("currentTime", _, Some(millis)) => Some(i128::from(millis) * 1_000_000),
                ("currentTime", None, None) => Some(i128::from(ask.now_millis) * 1_000_000),
                (_, given, _) => given.and_then(naive_text::date_nanos),
            };
            Some(given.is_some_and(|given| compares(operator, given.cmp(&limit))))
        }
        _ if operator.starts_with("NUM_") => {
            let limit = naive_text::number(constraint["value"].as_str()?)?;
            compare_with(operator, "NUM_")?;
            let given = given.and_then(naive_text::number);
            let order = given.and_then(|given| given.partial_cmp(&limit));
            Some(order.is_some_and(|order| compares(operator, order)))
        }
        _ if operator.starts_with("SEMVER_") => {
            let limit = naive_text::version(constraint["value"].as_str()?)?;
            compare_with(operator, "SEMVER_")?;
            let given = given.and_then(naive_text::version);
            Some(given.is_some_and(|given| compares(operator, given.cmp(&limit))))
        }
        _ => None,
    }
}

/// `None` when `operator` is not one of the five comparisons behind `prefix`.
fn compare_with(operator: &str, prefix: &str) -> Option<()> {
    let comparison = operator.strip_prefix(prefix)?;
    ["EQ", "GT", "GTE", "LT", "LTE"].contains(&comparison).then_some(())
}

fn compares(operator: &str, order: Ordering) -> bool {
    match operator.rsplit('_').next() {
        Some("EQ") => order.is_eq(),
        Some("GT" | "AFTER") => order.is_gt(),
        Some("GTE") => order.is_ge(),
        Some("LT" | "BEFORE") => order.is_lt(),
        Some("LTE") => order.is_le(),
        _ => false,
    }
}

/// Section 4.8.
fn is_in_networks<'t>(given: Option<&str>, items: impl Iterator<Item = &'t str>) -> bool {
    let Some(address) = given.and_then(|given| given.parse().ok()) else { return false };
    let mut networks = items.filter_map(|item| Network::parse(item.trim()));
    networks.any(|network| network.contains(address))
}

/// Section 7.1, step 3.
fn strategy_variant(strategy: &Value, flag: &str, ask: &Ask) -> Result<Option<Variant>, Drawn> {
    let variants = list(&strategy["variants"]);
    let own = parameter(strategy, "stickiness").filter(|stickiness| !stickiness.is_empty());
    let stickiness = own.or_else(|| first_stickiness(variants)).unwrap_or_default();
    let group = parameter(strategy, "groupId").unwrap_or(flag.to_owned());
    pick(variants, &group, ask.key(&stickiness))
}

/// Section 7.1, step 4.
fn flag_variant(flag: &Value, name: &str, ask: &Ask) -> Result<Option<Variant>, Drawn> {
    let variants = list(&flag["variants"]);
    // D-17: a set without weight yields nothing, not even to an override.
    let is_weighted = variants.iter().any(|variant| weight(variant) > 0);
    for variant in variants.iter().filter(|_| is_weighted) {
        for rule in list(&variant["overrides"]) {
            let given = rule["contextName"].as_str().and_then(|field| ask.get(field));
            let is_listed = |given| list(&rule["values"]).iter().any(|v| v.as_str() == Some(given));
            if given.is_some_and(is_listed) {
                return Ok(Some(variant_of(variant)));
            }
        }
    }
    pick(variants, name, ask.key(&first_stickiness(variants).unwrap_or_default()))
}

fn first_stickiness(variants: &[Value]) -> Option<String> {
    Some(variants.first()?["stickiness"].as_str()?.to_owned())
}

/// Section 7.2: the first variant whose running sum reaches the target.
fn pick(variants: &[Value], group: &str, key: Key<'_>) -> Result<Option<Variant>, Drawn> {
    let eligible: Vec<&Value> = variants.iter().filter(|variant| weight(variant) > 0).collect();
    let total = eligible.iter().map(|variant| weight(variant)).sum();
    let target = match (eligible.as_slice(), key) {
        ([], _) => return Ok(None),
        ([only], _) => return Ok(Some(variant_of(only))),
        (_, Key::Given(key)) => bucket(group, key, total, VARIANT_SEED),
        (_, Key::Missing | Key::Random) => return Err(Drawn::Variant),
    };
    let mut reached = 0;
    let chosen = eligible.into_iter().find(|variant| {
        reached += weight(variant);
        reached >= target
    });
    Ok(chosen.map(variant_of))
}

/// A negative weight counts as 0.
fn weight(variant: &Value) -> u32 {
    variant["weight"].as_i64().unwrap_or_default().max(0) as u32
}

fn variant_of(variant: &Value) -> Variant {
    let payload = variant.get("payload").filter(|payload| !payload.is_null()).cloned();
    Variant { name: variant["name"].as_str().unwrap_or_default().to_owned(), payload }
}

/// Section 3.4: 1 to `modulus`.
fn bucket(group: &str, key: &str, modulus: u32, seed: u32) -> u32 {
    naive_text::murmur3(format!("{group}:{key}").as_bytes(), seed) % modulus + 1
}

/// A parameter's text; a JSON number counts as its text.
fn parameter(strategy: &Value, name: &str) -> Option<String> {
    match &strategy["parameters"][name] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
