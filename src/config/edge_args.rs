//! Unleash Edge's dialect: flags and variables with its names and defaults (unleash-edge.md
//! section 2), for the commands `edge`, `offline` and `demo`.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use super::{
    Access, Config, Cors, EdgeSurface, Env, Exposure, Identity, Log, LogFormat, Machine,
    OfflineTokens, Origins, Outbound, Problems, ProxySurface, Resolved, Source, Surfaces,
    TrustProxy, Upstream,
    proxy_env::{DEFAULT_APP_NAME, DEFAULT_MAX_AGE_SECONDS, DEFAULT_PREFLIGHT_STATUS},
    server_tls,
    settings::{Found, Settings},
    values,
};
use crate::{
    cli::{Args, EdgeArgs, OfflineArgs, ServerArgs},
    demo, telemetry,
    token::{Scope, Token},
};

const DEFAULT_PORT: u16 = 3063;
const DEFAULT_IDENTITY: &str = "unleash-edge";
const DEFAULT_POLL: Duration = Duration::from_secs(15);
const DEFAULT_REPORT: Duration = Duration::from_secs(60);
const DEFAULT_UPSTREAM_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_BODY_LIMIT_BYTES: usize = 2 * 1024 * 1024;

/// Known, not served, and starting without it would open what its author closed.
const REFUSED: &[(&str, &str)] = &[
    ("ALLOW_LIST", "address lists are not supported yet, and everybody would be let in"),
    ("DENY_LIST", "address lists are not supported yet, and everybody would be let in"),
];

/// Known, not served, and harmless but for what they would have done. All are about the way to and
/// from upstream, so that a process without one passes over them.
const UNSUPPORTED: &[&str] = &[
    "REDIRECT_HTTP_TO_HTTPS",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "TOKEN_REVALIDATION_INTERVAL_SECONDS",
    "PKCS8_CLIENT_CERTIFICATE_FILE",
    "PKCS12_IDENTITY_FILE",
    "PEM_CERT_FILE",
    "BACKUP_FOLDER",
    "REDIS_URL",
    "REDIS_HOST",
    "S3_BUCKET_NAME",
    "STREAMING",
    "DELTA",
    "PROMETHEUS_REMOTE_WRITE_URL",
    "UNLEASH_CLIENT_SECRET",
];

/// What `offleash edge` was asked to do.
///
/// # Errors
///
/// Every problem at once.
pub fn edge(
    args: &Args,
    edge: &EdgeArgs,
    env: Env<'_>,
    machine: &Machine,
) -> Result<Resolved, Problems> {
    let mut settings = Settings::new(env);
    let source = upstream(&mut settings, args, edge).map(Source::Upstream);
    resolve(settings, args, source, machine)
}

/// What `offleash offline` was asked to do. Whether the file can be read shows at the start.
///
/// # Errors
///
/// Every problem at once.
pub fn offline(
    args: &Args,
    offline: &OfflineArgs,
    env: Env<'_>,
    machine: &Machine,
) -> Result<Resolved, Problems> {
    let mut settings = Settings::new(env);
    let source = file(&mut settings, offline);
    resolve(settings, args, source, machine)
}

/// What `offleash demo` was asked to do: only loopback is listened on, unless an interface is given.
///
/// # Errors
///
/// Every problem at once.
pub fn demo(args: &Args, env: Env<'_>, machine: &Machine) -> Result<Resolved, Problems> {
    let tokens = OfflineTokens { frontend: vec![Token::new(demo::KEY)], backend: Vec::new() };
    let mut resolved = resolve(Settings::new(env), args, Some(Source::Demo { tokens }), machine)?;
    let interface = &mut resolved.config.server.interface;
    *interface = interface.or(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    if resolved.config.server.tls.take().is_some() {
        resolved.warnings.push("`TLS_ENABLE` has no effect on the demo".to_owned());
    }
    Ok(resolved)
}

fn resolve(
    mut settings: Settings<'_>,
    args: &Args,
    source: Option<Source>,
    machine: &Machine,
) -> Result<Resolved, Problems> {
    let typed = &args.server;
    let interface = settings.flag("INTERFACE", typed.interface.as_deref());
    let interface = settings.parsed(interface, values::address);
    let port = settings.flag("PORT", typed.port.as_deref().or(args.port_before.as_deref()));
    let port = settings.parsed(port, values::port).unwrap_or(DEFAULT_PORT);
    let workers = settings.flag("WORKERS", typed.workers.as_deref());
    let workers = settings.parsed(workers, values::workers);
    // The unspecified address of IPv6 is Edge's way to say every address, IPv4 included.
    let interface = interface.filter(|address| *address != IpAddr::V6([0; 16].into()));
    let mut server = settings.server(interface, port, workers, machine);
    server.tls = server_tls::read(&mut settings, typed);

    let surfaces = surfaces(&mut settings, args, server.listens_on());
    let log = log(&mut settings, typed);
    let identity = identity(&settings, typed, machine);
    let upstream = matches!(source, Some(Source::Upstream(_)) | None);
    complain(&mut settings, &args.others, if upstream { UNSUPPORTED } else { &[] });
    let hostname = machine.hostname.clone();
    let config = source.map(|source| Config { server, surfaces, source, log, identity, hostname });
    settings.finish(config).map(|(config, warnings)| Resolved { config, warnings })
}

fn identity(settings: &Settings<'_>, typed: &ServerArgs, machine: &Machine) -> Identity {
    let text = |name, typed| settings.flag(name, typed).map(|found| found.text);
    let app_name = text("APP_NAME", typed.app_name.as_deref());
    let app_name = app_name.unwrap_or_else(|| DEFAULT_IDENTITY.to_owned());
    let connection_id = machine.connection_id.clone();
    let instance_id = text("INSTANCE_ID", typed.instance_id.as_deref());
    Identity {
        instance_id: instance_id.unwrap_or_else(|| format!("{app_name}@{connection_id}")),
        app_name,
        connection_id,
    }
}

fn surfaces(settings: &mut Settings<'_>, args: &Args, port: u16) -> Surfaces {
    let typed = &args.server;
    let base_path = settings.flag("BASE_PATH", typed.base_path.as_deref());
    let base_path = settings.parsed(base_path, values::base_path).unwrap_or_default();
    let inbound = settings.flag("EDGE_AUTH_HEADER", typed.edge_auth_header.as_deref());
    let token_header = auth_header(settings, typed, inbound);
    let disabled = settings.flag("DISABLE_ALL_ENDPOINT", typed.disable_all_endpoint.as_deref());
    let all_endpoint = !settings.parsed(disabled, values::switch).unwrap_or(false);
    Surfaces {
        proxy: ProxySurface {
            base_path: base_path.clone(),
            key_header: token_header.clone(),
            all_endpoint,
            docs: false,
            app_name: DEFAULT_APP_NAME.to_owned(),
            environment: None,
        },
        edge: EdgeSurface { base_path, token_header, all_endpoint },
        cors: cors(settings, typed),
        trust_proxy: trust_proxy(settings, typed),
        body_limit: settings.body_limit(DEFAULT_BODY_LIMIT_BYTES),
        body_within: settings.body_within(),
        metrics: metrics(settings, args, port),
    }
}

/// Edge's switch closes every place of ours where the metrics are, not only Edge's.
fn metrics(settings: &mut Settings<'_>, args: &Args, port: u16) -> Exposure {
    let typed = args.others.iter().find(|(name, _)| *name == "disable-metrics-endpoint");
    let disabled = typed.map(|(_, text)| text.secret());
    let disabled = settings.flag("DISABLE_METRICS_ENDPOINT", disabled);
    let default = match settings.parsed(disabled, values::switch) {
        Some(true) => Exposure::Off,
        _ => Exposure::On,
    };
    settings.metrics(default, port)
}

/// The header of one direction: `one` is its own setting, `--token-header` sets both directions.
fn auth_header(settings: &mut Settings<'_>, typed: &ServerArgs, one: Option<Found>) -> String {
    let both = settings.flag("TOKEN_HEADER", typed.token_header.as_deref());
    if let (Some(one), Some(both)) = (&one, &both) {
        settings.problem(format!("`{}` and `{}` exclude each other", one.name, both.name));
    }
    let header = settings.parsed(both.or(one), values::header_name);
    header.unwrap_or_else(|| "authorization".to_owned())
}

fn cors(settings: &mut Settings<'_>, typed: &ServerArgs) -> Cors {
    let origin = settings.flag("CORS_ORIGIN", typed.cors_origin.as_deref());
    let origins: Vec<String> = origin
        .map(|found| values::list(&found.text).map(str::to_owned).collect())
        .unwrap_or_default();
    let any = origins.is_empty() || origins.iter().any(|origin| origin == "*");
    let header = |settings: &mut Settings<'_>, name, typed: &Option<String>| {
        settings.header_text(settings.flag(name, typed.as_deref()))
    };
    let max_age = settings.flag("CORS_MAX_AGE", typed.cors_max_age.as_deref());
    let star = || "*".to_owned();
    Cors {
        origin: if any { Origins::Any } else { Origins::Listed(origins) },
        methods: header(settings, "CORS_METHODS", &typed.cors_methods).unwrap_or_else(star),
        // A literal `*` does not cover `Authorization` in browsers: naming what was asked for does.
        allowed_headers: header(settings, "CORS_ALLOWED_HEADERS", &typed.cors_allowed_headers)
            .filter(|headers| headers != "*"),
        exposed_headers: header(settings, "CORS_EXPOSED_HEADERS", &typed.cors_exposed_headers)
            .unwrap_or_else(star),
        credentials: false,
        max_age_seconds: settings
            .parsed(max_age, values::number)
            .unwrap_or(DEFAULT_MAX_AGE_SECONDS),
        preflight_status: DEFAULT_PREFLIGHT_STATUS,
    }
}

fn trust_proxy(settings: &mut Settings<'_>, typed: &ServerArgs) -> TrustProxy {
    let trusted = settings.flag("TRUST_PROXY", typed.trust_proxy.as_deref());
    let trusted = settings.parsed(trusted, values::switch).unwrap_or(false);
    let servers = settings.flag("PROXY_TRUSTED_SERVERS", typed.proxy_trusted_servers.as_deref());
    let networks = settings.parsed(servers, values::networks).unwrap_or_default();
    match (trusted, networks.is_empty()) {
        (true, true) => TrustProxy::Everybody,
        (true, false) => TrustProxy::Networks(networks),
        (false, true) => TrustProxy::Nobody,
        (false, false) => {
            settings.warn("`PROXY_TRUSTED_SERVERS` has no effect without `TRUST_PROXY`");
            TrustProxy::Nobody
        }
    }
}

fn log(settings: &mut Settings<'_>, typed: &ServerArgs) -> Log {
    let format = settings.flag("LOG_FORMAT", typed.log_format.as_deref());
    let format = settings.parsed(format, |text| match text.trim().to_ascii_lowercase().as_str() {
        "plain" => Ok(LogFormat::Plain),
        "json" => Ok(LogFormat::Json),
        "pretty" => Ok(LogFormat::Pretty),
        _ => Err(format!("is `{text}`, which is none of `plain`, `json` and `pretty`")),
    });
    let filter = settings.parsed(settings.variable("RUST_LOG"), telemetry::directives);
    Log {
        format: format.unwrap_or(LogFormat::Plain),
        filter: filter.unwrap_or_else(|| "info".to_owned()),
    }
}

fn upstream(settings: &mut Settings<'_>, args: &Args, edge: &EdgeArgs) -> Option<Upstream> {
    let url = settings.flag("UPSTREAM_URL", edge.upstream_url.as_deref());
    if url.is_none() {
        settings.problem("`UPSTREAM_URL` (`--upstream-url`) is not set");
    }
    let url = settings.parsed(url, values::url);
    let startup = settings.flag("TOKENS", edge.tokens.as_ref().map(Token::secret));
    let startup = unleash_tokens(settings, startup);
    if startup.is_empty() {
        settings.problem("`TOKENS` (`--tokens`) names no token to ask upstream with");
    }
    let frontend =
        settings.flag("PRETRUSTED_TOKENS", edge.pretrusted_tokens.as_ref().map(Token::secret));
    let frontend = settings.tokens(frontend);
    let headers = edge.custom_client_headers.as_ref().map(Token::secret);
    let headers = settings.flag("CUSTOM_CLIENT_HEADERS", headers);
    let header = settings.flag("UPSTREAM_AUTH_HEADER", args.server.upstream_auth_header.as_deref());
    let mut some_seconds = |name, typed: &Option<String>, default| {
        let found = settings.flag(name, typed.as_deref());
        settings.parsed(found, values::some_seconds).unwrap_or(default)
    };
    let poll_every = some_seconds(
        "FEATURES_REFRESH_INTERVAL_SECONDS",
        &edge.features_refresh_interval_seconds,
        DEFAULT_POLL,
    );
    // Edge's names are older than their meaning: "request" bounds connecting, "socket" all of it.
    let connect_within = some_seconds(
        "UPSTREAM_REQUEST_TIMEOUT",
        &edge.upstream_request_timeout,
        DEFAULT_UPSTREAM_TIMEOUT,
    );
    let answer_within = some_seconds(
        "UPSTREAM_SOCKET_TIMEOUT",
        &edge.upstream_socket_timeout,
        DEFAULT_UPSTREAM_TIMEOUT,
    );
    let report =
        settings.flag("METRICS_INTERVAL_SECONDS", edge.metrics_interval_seconds.as_deref());
    let report_every = settings.parsed(report, values::seconds).unwrap_or(DEFAULT_REPORT);
    let custom_headers = settings.parsed(headers, values::headers).unwrap_or_default();
    let token_header = auth_header(settings, &args.server, header);
    let typed = &args.server;
    let skip = settings.flag("SKIP_SSL_VERIFICATION", typed.skip_ssl_verification.as_deref());
    let root =
        settings.flag("UPSTREAM_CERTIFICATE_FILE", typed.upstream_certificate_file.as_deref());
    let outbound = Outbound::of_edge(settings, (skip, root), url.as_deref());
    let url = url?;
    // Edge wants the URL without `/api`; with it, the meaning is just as clear.
    let root_url = url.strip_suffix("/api").unwrap_or(&url).to_owned();
    Some(Upstream {
        api_url: format!("{root_url}/api"),
        root_url,
        token_header,
        custom_headers,
        poll_every,
        connect_within,
        answer_within,
        query: Vec::new(),
        access: Access::Tokens { startup, frontend },
        report_every,
        report_jitter: Duration::ZERO,
        outbound,
        bootstrap: None,
    })
}

/// Tokens of Unleash's format, `project:environment.secret` (unleash-edge.md 1.0).
fn unleash_tokens(settings: &mut Settings<'_>, found: Option<Found>) -> Vec<Token> {
    let Some(Found { name, text }) = found else { return Vec::new() };
    for (at, secret) in values::list(&text).enumerate() {
        // Sync takes a token at its own word while upstream cannot be asked: it has to have one.
        if Scope::of_token(secret).is_none() {
            settings.problem(format!(
                "`{name}` has no token of the form `project:environment.secret` in entry {}",
                at + 1
            ));
        }
    }
    settings.tokens(Some(Found { name, text }))
}

fn file(settings: &mut Settings<'_>, offline: &OfflineArgs) -> Option<Source> {
    let path = settings.flag("BOOTSTRAP_FILE", offline.bootstrap_file.as_deref());
    if path.is_none() {
        settings.problem("`BOOTSTRAP_FILE` (`--bootstrap-file`) is not set");
    }
    let backend = settings.flag("CLIENT_TOKENS", offline.client_tokens.as_ref().map(Token::secret));
    let backend = settings.tokens(backend);
    let frontend = offline.frontend_tokens.as_ref().map(Token::secret);
    let frontend = settings.flag("FRONTEND_TOKENS", frontend);
    let frontend = frontend.or_else(|| settings.variable("TOKENS"));
    let frontend = settings.tokens(frontend);
    if frontend.is_empty() && backend.is_empty() {
        settings.problem("`FRONTEND_TOKENS` and `CLIENT_TOKENS` name no token: nobody may ask");
    }
    let reload = settings.flag("RELOAD_INTERVAL", offline.reload_interval.as_deref());
    let reload_every = settings.parsed(reload, values::seconds).filter(|every| !every.is_zero());
    let tokens = OfflineTokens { frontend, backend };
    Some(Source::File { path: path?.text.into(), reload_every, tokens })
}

/// Speaks about the settings that are known and not served; `unsupported` are the harmless ones.
fn complain(settings: &mut Settings<'_>, others: &[(&'static str, Token)], unsupported: &[&str]) {
    let found = |settings: &Settings<'_>, name: &str| {
        let flag = name.to_ascii_lowercase().replace('_', "-");
        let typed = others.iter().find(|(other, _)| *other == flag);
        let found = settings.flag(name, typed.map(|(_, text)| text.secret()));
        // A switch that says no asks for nothing.
        found.filter(|found| !matches!(values::switch(&found.text), Ok(false)))
    };
    for (name, why) in REFUSED {
        if let Some(Found { name, .. }) = found(settings, name) {
            settings.problem(format!("`{name}` is set: {why}"));
        }
    }
    for name in unsupported {
        if let Some(Found { name, .. }) = found(settings, name) {
            settings.warn(format!("`{name}` is not supported yet, ignored"));
        }
    }
}

#[cfg(test)]
mod tests;
