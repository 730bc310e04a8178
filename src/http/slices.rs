//! Large bodies, handed to the server slice by slice.
//!
//! actix copies what it sends into a buffer that its connection keeps: with the whole answer of
//! 1,000 flags that is 76 KiB for each connection there is, whether or not it asks again.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::{
    HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    web::Bytes,
};

/// How much of a body is copied at a time, in bytes, and at how much a connection's buffer is
/// written.
// A head fits in beside it before the buffer, which starts with 8 KiB and doubles, has 32; behind a
// slow reader it may double once more. Smaller slices would save less than they cost: each is a write.
pub(super) const SLICE_BYTES: usize = 16_000;

/// A body that is handed over in slices.
#[derive(Debug)]
struct Slices {
    rest: Bytes,
}

/// `response` with its body in slices, where that is larger than one.
pub(super) fn of(response: HttpResponse) -> HttpResponse {
    match response.body().size() {
        BodySize::Sized(size) if size > SLICE_BYTES as u64 => {}
        _ => return response,
    }
    response.map_body(|_, body| match body.try_into_bytes() {
        Ok(rest) => BoxBody::new(Slices { rest }),
        Err(body) => body,
    })
}

// === impl Slices ===

// Without `try_into_bytes`: `BoxBody` would take it for one piece again.
impl MessageBody for Slices {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.rest.len() as u64)
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        let rest = &mut self.get_mut().rest;
        let slice = rest.split_to(rest.len().min(SLICE_BYTES));
        Poll::Ready((!slice.is_empty()).then_some(Ok(slice)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[actix_rt::test]
    async fn a_large_body_comes_in_slices_and_whole() {
        let text: Vec<u8> = (0..=255).cycle().take(2 * SLICE_BYTES + 1).collect();
        let mut body = of(HttpResponse::Ok().body(text.clone())).into_body();
        assert_eq!(body.size(), BodySize::Sized(text.len() as u64));
        let mut slices = Vec::new();
        while let Some(slice) = poll_fn(|cx| Pin::new(&mut body).poll_next(cx)).await {
            slices.push(slice.unwrap());
        }
        let lengths: Vec<usize> = slices.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [SLICE_BYTES, SLICE_BYTES, 1]);
        assert_eq!(slices.concat(), text);
    }

    #[test]
    fn a_body_of_one_slice_stays_in_one_piece() {
        let response = of(HttpResponse::Ok().body(vec![7; SLICE_BYTES]));
        assert_eq!(response.into_body().try_into_bytes().unwrap().len(), SLICE_BYTES);
    }
}
