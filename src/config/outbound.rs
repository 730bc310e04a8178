//! The way to upstream: through which proxy, and whose word on certificates is taken.

use std::{fmt, fs, net::IpAddr};

use actix_web::http::Uri;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::{
    settings::{Found, Settings},
    values::{self, Reason},
};
use crate::token::Token;

/// How upstream is reached. By default directly, with the certificates that the machine trusts.
#[derive(Clone, Debug, Default)]
pub struct Outbound {
    pub proxies: Proxies,
    pub tls: Tls,
}

/// Which certificates of servers are good.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Tls {
    pub verification: Verification,
    /// On top of the machine's; one that a server shows itself is good too.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

/// Whether servers have to prove who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verification {
    #[default]
    Full,
    /// Whoever answers is believed.
    Skipped,
}

/// Which proxy is asked to pass on what goes to which server.
#[derive(Clone, Debug, Default)]
pub struct Proxies {
    http: Option<OutboundProxy>,
    https: Option<OutboundProxy>,
    exempt: Vec<Exemption>,
}

/// A proxy for what goes out.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboundProxy {
    pub host: String,
    pub port: u16,
    /// Whether the proxy itself is spoken to with TLS.
    pub tls: bool,
    /// The value of `Proxy-Authorization`, where the proxy's URL has credentials.
    pub authorization: Option<Token>,
}

/// Whose variables these are: the two originals read them with different libraries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// npm `proxy-from-env`, in the Unleash Proxy.
    Node,
    /// The Rust crate `reqwest`, in Unleash Edge.
    Reqwest,
}

/// A server that is reached directly.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Exemption {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Exactly(String),
    EndingIn(String),
    Network(IpAddr, u8),
}

/// Reads the proxies' variables, which `upstream` may need: `http`, `https` or neither.
///
/// A proxy that cannot be used is a problem only where upstream's scheme would go through it.
pub(super) fn proxies(
    settings: &mut Settings<'_>,
    rules: Rules,
    upstream: Option<&str>,
) -> Proxies {
    let exempt = any_case(settings, "NO_PROXY", rules);
    let exempt = exempt.map(|found| exemptions(&found.text, rules)).unwrap_or_default();
    let mut proxies = Proxies { http: None, https: None, exempt };
    let uri: Option<Uri> = upstream.and_then(|url| url.parse().ok());
    let is_direct = uri.as_ref().is_some_and(|uri| proxies.are_exempt(uri));
    for scheme in ["http", "https"] {
        let name = format!("{}_PROXY", scheme.to_ascii_uppercase());
        let found = any_case(settings, &name, rules);
        let Some(Found { name, text }) = found.or_else(|| any_case(settings, "ALL_PROXY", rules))
        else {
            continue;
        };
        let is_used = !is_direct && uri.as_ref().is_none_or(|uri| uri.scheme_str() == Some(scheme));
        match proxy(&text, scheme, rules) {
            Ok(proxy) => {
                if is_used && scheme == "https" && !text.contains("://") && proxy.tls {
                    settings.warn(format!(
                        "`{name}` names no scheme: the proxy is spoken to with TLS, as the original \
                         does; write `http://` before it if that is not meant"
                    ));
                }
                let slot = if scheme == "http" { &mut proxies.http } else { &mut proxies.https };
                *slot = Some(proxy);
            }
            Err(reason) if is_used => settings.problem(format!("`{name}` {reason}")),
            Err(reason) => {
                settings.warn(format!("`{name}` {reason}, and upstream does not need it: ignored"));
            }
        }
    }
    proxies
}

/// Certificates in a PEM file, each of which can be a root.
pub(crate) fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Reason> {
    let pem = fs::read(path).map_err(|err| format!("is `{path}`, which cannot be read: {err}"))?;
    let mut roots = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate =
            certificate.map_err(|err| format!("is `{path}`, which is no good PEM file: {err}"))?;
        if RootCertStore::empty().add(certificate.clone()).is_err() {
            return Err(format!(
                "is `{path}`, whose certificate number {} is malformed",
                roots.len() + 1
            ));
        }
        roots.push(certificate);
    }
    if roots.is_empty() {
        return Err(format!("is `{path}`, which holds no certificate"));
    }
    Ok(roots)
}

/// `Basic …` for the part of a URL before the `@`.
pub(super) fn basic(userinfo: &str) -> Token {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let mut plain: Vec<u8> = percent_decode_str(user).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    Token::new(format!("Basic {}", STANDARD.encode(plain)))
}

/// A variable in lower or upper case; which of them wins is the original's choice.
fn any_case(settings: &Settings<'_>, name: &str, rules: Rules) -> Option<Found> {
    let (lower, upper) = (name.to_ascii_lowercase(), name.to_ascii_uppercase());
    let names = match rules {
        // npm's own settings come first.
        Rules::Node if name == "ALL_PROXY" => ["npm_config_proxy".to_owned(), lower, upper],
        Rules::Node => [format!("npm_config_{lower}"), lower, upper],
        Rules::Reqwest => [String::new(), upper, lower],
    };
    names.iter().filter(|name| !name.is_empty()).find_map(|name| settings.variable(name))
}

/// Reads the URL of a proxy. The reasons do not repeat it: credentials stand in there.
fn proxy(text: &str, scheme: &str, rules: Rules) -> Result<OutboundProxy, Reason> {
    const SHAPE: &str = "is not the URL of an http or https proxy";
    let text = text.trim();
    let default = match rules {
        Rules::Node => scheme,
        Rules::Reqwest => "http",
    };
    let (scheme, rest) = text.split_once("://").unwrap_or((default, text));
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "http" => false,
        "https" => true,
        _ => return Err(SHAPE.to_owned()),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (userinfo, address) = match authority.rsplit_once('@') {
        Some((userinfo, address)) => (Some(userinfo), address),
        None => (None, authority),
    };
    let uri: Uri = format!("http://{address}/").parse().map_err(|_| SHAPE.to_owned())?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(SHAPE)?.to_owned();
    let is_port_bad = address.len() > host.len() && uri.port_u16().is_none();
    if is_port_bad {
        return Err(SHAPE.to_owned());
    }
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let authorization = userinfo.filter(|userinfo| !userinfo.is_empty()).map(basic);
    Ok(OutboundProxy { host, port, tls, authorization })
}

fn exemptions(text: &str, rules: Rules) -> Vec<Exemption> {
    let entries = text.split(|c: char| c == ',' || c.is_whitespace());
    entries.filter(|entry| !entry.is_empty()).flat_map(|entry| exemption(entry, rules)).collect()
}

fn exemption(entry: &str, rules: Rules) -> Vec<Exemption> {
    let entry = entry.to_ascii_lowercase();
    // `proxy-from-env` knows no networks, and what went through a proxy has to go on doing so.
    if rules == Rules::Reqwest
        && let [(address, prefix)] = values::networks(&entry).unwrap_or_default()[..]
    {
        return vec![Exemption { hosts: Hosts::Network(address, prefix), port: None }];
    }
    if let Some(hosts) = address(&entry) {
        return vec![Exemption { hosts, port: None }];
    }
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => match port.parse() {
            Ok(port) => (host, Some(port)),
            Err(_) => (entry.as_str(), None),
        },
        _ => (entry.as_str(), None),
    };
    if let Some(hosts) = address(host) {
        return vec![Exemption { hosts, port }];
    }
    let bare = host.strip_prefix('*').unwrap_or(host);
    let hosts = match rules {
        Rules::Node if host.starts_with(['*', '.']) => vec![Hosts::EndingIn(bare.to_owned())],
        Rules::Node => vec![Hosts::Exactly(host.to_owned())],
        Rules::Reqwest if host == "*" => vec![Hosts::EndingIn(String::new())],
        // A domain stands for its subdomains too.
        Rules::Reqwest => {
            let domain = bare.trim_start_matches('.');
            vec![Hosts::Exactly(domain.to_owned()), Hosts::EndingIn(format!(".{domain}"))]
        }
    };
    hosts.into_iter().map(|hosts| Exemption { hosts, port }).collect()
}

fn address(text: &str) -> Option<Hosts> {
    let address: IpAddr = text.trim_matches(['[', ']']).parse().ok()?;
    Some(Hosts::Network(address, if address.is_ipv4() { 32 } else { 128 }))
}

// === impl Outbound ===

impl Outbound {
    /// The Unleash Proxy's variables, which are Node's and `proxy-from-env`'s.
    pub(super) fn of_node(settings: &mut Settings<'_>, upstream: Option<&str>) -> Self {
        Self { proxies: proxies(settings, Rules::Node, upstream), tls: Tls::of_node(settings) }
    }

    /// Unleash Edge's settings: `skip` is its switch, `root` names a PEM file.
    pub(super) fn of_edge(
        settings: &mut Settings<'_>,
        (skip, root): (Option<Found>, Option<Found>),
        upstream: Option<&str>,
    ) -> Self {
        let name = skip.as_ref().map(|found| found.name.clone());
        let mut verification = Verification::Full;
        if let (Some(true), Some(name)) = (settings.parsed(skip, values::switch), name) {
            warn_of_skipping(settings, &name);
            verification = Verification::Skipped;
        }
        let extra_roots = settings.parsed(root, certificates).unwrap_or_default();
        let tls = Tls { verification, extra_roots };
        Self { proxies: proxies(settings, Rules::Reqwest, upstream), tls }
    }
}

// === impl Tls ===

impl Tls {
    /// `NODE_EXTRA_CA_CERTS` and `NODE_TLS_REJECT_UNAUTHORIZED`, as Node reads them.
    fn of_node(settings: &mut Settings<'_>) -> Self {
        let extra_roots = match settings.variable("NODE_EXTRA_CA_CERTS") {
            None => Vec::new(),
            Some(Found { name, text }) => certificates(&text).unwrap_or_else(|reason| {
                // Node goes on without them too: a start that worked must not fail.
                settings.warn(format!("`{name}` {reason}: only the machine's are trusted"));
                Vec::new()
            }),
        };
        let verification = match settings.variable("NODE_TLS_REJECT_UNAUTHORIZED") {
            Some(Found { name, text }) if text == "0" => {
                warn_of_skipping(settings, &name);
                Verification::Skipped
            }
            _ => Verification::Full,
        };
        Self { verification, extra_roots }
    }
}

/// Says what it means that a setting makes servers prove nothing.
pub(super) fn warn_of_skipping(settings: &mut Settings<'_>, name: &str) {
    settings.warn(format!(
        "`{name}` turns the verification of upstream's certificate off: whoever sits between can \
         read our token and change flags"
    ));
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verification, extra_roots } = self;
        f.debug_struct("Tls")
            .field("verification", verification)
            .field("extra_roots", &extra_roots.len())
            .finish()
    }
}

// === impl Proxies ===

impl Proxies {
    /// The proxy that passes on what goes to `url`. `None`: it goes there directly.
    pub fn to(&self, url: &Uri) -> Option<&OutboundProxy> {
        let proxy = match url.scheme_str() {
            Some("http") => self.http.as_ref(),
            Some("https") => self.https.as_ref(),
            _ => None,
        };
        proxy.filter(|_| !self.are_exempt(url))
    }

    fn are_exempt(&self, url: &Uri) -> bool {
        let host = url.host().unwrap_or_default().to_ascii_lowercase();
        let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
        let port = url.port_u16().unwrap_or(default);
        self.exempt.iter().any(|exemption| exemption.covers(&host, port))
    }
}

// === impl Exemption ===

impl Exemption {
    fn covers(&self, host: &str, port: u16) -> bool {
        let is_host = match &self.hosts {
            Hosts::Exactly(exactly) => host == exactly,
            Hosts::EndingIn(end) => host.ends_with(end.as_str()),
            Hosts::Network(network, prefix) => {
                let host = host.trim_matches(['[', ']']).parse();
                host.is_ok_and(|host: IpAddr| values::is_within(host, *network, *prefix))
            }
        };
        is_host && self.port.is_none_or(|own| own == port)
    }
}

// === impl OutboundProxy ===

impl OutboundProxy {
    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for OutboundProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let secret = if self.authorization.is_some() { "(masked)@" } else { "" };
        write!(f, "{scheme}://{secret}{}", self.authority())
    }
}

#[cfg(test)]
mod tests;
