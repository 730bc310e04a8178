//! Request bodies: which are let in, and how they are read.

use std::{
    io::Read as _,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    dev::Payload,
    http::{
        ConnectionType, Method, Version,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, TRANSFER_ENCODING, UPGRADE},
    },
    web::{Bytes, BytesMut},
};
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use futures_util::{FutureExt as _, StreamExt as _};

use super::head::{Head, Headers};
use crate::config::Surfaces;

/// Why a body could not be read; the connection closes with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyFault {
    #[error("the body is larger than `{limit}` bytes")]
    TooLarge { limit: usize },
    #[error("the body took too long to arrive")]
    Slow,
    #[error("the body broke off")]
    Broken,
    #[error("the body is not what its `Content-Encoding` says")]
    Garbled,
}

/// An answer to a request whose body is left unread.
// INVARIANT: the payload lives until the answer is sent. Of a chunked body that was dropped before,
// actix-http reads and throws away all that comes, without end; of one that is merely not read it
// takes no more, sends the answer, and ends the connection within a second.
struct Leaving {
    answer: BoxBody,
    _left: Box<Payload>,
}

/// How a body is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Identity,
    Gzip,
    /// With zlib's header, as RFC 9110 wants it.
    Deflate,
}

// === impl Leaving ===

impl MessageBody for Leaving {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.answer.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.answer).poll_next(cx)
    }
}

/// Reads the whole body, within the limits of size and time.
///
/// Done before anything is decided, refusals too: an answer to a body that was not read would have
/// to close the connection, or the rest of the body would be taken for the next request.
///
/// # Errors
///
/// A body over the limit, too slow or broken off.
pub(super) async fn read(
    head: Head<'_>,
    payload: &mut Payload,
    Surfaces { body_limit, body_within, .. }: &Surfaces,
) -> Result<Bytes, BodyFault> {
    if matches!(payload, Payload::None) || is_endless(head) {
        return Ok(Bytes::new());
    }
    match actix_rt::time::timeout(*body_within, collect(payload, *body_limit)).await {
        Ok(body) => body,
        Err(_) => Err(BodyFault::Slow),
    }
}

async fn collect(payload: &mut Payload, limit: usize) -> Result<Bytes, BodyFault> {
    let mut body = BytesMut::new();
    let mut only = Bytes::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| BodyFault::Broken)?;
        if only.len() + body.len() + chunk.len() > limit {
            return Err(BodyFault::TooLarge { limit });
        }
        // Most bodies come in one piece, which needs no copy.
        if only.is_empty() && body.is_empty() {
            only = chunk;
        } else {
            if body.is_empty() {
                body.extend_from_slice(&std::mem::take(&mut only));
            }
            body.extend_from_slice(&chunk);
        }
    }
    Ok(if body.is_empty() { only } else { body.freeze() })
}

/// Throws away what has arrived of a body that is refused. Returns whether that was all of it: the
/// connection can be used again then.
pub(super) fn has_ended(payload: &mut Payload) -> bool {
    loop {
        match payload.next().now_or_never() {
            Some(Some(Ok(_))) => {}
            Some(None) => return true,
            Some(Some(Err(_))) | None => return false,
        }
    }
}

/// Makes `response` the last one of its connection, as `payload` is not read to its end: what is left
/// of it must not be taken for the next request.
pub(super) fn leave(payload: Payload, mut response: HttpResponse) -> HttpResponse {
    response.head_mut().set_connection_type(ConnectionType::Close);
    response.map_body(|_, answer| BoxBody::new(Leaving { answer, _left: Box::new(payload) }))
}

/// Whether what follows the head is no body but another protocol, which has no end: nobody may wait
/// for it, and the connection cannot be used again.
pub(super) fn is_endless(head: Head<'_>) -> bool {
    let is_chunked = || {
        let coding = head.headers.get(&TRANSFER_ENCODING);
        coding.is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"))
    };
    let to_websocket = || {
        let mut protocols = head.headers.all(&UPGRADE);
        protocols.any(|name| name.trim_ascii().eq_ignore_ascii_case(b"websocket"))
    };
    // HTTP/2 frames its bodies and upgrades nothing.
    head.version < Version::HTTP_2
        && (*head.method == Method::CONNECT || to_websocket())
        && !is_chunked()
}

/// Whether the Proxy's surface takes the request to have a body: by its head alone, and an empty
/// one counts (unleash-proxy.md 1.5). `arrived`: whether it was not empty.
pub(super) fn is_announced(headers: Headers<'_>, version: Version, arrived: bool) -> bool {
    let length = || headers.text(&CONTENT_LENGTH)?.trim().parse::<f64>().ok();
    // HTTP/2 frames its bodies without either header.
    let framed = version >= Version::HTTP_2 && arrived;
    framed || headers.has(&TRANSFER_ENCODING) || length().is_some()
}

/// Whether the content type is JSON as the Proxy understands it: absent and empty are, suffixes
/// such as `+json` are not.
pub(super) fn is_proxy_json(headers: Headers<'_>) -> bool {
    match media_type(headers) {
        None | Some("") => !headers.has(&CONTENT_TYPE) || is_empty(headers),
        Some(media) => {
            media.eq_ignore_ascii_case("application/json")
                && are_parameters_whole(headers)
                && is_unicode(headers)
        }
    }
}

/// Whether every `;` of the content type is followed by a name and a value: the original calls any
/// other type unreadable.
fn are_parameters_whole(headers: Headers<'_>) -> bool {
    let value = headers.text(&CONTENT_TYPE).unwrap_or("");
    value.split(';').skip(1).all(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or_default();
        !name.trim().is_empty() && !value.trim().is_empty()
    })
}

/// Whether the charset, if one is told, starts with `utf-` (unleash-proxy.md 1.6).
fn is_unicode(headers: Headers<'_>) -> bool {
    let Some(value) = headers.text(&CONTENT_TYPE) else { return true };
    let mut parameters = value.split(';').skip(1).filter_map(|pair| pair.split_once('='));
    let charset = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"));
    charset.is_none_or(|(_, charset)| {
        let start = charset.trim().trim_matches('"').get(..4);
        start.is_some_and(|start| start.eq_ignore_ascii_case("utf-"))
    })
}

/// Whether the content type is JSON as Edge understands it: it has to be there, and may be of the
/// form `application/…+json`.
pub(super) fn is_edge_json(headers: Headers<'_>) -> bool {
    let Some((family, format)) = media_type(headers).and_then(|media| media.split_once('/')) else {
        return false;
    };
    let suffix = format.rsplit_once('+').map_or(format, |(_, suffix)| suffix);
    family.eq_ignore_ascii_case("application") && suffix.eq_ignore_ascii_case("json")
}

/// Whether the body is sent as it is.
pub(super) fn is_plain(headers: Headers<'_>) -> bool {
    headers.get(&CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case(b"identity"))
}

// === impl Encoding ===

impl Encoding {
    /// `None` where the body is sent in a way nobody here reads.
    pub(super) fn find(headers: Headers<'_>) -> Option<Self> {
        let Some(name) = headers.get(&CONTENT_ENCODING) else { return Some(Self::Identity) };
        let is = |text: &[u8]| name.eq_ignore_ascii_case(text);
        Some(match () {
            () if is(b"identity") => Self::Identity,
            () if is(b"gzip") => Self::Gzip,
            () if is(b"deflate") => Self::Deflate,
            () => return None,
        })
    }

    /// The body as it was before it was encoded. An empty one is empty in every encoding.
    ///
    /// # Errors
    ///
    /// More than `limit` bytes, of which no more than one is decoded too many, and what the
    /// encoding cannot be.
    pub(super) fn decode(self, body: Bytes, limit: usize) -> Result<Bytes, BodyFault> {
        if body.is_empty() {
            return Ok(body);
        }
        let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
        let mut plain = Vec::new();
        let decoded = match self {
            Self::Identity => return Ok(body),
            Self::Gzip => MultiGzDecoder::new(&*body).take(most).read_to_end(&mut plain),
            Self::Deflate => ZlibDecoder::new(&*body).take(most).read_to_end(&mut plain),
        };
        match decoded {
            Ok(bytes) if bytes > limit => Err(BodyFault::TooLarge { limit }),
            Ok(_) => Ok(plain.into()),
            Err(_) => Err(BodyFault::Garbled),
        }
    }
}

/// The content type without its parameters. `None` where there is none or it is no text.
fn media_type(headers: Headers<'_>) -> Option<&str> {
    let value = headers.text(&CONTENT_TYPE)?;
    value.split(';').next().map(str::trim)
}

fn is_empty(headers: Headers<'_>) -> bool {
    headers.get(&CONTENT_TYPE).is_none_or(|value| value.trim_ascii().is_empty())
}

#[cfg(test)]
mod tests {
    use actix_web::{
        dev::RequestHead,
        http::header::{HeaderMap, HeaderName, HeaderValue},
    };

    use super::*;

    fn typed(value: Option<&'static str>) -> HeaderMap {
        value.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))).into_iter().collect()
    }

    #[test]
    fn content_types_are_judged_by_each_surfaces_rule() {
        for (value, proxy, edge) in [
            (None, true, false),
            (Some(""), true, false),
            (Some("application/json"), true, true),
            (Some("Application/JSON; charset=utf-8"), true, true),
            (Some("application/json; charset=UTF-16"), true, true),
            (Some("application/json;a=b; Charset=\"utf-8\""), true, true),
            (Some("application/json; charset=latin1"), false, true),
            (Some("application/json; charset="), false, true),
            (Some("application/json;"), false, true),
            (Some("application/json; utf-8"), false, true),
            (Some("application/vnd.api+json"), false, true),
            (Some("text/json"), false, false),
            (Some("text/plain"), false, false),
            (Some("; charset=utf-8"), false, false),
            (Some("nonsense"), false, false),
        ] {
            let headers = &typed(value);
            assert_eq!(is_proxy_json(headers.into()), proxy, "proxy {value:?}");
            assert_eq!(is_edge_json(headers.into()), edge, "edge {value:?}");
        }
    }

    #[test]
    fn an_empty_body_counts_where_its_length_is_told() {
        let head = |name, value| -> HeaderMap {
            [(name, HeaderValue::from_static(value))].into_iter().collect()
        };
        let announced = |headers: &HeaderMap| is_announced(headers.into(), Version::HTTP_11, false);
        assert!(!announced(&HeaderMap::new()));
        assert!(announced(&head(CONTENT_LENGTH, "0")));
        assert!(announced(&head(CONTENT_LENGTH, "12")));
        assert!(!announced(&head(CONTENT_LENGTH, "twelve")));
        assert!(announced(&head(TRANSFER_ENCODING, "chunked")));
        let h2 = |arrived| is_announced((&HeaderMap::new()).into(), Version::HTTP_2, arrived);
        assert!(h2(true));
        assert!(!h2(false));
    }

    #[test]
    fn only_http_1_has_protocols_after_a_head() {
        let head = |method: Method, version, lines: &[(HeaderName, &'static str)]| {
            let mut head = RequestHead::default();
            head.method = method;
            head.version = version;
            for (name, value) in lines {
                head.headers.append(name.clone(), HeaderValue::from_static(value));
            }
            is_endless(Head::from(&head))
        };
        let h1 = |method, lines| head(method, Version::HTTP_11, lines);
        assert!(!h1(Method::GET, &[]));
        assert!(h1(Method::CONNECT, &[]));
        assert!(h1(Method::GET, &[(UPGRADE, "WebSocket")]));
        assert!(h1(Method::POST, &[(UPGRADE, "websocket"), (CONTENT_LENGTH, "2")]));
        assert!(!h1(Method::POST, &[(UPGRADE, "websocket"), (TRANSFER_ENCODING, "chunked")]));
        assert!(!h1(Method::GET, &[(UPGRADE, "h2c")]));
        assert!(!head(Method::CONNECT, Version::HTTP_2, &[]));
    }

    #[test]
    fn an_encoded_body_is_decoded_within_its_limit() {
        use std::io::Write as _;

        use flate2::{Compression, write};
        let gzip = |plain: &[u8]| {
            let mut encoder = write::GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(plain).unwrap();
            Bytes::from(encoder.finish().unwrap())
        };
        let deflate = |plain: &[u8]| {
            let mut encoder = write::ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(plain).unwrap();
            Bytes::from(encoder.finish().unwrap())
        };
        let plain = [b'x'; 4096];
        for (encoding, encoded) in
            [(Encoding::Gzip, gzip(&plain)), (Encoding::Deflate, deflate(&plain))]
        {
            assert_eq!(encoding.decode(encoded.clone(), 4096).unwrap(), &plain[..]);
            let over = encoding.decode(encoded.clone(), 4095);
            assert_eq!(over, Err(BodyFault::TooLarge { limit: 4095 }));
            let cut = encoded.slice(..encoded.len() - 6);
            assert_eq!(encoding.decode(cut, 4096), Err(BodyFault::Garbled));
            assert_eq!(encoding.decode(Bytes::new(), 4096).unwrap(), "");
        }
        let wrong = Encoding::Gzip.decode(Bytes::from_static(b"{}"), 4096);
        assert_eq!(wrong, Err(BodyFault::Garbled));
    }

    #[test]
    fn encodings_nobody_here_reads_are_none() {
        for (value, expected) in [
            (None, Some(Encoding::Identity)),
            (Some("Identity"), Some(Encoding::Identity)),
            (Some("GZIP"), Some(Encoding::Gzip)),
            (Some("deflate"), Some(Encoding::Deflate)),
            (Some("br"), None),
            (Some("gzip, gzip"), None),
            (Some(""), None),
        ] {
            let headers: HeaderMap = value
                .map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)))
                .into_iter()
                .collect();
            assert_eq!(Encoding::find(Headers::from(&headers)), expected, "{value:?}");
        }
    }

    #[actix_web::test]
    async fn a_body_is_joined_and_bounded() {
        for (chunks, limit, expected) in [
            (&[][..], 4, Some("")),
            (&["abcd"], 4, Some("abcd")),
            (&["ab", "", "cd"], 4, Some("abcd")),
            (&["ab", "cde"], 4, None),
            (&["abcde"], 4, None),
        ] {
            let chunks: Vec<_> =
                chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
            let stream: actix_http::BoxedPayloadStream =
                Box::pin(futures_util::stream::iter(chunks));
            let mut payload = Payload::Stream { payload: stream };
            let surfaces = Surfaces { body_limit: limit, ..crate::http::fixture::surfaces() };
            match (
                read(Head::from(&RequestHead::default()), &mut payload, &surfaces).await,
                expected,
            ) {
                (Ok(body), Some(expected)) => assert_eq!(body, expected),
                (Err(BodyFault::TooLarge { limit: 4 }), None) => {}
                (other, _) => panic!("{other:?}"),
            }
        }
    }
}
