//! What sync counts of itself, for those who watch it.

use crate::{
    telemetry::prometheus::{Figure, Page, Sort},
    upstream::UpstreamError,
};

/// What came of asking upstream for flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FetchOutcome {
    Payload,
    Unchanged,
    /// A payload that is no good.
    Unreadable,
    /// A status from 400 to 499.
    Refused,
    /// A status from 500 on.
    Failed,
    /// No answer, or none that could be understood.
    NoAnswer,
}

/// The numbers. All but `turned_away` are written on sync's thread alone.
#[derive(Debug, Default)]
pub(super) struct Figures {
    /// Unix milliseconds; 0 before it happened.
    updated_at: Figure,
    checked_at: Figure,
    fetches: [Figure; FetchOutcome::ALL.len()],
    extra_polls: Figure,
    version: Figure,
    ready: Figure,
    flags: Figure,
    warnings: Figure,
    grants: Figure,
    waiting: Figure,
    admitted: Figure,
}

/// What was published.
#[derive(Clone, Copy, Debug)]
pub(super) struct Published {
    pub(super) version: u64,
    pub(super) ready: bool,
    pub(super) flags: usize,
    pub(super) warnings: usize,
    pub(super) grants: usize,
}

// === impl FetchOutcome ===

impl FetchOutcome {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Payload, "200"),
        (Self::Unchanged, "304"),
        (Self::Unreadable, "unreadable"),
        (Self::Refused, "4xx"),
        (Self::Failed, "5xx"),
        (Self::NoAnswer, "error"),
    ];

    pub(super) fn of_error(err: &UpstreamError) -> Self {
        match err {
            UpstreamError::Unreadable | UpstreamError::TooLarge => Self::Unreadable,
            err => Self::of_status(err.status()),
        }
    }

    /// What a status means that is neither 200 nor 304.
    fn of_status(status: Option<u16>) -> Self {
        match status {
            Some(400..=499) => Self::Refused,
            Some(500..) => Self::Failed,
            _ => Self::NoAnswer,
        }
    }
}

// === impl Figures ===

impl Figures {
    pub(super) fn fetched(&self, outcome: FetchOutcome) {
        let all = FetchOutcome::ALL.iter().zip(&self.fetches);
        if let Some((_, figure)) = all.into_iter().find(|((known, _), _)| *known == outcome) {
            figure.add(1);
        }
        if matches!(outcome, FetchOutcome::Payload | FetchOutcome::Unchanged) {
            self.checked();
        }
    }

    /// Upstream is asked because a client claims to have newer flags.
    pub(super) fn polled_for_a_claim(&self) {
        self.extra_polls.add(1);
    }

    /// What is served is still what there is.
    pub(super) fn checked(&self) {
        self.checked_at.set_to_now();
    }

    /// New flags were taken.
    pub(super) fn updated(&self) {
        self.updated_at.set_to_now();
        self.checked_at.set_to_now();
    }

    pub(super) fn published(&self, news: Published) {
        self.version.set(news.version);
        self.ready.set(news.ready.into());
        self.flags.set(news.flags as u64);
        self.warnings.set(news.warnings as u64);
        self.grants.set(news.grants as u64);
    }

    /// How many callers wait for upstream's word, and how many tokens it called good.
    pub(super) fn admission(&self, waiting: usize, admitted: usize) {
        self.waiting.set(waiting as u64);
        self.admitted.set(admitted as u64);
    }

    /// The Unleash Proxy's metrics, word by word, then our own. `denials` is how many refusals are
    /// remembered, `turned_away` how often there was no room.
    pub(super) fn describe(&self, page: &mut Page, denials: u64, turned_away: u64) {
        use Sort::{Counter, Gauge};
        // Names and texts are what dashboards know (spec/unleash-proxy.md 1.16).
        page.value(
            Gauge,
            "last_metrics_update_epoch_timestamp_ms",
            "An epoch timestamp (in milliseconds) set to when our unleash-client last got an update \
             from upstream Unleash",
            self.updated_at.get(),
        );
        page.value(
            Gauge,
            "last_metrics_fetch_epoch_timestamp_ms",
            "An epoch timestamp (in milliseconds) set to when our unleash-client last checked \
             (regardless if there was an update or not)",
            self.checked_at.get(),
        );
        page.value(Counter, "unleash_proxy_up", "Indication that the service is up.", 1);

        let fetches = FetchOutcome::ALL.iter().zip(&self.fetches);
        page.values(
            Counter,
            "offleash_upstream_fetches_total",
            "Requests for flags, by what came of them",
            "outcome",
            fetches.map(|((_, name), figure)| (*name, figure.get())),
        );
        page.value(
            Counter,
            "offleash_upstream_extra_polls_total",
            "Polls out of turn, because a client said that it has newer flags",
            self.extra_polls.get(),
        );
        let gauges = [
            ("offleash_ready", "Whether evaluations work", &self.ready),
            (
                "offleash_snapshot_version",
                "How often flags or grants were published",
                &self.version,
            ),
            ("offleash_flags", "Flags that are served, over all environments", &self.flags),
            (
                "offleash_flag_warnings",
                "Parts of the flags that are served which are off because they cannot be understood",
                &self.warnings,
            ),
            ("offleash_grants", "Tokens and keys that are let in", &self.grants),
            (
                "offleash_admitted_tokens",
                "Tokens of callers that upstream was asked about and called good",
                &self.admitted,
            ),
            (
                "offleash_admission_waiting",
                "Callers that wait for upstream's word on their token",
                &self.waiting,
            ),
        ];
        for (name, help, figure) in gauges {
            page.value(Gauge, name, help, figure.get());
        }
        page.value(
            Gauge,
            "offleash_denied_tokens",
            "Tokens that upstream refused a short while ago, and that are not asked about again",
            denials,
        );
        page.value(
            Counter,
            "offleash_admission_turned_away_total",
            "Callers and refusals there was no room for",
            turned_away,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::prometheus::Registry;

    #[test]
    fn a_status_is_refused_failed_or_no_answer() {
        use FetchOutcome::{Failed, NoAnswer, Refused};
        for (status, outcome) in [
            (Some(401), Refused),
            (Some(429), Refused),
            (Some(500), Failed),
            (Some(599), Failed),
            (Some(302), NoAnswer),
            (None, NoAnswer),
        ] {
            assert_eq!(FetchOutcome::of_status(status), outcome, "{status:?}");
        }
    }

    #[test]
    fn the_unleash_proxys_metrics_come_first_word_by_word() {
        let registry = Registry::new();
        registry.join(|page| Figures::default().describe(page, 0, 0));
        let expected = "\
# HELP last_metrics_update_epoch_timestamp_ms An epoch timestamp (in milliseconds) set to when our unleash-client last got an update from upstream Unleash
# TYPE last_metrics_update_epoch_timestamp_ms gauge
last_metrics_update_epoch_timestamp_ms 0

# HELP last_metrics_fetch_epoch_timestamp_ms An epoch timestamp (in milliseconds) set to when our unleash-client last checked (regardless if there was an update or not)
# TYPE last_metrics_fetch_epoch_timestamp_ms gauge
last_metrics_fetch_epoch_timestamp_ms 0

# HELP unleash_proxy_up Indication that the service is up.
# TYPE unleash_proxy_up counter
unleash_proxy_up 1
";
        assert_eq!(registry.render().get(..expected.len()), Some(expected));
    }

    #[test]
    fn only_an_answer_that_was_good_counts_as_a_check() {
        let figures = Figures::default();
        for outcome in [FetchOutcome::Refused, FetchOutcome::Failed, FetchOutcome::Unreadable] {
            figures.fetched(outcome);
        }
        assert_eq!(figures.checked_at.get(), 0);
        figures.fetched(FetchOutcome::Unchanged);
        assert!(figures.checked_at.get() > 0);
        assert_eq!(figures.updated_at.get(), 0);
        let counts = figures.fetches.each_ref().map(Figure::get);
        assert_eq!(counts, [0, 1, 1, 1, 1, 0]);
    }
}
