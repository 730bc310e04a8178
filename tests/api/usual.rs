//! The usual request, which the house reads by itself, beside the same request read by actix-http.
//!
//! A request that asks for the connection's end is actix-http's, with the same answer but for that.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use actix_web::rt::task::spawn_blocking;
use offleash::{config::Origins, http::Admit, token::Admission};

use crate::{
    server::{BACKEND, EMPTY, FRONTEND, TestServer, config, features},
    service::{PATIENCE, connect, read_whole},
};

/// An answer's head as lines in an order, without its date, and its body.
type Answer = (Vec<String>, Vec<u8>);

/// Reads one answer. `None` where the connection ended instead.
fn read(from: &mut BufReader<TcpStream>) -> Option<Answer> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if std::io::BufRead::read_line(from, &mut head).unwrap() == 0 {
            assert_eq!(head, "");
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    from.read_exact(&mut body).unwrap();
    assert_eq!(head.lines().filter(|line| line.starts_with("date: ")).count(), 1, "{head}");
    let (status, lines) = head.trim_end().split_once("\r\n").unwrap();
    let mut lines: Vec<String> =
        lines.lines().filter(|line| !line.starts_with("date: ")).map(str::to_owned).collect();
    lines.sort();
    lines.insert(0, status.to_owned());
    Some((lines, body))
}

/// The answers to `requests`, which are sent at once over one connection.
fn ask_all(address: SocketAddr, requests: &[u8]) -> Vec<Answer> {
    let mut connection = connect(address);
    connection.get_mut().write_all(requests).unwrap();
    connection.get_mut().shutdown(Shutdown::Write).unwrap();
    std::iter::from_fn(|| read(&mut connection)).collect()
}

fn request(first: &str, lines: &[&str], body: &str) -> String {
    let mut text = format!("{first} HTTP/1.1\r\nhost: t\r\n");
    for line in lines {
        text.push_str(line);
        text.push_str("\r\n");
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    format!("{text}\r\n{body}")
}

/// Flags enough for an answer that is compressed.
fn many_flags() -> serde_json::Value {
    let names: Vec<String> = (0..60).map(|number| format!("flag-number-{number}")).collect();
    let flags: Vec<_> = names.iter().map(|name| (name.as_str(), "userId", "7")).collect();
    features(&flags)
}

fn requests() -> Vec<String> {
    let token = format!("authorization: {FRONTEND}");
    let token = token.as_str();
    let json = "content-type: application/json";
    let context = r#"{"context":{"userId":"7","sessionId":"s"}}"#;
    let metrics = r#"{"appName":"a","instanceId":"i","bucket":{"start":"2026-01-01T00:00:00Z","stop":"2026-01-01T00:01:00Z","toggles":{"on":{"yes":1,"no":2,"variants":{}}}}}"#;
    let mut requests = vec![request("GET /nowhere", &[], ""), request("GET /", &[token], "")];
    for path in ["/proxy", "/proxy/all", "/api/frontend", "/api/frontend/all", "/api/proxy"] {
        let get = format!("GET {path}?userId=7&sessionId=s&properties[a]=b");
        for lines in [
            &[token][..],
            &[token, "Accept-Encoding: gzip, deflate, br, zstd"],
            &[token, "Accept-Encoding: gzip"],
            &[token, "Accept-Encoding: br;q=0.5, deflate"],
            &[token, "Accept-Encoding: identity"],
            &[token, "If-None-Match: *"],
            &[token, "If-None-Match: *", "Cache-Control: no-cache"],
            &[token, "Origin: https://a.example"],
            &[token, "Origin: https://b.example", "accept-encoding: zstd"],
            &[token, "X-Forwarded-For: 10.0.0.1", "Connection: keep-alive"],
            &["authorization: nobody's"],
            &["authorization: *:development.unknown"],
            &[],
        ] {
            requests.push(request(&get, lines, ""));
        }
        requests.push(request(&format!("GET {path}?properties=7"), &[token], ""));
        requests.push(request(&format!("GET {path}?userId=a&userId=b"), &[token], ""));
        let empty = format!("authorization: {EMPTY}");
        requests.push(request(&get, &[&empty], ""));
        let post = format!("POST {path}");
        requests.push(request(&post, &[token, json], context));
        requests.push(request(&post, &[token, json, "If-None-Match: *"], context));
        requests.push(request(&post, &[token, json, "accept-encoding: gzip"], context));
        requests.push(request(&post, &[token, json], r#"{"context":"#));
        requests.push(request(&post, &[token, "content-type: text/plain"], context));
        requests.push(request(&post, &[token, json, "content-encoding: gzip"], context));
        requests.push(request(&post, &[token, json], ""));
        requests.push(request(&format!("{post}/client/metrics"), &[token, json], metrics));
        requests.push(request(&format!("{post}/client/metrics"), &[token, json], "{}"));
        requests.push(request(&format!("{post}/client/register"), &[token, json], "{}"));
        requests.push(request(&format!("OPTIONS {path}"), &["Origin: https://a.example"], ""));
    }
    let named = r#"{"context":{"userId":"7","sessionId":"s"},"toggles":["on","off","none"]}"#;
    requests.push(request("POST /proxy", &[token, json], named));
    let preflight = [
        "Origin: https://b.example",
        "Access-Control-Request-Method: GET",
        "Access-Control-Request-Headers: authorization,x-other",
    ];
    requests.push(request("OPTIONS /anything?at=all", &preflight, ""));
    for path in ["/proxy/health", "/internal-backstage/health", "/internal-backstage/ready"] {
        requests.push(request(&format!("GET {path}"), &[], ""));
        requests.push(request(&format!("POST {path}"), &[], "{}"));
    }
    let backend = format!("authorization: {BACKEND}");
    requests.push(request("GET /proxy/client/features", &[&backend], ""));
    requests.push(request("GET /docs/openapi.json", &[], ""));
    requests
}

#[actix_web::test]
async fn the_usual_request_is_answered_as_actix_http_would_send_it() {
    let listed = vec!["https://a.example".to_owned(), "https://c.example".to_owned()];
    for origin in [Origins::Any, Origins::Listed(listed)] {
        let mut config = config();
        config.surfaces.cors.origin = origin;
        config.surfaces.cors.credentials = true;
        config.surfaces.proxy.docs = true;
        let mut server = TestServer::start(config, None);
        server.publish(&many_flags());
        let address = server.address;
        let compared = spawn_blocking(move || {
            for request in requests() {
                let mut ours = ask_all(address, request.as_bytes());
                let ending = request.replacen("host: t\r\n", "host: t\r\nconnection: close\r\n", 1);
                let ending = match request.contains("Connection: keep-alive") {
                    true => ending.replacen("Connection: keep-alive\r\n", "", 1),
                    false => ending,
                };
                let mut theirs = ask_all(address, ending.as_bytes());
                for (lines, _) in ours.iter_mut().chain(&mut theirs) {
                    lines.retain(|line| line != "connection: close");
                }
                assert_eq!(ours.len(), 1, "{request}");
                assert_eq!(ours, theirs, "{request}");
            }
            requests().len()
        });
        let count = compared.await.unwrap();
        // Each was answered both ways: those that end the connection were the unusual ones.
        assert_eq!(unusual(&server).await, count);
    }
}

/// How many connections were handed over to actix-http.
async fn unusual(server: &TestServer) -> usize {
    let page = server.get("/internal-backstage/metrics").send().await.body;
    let line =
        page.lines().find_map(|line| line.strip_prefix("offleash_http_connections_unusual_total "));
    line.unwrap().parse().unwrap()
}

#[actix_web::test]
async fn requests_are_answered_in_turn_wherever_they_are_cut() {
    let server = TestServer::with_features(&many_flags());
    let address = server.address;
    let done = spawn_blocking(move || {
        let token = format!("authorization: {FRONTEND}");
        let json = "content-type: application/json";
        let context = r#"{"context":{"userId":"7","sessionId":"s"}}"#;
        let chunked = "transfer-encoding: chunked";
        let get = request("GET /api/frontend?userId=7&sessionId=s", &[&token], "");
        let health = request("GET /internal-backstage/health", &[], "");
        let post = request("POST /api/frontend", &[&token, json], context);
        // From here on everything is actix-http's, which closes the connection where the body of the
        // next request is not there yet.
        let odd = request("POST /proxy", &[&token, json, chunked], "")
            + &format!("{:x}\r\n{context}\r\n0\r\n\r\n", context.len());
        let all = [&*get, &post, &health, &post, &get, &odd, &get, &health].concat();
        let whole = ask_all(address, all.as_bytes());
        let statuses: Vec<&str> = whole.iter().map(|(lines, _)| lines[0].as_str()).collect();
        assert_eq!(statuses, ["HTTP/1.1 200 OK"; 8]);
        assert_eq!((&whole[0], &whole[0], &whole[2]), (&whole[4], &whole[6], &whole[7]));
        let cuts: Vec<usize> = (1..all.len()).step_by(7).collect();
        thread::scope(|scope| {
            for part in cuts.chunks(cuts.len().div_ceil(8)) {
                let (all, whole) = (&all, &whole);
                scope.spawn(move || {
                    for cut in part {
                        let mut connection = connect(address);
                        let (before, behind) = all.as_bytes().split_at(*cut);
                        connection.get_mut().write_all(before).unwrap();
                        // Now and then it is longer than the house waits for the rest by itself.
                        let late = cut % 5 == 0;
                        thread::sleep(Duration::from_millis(if late { 600 } else { 5 }));
                        connection.get_mut().write_all(behind).unwrap();
                        connection.get_mut().shutdown(Shutdown::Write).unwrap();
                        let cut_up: Vec<_> = std::iter::from_fn(|| read(&mut connection)).collect();
                        assert!(cut_up == *whole, "cut at {cut}: {} answers", cut_up.len());
                    }
                });
            }
        });
    });
    done.await.unwrap();
}

#[actix_web::test]
async fn who_reads_late_gets_everything_in_turn() {
    const REQUESTS: usize = 3_000;
    let server = TestServer::with_features(&many_flags());
    let address = server.address;
    let done = spawn_blocking(move || {
        let mut connection = connect(address);
        let mut writer = connection.get_ref().try_clone().unwrap();
        // More than sockets hold: whoever reads nothing is answered nothing more at some time.
        let sender = thread::spawn(move || {
            for number in 0..REQUESTS {
                let path = match number % 3 {
                    0 => "GET /internal-backstage/health".to_owned(),
                    _ => format!("GET /api/frontend/all?userId={}", number % 10),
                };
                let asked = request(&path, &[&format!("authorization: {FRONTEND}")], "");
                writer.write_all(asked.as_bytes()).unwrap();
            }
        });
        thread::sleep(Duration::from_millis(500));
        let mut sizes = std::collections::BTreeMap::new();
        for number in 0..REQUESTS {
            let (head, body) = read_whole(&mut connection).expect("an answer");
            assert!(head.starts_with("http/1.1 200 "), "{number}: {head}");
            let of = (number % 3 == 0, number % 10 == 7);
            assert_eq!(*sizes.entry(of).or_insert(body.len()), body.len(), "{number}");
        }
        sender.join().unwrap();
        assert_eq!(sizes.len(), 3 + 1);
    });
    done.await.unwrap();
    assert_eq!(unusual(&server).await, 0);
}

#[actix_web::test]
async fn a_body_over_the_limit_is_refused_though_it_is_here() {
    let mut config = config();
    config.surfaces.body_limit = 40;
    let mut server = TestServer::start(config, None);
    server.publish(&features(&[]));
    let address = server.address;
    let done = spawn_blocking(move || {
        let lines = [&format!("authorization: {FRONTEND}"), "content-type: application/json"];
        let body = |length: usize| format!("{}{{}}", " ".repeat(length - 2));
        for (length, status) in [(40, "200 OK"), (41, "413 Payload Too Large")] {
            let answers =
                ask_all(address, request("POST /proxy", &lines, &body(length)).as_bytes());
            assert_eq!(answers[0].0[0], format!("HTTP/1.1 {status}"), "{length}");
        }
    });
    done.await.unwrap();
}

#[actix_web::test]
async fn a_connection_that_says_nothing_is_closed_in_time_and_without_a_word() {
    let mut config = config();
    config.server.head_within = Duration::from_millis(300);
    let server = TestServer::start(config, None);
    let address = server.address;
    let waited = spawn_blocking(move || {
        let began = Instant::now();
        let mut silent = connect(address);
        assert_eq!(silent.read(&mut [0; 1]).unwrap(), 0);
        began.elapsed()
    });
    let waited = waited.await.unwrap();
    assert!((Duration::from_millis(200)..PATIENCE / 2).contains(&waited), "{waited:?}");
}

#[actix_web::test]
async fn a_connection_goes_on_after_a_token_that_upstream_was_asked_about() {
    let admit = Admit::new(|_| Box::pin(async { Admission::Invalid }));
    let mut server = TestServer::start(config(), Some(admit));
    server.publish(&features(&[]));
    let address = server.address;
    let done = spawn_blocking(move || {
        let ask = |token: &str| {
            request(
                "GET /api/frontend?userId=7&sessionId=s",
                &[&format!("authorization: {token}")],
                "",
            )
        };
        let all = [ask(FRONTEND), ask("*:development.unknown"), ask(FRONTEND)].concat();
        let answers = ask_all(address, all.as_bytes());
        let statuses: Vec<&str> = answers.iter().map(|(lines, _)| lines[0].as_str()).collect();
        assert_eq!(statuses, ["HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden", "HTTP/1.1 200 OK"]);
        assert_eq!(answers[0], answers[2]);
    });
    done.await.unwrap();
}
