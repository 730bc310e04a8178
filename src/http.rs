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
mod context;
mod cors;
mod error;
#[cfg(test)]
mod fixture;
mod frontend;
mod invalid;
mod json;
mod proxy;
mod query;
#[cfg(test)]
mod recorder;
mod route;
mod usage;
mod worker;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    App, Error, HttpRequest, HttpResponse, HttpServer,
    dev::{Payload, Server, ServiceRequest, ServiceResponse, fn_service},
    http::{ConnectionType, Method},
    web::Bytes,
};

pub use self::auth::Admit;
use self::{
    body::BodyFault,
    error::Problem,
    route::{Miss, Route, Surface},
    worker::Worker,
};
use crate::{config::Config, snapshot::Subscriber, usage::Handle};

/// A request's head has to arrive within this.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// Connections the system holds until a worker takes them.
const BACKLOG: i32 = 2048;

/// Whether every connection is to end with its next answer. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<AtomicBool>);

// === impl Closing ===

impl Closing {
    /// Announces `Connection: close` in every answer from now on, so that no client counts on a
    /// connection that a stopping server is about to close.
    pub fn announce(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    // Relaxed: nothing is ordered by it, and an answer too late to see it is one before.
    fn is_announced(&self) -> bool {
        self.0.load(Ordering::Relaxed)
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
}

/// Listens and serves. Returns the server, to be awaited and stopped by its handle, and the address
/// it listens on.
///
/// The server handles no signals: whoever started it announces the stop by [`Ties::closing`], and
/// then stops it.
///
/// # Errors
///
/// When the address cannot be listened on, or a setting cannot be sent in a header.
pub fn serve(
    config: &Config,
    subscriber: Subscriber,
    ties: Ties,
) -> io::Result<(Server, SocketAddr)> {
    let Ties { admit, usage, closing } = ties;
    let server = &config.server;
    let surfaces = Arc::new(config.surfaces.clone());
    // The factory below cannot fail, so that what may is tried here once.
    drop(Worker::new(Arc::clone(&surfaces), &subscriber, admit.clone(), &usage)?);
    let listener = listen(server.interface, server.port)?;
    let address = listener.local_addr()?;
    // Whole seconds are all that the server knows.
    let drain_within = server.stop_within.saturating_sub(usage.flush_within());
    let drain_seconds = drain_within.as_secs() + u64::from(drain_within.subsec_nanos() > 0);
    let running = HttpServer::new(move || {
        let worker = Worker::new(Arc::clone(&surfaces), &subscriber, admit.clone(), &usage).ok();
        if let Some(worker) = &worker {
            actix_rt::spawn(worker::renew(Rc::downgrade(worker)));
        }
        let closing = closing.clone();
        App::new().default_service(fn_service(move |request: ServiceRequest| {
            let (worker, closing) = (worker.clone(), closing.clone());
            async move {
                let (request, payload) = request.into_parts();
                let mut response = match &worker {
                    Some(worker) => handle(worker, &request, payload).await,
                    None => error::no_worker(),
                };
                if closing.is_announced() {
                    response.head_mut().set_connection_type(ConnectionType::Close);
                }
                Ok::<_, Error>(ServiceResponse::new(request, response))
            }
        }))
    })
    .workers(server.workers)
    .keep_alive(server.keep_alive)
    .client_request_timeout(HEAD_WITHIN)
    .tcp_nodelay(true)
    .shutdown_timeout(drain_seconds)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok((running, address))
}

/// Answers one request, whatever it is.
async fn handle(worker: &Worker, request: &HttpRequest, payload: Payload) -> HttpResponse {
    let body = body::read(request.head(), payload, worker.surfaces.body_limit).await;
    let is_unread = body.is_err() || body::is_endless(request.head());
    let mut response = if *request.method() == Method::OPTIONS {
        worker.cors.preflight(request.headers())
    } else {
        let found = Route::find(request.method(), request.path(), &worker.surfaces);
        let surface = match found {
            Ok(route) => route.surface(),
            Err((surface, _)) => surface,
        };
        let result =
            dispatch(worker, request, body, surface, found.map_err(|(_, miss)| miss)).await;
        let mut response =
            result.unwrap_or_else(|problem| refuse(worker, request, surface, &problem));
        worker.cors.apply(request.headers(), response.headers_mut());
        worker.compressor.apply(request.method(), request.headers(), response)
    };
    if is_unread {
        // What is left of the body must not be taken for the next request.
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

async fn dispatch(
    worker: &Worker,
    request: &HttpRequest,
    body: Result<Bytes, BodyFault>,
    surface: Surface,
    found: Result<Route, Miss>,
) -> Result<HttpResponse, Problem> {
    let body = match surface {
        Surface::Proxy => Ok(proxy::admit_body(request, body, worker.surfaces.body_limit)?),
        Surface::Edge => body,
    };
    match found.map_err(Problem::Miss)? {
        Route::ProxyList(show) => proxy::list(worker, request, body, show).await,
        Route::FrontendList(show) => frontend::list(worker, request, body, show).await,
        Route::ProxyDefinitions => proxy::definitions(worker, request).await,
        Route::ProxyHealth => proxy::health(worker),
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
    let asked = (request.method().as_str(), request.path());
    let response = problem.response(surface, asked, &worker.surfaces);
    // Not the problem itself: it may tell of the caller's context.
    tracing::trace!(fault = ?problem.fault(), status = %response.status(), "request refused");
    response
}

/// By default every address, IPv6 and IPv4; IPv4 alone where the system has no IPv6.
fn listen(interface: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    let Some(interface) = interface else {
        return match open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(err) if err.kind() == io::ErrorKind::AddrInUse => Err(err),
            Err(_) => open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            Ok(listener) => Ok(listener),
        };
    };
    open(SocketAddr::new(interface, port))
}

// By hand, because whether `[::]` takes IPv4 too is the system's setting elsewhere.
fn open(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
