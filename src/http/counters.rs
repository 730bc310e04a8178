//! How many requests were answered, and how: each worker counts its own, and whoever wants the
//! sums adds them up.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use actix_web::http::StatusCode;

use super::{
    body::BodyFault,
    error::Problem,
    json::Unreadable,
    route::{Miss, Route},
};
use crate::telemetry::prometheus::{Figure, Page, Sort};

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Flags,
    Definitions,
    Usage,
    /// Health, readiness, metrics.
    Operations,
    Docs,
    Preflight,
    /// No route.
    Unknown,
}

/// Why a request was turned away for what it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    TooLarge,
    MediaType,
    Unreadable,
    Slow,
    Broken,
}

/// One worker's counts.
// INVARIANT: only its worker writes; others read. Padded by being allocated apart, so that no two
// workers write one cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    begun: Figure,
    ended: Figure,
    requests: [[Figure; STATUSES.len()]; CLASSES.len()],
    refusals: [Figure; REFUSALS.len()],
    held_back: Figure,
}

/// A request that is being answered, until this is dropped: a client that leaves ends it too.
#[derive(Debug)]
pub(super) struct UnderWay<C: Deref<Target = Counters>>(C);

/// Every worker's counts, those of workers that ended too.
// A mutex, taken when a worker starts and when somebody wants the sums.
#[derive(Clone, Debug, Default)]
pub(super) struct Board(Arc<Mutex<Vec<Arc<Counters>>>>);

const CLASSES: [(Class, &str); 7] = [
    (Class::Flags, "flags"),
    (Class::Definitions, "definitions"),
    (Class::Usage, "usage"),
    (Class::Operations, "operations"),
    (Class::Docs, "docs"),
    (Class::Preflight, "preflight"),
    (Class::Unknown, "unknown"),
];
const STATUSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
const REFUSALS: [(Refusal, &str); 5] = [
    (Refusal::TooLarge, "too_large"),
    (Refusal::MediaType, "media_type"),
    (Refusal::Unreadable, "unreadable"),
    (Refusal::Slow, "slow"),
    (Refusal::Broken, "broken"),
];

// === impl Class ===

impl Class {
    pub(super) fn of(found: Result<Route, Miss>) -> Self {
        match found {
            Ok(Route::ProxyList(_) | Route::FrontendList(_)) => Self::Flags,
            Ok(Route::ProxyDefinitions) => Self::Definitions,
            Ok(Route::ProxyUsage(_) | Route::FrontendUsage(_)) => Self::Usage,
            Ok(
                Route::ProxyHealth
                | Route::ProxyPrometheus
                | Route::BackstageHealth
                | Route::BackstageReady
                | Route::BackstageMetrics,
            ) => Self::Operations,
            Err(_) => Self::Unknown,
        }
    }
}

// === impl Refusal ===

impl Refusal {
    /// `None` where what was sent is not the reason.
    pub(super) fn of(problem: &Problem) -> Option<Self> {
        match problem {
            Problem::Body(BodyFault::TooLarge { .. })
            | Problem::AnswerTooLarge { .. }
            | Problem::Unreadable(Unreadable::TooManyNames { .. }) => Some(Self::TooLarge),
            Problem::Body(BodyFault::Slow) => Some(Self::Slow),
            Problem::Body(BodyFault::Broken) => Some(Self::Broken),
            Problem::Body(BodyFault::Garbled) | Problem::Unreadable(_) | Problem::Query(_) => {
                Some(Self::Unreadable)
            }
            Problem::ContentType | Problem::ContentEncoding => Some(Self::MediaType),
            _ => None,
        }
    }
}

// === impl Counters ===

impl Counters {
    pub(super) fn answered(&self, class: Class, status: StatusCode) {
        let figures = self.requests.get(class as usize);
        let status = usize::from(status.as_u16() / 100).wrapping_sub(2);
        if let Some(figure) = figures.and_then(|figures| figures.get(status)) {
            figure.add(1);
        }
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        if let Some(figure) = self.refusals.get(refusal as usize) {
            figure.add(1);
        }
    }

    /// A caller kept its newer flags.
    pub(super) fn held_back(&self) {
        self.held_back.add(1);
    }
}

// === impl UnderWay ===

impl<C: Deref<Target = Counters>> UnderWay<C> {
    pub(super) fn begin(counters: C) -> Self {
        counters.begun.add(1);
        Self(counters)
    }
}

impl<C: Deref<Target = Counters>> Drop for UnderWay<C> {
    fn drop(&mut self) {
        self.0.ended.add(1);
    }
}

// === impl Board ===

impl Board {
    /// The counts of a worker that starts.
    pub(super) fn seat(&self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&counters));
        counters
    }

    fn all(&self) -> Vec<Arc<Counters>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests are being answered.
    pub(super) fn under_way(&self) -> u64 {
        // What ended is read first, so that no request of between the two reads is missed.
        let ended: Vec<_> = self.all().into_iter().map(|one| (one.ended.get(), one)).collect();
        ended.iter().map(|(ended, one)| one.begun.get().saturating_sub(*ended)).sum()
    }

    pub(super) fn describe(&self, page: &mut Page) {
        let all = self.all();
        let sum = |figure: &dyn Fn(&Counters) -> Option<&Figure>| {
            all.iter().filter_map(|counters| figure(counters)).map(Figure::get).sum::<u64>()
        };
        let name = "offleash_http_requests_total";
        page.head(Sort::Counter, name, "Requests that were answered, by what they were for");
        for (class, class_name) in CLASSES {
            for (status, status_name) in STATUSES.into_iter().enumerate() {
                let value = sum(&|counters| counters.requests.get(class as usize)?.get(status));
                page.sample(name, &[("route", class_name), ("status", status_name)], value);
            }
        }
        page.values(
            Sort::Counter,
            "offleash_http_refused_total",
            "Requests that were refused for what they sent",
            "reason",
            REFUSALS.map(|(refusal, name)| {
                (name, sum(&|counters| counters.refusals.get(refusal as usize)))
            }),
        );
        page.value(
            Sort::Counter,
            "offleash_http_held_back_total",
            "Answers of 304 to callers that hold newer flags than this instance",
            sum(&|counters| Some(&counters.held_back)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::invalid::Invalid, telemetry::prometheus::Registry};

    #[test]
    fn every_class_and_refusal_stands_where_its_number_says() {
        for (at, (class, _)) in CLASSES.iter().enumerate() {
            assert_eq!(*class as usize, at);
        }
        for (at, (refusal, _)) in REFUSALS.iter().enumerate() {
            assert_eq!(*refusal as usize, at);
        }
    }

    #[test]
    fn the_workers_counts_are_added_up() {
        let board = Board::default();
        for counters in [board.seat(), board.seat()] {
            counters.answered(Class::Flags, StatusCode::OK);
            counters.answered(Class::Flags, StatusCode::NOT_MODIFIED);
            counters.answered(Class::Unknown, StatusCode::NOT_FOUND);
            counters.answered(Class::Docs, StatusCode::CONTINUE);
            counters.refused(Refusal::Slow);
            counters.held_back();
        }
        let registry = Registry::new();
        registry.join(move |page| board.describe(page));
        let page = registry.render();
        for line in [
            "offleash_http_requests_total{route=\"flags\",status=\"2xx\"} 2\n",
            "offleash_http_requests_total{route=\"flags\",status=\"3xx\"} 2\n",
            "offleash_http_requests_total{route=\"unknown\",status=\"4xx\"} 2\n",
            "offleash_http_requests_total{route=\"docs\",status=\"2xx\"} 0\n",
            "offleash_http_refused_total{reason=\"slow\"} 2\n",
            "offleash_http_refused_total{reason=\"too_large\"} 0\n",
            "offleash_http_held_back_total 2\n",
        ] {
            assert!(page.contains(line), "{line} is not in {page}");
        }
    }

    #[test]
    fn a_request_is_under_way_until_it_is_dropped() {
        let board = Board::default();
        let [one, other] = [board.seat(), board.seat()];
        let requests = [&one, &one, &other].map(|counters| UnderWay::begin(Arc::clone(counters)));
        assert_eq!(board.under_way(), 3);
        drop(requests);
        assert_eq!(board.under_way(), 0);
    }

    #[test]
    fn what_was_sent_is_the_reason_of_some_problems_only() {
        for (problem, refusal) in [
            (Problem::Body(BodyFault::TooLarge { limit: 1 }), Some(Refusal::TooLarge)),
            (Problem::AnswerTooLarge { limit: 1 }, Some(Refusal::TooLarge)),
            (Problem::Body(BodyFault::Slow), Some(Refusal::Slow)),
            (Problem::Body(BodyFault::Garbled), Some(Refusal::Unreadable)),
            (Problem::Query(Invalid::Body), Some(Refusal::Unreadable)),
            (Problem::ContentEncoding, Some(Refusal::MediaType)),
            (Problem::TokenRefused, None),
            (Problem::Miss(Miss::Path), None),
            (Problem::NotReady, None),
        ] {
            assert_eq!(Refusal::of(&problem), refusal, "{problem:?}");
        }
    }
}
