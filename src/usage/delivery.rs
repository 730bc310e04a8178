//! Hands items over, batch by batch, and finds out which of them upstream does not take.

use std::collections::VecDeque;

use serde_json::Value;

use super::{
    batch::{self, Batch, Dialect, Span},
    ledger::Item,
};
use crate::upstream::UpstreamError;

/// How many batches are halved in one go: a dozen bad items among thousands are found with that.
const MAX_HALVINGS: usize = 100;
/// How many items may be refused before any other was taken: then it is not the items' fault.
const MAX_FIRST_REFUSALS: usize = 2;

/// What came of reporting.
#[derive(Debug)]
pub(super) struct Sent {
    /// Nobody knows whether upstream would take these.
    pub(super) unsent: Vec<Item>,
    /// Upstream does not take each of these, even by itself.
    pub(super) refused: Vec<Item>,
    pub(super) since: i64,
    /// The last thing that went wrong.
    pub(super) result: Result<(), UpstreamError>,
}

/// Reports `items` batch by batch with `post` until one fails. What is left comes back.
///
/// A batch that upstream calls bad (400) or too large (413) goes again in halves, down to the items
/// that are at fault: they must not keep the others from arriving.
pub(super) async fn send<F>(
    items: Vec<Item>,
    dialect: &Dialect,
    span: Span,
    mut post: impl FnMut(Value) -> F,
) -> Sent
where
    F: Future<Output = Result<(), UpstreamError>>,
{
    let mut batches: VecDeque<Batch> = batch::cut(items, dialect).into();
    let mut sent =
        Sent { unsent: Vec::new(), refused: Vec::new(), since: span.since, result: Ok(()) };
    let (mut halvings, mut taken) = (0, 0);
    while let Some(batch) = batches.pop_front() {
        let Some(body) = batch.body(dialect, span) else { continue };
        let Err(err) = post(body).await else {
            taken += 1;
            continue;
        };
        let is_of_content = matches!(err.status(), Some(400 | 413));
        let is_hopeless = taken == 0 && sent.refused.len() >= MAX_FIRST_REFUSALS;
        if !is_of_content || is_hopeless || halvings >= MAX_HALVINGS {
            sent.result = Err(err);
            sent.unsent = batch.items;
            break;
        }
        match batch.halved() {
            Ok(halves) => {
                halvings += 1;
                halves.into_iter().rev().for_each(|half| batches.push_front(half));
            }
            Err(mut single) => {
                sent.result = Err(err);
                sent.refused.append(&mut single.items);
            }
        }
    }
    sent.unsent.extend(batches.into_iter().flat_map(|batch| batch.items));
    sent
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;
    use crate::usage::{Count, ledger::Ledger};

    const SPAN: Span = Span { since: 0, until: 1 };

    fn items(names: &[String]) -> Vec<Item> {
        let mut ledger = Ledger::default();
        for name in names {
            let count = Count { toggle: name.as_str().into(), yes: 1, ..Count::default() };
            ledger.add(Item::count("app", 0, count));
        }
        ledger.take()
    }

    fn status(status: u16) -> UpstreamError {
        UpstreamError::Status { status, retry_after: None }
    }

    /// What became of `names` where upstream answers `answer` to each list of flags: who arrived,
    /// who was refused, who was left, in how many requests.
    async fn play(
        names: &[String],
        dialect: &Dialect,
        answer: impl Fn(&[String]) -> Result<(), UpstreamError>,
    ) -> (Vec<String>, Vec<String>, usize, usize) {
        let (arrived, requests) = (RefCell::new(Vec::new()), Cell::new(0));
        let sent = send(items(names), dialect, SPAN, |body| {
            requests.set(requests.get() + 1);
            let flags: Vec<String> = match dialect {
                Dialect::Proxy => {
                    body["bucket"]["toggles"].as_object().unwrap().keys().cloned().collect()
                }
                Dialect::Bulk { .. } => {
                    let rows = body["metrics"].as_array().unwrap().iter();
                    rows.map(|row| row["featureName"].as_str().unwrap().to_owned()).collect()
                }
            };
            let result = answer(&flags);
            if result.is_ok() {
                arrived.borrow_mut().extend(flags);
            }
            async { result }
        })
        .await;
        let refused = sent.refused.iter().map(|item| match item {
            Item::Count(key, _) => key.toggle.to_string(),
            _ => panic!("no count"),
        });
        let refused: Vec<String> = refused.collect();
        assert_eq!(sent.result.is_ok(), refused.is_empty() && sent.unsent.is_empty());
        let mut arrived = arrived.into_inner();
        arrived.sort_unstable();
        (arrived, refused, sent.unsent.len(), requests.get())
    }

    #[actix_rt::test]
    async fn the_items_at_fault_are_found_and_all_others_arrive_once() {
        let names: Vec<String> = (0..300).map(|at| format!("flag-{at:03}")).collect();
        let bad = ["flag-007", "flag-150", "flag-299"].map(str::to_owned);
        for dialect in [Dialect::Proxy, Dialect::Bulk { environment: "dev".into() }] {
            for code in [400, 413] {
                let answer = |flags: &[String]| match flags.iter().any(|it| bad.contains(it)) {
                    true => Err(status(code)),
                    false => Ok(()),
                };
                let (arrived, refused, left, requests) = play(&names, &dialect, answer).await;
                assert_eq!((refused.as_slice(), left), (&bad[..], 0));
                let good: Vec<_> = names.iter().filter(|it| !bad.contains(it)).cloned().collect();
                assert_eq!(arrived, good);
                assert!(requests < 70, "{requests}");
            }
        }
    }

    #[actix_rt::test]
    async fn a_body_that_is_too_large_for_upstream_goes_in_parts() {
        let names: Vec<String> = (0..100).map(|at| format!("flag-{at:03}")).collect();
        let answer = |flags: &[String]| if flags.len() > 10 { Err(status(413)) } else { Ok(()) };
        let (arrived, refused, left, _) = play(&names, &Dialect::Proxy, answer).await;
        assert_eq!((arrived, refused.len(), left), (names, 0, 0));
    }

    #[actix_rt::test]
    async fn an_upstream_that_refuses_everything_is_asked_a_few_times_only() {
        let names: Vec<String> = (0..10_000).map(|at| format!("flag-{at:05}")).collect();
        let (arrived, refused, left, requests) =
            play(&names, &Dialect::Proxy, |_| Err(status(400))).await;
        assert_eq!((arrived.len(), refused.len(), left), (0, 2, 9_998));
        assert!(requests < 30, "{requests}");
    }

    #[actix_rt::test]
    async fn other_failures_end_the_round() {
        let names: Vec<String> = (0..3_000).map(|at| format!("flag-{at:0100}")).collect();
        for code in [401, 404, 429, 500, 503] {
            let answer = |_: &[String]| Err(status(code));
            let (_, refused, left, requests) = play(&names, &Dialect::Proxy, answer).await;
            assert_eq!((refused.len(), left, requests), (0, 3_000, 1), "{code}");
        }
    }
}
