//! What the actor does when a client has newer flags than we: it asks upstream out of turn.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::SyncActor;
use crate::{
    snapshot::Claims,
    sync::{
        chase::{Standing, Turn},
        guard::guarded,
        source::Source,
    },
};

// === impl SyncActor: claims ===

impl SyncActor {
    /// Waits for the workers' bell, for as long as the actor lives.
    pub(super) fn listen(&self, ctx: &mut Context<Self>) {
        let bell = Arc::clone(&self.bell);
        let ring = async move { bell.notified().await };
        let done = ring.into_actor(self).map(|(), actor: &mut Self, ctx| {
            let _ = guarded(|| actor.catch_up(ctx));
            actor.listen(ctx);
        });
        ctx.spawn(done);
    }

    /// Asks upstream for the environment that clients know more of than we, if it is time.
    ///
    /// A source that backs off is not asked before its time: what is claimed of it gets no other
    /// answer than if it had been asked in vain.
    pub(super) fn catch_up(&mut self, ctx: &mut Context<Self>) {
        let standings: Vec<Standing> =
            self.sources.iter().map(|source| self.standing(&source.claims)).collect();
        let at = match self.chase.turn(self.now(), &standings) {
            Turn::Rest => return,
            Turn::Wait(pause) => {
                let timer = ctx.run_later(pause, |actor, ctx| actor.catch_up(ctx));
                if let Some(former) = self.catching_up.replace(timer) {
                    ctx.cancel_future(former);
                }
                return;
            }
            Turn::Ask(at) => at,
        };
        let Some(claims) = self.sources.get(at).map(|source| Arc::clone(&source.claims)) else {
            return;
        };
        claims.attend();
        let mut asks = false;
        for at in 0..self.sources.len() {
            let Some(source) = self.sources.get_mut(at) else { continue };
            if !Arc::ptr_eq(&source.claims, &claims) {
                continue;
            }
            if source.machine.backs_off() {
                source.forgo();
            } else {
                self.poll(at, ctx);
                asks = true;
            }
        }
        if asks {
            self.catalog.figures().polled_for_a_claim();
            tracing::debug!("a client has newer flags than we: asking upstream out of turn");
        }
        self.settle(at);
        // Others may wait for their turn.
        self.catch_up(ctx);
    }

    /// Tells those who claim something of the environment of the source at `at` how far its polls
    /// have come: as far as the last of its sources.
    pub(super) fn settle(&self, at: usize) {
        let Some(claims) = self.sources.get(at).map(|source| &source.claims) else { return };
        if let Some(number) = self.sources_of(claims).map(Source::ended).min() {
            claims.settle(number);
        }
    }

    fn standing(&self, claims: &Arc<Claims>) -> Standing {
        if !claims.is_wanted() {
            Standing::Current
        } else if self.sources_of(claims).any(Source::is_busy) {
            Standing::Busy
        } else {
            Standing::Behind
        }
    }

    fn sources_of<'s>(&'s self, claims: &'s Arc<Claims>) -> impl Iterator<Item = &'s Source> {
        self.sources.iter().filter(|source| Arc::ptr_eq(&source.claims, claims))
    }
}
