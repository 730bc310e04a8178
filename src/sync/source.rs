//! One source: a token that upstream is asked with, and what came of it.

use std::{sync::Arc, time::Duration};

use actix_web::http::header::HeaderValue;

use super::{
    arrival::{Arrival, BadPayload},
    catalog::{Catalog, PartId},
    figures::FetchOutcome,
    guard::guarded,
    machine::{Event, Machine, Policy, Say, Trouble},
};
use crate::{
    snapshot::Claims,
    token::{Scope, Token},
    upstream::{Fetched, UpstreamError},
};

/// A token that upstream is asked with.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) token: Token,
    pub(super) scope: Scope,
    pub(super) machine: Machine,
    /// The next poll, where one is scheduled.
    pub(super) timer: Option<actix::SpawnHandle>,
    /// What clients claim of the environment.
    pub(super) claims: Arc<Claims>,
    part: PartId,
    state: Polling,
    /// The number of the poll that began last, as the claims count them.
    begun: u64,
    /// The number of the one that ended last; 0 before.
    ended: u64,
    /// Of the payload that is being served.
    tag: Option<HeaderValue>,
    hash: Option<u128>,
    flags: usize,
    /// When upstream last confirmed what is being served, on the machine's clock.
    confirmed_at: Duration,
}

/// Whether upstream is being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Polling {
    Idle,
    Busy,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// When to ask again.
    pub(super) ask_at: Duration,
    /// Whether there is something new for the readers.
    pub(super) published: bool,
}

/// Why an answer was no good.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    #[error(transparent)]
    Payload(#[from] BadPayload),
    #[error("taking in the payload ended in a panic: this is a bug in offleash")]
    Panicked,
}

/// What kind of trouble it is when upstream answers nothing, or an error.
pub(super) fn trouble(err: &UpstreamError) -> Trouble {
    match err {
        UpstreamError::Status { .. } => Trouble::Status,
        UpstreamError::TooLarge | UpstreamError::Unreadable => Trouble::Unreadable,
        UpstreamError::Unreachable(_)
        | UpstreamError::TimedOut(_)
        | UpstreamError::Broken(_)
        | UpstreamError::Truncated { .. }
        | UpstreamError::Redirected(_)
        | UpstreamError::Circle
        | UpstreamError::Panicked => Trouble::Unreachable,
    }
}

// === impl Failure ===

impl Failure {
    fn event(&self) -> Event {
        match self {
            Self::Upstream(err) if matches!(err.status(), Some(401 | 403)) => Event::Refused,
            Self::Upstream(err) => Event::Failed(trouble(err), err.retry_after()),
            Self::Payload(_) | Self::Panicked => Event::Failed(Trouble::Unreadable, None),
        }
    }
}

// === impl Source ===

impl Source {
    pub(super) fn new(
        (token, scope): (Token, Scope),
        (part, claims): (PartId, Arc<Claims>),
        policy: Policy,
    ) -> Self {
        Self {
            token,
            scope,
            machine: Machine::new(policy),
            timer: None,
            claims,
            part,
            state: Polling::Idle,
            begun: 0,
            ended: 0,
            tag: None,
            hash: None,
            flags: 0,
            confirmed_at: Duration::ZERO,
        }
    }

    /// What to ask with, and what is to take the answer. `None`: upstream is being asked already.
    pub(super) fn begin(
        &mut self,
        catalog: &mut Catalog,
    ) -> Option<(Token, Option<HeaderValue>, Arrival)> {
        if self.state == Polling::Busy {
            return None;
        }
        self.state = Polling::Busy;
        self.begun = self.claims.begin();
        Some((self.token.clone(), self.tag.clone(), catalog.expect_payload(self.part)))
    }

    pub(super) fn is_busy(&self) -> bool {
        self.state == Polling::Busy
    }

    /// Counts as a poll that failed at once: upstream said, or we did, when it is asked again.
    pub(super) fn forgo(&mut self) {
        self.ended = self.claims.begin();
    }

    /// The number of the poll that ended last.
    pub(super) fn ended(&self) -> u64 {
        self.ended
    }

    /// Takes upstream's answer, publishes what is new in it, and logs a change of state.
    pub(super) fn take(
        &mut self,
        result: Result<Fetched<Arrival>, UpstreamError>,
        catalog: &mut Catalog,
        (now, dice): (Duration, f64),
    ) -> Outcome {
        self.state = Polling::Idle;
        self.ended = self.begun;
        let answer = match &result {
            Ok(Fetched::Payload { .. }) => FetchOutcome::Payload,
            Ok(Fetched::Unchanged) => FetchOutcome::Unchanged,
            Err(err) => FetchOutcome::of_error(err),
        };
        let taken = guarded(|| self.deliver(result, catalog)).unwrap_or(Err(Failure::Panicked));
        // What cannot be used is no payload.
        let outcome = match (answer, &taken) {
            (FetchOutcome::Payload, Err(_)) => FetchOutcome::Unreadable,
            _ => answer,
        };
        catalog.figures().fetched(outcome);
        let event = taken.as_ref().map_or_else(Failure::event, |event| *event);
        let step = self.machine.step(event, now, dice);
        if taken.is_ok() {
            self.confirmed_at = now;
        }
        self.say(step.say, taken.err(), now);
        Outcome { ask_at: step.ask_at, published: event == Event::Fetched }
    }

    /// Publishes `json` until upstream answers. Returns how many flags it holds: with none it is
    /// not published.
    ///
    /// # Errors
    /// When the payload is no good. Nothing was changed.
    pub(super) fn bootstrap(
        &mut self,
        json: Vec<u8>,
        catalog: &mut Catalog,
    ) -> Result<usize, BadPayload> {
        if Catalog::count(&json)? == 0 {
            return Ok(0);
        }
        // Without a tag or a hash: whatever upstream answers first is news.
        self.flags = catalog.deliver(self.part, json)?;
        catalog.publish();
        Ok(self.flags)
    }

    fn deliver(
        &mut self,
        result: Result<Fetched<Arrival>, UpstreamError>,
        catalog: &mut Catalog,
    ) -> Result<Event, Failure> {
        let Fetched::Payload { body, etag } = result? else { return Ok(Event::Unchanged) };
        let hash = Some(body.hash());
        if hash != self.hash {
            self.flags = catalog.take_in(self.part, body.read()?)?;
            catalog.publish();
            // INVARIANT: our tag and hash are of what is served, whatever panics before.
            self.hash = hash;
            self.tag = etag;
            return Ok(Event::Fetched);
        }
        self.tag = etag;
        Ok(Event::Unchanged)
    }

    fn say(&self, say: Option<Say>, failure: Option<Failure>, now: Duration) {
        let (flags, environment) = (self.flags, &*self.scope.environment);
        match (say, failure) {
            (Some(Say::Synchronized), _) => {
                tracing::info!(flags, environment, "synchronized with upstream: {flags} flags");
            }
            (Some(Say::Recovered(tries)), _) => tracing::warn!(
                flags,
                environment,
                "synchronized with upstream again after {tries} failures: {flags} flags"
            ),
            (Some(Say::Refused), Some(failure)) => tracing::error!(
                environment,
                "upstream refuses our token: {failure}; {}; asking again with back-off",
                self.keeping(now)
            ),
            (Some(_), Some(failure)) => {
                tracing::warn!(
                    environment,
                    "no flags from upstream: {failure}; {}",
                    self.keeping(now)
                );
            }
            _ => {}
        }
    }

    /// What is being served meanwhile.
    fn keeping(&self, now: Duration) -> String {
        match (self.machine.has_delivered(), self.flags) {
            (true, _) => {}
            (false, 0) => return "nothing to serve yet".to_owned(),
            (false, flags) => return format!("serving the {flags} flags of the bootstrap"),
        }
        let age = now.saturating_sub(self.confirmed_at).as_secs();
        format!("still serving the {} flags of {age} s ago", self.flags)
    }
}
