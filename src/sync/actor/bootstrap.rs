//! The flags to start with, from a place that is not upstream, while upstream has not answered.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};

use super::SyncActor;
use crate::{
    sync::guard::{guarded, guarded_future},
    upstream::UpstreamError,
};

/// The longest that one try may take (`spec/unleash-proxy.md` 4.1).
const WITHIN: Duration = Duration::from_secs(10);
/// How long to wait for each further try.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

// === impl SyncActor: the bootstrap ===

impl SyncActor {
    /// Asks for the flags to start with, where that is configured, on behalf of the source at `at`.
    pub(super) fn bootstrap(&mut self, at: usize, ctx: &mut Context<Self>) {
        let Some(from) = self.settings.bootstrap.clone() else { return };
        let client = self.client();
        let question = async move {
            let mut pauses = PAUSES.iter();
            loop {
                let answer = guarded_future(client.bootstrap(&from, WITHIN)).await;
                let answer = answer.unwrap_or(Err(UpstreamError::Panicked));
                match (&answer, pauses.next()) {
                    (Err(err), Some(pause)) if may_pass(err) => {
                        tracing::debug!("the bootstrap failed, and will be tried again: {err}");
                        actix_rt::time::sleep(*pause).await;
                    }
                    _ => return answer,
                }
            }
        };
        let done = question.into_actor(self).map(move |answer, actor: &mut Self, _| {
            // What there was before is served on, whatever happens in there.
            let _ = guarded(|| actor.bootstrapped(at, answer));
        });
        ctx.spawn(done);
    }

    fn bootstrapped(&mut self, at: usize, answer: Result<Vec<u8>, UpstreamError>) {
        let Some(source) = self.sources.get_mut(at) else { return };
        if source.machine.has_delivered() {
            return tracing::debug!("the bootstrap is not needed: upstream answered before it");
        }
        let flags = match answer {
            Ok(body) => source.bootstrap(body, &mut self.catalog).map_err(|err| err.to_string()),
            Err(err) => Err(err.to_string()),
        };
        match flags {
            Ok(0) => tracing::warn!("the bootstrap holds no flags, and is not used"),
            Ok(flags) => tracing::warn!(
                flags,
                "serving {flags} flags of the bootstrap until upstream answers"
            ),
            Err(err) => tracing::warn!(
                "no flags from the bootstrap (its server is called upstream here): {err}; waiting \
                 for upstream itself"
            ),
        }
    }
}

/// Whether another try may have more luck.
fn may_pass(err: &UpstreamError) -> bool {
    err.status().is_none_or(|status| matches!(status, 408 | 429 | 500..))
}
