//! The actor that adds counts up and reports them, per environment, at its pace.

use std::{rc::Rc, sync::Arc, sync::atomic::Ordering, time::Duration};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture,
};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{
    Application, MAX_WAITING, Note, Report, Shared,
    batch::{Dialect, Span},
    delivery::{self, Sent},
    ledger::Item,
    now_millis,
    outlet::Outlet,
    pace::{Pace, Trouble},
};
use crate::{
    config::{Access, Identity, Upstream},
    engine::Projects,
    token::Token,
    upstream::{Client, Endpoint, UpstreamError},
};

/// How soon the last report is tried again.
const LAST_RETRY: Duration = Duration::from_millis(200);

/// What the actor is told, apart from where upstream is.
#[derive(Debug)]
pub(super) struct Settings {
    access: Access,
    pace: Pace,
    identity: Identity,
}

/// Adds up what workers hand on, and reports it.
pub(super) struct UsageActor {
    identity: Identity,
    endpoint: Endpoint,
    /// Made on the actor's own thread.
    client: Option<Rc<Client>>,
    outlets: Vec<Outlet>,
    shared: Arc<Shared>,
    /// Of what was turned away, how much was said.
    said_turned_away: u64,
    stopping: Option<oneshot::Sender<()>>,
    random: ahash::RandomState,
    draws: u64,
}

/// Reports everything, at once, and says when that is done or `within` is over.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct Stop {
    pub(super) within: Duration,
}

// === impl Settings ===

impl Settings {
    pub(super) fn new(upstream: &Upstream, identity: &Identity) -> Self {
        let pace = Pace::new(upstream.report_every, upstream.report_jitter);
        Self { access: upstream.access.clone(), pace, identity: identity.clone() }
    }

    fn outlets(&self) -> Vec<Outlet> {
        let outlet =
            |dialect, token: &Token| Outlet::new(dialect, token.clone(), self.pace.clone());
        let startup = match &self.access {
            Access::Keys { upstream_token, .. } => {
                return vec![outlet(Dialect::Proxy, upstream_token)];
            }
            Access::Tokens { startup, .. } => startup,
        };
        let mut outlets: Vec<Outlet> = Vec::new();
        for token in startup {
            let Some(environment) = token.scope().map(|scope| scope.environment) else { continue };
            match outlets.iter_mut().find(|outlet| outlet.serves(&environment)) {
                Some(outlet) => outlet.tokens.push(token.clone()),
                None => outlets.push(outlet(Dialect::Bulk { environment }, token)),
            }
        }
        outlets
    }
}

// === impl UsageActor ===

impl UsageActor {
    pub(super) fn new(settings: Settings, endpoint: Endpoint, shared: Arc<Shared>) -> Self {
        let outlets = settings.outlets();
        Self {
            identity: settings.identity,
            endpoint,
            client: None,
            outlets,
            shared,
            said_turned_away: 0,
            stopping: None,
            random: ahash::RandomState::new(),
            draws: 0,
        }
    }

    /// Uniform in 0..1. Nobody's secret: it only spreads reports.
    fn roll(&mut self) -> f64 {
        self.draws += 1;
        let bits = u32::try_from(self.random.hash_one(self.draws) >> 32).unwrap_or_default();
        f64::from(bits) / (f64::from(u32::MAX) + 1.0)
    }

    fn client(&mut self) -> Rc<Client> {
        let endpoint = &self.endpoint;
        Rc::clone(self.client.get_or_insert_with(|| Rc::new(Client::new(endpoint.clone()))))
    }

    fn turn_away(&self, items: u64) {
        self.shared.turned_away.fetch_add(items, Ordering::Relaxed);
    }

    fn take_report(&mut self, report: Report) {
        let Report { app, environment, hour, counts, impact, unreadable } = report;
        self.turn_away(unreadable);
        let items = counts.len() + impact.len();
        let outlet = self.outlets.iter_mut().find(|outlet| outlet.serves(&environment));
        let items = u64::try_from(items).unwrap_or(u64::MAX);
        let Some(outlet) = outlet else { return self.turn_away(items) };
        self.shared.accepted.add(items);
        for count in counts {
            outlet.add(Item::count(&app, hour, count));
        }
        for impact in impact {
            outlet.add(Item::Impact(app.clone(), impact));
        }
        let turned_away = outlet.ledger.take_turned_away();
        self.turn_away(turned_away);
    }

    fn take_application(&mut self, application: Application) {
        let Application { environment, projects, mut body } = application;
        let outlet = self.outlets.iter_mut().find(|outlet| outlet.serves(&environment));
        let Some(outlet) = outlet else { return self.turn_away(1) };
        if matches!(outlet.dialect, Dialect::Proxy) {
            // The original accepts and drops them: upstream knows one application.
            return;
        }
        let name = |field| body.get(field).and_then(Value::as_str).unwrap_or_default();
        let (app, mut instance): (Box<str>, Box<str>) =
            (name("appName").into(), name("instanceId").into());
        if instance.is_empty() {
            // Upstream wants one, and calls those that name none so.
            instance = "default".into();
        }
        body.insert("instanceId".to_owned(), (&*instance).into());
        body.insert("environment".to_owned(), (&*environment).into());
        let projects = match projects {
            Projects::All => json!(["*"]),
            Projects::Only(names) => json!(names),
        };
        body.insert("projects".to_owned(), projects);
        let via = json!({
            "appName": self.identity.app_name, "instanceId": self.identity.instance_id,
        });
        match body.get_mut("connectVia").and_then(Value::as_array_mut) {
            Some(path) => path.push(via),
            None => drop(body.insert("connectVia".to_owned(), json!([via]))),
        }
        self.shared.accepted.add(1);
        outlet.add(Item::Application((app, instance), body));
        let turned_away = outlet.ledger.take_turned_away();
        self.turn_away(turned_away);
    }

    /// Reports what the outlet at `at` holds, unless it is at that already.
    fn report(&mut self, at: usize, ctx: &mut Context<Self>) {
        self.say_turned_away();
        let (client, dice) = (self.client(), self.roll());
        let Some(outlet) = self.outlets.get_mut(at) else { return };
        if outlet.under_way > 0 {
            return;
        }
        if let Some(timer) = outlet.timer.take() {
            ctx.cancel_future(timer);
        }
        let items = outlet.ledger.take();
        if items.is_empty() {
            let pause = outlet.pace.idle(dice);
            outlet.timer = Some(ctx.run_later(pause, move |actor, ctx| actor.report(at, ctx)));
            return self.finish();
        }
        outlet.under_way = items.len();
        let span = Span { since: outlet.since, until: now_millis() };
        let Some(token) = outlet.tokens.get(outlet.token).cloned() else { return };
        let sending = send(client, token, (items, outlet.dialect.clone()), span);
        let done = sending
            .into_actor(self)
            .map(move |sent, actor: &mut Self, ctx: &mut Context<Self>| actor.sent(at, sent, ctx));
        ctx.spawn(done);
    }

    fn sent(&mut self, at: usize, sent: Sent, ctx: &mut Context<Self>) {
        let is_stopping = self.stopping.is_some();
        let dice = self.roll();
        let Some(outlet) = self.outlets.get_mut(at) else { return };
        let Sent { unsent, refused, since, result } = sent;
        let left = unsent.len() + refused.len();
        let confirmed = std::mem::take(&mut outlet.under_way).saturating_sub(left);
        self.shared.reported.add(u64::try_from(confirmed).unwrap_or(u64::MAX));
        outlet.take_back(unsent, refused);
        if left > 0 {
            outlet.since = outlet.since.min(since);
        }
        let err = result.err();
        let trouble = err.as_ref().map(|err| Trouble::of_status(err.status()));
        if trouble == Some(Trouble::Refused) {
            outlet.token = (outlet.token + 1) % outlet.tokens.len().max(1);
        }
        let say = outlet.pace.step(trouble);
        outlet.say(say, err.as_ref());
        let wish = err.as_ref().and_then(UpstreamError::retry_after);
        if is_stopping && trouble == Some(Trouble::Absent) {
            let lost = outlet.ledger.take().len();
            tracing::info!(
                lost,
                "{lost} sums of usage are dropped: upstream has no place for them"
            );
        }
        let pause = if !is_stopping {
            outlet.pace.pause(wish, dice)
        } else if outlet.ledger.len() == 0 {
            Duration::MAX
        } else {
            LAST_RETRY
        };
        let turned_away = outlet.ledger.take_turned_away();
        if pause < Duration::MAX {
            outlet.timer = Some(ctx.run_later(pause, move |actor, ctx| actor.report(at, ctx)));
        }
        self.turn_away(turned_away);
        self.shared.kept.set(self.left() as u64);
        self.finish();
    }

    /// Says that everything was reported, if somebody waits for that and it is so.
    fn finish(&mut self) {
        if self.left() == 0
            && let Some(reply) = self.stopping.take()
        {
            // Whoever waited may have given up.
            let _ = reply.send(());
        }
    }

    /// Sums that upstream has not confirmed.
    fn left(&self) -> usize {
        self.outlets.iter().map(|outlet| outlet.ledger.len() + outlet.under_way).sum()
    }

    fn say_turned_away(&mut self) {
        let total = self.shared.turned_away.load(Ordering::Relaxed);
        let new = total.saturating_sub(self.said_turned_away);
        if new > 0 {
            self.said_turned_away = total;
            tracing::warn!(
                new,
                total,
                "{new} usage reports, counts or registrations were turned away: too many, too \
                 long, unreadable, or of an environment without a token"
            );
        }
    }
}

impl Actor for UsageActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // INVARIANT: whoever finds it full is turned away, and counted, by the recorder.
        ctx.set_mailbox_capacity(MAX_WAITING);
        for at in 0..self.outlets.len() {
            let dice = self.roll();
            let Some(outlet) = self.outlets.get_mut(at) else { continue };
            let pause = outlet.pace.idle(dice);
            outlet.timer = Some(ctx.run_later(pause, move |actor, ctx| actor.report(at, ctx)));
        }
    }
}

impl Handler<Note> for UsageActor {
    type Result = ();

    fn handle(&mut self, note: Note, _: &mut Self::Context) {
        match note {
            Note::Report(report) => self.take_report(report),
            Note::Application(application) => self.take_application(application),
        }
        self.shared.kept.set(self.left() as u64);
    }
}

impl Handler<Stop> for UsageActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Stop { within }: Stop, ctx: &mut Self::Context) -> Self::Result {
        let (reply, done) = oneshot::channel();
        self.stopping = Some(reply);
        for at in 0..self.outlets.len() {
            self.report(at, ctx);
        }
        self.finish();
        ctx.run_later(within, |actor, _| {
            let left = actor.left();
            if let Some(reply) = actor.stopping.take() {
                tracing::error!(
                    left,
                    "{left} sums of usage are lost: upstream did not confirm them in time"
                );
                let _ = reply.send(());
            }
        });
        Box::pin(async move {
            // The sender is dropped unsent only with the actor.
            let _ = done.await;
        })
    }
}

/// Reports `items`, as far as upstream takes them.
async fn send(
    client: Rc<Client>,
    token: Token,
    (items, dialect): (Vec<Item>, Dialect),
    span: Span,
) -> Sent {
    let (client, token, way) = (&client, &token, &dialect);
    delivery::send(items, &dialect, span, |body| async move {
        match way {
            Dialect::Proxy => client.report(token, body).await,
            Dialect::Bulk { .. } => client.report_bulk(token, &body).await,
        }
    })
    .await
}
