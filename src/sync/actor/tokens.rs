//! The actor's dealings with tokens: those that are configured, and those that callers show.

use std::time::{Duration, Instant};

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use ahash::AHashSet;

use super::{
    Asking, MAX_ADMITTED, MAX_STRANGE_ENVIRONMENTS, REVALIDATE_EVERY, SyncActor, VALIDATE_WITHIN,
};
use crate::{
    sync::{
        guard::{guarded, guarded_future},
        machine::{Event, Say},
        source,
        startup::{self, Standing, Startup},
    },
    token::{Admission, Kind, Token},
    upstream::{UpstreamError, ValidToken},
};

// === impl SyncActor: configured tokens ===

impl SyncActor {
    /// Validates all that is configured or admitted.
    pub(super) fn validate(&mut self, ctx: &mut Context<Self>) {
        if self.validation.asking == Asking::Busy {
            return;
        }
        if let Some(timer) = self.validation.timer.take() {
            ctx.cancel_future(timer);
        }
        let startup = self.startup.iter().map(|it| it.token.clone());
        let tokens: Vec<Token> = startup.chain(self.admitted.iter().cloned()).collect();
        if tokens.is_empty() {
            self.validation.tried = true;
            return self.validate_later(REVALIDATE_EVERY, ctx);
        }
        self.validation.asking = Asking::Busy;
        let client = self.client();
        let question = async move {
            let result = guarded_future(client.validate(&tokens)).await;
            (tokens, result.unwrap_or(Err(UpstreamError::Panicked)))
        };
        let done = question.into_actor(self).map(|(tokens, result), actor: &mut Self, ctx| {
            actor.validation.asking = Asking::Idle;
            if guarded(|| actor.validated(&tokens, result, ctx)).is_none() {
                actor.validate_later(VALIDATE_WITHIN, ctx);
            }
        });
        ctx.spawn(done);
    }

    fn validate_later(&mut self, pause: Duration, ctx: &mut Context<Self>) {
        let timer = ctx.run_later(pause, |actor, ctx| actor.validate(ctx));
        if let Some(former) = self.validation.timer.replace(timer) {
            ctx.cancel_future(former);
        }
    }

    fn validated(
        &mut self,
        asked: &[Token],
        result: Result<Vec<ValidToken>, UpstreamError>,
        ctx: &mut Context<Self>,
    ) {
        let event = match &result {
            Ok(valid) => {
                self.revalidate(asked, valid);
                let refused = self.startup.iter().any(|it| it.standing == Standing::Invalid);
                if refused { Event::Refused } else { Event::Fetched }
            }
            Err(err) => {
                // Better to ask with a token that may be wrong than not to ask.
                self.startup.iter_mut().for_each(Startup::assume);
                // Not `Refused`: that is for tokens, and validation shows none of ours.
                Event::Failed(source::trouble(err), err.retry_after())
            }
        };
        let (now, dice) = (self.now(), self.roll());
        let step = self.validation.machine.step(event, now, dice);
        self.say_validation(step.say, result.err());
        self.validate_later(step.ask_at.saturating_sub(now), ctx);
        self.validation.tried = true;
        self.adopt(ctx);
        self.ask_for_callers(ctx);
        self.count_admission();
    }

    /// Takes upstream's word on the tokens that were asked for.
    fn revalidate(&mut self, asked: &[Token], valid: &[ValidToken]) {
        for startup in &mut self.startup {
            let found = valid.iter().find(|it| it.token == startup.token);
            startup.standing = match found {
                Some(found) => Standing::Valid(found.kind, found.scope.clone()),
                // What it fetched stays, and so does its own access: we trust our operator.
                None => Standing::Invalid,
            };
        }
        let mut lost = 0;
        for token in asked {
            if !self.admitted.contains(token) {
                continue;
            }
            match valid.iter().find(|it| it.token == *token) {
                Some(found) if self.may_enter(found) => self.let_in(found),
                _ => {
                    lost += 1;
                    self.admitted.remove(token);
                    self.catalog.revoke(token);
                }
            }
        }
        if lost > 0 {
            tracing::info!("{lost} tokens are no longer good upstream");
        }
    }

    fn say_validation(&self, say: Option<Say>, err: Option<UpstreamError>) {
        let total = self.startup.len();
        let of = |standing: &Standing| {
            let numbers =
                self.startup.iter().enumerate().filter(|(_, it)| it.standing == *standing);
            numbers.map(|(at, _)| (at + 1).to_string()).collect::<Vec<_>>().join(", ")
        };
        match (say, err) {
            (Some(Say::Refused), _) => tracing::error!(
                "upstream calls tokens invalid: number {} of {total} configured; asking again",
                of(&Standing::Invalid),
            ),
            (Some(Say::Failing), Some(err)) => {
                tracing::warn!("the configured tokens cannot be validated: {err}; asking again");
            }
            (Some(Say::Recovered(_)), _) => tracing::warn!("the configured tokens are valid again"),
            (Some(Say::Synchronized), _) => tracing::info!("the configured tokens are valid"),
            _ => {}
        }
    }

    /// Grants what is known to be good now, and begins to ask with each token that is needed.
    pub(super) fn adopt(&mut self, ctx: &mut Context<Self>) {
        for at in 0..self.startup.len() {
            let Some(startup) = self.startup.get_mut(at) else { continue };
            let Some((kind, scope)) = startup.access() else { continue };
            let token = startup.token.clone();
            if kind != Kind::Backend {
                if startup.warn_of_kind() {
                    tracing::warn!(
                        "configured token number {} is no backend token: upstream gives it no flags",
                        at + 1
                    );
                }
                if kind == Kind::Frontend {
                    self.catalog.grant(&token, kind, scope.or_all());
                }
                continue;
            }
            self.catalog.grant(&token, kind, scope.clone().or_all());
            if let Some(source) = self.sources.iter_mut().find(|source| source.token == token) {
                source.scope = scope;
            } else if !startup::is_covered(at, &self.startup) {
                let at = self.add_source(token, scope);
                self.poll(at, ctx);
            }
        }
        let known = self.startup.iter().all(|it| it.standing != Standing::Unasked);
        let useful = self.startup.is_empty() || !self.sources.is_empty();
        self.catalog.set_complete(known && useful);
        self.catalog.publish();
    }
}

// === impl SyncActor: callers' tokens ===

impl SyncActor {
    /// Asks upstream about everyone who waits, unless it is being asked already.
    pub(super) fn ask_for_callers(&mut self, ctx: &mut Context<Self>) {
        // Before the configured tokens are known, no environment is, and everyone would be refused.
        if self.validation.asking_for_callers == Asking::Busy || !self.validation.tried {
            return;
        }
        let batch = self.queue.next_batch();
        if batch.is_empty() {
            return;
        }
        self.validation.asking_for_callers = Asking::Busy;
        let client = self.client();
        let question = async move {
            let result = guarded_future(client.validate(&batch)).await;
            (batch, result.unwrap_or(Err(UpstreamError::Panicked)))
        };
        let done = question.into_actor(self).map(|(batch, result), actor: &mut Self, ctx| {
            actor.validation.asking_for_callers = Asking::Idle;
            if guarded(|| actor.answer_callers(&batch, result)).is_none() {
                let answer = Admission::UpstreamUnreachable;
                batch.iter().for_each(|token| actor.queue.settle(token, answer));
            }
            actor.ask_for_callers(ctx);
            actor.count_admission();
        });
        ctx.spawn(done);
    }

    fn answer_callers(&mut self, batch: &[Token], result: Result<Vec<ValidToken>, UpstreamError>) {
        let valid = match result {
            Ok(valid) => valid,
            Err(err) => {
                tracing::debug!("callers' tokens cannot be validated: {err}");
                let answer =
                    err.status().map_or(Admission::UpstreamUnreachable, Admission::UpstreamStatus);
                batch.iter().for_each(|token| self.queue.settle(token, answer));
                return;
            }
        };
        let answers: Vec<(&Token, Admission)> = batch
            .iter()
            .map(|token| match valid.iter().find(|it| it.token == *token) {
                Some(found) if self.may_enter(found) => {
                    if !has_room(&self.admitted, token, MAX_ADMITTED) {
                        self.denials.shared().count_turned_away();
                        return (token, Admission::UpstreamStatus(503));
                    }
                    self.let_in(found);
                    (token, Admission::Granted)
                }
                _ => {
                    self.denials.remember(token.secret(), Instant::now());
                    (token, Admission::Invalid)
                }
            })
            .collect();
        // INVARIANT: who hears that they may come in finds the grant published.
        if answers.iter().any(|(_, answer)| *answer == Admission::Granted) {
            self.catalog.publish();
        }
        for (token, answer) in answers {
            self.queue.settle(token, answer);
        }
    }

    /// Whether the token that upstream calls good is good for anything here
    /// (`spec/unleash-edge.md` 1.0 and 3.1: strict).
    fn may_enter(&mut self, found: &ValidToken) -> bool {
        let environment = &found.scope.environment;
        if !self.catalog.expects(environment) {
            if self.strange_environments.len() < MAX_STRANGE_ENVIRONMENTS
                && self.strange_environments.insert(environment.clone())
            {
                tracing::warn!(
                    "a caller's token is for the environment `{environment}`, which no configured \
                     token loads"
                );
            }
            return false;
        }
        match found.kind {
            Some(Kind::Admin) => false,
            // Definitions are handed out whole: one of our own tokens must see all of them.
            Some(Kind::Backend | Kind::Both) => {
                self.sources.iter().any(|it| it.scope.covers(&found.scope))
            }
            Some(Kind::Frontend) | None => true,
        }
    }

    fn let_in(&mut self, found: &ValidToken) {
        // Whatever upstream calls it in some later version, it may see what it evaluates to.
        let kind = found.kind.unwrap_or(Kind::Frontend);
        self.catalog.grant(&found.token, kind, found.scope.clone());
        self.admitted.insert(found.token.clone());
    }
}

/// Whether `token` may join those that were let in, or is there already.
fn has_room(admitted: &AHashSet<Token>, token: &Token, limit: usize) -> bool {
    admitted.len() < limit || admitted.contains(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_let_in_stays_in_when_there_is_no_room_for_others() {
        let admitted: AHashSet<Token> = ["a:dev.x", "b:dev.y"].map(Token::new).into();
        assert!(has_room(&admitted, &Token::new("c:dev.z"), 3));
        assert!(!has_room(&admitted, &Token::new("c:dev.z"), 2));
        assert!(has_room(&admitted, &Token::new("a:dev.x"), 2));
    }
}
