//! The read path: from a request's bytes to an answer's, on the worker that read them.
//!
//! One handler looks the route up itself (`route`); there is no router and no middleware. A
//! request never waits for anything but its own body and, when its token is unknown, upstream's
//! verdict on it.

mod address;
mod answer;
mod auth;
mod backstage;
mod body;
mod compress;
mod conditional;
mod connections;
mod context;
mod cors;
mod counters;
mod docs;
mod error;
#[cfg(test)]
mod fixture;
mod frontend;
mod invalid;
mod json;
mod listen;
mod proxy;
mod query;
#[cfg(test)]
mod recorder;
mod route;
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
};

use actix_web::{
    App, Error, HttpRequest, HttpResponse, HttpServer,
    dev::{Payload, Server, ServiceFactory, ServiceRequest, ServiceResponse, fn_service},
    http::{ConnectionType, Method},
    web::Bytes,
};

pub use self::auth::Admit;
use self::{
    body::BodyFault,
    connections::Connections,
    counters::{Board, Class, Refusal},
    docs::Doc,
    error::Problem,
    listen::Doors,
    route::{Miss, Route, Surface},
    worker::Worker,
};
use crate::{
    config::{Config, Exposure},
    snapshot::Subscriber,
    telemetry::{START, prometheus::Registry},
    usage::Handle,
};

/// Whoever stops the server keeps the time, in less than the whole seconds that the server knows.
const LONGER_THAN_ANY_STOP_SECONDS: u64 = 24 * 60 * 60;

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

/// What actix-web makes workers of.
pub trait Application:
    ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse,
        Error = Error,
        InitError = (),
    >
{
}

// === impl Application ===

impl<T> Application for T where
    T: ServiceFactory<
            ServiceRequest,
            Config = (),
            Response = ServiceResponse,
            Error = Error,
            InitError = (),
        >
{
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
    let surfaces = Arc::new(config.surfaces.clone());
    // The factory below cannot fail, so that what may is tried here once.
    drop(Worker::new(Arc::clone(&surfaces), &subscriber, &ties, Arc::default())?);
    let listener = listen::everywhere_or(server.interface, server.listens_on())?;
    let address = listener.local_addr()?;
    let for_metrics = listen_for_metrics(server.interface, surfaces.metrics)?;
    let metrics_at = for_metrics.as_ref().map(TcpListener::local_addr).transpose()?;
    let doors = Doors::of([Some(&listener), for_metrics.as_ref()].into_iter().flatten())?;
    let board = Board::default();
    let counted = board.clone();
    let connections = Connections::new(server.max_connections);
    let open = connections.clone();
    ties.registry.join(move |page| {
        counted.describe(page);
        open.describe(page);
    });
    let serving = Serving { address, doors, board: board.clone() };
    let mut running = HttpServer::new(move || {
        let worker = Worker::new(Arc::clone(&surfaces), &subscriber, &ties, board.seat()).ok();
        if let Some(worker) = &worker {
            actix_rt::spawn(worker::renew(Rc::downgrade(worker)));
        }
        let closing = ties.closing.clone();
        application(worker, closing, metrics_at)
    })
    .workers(server.workers)
    .keep_alive(server.keep_alive)
    .client_request_timeout(server.head_within)
    .max_connections(server.max_connections.div_ceil(server.workers))
    .on_connect(move |_, data| {
        data.insert(connections.take());
    })
    .tcp_nodelay(true)
    .h1_write_buffer_size(slices::SLICE_BYTES)
    .shutdown_timeout(LONGER_THAN_ANY_STOP_SECONDS)
    .tls_handshake_timeout(server.head_within)
    .disable_signals();
    running = match &server.tls {
        // HTTP/2 and HTTP/1.1, as the caller chooses.
        Some(tls) => running.listen_rustls_0_23(listener, (*tls.config).clone())?,
        None => running.listen(listener)?,
    };
    if let Some(listener) = for_metrics {
        running = running.listen(listener)?;
    }
    if let Some(addr) = metrics_at {
        tracing::info!(target: START, %addr, "listening for Prometheus");
    }
    Ok((running.run(), serving))
}

/// What [`serve`] runs on each worker, without a socket: for who measures requests alone.
///
/// # Errors
///
/// When a setting cannot be sent in a header.
pub fn in_memory(
    config: &Config,
    subscriber: &Subscriber,
    ties: &Ties,
) -> io::Result<App<impl Application + use<>>> {
    let surfaces = Arc::new(config.surfaces.clone());
    let worker = Worker::new(surfaces, subscriber, ties, Board::default().seat())?;
    Ok(application(Some(worker), ties.closing.clone(), None))
}

/// One worker's.
fn application(
    worker: Option<Rc<Worker>>,
    closing: Closing,
    metrics_at: Option<SocketAddr>,
) -> App<impl Application> {
    App::new().default_service(fn_service(move |request: ServiceRequest| {
        let (worker, closing) = (worker.clone(), closing.clone());
        async move {
            let (request, payload) = request.into_parts();
            let mut response = match &worker {
                Some(worker) if is_at(&request, metrics_at) => {
                    handle_metrics(worker, &request, payload)
                }
                Some(worker) => handle(worker, &request, payload).await,
                None => error::no_worker(),
            };
            response = response.map_body(|_, body| slices::of(body));
            if closing.is_announced() {
                response.head_mut().set_connection_type(ConnectionType::Close);
            }
            Ok::<_, Error>(ServiceResponse::new(request, response))
        }
    }))
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

/// Whether the request came to the address `listener`.
fn is_at(request: &HttpRequest, listener: Option<SocketAddr>) -> bool {
    listener.is_some_and(|address| request.app_config().local_addr() == address)
}

/// Answers one request on the port that has nothing but metrics. Its body, if any, stays unread.
fn handle_metrics(worker: &Worker, request: &HttpRequest, payload: Payload) -> HttpResponse {
    let found = Route::find_metrics(request.method(), request.path(), &worker.surfaces);
    let class = Class::of(found.map_err(|(_, miss)| miss));
    let (surface, result) = match found {
        Ok(route) => (route.surface(), backstage::metrics(worker, route.surface())),
        Err((surface, miss)) => (surface, Err(Problem::Miss(miss))),
    };
    let response = result.unwrap_or_else(|problem| refuse(worker, request, surface, &problem));
    worker.counters.answered(class, response.status());
    if *request.method() == Method::GET { response } else { body::leave(payload, response) }
}

/// Answers one request, whatever it is.
async fn handle(worker: &Worker, request: &HttpRequest, mut payload: Payload) -> HttpResponse {
    let _under_way = worker.counters.begin();
    let body = body::read(request.head(), &mut payload, &worker.surfaces).await;
    let is_unread = match body {
        Ok(_) => body::is_endless(request.head()),
        Err(_) => !body::has_ended(&mut payload),
    };
    let doc = Doc::find(request.method(), request.path(), &worker.surfaces);
    let (class, response) = if let Some(doc) = doc {
        // Before CORS, as the original: pages of other origins have no business here.
        let result = doc.answer(request, &worker.surfaces);
        let refused = |problem| refuse(worker, request, Surface::Proxy, &problem);
        (Class::Docs, result.unwrap_or_else(refused))
    } else if *request.method() == Method::OPTIONS {
        (Class::Preflight, worker.cors.preflight(request.headers()))
    } else {
        let found = Route::find(request.method(), request.path(), &worker.surfaces);
        let surface = match found {
            Ok(route) => route.surface(),
            Err((surface, _)) => surface,
        };
        let found = found.map_err(|(_, miss)| miss);
        let result = dispatch(worker, request, body, surface, found).await;
        let mut response =
            result.unwrap_or_else(|problem| refuse(worker, request, surface, &problem));
        worker.cors.apply(request.headers(), response.headers_mut());
        let response = worker.compressor.apply(request.method(), request.headers(), response);
        (Class::of(found), response)
    };
    worker.counters.answered(class, response.status());
    if is_unread { body::leave(payload, response) } else { response }
}

async fn dispatch(
    worker: &Worker,
    request: &HttpRequest,
    body: Result<Bytes, BodyFault>,
    surface: Surface,
    found: Result<Route, Miss>,
) -> Result<HttpResponse, Problem> {
    let body = match surface {
        Surface::Proxy => {
            Ok(proxy::admit_body(request, body, worker.surfaces.body_limit, found.is_ok())?)
        }
        Surface::Edge => body,
    };
    match found.map_err(Problem::Miss)? {
        Route::ProxyList(show) => proxy::list(worker, request, body, show).await,
        Route::FrontendList(show) => frontend::list(worker, request, body, show).await,
        Route::ProxyDefinitions => proxy::definitions(worker, request).await,
        Route::ProxyHealth => proxy::health(worker),
        Route::ProxyPrometheus | Route::BackstageMetrics => backstage::metrics(worker, surface),
        Route::ProxyUsage(kind) => usage::proxy(worker, request, body, kind).await,
        Route::FrontendUsage(kind) => usage::frontend(worker, request, body, kind).await,
        Route::BackstageReady => backstage::ready(worker),
        Route::BackstageHealth => Ok(backstage::health()),
    }
}

fn refuse(
    worker: &Worker,
    request: &HttpRequest,
    surface: Surface,
    problem: &Problem,
) -> HttpResponse {
    if let Some(refusal) = Refusal::of(problem) {
        worker.counters.refused(refusal);
    }
    let asked = (request.method().as_str(), request.path());
    let response = problem.response(surface, asked, &worker.surfaces);
    // Not the problem itself: it may tell of the caller's context.
    tracing::trace!(fault = ?problem.fault(), status = %response.status(), "request refused");
    response
}
