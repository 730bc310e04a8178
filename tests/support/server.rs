//! The binary itself, serving a file on loopback, and just enough HTTP to ask it.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// The client key that the server knows.
pub(crate) const KEY: &str = "suite-frontend-key";
/// Whom the server takes for the client where a context names no address: every surface fills in
/// the peer's, and the suite's flags list loopback but no address reserved for documentation.
const CLIENT: &str = "192.0.2.1";
const START_WITHIN: Duration = Duration::from_secs(20);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How often a start is tried when somebody else took the port meanwhile.
const STARTS: usize = 3;

/// A running `offleash offline`, stopped when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    process: Child,
    address: SocketAddr,
    file: PathBuf,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

// === impl Server ===

impl Server {
    /// Serves `payload` and returns once an evaluation works.
    ///
    /// # Panics
    ///
    /// Panics when the server does not answer in time.
    pub(crate) fn start(name: &str, payload: &Value) -> Self {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("suite-{name}"));
        fs::write(&file, serde_json::to_vec(payload).unwrap()).unwrap();
        for _ in 0..STARTS {
            let mut server = Self::spawn(file.clone());
            if server.is_ready() {
                return server;
            }
        }
        panic!("`offleash offline` did not answer within {START_WITHIN:?}");
    }

    fn spawn(file: PathBuf) -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let process = Command::new(env!("CARGO_BIN_EXE_offleash"))
            .arg("offline")
            .args(["--interface", "127.0.0.1", "--port", &address.port().to_string()])
            .arg("--trust-proxy")
            .args(["--client-tokens", "suite-client-key", "--frontend-tokens", KEY])
            .arg("--bootstrap-file")
            .arg(&file)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self { process, address, file }
    }

    fn is_ready(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < START_WITHIN && self.process.try_wait().unwrap().is_none() {
            match self.try_post("/proxy", &Value::Object(Default::default())) {
                Ok(response) if response.status == 200 => return true,
                _ => thread::sleep(Duration::from_millis(10)),
            }
        }
        false
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Response {
        self.try_post(path, body).unwrap()
    }

    fn try_post(&self, path: &str, body: &Value) -> std::io::Result<Response> {
        let body = serde_json::to_vec(body)?;
        let mut stream = TcpStream::connect_timeout(&self.address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: {KEY}\r\nx-forwarded-for: \
             {CLIENT}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(Response::parse(&answer).unwrap_or(Response { status: 0, body: answer }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both only fail when the process has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_file(&self.file);
    }
}

// === impl Response ===

impl Response {
    fn parse(answer: &[u8]) -> Option<Self> {
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
        let status = head.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?;
        let body = &answer[end + 4..];
        let is_chunked = head.contains("\r\ntransfer-encoding: chunked");
        Some(Self { status, body: if is_chunked { unchunk(body)? } else { body.to_vec() } })
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|err| panic!("{}: {err}: {:?}", self.status, self.body))
    }
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).ok()?, 16).ok()?;
        rest = rest.get(end + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
    }
}
