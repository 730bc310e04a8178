//! What one worker keeps: nothing in it is shared with another thread but what never changes.

use std::{
    cell::{Cell, RefCell},
    hash::{BuildHasher as _, RandomState},
    io,
    rc::{Rc, Weak},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix_web::http::header::HeaderName;

use super::{
    Closing, Ties,
    auth::{self, Admit, judge},
    compress::Compressor,
    cors::Cors,
    counters::Counters,
    error::Problem,
    head::Headers,
    query::Buffers,
    route::Surface,
    sheet::Sheet,
};
use crate::{
    config::Surfaces,
    engine::{Context, Features, Host, Plan, Projects, Scratch, compile},
    snapshot::{Reader, Subscriber},
    telemetry::prometheus::Registry,
    usage::Recorder,
};

/// How often a worker looks for a newer snapshot although nobody asks, so that it pins no old one,
/// hands on what it counted, and looks at the clock for its answers' date.
const RENEWED_EVERY: Duration = Duration::from_secs(1);
/// Length of `Sun, 06 Nov 1994 08:49:37 GMT`.
const DATE_BYTES: usize = 29;

/// One worker's state.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) surfaces: Arc<Surfaces>,
    pub(super) cors: Cors,
    pub(super) compressor: Compressor,
    headers: TokenHeaders,
    /// `None` where callers' tokens are not validated upstream.
    admit: Option<Admit>,
    pub(super) usage: Recorder,
    pub(super) counters: Arc<Counters>,
    pub(super) registry: Registry,
    /// For answers that are not actix-http's, which has its own.
    pub(super) date: Cell<Date>,
    closing: Closing,
    // INVARIANT: never borrowed across an await; requests of one worker interleave there.
    pub(super) desk: RefCell<Desk>,
}

/// What a request works with while it is decided.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) reader: Reader,
    pub(super) context: Context,
    pub(super) scratch: Scratch,
    pub(super) draws: Draws,
    pub(super) buffers: Buffers,
    pub(super) text: String,
    pub(super) sheet: Sheet,
    /// A plan that asks for nothing, to validate requests against which have no other.
    pub(super) empty: Plan,
}

/// The headers that carry tokens.
#[derive(Clone, Debug)]
struct TokenHeaders {
    proxy: HeaderName,
    edge: HeaderName,
}

/// The time of an answer, as its `Date` header tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Date([u8; DATE_BYTES]);

/// A worker's own source of random numbers: cheap, and not for secrets.
#[derive(Debug)]
pub(super) struct Draws(u64);

// === impl Worker ===

impl Worker {
    /// # Errors
    ///
    /// `InvalidInput` where the configuration has texts that no header can carry.
    pub(super) fn new(
        surfaces: Arc<Surfaces>,
        subscriber: &Subscriber,
        Ties { admit, usage, registry, closing }: &Ties,
        counters: Arc<Counters>,
    ) -> io::Result<Rc<Self>> {
        let cors = Cors::new(&surfaces.cors).map_err(invalid)?;
        let headers = TokenHeaders::new(&surfaces)?;
        let desk = RefCell::new(Desk {
            reader: subscriber.reader(),
            context: Context::new(),
            scratch: Scratch::new(),
            draws: Draws::new(),
            buffers: Buffers::default(),
            text: String::new(),
            sheet: Sheet::default(),
            empty: compile(&Features::default(), &Projects::All, &Host::default()).0,
        });
        let usage = usage.recorder(&surfaces.proxy.app_name);
        let (admit, registry, closing) = (admit.clone(), registry.clone(), closing.clone());
        let compressor = Compressor::default();
        Ok(Rc::new(Self {
            surfaces,
            cors,
            compressor,
            headers,
            admit,
            usage,
            counters,
            registry,
            date: Cell::new(Date::now()),
            closing,
            desk,
        }))
    }

    /// Whether nothing but upstream's word on a token is missing, and upstream can be asked.
    pub(super) fn has_to_ask<T>(&self, result: &Result<T, Problem>) -> bool {
        self.admit.is_some() && matches!(result, Err(Problem::TokenUnknown))
    }

    /// Asks upstream about the request's token; once it is admitted a snapshot has it.
    ///
    /// # Errors
    ///
    /// What upstream has against it.
    pub(super) async fn ask(&self, headers: Headers<'_>, surface: Surface) -> Result<(), Problem> {
        match (&self.admit, self.token(headers, surface)) {
            (Some(admit), Some(token)) => judge(admit.ask(token).await),
            _ => Err(Problem::TokenUnknown),
        }
    }

    /// The token that a request to `surface` shows.
    pub(super) fn token<'h>(&self, headers: Headers<'h>, surface: Surface) -> Option<&'h str> {
        let header = match surface {
            Surface::Proxy => &self.headers.proxy,
            Surface::Edge => &self.headers.edge,
        };
        auth::token(headers, header, surface)
    }

    /// Whether an evaluation works, by the newest snapshot.
    pub(super) fn is_ready(&self) -> bool {
        self.desk.borrow_mut().reader.current().ready
    }

    /// Whether callers should come here: an evaluation works, and no stop is announced.
    pub(super) fn is_open(&self) -> bool {
        !self.is_closing() && self.is_ready()
    }

    /// Whether a stop is announced.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_announced()
    }
}

/// Renews the worker's snapshot and its date, and hands its counts on, for as long as the worker is
/// there.
pub(super) async fn renew(worker: Weak<Worker>) {
    loop {
        actix_rt::time::sleep(RENEWED_EVERY).await;
        let Some(worker) = worker.upgrade() else { return };
        let _ = worker.desk.borrow_mut().reader.current();
        worker.date.set(Date::now());
        worker.usage.flush();
    }
}

/// Unix milliseconds; the house's only clock on the read path.
pub(super) fn now_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

// === impl Date ===

impl Date {
    pub(super) fn now() -> Self {
        let mut bytes = [b' '; DATE_BYTES];
        let text = httpdate::fmt_http_date(SystemTime::now());
        bytes.iter_mut().zip(text.bytes()).for_each(|(byte, letter)| *byte = letter);
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

// === impl TokenHeaders ===

impl TokenHeaders {
    fn new(surfaces: &Surfaces) -> io::Result<Self> {
        let name = |text: &str| HeaderName::from_bytes(text.as_bytes()).map_err(invalid);
        Ok(Self {
            proxy: name(&surfaces.proxy.key_header)?,
            edge: name(&surfaces.edge.token_header)?,
        })
    }
}

// === impl Draws ===

impl Draws {
    fn new() -> Self {
        // The standard library's hasher is keyed by the system's randomness.
        Self(RandomState::new().hash_one(0))
    }

    // SplitMix64: one addition and two multiplications a number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

fn invalid(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_differ_from_each_other_and_between_workers() {
        let (mut one, mut other) = (Draws::new(), Draws::new());
        let drawn: std::collections::HashSet<u64> =
            (0..1000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(drawn.len(), 2000);
    }

    #[test]
    fn the_clock_is_the_systems() {
        // 2020-01-01 and 2100-01-01.
        assert!((1_577_836_800_000..4_102_444_800_000).contains(&now_millis()));
    }
}
