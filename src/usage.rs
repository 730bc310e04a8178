//! Usage counts: from SDKs and from evaluation, added up here, reported upstream.
//!
//! ```text
//!   worker ─ Recorder ─ Report, Application ─▶ UsageActor ─▶ upstream::Client
//!            (its own buffer)  (bounded mailbox)   │ ledger: sums, bounded
//!                                                  │ batch: bodies, by size; delivery: one by one
//! ```
//!
//! A request waits for none of this: what a worker accepted goes to the actor by message. Sums are
//! kept per environment, app, flag and hour until upstream has confirmed them; what there is no
//! room for is counted, and said (`spec/unleash-proxy.md` 3.3 and 9.2, `spec/unleash-edge.md` 3.5).

mod batch;
mod delivery;
mod impact;
mod ledger;
mod outlet;
mod pace;
mod report;

use std::{
    cell::RefCell,
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix::{Actor, Addr, Message};
use actix_rt::{Arbiter, ArbiterHandle, System};
use ahash::AHashMap;
use serde_json::{Map, Value};
use tokio::sync::watch;

pub use self::impact::Impact;
use self::report::{Stop, UsageActor};
use crate::{
    config::{Config, Source},
    engine::Projects,
    telemetry::prometheus::{Figure, Page, Sort},
    upstream::{BadHeader, Endpoint},
};

/// Reports that may wait for the actor.
const MAX_WAITING: usize = 1024;
/// Names that one worker counts before it hands them on.
const MAX_BUFFERED: usize = 1000;
/// The longest that the last report may take.
const MAX_FLUSH: Duration = Duration::from_secs(5);

/// How the rest of the house speaks to usage. Clones speak to the same one.
#[derive(Clone)]
pub struct Handle {
    /// `None` where there is nobody to report to: counts are accepted and dropped.
    asker: Option<Addr<UsageActor>>,
    thread: Option<ArbiterHandle>,
    shared: Arc<Shared>,
    flush_within: Duration,
}

/// One worker's way to the actor. Hands on what it holds when it is dropped.
pub struct Recorder {
    app: Box<str>,
    asker: Option<Addr<UsageActor>>,
    shared: Arc<Shared>,
    /// Evaluations by name, per environment, until the next flush.
    // INVARIANT: never borrowed across an await.
    evaluations: RefCell<AHashMap<Box<str>, Evaluations>>,
}

/// What an SDK counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Whose counts these are, by the sender's own word.
    pub app: Box<str>,
    /// The environment of the sender's token; empty in the Unleash Proxy's dialect.
    pub environment: Box<str>,
    /// Hours since 1970.
    pub hour: i64,
    pub counts: Vec<Count>,
    pub impact: Vec<Impact>,
    /// Impact metrics that could not be understood, and will not be passed on.
    pub unreadable: u64,
}

/// One flag's counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Count {
    pub toggle: Box<str>,
    pub yes: u64,
    pub no: u64,
    pub variants: Vec<(Box<str>, u64)>,
}

/// An SDK that says it runs.
#[derive(Clone, Debug)]
pub struct Application {
    pub environment: Box<str>,
    pub projects: Projects,
    /// As it was sent.
    pub body: Map<String, Value>,
}

/// Why usage cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("usage needs a running actix system")]
    NoSystem,
    #[error("usage cannot start its thread: {0}")]
    Thread(#[source] io::Error),
    #[error(transparent)]
    Header(#[from] BadHeader),
}

/// What all threads know.
#[derive(Debug, Default)]
struct Shared {
    // An atomic, because every worker and the actor add to it, rarely.
    turned_away: AtomicU64,
    /// Sums and registrations that the actor took in, and that upstream confirmed.
    accepted: Figure,
    reported: Figure,
    /// Those that upstream has not confirmed.
    kept: Figure,
    /// Recorders that may still have something to hand on.
    recorders: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Evaluated {
    yes: u64,
    no: u64,
}

/// By name.
type Evaluations = AHashMap<Box<str>, Evaluated>;

/// What a worker hands on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
enum Note {
    Report(Report),
    Application(Application),
}

/// Starts to report usage as `config` says, on a thread of its own.
///
/// Without an upstream, or with reports turned off, there is nothing to start: what is recorded
/// goes nowhere.
///
/// # Errors
/// When there is no actix system on this thread, or when a header cannot be sent upstream.
pub fn start(config: &Config) -> Result<Handle, StartError> {
    let Source::Upstream(upstream) = &config.source else { return Ok(Handle::idle()) };
    if upstream.report_every.is_zero() {
        return Ok(Handle::idle());
    }
    let endpoint = Endpoint::new(upstream, &config.identity)?;
    System::try_current().ok_or(StartError::NoSystem)?;
    let thread = Arbiter::try_new().map_err(StartError::Thread)?.handle();
    let mut handle = Handle::idle();
    let settings = report::Settings::new(upstream, &config.identity);
    let shared = Arc::clone(&handle.shared);
    let asker =
        UsageActor::start_in_arbiter(&thread, move |_| UsageActor::new(settings, endpoint, shared));
    handle.asker = Some(asker);
    handle.thread = Some(thread);
    handle.flush_within = MAX_FLUSH.min(config.server.finish_within() / 2);
    Ok(handle)
}

/// The current hour, counted since 1970.
pub fn this_hour() -> i64 {
    now_millis().div_euclid(ledger::HOUR_MILLIS)
}

fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

// === impl Handle ===

impl Handle {
    /// One that reports to nobody.
    pub fn idle() -> Self {
        let shared = Arc::new(Shared::default());
        Self { asker: None, thread: None, shared, flush_within: Duration::ZERO }
    }

    /// A recorder for one worker.
    ///
    /// `app` is whom evaluations are counted for.
    pub fn recorder(&self, app: &str) -> Recorder {
        self.shared.recorders.send_modify(|live| *live += 1);
        let shared = Arc::clone(&self.shared);
        let (asker, evaluations) = (self.asker.clone(), RefCell::default());
        Recorder { app: app.into(), asker, shared, evaluations }
    }

    /// How many reports, counts and registrations there was no room for since the start.
    pub fn turned_away(&self) -> u64 {
        self.shared.turned_away.load(Ordering::Relaxed)
    }

    /// Writes what was counted of the counting on `page`.
    pub fn describe(&self, page: &mut Page) {
        let Shared { accepted, reported, kept, .. } = &*self.shared;
        page.value(
            Sort::Counter,
            "offleash_usage_accepted_total",
            "Counts, impact metrics and registrations that SDKs sent and that were taken in",
            accepted.get(),
        );
        page.value(
            Sort::Counter,
            "offleash_usage_reported_total",
            "Sums and registrations that upstream confirmed: several counts of a flag are one sum",
            reported.get(),
        );
        page.value(
            Sort::Counter,
            "offleash_usage_dropped_total",
            "Reports, counts and registrations there was no room or no place for",
            self.turned_away(),
        );
        page.value(
            Sort::Gauge,
            "offleash_usage_kept",
            "Sums and registrations that wait for upstream's word",
            kept.get(),
        );
    }

    /// How long [`Handle::stop`] may take at most, to be kept free by whoever stops before it.
    pub fn flush_within(&self) -> Duration {
        self.flush_within
    }

    /// Reports what was accepted and ends the thread, within [`Handle::flush_within`].
    ///
    /// Waits for the workers' recorders first: stop the server before this. What upstream has not
    /// confirmed by then is lost, and the log says how much.
    pub async fn stop(&self) {
        let Some(asker) = &self.asker else { return };
        let start = std::time::Instant::now();
        let mut recorders = self.shared.recorders.subscribe();
        let handed_on = recorders.wait_for(|live| *live == 0);
        if actix_rt::time::timeout(self.flush_within / 2, handed_on).await.is_err() {
            tracing::warn!("a worker has not ended: its last evaluations may go unreported");
        }
        let within = self.flush_within.saturating_sub(start.elapsed());
        // The actor keeps to the time itself, and says what it could not send.
        if asker.send(Stop { within }).await.is_err() {
            tracing::error!("usage ended before its last report");
        }
        if let Some(thread) = &self.thread {
            thread.stop();
        }
    }

    /// Ends the thread without a last report.
    pub fn abandon(&self) {
        if let Some(thread) = &self.thread {
            thread.stop();
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        f.debug_struct("Handle").field("shared", shared).finish_non_exhaustive()
    }
}

// === impl Recorder ===

impl Recorder {
    /// Whether anybody wants to know.
    pub fn is_on(&self) -> bool {
        self.asker.is_some()
    }

    /// Hands on what an SDK counted.
    pub fn report(&self, report: Report) {
        self.send(Note::Report(report));
    }

    /// Hands on that an SDK runs.
    pub fn register(&self, application: Application) {
        self.send(Note::Application(application));
    }

    /// Counts that `names` were evaluated, once each, with whether they were on.
    pub fn evaluated<'n>(
        &self,
        environment: &str,
        names: impl IntoIterator<Item = (&'n str, bool)>,
    ) {
        let mut evaluations = self.evaluations.borrow_mut();
        if !evaluations.contains_key(environment) {
            evaluations.insert(environment.into(), AHashMap::new());
        }
        let Some(counts) = evaluations.get_mut(environment) else { return };
        for (name, is_on) in names {
            if !counts.contains_key(name) {
                counts.insert(name.into(), Evaluated::default());
            }
            if let Some(evaluated) = counts.get_mut(name) {
                let count = if is_on { &mut evaluated.yes } else { &mut evaluated.no };
                *count += 1;
            }
        }
        let is_full = counts.len() >= MAX_BUFFERED;
        drop(evaluations);
        if is_full {
            self.flush();
        }
    }

    /// Hands on the evaluations counted so far.
    pub fn flush(&self) {
        for report in self.take_evaluations() {
            self.send(Note::Report(report));
        }
    }

    fn take_evaluations(&self) -> Vec<Report> {
        let evaluations = std::mem::take(&mut *self.evaluations.borrow_mut());
        let hour = this_hour();
        let reports = evaluations.into_iter().map(|(environment, counts)| {
            let counts = counts.into_iter().map(|(toggle, Evaluated { yes, no })| Count {
                toggle,
                yes,
                no,
                variants: Vec::new(),
            });
            let counts = counts.collect();
            Report { app: self.app.clone(), environment, hour, counts, ..Report::default() }
        });
        reports.collect()
    }

    fn send(&self, note: Note) {
        let Some(asker) = &self.asker else { return };
        if asker.try_send(note).is_err() {
            self.shared.turned_away.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        for report in self.take_evaluations() {
            // The last word of a worker may exceed what may wait.
            if let Some(asker) = &self.asker {
                asker.do_send(Note::Report(report));
            }
        }
        self.shared.recorders.send_modify(|live| *live = live.saturating_sub(1));
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("is_on", &self.is_on()).finish_non_exhaustive()
    }
}
