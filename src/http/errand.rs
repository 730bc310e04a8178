//! What a request is for, and how it is done.

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
    web::Bytes,
};

use super::{
    answer::Reply,
    backstage,
    body::BodyFault,
    counters::{Class, Refusal, UnderWay},
    docs::Doc,
    error::Problem,
    frontend,
    head::Head,
    proxy,
    route::{Miss, Route, Surface},
    usage,
    worker::Worker,
};

/// What a request is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Errand {
    Doc(Doc),
    Preflight,
    /// With whose manners it is answered.
    Route(Surface, Result<Route, Miss>),
}

// === impl Errand ===

impl Errand {
    pub(super) fn find(worker: &Worker, request: Head<'_>) -> Self {
        let Head { method, path, .. } = request;
        if let Some(doc) = Doc::find(method, path, &worker.surfaces) {
            return Self::Doc(doc);
        }
        if *method == Method::OPTIONS {
            return Self::Preflight;
        }
        match Route::find(method, path, &worker.surfaces) {
            Ok(route) => Self::Route(route.surface(), Ok(route)),
            Err((surface, miss)) => Self::Route(surface, Err(miss)),
        }
    }

    fn class(self) -> Class {
        match self {
            Self::Doc(_) => Class::Docs,
            Self::Preflight => Class::Preflight,
            Self::Route(_, found) => Class::of(found),
        }
    }

    fn surface(self) -> Surface {
        match self {
            Self::Doc(_) => Surface::Proxy,
            Self::Preflight => Surface::Edge,
            Self::Route(surface, _) => surface,
        }
    }

    /// Does the errand with what is known here.
    ///
    /// # Errors
    ///
    /// `TokenUnknown` where upstream may know better, and then it can be [retried](Self::retry).
    pub(super) fn attempt(
        self,
        worker: &Worker,
        request: Head<'_>,
        body: &Result<Bytes, BodyFault>,
    ) -> Result<Reply, Problem> {
        match self {
            Self::Doc(doc) => doc.answer(request, &worker.surfaces).map(Reply::from),
            Self::Preflight => Ok(worker.cors.preflight(request.headers).into()),
            Self::Route(Surface::Edge, found) => dispatch(worker, request, body, found),
            Self::Route(Surface::Proxy, found) => {
                let limit = worker.surfaces.body_limit;
                let body = proxy::admit_body(request, body, limit, found.is_ok())?;
                dispatch(worker, request, &Ok(body), found)
            }
        }
    }

    /// [Does](Self::attempt) the errand once upstream has admitted the token.
    pub(super) async fn retry(
        self,
        worker: &Worker,
        request: Head<'_>,
        body: &Result<Bytes, BodyFault>,
    ) -> Result<Reply, Problem> {
        worker.ask(request.headers, self.surface()).await?;
        self.attempt(worker, request, body)
    }

    /// Does the errand at once. Returns `None` where upstream has to be asked first: nothing is counted
    /// then, and the errand can be done again.
    pub(super) fn run(worker: &Worker, request: Head<'_>, body: Bytes) -> Option<Reply> {
        let _under_way = UnderWay::begin(&*worker.counters);
        let (errand, body) = (Self::find(worker, request), Ok(body));
        let result = errand.attempt(worker, request, &body);
        let is_done = !worker.has_to_ask(&result);
        is_done.then(|| errand.conclude(worker, request, result))
    }

    /// The reply as the caller gets it, counted. A list of flags has yet to be told.
    pub(super) fn conclude(
        self,
        worker: &Worker,
        request: Head<'_>,
        result: Result<Reply, Problem>,
    ) -> Reply {
        let reply = match result {
            Ok(Reply::Flags(flags)) => Reply::Flags(flags),
            Ok(Reply::Other(response)) => self.told(worker, request, response).into(),
            Err(problem) => {
                let response = refuse(worker, request, self.surface(), &problem);
                self.told(worker, request, response).into()
            }
        };
        worker.counters.answered(self.class(), reply.status());
        reply
    }

    /// `response` with what every answer has.
    fn told(self, worker: &Worker, request: Head<'_>, response: HttpResponse) -> HttpResponse {
        match self {
            Self::Route(..) => dress(worker, request, response),
            // Pages of other origins have no business with documents, as with the original's, and
            // preflights are nothing but such headers.
            Self::Doc(_) | Self::Preflight => response,
        }
    }
}

// === impl Reply ===

impl Reply {
    fn status(&self) -> StatusCode {
        match self {
            Self::Flags(flags) => flags.status(),
            Self::Other(response) => response.status(),
        }
    }

    /// The reply as actix-http sends it.
    ///
    /// Nothing else may have been answered since: flags are on the worker's sheet.
    pub(super) fn into_response(self, worker: &Worker, request: Head<'_>) -> HttpResponse {
        match self {
            Self::Flags(flags) => {
                let response = flags.into_response(&worker.desk.borrow().sheet);
                dress(worker, request, response)
            }
            Self::Other(response) => response,
        }
    }
}

/// `response` with cross-origin headers, and compressed where that gains.
fn dress(worker: &Worker, request: Head<'_>, mut response: HttpResponse) -> HttpResponse {
    worker.cors.apply(request.headers, response.headers_mut());
    worker.compressor.apply(request, response)
}

fn dispatch(
    worker: &Worker,
    request: Head<'_>,
    body: &Result<Bytes, BodyFault>,
    found: Result<Route, Miss>,
) -> Result<Reply, Problem> {
    let route = found.map_err(Problem::Miss)?;
    let response = match route {
        Route::ProxyList(show) => {
            return proxy::list(worker, request, body, show).map(Reply::Flags);
        }
        Route::FrontendList(show) => {
            return frontend::list(worker, request, body, show).map(Reply::Flags);
        }
        Route::ProxyDefinitions => proxy::definitions(worker, request),
        Route::ProxyHealth => proxy::health(worker),
        Route::ProxyPrometheus | Route::BackstageMetrics => {
            backstage::metrics(worker, route.surface())
        }
        Route::ProxyUsage(kind) => usage::proxy(worker, request, body, kind),
        Route::FrontendUsage(kind) => usage::frontend(worker, request, body, kind),
        Route::BackstageReady => backstage::ready(worker),
        Route::BackstageHealth => Ok(backstage::health()),
    }?;
    Ok(response.into())
}

pub(super) fn refuse(
    worker: &Worker,
    request: Head<'_>,
    surface: Surface,
    problem: &Problem,
) -> HttpResponse {
    if let Some(refusal) = Refusal::of(problem) {
        worker.counters.refused(refusal);
    }
    let asked = (request.method.as_str(), request.path);
    let response = problem.response(surface, asked, &worker.surfaces);
    // Not the problem itself: it may tell of the caller's context.
    tracing::trace!(fault = ?problem.fault(), status = %response.status(), "request refused");
    response
}
