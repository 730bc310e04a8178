//! The connections: directly, or through a proxy; in the clear, or with TLS.
//!
//! An upstream without TLS is asked for through a proxy as `http-proxy-agent` does in the Unleash
//! Proxy, by its whole URL; one with TLS through a [`Tunnel`].

use std::{cell::OnceCell, fmt, sync::Arc, time::Duration};

use actix_rt::net::ActixStream;
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use actix_web::http::{
    Uri,
    header::{self, HeaderName, HeaderValue},
    uri::{Authority, PathAndQuery, Scheme},
};
use rustls::ClientConfig;

use super::{Question, tls, tunnel::Tunnel};
use crate::config::{Outbound, OutboundProxy};

/// Sends questions. Connections are kept, in one pool for each sort of way.
pub(super) struct Transport {
    outbound: Outbound,
    connect_within: Duration,
    // Made when first needed: reading the machine's certificates takes longer than a whole start.
    tls: OnceCell<Arc<ClientConfig>>,
    plain: OnceCell<awc::Client>,
    secure: OnceCell<awc::Client>,
    tunnelled: OnceCell<awc::Client>,
}

/// Where a question goes, and what it says on top for the way there.
struct Route<'a> {
    client: &'a awc::Client,
    uri: Uri,
    headers: Vec<(HeaderName, HeaderValue)>,
}

// === impl Transport ===

impl Transport {
    pub(super) fn new(outbound: Outbound, connect_within: Duration) -> Self {
        let (tls, plain) = (OnceCell::new(), OnceCell::new());
        let (secure, tunnelled) = (OnceCell::new(), OnceCell::new());
        Self { outbound, connect_within, tls, plain, secure, tunnelled }
    }

    pub(super) fn send(&self, question: &Question) -> awc::SendClientRequest {
        let route = self.route(&question.url);
        // Some proxies know `Content-Length` and add it where only `content-length` stands.
        let mut request = route.client.request(question.method.clone(), route.uri).camel_case();
        for (name, value) in question.headers.iter().chain(&route.headers) {
            request = request.insert_header((name.clone(), value.clone()));
        }
        match &question.body {
            Some(body) => request.send_body(body.clone()),
            // `send` would announce a body of no bytes, which not every proxy takes with a GET.
            None => request.send_body(actix_web::body::None::new()),
        }
    }

    fn route(&self, url: &str) -> Route<'_> {
        // awc says what is wrong with a URL that is none.
        let uri: Uri = url.parse().unwrap_or_default();
        let is_secure = uri.scheme_str() == Some("https");
        let direct = |client| Route { client, uri: uri.clone(), headers: Vec::new() };
        match self.outbound.proxies.to(&uri) {
            None if is_secure => direct(self.secure()),
            None => direct(self.plain()),
            Some(proxy) if is_secure => direct(self.tunnelled(proxy)),
            Some(proxy) => {
                let client = if proxy.tls { self.secure() } else { self.plain() };
                match by_whole_url(&uri, proxy) {
                    Some((uri, headers)) => Route { client, uri, headers },
                    None => direct(client),
                }
            }
        }
    }

    fn plain(&self) -> &awc::Client {
        let within = self.connect_within;
        self.plain.get_or_init(|| finish(awc::Connector::new().timeout(within)))
    }

    fn secure(&self) -> &awc::Client {
        let within = self.connect_within;
        self.secure.get_or_init(|| {
            let connector = awc::Connector::new().timeout(within).handshake_timeout(within);
            finish(connector.rustls_0_23(self.tls()))
        })
    }

    fn tunnelled(&self, proxy: &OutboundProxy) -> &awc::Client {
        let within = self.connect_within;
        self.tunnelled.get_or_init(|| {
            let tunnel = Tunnel::new(proxy.clone(), self.tls());
            let connector = awc::Connector::new().connector(tunnel);
            let connector = connector.timeout(within).handshake_timeout(within);
            finish(connector.rustls_0_23(self.tls()))
        })
    }

    fn tls(&self) -> Arc<ClientConfig> {
        Arc::clone(self.tls.get_or_init(|| tls::client_config(&self.outbound.tls)))
    }
}

/// The question as a proxy takes it: its own address, and the whole URL where the path would be.
fn by_whole_url(uri: &Uri, proxy: &OutboundProxy) -> Option<(Uri, Vec<(HeaderName, HeaderValue)>)> {
    let server = uri.authority()?.as_str();
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let mut parts = Uri::default().into_parts();
    parts.scheme = Some(if proxy.tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.authority = Some(proxy.authority().parse::<Authority>().ok()?);
    // awc writes this where the path goes.
    parts.path_and_query = Some(format!("http://{server}{path}").parse().ok()?);
    let mut headers = vec![(header::HOST, HeaderValue::from_str(server).ok()?)];
    if let Some(token) = &proxy.authorization {
        headers.push((header::PROXY_AUTHORIZATION, HeaderValue::from_str(token.secret()).ok()?));
    }
    Some((Uri::from_parts(parts).ok()?, headers))
}

fn finish<S, Io>(connector: awc::Connector<S>) -> awc::Client
where
    S: Service<ConnectInfo<Uri>, Response = Connection<Uri, Io>, Error = ConnectError>,
    S: Clone + 'static,
    Io: ActixStream + fmt::Debug + 'static,
{
    // Both are done by `Client`: time is kept over redirects and all, and the token on its host.
    awc::Client::builder().connector(connector).disable_timeout().disable_redirects().finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Token;

    #[test]
    fn a_proxy_is_asked_by_the_whole_url() {
        let proxy = OutboundProxy {
            host: "proxy".to_owned(),
            port: 3128,
            tls: true,
            authorization: Some(Token::new("Basic eA==")),
        };
        let uri = "http://upstream:4242/api/client/features?tag=a%3Ab".parse().unwrap();
        let (uri, headers) = by_whole_url(&uri, &proxy).unwrap();
        assert_eq!(
            (uri.scheme_str(), uri.host(), uri.port_u16()),
            (Some("https"), Some("proxy"), Some(3128))
        );
        let path = uri.path_and_query().unwrap().as_str();
        assert_eq!(path, "http://upstream:4242/api/client/features?tag=a%3Ab");
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(headers, [("host", "upstream:4242"), ("proxy-authorization", "Basic eA==")]);
    }
}
