//! The commands `health` and `ready`: one question to a running Offleash, for container probes.
//!
//! A plain blocking request, so that the probe costs neither a runtime nor a thread.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs},
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{config::Env, telemetry};

/// Loopback ports to try where nothing says which: Edge's, then the Unleash Proxy's.
const DEFAULT_PORTS: [&str; 2] = ["3063", "3000"];
/// For connecting, asking and reading together.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024;

/// What to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Is the process alive?
    Health,
    /// Does an evaluation work?
    Ready,
}

/// Why the answer is no.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    #[error("`{0}` is no http URL that can be asked")]
    Url(String),
    #[error("`{0}` cannot be asked: https is not supported yet, ask the plain port")]
    Https(String),
    #[error("`{0}` does not answer")]
    Silent(String, #[source] io::Error),
    #[error("`{url}` answers with status {status}")]
    Refused { url: String, status: u16 },
    #[error("`{0}` answers something that is not ours")]
    Stranger(String),
}

/// The URLs at which an Offleash may be, most likely first.
///
/// What was typed wins over `OFFLEASH_HEALTH_URL`, that over `EDGE_URL`. Without any of them the
/// port, the interface and the base path come from the variables that the serving process reads in
/// either dialect, so that one health check fits both.
pub fn urls(typed: Option<&str>, env: Env<'_>) -> Vec<String> {
    let variable = |name| env(name).map(|text| text.trim().to_owned()).filter(|t| !t.is_empty());
    let given = typed.map(str::to_owned);
    let given = given.or_else(|| variable("OFFLEASH_HEALTH_URL")).or_else(|| variable("EDGE_URL"));
    if let Some(url) = given {
        return vec![url.trim_end_matches('/').to_owned()];
    }
    let host = variable("INTERFACE").and_then(|text| text.parse::<IpAddr>().ok());
    let host = host.filter(|host| !host.is_unspecified());
    let host = match host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)) {
        IpAddr::V4(host) => host.to_string(),
        IpAddr::V6(host) => format!("[{host}]"),
    };
    let base = variable("BASE_PATH").or_else(|| variable("PROXY_BASE_PATH")).unwrap_or_default();
    let base = match base.trim_matches('/') {
        "" => String::new(),
        base => format!("/{base}"),
    };
    let port = variable("PORT").or_else(|| variable("PROXY_PORT"));
    let ports = port.map_or_else(|| DEFAULT_PORTS.map(str::to_owned).to_vec(), |port| vec![port]);
    ports.iter().map(|port| format!("http://{host}:{port}{base}")).collect()
}

/// Asks `urls` in turn until one says yes.
///
/// # Errors
///
/// Why the one that came closest to an answer did not say yes: a refusal counts more than silence.
pub fn ask(question: Question, urls: &[String]) -> Result<(), Unhealthy> {
    let mut closest = None;
    for url in urls {
        let Err(err) = ask_one(question, url) else { return Ok(()) };
        match closest {
            Some(Unhealthy::Refused { .. }) => {}
            None => closest = Some(err),
            Some(_) if matches!(err, Unhealthy::Silent(..)) => {}
            Some(_) => closest = Some(err),
        }
    }
    Err(closest.unwrap_or_else(|| Unhealthy::Url(String::new())))
}

/// Asks `urls` in turn and makes an exit code of the answer; says on standard error why it is 1.
pub fn run(question: Question, urls: &[String]) -> ExitCode {
    match ask(question, urls) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {}", telemetry::with_causes(&err));
            ExitCode::FAILURE
        }
    }
}

fn ask_one(question: Question, url: &str) -> Result<(), Unhealthy> {
    if url.starts_with("https://") {
        return Err(Unhealthy::Https(url.to_owned()));
    }
    let bad_url = || Unhealthy::Url(url.to_owned());
    let rest = url.strip_prefix("http://").ok_or_else(bad_url)?;
    let (authority, base) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let unfit = |c: char| c.is_whitespace() || c.is_control() || "@?#".contains(c);
    if authority.is_empty() || rest.contains(unfit) {
        return Err(bad_url());
    }
    let request = format!(
        "GET {}/internal-backstage/{question} HTTP/1.1\r\nHost: {authority}\r\n\
         Accept: application/json\r\nConnection: close\r\n\r\n",
        base.trim_end_matches('/'),
    );
    let has_port = authority.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok());
    let target = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    let answer =
        exchange(&target, &request).map_err(|err| Unhealthy::Silent(url.to_owned(), err))?;
    match status(&answer).ok_or_else(|| Unhealthy::Stranger(url.to_owned()))? {
        200 if question == Question::Health || answer.contains("\"READY\"") => Ok(()),
        200 => Err(Unhealthy::Stranger(url.to_owned())),
        status => Err(Unhealthy::Refused { url: url.to_owned(), status }),
    }
}

/// Sends `request` and reads the answer to its end.
fn exchange(target: &str, request: &str) -> io::Result<String> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    let mut stream = connect(target, deadline)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while (answer.len() as u64) < ANSWER_LIMIT_BYTES {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut chunk)? {
            0 => break,
            count => answer.extend(chunk.iter().take(count)),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn connect(target: &str, deadline: Instant) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = target.to_socket_addrs()?.collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, left(deadline)?) {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    Err(last)
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
    }
    Ok(left)
}

fn status(answer: &str) -> Option<u16> {
    let line = answer.lines().next()?.strip_prefix("HTTP/1.")?;
    line.split(' ').nth(1)?.parse().ok()
}

// === impl Question ===

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Health => "health",
            Self::Ready => "ready",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, thread};

    use super::*;

    /// Answers one request with `answer`. Returns the URL, and what was asked when it is joined.
    fn serve(answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        });
        (url, asked)
    }

    /// A port nobody listens on.
    fn silent_url() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    }

    fn urls_of(typed: Option<&str>, variables: &[(&str, &str)]) -> Vec<String> {
        urls(typed, &|name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    const READY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"status\":\"READY\"}";
    const NOT_READY: &str =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 21\r\n\r\n{\"status\":\"NOTREADY\"}";

    #[test]
    fn a_ready_process_is_ready_and_is_asked_below_its_base_path() {
        let (url, asked) = serve(READY);
        ask(Question::Ready, &[format!("{url}/base/")]).unwrap();
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /base/internal-backstage/ready HTTP/1.1\r\n"), "{asked}");
    }

    #[test]
    fn a_process_that_is_not_ready_is_reported_with_its_status() {
        let (url, asked) = serve(NOT_READY);
        let err = ask(Question::Ready, &[url]).unwrap_err();
        assert!(matches!(err, Unhealthy::Refused { status: 503, .. }), "{err}");
        asked.join().unwrap();
    }

    #[test]
    fn another_service_with_a_200_is_not_ready() {
        let (url, asked) = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        let err = ask(Question::Ready, &[url]).unwrap_err();
        assert!(matches!(err, Unhealthy::Stranger(_)), "{err}");
        asked.join().unwrap();
    }

    #[test]
    fn the_next_url_is_asked_where_the_first_is_silent() {
        let (url, asked) =
            serve("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"OK\"}");
        ask(Question::Health, &[silent_url(), url]).unwrap();
        assert!(asked.join().unwrap().contains("/internal-backstage/health "));
    }

    #[test]
    fn a_refusal_is_told_rather_than_a_silence_that_follows_it() {
        let (url, asked) = serve(NOT_READY);
        let err = ask(Question::Ready, &[url, silent_url()]).unwrap_err();
        assert!(matches!(err, Unhealthy::Refused { .. }), "{err}");
        asked.join().unwrap();
    }

    #[test]
    fn urls_that_cannot_be_asked_are_refused() {
        for (url, https) in [("https://h:3043", true), ("ftp://h", false), ("http://", false)] {
            let err = ask(Question::Health, &[url.to_owned()]).unwrap_err();
            assert_eq!(matches!(err, Unhealthy::Https(_)), https, "{url}");
        }
        let err = ask(Question::Health, &["http://h/ x\r\nA: b".to_owned()]).unwrap_err();
        assert!(matches!(err, Unhealthy::Url(_)), "{err}");
    }

    #[test]
    fn what_was_typed_wins_over_the_variables() {
        let variables = [("OFFLEASH_HEALTH_URL", "http://a"), ("EDGE_URL", "http://b/base/")];
        assert_eq!(urls_of(Some("http://t:1/"), &variables), ["http://t:1"]);
        assert_eq!(urls_of(None, &variables), ["http://a"]);
        assert_eq!(urls_of(None, &variables[1..]), ["http://b/base"]);
    }

    #[test]
    fn without_a_url_the_variables_of_either_dialect_tell_where_to_ask() {
        assert_eq!(urls_of(None, &[]), ["http://127.0.0.1:3063", "http://127.0.0.1:3000"]);
        assert_eq!(urls_of(None, &[("PROXY_PORT", "4000")]), ["http://127.0.0.1:4000"]);
        let both = [("PORT", "5000"), ("PROXY_PORT", "4000"), ("PROXY_BASE_PATH", "flags/")];
        assert_eq!(urls_of(None, &both), ["http://127.0.0.1:5000/flags"]);
        let edge = [("INTERFACE", "::1"), ("PORT", "1"), ("BASE_PATH", "/e")];
        assert_eq!(urls_of(None, &edge), ["http://[::1]:1/e"]);
        let any = [("INTERFACE", "::"), ("PORT", "1")];
        assert_eq!(urls_of(None, &any), ["http://127.0.0.1:1"]);
    }
}
