//! An explanation says what the evaluation says, and its parts add up to it.

use offleash::engine::{
    ChoiceReason, ConstraintReason, Context, DecidedAt, Explanation, Features, Host, Identity,
    ParentReason, ParentState, Plan, Projects, RolloutReason, Scratch, Seen, StrategyReason,
    StrategyRuling, TestReason, Unexplained, WantedState, compile,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    any_input::any_context,
    cases,
    support::{
        context::TestContext,
        generate::{Lane, Maker},
        hostile::wounded_payload,
        ours::{HOST, Ours},
    },
};

const NOW_MILLIS: i64 = 1_700_000_000_000;

/// A payload with the memory to explain it.
#[derive(Debug)]
struct Explained {
    features: Features,
    plan: Plan,
    context: Context,
    scratch: Scratch,
    tally: Tally,
}

/// How often which node was met, so that a check that checks nothing is found out.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    on: usize,
    off: usize,
    folded: usize,
    satisfied_parents: usize,
    failing_parents: usize,
    holding_constraints: usize,
    failing_constraints: usize,
    segments: usize,
    buckets: usize,
    chances: usize,
    draws: usize,
    overrides: usize,
}

// === impl Explained ===

impl Explained {
    fn new(payload: &Value, projects: &Projects) -> Self {
        let (features, _) = Features::parse(&serde_json::to_vec(payload).unwrap()).unwrap();
        let (plan, _) = compile(&features, projects, &Host { name: HOST.to_owned() });
        let (context, scratch) = (Context::new(), Scratch::new());
        Self { features, plan, context, scratch, tally: Tally::default() }
    }

    /// Explains the flag `name`, having checked that the explanation is one.
    fn explain(&mut self, name: &str, context: &TestContext, seed: u64) -> Explanation {
        let flag = self.plan.flag(name).unwrap();
        context.write(self.context.start(&self.plan, NOW_MILLIS, seed));
        let explanation = self
            .plan
            .explain(&self.features, name, &self.context, &mut self.scratch)
            .unwrap_or_else(|err| panic!("`{name}`: {err}"));
        let verdict = self.plan.evaluate_one(flag, &self.context, &mut self.scratch);
        assert_eq!(explanation.enabled, verdict.enabled, "{explanation:#?}");
        assert_eq!(explanation.variant.as_deref(), verdict.variant, "{explanation:#?}");
        self.tally.check(&explanation);
        if explanation.decided == DecidedAt::Compile {
            self.context.start(&self.plan, 0, !seed);
            let other = self.plan.evaluate_one(flag, &self.context, &mut self.scratch);
            assert_eq!(other, verdict, "{explanation:#?}");
        }
        explanation
    }
}

// === impl Tally ===

impl Tally {
    /// The parts of an explanation agree with each other.
    fn check(&mut self, of: &Explanation) {
        let parents = of.parents.iter().all(|parent| parent.satisfied);
        let first = of.strategies.iter().find(|strategy| strategy.satisfied == Some(true));
        let strategies = of.strategies.is_empty() || first.is_some();
        assert_eq!(of.enabled, of.switched_on && parents && strategies, "{of:#?}");
        assert_eq!(of.first_satisfied, first.map(|strategy| strategy.position), "{of:#?}");
        for (position, strategy) in (1..).zip(&of.strategies) {
            assert_eq!(strategy.position, position);
            assert!(self.is_consistent(of, strategy), "{strategy:#?}\nof {of:#?}");
        }
        for parent in &of.parents {
            assert_eq!(parent.satisfied, is_wanted(parent), "{of:#?}");
            let tally = &mut self.failing_parents;
            *if parent.satisfied { &mut self.satisfied_parents } else { tally } += 1;
        }
        match &of.choice {
            Some(choice) => assert!(of.enabled && self.chooses(choice, of), "{of:#?}"),
            None => assert_eq!(of.variant, None, "{of:#?}"),
        }
        *if of.enabled { &mut self.on } else { &mut self.off } += 1;
        self.folded += usize::from(of.decided == DecidedAt::Compile);
    }

    fn is_consistent(&mut self, of: &Explanation, strategy: &StrategyReason) -> bool {
        let constraints = strategy.constraints.iter();
        let mut parts: Vec<Option<bool>> = Vec::new();
        for constraint in constraints.chain(strategy.segments.iter().flat_map(|s| &s.constraints)) {
            assert!(self.is_told(constraint), "{constraint:?}");
            parts.push(constraint.holds);
        }
        for segment in &strategy.segments {
            self.segments += 1;
            let all: Vec<Option<bool>> = segment.constraints.iter().map(|c| c.holds).collect();
            let expected = if segment.fault.is_some() { Some(false) } else { conjunction(&all) };
            assert_eq!(segment.holds, expected, "{segment:#?}");
            parts.push(segment.holds);
        }
        parts.push(match &strategy.test {
            TestReason::Nothing => Some(true),
            TestReason::Listed(constraint) => {
                assert!(self.is_told(constraint), "{constraint:?}");
                constraint.holds
            }
            TestReason::Hostname { holds, .. } => Some(*holds),
            TestReason::Rollout(rollout) => {
                assert!(self.rolls_out(rollout), "{rollout:#?}");
                rollout.holds
            }
            TestReason::Unknown => Some(false),
        });
        let (whole, satisfied) = (conjunction(&parts), strategy.satisfied);
        let is_before = |other: &&StrategyReason| other.position < strategy.position;
        let mut before = of.strategies.iter().filter(is_before);
        match strategy.ruling {
            StrategyRuling::Open => whole.is_some() && whole == satisfied,
            StrategyRuling::Always => whole == Some(true) && whole == satisfied,
            StrategyRuling::Never | StrategyRuling::Faulty => {
                let is_faulty = strategy.ruling == StrategyRuling::Faulty;
                whole == Some(false) && satisfied == whole && strategy.fault.is_some() == is_faulty
            }
            StrategyRuling::Unreached => {
                satisfied.is_none() && before.any(|s| s.ruling == StrategyRuling::Always)
            }
            StrategyRuling::Unasked => satisfied.is_none() && !of.enabled,
        }
    }

    fn is_told(&mut self, constraint: &ConstraintReason) -> bool {
        match constraint.holds {
            Some(true) => self.holding_constraints += 1,
            Some(false) => self.failing_constraints += 1,
            None => {}
        }
        let is_not = constraint.operator == "NOT_IN";
        let is_bounded = constraint.operands.shown.len() == constraint.operands.count.min(10);
        // A missing value satisfies nothing, so that only inversions hold.
        let is_absent = constraint.seen == Seen::Absent && constraint.faults.is_empty();
        let is_inverted = constraint.inverted != is_not;
        let agrees = !is_absent || constraint.holds.is_none_or(|holds| holds == is_inverted);
        let is_asked = constraint.seen != Seen::NotAsked
            || constraint.holds.is_none()
            || constraint.operands.count == 0
            || constraint.operands.shown.iter().any(String::is_empty)
            || !constraint.faults.is_empty();
        is_bounded && agrees && is_asked
    }

    fn rolls_out(&mut self, rollout: &RolloutReason) -> bool {
        self.buckets += usize::from(rollout.bucket.is_some());
        self.chances += usize::from(rollout.identified_by == Some(Identity::Chance));
        let holds = rollout.holds;
        match (rollout.bucket, rollout.percentage) {
            (Some(bucket), Some(percentage)) => {
                (1..=100).contains(&bucket)
                    && !matches!(rollout.identified_by, None | Some(Identity::Nobody))
                    && holds == Some(bucket <= u32::from(percentage))
            }
            (Some(_), None) => false,
            (None, None | Some(0)) => holds == Some(false),
            (None, Some(100)) => match rollout.identified_by {
                None => matches!(holds, None | Some(true)),
                Some(Identity::Field(_)) => holds == Some(true),
                Some(Identity::Nobody) => holds == Some(false),
                Some(Identity::Chance) => false,
            },
            (None, Some(_)) => match rollout.identified_by {
                None => holds.is_none(),
                Some(Identity::Nobody) => holds == Some(false),
                Some(Identity::Field(_) | Identity::Chance) => false,
            },
        }
    }

    fn chooses(&mut self, choice: &ChoiceReason, of: &Explanation) -> bool {
        let hit = choice.overrides.iter().find(|over| over.holds);
        self.draws += usize::from(choice.bucket.is_some());
        self.overrides += usize::from(hit.is_some());
        let total = choice.shares.last().map(|share| share.up_to);
        let chosen = match (hit, choice.bucket) {
            (Some(over), None) => Some(over.variant.as_str()),
            (Some(_), Some(_)) => return false,
            (None, Some(bucket)) => {
                if !(1..=choice.total.unwrap()).contains(&bucket) {
                    return false;
                }
                let share = choice.shares.iter().find(|share| share.up_to >= bucket);
                share.map(|share| share.variant.as_str())
            }
            // One variant has all the weight.
            (None, None) => of.variant.as_deref(),
        };
        let is_drawn = choice.bucket.is_some();
        choice.variant.is_some()
            && choice.variant == of.variant
            && choice.total == total
            && chosen == choice.variant.as_deref()
            && choice.identified_by.is_some() == is_drawn
            && choice.identified_by != Some(Identity::Nobody)
    }
}

fn is_wanted(parent: &ParentReason) -> bool {
    match (&parent.state, &parent.wanted) {
        (ParentState::Unknown | ParentState::HasParents, _) => false,
        (ParentState::Off, wanted) => *wanted == WantedState::Off,
        (ParentState::On { .. }, WantedState::Off) => false,
        (ParentState::On { .. }, WantedState::On) => true,
        (ParentState::On { variant }, WantedState::Variants(names)) => {
            names.iter().any(|name| name == variant.as_deref().unwrap_or("disabled"))
        }
    }
}

fn conjunction(parts: &[Option<bool>]) -> Option<bool> {
    if parts.contains(&Some(false)) {
        Some(false)
    } else if parts.contains(&None) {
        None
    } else {
        Some(true)
    }
}

/// The names of the flags that are there, each once.
fn names(payload: &Value) -> Vec<String> {
    let features = payload["features"].as_array().unwrap().iter();
    features.filter_map(|feature| feature["name"].as_str()).map(str::to_owned).collect()
}

#[test]
fn explanation_says_what_the_evaluation_says() {
    let mut tally = Tally::default();
    for seed in 0..600 {
        let mut maker = Maker::new(Lane::Aimed, seed);
        let mut payload = maker.payload(12);
        // Children whose parents are not visible, and the other way round.
        for feature in payload["features"].as_array_mut().unwrap() {
            feature["project"] = json!(if maker.rng.chance(50) { "shop" } else { "default" });
        }
        let projects = [Projects::All, Projects::Only(["shop".into()].into())];
        for projects in projects {
            let mut explained = Explained::new(&payload, &projects);
            explained.tally = tally;
            for request in 0..4 {
                let context = maker.context();
                for name in names(&payload) {
                    if explained.plan.flag(&name).is_some() {
                        explained.explain(&name, &context, seed ^ request);
                    }
                }
            }
            tally = explained.tally;
        }
    }
    println!("{tally:?}");
    let Tally { on, off, folded, satisfied_parents, failing_parents, .. } = tally;
    let Tally { holding_constraints, failing_constraints, segments, buckets, .. } = tally;
    let Tally { chances, draws, overrides, .. } = tally;
    assert!(on.min(off).min(folded).min(satisfied_parents).min(failing_parents) > 500);
    assert!(holding_constraints.min(failing_constraints).min(segments).min(buckets) > 1_000);
    assert!(chances.min(draws).min(overrides) > 200);
}

/// A constraint is told from its neighbours, however alike: alone, it decides the same.
#[test]
fn constraint_holds_as_it_does_alone() {
    let mut told = 0;
    for seed in 0..400 {
        let mut maker = Maker::new(Lane::Aimed, seed);
        let payload = maker.payload(8);
        let context = maker.context();
        let mut explained = Explained::new(&payload, &Projects::All);
        for feature in payload["features"].as_array().unwrap() {
            let explanation = explained.explain(feature["name"].as_str().unwrap(), &context, seed);
            for strategy in &explanation.strategies {
                let source = &feature["strategies"][strategy.position - 1]["constraints"];
                for (at, constraint) in strategy.constraints.iter().enumerate() {
                    let Some(holds) = constraint.holds else { continue };
                    let alone = json!({ "features": [{ "name": "alone", "enabled": true,
                        "strategies": [{ "name": "default", "constraints": [source[at]] }] }] });
                    let mut alone = Ours::new(&alone);
                    alone.now_millis = NOW_MILLIS;
                    assert_eq!(alone.is_on("alone", &context), holds, "{source}\n{context:?}");
                    told += 1;
                }
            }
        }
    }
    assert!(told > 1_000, "{told}");
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn any_payload_and_any_context_are_explained(
        payload in wounded_payload(),
        context in any_context(),
        seed in any::<u64>(),
    ) {
        let mut explained = Explained::new(&payload, &Projects::All);
        for name in names(&payload) {
            let explanation = explained.explain(&name, &context, seed);
            let json = serde_json::to_value(&explanation).unwrap();
            prop_assert_eq!(&json["flag"], &Value::from(name));
            prop_assert_eq!(&json["enabled"], &Value::from(explanation.enabled));
        }
    }

    /// An update may come between a plan and its features.
    #[test]
    fn other_features_are_found_out_or_do_no_harm(
        payload in wounded_payload(),
        other in wounded_payload(),
        context in any_context(),
    ) {
        let mut explained = Explained::new(&payload, &Projects::All);
        let (features, _) = Features::parse(&serde_json::to_vec(&other).unwrap()).unwrap();
        for name in names(&payload).into_iter().chain(names(&other)) {
            let Explained { plan, context: written, scratch, .. } = &mut explained;
            context.write(written.start(plan, NOW_MILLIS, 1));
            match (plan.flag(&name), plan.explain(&features, &name, written, scratch)) {
                (None, told) => prop_assert_eq!(told, Err(Unexplained::NoFlag)),
                (Some(_), Err(err)) => prop_assert_eq!(err, Unexplained::OtherFeatures),
                (Some(flag), Ok(told)) => {
                    let verdict = plan.evaluate_one(flag, written, scratch);
                    prop_assert_eq!(told.enabled, verdict.enabled);
                    let satisfied = told.parents.iter().all(|parent| parent.satisfied)
                        && (told.strategies.is_empty() || told.first_satisfied.is_some());
                    prop_assert_eq!(told.enabled, told.switched_on && satisfied);
                }
            }
        }
    }
}
