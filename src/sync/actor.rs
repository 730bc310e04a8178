//! Does what the machines say: asks upstream, hands payloads to the catalog, answers who waits.
//!
//! Everything here happens on one thread, and only waits at `upstream::Client`'s futures; what
//! comes of them is taken in by a method of the actor, one at a time.

mod behind;
mod bootstrap;
mod tokens;

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use ahash::AHashSet;
use tokio::sync::{Notify, oneshot};

use super::{
    PollNow,
    admission::{self, DenialsWriter, MAX_WAITING, Queue},
    arrival::Arrival,
    catalog::Catalog,
    chase::Chase,
    guard::{guarded, guarded_future},
    machine::{Machine, Policy},
    priority,
    source::{Outcome, Source},
    startup::Startup,
};
use crate::{
    config::{Access, Bootstrap, Upstream},
    token::{Admission, Scope, Token},
    upstream::{Client, Endpoint, Fetched, UpstreamError},
};

/// How often good tokens are validated again.
const REVALIDATE_EVERY: Duration = Duration::from_secs(3600);
/// The longest pause before a validation is tried again.
const VALIDATE_WITHIN: Duration = Duration::from_secs(60);
/// How often it is looked whether old flags are in nobody's hands any more.
pub(super) const RECLAIM_EVERY: Duration = Duration::from_secs(1);
/// How often a registration is tried.
const REGISTER_TRIES: u32 = 4;
/// How many tokens of callers are let in, so that what they take up is bounded; each of them is
/// validated again and again. Whoever comes later is told to try another time.
const MAX_ADMITTED: usize = 100_000;
/// For how many environments it is said that callers ask for them in vain.
const MAX_STRANGE_ENVIRONMENTS: usize = 100;

/// What the actor is told, apart from where upstream is.
#[derive(Debug)]
pub(super) struct Settings {
    access: Access,
    policy: Policy,
    report_every: Duration,
    instance: String,
    bootstrap: Option<Bootstrap>,
}

/// Keeps the catalog current from an upstream.
pub(super) struct SyncActor {
    settings: Settings,
    endpoint: Endpoint,
    /// Made on the actor's own thread.
    client: Option<Rc<Client>>,
    catalog: Catalog,
    sources: Vec<Source>,
    startup: Vec<Startup>,
    chase: Chase,
    catching_up: Option<actix::SpawnHandle>,
    /// Rung by the workers when a client has newer flags.
    bell: Arc<Notify>,
    validation: Validation,
    denials: DenialsWriter,
    queue: Queue,
    /// Tokens of callers that upstream called good, at most [`MAX_ADMITTED`].
    admitted: AHashSet<Token>,
    strange_environments: AHashSet<Box<str>>,
    /// Whether the workers go before it, since they have something to do.
    has_stepped_back: bool,
    /// The machines' clock starts here.
    started: Instant,
    random: ahash::RandomState,
    draws: u64,
}

/// The validation of tokens that were configured, and of those that were admitted.
#[derive(Debug)]
struct Validation {
    machine: Machine,
    /// Whether the configured tokens were asked for at least once, with whatever result.
    tried: bool,
    /// For the tokens we know.
    asking: Asking,
    /// For those that callers showed.
    asking_for_callers: Asking,
    timer: Option<actix::SpawnHandle>,
}

/// Whether upstream is being asked: one request of a sort at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asking {
    Idle,
    Busy,
}

/// A caller that nobody knows.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct AdmitCaller {
    pub(super) token: Box<str>,
    pub(super) reply: oneshot::Sender<Admission>,
}

// === impl Settings ===

impl Settings {
    pub(super) fn new(upstream: &Upstream, instance: &str) -> Self {
        Self {
            access: upstream.access.clone(),
            policy: Policy::new(upstream.poll_every, instance),
            report_every: upstream.report_every,
            instance: instance.to_owned(),
            bootstrap: upstream.bootstrap.clone(),
        }
    }
}

// === impl SyncActor ===

impl SyncActor {
    pub(super) fn new(
        settings: Settings,
        endpoint: Endpoint,
        (catalog, denials): (Catalog, DenialsWriter),
    ) -> Self {
        let policy = Policy {
            retry_from: settings.policy.retry_from,
            retry_to: VALIDATE_WITHIN.max(settings.policy.retry_from),
            ..Policy::new(REVALIDATE_EVERY, &settings.instance)
        };
        let validation = Validation {
            machine: Machine::new(policy),
            tried: false,
            asking: Asking::Idle,
            asking_for_callers: Asking::Idle,
            timer: None,
        };
        Self {
            settings,
            endpoint,
            client: None,
            catalog,
            sources: Vec::new(),
            startup: Vec::new(),
            chase: Chase::default(),
            catching_up: None,
            bell: Arc::default(),
            validation,
            denials,
            queue: Queue::default(),
            admitted: AHashSet::new(),
            strange_environments: AHashSet::new(),
            has_stepped_back: false,
            started: Instant::now(),
            random: ahash::RandomState::new(),
            draws: 0,
        }
    }

    fn client(&mut self) -> Rc<Client> {
        let endpoint = &self.endpoint;
        Rc::clone(self.client.get_or_insert_with(|| Rc::new(Client::new(endpoint.clone()))))
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Uniform in 0..1. Nobody's secret: it only spreads retries.
    fn roll(&mut self) -> f64 {
        self.draws += 1;
        let bits = u32::try_from(self.random.hash_one(self.draws) >> 32).unwrap_or_default();
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    fn add_source(&mut self, token: Token, scope: Scope) -> usize {
        let part = self.catalog.expect_part(&scope.environment);
        let claims = self.catalog.hear_claims(part, &self.bell);
        self.sources.push(Source::new((token, scope), (part, claims), self.settings.policy));
        self.sources.len() - 1
    }

    fn poll(&mut self, at: usize, ctx: &mut Context<Self>) {
        let client = self.client();
        let Some(source) = self.sources.get_mut(at) else { return };
        let Some((token, tag, body)) = source.begin(&mut self.catalog) else { return };
        if let Some(timer) = source.timer.take() {
            ctx.cancel_future(timer);
        }
        let question = async move {
            let answer = guarded_future(client.features(&token, tag.as_ref(), body)).await;
            answer.unwrap_or(Err(UpstreamError::Panicked))
        };
        let done = question.into_actor(self).map(
            move |result, actor: &mut Self, ctx: &mut Context<Self>| {
                actor.polled(at, result, ctx);
            },
        );
        ctx.spawn(done);
    }

    fn polled(
        &mut self,
        at: usize,
        result: Result<Fetched<Arrival>, UpstreamError>,
        ctx: &mut Context<Self>,
    ) {
        let (now, dice) = (self.now(), self.roll());
        let Some(source) = self.sources.get_mut(at) else { return };
        let first = !source.machine.has_delivered();
        let taken = guarded(|| source.take(result, &mut self.catalog, (now, dice)));
        let late = now + self.settings.policy.every;
        let step = taken.unwrap_or(Outcome { ask_at: late, published: false });
        source.timer = Some(ctx.run_later(step.ask_at.saturating_sub(now), move |actor, ctx| {
            actor.poll(at, ctx);
        }));
        if step.published && first {
            self.register(at, 1, ctx);
        }
        self.settle(at);
        // A claim may have waited for this poll's end.
        self.catch_up(ctx);
        if !self.has_stepped_back && self.catalog.ready {
            self.has_stepped_back = true;
            priority::step_back();
        }
    }

    /// Tells upstream that we run: at leisure, a few times, and no harm if it does not hear.
    fn register(&mut self, at: usize, tries: u32, ctx: &mut Context<Self>) {
        if self.settings.report_every.is_zero() {
            return;
        }
        let client = self.client();
        let Some(token) = self.sources.get(at).map(|source| source.token.clone()) else { return };
        let age = chrono::TimeDelta::from_std(self.now()).unwrap_or_default();
        let started =
            (chrono::Utc::now() - age).to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let question = async move {
            let answer = guarded_future(client.register(&token, &started)).await;
            answer.unwrap_or(Err(UpstreamError::Panicked))
        };
        let done =
            question.into_actor(self).map(move |result, actor: &mut Self, ctx| match result {
                Ok(()) => tracing::debug!("registered upstream"),
                Err(err) if tries >= REGISTER_TRIES => {
                    tracing::info!("gave up registering upstream after {tries} tries: {err}");
                }
                Err(err) => {
                    tracing::debug!("registering upstream failed, and will be tried again: {err}");
                    let pause = actor.settings.policy.every * 2_u32.pow(tries);
                    let pause = pause.mul_f64(0.5 + actor.roll() / 2.0);
                    ctx.run_later(pause, move |actor, ctx| actor.register(at, tries + 1, ctx));
                }
            });
        ctx.spawn(done);
    }

    fn admit(&mut self, AdmitCaller { token, reply }: AdmitCaller, ctx: &mut Context<Self>) {
        if self.catalog.grants(&token) {
            // Let in while the caller was on its way here.
            return admission::answer(reply, Admission::Granted);
        }
        if matches!(self.settings.access, Access::Keys { .. })
            || self.denials.shared().contains(&token, Instant::now())
        {
            return admission::answer(reply, Admission::Invalid);
        }
        if !self.queue.join(token, reply) {
            self.denials.shared().count_turned_away();
        }
        self.ask_for_callers(ctx);
        self.count_admission();
    }

    /// Tells who watches how many wait and how many were let in.
    fn count_admission(&self) {
        self.catalog.figures().admission(self.queue.len(), self.admitted.len());
    }
}

impl Actor for SyncActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // INVARIANT: as many as may wait; whoever finds it full is turned away by `Handle`.
        ctx.set_mailbox_capacity(MAX_WAITING);
        self.listen(ctx);
        ctx.run_interval(RECLAIM_EVERY, |actor, _| actor.catalog.reclaim());
        match self.settings.access.clone() {
            Access::Keys { upstream_token, .. } => {
                self.validation.tried = true;
                let at = self.add_source(upstream_token, Scope::new("", []));
                self.catalog.set_complete(true);
                self.poll(at, ctx);
                self.bootstrap(at, ctx);
            }
            Access::Tokens { startup, .. } => {
                self.startup = Startup::all(startup);
                if self.startup.is_empty() {
                    self.adopt(ctx);
                }
                self.validate(ctx);
            }
        }
    }
}

impl Handler<AdmitCaller> for SyncActor {
    type Result = ();

    fn handle(&mut self, caller: AdmitCaller, ctx: &mut Self::Context) {
        // Whoever waits hears of a panic by the reply that is dropped.
        let _ = guarded(|| self.admit(caller, ctx));
    }
}

impl Handler<PollNow> for SyncActor {
    type Result = ();

    fn handle(&mut self, _: PollNow, ctx: &mut Self::Context) {
        for at in 0..self.sources.len() {
            self.poll(at, ctx);
        }
        if matches!(self.settings.access, Access::Tokens { .. }) {
            self.validate(ctx);
        }
    }
}
