//! Explains a flag: the same plan, told as a tree.
//!
//! Texts come from the features that the plan was compiled from; every verdict — whether a condition
//! holds, which bucket, which outcome — comes from the plan and the evaluation that answers requests.

mod reason;

pub use reason::{
    ChoiceReason, ChoiceSource, ConstraintReason, DecidedAt, Explanation, Identity, Operands,
    OverrideReason, ParentReason, ParentState, RolloutReason, Seen, SegmentReason, ShareReason,
    StrategyReason, StrategyRuling, TestReason, WantedState,
};

use super::{
    context::{CURRENT_TIME, Context, SESSION_ID, USER_ID},
    evaluate::{Evaluation, Remembering, Scratch, slice},
    model::{Constraint, Dependency, Features},
    plan::{
        FlagId, Key, Kind, OFF, Plan, Test,
        trace::{
            ConstraintTrace, OverrideTrace, Parent, ParentTrace, Ruling, SegmentTrace,
            StrategyTrace, TestTrace, Trace, Truth, VariantTrace,
        },
    },
};

/// Why there is nothing to explain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unexplained {
    #[error("no visible flag has this name")]
    NoFlag,
    #[error("the features are not those that the plan was compiled from")]
    OtherFeatures,
}

/// An explanation under way.
struct Explainer<'a> {
    plan: &'a Plan,
    evaluation: Evaluation<'a, Remembering<'a>>,
    /// The number of the flag.
    flag: u32,
}

// === impl Plan ===

impl Plan {
    /// Explains what [`Plan::evaluate_one`] says of the flag `name` for `context`.
    ///
    /// `features` must be those that the plan was compiled from; `context` must have been started
    /// for this plan. Random draws are those of the context's seed. Parents are told by name and
    /// state even where their projects are not visible. Not for the hot path: it lowers the flag
    /// again and allocates.
    ///
    /// # Errors
    ///
    /// [`Unexplained::NoFlag`] when no visible flag is called `name`, and
    /// [`Unexplained::OtherFeatures`] when `features` do not lead to this plan's conditions and
    /// draws, as after an update that the plan does not know yet.
    pub fn explain(
        &self,
        features: &Features,
        name: &str,
        context: &Context,
        scratch: &mut Scratch,
    ) -> Result<Explanation, Unexplained> {
        let FlagId(flag) = self.flag(name).ok_or(Unexplained::NoFlag)?;
        let trace = self.trace(features, flag, name).ok_or(Unexplained::OtherFeatures)?;
        let (evaluation, _) = scratch.start(self, context);
        Explainer { plan: self, evaluation, flag }.explain(&trace).ok_or(Unexplained::OtherFeatures)
    }
}

// === impl Explainer ===

impl Explainer<'_> {
    /// `None` when the trace is not of this plan.
    fn explain(mut self, trace: &Trace<'_>) -> Option<Explanation> {
        let code = self.evaluation.outcome_of(self.flag);
        let parents = trace.parents.iter().map(|parent| self.parent(parent)).collect();
        let strategies: Vec<StrategyReason> =
            (1..).zip(&trace.strategies).map(|(at, s)| self.strategy(at, s)).collect();
        let first_satisfied = strategies.iter().find(|s| s.satisfied == Some(true));
        let first_satisfied = first_satisfied.map(|strategy| strategy.position);
        let variant = self.plan.choice(self.flag, code).map(|choice| choice.name.to_string());
        let choice = if code == OFF {
            None
        } else {
            let variants = self.plan.trace_variants(trace, first_satisfied.map(|at| at - 1))?;
            variants.map(|variants| self.choice(&variants, variant.clone()))
        };
        let kind = self.plan.flags.get(self.flag as usize)?.kind;
        let explanation = Explanation {
            flag: trace.feature.name.to_string(),
            project: trace.feature.project.to_string(),
            enabled: code != OFF,
            variant,
            switched_on: trace.feature.enabled,
            decided: if kind == Kind::Live { DecidedAt::PerContext } else { DecidedAt::Compile },
            parents,
            strategies,
            first_satisfied,
            choice,
            warnings: trace.warnings.iter().map(|warning| warning.text.clone()).collect(),
        };
        explanation.adds_up().then_some(explanation)
    }

    fn parent(&mut self, trace: &ParentTrace<'_>) -> ParentReason {
        let (state, satisfied) = match &trace.parent {
            Parent::Unknown => (ParentState::Unknown, false),
            Parent::Child => (ParentState::HasParents, false),
            Parent::Flag { number, wanted } => {
                let code = self.evaluation.outcome_of(*number);
                let variant = self.plan.choice(*number, code).map(|c| c.name.to_string());
                let state =
                    if code == OFF { ParentState::Off } else { ParentState::On { variant } };
                (state, wanted.admits(code))
            }
        };
        let wanted = WantedState::of(trace.source);
        ParentReason { flag: trace.source.parent.to_string(), wanted, state, satisfied }
    }

    fn strategy(&mut self, position: usize, trace: &StrategyTrace<'_>) -> StrategyReason {
        let plan = self.plan;
        let asked = trace.number.and_then(|at| Some((at, plan.strategies.get(at as usize)?)));
        let satisfied = match (&trace.ruling, asked) {
            (_, Some((number, strategy))) => Some(self.evaluation.satisfied(number, strategy)),
            (Ruling::Always, None) => Some(true),
            (Ruling::Never | Ruling::Fault(_), None) => Some(false),
            (Ruling::Open | Ruling::Unreached | Ruling::Unasked, None) => None,
        };
        let (ruling, fault) = match &trace.ruling {
            Ruling::Open => (StrategyRuling::Open, None),
            Ruling::Always => (StrategyRuling::Always, None),
            Ruling::Never => (StrategyRuling::Never, None),
            Ruling::Fault(fault) => (StrategyRuling::Faulty, Some(fault.clone())),
            Ruling::Unreached => (StrategyRuling::Unreached, None),
            Ruling::Unasked => (StrategyRuling::Unasked, None),
        };
        StrategyReason {
            position,
            name: trace.source.name.to_string(),
            ruling,
            fault,
            satisfied,
            constraints: self.constraints(&trace.constraints),
            segments: trace.segments.iter().map(|segment| self.segment(segment)).collect(),
            test: self.test(trace),
        }
    }

    fn segment(&mut self, trace: &SegmentTrace<'_>) -> SegmentReason {
        let (constraints, fault) = match &trace.constraints {
            Ok(constraints) => (self.constraints(constraints), None),
            Err(fault) => (Vec::new(), Some(fault.clone())),
        };
        let holds = match fault {
            Some(_) => Some(false),
            None => all(constraints.iter().map(|constraint| constraint.holds)),
        };
        SegmentReason { id: trace.id, fault, constraints, holds }
    }

    fn constraints(&mut self, traces: &[ConstraintTrace<'_>]) -> Vec<ConstraintReason> {
        let explain = |trace: &ConstraintTrace<'_>| ConstraintReason {
            field: trace.source.field.to_string(),
            operator: trace.source.operator.to_string(),
            inverted: trace.source.inverted,
            case_insensitive: trace.source.case_insensitive,
            operands: Operands::of_constraint(trace.source),
            seen: self.seen(&trace.source.field, trace.source.operator.starts_with("DATE_")),
            holds: self.holds(trace.truth),
            faults: trace.faults.clone(),
        };
        traces.iter().map(explain).collect()
    }

    fn holds(&mut self, truth: Truth) -> Option<bool> {
        match truth {
            Truth::Fixed(holds) => Some(holds),
            Truth::Condition { number, inverted } => {
                Some(self.evaluation.holds(number) != inverted)
            }
            Truth::Unasked => None,
        }
    }

    fn seen(&self, field: &str, is_date: bool) -> Seen {
        let Some(slot) = self.plan.slots().get(field) else { return Seen::NotAsked };
        match self.evaluation.context.get(slot) {
            Some(value) => Seen::Value(value.to_owned()),
            None if is_date && slot == CURRENT_TIME => Seen::Now,
            None => Seen::Absent,
        }
    }

    fn test(&mut self, trace: &StrategyTrace<'_>) -> TestReason {
        match &trace.test {
            TestTrace::Nothing => TestReason::Nothing,
            TestTrace::Unknown => TestReason::Unknown,
            TestTrace::Hosts { items, holds } => TestReason::Hostname {
                operands: Operands::of(items.iter().copied()),
                holds: *holds,
            },
            TestTrace::Listed { field, operator, items, truth } => {
                TestReason::Listed(ConstraintReason {
                    field: (*field).to_owned(),
                    operator: (*operator).to_owned(),
                    inverted: false,
                    case_insensitive: false,
                    operands: Operands::of(items.iter().copied()),
                    seen: self.seen(field, false),
                    holds: self.holds(*truth),
                    faults: Vec::new(),
                })
            }
            TestTrace::Rollout { stickiness, group, percent } => {
                let mut reason = RolloutReason {
                    stickiness: stickiness.clone(),
                    group: group.map(str::to_owned),
                    percentage: *percent,
                    identified_by: None,
                    bucket: None,
                    holds: None,
                };
                self.roll_out(trace.number, &mut reason);
                TestReason::Rollout(reason)
            }
        }
    }

    fn roll_out(&self, number: Option<u32>, reason: &mut RolloutReason) {
        let strategy = number.and_then(|at| Some((at, self.plan.strategies.get(at as usize)?)));
        let Some((number, strategy)) = strategy else {
            let is_sticky = !matches!(reason.stickiness.as_str(), "default" | "random");
            reason.holds = match reason.percentage {
                None | Some(0) => Some(false),
                Some(100) if !is_sticky => Some(true),
                Some(_) => None,
            };
            return;
        };
        reason.holds = Some(self.evaluation.passes(number, &strategy.test));
        match &strategy.test {
            Test::Always => {}
            Test::Present(slot) => {
                reason.identified_by = Some(self.identity(Key::Slot(*slot), &reason.stickiness));
            }
            Test::Chance { .. } => {
                reason.identified_by = Some(Identity::Chance);
                reason.bucket = self.evaluation.bucket_number(number, &strategy.test);
            }
            Test::Rollout(share) => {
                let key = self.plan.rollouts.get(share.rollout).map(|(key, _)| key);
                reason.identified_by = key.map(|key| self.identity(key, &reason.stickiness));
                reason.bucket = self.evaluation.bucket_number(number, &strategy.test);
            }
        }
    }

    /// Who a rollout takes the caller for.
    fn identity(&self, key: Key, stickiness: &str) -> Identity {
        let identifies = |slot| self.evaluation.context.identifier(slot).is_some();
        match key {
            Key::Slot(slot) if identifies(slot) => Identity::Field(stickiness.to_owned()),
            Key::Slot(_) => Identity::Nobody,
            Key::Default if identifies(USER_ID) => Identity::Field("userId".to_owned()),
            Key::Default if identifies(SESSION_ID) => Identity::Field("sessionId".to_owned()),
            Key::Default | Key::Random => Identity::Chance,
        }
    }

    fn choice(&mut self, trace: &VariantTrace<'_>, variant: Option<String>) -> ChoiceReason {
        let overrides: Vec<OverrideReason> =
            trace.overrides.iter().map(|over| self.override_reason(over)).collect();
        let mut reason = ChoiceReason {
            source: if trace.of_strategy { ChoiceSource::Strategy } else { ChoiceSource::Flag },
            stickiness: trace.stickiness.clone(),
            group: trace.group.to_owned(),
            overrides,
            identified_by: None,
            bucket: None,
            total: None,
            shares: Vec::new(),
            variant,
        };
        let plan = self.plan;
        let draw = trace.draw.and_then(|at| Some((at, plan.draws.get(at as usize)?)));
        if let Some((number, draw)) = draw {
            reason.total = Some(draw.total);
            reason.shares = slice(&plan.picks, &draw.picks)
                .iter()
                .filter_map(|pick| {
                    let variant = plan.choice(self.flag, pick.code)?.name.to_string();
                    Some(ShareReason { variant, up_to: pick.sum })
                })
                .collect();
            if reason.overrides.iter().all(|over| !over.holds) {
                // Nobody draws a variant by chance, where a rollout would be off.
                reason.identified_by = Some(match self.identity(draw.key, &reason.stickiness) {
                    Identity::Nobody => Identity::Chance,
                    identity => identity,
                });
                reason.bucket = Some(self.evaluation.target(number, draw));
            }
        }
        reason
    }

    fn override_reason(&mut self, trace: &OverrideTrace<'_>) -> OverrideReason {
        OverrideReason {
            variant: trace.variant.name.to_string(),
            field: trace.source.field.to_string(),
            operands: Operands::of(trace.source.values.iter()),
            seen: self.seen(&trace.source.field, false),
            holds: self.holds(trace.truth) == Some(true),
        }
    }
}

/// Whether all hold: no if one does not, unknown if one is unknown.
fn all(parts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut whole = Some(true);
    for part in parts {
        match part {
            Some(true) => {}
            Some(false) => return Some(false),
            None => whole = None,
        }
    }
    whole
}

// === impl Explanation ===

impl Explanation {
    /// Whether the parts lead to the outcome: they do unless they are another plan's.
    fn adds_up(&self) -> bool {
        let parents = self.parents.iter().all(|parent| parent.satisfied);
        let strategies = self.strategies.is_empty() || self.first_satisfied.is_some();
        self.enabled == (self.switched_on && parents && strategies)
    }
}

// === impl Operands ===

impl Operands {
    /// What the operator reads: `values`, or the one `value`.
    fn of_constraint(constraint: &Constraint) -> Self {
        let operator = &*constraint.operator;
        let is_list =
            matches!(operator, "IN" | "NOT_IN" | "IN_CIDR") || operator.starts_with("STR_");
        if is_list {
            Self::of(constraint.values.iter())
        } else {
            Self::of(constraint.value.as_deref())
        }
    }
}

// === impl WantedState ===

impl WantedState {
    fn of(dependency: &Dependency) -> Self {
        match (dependency.enabled, &dependency.variants) {
            (false, _) => Self::Off,
            (true, variants) if variants.is_empty() => Self::On,
            (true, variants) => Self::Variants(variants.iter().map(str::to_owned).collect()),
        }
    }
}

#[cfg(test)]
mod tests;
