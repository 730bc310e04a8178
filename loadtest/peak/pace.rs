//! Requests at a fixed pace, whether or not the last ones were answered.
//!
//! An open model: each request has a moment at which it is due, and its latency counts from then,
//! so that a server that stalls is charged for everyone who would have come meanwhile. One thread
//! that never sleeps, with sockets that never block: a timer's tick or a scheduler's wake-up is a
//! millisecond, which is what is to be measured. It needs a core of its own.
//!
//! Prints one line of JSON, latencies in microseconds. `late` is this program's own part: how long
//! after it was due a request was sent although a connection was free. `gap` is the longest between
//! two looks at all connections: far more than the millisecond that this takes at most, and its core
//! was taken, or the machine stood still.

use std::{
    collections::VecDeque,
    error::Error,
    fs, hint,
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Parser;
use memchr::memmem;
use serde_json::json;

/// How long the last answers may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Not measured: connections and caches warm up.
const WARM_UP: Duration = Duration::from_secs(1);
const CHUNK_BYTES: usize = 256 * 1024;

#[derive(Debug, Parser)]
struct Args {
    /// Host and port.
    #[arg(long)]
    to: String,
    /// Whole requests, a zero byte between two, sent in turn.
    #[arg(long)]
    requests: PathBuf,
    /// Requests a second.
    #[arg(long)]
    rate: f64,
    /// Measured for so long, after a second to warm up.
    #[arg(long)]
    seconds: f64,
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

/// A connection, and what is under way on it.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    /// When the request under way was due; `None` while the connection is free.
    due: Option<Instant>,
    received: Vec<u8>,
    /// Of the answer under way, head and body; known once its head is read.
    whole_bytes: Option<usize>,
}

#[derive(Debug, Default)]
struct Tally {
    latencies: Vec<u64>,
    late: Vec<u64>,
    answered: u64,
    refused: u64,
    /// The longest between two looks at all connections.
    gap: Duration,
}

/// What is sent when.
#[derive(Debug)]
struct Plan {
    requests: Vec<Vec<u8>>,
    rate: f64,
    began: Instant,
    measured_from: Instant,
    ends: Instant,
}

/// All connections, and how far the plan is carried out.
#[derive(Debug)]
struct Pace {
    plan: Plan,
    connections: Vec<Connection>,
    free: Vec<usize>,
    /// In the order in which they are looked at.
    busy: VecDeque<usize>,
    sent: usize,
    /// When the next request is due.
    due: Instant,
    /// When all connections were last seen busy: that what was due until then is late is the
    /// server's doing.
    starved_at: Instant,
    chunk: Vec<u8>,
    tally: Tally,
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    let requests = read_requests(&args.requests)?;
    let connections = (0..args.connections)
        .map(|_| Connection::open(&args.to))
        .collect::<io::Result<Vec<_>>>()?;
    let began = Instant::now();
    let measured_from = began + WARM_UP;
    let ends = measured_from + Duration::from_secs_f64(args.seconds);
    let plan = Plan { requests, rate: args.rate, began, measured_from, ends };
    let mut tally = Pace::new(plan, connections).keep()?;
    println!("{}", tally.summary(&args));
    Ok(())
}

fn read_requests(path: &Path) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let text = fs::read(path)?;
    let whole = text.split(|&byte| byte == 0).filter(|request| !request.is_empty());
    let requests: Vec<_> = whole.map(<[u8]>::to_vec).collect();
    if requests.is_empty() { Err("no requests in the file".into()) } else { Ok(requests) }
}

// === impl Plan ===

impl Plan {
    /// When the request number `n` is due.
    fn due(&self, n: usize) -> Instant {
        self.began + Duration::from_secs_f64(n as f64 / self.rate)
    }

    fn request(&self, n: usize) -> &[u8] {
        self.requests.get(n % self.requests.len()).map_or(&[], Vec::as_slice)
    }
}

// === impl Pace ===

impl Pace {
    fn new(plan: Plan, connections: Vec<Connection>) -> Self {
        Self {
            free: (0..connections.len()).collect(),
            busy: VecDeque::with_capacity(connections.len()),
            sent: 0,
            due: plan.began,
            starved_at: plan.began,
            chunk: vec![0; CHUNK_BYTES],
            tally: Tally::default(),
            plan,
            connections,
        }
    }

    /// Sends all requests and takes their answers.
    fn keep(mut self) -> Result<Tally, Box<dyn Error>> {
        let mut last_turn = self.plan.measured_from;
        loop {
            self.send_due()?;
            self.receive()?;
            let now = Instant::now();
            self.tally.gap = self.tally.gap.max(now.saturating_duration_since(last_turn));
            last_turn = now.max(last_turn);
            if self.due >= self.plan.ends && self.busy.is_empty() {
                return Ok(self.tally);
            }
            if now > self.plan.ends + PATIENCE {
                return Err(format!("{} answers are missing", self.busy.len()).into());
            }
            hint::spin_loop();
        }
    }

    /// Sends what is due, as far as connections are free.
    fn send_due(&mut self) -> Result<(), Box<dyn Error>> {
        while self.due < self.plan.ends && self.due <= Instant::now() {
            let Some(at) = self.free.pop() else {
                self.starved_at = Instant::now();
                return Ok(());
            };
            let connection = self.connections.get_mut(at).ok_or("a connection is lost")?;
            if self.due >= self.plan.measured_from && self.due > self.starved_at {
                self.tally.late.push(micros(self.due.elapsed()));
            }
            connection.send(self.plan.request(self.sent), self.due)?;
            self.busy.push_back(at);
            self.sent += 1;
            self.due = self.plan.due(self.sent);
        }
        Ok(())
    }

    /// Looks once at each busy connection.
    fn receive(&mut self) -> Result<(), Box<dyn Error>> {
        for _ in 0..self.busy.len() {
            let Some(at) = self.busy.pop_front() else { break };
            let connection = self.connections.get_mut(at).ok_or("a connection is lost")?;
            let Some((due, status)) = connection.receive(&mut self.chunk)? else {
                self.busy.push_back(at);
                continue;
            };
            if due >= self.plan.measured_from {
                self.tally.count(due.elapsed(), status);
            }
            self.free.push(at);
        }
        Ok(())
    }
}

// === impl Connection ===

impl Connection {
    fn open(to: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(to)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self { stream, due: None, received: Vec::new(), whole_bytes: None })
    }

    fn send(&mut self, request: &[u8], due: Instant) -> io::Result<()> {
        // A request is far smaller than an empty socket's buffer: it is taken as a whole.
        self.stream.write_all(request)?;
        self.due = Some(due);
        Ok(())
    }

    /// When the request was due and how it was answered; `None` while the answer is not complete.
    fn receive(&mut self, chunk: &mut [u8]) -> Result<Option<(Instant, u16)>, Box<dyn Error>> {
        match self.stream.read(chunk) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(bytes) => self.received.extend_from_slice(chunk.get(..bytes).unwrap_or_default()),
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(err) => return Err(err.into()),
        }
        if self.whole_bytes.is_none() {
            self.whole_bytes = whole_bytes(&self.received)?;
        }
        if self.whole_bytes.is_none_or(|bytes| self.received.len() < bytes) {
            return Ok(None);
        }
        let status = status(&self.received).ok_or("an answer has no status")?;
        self.received.clear();
        self.whole_bytes = None;
        Ok(self.due.take().map(|due| (due, status)))
    }
}

/// Bytes of the answer whose start was `received`; `None` while its head is not complete.
fn whole_bytes(received: &[u8]) -> Result<Option<usize>, Box<dyn Error>> {
    let Some(head_bytes) = memmem::find(received, b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(received.get(..head_bytes).unwrap_or_default())?;
    let is_empty = matches!(status(received), Some(204 | 304));
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    match length {
        _ if is_empty => Ok(Some(head_bytes + 4)),
        Some(length) => Ok(Some(head_bytes + 4 + length?)),
        None => Err("an answer without a length cannot be read here".into()),
    }
}

fn status(received: &[u8]) -> Option<u16> {
    std::str::from_utf8(received.get("HTTP/1.1 ".len()..)?.get(..3)?).ok()?.parse().ok()
}

// === impl Tally ===

impl Tally {
    fn count(&mut self, latency: Duration, status: u16) {
        self.latencies.push(micros(latency));
        self.answered += 1;
        self.refused += u64::from(!(200..400).contains(&status));
    }

    fn summary(&mut self, args: &Args) -> serde_json::Value {
        self.latencies.sort_unstable();
        self.late.sort_unstable();
        json!({
            "rate": args.rate, "seconds": args.seconds, "connections": args.connections,
            "answered": self.answered, "refused": self.refused,
            "perSecond": self.answered as f64 / args.seconds,
            "p50": at(&self.latencies, 0.5), "p90": at(&self.latencies, 0.9),
            "p99": at(&self.latencies, 0.99), "p999": at(&self.latencies, 0.999),
            "max": self.latencies.last(), "late99": at(&self.late, 0.99),
            "gap": micros(self.gap),
        })
    }
}

/// The smallest of the sorted numbers that a share of them does not exceed.
fn at(sorted: &[u64], share: f64) -> Option<u64> {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros().try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_and_what_that_says() {
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(whole_bytes(answer).unwrap(), Some(answer.len()));
        assert_eq!(whole_bytes(&answer[..30]).unwrap(), None);
    }

    #[test]
    fn a_304_has_no_body_whatever_its_length() {
        let answer = b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n";
        assert_eq!(whole_bytes(answer).unwrap(), Some(answer.len()));
    }

    #[test]
    fn an_answer_without_a_length_is_refused() {
        assert!(whole_bytes(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn percentiles_are_numbers_that_were_measured() {
        let sorted: Vec<u64> = (1..=200).collect();
        assert_eq!(at(&sorted, 0.5), Some(100));
        assert_eq!(at(&sorted, 0.99), Some(198));
        assert_eq!(at(&sorted, 0.999), Some(200));
        assert_eq!(at(&[], 0.5), None);
    }

    #[test]
    fn a_stall_is_charged_to_all_who_came_meanwhile() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap().to_string();
        let connection = Connection::open(&to).unwrap();
        let stall = Duration::from_millis(200);
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 64];
            std::thread::sleep(stall);
            while stream.read(&mut request).unwrap() > 0 {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            }
        });
        let began = Instant::now();
        let ends = began + stall;
        let requests = vec![b"GET / HTTP/1.1\r\n\r\n".to_vec()];
        let plan = Plan { requests, rate: 100.0, began, measured_from: began, ends };
        let mut tally = Pace::new(plan, vec![connection]).keep().unwrap();
        server.join().unwrap();
        tally.latencies.sort_unstable();
        assert_eq!(tally.latencies.len(), 20);
        // Half of them were due in the first half of the stall, though only one could be sent.
        assert!(at(&tally.latencies, 0.5).unwrap() >= 90_000, "{tally:?}");
    }
}
