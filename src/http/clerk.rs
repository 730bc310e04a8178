//! What actix-http runs: one service that answers every request it reads, whatever it asks for.
//!
//! There is no router, no middleware and no application of actix-web
//! (`docs/adr/0007-no-application-behind-the-server.md`): a request's head goes to its handler as
//! actix-http read it. Most requests are answered before the service's call returns;
//! only those with a body, and those whose token upstream has to be asked about, are waited for.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    rc::Rc,
    sync::Arc,
};

use actix_http::Request;
use actix_service::{Service, ServiceFactory, always_ready};
use actix_web::{
    HttpResponse,
    dev::Payload,
    http::{ConnectionType, Method},
    web::Bytes,
};
use futures_util::future::{Either, LocalBoxFuture};

use super::{
    Closing, backstage, body,
    counters::{Class, UnderWay},
    errand::{Errand, refuse},
    error::{self, Problem},
    head::Head,
    route::Route,
    slices,
    worker::Worker,
};

/// Makes the clerk of each of one worker's sockets.
#[derive(Clone, Debug)]
pub(super) struct Clerks {
    /// `None` where it could not be made.
    worker: Option<Rc<Worker>>,
    closing: Closing,
    /// Whether nothing but metrics is served.
    is_for_metrics: bool,
}

/// Answers what comes by one socket.
#[derive(Debug)]
pub(super) struct Clerk(Clerks);

type Answered = Result<HttpResponse, Infallible>;

// === impl Clerks ===

impl Clerks {
    pub(super) fn new(worker: Option<Rc<Worker>>, closing: Closing, is_for_metrics: bool) -> Self {
        Self { worker, closing, is_for_metrics }
    }

    /// Returns `None` where it could not be made.
    pub(super) fn worker(&self) -> Option<Rc<Worker>> {
        self.worker.clone()
    }

    /// `response` as it leaves.
    fn sent(&self, response: HttpResponse) -> HttpResponse {
        let mut response = slices::of(response);
        if self.closing.is_announced() {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
        response
    }
}

impl ServiceFactory<Request> for Clerks {
    type Response = HttpResponse;
    type Error = Infallible;
    type Config = ();
    type Service = Clerk;
    type InitError = ();
    type Future = Ready<Result<Clerk, ()>>;

    fn new_service(&self, (): ()) -> Self::Future {
        ready(Ok(Clerk(self.clone())))
    }
}

// === impl Clerk ===

impl Service<Request> for Clerk {
    type Response = HttpResponse;
    type Error = Infallible;
    // Every connection has room for one of these, so what is waited for is in a box.
    type Future = Either<Ready<Answered>, LocalBoxFuture<'static, Answered>>;

    always_ready!();

    fn call(&self, mut request: Request) -> Self::Future {
        let Self(office) = self;
        let at_once = |response| Either::Left(ready(Ok(office.sent(response))));
        let Some(worker) = &office.worker else { return at_once(error::no_worker()) };
        let payload = request.take_payload();
        if office.is_for_metrics {
            return at_once(metrics(worker, Head::from(request.head()), payload));
        }
        let later =
            || (office.clone(), Rc::clone(worker), UnderWay::begin(Arc::clone(&worker.counters)));
        // What actix-http takes for another protocol than HTTP has a payload too.
        if !matches!(payload, Payload::None) {
            let (office, worker, under_way) = later();
            return Either::Right(Box::pin(async move {
                let response = read_and_answer(&worker, Head::from(request.head()), payload).await;
                drop(under_way);
                Ok(office.sent(response))
            }));
        }
        let head = Head::from(request.head());
        if let Some(reply) = Errand::run(worker, head, Bytes::new()) {
            return at_once(reply.into_response(worker, head));
        }
        let (office, worker, under_way) = later();
        Either::Right(Box::pin(async move {
            let request = Head::from(request.head());
            let errand = Errand::find(&worker, request);
            let result = errand.retry(&worker, request, &Ok(Bytes::new())).await;
            let response =
                errand.conclude(&worker, request, result).into_response(&worker, request);
            drop(under_way);
            Ok(office.sent(response))
        }))
    }
}

/// Answers one request on the port that has nothing but metrics. Its body, if any, stays unread.
fn metrics(worker: &Worker, request: Head<'_>, payload: Payload) -> HttpResponse {
    let found = Route::find_metrics(request.method, request.path, &worker.surfaces);
    let class = Class::of(found.map_err(|(_, miss)| miss));
    let (surface, result) = match found {
        Ok(route) => (route.surface(), backstage::metrics(worker, route.surface())),
        Err((surface, miss)) => (surface, Err(Problem::Miss(miss))),
    };
    let response = result.unwrap_or_else(|problem| refuse(worker, request, surface, &problem));
    worker.counters.answered(class, response.status());
    if *request.method == Method::GET { response } else { body::leave(payload, response) }
}

/// Answers a request that may have a body.
async fn read_and_answer(worker: &Worker, request: Head<'_>, mut payload: Payload) -> HttpResponse {
    let body = body::read(request, &mut payload, &worker.surfaces).await;
    let is_unread = match body {
        Ok(_) => body::is_endless(request),
        Err(_) => !body::has_ended(&mut payload),
    };
    let errand = Errand::find(worker, request);
    let mut result = errand.attempt(worker, request, &body);
    if worker.has_to_ask(&result) {
        result = errand.retry(worker, request, &body).await;
    }
    let response = errand.conclude(worker, request, result).into_response(worker, request);
    if is_unread { body::leave(payload, response) } else { response }
}
