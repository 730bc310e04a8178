//! What may go wrong with a request: whose fault it is, its status and its public text. Nothing
//! else in the house chooses an error's status.

use std::borrow::Cow;

use actix_web::{
    HttpResponse,
    body::BoxBody,
    http::{
        ConnectionType, StatusCode,
        header::{
            ALLOW, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS,
        },
    },
};
use serde_json::json;

use super::{
    body::BodyFault,
    invalid::Invalid,
    json::Unreadable,
    route::{Miss, Nearly, Surface},
};
use crate::config::Surfaces;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// Why a request gets no answer.
// Named by cause; each surface has its own way of saying it.
#[derive(Debug)]
pub(super) enum Problem {
    Miss(Miss),
    /// The token is missing, unreadable or of the wrong kind.
    TokenRefused,
    /// Nobody here knows the token; upstream may.
    TokenUnknown,
    /// Upstream had to be asked about the token and did not answer.
    UpstreamUnreachable,
    /// Upstream had to be asked about the token and answered with this status.
    UpstreamStatus(u16),
    NotReady,
    /// The answer to the question whether it is ready.
    NotReadyYet,
    /// The token is good, but its flags have not come yet.
    NoFlags,
    AllDisabled,
    ContentType,
    ContentEncoding,
    Body(BodyFault),
    /// The toggles asked for by name would make an answer larger than `limit` bytes.
    AnswerTooLarge {
        limit: usize,
    },
    Unreadable(Unreadable),
    Query(Invalid),
    /// Something of ours that a test should have found.
    Broken,
}

/// Whose fault a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Client,
    Upstream,
    Ours,
}

/// What a refusal looks like on the wire.
struct Text {
    media: Option<&'static str>,
    body: Cow<'static, str>,
}

// === impl Problem ===

impl Problem {
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::UpstreamUnreachable | Self::UpstreamStatus(_) => Fault::Upstream,
            Self::NotReady | Self::NotReadyYet | Self::NoFlags | Self::Broken => Fault::Ours,
            _ => Fault::Client,
        }
    }

    pub(super) fn status(&self, surface: Surface) -> StatusCode {
        use StatusCode as S;
        let proxy = surface == Surface::Proxy;
        match self {
            Self::Miss(Miss::Method(_)) => S::METHOD_NOT_ALLOWED,
            Self::Miss(_) => S::NOT_FOUND,
            Self::TokenRefused | Self::TokenUnknown if proxy => S::UNAUTHORIZED,
            Self::TokenRefused | Self::TokenUnknown => S::FORBIDDEN,
            Self::UpstreamUnreachable | Self::UpstreamStatus(_) | Self::NoFlags if proxy => {
                S::SERVICE_UNAVAILABLE
            }
            Self::UpstreamUnreachable => S::BAD_REQUEST,
            // Nothing below 400 is a refusal: a 101 would leave the caller waiting for bytes, a 204 or
            // a 304 would tell it that all is well.
            Self::UpstreamStatus(status @ 400..=599) => {
                S::from_u16(*status).unwrap_or(S::BAD_GATEWAY)
            }
            Self::UpstreamStatus(_) => S::BAD_GATEWAY,
            Self::NotReady | Self::NotReadyYet => S::SERVICE_UNAVAILABLE,
            Self::Broken => S::INTERNAL_SERVER_ERROR,
            Self::NoFlags => S::FORBIDDEN,
            Self::AllDisabled => S::NOT_IMPLEMENTED,
            Self::ContentType | Self::ContentEncoding => S::UNSUPPORTED_MEDIA_TYPE,
            Self::Body(BodyFault::TooLarge { .. })
            | Self::Unreadable(Unreadable::TooManyNames { .. })
            | Self::AnswerTooLarge { .. } => S::PAYLOAD_TOO_LARGE,
            Self::Body(BodyFault::Slow) => S::REQUEST_TIMEOUT,
            Self::Body(BodyFault::Broken | BodyFault::Garbled) | Self::Query(_) => S::BAD_REQUEST,
            Self::Unreadable(Unreadable::Shape(_)) if !proxy => S::UNPROCESSABLE_ENTITY,
            Self::Unreadable(_) => S::BAD_REQUEST,
        }
    }

    /// The answer in `surface`'s manner to the request for `method` and `path`.
    pub(super) fn response(
        &self,
        surface: Surface,
        (method, path): (&str, &str),
        surfaces: &Surfaces,
    ) -> HttpResponse {
        let text = match (self, surface) {
            (Self::Miss(Miss::Nearly(nearly)), _) => Text::plain(nearly.hint(surfaces)),
            (Self::Miss(_), Surface::Proxy) => Text::html(not_found_page(method, path)),
            (_, Surface::Proxy) => self.proxy_text(),
            (_, Surface::Edge) => self.edge_text(),
        };
        let mut response =
            HttpResponse::with_body(self.status(surface), BoxBody::new(text.body.into_owned()));
        let headers = response.headers_mut();
        if let Some(media) = text.media {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        }
        match self {
            Self::Miss(Miss::Method(allowed)) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Miss(_) if surface == Surface::Proxy => {
                headers.insert(
                    CONTENT_SECURITY_POLICY,
                    HeaderValue::from_static("default-src 'none'"),
                );
                headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            }
            Self::Body(_) => {
                response.head_mut().set_connection_type(ConnectionType::Close);
            }
            _ => {}
        }
        response
    }

    fn proxy_text(&self) -> Text {
        match self {
            Self::TokenRefused | Self::TokenUnknown => Text::plain("Unauthorized"),
            Self::NotReady
            | Self::NotReadyYet
            | Self::NoFlags
            | Self::UpstreamUnreachable
            | Self::UpstreamStatus(_) => Text::html(
                "The Unleash Proxy has not connected to the Unleash API and is not ready to \
                 accept requests yet.",
            ),
            Self::AllDisabled => Text::html(
                "The /proxy/all endpoint is disabled. Please check your server configuration. To \
                 enable it, set the `enableAllEndpoint` configuration option or \
                 `ENABLE_ALL_ENDPOINT` environment variable to `true`.",
            ),
            Self::Unreadable(Unreadable::Shape(invalid)) | Self::Query(invalid) => {
                Text::json(invalid.body().to_string())
            }
            Self::Unreadable(err @ Unreadable::TooManyNames { .. }) => {
                Text::json(json!({"error": err.to_string()}).to_string())
            }
            Self::AnswerTooLarge { limit } => Text::json(
                json!({"error": format!(
                    "the toggles named would make an answer larger than `{limit}` bytes"
                )})
                .to_string(),
            ),
            Self::Unreadable(err) => Text::json(
                json!({"error": format!(
                    "We were unable to parse the data you provided. Please check it for syntax \
                     errors. The message we got was: \"{err}\""
                )})
                .to_string(),
            ),
            Self::Body(fault) => Text::json(json!({"error": fault.to_string()}).to_string()),
            Self::Miss(_) | Self::ContentType | Self::ContentEncoding | Self::Broken => {
                Text::none()
            }
        }
    }

    fn edge_text(&self) -> Text {
        match self {
            Self::UpstreamStatus(status) => Text {
                media: None,
                body: json!({
                    "explanation": "Received a non 200 status code when trying to validate token \
                                    upstream",
                    "status_code": status.to_string(),
                })
                .to_string()
                .into(),
            },
            Self::NotReadyYet => Text {
                media: Some("application/json"),
                body: r#"{"error":"Edge is not ready to serve requests","status":"NOTREADY"}"#
                    .into(),
            },
            Self::ContentType => Text::plain("the body must be sent as `application/json`"),
            Self::ContentEncoding => Text::plain("the body must be sent without an encoding"),
            Self::Body(fault) => Text::plain(fault.to_string()),
            Self::Unreadable(Unreadable::Shape(Invalid::Rule(_))) => {
                Text::plain("the body is JSON, but holds no usage report or registration")
            }
            Self::Unreadable(Unreadable::Shape(_)) => {
                Text::plain("the body is JSON, but holds no context")
            }
            Self::Unreadable(err) => Text::plain(format!("the body is no JSON object: {err}")),
            _ => Text::none(),
        }
    }
}

/// The answer of a worker that could not be made: a fault of ours that `serve` should have found.
pub(super) fn no_worker() -> HttpResponse {
    HttpResponse::InternalServerError().finish()
}

/// Express's page says no more than this either; the path is the caller's and is escaped.
fn not_found_page(method: &str, path: &str) -> String {
    let mut page = format!("<!DOCTYPE html>\n<title>Error</title>\n<pre>Cannot {method} ");
    for letter in path.chars() {
        match letter {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#39;"),
            _ => page.push(letter),
        }
    }
    page.push_str("</pre>\n");
    page
}

// === impl Nearly ===

impl Nearly {
    fn hint(self, surfaces: &Surfaces) -> String {
        let (proxy, edge) = (&surfaces.proxy.base_path, &surfaces.edge.base_path);
        match self {
            Self::Root => {
                format!("flags are served at {edge}/api/frontend and at {proxy}/proxy\n")
            }
            Self::Frontend => format!("did you mean {edge}/api/frontend?\n"),
            Self::Proxy => format!("did you mean {proxy}/proxy or {edge}/api/proxy?\n"),
        }
    }
}

// === impl Text ===

impl Text {
    fn none() -> Self {
        Self { media: None, body: Cow::Borrowed("") }
    }

    fn plain(body: impl Into<Cow<'static, str>>) -> Self {
        Self { media: Some(PLAIN), body: body.into() }
    }

    fn html(body: impl Into<Cow<'static, str>>) -> Self {
        Self { media: Some(HTML), body: body.into() }
    }

    fn json(body: impl Into<Cow<'static, str>>) -> Self {
        Self { media: Some(JSON), body: body.into() }
    }
}

// === impl From ===

impl From<BodyFault> for Problem {
    fn from(fault: BodyFault) -> Self {
        Self::Body(fault)
    }
}

impl From<Unreadable> for Problem {
    fn from(err: Unreadable) -> Self {
        Self::Unreadable(err)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody as _;

    use super::*;
    use crate::http::fixture;

    #[test]
    fn each_surface_has_its_status_for_a_problem() {
        for (problem, proxy, edge) in [
            (Problem::Miss(Miss::Path), 404, 404),
            (Problem::Miss(Miss::Method("GET")), 405, 405),
            (Problem::TokenRefused, 401, 403),
            (Problem::TokenUnknown, 401, 403),
            (Problem::UpstreamUnreachable, 503, 400),
            (Problem::UpstreamStatus(502), 503, 502),
            (Problem::UpstreamStatus(9), 503, 502),
            (Problem::UpstreamStatus(101), 503, 502),
            (Problem::UpstreamStatus(200), 503, 502),
            (Problem::UpstreamStatus(204), 503, 502),
            (Problem::UpstreamStatus(302), 503, 502),
            (Problem::UpstreamStatus(304), 503, 502),
            (Problem::UpstreamStatus(399), 503, 502),
            (Problem::UpstreamStatus(400), 503, 400),
            (Problem::UpstreamStatus(404), 503, 404),
            (Problem::UpstreamStatus(429), 503, 429),
            (Problem::UpstreamStatus(599), 503, 599),
            (Problem::UpstreamStatus(600), 503, 502),
            (Problem::UpstreamStatus(999), 503, 502),
            (Problem::NotReady, 503, 503),
            (Problem::NoFlags, 503, 403),
            (Problem::AllDisabled, 501, 501),
            (Problem::ContentType, 415, 415),
            (Problem::Body(BodyFault::TooLarge { limit: 1 }), 413, 413),
            (Problem::Body(BodyFault::Slow), 408, 408),
            (Problem::Body(BodyFault::Garbled), 400, 400),
            (Problem::AnswerTooLarge { limit: 1 }, 413, 413),
            (Problem::Unreadable(Unreadable::TooManyNames { limit: 1 }), 413, 413),
            (Problem::Unreadable(Unreadable::NoObject), 400, 400),
            (Problem::Unreadable(Unreadable::Shape(Invalid::Body)), 400, 422),
            (Problem::Query(Invalid::Body), 400, 400),
            (Problem::Broken, 500, 500),
        ] {
            assert_eq!(problem.status(Surface::Proxy), proxy, "{problem:?}");
            assert_eq!(problem.status(Surface::Edge), edge, "{problem:?}");
        }
    }

    #[test]
    fn a_path_is_escaped_before_it_is_shown() {
        let response = Problem::Miss(Miss::Path).response(
            Surface::Proxy,
            ("GET", "/proxy/<script>'\"&"),
            &fixture::surfaces(),
        );
        let body = response.into_body().try_into_bytes().unwrap();
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.contains("Cannot GET /proxy/&lt;script&gt;&#39;&quot;&amp;<"), "{body}");
    }

    #[test]
    fn a_body_that_was_not_read_closes_the_connection() {
        let respond = |problem: Problem| {
            problem.response(Surface::Edge, ("POST", "/api/frontend"), &fixture::surfaces())
        };
        assert!(!respond(Problem::Body(BodyFault::TooLarge { limit: 1 })).keep_alive());
        assert!(respond(Problem::ContentType).keep_alive());
    }

    #[test]
    fn upstreams_silence_is_upstreams_fault() {
        assert_eq!(Problem::UpstreamUnreachable.fault(), Fault::Upstream);
        assert_eq!(Problem::NotReady.fault(), Fault::Ours);
        assert_eq!(Problem::TokenRefused.fault(), Fault::Client);
    }
}
