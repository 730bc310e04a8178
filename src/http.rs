//! The read path: from a request's bytes to an answer's, on the worker that read them.
//!
//! A request is read by us (`h1`) or, where it is not of the usual form, by actix-http, which asks the
//! `clerk`. Either has the `errand` done, which looks its route up itself (`route`); there is no router
//! and no middleware. A request never waits for anything but its own body and, when its token
//! is unknown, upstream's verdict on it.

mod address;
mod answer;
mod auth;
mod backstage;
mod body;
mod clerk;
mod compress;
mod conditional;
mod connections;
mod context;
mod cors;
mod counters;
mod docs;
mod errand;
mod error;
#[cfg(test)]
mod fixture;
mod frontend;
mod h1;
mod head;
mod invalid;
mod json;
mod listen;
mod proxy;
mod query;
#[cfg(test)]
mod recorder;
mod route;
mod sheet;
mod slices;
mod usage;
mod worker;

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_http::{HttpService, HttpServiceBuilder, TlsAcceptorConfig};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::fn_factory;
use tokio::io::{AsyncRead, AsyncWrite};

pub use self::{auth::Admit, h1::Host};
use self::{
    clerk::Clerks, connections::Connections, counters::Board, h1::Times, listen::Doors,
    worker::Worker,
};
use crate::{
    config::{Config, Exposure, Surfaces},
    snapshot::Subscriber,
    telemetry::{START, prometheus::Registry},
    usage::Handle,
};

/// Whoever stops the server keeps the time, in less than the whole seconds that the server knows.
const LONGER_THAN_ANY_STOP_SECONDS: u64 = 24 * 60 * 60;
/// How long a caller whose body was left unread may go on sending it, after its answer.
const UNREAD_WITHIN: Duration = Duration::from_secs(1);

/// Whether the process is about to stop: it is ready no more, and every connection is to end with
/// its next answer. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<AtomicBool>);

/// What is known of a server that [`serve`] started, besides the server itself.
#[derive(Debug)]
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    doors: Doors,
    board: Board,
}

/// What every worker's clerks and connections are made from.
#[derive(Clone)]
struct Hall {
    surfaces: Arc<Surfaces>,
    subscriber: Subscriber,
    ties: Ties,
    board: Board,
    connections: Connections,
    times: Times,
    /// Tells when connections are to end.
    stopping: GracefulShutdownSignal,
}

// === impl Closing ===

impl Closing {
    /// From now on readiness is denied, so that balancers look for others, and every answer says
    /// `Connection: close`, so that no client counts on a connection that is about to be closed.
    /// Everything else is answered as before.
    pub fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    // Relaxed: nothing is ordered by it, and an answer too late to see it is one before.
    fn is_announced(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

// === impl Serving ===

impl Serving {
    /// Takes no more connections, and keeps those that wait already: a worker takes them yet.
    ///
    /// Where the system cannot do that, as anything but Linux, connections are taken until the
    /// server is stopped, and the last of them may be reset.
    pub fn shut_doors(&mut self) {
        self.doors.shut();
    }

    /// How many requests are being answered.
    pub fn under_way(&self) -> u64 {
        self.board.under_way()
    }
}

/// What ties the server to the rest of the house.
#[derive(Clone, Debug)]
pub struct Ties {
    /// Asked about tokens that no snapshot grants; without it they are refused.
    pub admit: Option<Admit>,
    /// Where what callers counted goes. It is left a part of the time to stop in.
    pub usage: Handle,
    pub closing: Closing,
    /// What is measured; requests join it when the server starts.
    pub registry: Registry,
}

/// Listens and serves. Returns the server, to be awaited and stopped by its handle, and what is
/// known of it.
///
/// The server handles no signals: whoever started it announces the stop by [`Ties::closing`], shuts
/// the doors, and then stops it. A graceful stop ends when the last connection does: whoever has
/// less time drops the server.
///
/// # Errors
///
/// When the address cannot be listened on, or a setting cannot be sent in a header.
pub fn serve(config: &Config, subscriber: Subscriber, ties: Ties) -> io::Result<(Server, Serving)> {
    let server = &config.server;
    let building = Server::build()
        .workers(server.workers)
        .max_concurrent_connections(server.max_connections.div_ceil(server.workers))
        .shutdown_timeout(LONGER_THAN_ANY_STOP_SECONDS)
        .disable_signals();
    let hall = Hall::new(config, subscriber, ties, building.graceful_shutdown_signal())?;
    let listener = listen::everywhere_or(server.interface, server.listens_on())?;
    let address = listener.local_addr()?;
    let for_metrics = listen_for_metrics(server.interface, hall.surfaces.metrics)?;
    let metrics_at = for_metrics.as_ref().map(TcpListener::local_addr).transpose()?;
    let doors = Doors::of([Some(&listener), for_metrics.as_ref()].into_iter().flatten())?;
    let serving = Serving { address, doors, board: hall.board.clone() };
    let metrics_hall = hall.clone();
    let mut building = match &server.tls {
        // HTTP/2 and HTTP/1.1, as the caller chooses.
        Some(tls) => {
            let tls = Arc::clone(&tls.config);
            building.listen("flags", listener, move || {
                let within = hall.times.head_within;
                let handshake = TlsAcceptorConfig::default().handshake_timeout(within);
                let http = hall.counting_http(within).finish(hall.clerks(false));
                http.rustls_0_23_with_config((*tls).clone(), handshake)
            })?
        }
        None => building.listen("flags", listener, move || {
            let hall = hall.clone();
            fn_factory(move || Host::new(hall.clone()))
        })?,
    };
    if let Some(listener) = for_metrics {
        building = building.listen("metrics", listener, move || {
            let hall = &metrics_hall;
            hall.counting_http(hall.times.head_within).finish(hall.clerks(true)).tcp()
        })?;
    }
    if let Some(addr) = metrics_at {
        tracing::info!(target: START, %addr, "listening for Prometheus");
    }
    Ok((building.run(), serving))
}

/// What [`serve`] runs on each worker, for connections that are no sockets: for who measures requests
/// alone.
///
/// # Errors
///
/// When a setting cannot be sent in a header.
pub async fn in_memory<S: AsyncRead + AsyncWrite + Unpin + 'static>(
    config: &Config,
    subscriber: Subscriber,
    ties: Ties,
) -> io::Result<Host<S>> {
    let hall = Hall::new(config, subscriber, ties, Server::build().graceful_shutdown_signal())?;
    Host::new(hall).await.map_err(|()| io::ErrorKind::Other.into())
}

// === impl Hall ===

impl Hall {
    /// # Errors
    ///
    /// When a setting cannot be sent in a header.
    fn new(
        config: &Config,
        subscriber: Subscriber,
        ties: Ties,
        stopping: GracefulShutdownSignal,
    ) -> io::Result<Self> {
        let Config { server, surfaces, .. } = config;
        let surfaces = Arc::new(surfaces.clone());
        // Whoever makes workers later cannot fail, so that what may is tried here once.
        drop(Worker::new(Arc::clone(&surfaces), &subscriber, &ties, Arc::default())?);
        let (board, connections) = (Board::default(), Connections::new(server.max_connections));
        let (counted, open) = (board.clone(), connections.clone());
        ties.registry.join(move |page| {
            counted.describe(page);
            open.describe(page);
        });
        let times = Times::new(server.keep_alive, server.head_within, surfaces.body_within);
        Ok(Self { surfaces, subscriber, ties, board, connections, times, stopping })
    }

    /// Who answers on one worker what comes by one socket.
    fn clerks(&self, is_for_metrics: bool) -> Clerks {
        let Self { surfaces, subscriber, ties, board, .. } = self;
        let worker = Worker::new(Arc::clone(surfaces), subscriber, ties, board.seat()).ok();
        if let Some(worker) = &worker {
            actix_rt::spawn(worker::renew(Rc::downgrade(worker)));
        }
        Clerks::new(worker, ties.closing.clone(), is_for_metrics)
    }

    /// How actix-http reads and writes what comes over a `T`, waiting `head_within` for the first
    /// head.
    fn http<T: 'static>(&self, head_within: Duration) -> HttpServiceBuilder<T, Clerks> {
        let stopping = self.stopping.clone();
        HttpService::build()
            .keep_alive(self.times.keep_alive)
            .client_request_timeout(head_within)
            .client_disconnect_timeout(UNREAD_WITHIN)
            .tcp_nodelay(true)
            .h1_write_buffer_size(slices::SLICE_BYTES)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
    }

    /// As [`Hall::http`], where nobody else counts the connections.
    fn counting_http<T: 'static>(&self, head_within: Duration) -> HttpServiceBuilder<T, Clerks> {
        let connections = self.connections.clone();
        self.http(head_within).on_connect_ext(move |_, data| {
            data.insert(connections.take());
        })
    }
}

fn listen_for_metrics(
    interface: Option<IpAddr>,
    exposure: Exposure,
) -> io::Result<Option<TcpListener>> {
    let Exposure::Port(port) = exposure else { return Ok(None) };
    let listening = listen::everywhere_or(interface, port).map_err(|err| {
        io::Error::new(err.kind(), format!("the port for Prometheus, {port}: {err}"))
    });
    listening.map(Some)
}
