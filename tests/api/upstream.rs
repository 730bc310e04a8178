//! An Unleash that answers what a test wants: well, badly, late, half, or not at all.
//!
//! Plain sockets, so that it can break what no HTTP library would let it break.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde_json::{Value, json};

/// The longest that a gate holds an answer.
const GATE_LIMIT: Duration = Duration::from_secs(20);

/// A running upstream. Stops, and breaks every connection, when dropped.
#[derive(Debug)]
pub struct ScriptedUpstream {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Their names as they were written.
    pub written: Vec<String>,
    pub body: Vec<u8>,
}

/// What to answer.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ending: Ending,
    gate: Option<Gate>,
}

/// Holds answers back until it is opened.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Whole,
    /// The connection closes this many bytes before the announced length.
    Short(usize),
    /// The connection closes within a chunked body.
    ChunksCut,
    /// The connection closes and nothing was said.
    Nothing,
}

type Rule = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

#[derive(Default)]
struct Shared {
    stopped: AtomicBool,
    rules: Mutex<HashMap<String, Rule>>,
    once: Mutex<HashMap<String, VecDeque<Answer>>>,
    requests: Mutex<Vec<Request>>,
    connections: Mutex<Vec<TcpStream>>,
}

// === impl ScriptedUpstream ===

impl ScriptedUpstream {
    /// Listens on a free port of 127.0.0.1. Every path answers 404 until it is told otherwise.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    /// Listens at `address`, one that [`ScriptedUpstream::reserve`] gave or that was stopped.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let thread = thread::spawn({
            let shared = Arc::clone(&shared);
            move || serve(&listener, &shared)
        });
        Self { address, shared, thread: Some(thread) }
    }

    /// An address where nobody listens yet.
    pub fn reserve() -> SocketAddr {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:…`, without a slash.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Answers `path` with `answer` from now on.
    pub fn answer(&self, path: &str, answer: Answer) {
        self.answer_with(path, move |_| answer.clone());
    }

    /// Answers `path` with what `rule` makes of the request from now on.
    pub fn answer_with(
        &self,
        path: &str,
        rule: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) {
        self.shared.rules.lock().unwrap().insert(path.to_owned(), Arc::new(rule));
    }

    /// Answers the next request for `path` with `answer`, before the standing one counts again.
    pub fn answer_once(&self, path: &str, answer: Answer) {
        self.shared.once.lock().unwrap().entry(path.to_owned()).or_default().push_back(answer);
    }

    /// Answers `/edge/validate`: good are the tokens in `known`, with type, environment, projects.
    pub fn knows_tokens(&self, known: &[(&str, &str, &str, &[&str])]) {
        let known: HashMap<String, Value> = known
            .iter()
            .map(|(token, kind, environment, projects)| {
                let entry = json!({
                    "token": token, "type": kind, "environment": environment, "projects": projects
                });
                ((*token).to_owned(), entry)
            })
            .collect();
        self.answer_with("/edge/validate", move |request| {
            let asked: Value = serde_json::from_slice(&request.body).unwrap();
            let asked = asked["tokens"].as_array().unwrap().clone();
            let good = asked.iter().filter_map(|token| known.get(token.as_str().unwrap()));
            Answer::json(&json!({ "tokens": good.collect::<Vec<_>>() }))
        });
    }

    /// Everything that was asked so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// What was asked of `path` so far, oldest first.
    pub fn requests_to(&self, path: &str) -> Vec<Request> {
        self.requests().into_iter().filter(|request| request.path == path).collect()
    }

    /// Stops to listen and breaks every connection.
    pub fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
        thread.join().unwrap();
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for ScriptedUpstream {
    fn drop(&mut self) {
        self.stop();
    }
}

// === impl Request ===

impl Request {
    /// The header's value; `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

// === impl Answer ===

impl Answer {
    pub fn status(status: u16) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self { status, headers, body, ending: Ending::Whole, gate: None }
    }

    /// 200 with `body` as JSON, whatever it is.
    pub fn text(body: impl Into<Vec<u8>>) -> Self {
        let answer = Self::status(200).header("content-type", "application/json");
        Self { body: body.into(), ..answer }
    }

    pub fn json(body: &Value) -> Self {
        Self::text(body.to_string())
    }

    /// A features payload: flags that are on for everyone, in the project `default`.
    pub fn flags(names: &[&str]) -> Self {
        Self::flags_of("default", names)
    }

    /// A features payload: flags of one project that are on for everyone.
    pub fn flags_of(project: &str, names: &[&str]) -> Self {
        let flag = |name: &&str| {
            json!({ "name": name, "enabled": true, "project": project,
            "strategies": [{ "name": "default" }] })
        };
        let features: Vec<Value> = names.iter().map(flag).collect();
        Self::json(&json!({ "version": 2, "features": features }))
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Ends `bytes` before the announced length.
    pub fn cut_by(self, bytes: usize) -> Self {
        Self { ending: Ending::Short(bytes), ..self }
    }

    /// Ends one byte before a chunked body does.
    pub fn cut_chunks(self) -> Self {
        Self { ending: Ending::ChunksCut, ..self }
    }

    /// Says nothing and hangs up.
    pub fn hang_up() -> Self {
        Self { ending: Ending::Nothing, ..Self::status(200) }
    }

    /// Waits for `gate`.
    pub fn behind(self, gate: &Gate) -> Self {
        Self { gate: Some(gate.clone()), ..self }
    }

    /// Returns whether the connection may be used again.
    fn send(&self, to: &mut TcpStream) -> io::Result<bool> {
        if let Some(gate) = &self.gate {
            gate.wait();
        }
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match self.ending {
            Ending::Nothing => return Ok(false),
            Ending::ChunksCut => {
                let size = format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n", self.body.len());
                head.push_str(&size);
                to.write_all(head.as_bytes())?;
                to.write_all(&self.body[..self.body.len() - 1])?;
                return Ok(false);
            }
            Ending::Whole | Ending::Short(_) => {}
        }
        if self.status != 304 {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        to.write_all(head.as_bytes())?;
        to.write_all(b"\r\n")?;
        let Ending::Short(by) = self.ending else {
            return to.write_all(&self.body).map(|()| true);
        };
        to.write_all(&self.body[..self.body.len() - by])?;
        Ok(false)
    }
}

// === impl Gate ===

impl Gate {
    pub fn closed() -> Self {
        Self::default()
    }

    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn wait(&self) {
        let (open, changed) = &*self.0;
        let open = open.lock().unwrap();
        drop(changed.wait_timeout_while(open, GATE_LIMIT, |open| !*open).unwrap());
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(connection) = connection else { continue };
        let Ok(kept) = connection.try_clone() else { continue };
        shared.connections.lock().unwrap().push(kept);
        let shared = Arc::clone(shared);
        // Ends with its connection, which `stop` breaks.
        thread::spawn(move || {
            let mut reader = BufReader::new(connection);
            while let Ok(Some(request)) = read_request(&mut reader) {
                match shared.answer(request).send(reader.get_mut()) {
                    Ok(true) => {}
                    Ok(false) | Err(_) => break,
                }
            }
            let _ = reader.get_mut().shutdown(Shutdown::Both);
        });
    }
}

impl Shared {
    fn answer(&self, request: Request) -> Answer {
        let once = self.once.lock().unwrap().get_mut(&request.path).and_then(VecDeque::pop_front);
        let rule = self.rules.lock().unwrap().get(&request.path).cloned();
        let answer = once.or_else(|| rule.map(|rule| rule(&request)));
        self.requests.lock().unwrap().push(request);
        answer.unwrap_or_else(|| Answer::status(404))
    }
}

/// `None`: the connection ended.
fn read_request(from: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    let (mut headers, mut written) = (Vec::new(), Vec::new());
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        written.push(name.to_owned());
    }
    let mut request = Request { method, path, query, headers, written, body: Vec::new() };
    let length = request.header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    request.body.resize(length, 0);
    from.read_exact(&mut request.body)?;
    Ok(Some(request))
}
