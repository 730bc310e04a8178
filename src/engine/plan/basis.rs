//! What decides an answer besides its context: the ground that two evaluations have in common.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Host, Key, Plan, SlotId, Test, link::Unit};
use crate::engine::{
    context::{REMOTE_ADDRESS, SESSION_ID},
    model::Features,
    value::date::Instant,
};

/// The release that evaluates: another may decide otherwise, or write it otherwise.
const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// All that a plan's answers depend on, the context and chance aside.
#[derive(Debug, Default)]
pub(super) struct Basis {
    /// A hash of what was compiled, by whom and for which host.
    content: u64,
    /// The points in time that flags turn at, sorted.
    turns: Box<[Instant]>,
    reads_address: bool,
    reads_session: bool,
}

// === impl Basis ===

impl Basis {
    /// Of `plan`, which was linked from `units`, the first `visible` of which can be asked for.
    pub(super) fn of(
        plan: &Plan,
        (units, visible): (&[Unit], usize),
        features: &Features,
        host: &Host,
    ) -> Self {
        let flags = units.iter().map(|(feature, _)| feature.fingerprint);
        let segments = features.segments.values().map(|segment| segment.fingerprint);
        let texts = [RELEASE, &host.name].map(str::as_bytes).into_iter();
        let content = texts.fold(visible as u64, |sum, text| xxh3_64_with_seed(text, sum));
        let content = flags
            .chain(segments)
            .fold(content, |sum, hash| xxh3_64_with_seed(&hash.to_le_bytes(), sum));
        let reads = |slot| plan.conditions.read(slot) || plan.sticks_to(slot);
        Self {
            content,
            turns: plan.conditions.turns(),
            reads_address: reads(REMOTE_ADDRESS),
            reads_session: reads(SESSION_ID),
        }
    }
}

// === impl Plan ===

impl Plan {
    /// A hash of all that decides an answer besides the context and chance.
    ///
    /// `now_millis` is Unix time. Equal contexts get equal answers from plans of equal bases, on
    /// every replica and after every restart, unless [chance](super::super::Answer::is_by_chance)
    /// had a hand in one of them. Flags that were compiled from other texts have other bases, even
    /// where they mean the same.
    pub fn basis(&self, now_millis: i64) -> u64 {
        let Basis { content, turns, .. } = &self.basis;
        let now = Instant::from_millis(now_millis);
        let passed = turns.partition_point(|turn| *turn < now);
        let is_turn = turns.get(passed) == Some(&now);
        // Before, at and after each turn are moments of their own.
        let moment = 2 * passed as u64 + u64::from(is_turn);
        xxh3_64_with_seed(&moment.to_le_bytes(), *content)
    }

    /// Whether any flag is decided by `remoteAddress`.
    pub fn reads_address(&self) -> bool {
        self.basis.reads_address
    }

    /// Whether any flag is decided by `sessionId`, default stickiness aside.
    pub fn reads_session(&self) -> bool {
        self.basis.reads_session
    }

    fn sticks_to(&self, slot: SlotId) -> bool {
        let is_it = |key: &Key| matches!(key, Key::Slot(it) if *it == slot);
        let tests = self.strategies.iter().any(|strategy| match &strategy.test {
            Test::Present(it) => *it == slot,
            Test::Always | Test::Chance { .. } | Test::Rollout(_) => false,
        });
        tests || self.rollouts.any(is_it) || self.draws.iter().any(|draw| is_it(&draw.key))
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::{Features, Host, Plan, Projects, compile};

    const NOON: i64 = 1_795_348_800_000;

    fn plan_on(strategies: &str, host: &str) -> Plan {
        let json = format!(
            r#"{{"features":[{{"name":"a","enabled":true,"strategies":[{strategies}]}}],
                "segments":[{{"id":1,"constraints":[]}}]}}"#
        );
        let (features, _) = Features::parse(json.as_bytes()).unwrap();
        compile(&features, &Projects::All, &Host { name: host.to_owned() }).0
    }

    fn plan(strategies: &str) -> Plan {
        plan_on(strategies, "here")
    }

    fn constrained(field: &str, operator: &str, value: &str) -> String {
        format!(
            r#"{{"name":"default","constraints":[{{"contextName":"{field}","operator":"{operator}",
                "value":"{value}","values":["{value}"]}}]}}"#
        )
    }

    #[test]
    fn the_same_flags_have_the_same_basis_and_others_another() {
        let basis = |plan: Plan| plan.basis(NOON);
        let one = constrained("userId", "IN", "7");
        assert_eq!(basis(plan(&one)), basis(plan(&one)));
        assert_ne!(basis(plan(&one)), basis(plan(&constrained("userId", "IN", "8"))));
        assert_ne!(basis(plan(&one)), basis(plan_on(&one, "there")));
    }

    #[test]
    fn a_basis_changes_when_a_date_has_come_and_when_it_has_gone() {
        // 2026-11-22T12:00:00Z.
        let dated = plan(&constrained("currentTime", "DATE_AFTER", "2026-11-22T12:00:00Z"));
        let bases = [NOON - 1, NOON, NOON + 1].map(|now| dated.basis(now));
        assert!(bases[0] != bases[1] && bases[1] != bases[2] && bases[0] != bases[2]);
        assert_eq!(dated.basis(NOON + 1), dated.basis(NOON + 1_000_000));
        assert_eq!(dated.basis(NOON - 1), dated.basis(NOON - 1_000_000));
    }

    #[test]
    fn times_without_dates_and_dates_of_other_fields_are_one_moment() {
        for strategies in ["", &constrained("since", "DATE_AFTER", "2026-11-22T12:00:00Z")] {
            let plan = plan(strategies);
            assert_eq!(plan.basis(NOON - 1), plan.basis(NOON + 1));
        }
    }

    #[test]
    fn a_plan_knows_whether_it_reads_addresses_and_sessions() {
        let sticky = r#"{"name":"flexibleRollout","parameters":{"rollout":"50",
            "stickiness":"sessionId","groupId":"g"}}"#;
        let by_default = sticky.replace("sessionId", "default");
        let address = r#"{"name":"remoteAddress","parameters":{"IPs":"10.0.0.0/8"}}"#;
        for (strategies, reads) in [
            (constrained("userId", "IN", "7"), (false, false)),
            (by_default, (false, false)),
            (sticky.to_owned(), (false, true)),
            (constrained("sessionId", "IN", "7"), (false, true)),
            (constrained("remoteAddress", "STR_CONTAINS", "::"), (true, false)),
            (address.to_owned(), (true, false)),
        ] {
            let plan = plan(&strategies);
            assert_eq!((plan.reads_address(), plan.reads_session()), reads, "{strategies}");
        }
    }
}
