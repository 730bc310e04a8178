//! Cross-origin headers, on every answer (unleash-proxy.md 1.14).

use actix_web::{
    HttpResponse,
    http::{
        StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
            HeaderMap, HeaderValue, InvalidHeaderValue, ORIGIN, VARY,
        },
    },
};

use super::head::Headers;
use crate::config::{self, Origins};

/// The headers of a configuration, ready to be copied into answers.
#[derive(Debug)]
pub(super) struct Cors {
    origin: Origin,
    /// `None` where nothing is exposed.
    expose: Option<HeaderValue>,
    credentials: bool,
    methods: HeaderValue,
    /// `None` names the headers that were asked for.
    headers: Option<HeaderValue>,
    max_age: HeaderValue,
    preflight: StatusCode,
    vary: HeaderValue,
    vary_preflight: Option<HeaderValue>,
}

#[derive(Debug)]
enum Origin {
    Always(HeaderValue),
    Listed(Vec<HeaderValue>),
}

/// A configured text that cannot stand in a header, or a status that is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadCors {
    #[error("a cross-origin setting has characters that no header may carry")]
    Header(#[from] InvalidHeaderValue),
    #[error("`{0}` is no status for a preflight answer")]
    Status(u16),
}

// === impl Cors ===

impl Cors {
    /// # Errors
    ///
    /// When a setting cannot be sent as configured.
    // One per worker: a header's bytes are counted, and workers must not share the counter.
    pub(super) fn new(config: &config::Cors) -> Result<Self, BadCors> {
        let origin = match &config.origin {
            Origins::Any => Origin::Always(HeaderValue::from_static("*")),
            Origins::One(origin) => Origin::Always(HeaderValue::from_str(origin)?),
            Origins::Listed(origins) => Origin::Listed(
                origins
                    .iter()
                    .map(|origin| HeaderValue::from_str(origin))
                    .collect::<Result<_, _>>()?,
            ),
        };
        let by_origin = config.origin != Origins::Any;
        let mirrored = config.allowed_headers.is_none();
        let status = config.preflight_status;
        Ok(Self {
            origin,
            expose: match config.exposed_headers.as_str() {
                "" => None,
                names => Some(HeaderValue::from_str(names)?),
            },
            credentials: config.credentials,
            methods: HeaderValue::from_str(&config.methods)?,
            headers: config.allowed_headers.as_deref().map(HeaderValue::from_str).transpose()?,
            max_age: config.max_age_seconds.into(),
            preflight: StatusCode::from_u16(status).map_err(|_| BadCors::Status(status))?,
            vary: HeaderValue::from_static(match by_origin {
                true => "Origin, Accept-Encoding",
                false => "Accept-Encoding",
            }),
            vary_preflight: match (by_origin, mirrored) {
                (true, true) => Some("Origin, Access-Control-Request-Headers"),
                (true, false) => Some("Origin"),
                (false, true) => Some("Access-Control-Request-Headers"),
                (false, false) => None,
            }
            .map(HeaderValue::from_static),
        })
    }

    /// The origins on which [`Cors::apply`] depends: none where it is the same for all of them.
    pub(super) fn listed(&self) -> &[HeaderValue] {
        match &self.origin {
            Origin::Always(_) => &[],
            Origin::Listed(origins) => origins,
        }
    }

    /// Adds what every answer carries.
    pub(super) fn apply(&self, request: Headers<'_>, answer: &mut HeaderMap) {
        self.apply_origin(request, answer);
        answer.insert(VARY, self.vary.clone());
    }

    /// The whole answer to an `OPTIONS` request.
    pub(super) fn preflight(&self, request: Headers<'_>) -> HttpResponse {
        let mut response = HttpResponse::new(self.preflight);
        let answer = response.headers_mut();
        self.apply_origin(request, answer);
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let asked = || {
            let names = request.get(&ACCESS_CONTROL_REQUEST_HEADERS)?;
            HeaderValue::from_bytes(names).ok().filter(|names| !names.is_empty())
        };
        if let Some(names) = self.headers.clone().or_else(asked) {
            answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        answer.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        if let Some(vary) = &self.vary_preflight {
            answer.insert(VARY, vary.clone());
        }
        response
    }

    fn apply_origin(&self, request: Headers<'_>, answer: &mut HeaderMap) {
        let origin = match &self.origin {
            Origin::Always(origin) => Some(origin),
            Origin::Listed(origins) => {
                let asked = request.get(&ORIGIN);
                origins.iter().find(|origin| asked == Some(origin.as_bytes()))
            }
        };
        if let Some(origin) = origin {
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        if let Some(expose) = &self.expose {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        if self.credentials {
            answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture;

    fn request(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn the_origin_follows_its_setting() {
        let listed = Origins::Listed(vec!["https://a.test".into(), "https://b.test".into()]);
        let one = Origins::One("https://a.test".into());
        for (origins, asked, allowed, vary) in [
            (&Origins::Any, "https://x.test", Some("*"), "Accept-Encoding"),
            (&one, "https://x.test", Some("https://a.test"), "Origin, Accept-Encoding"),
            (&listed, "https://b.test", Some("https://b.test"), "Origin, Accept-Encoding"),
            (&listed, "https://B.test", None, "Origin, Accept-Encoding"),
            (&listed, "null", None, "Origin, Accept-Encoding"),
        ] {
            let cors =
                Cors::new(&config::Cors { origin: origins.clone(), ..fixture::cors() }).unwrap();
            let mut answer = HeaderMap::new();
            cors.apply((&request(&[("origin", asked)])).into(), &mut answer);
            assert_eq!(text(&answer, "access-control-allow-origin"), allowed, "{origins:?}");
            assert_eq!(text(&answer, "vary"), Some(vary), "{origins:?}");
            assert_eq!(text(&answer, "access-control-expose-headers"), Some("ETag"));
        }
    }

    #[test]
    fn a_preflight_names_the_headers_that_were_asked_for() {
        let cors = Cors::new(&fixture::cors()).unwrap();
        let response = cors.preflight(
            (&request(&[("access-control-request-headers", "authorization,unleash-sdk")])).into(),
        );
        assert_eq!(response.status(), 204);
        let headers = response.headers();
        assert_eq!(
            text(headers, "access-control-allow-headers"),
            Some("authorization,unleash-sdk")
        );
        assert_eq!(text(headers, "access-control-allow-methods"), Some("GET, POST"));
        assert_eq!(text(headers, "access-control-max-age"), Some("172800"));
        assert_eq!(text(headers, "vary"), Some("Access-Control-Request-Headers"));
    }

    #[test]
    fn a_preflight_that_asks_for_no_headers_is_allowed_none() {
        let response = Cors::new(&fixture::cors()).unwrap().preflight((&HeaderMap::new()).into());
        assert_eq!(text(response.headers(), "access-control-allow-headers"), None);
    }

    #[test]
    fn configured_headers_credentials_and_status_are_sent_as_they_are() {
        let config = config::Cors {
            allowed_headers: Some("authorization".into()),
            credentials: true,
            preflight_status: 200,
            exposed_headers: String::new(),
            ..fixture::cors()
        };
        let response = Cors::new(&config)
            .unwrap()
            .preflight((&request(&[("access-control-request-headers", "x-other")])).into());
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(text(headers, "access-control-allow-headers"), Some("authorization"));
        assert_eq!(text(headers, "access-control-allow-credentials"), Some("true"));
        assert_eq!(text(headers, "access-control-expose-headers"), None);
        assert_eq!(text(headers, "vary"), None);
    }

    #[test]
    fn a_setting_no_header_can_carry_is_refused() {
        let config = config::Cors { methods: "GET\nPOST".into(), ..fixture::cors() };
        assert!(matches!(Cors::new(&config), Err(BadCors::Header(_))));
        let config = config::Cors { preflight_status: 42, ..fixture::cors() };
        assert!(matches!(Cors::new(&config), Err(BadCors::Status(42))));
    }
}
