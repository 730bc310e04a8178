//! Answers that are too large to be handed to a connection in one piece.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use actix_web::rt::task::spawn_blocking;
use serde_json::Value;

use crate::{
    server::{FRONTEND, TestServer, features},
    service::{connect, read_whole},
};

const PATHS: [&str; 2] = ["/proxy", "/api/frontend"];
/// More than a few slices: what goes wrong between two of them shows.
const FLAGS: usize = 700;
/// What a slice may hold, and more than one does (`http/slices.rs`).
const SLICE_BYTES: usize = 16_000;

fn server() -> TestServer {
    let names: Vec<String> =
        (0..FLAGS).map(|n| format!("a-flag-with-a-long-name-{n:04}")).collect();
    let flags: Vec<_> = names.iter().map(|name| (name.as_str(), "userId", "7")).collect();
    TestServer::with_features(&features(&flags))
}

fn request(path: &str, user: u8) -> Vec<u8> {
    format!("GET {path}?userId={user} HTTP/1.1\r\nhost: t\r\nauthorization: {FRONTEND}\r\n\r\n")
        .into()
}

/// How many flags are on in an answer that must be whole.
fn flags_on(head: &str, body: &[u8]) -> usize {
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
    let body: Value = serde_json::from_slice(body).unwrap();
    body["toggles"].as_array().unwrap().len()
}

/// Asks on one connection, all before anything is read, and reads the answers.
async fn ask(address: SocketAddr, requests: Vec<Vec<u8>>) -> Vec<(String, Vec<u8>)> {
    let asked = spawn_blocking(move || {
        let mut connection = connect(address);
        connection.get_mut().write_all(&requests.concat()).unwrap();
        requests.iter().map(|_| read_whole(&mut connection).unwrap()).collect()
    });
    asked.await.unwrap()
}

#[actix_web::test]
async fn a_large_answer_is_whole_and_says_how_long_it_is() {
    let server = server();
    for path in PATHS {
        let answers = ask(server.address, vec![request(path, 7)]).await;
        let (head, body) = &answers[0];
        assert!(body.len() > 4 * SLICE_BYTES, "{path}: {} bytes", body.len());
        assert_eq!(flags_on(head, body), FLAGS + 1, "{path}");
    }
}

#[actix_web::test]
async fn answers_to_pipelined_requests_come_whole_and_in_order() {
    let server = server();
    let users = [7, 8, 7, 7, 8];
    for path in PATHS {
        let requests = users.map(|user| request(path, user)).to_vec();
        let answers = ask(server.address, requests).await;
        let on: Vec<usize> = answers.iter().map(|(head, body)| flags_on(head, body)).collect();
        let expected = users.map(|user| if user == 7 { FLAGS + 1 } else { 1 });
        assert_eq!(on, expected, "{path}");
        assert_eq!(answers[0].1, answers[3].1, "{path}");
    }
}

// On the Unleash Proxy's surface HEAD is evaluated with nothing, as in the original.
#[actix_web::test]
async fn head_is_told_the_length_of_a_large_answer_and_gets_none_of_it() {
    let server = server();
    let address = server.address;
    let asked = spawn_blocking(move || {
        let mut connection = connect(address);
        let get = request("/api/frontend", 7);
        let head = [b"HEAD", &get[3..]].concat();
        connection.get_mut().write_all(&[head, get].concat()).unwrap();
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(connection.read_line(&mut head).unwrap() > 0, "{head}");
        }
        // What follows is the next answer, and not this one's body.
        (head.to_ascii_lowercase(), read_whole(&mut connection).unwrap())
    });
    let (head, (whole, body)) = asked.await.unwrap();
    assert_eq!(flags_on(&whole, &body), FLAGS + 1);
    assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
}

/// Takes little at a time, and leaves the server waiting in between.
fn read_slowly(address: SocketAddr, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    socket2::SockRef::from(&stream).set_recv_buffer_size(4096).unwrap();
    stream.write_all(&request(path, 7)).unwrap();
    // The next answer stands behind the slow one on the same connection.
    stream.write_all(&request(path, 8)).unwrap();
    let mut taken = Vec::new();
    let mut chunk = [0; 2048];
    while !taken.ends_with(b"]}") || taken.windows(9).filter(|it| it == b"HTTP/1.1 ").count() < 2 {
        let read = stream.read(&mut chunk).unwrap();
        assert!(read > 0, "the connection ended after {} bytes", taken.len());
        taken.extend_from_slice(&chunk[..read]);
        thread::sleep(Duration::from_millis(1));
    }
    taken
}

#[actix_web::test]
async fn who_reads_slowly_gets_everything_all_the_same() {
    let server = server();
    for path in PATHS {
        let address = server.address;
        let expected = ask(address, vec![request(path, 7), request(path, 8)]).await;
        let taken = spawn_blocking(move || read_slowly(address, path)).await.unwrap();
        let mut taken = BufReader::new(&*taken);
        for (_, body) in &expected {
            let (head, slow) = read_whole(&mut taken).unwrap();
            flags_on(&head, &slow);
            assert_eq!(&slow, body, "{path}");
        }
    }
}

#[actix_web::test]
async fn a_large_answer_that_is_compressed_holds_the_same() {
    let server = server();
    for path in PATHS {
        let path = format!("{path}?userId=7");
        let plain = server.get(&path).token(FRONTEND).send_bytes().await;
        let ask = server.get(&path).token(FRONTEND).header("accept-encoding", "gzip");
        let packed = ask.send_bytes().await;
        assert_eq!(packed.header("content-encoding"), Some("gzip"), "{path}");
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&*packed.bytes).read_to_end(&mut unpacked).unwrap();
        assert!(plain.bytes.len() > 4 * SLICE_BYTES, "{path}");
        assert_eq!(unpacked, plain.bytes, "{path}");
    }
}
