//! Decides which flags are on for a context. Pure: no I/O, no async, no clock, no globals, no locks.
//!
//! [`Features`] is what upstream sent, [`Plan`] is that payload compiled for one set of projects,
//! [`Context`] is one caller's context in the plan's slots, and [`Answer`] is what the plan says to
//! it. The semantics are those of `spec/evaluation.md`, column *Ours*.

mod answer;
mod context;
mod delta;
mod evaluate;
mod explain;
mod model;
mod plan;
mod value;

pub use answer::{Answer, Show};
pub use context::{Context, ContextWriter, Root};
pub use delta::{Applied, Delta};
pub use evaluate::{Scratch, Verdict};
pub use explain::{
    ChoiceReason, ChoiceSource, ConstraintReason, DecidedAt, Explanation, Identity, Operands,
    OverrideReason, ParentReason, ParentState, RolloutReason, Seen, SegmentReason, ShareReason,
    StrategyReason, StrategyRuling, TestReason, Unexplained, WantedState,
};
pub use model::{Features, Incoming, PayloadError, Told, Warning};
pub use plan::{Compiler, FlagId, Host, Plan, Profile, Projects, Stats, compile};
pub use value::is_time;
