use std::io::Read as _;

use actix_web::{dev::RequestHead, http::header::HeaderMap};

use super::*;

fn accepted(lines: &[&str]) -> Option<Coding> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
    }
    Weights::read((&headers).into()).best()
}

fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match coding {
        Coding::Zstd => plain = zstd::decode_all(bytes).unwrap(),
        Coding::Gzip => {
            flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        }
        Coding::Deflate => {
            flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut plain).unwrap();
        }
        Coding::Brotli => {
            brotli::Decompressor::new(bytes, 4096).read_to_end(&mut plain).unwrap();
        }
    }
    plain
}

/// A body of JSON's sort, or of no sort at all.
fn some_bytes(length: usize, is_text: bool) -> Vec<u8> {
    let mut state = length as u64 | 1;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as u8
    };
    let words: [&[u8]; 4] = [b"{\"name\":\"", b"enabled\":true,", b"variant", b"-flag-7\"},"];
    let mut bytes = Vec::with_capacity(length + 16);
    while bytes.len() < length {
        match is_text {
            true => bytes.extend_from_slice(words[usize::from(random()) % 4]),
            false => bytes.push(random()),
        }
    }
    bytes.truncate(length);
    bytes
}

fn asking(method: Method, accept: &'static str) -> RequestHead {
    let mut request = RequestHead::default();
    request.method = method;
    request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accept));
    request
}

fn response(media: &'static str, body: Vec<u8>) -> HttpResponse {
    HttpResponse::Ok().insert_header((CONTENT_TYPE, media)).body(body)
}

#[test]
fn the_caller_s_favourite_is_taken_and_the_cheapest_of_equals() {
    for (lines, expected) in [
        (&[][..], None),
        (&[""], None),
        (&["identity"], None),
        (&["gzip"], Some(Coding::Gzip)),
        (&["GZIP"], Some(Coding::Gzip)),
        (&["gzip, deflate, br, zstd"], Some(Coding::Zstd)),
        (&["gzip, deflate, br"], Some(Coding::Gzip)),
        (&["deflate, br"], Some(Coding::Brotli)),
        (&["deflate"], Some(Coding::Deflate)),
        (&["deflate", "br;q=0.9"], Some(Coding::Deflate)),
        (&["zstd;q=0.1, br;q=0.2"], Some(Coding::Brotli)),
        (&["zstd;q=0, gzip"], Some(Coding::Gzip)),
        (&["gzip;q=0"], None),
        (&["gzip;q=nonsense"], None),
        (&["gzip ; q = 0.5 , identity;q=1"], None),
        (&["gzip;q=0.5, identity;q=0.5"], Some(Coding::Gzip)),
        (&["*"], Some(Coding::Zstd)),
        (&["*, zstd;q=0"], Some(Coding::Gzip)),
        (&["*;q=0"], None),
        (&["gzip;level=9"], Some(Coding::Gzip)),
        (&["compress, x-other"], None),
    ] {
        assert_eq!(accepted(lines), expected, "{lines:?}");
    }
}

#[test]
fn every_encoder_gives_back_what_it_got_again_and_again() {
    let mut encoders = Encoders::default();
    for length in [0, 1, SHORTEST, 20_000, 300_000, 5_000] {
        for is_text in [true, false] {
            let plain = some_bytes(length, is_text);
            for coding in Coding::ALL {
                let encoded = encoders.encode(coding, &plain).unwrap();
                assert!(decoded(coding, &encoded) == plain, "{coding:?}, {length}, {is_text}");
                if is_text && length > SHORTEST {
                    assert!(
                        encoded.len() < length / 4,
                        "{coding:?}: {} of {length}",
                        encoded.len()
                    );
                }
            }
        }
    }
}

#[actix_web::test]
async fn only_what_gains_is_compressed() {
    let compressor = Compressor::default();
    let asking = |method| asking(method, "gzip");
    let long = || some_bytes(SHORTEST, true);
    let json = "application/json; charset=utf-8";
    for (method, answer, expected) in [
        (Method::GET, response(json, long()), true),
        (Method::POST, response("text/html", long()), true),
        (Method::HEAD, response(json, long()), false),
        (Method::GET, response(json, some_bytes(SHORTEST - 1, true)), false),
        (Method::GET, response("image/png", long()), false),
        (Method::GET, HttpResponse::NotModified().finish(), false),
    ] {
        let answer = compressor.apply(Head::from(&asking(method.clone())), answer);
        let encoding = answer.headers().get(CONTENT_ENCODING).cloned();
        assert_eq!(encoding.is_some(), expected, "{method} {:?}", answer.headers());
        let body = answer.into_body().try_into_bytes().unwrap();
        if expected {
            assert_eq!(decoded(Coding::Gzip, &body), long());
        }
    }
    let mut twice = response(json, long());
    twice.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
    let answer = compressor.apply(Head::from(&asking(Method::GET)), twice);
    assert_eq!(answer.into_body().try_into_bytes().unwrap(), long());
}

#[test]
fn gzip_is_sent_to_whoever_reads_it() {
    for (value, expected) in [
        (Some("gzip, deflate, br"), true),
        (Some("br;q=1.0, GZIP;q=0.5"), true),
        (Some("*"), true),
        (Some("gzip;q=0"), false),
        (Some("gzip; q=0.0"), false),
        (Some("br"), false),
        (Some(""), false),
        (None, false),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        assert_eq!(takes_gzip((&headers).into()), expected, "{value:?}");
    }
}

#[test]
fn a_body_that_many_ask_for_is_compressed_once_in_each_coding() {
    let (compressor, encodings) = (Compressor::default(), Encodings::default());
    let plain = some_bytes(20_000, true);
    let ask = |accept: &'static str| {
        let request = asking(Method::GET, accept);
        let response = response("application/json", plain.clone());
        let response = compressor.apply_once(Head::from(&request), response, &encodings);
        response.into_body().try_into_bytes().unwrap()
    };
    for coding in Coding::ALL {
        let [one, other] = [ask(coding.name()), ask(coding.name())];
        assert_eq!(one.as_ptr(), other.as_ptr(), "{coding:?}");
        assert_eq!(decoded(coding, &one), plain, "{coding:?}");
    }
    assert_eq!(ask("identity"), plain);
}
