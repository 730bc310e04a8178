//! What is logged of a payload and of its plans.

use ahash::AHashSet;

use crate::{
    engine::{Plan, Warning},
    token::Scope,
};

/// How many warnings of one payload are logged one by one.
const MAX_LOGGED_WARNINGS: usize = 50;

/// Logs what of `warnings` was not logged for the payload before, `old`.
pub(super) fn warnings(
    old: Option<&AHashSet<Warning>>,
    warnings: &AHashSet<Warning>,
    environment: &str,
) {
    let mut news: Vec<&Warning> =
        warnings.iter().filter(|it| !old.is_some_and(|old| old.contains(it))).collect();
    news.sort_unstable();
    for warning in news.iter().take(MAX_LOGGED_WARNINGS) {
        let flag = warning.feature.as_deref().unwrap_or_default();
        tracing::warn!(flag.name = flag, environment, "{warning}");
    }
    let more = news.len().saturating_sub(MAX_LOGGED_WARNINGS);
    if more > 0 {
        tracing::warn!(environment, "{more} more warnings of this payload");
    }
}

/// Says what a plan is made of, and so why it is dear. Counting takes a walk over the plan: it is
/// not done for a log that nobody keeps.
pub(super) fn plan(version: u64, scope: &Scope, plan: &Plan) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    let stats = plan.stats();
    tracing::debug!(
        snapshot.version = version,
        environment = &*scope.environment,
        flags.on = stats.folded_on,
        flags.off = stats.folded_off,
        flags.live = stats.live,
        flags.hidden = stats.hidden,
        conditions = stats.conditions,
        literals = stats.literals,
        slots = stats.slots,
        bytes = stats.bytes,
        "plan in force"
    );
}
