//! What is said on the wire, read and written: redirects, pauses, lengths, queries, tokens.

use std::time::{Duration, SystemTime};

use actix_web::{
    http::{
        StatusCode, Uri,
        header::{self, HeaderMap},
    },
    web::Bytes,
};
use awc::error::PayloadError;
use futures_util::stream::{Stream, StreamExt};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{CLIENT_SPEC, MAX_ANSWER_BYTES, Sink, UpstreamError};
use crate::{
    config::Identity,
    token::{Kind, Scope, Token},
};

/// What a query's names and values need not escape.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Room for an answer that does not say how long it is. To grow would be to touch all of it again,
/// while room that is not filled is never touched, and so takes no memory.
const ROOM_BYTES: usize = 4 * 1024 * 1024;

/// A token that upstream calls good.
#[derive(Clone, Debug)]
pub struct ValidToken {
    pub token: Token,
    /// `None` where upstream does not say, or says something new.
    pub kind: Option<Kind>,
    pub scope: Scope,
}

/// `?a=b&c=d`, or nothing.
pub(super) fn query(pairs: &[(String, String)]) -> String {
    let escape = |text| utf8_percent_encode(text, UNRESERVED);
    let pairs = pairs.iter().enumerate().map(|(at, (name, value))| {
        let mark = if at == 0 { '?' } else { '&' };
        format!("{mark}{}={}", escape(name), escape(value))
    });
    pairs.collect()
}

/// awc takes a closed connection for the end of any body, so the count has to be ours.
// A compressed body says itself where it ends. A chunked one that is cut cannot be told from a
// whole one here; but no part of a JSON object is one, so its reader notices.
fn check_length(headers: &HeaderMap, got: usize) -> Result<(), UpstreamError> {
    match length(headers) {
        Some(announced) if announced != got => Err(UpstreamError::Truncated { announced, got }),
        _ => Ok(()),
    }
}

/// How many bytes the body was announced to have. `None` where nobody said, and where the body is
/// compressed on its way.
fn length(headers: &HeaderMap) -> Option<usize> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return None;
    }
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Hands the whole body to `body`, which is to expect what was announced. Where nothing was, as much
/// as the `longest` one so far took, and no less than [`ROOM_BYTES`]. Returns how long it was.
///
/// # Errors
///
/// When it breaks off, is not as long as was announced, or is longer than [`MAX_ANSWER_BYTES`].
pub(super) async fn read(
    chunks: &mut (impl Stream<Item = Result<Bytes, PayloadError>> + Unpin),
    headers: &HeaderMap,
    longest: usize,
    body: &mut dyn Sink,
) -> Result<usize, UpstreamError> {
    let room = match length(headers) {
        Some(announced) if announced > MAX_ANSWER_BYTES => return Err(UpstreamError::TooLarge),
        Some(announced) => announced,
        // As long as any so far, and some more.
        None => (longest + longest / 8).clamp(ROOM_BYTES, MAX_ANSWER_BYTES),
    };
    body.expect(room);
    let mut got = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(UpstreamError::Broken)?;
        if chunk.len() > MAX_ANSWER_BYTES - got {
            return Err(UpstreamError::TooLarge);
        }
        got += chunk.len();
        body.push(&chunk);
    }
    check_length(headers, got)?;
    Ok(got)
}

pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

/// Where `location` leads from `url`, if our token may go there.
pub(super) fn redirected(url: &str, location: &str) -> Result<String, UpstreamError> {
    let no_url = |_| UpstreamError::Redirected(String::new());
    let from: Uri = url.parse().map_err(no_url)?;
    let (scheme, host) = (from.scheme_str().unwrap_or("http"), from.host().unwrap_or_default());
    let authority = from.authority().map_or(host, |authority| authority.as_str());
    let target = match location {
        absolute if absolute.starts_with("http://") || absolute.starts_with("https://") => {
            absolute.to_owned()
        }
        same_scheme if same_scheme.starts_with("//") => format!("{scheme}:{same_scheme}"),
        path if path.starts_with('/') => format!("{scheme}://{authority}{path}"),
        relative => {
            let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{relative}")
        }
    };
    let to: Uri = target.parse().map_err(no_url)?;
    let same_host = to.host().is_some_and(|to| to.eq_ignore_ascii_case(host));
    let safe = match (from.scheme_str(), to.scheme_str()) {
        (Some("http"), Some("https")) => true,
        (was, is) => was == is && from.port_u16() == to.port_u16(),
    };
    if same_host && safe {
        Ok(target)
    } else {
        // Not the whole of it: a query may carry a secret.
        Err(UpstreamError::Redirected(to.host().unwrap_or_default().to_owned()))
    }
}

/// Reads `Retry-After`: seconds, or a date.
pub(super) fn retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date: SystemTime = chrono::DateTime::parse_from_rfc2822(text).ok()?.into();
    Some(date.duration_since(now).unwrap_or_default())
}

/// Reads `{"tokens": […]}`, leaving out what is not a good token.
pub(super) fn valid_tokens(body: &[u8]) -> Option<Vec<ValidToken>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    Some(body.get("tokens")?.as_array()?.iter().filter_map(valid_token).collect())
}

fn valid_token(entry: &Value) -> Option<ValidToken> {
    let text = |name| entry.get(name).and_then(Value::as_str);
    if text("status").is_some_and(|status| status.eq_ignore_ascii_case("invalid")) {
        return None;
    }
    let secret = text("token")?;
    let spoken = Scope::of_token(secret);
    let environment = match (text("environment"), &spoken) {
        (Some(environment), _) => environment,
        (None, Some(scope)) => &scope.environment,
        (None, None) => return None,
    };
    let scope = match (entry.get("projects").and_then(Value::as_array), &spoken) {
        (Some(names), _) => Scope::new(environment, names.iter().filter_map(Value::as_str)),
        (None, Some(spoken)) => {
            let projects = spoken.projects.clone();
            Scope { environment: environment.into(), projects }.or_all()
        }
        (None, None) => return None,
    };
    let kind = text("type").and_then(Kind::from_text);
    Some(ValidToken { token: Token::new(secret), kind, scope })
}

/// Completes a report with who sends it.
pub(super) fn sign(report: &mut Value, identity: &Identity) {
    let ours = [
        ("instanceId", Value::from(identity.instance_id.as_str())),
        ("connectionId", Value::from(identity.connection_id.as_str())),
        ("platformName", Value::from("rust")),
        ("platformVersion", Value::from(env!("CARGO_PKG_RUST_VERSION"))),
        ("yggdrasilVersion", Value::Null),
        ("specVersion", Value::from(CLIENT_SPEC)),
    ];
    if let Value::Object(body) = report {
        body.extend(ours.into_iter().map(|(name, value)| (name.to_owned(), value)));
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use futures_util::FutureExt;

    use super::*;
    use crate::engine::Projects;

    #[test]
    fn a_redirect_is_followed_on_the_same_host_and_never_to_less_safety() {
        let good = [
            ("http://a/x", "/y?z=1", "http://a/y?z=1"),
            ("http://a:81/api/x", "y", "http://a:81/api/y"),
            ("http://a/x", "https://a/x", "https://a/x"),
            ("http://a/x", "https://A:8443/x", "https://A:8443/x"),
            ("https://a/x", "//a/y", "https://a/y"),
            ("http://a/x", "/login?to=http://b", "http://a/login?to=http://b"),
        ];
        for (from, location, to) in good {
            assert_eq!(redirected(from, location).unwrap(), to, "{from} {location}");
        }
        let bad = [
            ("http://a/x", "http://b/x?secret=sesame"),
            ("https://a/x", "http://a/x"),
            ("https://a/x", "//b/x"),
            ("http://a:81/x", "http://a:82/x"),
            ("http://a/x", "http://"),
        ];
        for (from, location) in bad {
            let err = redirected(from, location).unwrap_err();
            assert!(matches!(err, UpstreamError::Redirected(_)), "{from} {location}");
            assert!(!err.to_string().contains("sesame"), "{err}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:40 GMT", now), Some(Duration::from_secs(3)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
        assert_eq!(retry_after("-1", now), None);
    }

    #[test]
    fn a_query_escapes_its_names_and_values() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(query(&[]), "");
        let pairs = [pair("project", "a b"), pair("tag", "simple:tähti&co")];
        assert_eq!(query(&pairs), "?project=a%20b&tag=simple%3At%C3%A4hti%26co");
    }

    #[test]
    fn a_body_is_read_whole_whatever_room_there_was_for_it() {
        for longest in [0, 3, 100] {
            let mut chunks =
                futures_util::stream::iter(["ab", "", "cdef"].map(|it| Ok(Bytes::from(it))));
            let mut body = Vec::new();
            let got = read(&mut chunks, &HeaderMap::new(), longest, &mut body).now_or_never();
            assert_eq!((got.unwrap().unwrap(), &*body), (6, &b"abcdef"[..]), "{longest}");
        }
    }

    #[test]
    fn a_body_that_is_too_long_is_not_read_on() {
        let half = Bytes::from(vec![0; MAX_ANSWER_BYTES / 2]);
        let chunks = [half.clone(), half, Bytes::from_static(b"x"), Bytes::new()];
        let mut chunks = futures_util::stream::iter(chunks.map(Ok));
        let mut headers = HeaderMap::new();
        let result = read(&mut chunks, &headers, 0, &mut Vec::new()).now_or_never().unwrap();
        assert!(matches!(result, Err(UpstreamError::TooLarge)));
        assert_eq!(chunks.size_hint().0, 1, "the last one is left");
        headers.insert(header::CONTENT_LENGTH, (MAX_ANSWER_BYTES + 1).into());
        let result = read(&mut chunks, &headers, 0, &mut Vec::new()).now_or_never().unwrap();
        assert!(matches!(result, Err(UpstreamError::TooLarge)), "as it is announced");
        assert_eq!(chunks.size_hint().0, 1);
    }

    #[test]
    fn a_body_is_as_long_as_it_was_announced() {
        let mut headers = HeaderMap::new();
        assert!(check_length(&headers, 7).is_ok(), "not announced");
        headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from_static("8"));
        assert!(check_length(&headers, 8).is_ok());
        let err = check_length(&headers, 7).unwrap_err();
        assert_eq!(err.to_string(), "upstream's answer broke off: 7 of 8 bytes came");
        headers.insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
        assert!(check_length(&headers, 700).is_ok(), "the length is that of the compressed body");
    }

    #[test]
    fn a_validation_answer_is_read_entry_by_entry() {
        let body = br#"{"tokens": [
            {"token": "*:dev.a", "type": "CLIENT", "environment": "dev", "projects": ["*"]},
            {"token": "[]:dev.b", "type": "frontend", "environment": "dev", "projects": ["y", "x"]},
            {"token": "p:dev.c", "type": "frontend", "environment": null, "projects": null},
            {"token": "opaque", "type": null, "environment": "dev", "projects": []},
            {"token": "*:dev.d", "type": "backend", "status": "Invalid"},
            {"token": "opaque-and-nothing-else"}, {"type": "backend"}, 7
        ], "more": 1}"#;
        let found = valid_tokens(body).unwrap();
        let found: Vec<_> =
            found.iter().map(|it| (it.token.secret(), it.kind, it.scope.clone())).collect();
        assert_eq!(
            found,
            [
                ("*:dev.a", Some(Kind::Backend), Scope::new("dev", ["*"])),
                ("[]:dev.b", Some(Kind::Frontend), Scope::new("dev", ["x", "y"])),
                ("p:dev.c", Some(Kind::Frontend), Scope::new("dev", ["p"])),
                ("opaque", None, Scope { environment: "dev".into(), projects: Projects::All }),
            ]
        );
    }

    #[test]
    fn a_validation_answer_without_a_list_cannot_be_read() {
        for body in ["", "{}", "[]", "null", r#"{"tokens": {}}"#, r#"{"tokens": [{"token":"#] {
            assert!(valid_tokens(body.as_bytes()).is_none(), "{body}");
        }
        assert_eq!(valid_tokens(br#"{"tokens": []}"#).unwrap().len(), 0);
    }
}
