//! The nodes of an explanation, as they are serialised.

use serde::Serialize;

/// How many operands are spelled out.
const SHOWN: usize = 10;

/// Why a flag is on or off for one context.
///
/// The flag is on exactly when it is switched on, every parent is satisfied, and some strategy is
/// satisfied or it lists none. It holds values of the context it was made for: it is an answer for
/// whoever sent that context, and nothing for a log.
///
/// Serialised with keys in camel case; what the plan never asks is `null`:
///
/// ```json
/// {
///   "flag": "checkout", "project": "shop", "enabled": true, "variant": "blue",
///   "switchedOn": true, "decided": "perContext",
///   "parents": [
///     { "flag": "payments", "wanted": "on", "state": { "on": { "variant": null } },
///       "satisfied": true }
///   ],
///   "strategies": [
///     { "position": 1, "name": "flexibleRollout", "ruling": "open", "fault": null,
///       "satisfied": true,
///       "constraints": [
///         { "field": "country", "operator": "IN", "inverted": false, "caseInsensitive": false,
///           "operands": { "shown": ["de", "fr"], "count": 2 }, "seen": { "value": "de" },
///           "holds": true, "faults": [] }
///       ],
///       "segments": [ { "id": 7, "fault": null, "constraints": [], "holds": true } ],
///       "test": { "kind": "rollout", "stickiness": "userId", "group": "checkout",
///                 "percentage": 50, "identifiedBy": { "field": "userId" }, "bucket": 48,
///                 "holds": true } }
///   ],
///   "firstSatisfied": 1,
///   "choice": {
///     "source": "strategy", "stickiness": "userId", "group": "checkout", "overrides": [],
///     "identifiedBy": { "field": "userId" }, "bucket": 693, "total": 1000,
///     "shares": [ { "variant": "red", "upTo": 500 }, { "variant": "blue", "upTo": 1000 } ],
///     "variant": "blue" },
///   "warnings": []
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub flag: String,
    pub project: String,
    pub enabled: bool,
    /// The chosen variant. `None`: no variant, which surfaces spell `disabled`.
    pub variant: Option<String>,
    /// Upstream's own switch: a flag that is switched off asks nothing.
    pub switched_on: bool,
    pub decided: DecidedAt,
    /// The flags it depends on: all must be satisfied.
    pub parents: Vec<ParentReason>,
    /// In upstream's order: one must be satisfied. Empty: on for everyone.
    pub strategies: Vec<StrategyReason>,
    /// The position of the first satisfied strategy, which chooses the variant. Parents aside.
    pub first_satisfied: Option<usize>,
    /// How the variant was chosen. `None` for a flag that is off or has no variants.
    pub choice: Option<ChoiceReason>,
    /// What of the flag was off or ignored when it was read and compiled.
    pub warnings: Vec<String>,
}

/// When a flag's outcome was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DecidedAt {
    /// Before any request: the same for every context.
    Compile,
    PerContext,
}

/// A dependency on another flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentReason {
    pub flag: String,
    pub wanted: WantedState,
    pub state: ParentState,
    pub satisfied: bool,
}

/// What a child wants its parent to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum WantedState {
    Off,
    On,
    /// On with one of these variants; `disabled` stands for none.
    Variants(Vec<String>),
}

/// What a parent is for the context.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ParentState {
    /// No flag has this name: satisfies nobody.
    Unknown,
    /// It has parents of its own: satisfies nobody.
    HasParents,
    Off,
    On {
        variant: Option<String>,
    },
}

/// One strategy: satisfied when its constraints, its segments and its own test hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StrategyReason {
    /// Counted from 1, as warnings do.
    pub position: usize,
    /// Its kind, as upstream spells it. Empty for one that could not be read.
    pub name: String,
    pub ruling: StrategyRuling,
    /// Why it is off whatever the context, as a text that follows "it".
    pub fault: Option<String>,
    /// `None`: the plan does not ask, because something else decides.
    pub satisfied: Option<bool>,
    pub constraints: Vec<ConstraintReason>,
    pub segments: Vec<SegmentReason>,
    pub test: TestReason,
}

/// What was known of a strategy when the plan was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum StrategyRuling {
    /// The context decides.
    Open,
    /// Every context satisfies it.
    Always,
    /// No context satisfies it.
    Never,
    /// It is faulty and off.
    Faulty,
    /// Never asked: every context satisfies one before it.
    Unreached,
    /// Never asked: the flag is off without it.
    Unasked,
}

/// A condition on one context field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConstraintReason {
    pub field: String,
    /// As upstream spells it.
    pub operator: String,
    pub inverted: bool,
    pub case_insensitive: bool,
    pub operands: Operands,
    pub seen: Seen,
    /// Inversion included. `None`: the plan does not ask.
    pub holds: Option<bool>,
    /// What is wrong with the definition, as texts that follow "the strategy".
    pub faults: Vec<String>,
}

/// What a value is compared with, the first ten of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operands {
    pub shown: Vec<String>,
    /// How many there are.
    pub count: usize,
}

/// The context's value of a field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Seen {
    Value(String),
    Absent,
    /// Absent, and the clock stands in: `currentTime` compared as a date.
    Now,
    /// The plan asks for no such field, so that none was read.
    NotAsked,
}

/// A reusable group of constraints: holds when all of them do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SegmentReason {
    pub id: i64,
    /// Why it never holds, as a text that follows "the segment".
    pub fault: Option<String>,
    pub constraints: Vec<ConstraintReason>,
    /// `None`: the plan does not ask.
    pub holds: Option<bool>,
}

/// What a strategy asks beside its constraints and segments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum TestReason {
    /// `default` asks nothing.
    Nothing,
    Rollout(RolloutReason),
    /// `userWithId` and `remoteAddress`, told as the constraint they amount to.
    Listed(ConstraintReason),
    /// `applicationHostname`: decided when the plan was compiled.
    Hostname {
        operands: Operands,
        holds: bool,
    },
    /// Nobody knows this kind of strategy: it is off.
    Unknown,
}

/// A share of the callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutReason {
    /// `default`, `random` or a field's name.
    pub stickiness: String,
    /// What is hashed together with the identifier. `None` where chance decides.
    pub group: Option<String>,
    /// How many of 100. `None` where upstream wrote no percentage: the strategy is off.
    pub percentage: Option<u8>,
    /// `None` where nobody need be identified.
    pub identified_by: Option<Identity>,
    /// From 1 to 100; the test holds up to and with the percentage. `None` where no bucket is
    /// asked for: at 0 and 100 percent, and for nobody.
    pub bucket: Option<u32>,
    /// `None`: the plan does not ask.
    pub holds: Option<bool>,
}

/// Where a bucket comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Identity {
    /// The value of this context field.
    Field(String),
    /// A random draw: another request may draw another bucket.
    Chance,
    /// The field that a rollout sticks to has no value: the test does not hold.
    Nobody,
}

/// How a flag's variant was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChoiceReason {
    /// Whose variants they are.
    pub source: ChoiceSource,
    /// `default`, `random` or a field's name.
    pub stickiness: String,
    pub group: String,
    /// In order; the first that holds wins over the weights.
    pub overrides: Vec<OverrideReason>,
    /// `None` where nothing is drawn: an override holds, or one variant has all the weight.
    pub identified_by: Option<Identity>,
    /// From 1 to `total`. `None` where nothing is drawn.
    pub bucket: Option<u32>,
    /// The sum of the weights. `None` where one variant has all of it.
    pub total: Option<u32>,
    /// The first whose `up_to` is not below the bucket is chosen. Empty where one variant has all
    /// the weight.
    pub shares: Vec<ShareReason>,
    /// The chosen variant.
    pub variant: Option<String>,
}

/// Whose variants are drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ChoiceSource {
    Strategy,
    Flag,
}

/// A list of values that get a variant whatever the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OverrideReason {
    pub variant: String,
    pub field: String,
    pub operands: Operands,
    pub seen: Seen,
    pub holds: bool,
}

/// A variant's part of the buckets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShareReason {
    pub variant: String,
    /// Its last bucket.
    pub up_to: u32,
}

// === impl Operands ===

impl Operands {
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut texts = texts.into_iter();
        let shown: Vec<String> = texts.by_ref().take(SHOWN).map(str::to_owned).collect();
        Self { count: shown.len() + texts.count(), shown }
    }
}
