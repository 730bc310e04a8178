//! Heads of answers, as they go over the wire: the lines that actix-http would write, in any order.

use actix_web::{
    body::BodySize,
    dev::ResponseHead,
    http::{
        StatusCode,
        header::{
            CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, DATE, ETAG,
            HeaderMap, HeaderName, HeaderValue, ORIGIN,
        },
    },
};

use crate::http::{answer::Flags, cors::Cors, head::Headers, worker::Date};

/// The cross-origin lines of every answer.
#[derive(Debug)]
pub(super) struct CrossOrigin {
    /// For who comes from an origin that is listed.
    listed: Vec<(HeaderValue, Vec<u8>)>,
    /// For everybody else.
    others: Vec<u8>,
}

// === impl CrossOrigin ===

impl CrossOrigin {
    pub(super) fn new(cors: &Cors) -> Self {
        let lines = |origin: Option<&HeaderValue>| {
            let asked: HeaderMap =
                origin.map(|origin| (ORIGIN, origin.clone())).into_iter().collect();
            let (mut answer, mut lines) = (HeaderMap::new(), Vec::new());
            cors.apply(Headers::from(&asked), &mut answer);
            push_all(&mut lines, &answer);
            lines
        };
        let listed = cors.listed().iter().map(|origin| (origin.clone(), lines(Some(origin))));
        Self { listed: listed.collect(), others: lines(None) }
    }

    pub(super) fn lines(&self, request: Headers<'_>) -> &[u8] {
        if self.listed.is_empty() {
            return &self.others;
        }
        let asked = request.get(&ORIGIN);
        let listed = self.listed.iter().find(|(origin, _)| asked == Some(origin.as_bytes()));
        listed.map_or(&self.others, |(_, lines)| lines)
    }
}

/// Begins the head of an answer of `flags`, whose body, if it has one, has `length` bytes in
/// `coding`.
pub(super) fn push_flags(
    out: &mut Vec<u8>,
    flags: &Flags,
    (coding, length): (Option<&str>, usize),
) {
    if flags.are_held {
        out.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\n");
    } else {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        push_length(out, length as u64);
        push(out, &CONTENT_TYPE, flags.media().as_bytes());
        if let Some(coding) = coding {
            push(out, &CONTENT_ENCODING, coding.as_bytes());
        }
    }
    if let Some(value) = flags.cache_control() {
        push(out, &CACHE_CONTROL, value.as_bytes());
    }
    push(out, &ETAG, flags.tag.as_bytes());
}

/// Begins the head of any other answer, with a body of that size. Returns whether its status has one.
pub(super) fn push_head(out: &mut Vec<u8>, head: &ResponseHead, size: BodySize) -> bool {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(head.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.reason().as_bytes());
    out.extend_from_slice(b"\r\n");
    let has_body = !matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let (true, BodySize::Sized(length)) = (has_body, size) {
        push_length(out, length);
    }
    push_all(out, &head.headers);
    has_body
}

fn push_all(out: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        push(out, name, value.as_bytes());
    }
}

fn push_length(out: &mut Vec<u8>, length: u64) {
    push(out, &CONTENT_LENGTH, itoa::Buffer::new().format(length).as_bytes());
}

fn push(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Ends a head. `is_last`: the connection ends with the answer.
pub(super) fn push_end(out: &mut Vec<u8>, is_last: bool, date: &Date) {
    if is_last {
        push(out, &CONNECTION, b"close");
    }
    push(out, &DATE, date.as_bytes());
    out.extend_from_slice(b"\r\n");
}
