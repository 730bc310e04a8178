//! The commands `health` and `ready`: one question to a running Offleash, for container probes.
//!
//! A plain blocking request, so that the probe costs neither a runtime nor a thread.

use std::{
    fmt,
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConnection, StreamOwned, pki_types::ServerName};

use crate::{
    config::{Env, Problems, Tls, Verification, certificates, is_on},
    telemetry, upstream,
};

/// Loopback ports to try where nothing says which: Edge's, then the Unleash Proxy's.
const DEFAULT_PORTS: [&str; 2] = ["3063", "3000"];
/// Edge's, with TLS.
const DEFAULT_TLS_PORT: &str = "3043";
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

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Targets {
    /// Asked in turn.
    pub urls: Vec<String>,
    /// Which certificates are good.
    pub tls: Tls,
}

/// A connection, with TLS or without.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// Why the answer is no.
#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    #[error("`{0}` is no http or https URL that can be asked")]
    Url(String),
    #[error("`{0}` does not answer")]
    Silent(String, #[source] io::Error),
    #[error("`{url}` answers with status {status}")]
    Refused { url: String, status: u16 },
    #[error("`{0}` answers something that is not ours")]
    Stranger(String),
}

/// The URLs at which an Offleash may be, most likely first, and which certificates are good there.
///
/// What was typed wins over `OFFLEASH_HEALTH_URL`, that over `EDGE_URL`. Without any of them the
/// port, TLS, the interface and the base path come from the variables that the serving process
/// reads in either dialect, so that one health check fits both. Such a URL names an address, which
/// no certificate does, and the process beside us: it is believed whatever certificate it shows.
///
/// # Errors
///
/// A file of certificates, `certificate_file` or `CA_CERTIFICATE_FILE`, that cannot be used.
pub fn targets(
    typed: Option<&str>,
    certificate_file: Option<&str>,
    env: Env<'_>,
) -> Result<Targets, Problems> {
    let variable = |name| env(name).map(|text| text.trim().to_owned()).filter(|t| !t.is_empty());
    let file = certificate_file.map(str::to_owned).or_else(|| variable("CA_CERTIFICATE_FILE"));
    let extra_roots = match file.as_deref().map(certificates).transpose() {
        Ok(roots) => roots.unwrap_or_default(),
        Err(why) => return Err(Problems(vec![format!("`--ca-certificate-file` {why}")])),
    };
    let given = typed.map(str::to_owned);
    let given = given.or_else(|| variable("OFFLEASH_HEALTH_URL")).or_else(|| variable("EDGE_URL"));
    if let Some(url) = given {
        let urls = vec![url.trim_end_matches('/').to_owned()];
        return Ok(Targets { urls, tls: Tls { verification: Verification::Full, extra_roots } });
    }
    let has_tls = variable("TLS_ENABLE").is_some_and(|text| is_on(&text));
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
    let (scheme, ports) = if has_tls {
        let port = variable("TLS_SERVER_PORT");
        ("https", vec![port.unwrap_or_else(|| DEFAULT_TLS_PORT.to_owned())])
    } else {
        let port = variable("PORT").or_else(|| variable("PROXY_PORT"));
        let any = || DEFAULT_PORTS.map(str::to_owned).to_vec();
        ("http", port.map_or_else(any, |port| vec![port]))
    };
    let urls = ports.iter().map(|port| format!("{scheme}://{host}:{port}{base}")).collect();
    Ok(Targets { urls, tls: Tls { verification: Verification::Skipped, extra_roots } })
}

/// Asks the URLs in turn until one says yes.
///
/// # Errors
///
/// Why the one that came closest to an answer did not say yes: a refusal counts more than silence.
pub fn ask(question: Question, Targets { urls, tls }: &Targets) -> Result<(), Unhealthy> {
    let mut closest = None;
    for url in urls {
        let Err(err) = ask_one(question, url, tls) else { return Ok(()) };
        match closest {
            Some(Unhealthy::Refused { .. }) => {}
            None => closest = Some(err),
            Some(_) if matches!(err, Unhealthy::Silent(..)) => {}
            Some(_) => closest = Some(err),
        }
    }
    Err(closest.unwrap_or_else(|| Unhealthy::Url(String::new())))
}

/// Asks `targets` and makes an exit code of the answer; says on standard error why it is 1.
pub fn run(question: Question, targets: &Targets) -> ExitCode {
    match ask(question, targets) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("error: {}", telemetry::with_causes(&err));
            ExitCode::FAILURE
        }
    }
}

fn ask_one(question: Question, url: &str, tls: &Tls) -> Result<(), Unhealthy> {
    let bad_url = || Unhealthy::Url(url.to_owned());
    let (tls, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (None, rest),
        (_, Some(rest)) => (Some(tls), rest),
        _ => return Err(bad_url()),
    };
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
    let target = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:{}", if tls.is_some() { 443 } else { 80 })
    };
    let answer =
        exchange(&target, tls, &request).map_err(|err| Unhealthy::Silent(url.to_owned(), err))?;
    match status(&answer).ok_or_else(|| Unhealthy::Stranger(url.to_owned()))? {
        200 if question == Question::Health || answer.contains("\"READY\"") => Ok(()),
        200 => Err(Unhealthy::Stranger(url.to_owned())),
        status => Err(Unhealthy::Refused { url: url.to_owned(), status }),
    }
}

/// Sends `request` and reads the answer to its end.
fn exchange(target: &str, tls: Option<&Tls>, request: &str) -> io::Result<String> {
    let deadline = Instant::now() + ANSWER_WITHIN;
    let socket = connect(target, deadline)?;
    let timer = socket.try_clone()?;
    let mut stream: Box<dyn Stream> = match tls {
        None => Box::new(socket),
        Some(tls) => {
            let host = target.rsplit_once(':').map_or(target, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let config = upstream::tls::client_config(tls);
            let connection = ClientConnection::new(Arc::clone(&config), name);
            Box::new(StreamOwned::new(connection.map_err(io::Error::other)?, socket))
        }
    };
    // With TLS, writing reads too, and reading writes.
    let set_timeouts = || {
        let left = Some(left(deadline)?);
        timer.set_write_timeout(left).and_then(|()| timer.set_read_timeout(left))
    };
    set_timeouts()?;
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    while (answer.len() as u64) < ANSWER_LIMIT_BYTES {
        set_timeouts()?;
        match stream.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => answer.extend(chunk.iter().take(count)),
            // A server that closes without TLS's own goodbye, once it has answered.
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof && !answer.is_empty() => break,
            Err(err) => return Err(err),
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
        let env = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        targets(typed, None, &env).unwrap().urls
    }

    fn at(urls: &[String]) -> Targets {
        Targets { urls: urls.to_vec(), tls: Tls::default() }
    }

    const READY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n{\"status\":\"READY\"}";
    const NOT_READY: &str =
        "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 21\r\n\r\n{\"status\":\"NOTREADY\"}";

    #[test]
    fn a_ready_process_is_ready_and_is_asked_below_its_base_path() {
        let (url, asked) = serve(READY);
        ask(Question::Ready, &at(&[format!("{url}/base/")])).unwrap();
        let asked = asked.join().unwrap();
        assert!(asked.starts_with("GET /base/internal-backstage/ready HTTP/1.1\r\n"), "{asked}");
    }

    #[test]
    fn a_process_that_is_not_ready_is_reported_with_its_status() {
        let (url, asked) = serve(NOT_READY);
        let err = ask(Question::Ready, &at(&[url])).unwrap_err();
        assert!(matches!(err, Unhealthy::Refused { status: 503, .. }), "{err}");
        asked.join().unwrap();
    }

    #[test]
    fn another_service_with_a_200_is_not_ready() {
        let (url, asked) = serve("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
        let err = ask(Question::Ready, &at(&[url])).unwrap_err();
        assert!(matches!(err, Unhealthy::Stranger(_)), "{err}");
        asked.join().unwrap();
    }

    #[test]
    fn the_next_url_is_asked_where_the_first_is_silent() {
        let (url, asked) =
            serve("HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"status\":\"OK\"}");
        ask(Question::Health, &at(&[silent_url(), url])).unwrap();
        assert!(asked.join().unwrap().contains("/internal-backstage/health "));
    }

    #[test]
    fn a_refusal_is_told_rather_than_a_silence_that_follows_it() {
        let (url, asked) = serve(NOT_READY);
        let err = ask(Question::Ready, &at(&[url, silent_url()])).unwrap_err();
        assert!(matches!(err, Unhealthy::Refused { .. }), "{err}");
        asked.join().unwrap();
    }

    #[test]
    fn urls_that_cannot_be_asked_are_refused() {
        for url in ["ftp://h", "http://", "https://", "https:///x"] {
            let err = ask(Question::Health, &at(&[url.to_owned()])).unwrap_err();
            assert!(matches!(err, Unhealthy::Url(_)), "{url}: {err}");
        }
        let err = ask(Question::Health, &at(&["http://h/ x\r\nA: b".to_owned()])).unwrap_err();
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
        let tls = [("TLS_ENABLE", "true"), ("PORT", "1"), ("BASE_PATH", "/e")];
        assert_eq!(urls_of(None, &tls), ["https://127.0.0.1:3043/e"]);
        let tls = [("TLS_ENABLE", "1"), ("TLS_SERVER_PORT", "2")];
        assert_eq!(urls_of(None, &tls), ["https://127.0.0.1:2"]);
        assert_eq!(urls_of(None, &[("TLS_ENABLE", "no"), ("PORT", "1")]), ["http://127.0.0.1:1"]);
        let any = [("INTERFACE", "::"), ("PORT", "1")];
        assert_eq!(urls_of(None, &any), ["http://127.0.0.1:1"]);
    }
}
