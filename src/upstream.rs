//! The HTTP client: the only file that knows upstream's URLs and headers.
//!
//! [`Endpoint`] is a configuration that was checked, and travels between threads; [`Client`] asks,
//! and stays on the thread that made it. What is asked, and with which headers, stands in
//! `spec/unleash-proxy.md` 3.1 and 3.2 and `spec/unleash-edge.md` 1.6.
//!
//! Our token goes only where the configuration says: a redirect is followed on the same host, and
//! never from https to http.

mod error;
mod sink;
pub(crate) mod tls;
mod transport;
mod tunnel;
mod wire;

use std::{
    cell::Cell,
    fmt,
    time::{Duration, SystemTime},
};

use actix_web::{
    http::{
        Method, StatusCode,
        header::{self, HeaderMap, HeaderName, HeaderValue},
    },
    web::Bytes,
};
use awc::error::SendRequestError;
use serde_json::{Value, json};

use crate::{
    config::{Access, Bootstrap, Identity, Outbound, Upstream},
    token::Token,
};

use transport::Transport;

pub use error::UpstreamError;
pub use sink::Sink;
pub use wire::ValidToken;

/// What we call ourselves upstream.
const SDK: &str = concat!("offleash:", env!("CARGO_PKG_VERSION"));
/// The version of Unleash's client specification that the engine follows.
const CLIENT_SPEC: &str = "6.1.0";
/// The built-in strategies, as registration lists them.
const STRATEGIES: [&str; 8] = [
    "default",
    "applicationHostname",
    "gradualRolloutRandom",
    "gradualRolloutUserId",
    "gradualRolloutSessionId",
    "userWithId",
    "remoteAddress",
    "flexibleRollout",
];
/// Of our headers, those that the server of a bootstrap gets.
const BOOTSTRAP_HEADERS: [&str; 5] =
    ["user-agent", "unleash-appname", "unleash-instanceid", "unleash-sdk", "accept"];
/// The largest answer that is read, after decompression.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
const MAX_REDIRECTS: usize = 5;

/// Where upstream is and how it is spoken to, checked: asking cannot fail for want of a header.
#[derive(Clone)]
pub struct Endpoint {
    api_url: String,
    root_url: String,
    /// `?a=b&c=d`, or nothing.
    query: String,
    token_header: HeaderName,
    headers: Vec<(HeaderName, HeaderValue)>,
    poll_every: HeaderValue,
    report_every: Duration,
    identity: Identity,
    connect_within: Duration,
    answer_within: Duration,
    outbound: Outbound,
}

/// Asks upstream. Lives on one thread.
pub struct Client {
    endpoint: Endpoint,
    transport: Transport,
    /// The longest answer so far, in bytes.
    longest: Cell<usize>,
}

/// A header that cannot be sent.
// The value stays out of the message: it may be a secret.
#[derive(Debug, thiserror::Error)]
#[error("the header `{name}` cannot be sent upstream: its {part} holds forbidden characters")]
pub struct BadHeader {
    name: String,
    part: &'static str,
}

/// What `client/features` answered.
#[derive(Debug)]
pub enum Fetched<S> {
    Payload {
        body: S,
        etag: Option<HeaderValue>,
    },
    /// 304: what the tag stands for is still current.
    Unchanged,
}

/// One request, as it is repeated for each redirect.
struct Question {
    method: Method,
    url: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Option<Bytes>,
}

struct Reply {
    headers: HeaderMap,
    status: StatusCode,
}

type Asked = Result<Reply, UpstreamError>;

// === impl Endpoint ===

impl Endpoint {
    /// Checks what `upstream` and `identity` put into headers.
    ///
    /// # Errors
    /// When a header's name or value holds characters that HTTP forbids.
    pub fn new(upstream: &Upstream, identity: &Identity) -> Result<Self, BadHeader> {
        let mut headers = Vec::new();
        let ours = [
            ("user-agent", identity.app_name.as_str()),
            ("unleash-appname", &identity.app_name),
            ("unleash-instanceid", &identity.instance_id),
            ("unleash-connection-id", &identity.connection_id),
            ("unleash-sdk", SDK),
            ("unleash-client-spec", CLIENT_SPEC),
            ("accept", "*/*"),
        ];
        let custom = upstream.custom_headers.iter().map(|(name, value)| (&**name, value.secret()));
        for (name, text) in ours.into_iter().chain(custom) {
            headers.push((header_name(name)?, header_value(name, text)?));
        }
        let token_header = header_name(&upstream.token_header)?;
        let shown = match &upstream.access {
            Access::Keys { upstream_token, .. } => std::slice::from_ref(upstream_token),
            Access::Tokens { startup, .. } => startup,
        };
        for token in shown {
            header_value(&upstream.token_header, token.secret())?;
        }
        Ok(Self {
            api_url: upstream.api_url.trim_end_matches('/').to_owned(),
            root_url: upstream.root_url.trim_end_matches('/').to_owned(),
            query: wire::query(&upstream.query),
            token_header,
            headers,
            poll_every: header_value("unleash-interval", &millis(upstream.poll_every).to_string())?,
            report_every: upstream.report_every,
            identity: identity.clone(),
            connect_within: upstream.connect_within,
            answer_within: upstream.answer_within,
            outbound: upstream.outbound.clone(),
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("api_url", &self.api_url).finish_non_exhaustive()
    }
}

// === impl Client ===

impl Client {
    pub fn new(endpoint: Endpoint) -> Self {
        let transport = Transport::new(endpoint.outbound.clone(), endpoint.connect_within);
        Self { endpoint, transport, longest: Cell::new(0) }
    }

    /// Asks for every flag that `token` may see, unless `known` is still their tag, into `body`.
    ///
    /// # Errors
    /// When the answer is anything but a whole 200 or a 304.
    pub async fn features<S: Sink>(
        &self,
        token: &Token,
        known: Option<&HeaderValue>,
        mut body: S,
    ) -> Result<Fetched<S>, UpstreamError> {
        let endpoint = &self.endpoint;
        let url = format!("{}/client/features{}", endpoint.api_url, endpoint.query);
        let mut question = self.question(Method::GET, url, Some(token));
        let interval = HeaderName::from_static("unleash-interval");
        question.headers.push((interval, endpoint.poll_every.clone()));
        question.headers.extend(known.map(|tag| (header::IF_NONE_MATCH, tag.clone())));
        let reply = self.ask(question, &mut body).await?;
        if reply.status == StatusCode::NOT_MODIFIED {
            return Ok(Fetched::Unchanged);
        }
        reply.expect(StatusCode::OK)?;
        let etag = reply.headers.get(header::ETAG).cloned();
        Ok(Fetched::Payload { body, etag })
    }

    /// Asks for the flags to start with, where `from` says, once and without our token
    /// (`spec/unleash-proxy.md` 4.1).
    ///
    /// # Errors
    /// When the answer is anything but a whole 200, or did not come within `within`.
    pub async fn bootstrap(
        &self,
        from: &Bootstrap,
        within: Duration,
    ) -> Result<Vec<u8>, UpstreamError> {
        let url = from.url.secret().to_owned();
        let mut question = self.question(Method::GET, url, None);
        question.headers.retain(|(name, _)| BOOTSTRAP_HEADERS.contains(&name.as_str()));
        let value = from.authorization.as_ref();
        let value = value.and_then(|token| HeaderValue::from_str(token.secret()).ok());
        question.headers.extend(value.map(|value| (header::AUTHORIZATION, value)));
        // A client of its own, for this once: whose word is taken there may differ.
        let outbound = from.outbound.clone();
        let endpoint = Endpoint { outbound, answer_within: within, ..self.endpoint.clone() };
        let mut body = Vec::new();
        let reply = Self::new(endpoint).ask(question, &mut body).await?;
        reply.expect(StatusCode::OK)?;
        Ok(body)
    }

    /// Asks which of `tokens` are good. Those that are missing in the answer are not.
    ///
    /// # Errors
    /// When the answer is anything but a whole 200 with a list of tokens.
    pub async fn validate(&self, tokens: &[Token]) -> Result<Vec<ValidToken>, UpstreamError> {
        let url = format!("{}/edge/validate", self.endpoint.root_url);
        let secrets: Vec<&str> = tokens.iter().map(Token::secret).collect();
        let question = self.question(Method::POST, url, None).json(&json!({ "tokens": secrets }));
        let mut body = Vec::new();
        let reply = self.ask(question, &mut body).await?;
        reply.expect(StatusCode::OK)?;
        wire::valid_tokens(&body).ok_or(UpstreamError::Unreadable)
    }

    /// Tells upstream that this process runs, on behalf of `token`.
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn register(&self, token: &Token, started: &str) -> Result<(), UpstreamError> {
        let url = format!("{}/client/register", self.endpoint.api_url);
        let identity = &self.endpoint.identity;
        let body = json!({
            "appName": identity.app_name,
            "instanceId": identity.instance_id,
            "connectionId": identity.connection_id,
            "sdkVersion": SDK,
            "strategies": STRATEGIES,
            "started": started,
            "interval": millis(self.endpoint.report_every),
            "platformName": "rust",
            "platformVersion": env!("CARGO_PKG_RUST_VERSION"),
            "yggdrasilVersion": null,
            "specVersion": CLIENT_SPEC,
        });
        self.post_report(url, token, &body).await
    }

    /// Hands upstream one application's usage counts: `metrics`, the body that `client/metrics`
    /// takes, is completed with who we are (`spec/unleash-proxy.md` 3.3).
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn report(&self, token: &Token, mut metrics: Value) -> Result<(), UpstreamError> {
        let url = format!("{}/client/metrics", self.endpoint.api_url);
        wire::sign(&mut metrics, &self.endpoint.identity);
        self.post_report(url, token, &metrics).await
    }

    /// Hands upstream the usage counts and registrations of many applications, in the body that
    /// `client/metrics/bulk` takes (`spec/unleash-edge.md` 1.6).
    ///
    /// # Errors
    /// When the answer is not a success.
    pub async fn report_bulk(&self, token: &Token, bulk: &Value) -> Result<(), UpstreamError> {
        let url = format!("{}/client/metrics/bulk", self.endpoint.api_url);
        self.post_report(url, token, bulk).await
    }

    async fn post_report(
        &self,
        url: String,
        token: &Token,
        body: &Value,
    ) -> Result<(), UpstreamError> {
        let mut question = self.question(Method::POST, url, Some(token)).json(body);
        let interval = HeaderName::from_static("unleash-interval");
        question.headers.push((interval, HeaderValue::from(millis(self.endpoint.report_every))));
        let reply = self.ask(question, &mut Vec::new()).await?;
        if reply.status.is_success() { Ok(()) } else { Err(reply.error()) }
    }

    fn question(&self, method: Method, url: String, token: Option<&Token>) -> Question {
        let mut headers = self.endpoint.headers.clone();
        // INVARIANT: every token that is shown upstream was checked by `Endpoint::new`.
        let value = token.and_then(|token| HeaderValue::from_str(token.secret()).ok());
        headers.extend(value.map(|value| (self.endpoint.token_header.clone(), value)));
        Question { method, url, headers, body: None }
    }

    /// One question and its whole answer, redirects and all, within the time that is set, which is
    /// upstream's alone. The body of a success goes to `body`.
    async fn ask(&self, question: Question, body: &mut dyn Sink) -> Asked {
        let (within, taken) = (self.endpoint.answer_within, Cell::new(Duration::ZERO));
        let mut body = sink::Timed::new(body, &taken);
        let answer = sink::within(within, &taken, self.follow(question, &mut body)).await;
        answer.unwrap_or(Err(UpstreamError::TimedOut(within)))
    }

    async fn follow(&self, mut question: Question, body: &mut dyn Sink) -> Asked {
        for _ in 0..=MAX_REDIRECTS {
            let reply = self.once(&question, body).await?;
            let location = reply.headers.get(header::LOCATION).and_then(|it| it.to_str().ok());
            let (true, Some(location)) = (wire::is_redirect(reply.status), location) else {
                return Ok(reply);
            };
            // The method and body stay: what was moved is the place, not the question.
            question.url = wire::redirected(&question.url, location)?;
        }
        Err(UpstreamError::Circle)
    }

    async fn once(&self, question: &Question, body: &mut dyn Sink) -> Asked {
        let sent = match self.transport.send(question).await {
            // A connection that was kept may have been closed just as it was taken up again.
            Err(SendRequestError::Send(_)) => self.transport.send(question).await,
            Err(SendRequestError::Connect(awc::error::ConnectError::Disconnected)) => {
                self.transport.send(question).await
            }
            sent => sent,
        };
        let mut response = sent.map_err(UpstreamError::Unreachable)?;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success() {
            let got = wire::read(&mut response, &headers, self.longest.get(), body).await?;
            self.longest.set(self.longest.get().max(got));
        }
        Ok(Reply { headers, status })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

// === impl Question ===

impl Question {
    fn json(mut self, body: &Value) -> Self {
        let json = HeaderValue::from_static("application/json");
        self.headers.push((header::CONTENT_TYPE, json));
        self.body = Some(Bytes::from(body.to_string()));
        self
    }
}

// === impl Reply ===

impl Reply {
    fn expect(&self, status: StatusCode) -> Result<(), UpstreamError> {
        if self.status == status { Ok(()) } else { Err(self.error()) }
    }

    fn error(&self) -> UpstreamError {
        let wish = self.headers.get(header::RETRY_AFTER).and_then(|wish| wish.to_str().ok());
        let retry_after = wish.and_then(|wish| wire::retry_after(wish, SystemTime::now()));
        UpstreamError::Status { status: self.status.as_u16(), retry_after }
    }
}

fn header_name(name: &str) -> Result<HeaderName, BadHeader> {
    let bad = |_| BadHeader { name: name.to_owned(), part: "name" };
    HeaderName::try_from(name).map_err(bad)
}

fn header_value(name: &str, text: &str) -> Result<HeaderValue, BadHeader> {
    let bad = |_| BadHeader { name: name.to_owned(), part: "value" };
    HeaderValue::try_from(text).map_err(bad)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(custom: &[(&str, &str)], secret: &str) -> Result<Endpoint, BadHeader> {
        let custom = custom.iter().map(|(name, value)| ((*name).to_owned(), Token::new(*value)));
        let upstream = Upstream {
            api_url: "http://127.0.0.1:9/api".to_owned(),
            root_url: "http://127.0.0.1:9".to_owned(),
            token_header: "authorization".to_owned(),
            custom_headers: custom.collect(),
            poll_every: Duration::from_secs(15),
            connect_within: Duration::from_secs(1),
            answer_within: Duration::from_secs(1),
            query: Vec::new(),
            access: Access::Tokens { startup: vec![Token::new(secret)], frontend: Vec::new() },
            report_every: Duration::ZERO,
            report_jitter: Duration::ZERO,
            outbound: Outbound::default(),
            bootstrap: None,
        };
        let identity = Identity {
            app_name: "app".to_owned(),
            instance_id: "instance".to_owned(),
            connection_id: "connection".to_owned(),
        };
        Endpoint::new(&upstream, &identity)
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_an_error_at_start_without_its_value() {
        assert!(endpoint(&[("x-a", "1")], "*:dev.a").is_ok());
        let err = endpoint(&[("x a", "sesame")], "*:dev.a").unwrap_err().to_string();
        assert!(err.contains("`x a`") && err.contains("name") && !err.contains("sesame"), "{err}");
        let err = endpoint(&[("x-a", "ses\name")], "*:dev.a").unwrap_err().to_string();
        assert!(err.contains("`x-a`") && err.contains("value") && !err.contains("name\n"), "{err}");
        let err = endpoint(&[], "*:dev.\nsesame").unwrap_err().to_string();
        assert!(err.contains("`authorization`") && !err.contains("sesame"), "{err}");
    }

    #[test]
    fn an_endpoint_prints_without_secrets() {
        let text = format!("{:?}", endpoint(&[("x-key", "sesame")], "*:dev.sesame").unwrap());
        assert!(text.contains("127.0.0.1") && !text.contains("sesame"), "{text}");
    }
}
