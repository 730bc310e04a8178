//! What actix-web can do at most: one answer, the same for every request.
//!
//! `ceiling <port> <answer>`: listens on 127.0.0.1 with one worker. The file `answer` holds what
//! Offleash answered: a line with the status, a line for each header, an empty line, the body.
//! Built by the same toolchain with the same dependencies, allocator and server settings, so that
//! what lies between the two is Offleash's own work.

use std::{env, error::Error, fs, io, str::FromStr, time::Duration};

use actix_web::{
    App, HttpResponse, HttpServer,
    body::BoxBody,
    dev::{ServiceRequest, ServiceResponse, fn_service},
    http::{
        StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    web::Bytes,
};
use futures_util::StreamExt as _;
use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

const USAGE: &str = "usage: ceiling <port> <answer>";
/// As Offleash sets them (`src/http.rs` and its default).
const HEAD_WITHIN: Duration = Duration::from_secs(15);
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// What every request is answered with.
#[derive(Clone, Debug)]
struct Constant {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (Some(port), Some(path)) = (env::args().nth(1), env::args().nth(2)) else {
        return Err(USAGE.into());
    };
    let constant = Constant::parse(&fs::read(path)?)?;
    actix_rt::System::new().block_on(serve(port.parse()?, constant))?;
    Ok(())
}

async fn serve(port: u16, constant: Constant) -> io::Result<()> {
    HttpServer::new(move || {
        let constant = constant.clone();
        App::new().default_service(fn_service(move |request: ServiceRequest| {
            let response = constant.answer();
            async move {
                let (request, mut payload) = request.into_parts();
                // A body has to be read by whoever answers it.
                while let Some(chunk) = payload.next().await {
                    chunk?;
                }
                Ok::<_, actix_web::Error>(ServiceResponse::new(request, response))
            }
        }))
    })
    .workers(1)
    .keep_alive(KEEP_ALIVE)
    .client_request_timeout(HEAD_WITHIN)
    .tcp_nodelay(true)
    .bind(("127.0.0.1", port))?
    .run()
    .await
}

// === impl Constant ===

impl Constant {
    fn parse(file: &[u8]) -> Result<Self, Box<dyn Error>> {
        let end = memchr::memmem::find(file, b"\n\n").ok_or("no empty line ends the headers")?;
        let (head, body) = file.split_at(end);
        let mut lines = std::str::from_utf8(head)?.lines();
        let status = StatusCode::from_str(lines.next().unwrap_or_default())?;
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").ok_or("a header is `name: value`")?;
            Ok((HeaderName::from_str(name)?, HeaderValue::from_str(value)?))
        });
        let headers = headers.collect::<Result<_, Box<dyn Error>>>()?;
        let body = Bytes::copy_from_slice(body.get(2..).unwrap_or_default());
        Ok(Self { status, headers, body })
    }

    fn answer(&self) -> HttpResponse {
        // No body at all is told apart from an empty one: neither 204 nor 304 has a length.
        let mut response = if self.body.is_empty() {
            HttpResponse::new(self.status)
        } else {
            HttpResponse::with_body(self.status, BoxBody::new(self.body.clone()))
        };
        let headers: &mut HeaderMap = response.headers_mut();
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn an_answer_is_repeated_as_the_file_spells_it() {
        let file = b"200\ncontent-type: application/json\netag: \"a: b\"\n\n{\n\n}";
        let response = Constant::parse(file).unwrap().answer();
        assert_eq!(response.status(), 200);
        let header = |name| response.headers().get(name).map(|value| value.to_str().unwrap());
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("etag"), Some("\"a: b\""));
        let body = actix_web::body::to_bytes(response.into_body()).await.unwrap();
        assert_eq!(body, "{\n\n}");
    }

    #[test]
    fn an_answer_without_an_end_of_headers_is_refused() {
        assert!(Constant::parse(b"200\ncontent-type: text/plain").is_err());
    }
}
