//! Which route a method and a path mean. Pure: no request, no state.
//!
//! The Proxy's surface matches as Express does (any case, one optional trailing slash, a wrong
//! method is 404); Edge's collapses slashes and answers 405. A new route is one line in
//! [`proxy_route`] or [`edge_route`].

use actix_web::http::Method;

use crate::{
    config::{Exposure, Surfaces},
    engine::Show,
};

/// Longest path Edge's surface knows, in segments below its base.
const EDGE_SEGMENTS: usize = 6;
/// Where the Unleash Proxy tells what it measures, below `{base}/proxy`.
const PROXY_METRICS: &str = "/internal-backstage/prometheus";

/// Whose manners an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surface {
    Proxy,
    Edge,
}

/// What a request asks for that is no preflight; those are answered whatever their path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `{base}/proxy` and `{base}/proxy/all`.
    ProxyList(Show),
    /// `{base}/proxy/client/features`.
    ProxyDefinitions,
    /// `{base}/proxy/health`.
    ProxyHealth,
    /// `{base}/proxy/internal-backstage/prometheus`.
    ProxyPrometheus,
    /// `/api/frontend`, `/api/proxy` and their `/all`.
    FrontendList(Show),
    /// `{base}/proxy/client/{metrics,register}`, and metrics below `/all` too.
    ProxyUsage(Usage),
    /// `/api/frontend/client/{metrics,register}`, `/api/proxy/…` and both below `/all`.
    FrontendUsage(Usage),
    /// `/internal-backstage/health`.
    BackstageHealth,
    /// `/internal-backstage/ready`.
    BackstageReady,
    /// `/internal-backstage/metrics`.
    BackstageMetrics,
}

/// What an SDK tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    Metrics,
    Register,
}

/// Why no route was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    Path,
    /// The path is nearly right; where to look instead.
    Nearly(Nearly),
    /// The path is right; the methods it has, as the `Allow` header says them.
    Method(&'static str),
}

/// Paths people try first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nearly {
    /// `/` or `/api`.
    Root,
    /// `/frontend…`, without its `/api`.
    Frontend,
    /// `/proxy…`, without the base path that was configured.
    Proxy,
}

/// The methods a route answers.
#[derive(Clone, Copy)]
enum Methods {
    Get,
    GetPost,
    Post,
}

// === impl Route ===

impl Route {
    /// Looks `method` and `path` (without its query) up.
    ///
    /// The Proxy's surface goes first, so that its base path may be `/api`.
    ///
    /// # Errors
    ///
    /// The surface whose 404 or 405 the caller gets, and why.
    pub(super) fn find(
        method: &Method,
        path: &str,
        surfaces: &Surfaces,
    ) -> Result<Self, (Surface, Miss)> {
        if let Some(rest) = below_proxy(path, &surfaces.proxy.base_path) {
            return match proxy_route(rest, surfaces) {
                Some((route, methods)) if methods.allow(method) => Ok(route),
                _ => Err((Surface::Proxy, Miss::Path)),
            };
        }
        match edge_route(path, surfaces) {
            Some((route, methods)) if methods.allow(method) => Ok(route),
            Some((_, methods)) => Err((Surface::Edge, Miss::Method(methods.text()))),
            None => Err((Surface::Edge, miss(path))),
        }
    }

    /// As [`Route::find`], on the port that has nothing but metrics: there they are at `/metrics`
    /// too.
    ///
    /// # Errors
    ///
    /// As [`Route::find`].
    pub(super) fn find_metrics(
        method: &Method,
        path: &str,
        surfaces: &Surfaces,
    ) -> Result<Self, (Surface, Miss)> {
        let below = below_proxy(path, &surfaces.proxy.base_path);
        let is_proxys = below.is_some_and(|rest| {
            rest.strip_suffix('/').unwrap_or(rest).eq_ignore_ascii_case(PROXY_METRICS)
        });
        let edges = format!("{}/internal-backstage/metrics", surfaces.edge.base_path);
        let route = if is_proxys {
            Self::ProxyPrometheus
        } else if segments(path).eq(segments("/metrics")) || segments(path).eq(segments(&edges)) {
            Self::BackstageMetrics
        } else {
            return Err((Surface::Edge, Miss::Path));
        };
        match Methods::Get.allow(method) {
            true => Ok(route),
            false => Err((Surface::Edge, Miss::Method(Methods::Get.text()))),
        }
    }

    pub(super) fn surface(self) -> Surface {
        match self {
            Self::ProxyList(_)
            | Self::ProxyDefinitions
            | Self::ProxyHealth
            | Self::ProxyPrometheus
            | Self::ProxyUsage(_) => Surface::Proxy,
            Self::FrontendList(_)
            | Self::FrontendUsage(_)
            | Self::BackstageHealth
            | Self::BackstageMetrics
            | Self::BackstageReady => Surface::Edge,
        }
    }
}

// === impl Methods ===

impl Methods {
    fn allow(self, method: &Method) -> bool {
        match self {
            Self::Get => matches!(*method, Method::GET | Method::HEAD),
            Self::GetPost => matches!(*method, Method::GET | Method::HEAD | Method::POST),
            Self::Post => *method == Method::POST,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Get => "GET,HEAD",
            Self::GetPost => "GET,HEAD,POST",
            Self::Post => "POST",
        }
    }
}

/// What follows `{base}/proxy`: empty, or from its slash on. `None` where the path is not below it.
fn below_proxy<'p>(path: &'p str, base: &str) -> Option<&'p str> {
    let rest = strip_ignoring_case(path, base)?;
    let rest = strip_ignoring_case(rest, "/proxy")?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

fn proxy_route(rest: &str, surfaces: &Surfaces) -> Option<(Route, Methods)> {
    // One slash too many is taken with the mount, as by Express: SDKs whose URL ends in a slash ask
    // for `/proxy//client/metrics`.
    let rest = rest.strip_prefix('/').filter(|rest| rest.starts_with('/')).unwrap_or(rest);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let is = |name: &str| rest.eq_ignore_ascii_case(name);
    Some(match rest {
        "" => (Route::ProxyList(Show::Enabled), Methods::GetPost),
        _ if is("/all") => (Route::ProxyList(Show::All), Methods::GetPost),
        _ if is("/client/features") => (Route::ProxyDefinitions, Methods::Get),
        _ if is("/health") => (Route::ProxyHealth, Methods::Get),
        _ if is(PROXY_METRICS) && surfaces.metrics == Exposure::On => {
            (Route::ProxyPrometheus, Methods::Get)
        }
        _ if is("/client/metrics") || is("/all/client/metrics") => {
            (Route::ProxyUsage(Usage::Metrics), Methods::Post)
        }
        _ if is("/client/register") => (Route::ProxyUsage(Usage::Register), Methods::Post),
        _ => return None,
    })
}

fn edge_route(path: &str, surfaces: &Surfaces) -> Option<(Route, Methods)> {
    // What most requests ask for. Found below as well, segment by segment.
    if path.strip_prefix(surfaces.edge.base_path.as_str()) == Some("/api/frontend") {
        return Some((Route::FrontendList(Show::Enabled), Methods::GetPost));
    }
    let mut segments = segments(path);
    for expected in self::segments(&surfaces.edge.base_path) {
        if segments.next() != Some(expected) {
            return None;
        }
    }
    let mut found = [""; EDGE_SEGMENTS];
    let mut count = 0;
    for segment in segments {
        *found.get_mut(count)? = segment;
        count += 1;
    }
    Some(match found.get(..count)? {
        ["api", "frontend" | "proxy"] => (Route::FrontendList(Show::Enabled), Methods::GetPost),
        ["api", "frontend" | "proxy", "all"] if surfaces.edge.all_endpoint => {
            (Route::FrontendList(Show::All), Methods::GetPost)
        }
        ["api", "frontend" | "proxy", "client", kind] => frontend_usage(kind)?,
        ["api", "frontend" | "proxy", "all", "client", kind] if surfaces.edge.all_endpoint => {
            frontend_usage(kind)?
        }
        ["internal-backstage", "health"] => (Route::BackstageHealth, Methods::Get),
        ["internal-backstage", "ready"] => (Route::BackstageReady, Methods::Get),
        ["internal-backstage", "metrics"] if surfaces.metrics == Exposure::On => {
            (Route::BackstageMetrics, Methods::Get)
        }
        _ => return None,
    })
}

fn frontend_usage(kind: &str) -> Option<(Route, Methods)> {
    let kind = match kind {
        "metrics" => Usage::Metrics,
        "register" => Usage::Register,
        _ => return None,
    };
    Some((Route::FrontendUsage(kind), Methods::Post))
}

fn miss(path: &str) -> Miss {
    let mut segments = segments(path);
    match (segments.next(), segments.next()) {
        (None, _) | (Some("api"), None) => Miss::Nearly(Nearly::Root),
        (Some("frontend"), _) => Miss::Nearly(Nearly::Frontend),
        (Some("proxy"), _) => Miss::Nearly(Nearly::Proxy),
        _ => Miss::Path,
    }
}

/// Repeated and trailing slashes do not count (unleash-edge.md 1.0).
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

fn strip_ignoring_case<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let (start, rest) = path.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests;
