//! Keeps the flags current: who is asked, who publishes, and what the rest of the house may want.
//!
//! ```text
//!   http ──Handle::admit──▶ Denials (read by every worker) ──▶ SyncActor ──▶ upstream::Client
//!                                                                  │ machine: what next, and when
//!   file ─────────────────▶ Reloader ─────────────────────┐        │ admission::Queue: who waits
//!                                                         ▼        ▼
//!                                                    Catalog ──▶ Publisher ──▶ every worker
//! ```
//!
//! [`start`] makes one thread, nobody's worker, an `actix::Arbiter`. On it lives either the
//! `SyncActor`, which asks upstream for flags and tokens, or the `Reloader`, which reads a file
//! again; flags that never change need neither. Whoever it is owns the `Catalog`, which
//! compiles and holds the last good state, and is the only one to publish. What upstream sends is
//! read by an `Arrival` as it comes.
//!
//! Each source, one per token that upstream is asked with, is in one of four states
//! (`machine`): *Starting*, *Fresh*, *Retrying* or *Refused*. None of them is final, none takes
//! anything back that was published, and every change between them is logged, once. A panic ends
//! the step it happens in (`guard`), and the next one is scheduled as after any other failure.
//!
//! Workers that hear of newer flags than theirs ring a bell, and the `SyncActor` asks upstream out of
//! turn, at the pace that `chase` allows.
//!
//! What callers can make this hold is bounded: who waits, who was refused, who was let in.

mod actor;
mod admission;
mod arrival;
mod catalog;
mod chase;
mod figures;
mod guard;
mod machine;
mod offline;
mod priority;
mod source;
mod startup;

use std::{fmt, io, path::PathBuf, sync::Arc, time::Instant};

use actix::{Actor, Addr, Message, Recipient};
use actix_rt::{Arbiter, ArbiterHandle, System};
use tokio::sync::oneshot;

use self::{
    actor::{AdmitCaller, SyncActor},
    admission::{Denials, MAX_DENIALS, MAX_TOKEN_BYTES},
    arrival::BadPayload,
    catalog::{Catalog, World},
    figures::Figures,
};
use crate::{
    config::{Access, Config, OfflineTokens, Source, Upstream},
    engine::Host,
    snapshot::Publisher,
    telemetry::prometheus::Page,
    token::{Admission, Scope},
    upstream::{BadHeader, Endpoint},
};

/// How the rest of the house speaks to sync. Clones speak to the same one.
#[derive(Clone)]
pub struct Handle {
    denials: Denials,
    /// `None` where there is no upstream to ask about tokens.
    asker: Option<Addr<SyncActor>>,
    poller: Option<Recipient<PollNow>>,
    thread: Option<ArbiterHandle>,
    figures: Arc<Figures>,
}

/// Why sync cannot start. An upstream that is away is none of these.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("sync needs a running actix system")]
    NoSystem,
    #[error("sync cannot start its thread: {0}")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Header(#[from] BadHeader),
    #[error("the flags file `{}` cannot be read: {err}", path.display())]
    File { path: PathBuf, err: io::Error },
    #[error("the flags in `{origin}` are no good: {reason}")]
    Flags { origin: String, reason: String },
}

/// Asks every source again at once, and for every token that is known.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
struct PollNow;

/// Starts to keep `publisher`'s readers current as `config` says.
///
/// Flags from a file and `demo_flags`, a features payload for [`Source::Demo`], are published when
/// this returns. An upstream is asked from now on, on a thread of its own: what is published when
/// this returns knows the configured keys, and no flags yet.
///
/// # Errors
/// When there is no actix system on this thread, when a header cannot be sent upstream, or when
/// the flags in the file or in `demo_flags` are no good.
pub fn start(
    config: &Config,
    demo_flags: &str,
    publisher: Publisher,
) -> Result<Handle, StartError> {
    let host = Host { name: config.hostname.clone() };
    match &config.source {
        Source::Upstream(upstream) => {
            let endpoint = Endpoint::new(upstream, &config.identity)?;
            let world = match upstream.access {
                Access::Keys { .. } => World::One,
                Access::Tokens { .. } => World::ByEnvironment,
            };
            let catalog = Catalog::new(publisher, world, host);
            start_upstream(upstream, &config.identity.instance_id, (endpoint, catalog))
        }
        Source::File { path, reload_every, tokens } => {
            let mut catalog = Catalog::new(publisher, World::One, host);
            let json = offline::read(path)?;
            let part = load(&mut catalog, tokens, &json, &path.display().to_string())?;
            let figures = catalog.figures();
            let Some(every) = reload_every.filter(|every| !every.is_zero()) else {
                return Ok(Handle::idle(figures));
            };
            let actor = offline::Reloader::new((path.clone(), every), &json, (catalog, part));
            let thread = thread()?;
            let address = offline::Reloader::start_in_arbiter(&thread, move |_| actor);
            let poller = Some(address.recipient());
            Ok(Handle { poller, thread: Some(thread), ..Handle::idle(figures) })
        }
        Source::Demo { tokens } => {
            let mut catalog = Catalog::new(publisher, World::One, host);
            load(&mut catalog, tokens, demo_flags.as_bytes(), "offleash itself")?;
            Ok(Handle::idle(catalog.figures()))
        }
    }
}

fn start_upstream(
    upstream: &Upstream,
    instance: &str,
    (endpoint, mut catalog): (Endpoint, Catalog),
) -> Result<Handle, StartError> {
    startup::grant_configured(&mut catalog, &upstream.access);
    let (denials, writer) = Denials::new(MAX_DENIALS);
    let settings = actor::Settings::new(upstream, instance);
    let thread = thread()?;
    let figures = catalog.figures();
    catalog.publish();
    let asker = SyncActor::start_in_arbiter(&thread, move |_| {
        SyncActor::new(settings, endpoint, (catalog, writer))
    });
    let poller = Some(asker.clone().recipient());
    Ok(Handle { denials, asker: Some(asker), poller, thread: Some(thread), figures })
}

fn load(
    catalog: &mut Catalog,
    tokens: &OfflineTokens,
    json: &[u8],
    origin: &str,
) -> Result<catalog::PartId, StartError> {
    offline::load(catalog, tokens, json).map_err(|err: BadPayload| StartError::Flags {
        origin: origin.to_owned(),
        reason: err.to_string(),
    })
}

/// A thread with an event loop that ends when it is told to.
fn thread() -> Result<ArbiterHandle, StartError> {
    System::try_current().ok_or(StartError::NoSystem)?;
    Ok(Arbiter::try_new().map_err(StartError::Thread)?.handle())
}

// === impl Handle ===

impl Handle {
    /// One that has nobody to ask: every token that is not granted is invalid.
    fn idle(figures: Arc<Figures>) -> Self {
        let (denials, _) = Denials::new(0);
        Self { denials, asker: None, poller: None, thread: None, figures }
    }

    /// Asks whether the owner of `token`, for which there is no grant, may come in.
    ///
    /// When this returns [`Admission::Granted`], the newest snapshot already has the grant. A text
    /// that cannot be a token of Unleash's, or that was refused within the last 30 seconds, is
    /// refused without asking anybody; upstream is asked once however many callers wait for it.
    pub async fn admit(&self, token: &str) -> Admission {
        let Some(asker) = &self.asker else { return Admission::Invalid };
        if token.len() > MAX_TOKEN_BYTES
            || Scope::of_token(token).is_none()
            || self.denials.contains(token, Instant::now())
        {
            return Admission::Invalid;
        }
        let (reply, answer) = oneshot::channel();
        if let Err(err) = asker.try_send(AdmitCaller { token: token.into(), reply }) {
            self.denials.count_turned_away();
            return match err {
                actix::prelude::SendError::Full(_) => Admission::UpstreamStatus(503),
                actix::prelude::SendError::Closed(_) => Admission::UpstreamUnreachable,
            };
        }
        // The reply is dropped unsent only when sync stops.
        answer.await.unwrap_or(Admission::UpstreamUnreachable)
    }

    /// Asks every source again at once, and whether the known tokens are still good, whatever the
    /// schedule says.
    pub fn poll_now(&self) {
        if let Some(poller) = &self.poller {
            poller.do_send(PollNow);
        }
    }

    /// How many callers, and refusals to remember, there was no room for since the start.
    pub fn turned_away(&self) -> u64 {
        self.denials.turned_away()
    }

    /// Writes the Unleash Proxy's three metrics and sync's own on `page`.
    pub fn describe(&self, page: &mut Page) {
        self.figures.describe(page, self.denials.len() as u64, self.turned_away());
    }

    /// Ends sync's thread. Nothing is published any more, and what was stays.
    ///
    /// Does not wait for the thread: it ends as soon as it has finished the step it is at.
    pub fn stop(&self) {
        if let Some(thread) = &self.thread {
            thread.stop();
        }
    }

    /// Whether sync is at work on its thread. False where no thread is needed.
    pub fn is_running(&self) -> bool {
        let is_there = self.poller.as_ref().is_some_and(Recipient::connected);
        is_there && self.thread.as_ref().is_some_and(ArbiterHandle::alive)
    }

    /// Whether sync was at work on a thread and is no more: it was stopped, or it panicked where
    /// nothing catches that. Flags grow old from then on.
    pub fn has_ended(&self) -> bool {
        self.thread.is_some() && !self.is_running()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("is_running", &self.is_running()).finish_non_exhaustive()
    }
}
