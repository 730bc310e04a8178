//! What a process was asked to do, resolved and valid: after this nothing is left to parse or fail.

use std::{
    collections::hash_map::RandomState, fmt, fs, hash::BuildHasher, net::IpAddr, path::PathBuf,
    thread, time::Duration,
};

use crate::token::Token;

pub mod edge_args;
mod outbound;
pub mod proxy_env;
mod server_tls;
mod settings;
mod values;

pub(crate) use outbound::certificates;
pub use outbound::{Outbound, OutboundProxy, Proxies, Tls, Verification};
pub use server_tls::ServerTls;
pub(crate) use values::{is_on, is_within};

/// How long a stopping process answers on every connection at least, so that each client that is
/// busy hears `Connection: close` before its connection is closed.
const ANNOUNCE_FOR: Duration = Duration::from_millis(500);

/// Reads a variable: its value, or `None` where it is not set.
///
/// The process passes its environment; tests pass a table.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A resolved, valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub surfaces: Surfaces,
    pub source: Source,
    pub log: Log,
    /// The name this process goes by upstream.
    pub identity: Identity,
    /// The host name that the strategy `applicationHostname` compares with.
    pub hostname: String,
}

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Server {
    /// `None`: every address, IPv6 and IPv4.
    pub interface: Option<IpAddr>,
    /// 0 takes a free port (tests).
    pub port: u16,
    /// Where it is set, callers are served with TLS on its port, and nobody on `port`.
    pub tls: Option<ServerTls>,
    pub workers: usize,
    pub keep_alive: Duration,
    /// How long a request's head may take to arrive, a handshake of TLS too.
    pub head_within: Duration,
    /// How many connections may be open at a time, on all workers together; each has its share.
    pub max_connections: usize,
    /// How long a stop may take from the signal to the end of the process: the grace, the requests
    /// under way and the last usage report.
    pub stop_within: Duration,
    /// How long a stopping process is not ready and answers as before, so that a balancer notices
    /// before connections are refused. Shorter than `stop_within`.
    pub stop_grace: Duration,
}

/// How the HTTP surfaces behave.
#[derive(Clone, Debug)]
pub struct Surfaces {
    pub proxy: ProxySurface,
    pub edge: EdgeSurface,
    pub cors: Cors,
    pub trust_proxy: TrustProxy,
    /// Largest request body, in bytes after decompression.
    pub body_limit: usize,
    /// How long a request's body may take to arrive once its head has.
    pub body_within: Duration,
    pub metrics: Exposure,
}

/// Where Prometheus may read what is measured. By default on the port that serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposure {
    #[default]
    On,
    Off,
    /// On this port, and nowhere else. 0 takes a free one.
    Port(u16),
}

/// `{base}/proxy…`, as the Unleash Proxy answers it.
#[derive(Clone, Debug)]
pub struct ProxySurface {
    /// Empty, or `/some/path` without a trailing slash.
    pub base_path: String,
    /// The header that carries the client key, in lower case. By default `authorization`.
    pub key_header: String,
    /// Whether `/proxy/all` answers (else 501).
    pub all_endpoint: bool,
    /// Whether `{base}/docs/openapi…` describes the surface.
    pub docs: bool,
    /// The context's `appName` where the client sends none.
    pub app_name: String,
    /// Replaces the context's `environment`; where unset and absent it is `default`.
    pub environment: Option<String>,
}

/// `{base}/api/frontend…`, `/api/proxy…`, `/internal-backstage/…`, as Unleash Edge answers them.
#[derive(Clone, Debug)]
pub struct EdgeSurface {
    /// Empty, or `/some/path` without a trailing slash.
    pub base_path: String,
    /// The header that carries the token, in lower case. By default `authorization`.
    pub token_header: String,
    /// Whether the `/all` routes answer (else 404).
    pub all_endpoint: bool,
}

/// Cross-origin answers.
#[derive(Clone, Debug)]
pub struct Cors {
    pub origin: Origins,
    /// `Access-Control-Allow-Methods`, verbatim.
    pub methods: String,
    /// `Access-Control-Allow-Headers`, verbatim; `None` names the headers that were asked for.
    pub allowed_headers: Option<String>,
    /// `Access-Control-Expose-Headers`, verbatim.
    pub exposed_headers: String,
    pub credentials: bool,
    pub max_age_seconds: u64,
    /// The status of a preflight answer. By default 204.
    pub preflight_status: u16,
}

/// Whose pages may read answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    Any,
    /// Always this one, whatever the request says.
    One(String),
    /// The request's own where it is listed.
    Listed(Vec<String>),
}

/// Whose word on the client's address is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustProxy {
    Nobody,
    /// The left-most entry of the forwarding header.
    Everybody,
    /// The right-most entry that is in none of these networks: (network, prefix length).
    Networks(Vec<(IpAddr, u8)>),
}

/// Where flags come from.
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
#[derive(Clone, Debug)]
pub enum Source {
    Upstream(Upstream),
    /// A features payload in a file. Every key sees the same data.
    File {
        path: PathBuf,
        reload_every: Option<Duration>,
        tokens: OfflineTokens,
    },
    /// The flags that ship inside the binary.
    Demo {
        tokens: OfflineTokens,
    },
}

/// The Unleash to ask.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The API's base without a trailing slash: `https://host/api`.
    pub api_url: String,
    /// Where `/edge/validate` is: `https://host`.
    pub root_url: String,
    /// The header that carries our token upstream. By default `authorization`.
    pub token_header: String,
    /// Names in lower case. Values are API keys often enough to be masked.
    pub custom_headers: Vec<(String, Token)>,
    pub poll_every: Duration,
    pub connect_within: Duration,
    pub answer_within: Duration,
    /// Query pairs of every features request, such as `project`, `namePrefix`, `tag`.
    pub query: Vec<(String, String)>,
    pub access: Access,
    /// 0 turns registration and usage reports off.
    pub report_every: Duration,
    /// By how much a report may come earlier or later than its time. By default 0.
    pub report_jitter: Duration,
    pub outbound: Outbound,
    pub bootstrap: Option<Bootstrap>,
}

/// Where flags come from until upstream has answered for the first time.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Masked: signed URLs are common, and open what they name to everybody.
    pub url: Token,
    /// The value of `Authorization`, verbatim.
    pub authorization: Option<Token>,
    pub outbound: Outbound,
}

/// Who may ask, and with which of our tokens upstream is asked.
#[derive(Clone, Debug)]
pub enum Access {
    /// The Unleash Proxy's way: one upstream token, keys of our own: frontends' and servers'.
    Keys { upstream_token: Token, client_keys: Vec<Token>, server_tokens: Vec<Token> },
    /// Unleash Edge's way: backend tokens to ask with; callers' tokens are validated upstream.
    Tokens { startup: Vec<Token>, frontend: Vec<Token> },
}

/// Who may ask when there is no upstream to validate anybody. A token of Unleash's format sees the
/// projects it names; one of any other format sees all. One that is on both lists is for both.
#[derive(Clone, Debug, Default)]
pub struct OfflineTokens {
    pub frontend: Vec<Token>,
    pub backend: Vec<Token>,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// Directives in the manner of `RUST_LOG`: `info`, `offleash=debug,warn`.
    pub filter: String,
}

/// The shape of a line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Plain,
    Pretty,
    Json,
}

/// The name this process goes by upstream.
// `Debug` by hand: to GitLab the instance's name is the credential.
#[derive(Clone)]
pub struct Identity {
    pub app_name: String,
    /// Prints masked.
    pub instance_id: String,
    /// Drawn anew by each process.
    pub connection_id: String,
}

/// What a configuration needs to know about the machine, read once by whoever starts the process.
#[derive(Clone, Debug)]
pub struct Machine {
    pub hostname: String,
    /// The name of the operating system's user; empty where it is unknown.
    pub user: String,
    /// Cores this process may use, at least 1.
    pub cores: usize,
    /// Drawn anew by each process.
    pub connection_id: String,
}

/// A configuration, and what its author should know about it.
#[derive(Clone, Debug)]
pub struct Resolved {
    pub config: Config,
    /// To be logged once at the start. They name settings, never secrets.
    pub warnings: Vec<String>,
}

/// Everything that is wrong with a configuration, at once. Names settings, never secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems(pub Vec<String>);

// === impl Server ===

impl Server {
    /// The port that serves.
    pub fn listens_on(&self) -> u16 {
        self.tls.as_ref().map_or(self.port, |tls| tls.port)
    }

    /// How long a stopping process goes on taking connections.
    pub fn announce_for(&self) -> Duration {
        self.stop_grace.max(ANNOUNCE_FOR).min(self.stop_within)
    }

    /// How long a stop may take once it takes no more connections.
    pub fn finish_within(&self) -> Duration {
        self.stop_within.saturating_sub(self.announce_for())
    }
}

// === impl Source ===

impl Source {
    /// Whether upstream may know callers' tokens that are not configured. Keys of our own are all
    /// there are.
    pub fn validates_callers(&self) -> bool {
        match self {
            Self::Upstream(upstream) => matches!(upstream.access, Access::Tokens { .. }),
            Self::File { .. } | Self::Demo { .. } => false,
        }
    }
}

// === impl Machine ===

impl Machine {
    /// The machine this process runs on.
    ///
    /// `HOSTNAME` wins over the operating system's word, so that a container can name itself.
    pub fn of_this_process(env: Env<'_>) -> Self {
        let of = |name| env(name).filter(|text| !text.trim().is_empty());
        let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
        let mut files = files.iter().filter_map(|path| fs::read_to_string(path).ok());
        let hostname = of("HOSTNAME").or_else(|| files.next()).unwrap_or_default();
        let hostname = hostname.trim();
        Self {
            hostname: if hostname.is_empty() { "localhost" } else { hostname }.to_owned(),
            user: of("USER").or_else(|| of("LOGNAME")).unwrap_or_default(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            connection_id: draw_uuid(),
        }
    }
}

/// A random UUID, version 4.
// The standard library seeds its hashers from the operating system: enough to tell processes apart,
// which is all this has to do, and one dependency less.
fn draw_uuid() -> String {
    let [high, low] = [0, 1].map(|half: u8| RandomState::new().hash_one(half));
    let bits = (u128::from(high) << 64 | u128::from(low)) & !(0xf << 76) & !(0b11 << 62);
    let hex = format!("{:032x}", bits | (4 << 76) | (0b10 << 62));
    let mut uuid = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            uuid.push('-');
        }
        uuid.push(digit);
    }
    uuid
}

// === impl Identity ===

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { app_name, instance_id: _, connection_id } = self;
        f.debug_struct("Identity")
            .field("app_name", app_name)
            .field("instance_id", &format_args!("(masked)"))
            .field("connection_id", connection_id)
            .finish()
    }
}

// === impl Problems ===

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used:")?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connection_ids_are_uuids_of_version_4_and_differ() {
        let [one, other] = [draw_uuid(), draw_uuid()];
        assert_ne!(one, other);
        let parts: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert!(one.split('-').nth(2).unwrap().starts_with('4'), "{one}");
        assert!(one.split('-').nth(3).unwrap().starts_with(['8', '9', 'a', 'b']), "{one}");
    }

    #[test]
    fn the_host_name_variable_wins_over_the_operating_system() {
        let env = |name: &str| (name == "HOSTNAME").then(|| " box-7\n".to_owned());
        assert_eq!(Machine::of_this_process(&env).hostname, "box-7");
        let machine = Machine::of_this_process(&|_| None);
        assert!(!machine.hostname.is_empty());
        assert!(machine.cores >= 1);
    }

    #[test]
    fn problems_print_one_a_line() {
        let problems = Problems(vec!["`A` is not set".to_owned(), "`B` is not set".to_owned()]);
        let text = "the configuration cannot be used:\n  - `A` is not set\n  - `B` is not set";
        assert_eq!(problems.to_string(), text);
    }
}
