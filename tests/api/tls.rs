//! TLS towards callers, with HTTP/1.1 and HTTP/2.

use std::{
    fs,
    io::Write as _,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    http::{Method, Version, header::HeaderMap},
    rt::task::spawn_blocking,
};
use offleash::config::{Config, ServerTls, Source};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use serde_json::{Value, json};

use crate::{
    server::{FRONTEND, TestServer, config, features},
    service::{PATIENCE, Process, connect, line_with},
    sync::{FEATURES, KEY, keys},
    upstream::{Answer, ScriptedUpstream},
};

const VERSIONS: [(&[u8], Version); 2] = [(b"http/1.1", Version::HTTP_11), (b"h2", Version::HTTP_2)];

/// A certificate for the loopback, and the authority that vouches for it, in PEM.
struct Identity {
    certificate: String,
    key: String,
    root: String,
}

/// Status, headers, protocol and body of an answer.
struct Reply {
    status: u16,
    headers: HeaderMap,
    version: Version,
    body: Vec<u8>,
}

impl Identity {
    fn make() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(authority, key);
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), root }
    }

    fn serves(&self) -> ServerTls {
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        ServerTls { port: 0, config: Arc::new(config) }
    }

    /// A client that trusts the authority and speaks one protocol.
    fn client(&self, protocol: &[u8]) -> awc::Client {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.root.as_bytes()).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let connector = awc::Connector::new().rustls_0_23(Arc::new(config));
        awc::Client::builder().connector(connector).timeout(PATIENCE).finish()
    }

    /// Writes its parts to files: the certificate, the key and the root.
    fn files(&self, test: &str) -> [String; 3] {
        let parts = [("cert", &self.certificate), ("key", &self.key), ("root", &self.root)];
        parts.map(|(name, text)| {
            let file =
                PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{test}-{name}.pem"));
            fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        })
    }
}

fn secure(identity: &Identity) -> Config {
    let mut config = config();
    config.server.tls = Some(identity.serves());
    config
}

async fn ask(
    client: &awc::Client,
    (method, address, path): (Method, SocketAddr, &str),
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Reply {
    let url = format!("https://{address}{path}");
    let mut request = client.request(method, url).no_decompress();
    request = request.insert_header(("authorization", FRONTEND));
    for &(name, value) in headers {
        request = request.insert_header((name, value));
    }
    let sent = match body {
        Some(body) => request.send_json(body),
        None => request.send(),
    };
    let mut response = sent.await.unwrap();
    let body = response.body().limit(16 << 20).await.unwrap().to_vec();
    Reply {
        status: response.status().as_u16(),
        headers: response.headers().clone(),
        version: response.version(),
        body,
    }
}

fn toggles(reply: &Reply) -> usize {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    body["toggles"].as_array().unwrap().len()
}

#[actix_web::test]
async fn both_surfaces_are_served_with_tls_by_both_protocols() {
    let identity = Identity::make();
    let mut server = TestServer::start(secure(&identity), None);
    server.publish(&features(&[("seven", "userId", "7")]));
    for (protocol, version) in VERSIONS {
        let client = identity.client(protocol);
        for path in ["/proxy", "/api/frontend"] {
            let with = format!("{path}?userId=7");
            let get = ask(&client, (Method::GET, server.address, &with), &[], None).await;
            assert_eq!((get.status, get.version, toggles(&get)), (200, version, 2), "{path}");

            let tag = get.headers.get("etag").unwrap().to_str().unwrap();
            let headers = [("if-none-match", tag)];
            let same = ask(&client, (Method::GET, server.address, &with), &headers, None).await;
            assert_eq!((same.status, same.body.len()), (304, 0), "{path} {version:?}");

            let context = json!({"context": {"userId": "7"}});
            let post = (Method::POST, server.address, path);
            let post = ask(&client, post, &[], Some(&context)).await;
            assert_eq!((post.status, toggles(&post)), (200, 2), "{path} {version:?}");
            let large = json!({"context": {"userId": "7".repeat(200_000)}});
            let post = (Method::POST, server.address, path);
            let refused = ask(&client, post, &[], Some(&large)).await;
            assert_eq!(refused.status, 413, "{path} {version:?}");
        }
        // The connection is good after a body that was refused.
        let after = ask(&client, (Method::GET, server.address, "/proxy"), &[], None).await;
        assert_eq!((after.status, toggles(&after)), (200, 1), "{version:?}");
    }
}

#[actix_web::test]
async fn large_answers_come_whole_with_tls_too_compressed_and_not() {
    let identity = Identity::make();
    let mut server = TestServer::start(secure(&identity), None);
    // So many that the plain answer goes in slices.
    let names: Vec<String> = (0..400).map(|number| format!("flag-{number}")).collect();
    let flags: Vec<_> = names.iter().map(|name| (name.as_str(), "userId", "7")).collect();
    server.publish(&features(&flags));
    for (protocol, version) in VERSIONS {
        let client = identity.client(protocol);
        let path = "/api/frontend?userId=7";
        let plainly = ask(&client, (Method::GET, server.address, path), &[], None).await;
        assert!(plainly.body.len() > 2 * 16_000, "{}", plainly.body.len());
        let asked = (Method::GET, server.address, path);
        let reply = ask(&client, asked, &[("accept-encoding", "gzip")], None).await;
        assert_eq!(reply.headers.get("content-encoding").unwrap(), "gzip", "{version:?}");
        let mut plain = Vec::new();
        std::io::Read::read_to_end(
            &mut flate2::read::GzDecoder::new(reply.body.as_slice()),
            &mut plain,
        )
        .unwrap();
        assert_eq!(plain, plainly.body, "{version:?}");
        assert_eq!(toggles(&plainly), 401, "{version:?}");
    }
}

#[actix_web::test]
async fn nothing_is_served_without_tls_where_it_is_on() {
    let identity = Identity::make();
    let server = TestServer::start(secure(&identity), None);
    let address = server.address;
    let plain = spawn_blocking(move || {
        let mut plain = connect(address);
        plain.get_mut().write_all(b"GET /proxy HTTP/1.1\r\nhost: t\r\n\r\n").unwrap();
        let mut reply = Vec::new();
        let _ = std::io::Read::read_to_end(&mut plain, &mut reply);
        reply
    });
    let reply = plain.await.unwrap();
    assert!(!reply.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&reply));
}

#[actix_web::test]
async fn a_stop_does_not_wait_for_idle_connections_of_http_2() {
    let upstream = ScriptedUpstream::start();
    upstream.answer(FEATURES, Answer::flags(&["a"]));
    let identity = Identity::make();
    let mut config = secure(&identity);
    config.source = Source::Upstream(keys(&upstream.url()));
    config.server.stop_within = Duration::from_secs(20);
    let running = offleash::start(config).await.unwrap();
    let client = identity.client(b"h2");
    let headers = [("authorization", KEY)];
    let path = "/internal-backstage/health";
    let reply = ask(&client, (Method::GET, running.addr(), path), &headers, None).await;
    assert_eq!((reply.status, reply.version), (200, Version::HTTP_2));
    let start = Instant::now();
    running.stop().await;
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    drop(client);
}

/// Runs `offleash` to its end: whether it succeeded, and what it said on stderr.
fn run(args: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_offleash"))
        .args(args)
        .env_clear()
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn probes_ask_a_process_with_tls() {
    let [cert, key, root] = Identity::make().files("probes");
    let flags = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("probes.json");
    fs::write(&flags, features(&[]).to_string()).unwrap();
    let (_process, lines) = Process::start(|command| {
        command
            .args(["offline", "--interface", "127.0.0.1", "--tls-enable", "--tls-server-port", "0"])
            .args(["--tls-server-cert", &cert, "--tls-server-key", &key, "--tokens", FRONTEND])
            .args(["--bootstrap-file", flags.to_str().unwrap()]);
    });
    let mut log = Vec::new();
    line_with(&lines, "ready", &mut log);
    let listening = line_with(&lines, "listening addr", &mut log);
    let port = listening.split("127.0.0.1:").nth(1).unwrap().split_whitespace().next().unwrap();

    let url = format!("https://127.0.0.1:{port}");
    for command in ["health", "ready"] {
        assert_eq!(run(&[command, "-e", &url, "-c", &root], &[]).0, Some(0), "{command}");
        let derived = [("TLS_ENABLE", "true"), ("TLS_SERVER_PORT", port)];
        assert_eq!(run(&[command], &derived).0, Some(0), "{command}");
        let variables = [("EDGE_URL", url.as_str()), ("CA_CERTIFICATE_FILE", root.as_str())];
        assert_eq!(run(&[command], &variables).0, Some(0), "{command}");
        let (code, said) = run(&[command, "-e", &url], &[]);
        assert_eq!(code, Some(1), "nobody vouches for it: {said}");
        assert!(said.contains("certificate"), "{said}");
    }
    let (code, said) = run(&["ready", "-c", "/nowhere.pem"], &[]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("`--ca-certificate-file` is `/nowhere.pem`"), "{said}");
}

#[test]
fn certificates_that_cannot_be_served_with_are_told_at_the_start_with_everything_else() {
    let [cert, ..] = Identity::make().files("wrong-one");
    let [_, key, _] = Identity::make().files("wrong-other");
    let args = ["edge", "--tls-enable", "--tls-server-cert", &cert, "--tls-server-key", &key];
    let (code, said) = run(&args, &[("PORT", "70000")]);
    assert_eq!(code, Some(64), "{said}");
    let told = "`--tls-server-key` is not the key of the first certificate in `--tls-server-cert`";
    for text in [told, "`PORT`", "`UPSTREAM_URL`", "`TOKENS`"] {
        assert!(said.contains(text), "{text} is not in {said}");
    }
    assert!(!said.contains("PRIVATE"), "{said}");
}
