//! Offleash, the open edge proxy for Unleash feature flags.
//!
//! The map of the house; `ARCHITECTURE.md` walks through it.
//!
//! - [`engine`] decides: a payload becomes a plan, a context becomes an answer. Pure.
//! - [`sync`] keeps the flags current, on a thread of its own, and publishes [`snapshot`]s.
//! - [`http`] answers, on one worker per core, from its own view of the newest snapshot.
//! - [`usage`] adds up what SDKs count, and reports it.
//! - [`upstream`] is the only place that knows how Unleash is asked.
//! - [`cli`] and [`config`] turn arguments and variables into a [`config::Config`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod cli;
pub mod config;
pub mod demo;
pub mod engine;
pub mod health;
pub mod http;
pub mod snapshot;
pub mod sync;
pub mod telemetry;
pub mod token;
pub mod upstream;
pub mod usage;

use std::{io, net::SocketAddr, pin::pin, time::Duration};

use actix_web::dev::{Server, ServerHandle};
use futures_util::future::{Either, FutureExt, select};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use config::Config;
use telemetry::prometheus::{self, Registry};

/// How long connections that have come and that no worker has taken yet are waited for, at the end
/// of the announcement.
const SETTLE_WITHIN: Duration = Duration::from_millis(100);
/// How long no request must have been under way before connections of HTTP/2 are taken for idle.
const QUIET_FOR: Duration = Duration::from_secs(1);
const QUIET_STEPS: u32 = 10;
/// How often it is looked whether sync is still at work.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A process that listens, and how it is stopped.
#[derive(Debug)]
pub struct Running {
    serving: http::Serving,
    server: tokio::task::JoinHandle<io::Result<()>>,
    handle: ServerHandle,
    sync: sync::Handle,
    usage: usage::Handle,
    closing: http::Closing,
    times: config::Server,
}

/// Why a process ended that nobody stopped.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    #[error("the server ended by itself")]
    Server(#[source] io::Error),
    #[error("sync ended by itself, so that flags would grow old: this is a bug in offleash")]
    Sync,
}

/// Why a process cannot start. Nothing of it is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on port {port}")]
    Listen { port: u16, source: io::Error },
    #[error("cannot keep the flags current")]
    Sync(#[from] sync::StartError),
    #[error("cannot report usage")]
    Usage(#[from] usage::StartError),
}

/// Starts everything that `config` asks for, and returns once it listens.
///
/// Must be called on an actix system's thread. An upstream that is away is no error: the process
/// listens, is not ready, and goes on asking.
///
/// # Errors
///
/// When the address cannot be listened on, or a file of flags is no good.
pub async fn start(config: Config) -> Result<Running, StartError> {
    let (publisher, subscriber) = snapshot::channel();
    let sync = sync::start(&config, demo::FLAGS, publisher)?;
    let usage = usage::start(&config).inspect_err(|_| sync.stop())?;
    let asked = sync.clone();
    let admit = http::Admit::new(move |token| {
        let (sync, token) = (asked.clone(), token.to_owned());
        async move { sync.admit(&token).await }.boxed_local()
    });
    let asks_upstream = config.source.validates_callers();
    let closing = http::Closing::default();
    let admit = asks_upstream.then_some(admit);
    let registry = registry(&sync, &usage);
    let ties = http::Ties { admit, usage: usage.clone(), closing: closing.clone(), registry };
    let listening = http::serve(&config, subscriber, ties);
    let (server, serving) = listening.map_err(|source| {
        sync.stop();
        usage.abandon();
        StartError::Listen { port: config.server.listens_on(), source }
    })?;
    let addr = serving.address;
    info!(target: telemetry::START, %addr, version = telemetry::VERSION, "listening");
    let handle = server.handle();
    let server = actix_rt::spawn(run(server));
    Ok(Running { serving, server, handle, sync, usage, closing, times: config.server })
}

/// Everything that is measured but for requests: those join when the server starts.
fn registry(sync: &sync::Handle, usage: &usage::Handle) -> Registry {
    let registry = Registry::new();
    let (sync, usage) = (sync.clone(), usage.clone());
    // First, because it describes the metrics that Prometheus knows from the Unleash Proxy.
    registry.join(move |page| sync.describe(page));
    registry.join(prometheus::describe_build);
    registry.join(move |page| usage.describe(page));
    registry
}

async fn run(server: Server) -> io::Result<()> {
    server.await
}

// === impl Running ===

impl Running {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.serving.address
    }

    /// Waits for SIGTERM or SIGINT, then stops.
    ///
    /// # Errors
    ///
    /// When the server or sync end by themselves. Both are stopped then.
    pub async fn wait(mut self) -> Result<(), Ended> {
        let ended = {
            let sync_ends = pin!(end_of(&self.sync));
            match select(select(pin!(stop_signal()), &mut self.server), sync_ends).await {
                Either::Left((Either::Left((name, _)), _)) => {
                    info!("{name}: finishing the requests under way");
                    None
                }
                Either::Left((Either::Right((result, _)), _)) => Some(Ended::server(result)),
                Either::Right(_) => Some(Ended::Sync),
            }
        };
        self.stop().await;
        ended.map_or(Ok(()), Err)
    }

    /// Stops: is ready no more and says so on every connection, for as long as `Server::stop_grace`
    /// and half a second at least; takes no more connections; lets the requests under way finish;
    /// reports what was counted; ends sync. All of that within `Server::stop_within`, whatever
    /// callers and upstream do: what is not done by then is given up, with a warning.
    pub async fn stop(mut self) {
        self.closing.announce();
        let announce_for = self.times.announce_for();
        let settle_within = SETTLE_WITHIN.min(announce_for / 2);
        actix_rt::time::sleep(announce_for - settle_within).await;
        self.serving.shut_doors();
        actix_rt::time::sleep(settle_within).await;
        self.drain().await;
        // After the server: what it accepted to its end is in the last report.
        self.usage.stop().await;
        self.sync.stop();
        info!(target: telemetry::START, "stopped");
    }

    /// Lets the requests under way finish, in the time that the last report leaves them.
    async fn drain(&self) {
        let within = self.times.finish_within().saturating_sub(self.usage.flush_within());
        let (ended, quiet) = (pin!(self.handle.stop(true)), pin!(self.quiet()));
        match actix_rt::time::timeout(within, select(ended, quiet)).await {
            Ok(Either::Left(_)) => return,
            Ok(Either::Right(_)) => {}
            Err(_) => match self.serving.under_way() {
                0 => {}
                count => {
                    warn!("{count} requests took longer than a stop may take: they are cut off")
                }
            },
        }
        // Dropped, it ends its workers without waiting for anything.
        self.server.abort();
    }

    /// Returns once nobody has asked anything for a while. Never without TLS.
    ///
    /// The server tells no connection of HTTP/2 that it stops, and would wait for idle ones until
    /// the time is over. Those of HTTP/1.1 end by themselves.
    async fn quiet(&self) {
        let mut quiet_steps = 0;
        while self.times.tls.is_none() || quiet_steps < QUIET_STEPS {
            actix_rt::time::sleep(QUIET_FOR / QUIET_STEPS).await;
            quiet_steps = if self.serving.under_way() == 0 { quiet_steps + 1 } else { 0 };
        }
    }
}

// === impl Ended ===

impl Ended {
    fn server(result: Result<io::Result<()>, tokio::task::JoinError>) -> Self {
        Self::Server(match result {
            Ok(Err(err)) => err,
            Ok(Ok(())) => io::Error::other("nobody told it to"),
            Err(err) => io::Error::other(err),
        })
    }
}

/// The name of the signal that asks the process to stop, once it comes.
async fn stop_signal() -> &'static str {
    match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            match select(pin!(terminate.recv()), pin!(interrupt.recv())).await {
                Either::Left(_) => "SIGTERM",
                Either::Right(_) => "SIGINT",
            }
        }
        (Err(err), _) | (_, Err(err)) => {
            warn!("signals cannot be waited for: {err}; stop the process by force");
            std::future::pending().await
        }
    }
}

/// Returns when sync is no more at work; never where it has no work.
async fn end_of(sync: &sync::Handle) {
    while !sync.has_ended() {
        actix_rt::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Machine, edge_args};

    async fn demo() -> Running {
        let machine = Machine::of_this_process(&|_| None);
        let args = cli::Args::default();
        let mut config = edge_args::demo(&args, &|_| None, &machine).unwrap().config;
        config.server.port = 0;
        config.server.workers = 1;
        start(config).await.unwrap()
    }

    #[actix_rt::test]
    async fn a_server_that_ends_by_itself_ends_the_process_with_an_error() {
        let running = demo().await;
        let handle = running.handle.clone();
        let waiting = actix_rt::spawn(running.wait());
        handle.stop(false).await;
        let ended = actix_rt::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(matches!(ended.unwrap().unwrap(), Err(Ended::Server(_))));
    }

    #[actix_rt::test]
    async fn a_sync_that_ends_by_itself_ends_the_process_with_an_error() {
        let mut running = demo().await;
        let machine = Machine::of_this_process(&|_| None);
        let env = |name: &str| match name {
            "UNLEASH_URL" => Some("http://127.0.0.1:9/api".to_owned()),
            "UNLEASH_API_TOKEN" => Some("*:dev.x".to_owned()),
            "UNLEASH_PROXY_CLIENT_KEYS" => Some("key".to_owned()),
            _ => None,
        };
        let config = config::proxy_env::resolve(&env, &machine).unwrap().config;
        running.sync = sync::start(&config, "", snapshot::channel().0).unwrap();
        assert!(!running.sync.has_ended());
        let sync = running.sync.clone();
        let waiting = actix_rt::spawn(running.wait());
        sync.stop();
        let ended = actix_rt::time::timeout(Duration::from_secs(10), waiting).await;
        assert!(matches!(ended.unwrap().unwrap(), Err(Ended::Sync)));
    }
}
