//! The real HTTP layer on a free port of the loopback, over snapshots the test publishes.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use actix_web::{
    dev::ServerHandle,
    http::{Method, StatusCode, header::HeaderMap},
};
use offleash::{
    config::{
        Config, Cors, EdgeSurface, Exposure, Identity, Log, LogFormat, OfflineTokens, Origins,
        ProxySurface, Server, Source, Surfaces, TrustProxy,
    },
    engine::{Features, Host, Plan, Projects, compile},
    http::{Admit, Closing, Ties, serve},
    snapshot::{Grant, Publisher, channel},
    telemetry::prometheus::Registry,
    token::{Kind, Scope},
    usage::Handle,
};
use serde_json::{Value, json};

/// A frontend token every fixture grants.
pub(crate) const FRONTEND: &str = "*:development.frontend";
/// A backend token every fixture grants.
pub(crate) const BACKEND: &str = "*:development.backend";
/// A frontend token whose flags have not come.
pub(crate) const EMPTY: &str = "*:production.frontend";

/// A running server. Stopped when dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) publisher: Publisher,
    client: awc::Client,
    handle: ServerHandle,
}

/// What a request got.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// The body as it came.
    pub(crate) bytes: Vec<u8>,
}

/// A request in the making.
pub(crate) struct Ask<'s> {
    server: &'s TestServer,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

// === impl TestServer ===

impl TestServer {
    /// Serves `features` to the tokens above.
    pub(crate) fn with_features(features: &Value) -> Self {
        let mut server = Self::start(config(), None);
        server.publish(features);
        server
    }

    /// Serves nothing yet, and is not ready.
    pub(crate) fn start(config: Config, admit: Option<Admit>) -> Self {
        let (publisher, subscriber) = channel();
        let (server, serving) = serve(&config, subscriber, ties(admit)).unwrap();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        let client = awc::Client::builder().timeout(Duration::from_secs(20)).finish();
        Self { address: serving.address, publisher, client, handle }
    }

    pub(crate) fn publish(&mut self, features: &Value) {
        let plan = plan(features);
        self.publisher.publish(grants(&plan).collect(), true);
    }

    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Ask<'_> {
        self.ask(Method::POST, path)
            .header("content-type", "application/json")
            .body(body.to_string().into_bytes())
    }

    pub(crate) fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        Ask { server: self, method, path: path.to_owned(), headers: Vec::new(), body: None }
    }

    /// Sends bytes as they are and reads until the other side closes.
    pub(crate) async fn raw(&self, request: impl Into<Vec<u8>>) -> String {
        let (address, request) = (self.address, request.into());
        // On another thread: this one has the server's own work to do.
        let exchange = actix_web::rt::task::spawn_blocking(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            stream.write_all(&request).unwrap();
            let mut reply = Vec::new();
            stream.read_to_end(&mut reply).unwrap();
            String::from_utf8(reply).unwrap()
        });
        exchange.await.unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // The future only waits for what is done anyway.
        drop(self.handle.stop(false));
    }
}

// === impl Ask ===

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", token)
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// The reply to a request whose answer is text.
    pub(crate) async fn send(self) -> Reply {
        let reply = self.send_bytes().await;
        let body = String::from_utf8(reply.bytes.clone()).unwrap();
        Reply { body, ..reply }
    }

    /// The reply with its body as it came; `body` stays empty.
    pub(crate) async fn send_bytes(self) -> Reply {
        let url = format!("http://{}{}", self.server.address, self.path);
        let mut request = self.server.client.request(self.method, url).no_decompress();
        for (name, value) in self.headers {
            request = request.append_header((name, value));
        }
        let sent = match self.body {
            Some(body) => request.send_body(body),
            None => request.send(),
        };
        let mut response = sent.await.unwrap();
        let body = response.body().limit(16 << 20).await.unwrap();
        Reply {
            status: response.status(),
            headers: response.headers().clone(),
            body: String::new(),
            bytes: body.to_vec(),
        }
    }
}

// === impl Reply ===

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The names of the toggles, with `!` before those that are off.
    pub(crate) fn toggles(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{}", self.body);
        let body = self.json();
        let toggles = body.get("toggles").and_then(Value::as_array).unwrap().iter();
        toggles
            .map(|toggle| {
                let off = if toggle.get("enabled") == Some(&json!(true)) { "" } else { "!" };
                format!("{off}{}", toggle.get("name").and_then(Value::as_str).unwrap())
            })
            .collect()
    }
}

/// Ties to a house in which nobody counts and nothing stops.
pub(crate) fn ties(admit: Option<Admit>) -> Ties {
    Ties { admit, usage: Handle::idle(), closing: Closing::default(), registry: Registry::new() }
}

/// Both predecessors' defaults, with every `/all` on.
pub(crate) fn config() -> Config {
    Config {
        server: Server {
            interface: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            port: 0,
            tls: None,
            workers: 2,
            keep_alive: Duration::from_secs(30),
            head_within: Duration::from_secs(15),
            max_connections: 1000,
            stop_within: Duration::from_secs(2),
            stop_grace: Duration::ZERO,
        },
        surfaces: Surfaces {
            proxy: ProxySurface {
                base_path: String::new(),
                key_header: "authorization".to_owned(),
                all_endpoint: true,
                docs: false,
                app_name: "unleash-proxy".to_owned(),
                environment: None,
            },
            edge: EdgeSurface {
                base_path: String::new(),
                token_header: "authorization".to_owned(),
                all_endpoint: true,
            },
            cors: Cors {
                origin: Origins::Any,
                methods: "GET, POST".to_owned(),
                allowed_headers: None,
                exposed_headers: "ETag".to_owned(),
                credentials: false,
                max_age_seconds: 172_800,
                preflight_status: 204,
            },
            trust_proxy: TrustProxy::Nobody,
            body_limit: 102_400,
            body_within: Duration::from_secs(30),
            metrics: Exposure::On,
        },
        source: Source::File {
            path: PathBuf::from("unused"),
            reload_every: None,
            tokens: OfflineTokens::default(),
        },
        log: Log { format: LogFormat::Plain, filter: "warn".to_owned() },
        identity: Identity {
            app_name: "test".to_owned(),
            instance_id: "test".to_owned(),
            connection_id: "test".to_owned(),
        },
        hostname: "test".to_owned(),
    }
}

pub(crate) fn plan(features: &Value) -> Arc<Plan> {
    let (features, warnings) = Features::parse(features.to_string().as_bytes()).unwrap();
    assert!(warnings.is_empty(), "{warnings:?}");
    let (plan, warnings) = compile(&features, &Projects::All, &Host::default());
    assert!(warnings.is_empty(), "{warnings:?}");
    Arc::new(plan)
}

pub(crate) fn grants(plan: &Arc<Plan>) -> impl Iterator<Item = (Box<str>, Grant)> {
    let grant = |token: &str, kind, environment: &str, plan| {
        let scope = Scope { environment: environment.into(), projects: Projects::All };
        (token.into(), Grant { kind, scope, plan, definitions: None, edition: None })
    };
    [
        grant(FRONTEND, Kind::Frontend, "development", Some(Arc::clone(plan))),
        grant(BACKEND, Kind::Backend, "development", Some(Arc::clone(plan))),
        grant(EMPTY, Kind::Frontend, "production", None),
    ]
    .into_iter()
}

/// `on` and `off` are that for everyone, and each `(flag, field, value)` is on where the context
/// has the value in the field.
pub(crate) fn features(conditional: &[(&str, &str, &str)]) -> Value {
    let mut flags = vec![flag("on", true, &json!([])), flag("off", false, &json!([]))];
    for (name, field, value) in conditional {
        let constraint = json!({"contextName": field, "operator": "IN", "values": [value]});
        flags.push(flag(name, true, &json!([constraint])));
    }
    json!({"version": 2, "features": flags})
}

fn flag(name: &str, enabled: bool, constraints: &Value) -> Value {
    json!({
        "name": name,
        "type": "release",
        "enabled": enabled,
        "project": "default",
        "stale": false,
        "impressionData": false,
        "strategies": [{"name": "default", "constraints": constraints, "parameters": {}}],
        "variants": [],
    })
}
