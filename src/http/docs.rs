//! `{base}/docs/openapi…`: what the Proxy's surface offers, for machines and for people
//! (unleash-proxy.md 1.15). Asked rarely, so that nothing of it is kept: the document is put
//! together when somebody wants it, and the page's files stay packed inside the binary.

mod document;
mod schemas;

use std::io::Read as _;

use actix_web::{
    HttpResponse,
    http::{
        Method, StatusCode,
        header::{
            ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderValue, LOCATION,
            VARY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    web::Bytes,
};
use flate2::read::GzDecoder;

use super::{
    compress,
    conditional::{Held, Tag, forbids_not_modified},
    error::Problem,
    head::Head,
    route::Surface,
};
use crate::config::Surfaces;

const PAGE: &str = include_str!("docs/page.html");
const JSON: &str = "application/json; charset=utf-8";
const YAML: &str = "text/yaml; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "application/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PLAIN: &str = "text/plain";

/// The page's files, packed by `build.rs`: name, media type, gzip file.
const ASSETS: [(&str, &str, &[u8]); 3] = [
    ("swagger-ui.css", STYLE, include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"))),
    (
        "swagger-ui-bundle.js",
        SCRIPT,
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz")),
    ),
    (
        "swagger-ui-standalone-preset.js",
        SCRIPT,
        include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-standalone-preset.js.gz")),
    ),
];
/// The script that starts the page: the only one that depends on the configuration.
const INIT: &str = "swagger-ui-init.js";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doc {
    Json,
    Yaml,
    /// Which methods the document has.
    Methods,
    /// The page's address, without the slash that its relative links need.
    Redirect,
    Init,
    /// The number of one of the page's files.
    Asset(usize),
    /// And whatever else is below it.
    Page,
}

// === impl Doc ===

impl Doc {
    /// Looks `method` and `path` (without its query) up. `None` where the documentation is off, and
    /// for what is not its.
    pub(super) fn find(method: &Method, path: &str, surfaces: &Surfaces) -> Option<Self> {
        if !surfaces.proxy.docs {
            return None;
        }
        let base = &surfaces.proxy.base_path;
        let (start, rest) = path.split_at_checked(base.len())?;
        let rest = start.eq_ignore_ascii_case(base).then_some(rest)?;
        let (start, rest) = rest.split_at_checked("/docs/openapi".len())?;
        if !start.eq_ignore_ascii_case("/docs/openapi") {
            return None;
        }
        let reads = matches!(*method, Method::GET | Method::HEAD);
        if let Some(file) = rest.strip_prefix('/') {
            let asset = ASSETS.iter().position(|(name, ..)| *name == file);
            return Some(match asset {
                Some(at) if reads => Self::Asset(at),
                None if reads && file == INIT => Self::Init,
                _ => Self::Page,
            });
        }
        let end = rest.strip_suffix('/').unwrap_or(rest);
        let is = |name: &str| end.eq_ignore_ascii_case(name);
        match *method {
            _ if rest.is_empty() => Some(if reads { Self::Redirect } else { Self::Page }),
            Method::GET | Method::HEAD if is(".json") => Some(Self::Json),
            Method::GET | Method::HEAD if is(".yaml") || is(".yml") => Some(Self::Yaml),
            Method::OPTIONS if is(".json") || is(".yaml") || is(".yml") => Some(Self::Methods),
            _ => None,
        }
    }

    /// # Errors
    ///
    /// `Ours` where the document cannot be put together: a bug that a test would have shown.
    pub(super) fn answer(
        self,
        request: Head<'_>,
        surfaces: &Surfaces,
    ) -> Result<HttpResponse, Problem> {
        let text = |media, text: String| tagged(request, media, Bytes::from(text));
        let base = &surfaces.proxy.base_path;
        Ok(match self {
            Self::Json => text(JSON, document::json(surfaces)?),
            Self::Yaml => text(YAML, document::yaml(surfaces)?),
            Self::Methods => HttpResponse::Ok()
                .insert_header((ALLOW, "GET, HEAD"))
                .insert_header((CONTENT_TYPE, PLAIN))
                .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .body("GET, HEAD"),
            Self::Redirect => HttpResponse::MovedPermanently()
                .insert_header((LOCATION, format!("{base}/docs/openapi/")))
                .insert_header((CONTENT_TYPE, HTML))
                .finish(),
            Self::Init => text(SCRIPT, init(base)),
            Self::Asset(at) => match ASSETS.get(at) {
                Some((_, media, packed)) => asset(request, media, packed),
                None => return Err(Problem::Broken),
            },
            Self::Page => tagged(request, HTML, Bytes::from_static(PAGE.as_bytes())),
        })
    }
}

/// Starts the page on the document of the same process.
fn init(base: &str) -> String {
    // A JSON text is a JavaScript one; the base path is the operator's own.
    let url = serde_json::Value::from(format!("{base}/docs/openapi.json"));
    format!(
        "window.onload = () => {{\n  window.ui = SwaggerUIBundle({{\n    url: {url},\n    dom_id: \
         '#swagger-ui',\n    deepLinking: true,\n  }});\n}};\n"
    )
}

fn asset(request: Head<'_>, media: &'static str, packed: &'static [u8]) -> HttpResponse {
    let takes_gzip = compress::takes_gzip(request.headers);
    let mut response = if takes_gzip {
        tagged(request, media, Bytes::from_static(packed))
    } else {
        let mut plain = Vec::new();
        // What build.rs packed is whole; it is checked by a test.
        let _ = GzDecoder::new(packed).read_to_end(&mut plain);
        tagged(request, media, Bytes::from(plain))
    };
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=0"));
    if takes_gzip && response.status() == StatusCode::OK {
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn tagged(request: Head<'_>, media: &'static str, body: Bytes) -> HttpResponse {
    let headers = request.headers;
    let tag = Tag::new(xxhash_rust::xxh3::xxh3_128(&body), None);
    let reads = matches!(*request.method, Method::GET | Method::HEAD);
    let is_held = || tag.held_by(headers) == Held::This;
    let mut response = if reads && !forbids_not_modified(headers) && is_held() {
        HttpResponse::new(StatusCode::NOT_MODIFIED)
    } else {
        HttpResponse::Ok().insert_header((CONTENT_TYPE, media)).body(body)
    };
    if let Ok(tag) = HeaderValue::try_from(tag.into_text(Surface::Proxy)) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::fixture;

    fn surfaces(base: &str) -> Surfaces {
        let mut surfaces = fixture::surfaces();
        surfaces.proxy.docs = true;
        surfaces.proxy.base_path = base.to_owned();
        surfaces
    }

    #[test]
    fn every_path_has_its_document_and_whatever_is_below_has_the_page() {
        for (method, path, expected) in [
            ("GET", "/b/docs/openapi.json", Some(Doc::Json)),
            ("HEAD", "/B/DOCS/openapi.JSON/", Some(Doc::Json)),
            ("GET", "/b/docs/openapi.yaml", Some(Doc::Yaml)),
            ("GET", "/b/docs/openapi.yml", Some(Doc::Yaml)),
            ("OPTIONS", "/b/docs/openapi.yml", Some(Doc::Methods)),
            ("POST", "/b/docs/openapi.json", None),
            ("GET", "/b/docs/openapi", Some(Doc::Redirect)),
            ("POST", "/b/docs/openapi", Some(Doc::Page)),
            ("GET", "/b/docs/openapi/", Some(Doc::Page)),
            ("OPTIONS", "/b/docs/openapi/x", Some(Doc::Page)),
            ("PUT", "/b/docs/openapi/no/where", Some(Doc::Page)),
            ("GET", "/b/docs/openapi/swagger-ui.css", Some(Doc::Asset(0))),
            ("POST", "/b/docs/openapi/swagger-ui.css", Some(Doc::Page)),
            ("GET", "/b/docs/openapi/swagger-ui-init.js", Some(Doc::Init)),
            ("GET", "/docs/openapi.json", None),
            ("GET", "/b/docs/openapi.xml", None),
            ("GET", "/b/docs/openapis", None),
            ("GET", "/b/docs", None),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(Doc::find(&method, path, &surfaces("/b")), expected, "{method} {path}");
        }
        let mut off = surfaces("");
        assert_eq!(Doc::find(&Method::GET, "/docs/openapi", &off), Some(Doc::Redirect));
        off.proxy.docs = false;
        assert_eq!(Doc::find(&Method::GET, "/docs/openapi", &off), None);
    }

    #[test]
    fn the_pages_files_are_whole() {
        let marks = [".swagger-ui", "SwaggerUIBundle", "SwaggerUIStandalonePreset"];
        for ((name, _, packed), mark) in ASSETS.iter().zip(marks) {
            let mut text = String::new();
            GzDecoder::new(*packed).read_to_string(&mut text).unwrap();
            assert!(text.contains(mark), "{name}");
            assert!(PAGE.contains(&format!("./{name}")), "{name}");
        }
        assert!(PAGE.contains(&format!("./{INIT}")));
    }

    #[test]
    fn the_page_opens_the_document_below_the_base_path_once() {
        assert!(init("/b").contains(r#"url: "/b/docs/openapi.json""#));
    }
}
