//! The way to upstream, from the variables to the wire: proxies, certificates, exemptions.

use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use actix_rt::net::{TcpListener, TcpStream};
use offleash::config::{Machine, Problems, Resolved, Source, proxy_env};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio_rustls::TlsAcceptor;

use super::{
    sync::{Bench, FEATURES, KEY, SECRET, assert_no_secrets, eventually, ours, times_said},
    upstream::{Answer, ScriptedUpstream},
};

/// A name that only a proxy can resolve.
const NAME: &str = "unleash.test";

// === the way ===

/// A certificate for `names`, how to prove it, and the root that vouches for it.
struct Identity {
    acceptor: TlsAcceptor,
    root: String,
}

/// How a proxy behaves.
#[derive(Clone, Debug)]
enum Behaviour {
    /// Gives a way, where these are the credentials.
    Relays(Option<&'static str>),
    Answers(&'static str),
    HangsUp,
    /// Never answers.
    Stalls,
    /// Breaks the way after so many bytes from the server.
    DiesAfter(u64),
}

/// A proxy that speaks `CONNECT`, to loopback whatever the name. Ends with the test's runtime.
struct ConnectProxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    behaviour: Arc<Mutex<Behaviour>>,
}

// === impl Identity ===

impl Identity {
    /// One that an authority signed.
    fn signed() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let (params, key) = (Self::params(), KeyPair::generate().unwrap());
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self::of(certificate, &key, root)
    }

    /// One that signed itself, as an authority.
    fn own(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let root = certificate.pem();
        Self::of(certificate, &key, root)
    }

    fn params() -> CertificateParams {
        CertificateParams::new(vec!["127.0.0.1".to_owned(), NAME.to_owned()]).unwrap()
    }

    fn of(certificate: rcgen::Certificate, key: &KeyPair, root: String) -> Self {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self { acceptor: TlsAcceptor::from(Arc::new(config)), root }
    }

    /// Listens with TLS in front of `upstream`.
    async fn guard(&self, upstream: SocketAddr) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, acceptor) = (listener.local_addr().unwrap(), self.acceptor.clone());
        actix_rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                actix_rt::spawn(async move {
                    let Ok(mut secure) = acceptor.accept(stream).await else { return };
                    let Ok(mut plain) = TcpStream::connect(upstream).await else { return };
                    let _ = copy_bidirectional(&mut secure, &mut plain).await;
                });
            }
        });
        address
    }

    fn root_file(&self, test: &str) -> PathBuf {
        let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}.pem"));
        fs::write(&file, &self.root).unwrap();
        file
    }
}

// === impl ConnectProxy ===

impl ConnectProxy {
    async fn start(behaviour: Behaviour, tls: Option<&Identity>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let behaviour = Arc::new(Mutex::new(behaviour));
        let acceptor = tls.map(|identity| identity.acceptor.clone());
        let (kept_heads, kept_behaviour) = (Arc::clone(&heads), Arc::clone(&behaviour));
        actix_rt::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, heads) = (acceptor.clone(), Arc::clone(&kept_heads));
                let behaviour = kept_behaviour.lock().unwrap().clone();
                actix_rt::spawn(async move {
                    match acceptor {
                        None => relay(stream, behaviour, &heads).await,
                        Some(acceptor) => {
                            let Ok(stream) = acceptor.accept(stream).await else { return };
                            relay(stream, behaviour, &heads).await;
                        }
                    }
                });
            }
        });
        Self { address, heads, behaviour }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }

    fn becomes(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }
}

async fn relay(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    behaviour: Behaviour,
    heads: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    heads.lock().unwrap().push(head.clone());
    let answer = match &behaviour {
        Behaviour::HangsUp => return,
        Behaviour::Stalls => return std::future::pending().await,
        Behaviour::Answers(answer) => answer,
        Behaviour::Relays(Some(credentials)) if !head.contains(credentials) => {
            "HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
        }
        Behaviour::Relays(_) | Behaviour::DiesAfter(_) => "HTTP/1.1 200 Established\r\n\r\n",
    };
    client.write_all(answer.as_bytes()).await.unwrap();
    client.flush().await.unwrap();
    if !answer.starts_with("HTTP/1.1 200") {
        return;
    }
    let target = head.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
    let port: u16 = target.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    if let Behaviour::DiesAfter(bytes) = behaviour {
        let (mut from_client, mut to_client) = tokio::io::split(client);
        let (from_server, mut to_server) = server.split();
        let mut some = from_server.take(bytes);
        let up = tokio::io::copy(&mut from_client, &mut to_server);
        let down = tokio::io::copy(&mut some, &mut to_client);
        futures_util::future::select(std::pin::pin!(up), std::pin::pin!(down)).await;
        return;
    }
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

// === the configuration ===

/// What the Unleash Proxy's variables, a minimal set and `more`, come to.
pub(crate) fn resolve(url: &str, more: &[(&str, &str)]) -> Result<Resolved, Problems> {
    let env = |name: &str| {
        let minimal = [
            ("UNLEASH_URL", url),
            ("UNLEASH_API_TOKEN", SECRET),
            ("UNLEASH_PROXY_CLIENT_KEYS", KEY),
            ("UNLEASH_FETCH_INTERVAL", "20"),
            ("UNLEASH_METRICS_INTERVAL", "0"),
        ];
        let found = more.iter().chain(&minimal).find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_owned())
    };
    proxy_env::resolve(&env, &Machine::of_this_process(&|_| None))
}

pub(crate) fn bench(url: &str, more: &[(&str, &str)]) -> Bench {
    Bench::start(source(url, more)).unwrap()
}

pub(crate) fn source(url: &str, more: &[(&str, &str)]) -> Source {
    resolve(url, more).unwrap().config.source
}

/// An upstream with the flag `a`.
fn upstream() -> ScriptedUpstream {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    upstream
}

/// Waits for the failure that says `text`, which nothing else in the test says.
async fn fails_with(bench: &mut Bench, text: &str) {
    eventually(text, || times_said("no flags from upstream", text) > 0).await;
    assert!(!bench.ready());
}

// === certificates ===

#[actix_rt::test]
async fn an_upstream_with_a_certificate_of_an_own_authority_needs_its_root() {
    let (upstream, identity) = (upstream(), Identity::signed());
    let url = format!("https://{}/api", identity.guard(upstream.address()).await);
    fails_with(&mut bench(&url, &[]), "UnknownIssuer").await;
    assert_eq!(upstream.requests().len(), 0, "nothing was said to a stranger");
    let root = identity.root_file("own-authority");
    let mut bench = bench(&url, &[("NODE_EXTRA_CA_CERTS", root.to_str().unwrap())]);
    bench.serves(KEY, &["a"]).await;
    assert_no_secrets();
}

#[actix_rt::test]
async fn a_certificate_that_signed_itself_is_good_where_it_is_named_and_for_its_names() {
    let (upstream, identity) = (upstream(), Identity::own(&["127.0.0.1"]));
    let root = identity.root_file("own");
    let named = [("NODE_EXTRA_CA_CERTS", root.to_str().unwrap())];
    let address = identity.guard(upstream.address()).await;
    let mut good = bench(&format!("https://{address}/api"), &named);
    good.serves(KEY, &["a"]).await;
    drop(good);
    let elsewhere = format!("https://localhost:{}/api", address.port());
    fails_with(&mut bench(&elsewhere, &named), "only valid for").await;
    let other = Identity::own(&["127.0.0.1"]).guard(upstream.address()).await;
    let mut bench = bench(&format!("https://{other}/api"), &named);
    fails_with(&mut bench, "CaUsedAsEndEntity").await;
}

#[actix_rt::test]
async fn verification_is_off_only_where_it_is_turned_off() {
    let (upstream, identity) = (upstream(), Identity::own(&["elsewhere.test"]));
    let url = format!("https://{}/api", identity.guard(upstream.address()).await);
    for (variable, text) in [
        ("NODE_TLS_REJECT_UNAUTHORIZED", "0"),
        ("HTTP_OPTIONS_REJECT_UNAUTHORIZED", "false"),
        ("HTTP_OPTIONS_REJECT_UNAUTHORIZED", "0"),
    ] {
        let set = [(variable, text)];
        let warnings = resolve(&url, &set).unwrap().warnings;
        assert!(warnings[0].contains(variable) && warnings[0].contains("verification"));
        bench(&url, &set).serves(KEY, &["a"]).await;
    }
    for set in [
        &[("NODE_TLS_REJECT_UNAUTHORIZED", "1")][..],
        &[("HTTP_OPTIONS_REJECT_UNAUTHORIZED", "TRUE")],
        &[("NODE_TLS_REJECT_UNAUTHORIZED", "0"), ("HTTP_OPTIONS_REJECT_UNAUTHORIZED", "true")],
    ] {
        let asked = upstream.requests().len();
        let mut bench = bench(&url, set);
        actix_rt::time::sleep(Duration::from_millis(200)).await;
        assert!(!bench.ready(), "{set:?}");
        assert_eq!(upstream.requests().len(), asked, "{set:?}");
    }
}

#[test]
fn a_file_of_roots_that_is_no_good_is_said_and_the_start_goes_on() {
    let warnings =
        |path: &str| resolve("https://u/api", &[("NODE_EXTRA_CA_CERTS", path)]).unwrap().warnings;
    let missing = warnings("/nowhere/root.pem");
    assert_eq!(missing.len(), 1);
    assert!(missing[0].contains("/nowhere/root.pem"), "{missing:?}");
}

// === proxies ===

#[actix_rt::test]
async fn an_upstream_with_tls_is_reached_through_a_proxy_that_resolves_its_name() {
    let (upstream, identity) = (upstream(), Identity::signed());
    let port = identity.guard(upstream.address()).await.port();
    let proxy = ConnectProxy::start(Behaviour::Relays(Some("Basic bWU6c2VzYW1l")), None).await;
    let root = identity.root_file("through-a-proxy");
    let way = format!("http://me:sesame@{}", proxy.address);
    let set = [("HTTPS_PROXY", way.as_str()), ("NODE_EXTRA_CA_CERTS", root.to_str().unwrap())];
    let mut bench = bench(&format!("https://{NAME}:{port}/api"), &set);
    bench.serves(KEY, &["a"]).await;
    eventually("more polls", || upstream.requests_to(FEATURES).len() > 5).await;
    let heads = proxy.heads();
    assert!(heads[0].starts_with(&format!("CONNECT {NAME}:{port} HTTP/1.1\r\n")), "{heads:?}");
    assert!(!heads.concat().contains(SECRET), "our token is for upstream alone");
    assert_eq!(heads.len(), 1, "the way is kept");
    let request = &upstream.requests_to(FEATURES)[0];
    assert_eq!(request.header("host"), Some(format!("{NAME}:{port}").as_str()));
    assert_eq!(request.header("proxy-authorization"), None);
    assert_no_secrets();
}

#[actix_rt::test]
async fn a_proxy_may_want_tls_itself() {
    let (upstream, identity) = (upstream(), Identity::signed());
    let port = identity.guard(upstream.address()).await.port();
    let proxy = ConnectProxy::start(Behaviour::Relays(None), Some(&identity)).await;
    let root = identity.root_file("proxy-with-tls");
    let way = format!("https://{}", proxy.address);
    let set = [("ALL_PROXY", way.as_str()), ("NODE_EXTRA_CA_CERTS", root.to_str().unwrap())];
    let mut bench = bench(&format!("https://{NAME}:{port}/api"), &set);
    bench.serves(KEY, &["a"]).await;
}

#[actix_rt::test]
async fn a_proxy_that_gives_no_way_is_said_and_asked_again() {
    let (upstream, identity) = (upstream(), Identity::signed());
    let port = identity.guard(upstream.address()).await.port();
    let root = identity.root_file("no-way");
    for (behaviour, text) in [
        (Behaviour::Relays(Some("Basic bWU6b3RoZXI=")), "answered `407`"),
        (Behaviour::Answers("HTTP/1.1 502 Bad Gateway\r\n\r\n"), "answered `502`"),
        (Behaviour::Answers("SSH-2.0-hello\r\n\r\n"), "is not one of HTTP"),
        (Behaviour::HangsUp, "closed the connection"),
    ] {
        let proxy = ConnectProxy::start(behaviour, None).await;
        let way = format!("http://me:sesame@{}", proxy.address);
        let set = [("HTTPS_PROXY", way.as_str()), ("NODE_EXTRA_CA_CERTS", root.to_str().unwrap())];
        let mut bench = bench(&format!("https://{NAME}:{port}/api"), &set);
        eventually(text, || ours().contains(text)).await;
        assert!(!bench.ready(), "{text}");
        proxy.becomes(Behaviour::Relays(None));
        bench.serves(KEY, &["a"]).await;
    }
    let nobody = format!("http://{}", ScriptedUpstream::reserve());
    let _bench = bench(&format!("https://{NAME}/api"), &[("HTTPS_PROXY", nobody.as_str())]);
    eventually("nobody there", || ours().contains("proxy `127.0.0.1:")).await;
    assert_no_secrets();
}

#[actix_rt::test]
async fn a_proxy_that_never_answers_is_given_up_in_time() {
    let upstream = upstream();
    let proxy = ConnectProxy::start(Behaviour::Stalls, None).await;
    let way = format!("http://{}", proxy.address);
    let url = format!("https://{NAME}:{}/api", upstream.address().port());
    let Source::Upstream(mut settings) = source(&url, &[("HTTPS_PROXY", way.as_str())]) else {
        panic!("not upstream")
    };
    settings.connect_within = Duration::from_millis(100);
    let mut bench = Bench::start(Source::Upstream(settings)).unwrap();
    fails_with(&mut bench, "Timeout").await;
    eventually("asking goes on", || proxy.heads().len() > 1).await;
}

#[actix_rt::test]
async fn a_way_that_breaks_takes_nothing_away() {
    let (upstream, identity) = (upstream(), Identity::signed());
    let port = identity.guard(upstream.address()).await.port();
    let proxy = ConnectProxy::start(Behaviour::Relays(None), None).await;
    let root = identity.root_file("breaks");
    let way = format!("http://{}", proxy.address);
    let set = [("HTTPS_PROXY", way.as_str()), ("NODE_EXTRA_CA_CERTS", root.to_str().unwrap())];
    let mut bench = bench(&format!("https://{NAME}:{port}/api"), &set);
    bench.serves(KEY, &["a"]).await;
    // Within the handshake, and within the answer.
    for bytes in [100, 3_000] {
        let names: Vec<String> = (0..400).map(|at| format!("flag-{at:04}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        proxy.becomes(Behaviour::DiesAfter(bytes));
        // An answer that ends its connection makes the next one ask for a new way.
        upstream.answer_once(FEATURES, Answer::hang_up());
        upstream.answer(FEATURES, Answer::flags(&names));
        let before = proxy.heads().len();
        eventually("the new ways break", || proxy.heads().len() > before + 2).await;
        assert_eq!(bench.flags(KEY).unwrap(), ["a"], "{bytes}");
        assert!(bench.ready());
        proxy.becomes(Behaviour::Relays(None));
        bench.serves(KEY, &names).await;
        upstream.answer(FEATURES, Answer::flags(&["a"]));
        bench.serves(KEY, &["a"]).await;
    }
}

#[actix_rt::test]
async fn an_upstream_without_tls_is_asked_for_by_its_whole_url() {
    let proxy = ScriptedUpstream::start();
    let path = format!("http://{NAME}:4242/api/client/features");
    proxy.answer(&path, Answer::flags(&["a"]));
    let way = format!("http://me:sesame@{}", proxy.address());
    let set = [("HTTP_PROXY", way.as_str()), ("UNLEASH_TAGS", "a:b c")];
    let mut bench = bench(&format!("http://{NAME}:4242/api"), &set);
    bench.serves(KEY, &["a"]).await;
    let request = &proxy.requests_to(&path)[0];
    assert_eq!(request.query, "tag=a%3Ab%20c");
    assert_eq!(request.header("host"), Some("unleash.test:4242"));
    assert_eq!(request.header("authorization"), Some(SECRET));
    assert_eq!(request.header("proxy-authorization"), Some("Basic bWU6c2VzYW1l"));
    assert_eq!(request.header("content-length"), None, "there is no body");
    let is_camel_case = |name: &String| name.starts_with(|c: char| c.is_ascii_uppercase());
    assert!(request.written.iter().all(is_camel_case), "{:?}", request.written);
    proxy.answer(&path, Answer::status(407));
    eventually("the refusal is said", || ours().contains("proxy that wants other")).await;
    assert_eq!(bench.flags(KEY).unwrap(), ["a"]);
    assert_no_secrets();
}

#[actix_rt::test]
async fn an_exempt_upstream_is_reached_directly() {
    let upstream = upstream();
    let nobody = format!("http://{}", ScriptedUpstream::reserve());
    let set = [("HTTP_PROXY", nobody.as_str()), ("no_proxy", "other.test, 127.0.0.1")];
    bench(&format!("{}/api", upstream.url()), &set).serves(KEY, &["a"]).await;
    let set = [("HTTP_PROXY", nobody.as_str()), ("NO_PROXY", "127.0.0.1:1")];
    let mut bench = bench(&format!("{}/api", upstream.url()), &set);
    fails_with(&mut bench, "cannot be reached").await;
}
