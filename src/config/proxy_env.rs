//! The Unleash Proxy's dialect: variables only, with its names, defaults and ways of reading them
//! (unleash-proxy.md section 2). Where we are deliberately kinder, the line says so.

use std::time::Duration;

use super::{
    Access, Bootstrap, Config, Cors, EdgeSurface, Env, Exposure, Identity, Log, LogFormat, Machine,
    Origins, Outbound, Problems, ProxySurface, Resolved, Server, Source, Surfaces, TrustProxy,
    Upstream, Verification, outbound,
    settings::{Found, Settings},
    values,
};

const DEFAULT_PORT: u16 = 3000;
/// Also the context's `appName` where a client sends none.
pub(super) const DEFAULT_APP_NAME: &str = "unleash-proxy";
const DEFAULT_FETCH_INTERVAL_MS: u64 = 5_000;
const DEFAULT_METRICS_INTERVAL_MS: u64 = 30_000;
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_BODY_LIMIT_BYTES: usize = 102_400;
pub(super) const DEFAULT_MAX_AGE_SECONDS: u64 = 172_800;
pub(super) const DEFAULT_PREFLIGHT_STATUS: u16 = 204;

/// Refused: without them flags would be off for people they were on for, in silence.
const REFUSED: &[(&str, &str)] = &[
    ("UNLEASH_CUSTOM_STRATEGIES_FILE", "custom strategies in JavaScript"),
    ("EXP_CUSTOM_ENRICHERS_FILE", "context enrichers in JavaScript"),
];

/// Reads the configuration from the Unleash Proxy's variables.
///
/// # Errors
///
/// Every problem at once: what is missing, what is no value of its setting, what is refused.
pub fn resolve(env: Env<'_>, machine: &Machine) -> Result<Resolved, Problems> {
    let mut settings = Settings::new(env);
    let server = server(&mut settings, machine);
    let app_name = text(&settings, "UNLEASH_APP_NAME", DEFAULT_APP_NAME);
    let surfaces = surfaces(&mut settings, &app_name, server.port);
    let upstream = upstream(&mut settings);
    let log = log(&mut settings);
    complain(&mut settings);

    let user = if machine.user.is_empty() { "offleash" } else { &machine.user };
    let instance_id = format!("{user}-{}", machine.hostname);
    let identity = Identity {
        app_name,
        instance_id: text(&settings, "UNLEASH_INSTANCE_ID", &instance_id),
        connection_id: machine.connection_id.clone(),
    };
    let hostname = machine.hostname.clone();
    let config = upstream.map(|upstream| Config {
        server,
        surfaces,
        source: Source::Upstream(upstream),
        log,
        identity,
        hostname,
    });
    settings.finish(config).map(|(config, warnings)| Resolved { config, warnings })
}

fn server(settings: &mut Settings<'_>, machine: &Machine) -> Server {
    let port = settings.variable("PORT").or_else(|| settings.variable("PROXY_PORT"));
    let port = settings.parsed(port, values::port).unwrap_or(DEFAULT_PORT);
    settings.server(None, port, None, machine)
}

fn surfaces(settings: &mut Settings<'_>, app_name: &str, port: u16) -> Surfaces {
    let base_path = settings.parsed(settings.variable("PROXY_BASE_PATH"), values::base_path);
    let base_path = base_path.unwrap_or_default();
    let key_header =
        settings.parsed(settings.variable("CLIENT_KEY_HEADER_NAME"), values::header_name);
    let key_header = key_header.unwrap_or_else(|| "authorization".to_owned());
    let all_endpoint = switch(settings, "ENABLE_ALL_ENDPOINT");
    Surfaces {
        // The other surfaces open no door that this dialect keeps closed.
        edge: EdgeSurface {
            base_path: base_path.clone(),
            token_header: key_header.clone(),
            all_endpoint,
        },
        proxy: ProxySurface {
            base_path,
            key_header,
            all_endpoint,
            docs: switch(settings, "ENABLE_OAS"),
            app_name: app_name.to_owned(),
            environment: settings.variable("UNLEASH_ENVIRONMENT").map(|found| found.text),
        },
        cors: cors(settings),
        trust_proxy: trust_proxy(settings),
        body_limit: settings.body_limit(DEFAULT_BODY_LIMIT_BYTES),
        body_within: settings.body_within(),
        metrics: settings.metrics(Exposure::On, port),
    }
}

fn cors(settings: &mut Settings<'_>) -> Cors {
    let origin = match settings.variable("CORS_ORIGIN").map(|found| found.text) {
        None => Origins::Any,
        Some(text) if text.contains(',') => {
            Origins::Listed(values::list(&text).map(str::to_owned).collect())
        }
        Some(text) => match text.trim() {
            "*" => Origins::Any,
            one => Origins::One(one.to_owned()),
        },
    };
    let credentials = switch(settings, "CORS_CREDENTIALS");
    if credentials && origin == Origins::Any {
        settings.warn("`CORS_CREDENTIALS` has no effect in browsers while `CORS_ORIGIN` is `*`");
    }
    let status = number(settings, "CORS_OPTIONS_SUCCESS_STATUS");
    let status = status.unwrap_or(u64::from(DEFAULT_PREFLIGHT_STATUS));
    let preflight_status = u16::try_from(status).ok().filter(|status| (200..300).contains(status));
    if preflight_status.is_none() {
        settings.problem(format!(
            "`CORS_OPTIONS_SUCCESS_STATUS` is `{status}`, which is not a status from 200 to 299"
        ));
    }
    Cors {
        origin,
        methods: settings
            .header_text(settings.variable("CORS_METHODS"))
            .unwrap_or_else(|| "GET, POST".to_owned()),
        allowed_headers: settings.header_text(settings.variable("CORS_ALLOWED_HEADERS")),
        exposed_headers: settings
            .header_text(settings.variable("CORS_EXPOSED_HEADERS"))
            .unwrap_or_else(|| "ETag".to_owned()),
        credentials,
        max_age_seconds: number(settings, "CORS_MAX_AGE").unwrap_or(DEFAULT_MAX_AGE_SECONDS),
        preflight_status: preflight_status.unwrap_or(DEFAULT_PREFLIGHT_STATUS),
    }
}

/// What cannot be read trusts nobody and says so: the original goes on in the same way
/// (unleash-proxy.md 1.10).
fn trust_proxy(settings: &mut Settings<'_>) -> TrustProxy {
    let Some(Found { name, text }) = settings.variable("TRUST_PROXY") else {
        return TrustProxy::Nobody;
    };
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => return TrustProxy::Everybody,
        "false" => return TrustProxy::Nobody,
        _ => {}
    }
    if text.trim().parse::<u64>().is_ok() {
        settings.warn(format!(
            "`{name}` is `{text}`, which is not a number of hops here: nobody is trusted; use \
             `true` or a list of networks"
        ));
        return TrustProxy::Nobody;
    }
    match values::networks(&text) {
        Ok(networks) if !networks.is_empty() => TrustProxy::Networks(networks),
        Ok(_) => TrustProxy::Nobody,
        Err(reason) => {
            settings.warn(format!("`{name}` {reason}: nobody is trusted"));
            TrustProxy::Nobody
        }
    }
}

fn upstream(settings: &mut Settings<'_>) -> Option<Upstream> {
    let url =
        required(settings, "UNLEASH_URL").and_then(|url| settings.parsed(Some(url), values::url));
    let access = access(settings);
    let poll_every = match number(settings, "UNLEASH_FETCH_INTERVAL") {
        // The original would never fetch, and never be ready.
        Some(0) => {
            settings.warn(format!(
                "`UNLEASH_FETCH_INTERVAL` is 0: {DEFAULT_FETCH_INTERVAL_MS} ms is used"
            ));
            DEFAULT_FETCH_INTERVAL_MS
        }
        given => given.unwrap_or(DEFAULT_FETCH_INTERVAL_MS),
    };
    let report_every = number(settings, "UNLEASH_METRICS_INTERVAL");
    let report_jitter = number(settings, "UNLEASH_METRICS_JITTER").unwrap_or_default();
    let query = query(settings);
    let mut outbound = Outbound::of_node(settings, url.as_deref());
    let bootstrap = bootstrap(settings, &outbound);
    // The original's bootstrap does not obey it.
    if let Some(verification) = own_verification(settings) {
        outbound.tls.verification = verification;
    }
    let url = url?;
    // A URL that ends in `/features` is one people copied from the API's documentation.
    let api_url = url.strip_suffix("/features").unwrap_or(&url);
    let api_url = api_url.strip_suffix("/client").unwrap_or(api_url).to_owned();
    Some(Upstream {
        root_url: api_url.strip_suffix("/api").unwrap_or(&api_url).to_owned(),
        api_url,
        token_header: "authorization".to_owned(),
        custom_headers: Vec::new(),
        poll_every: Duration::from_millis(poll_every),
        connect_within: UPSTREAM_TIMEOUT,
        answer_within: UPSTREAM_TIMEOUT,
        query,
        access: access?,
        report_every: Duration::from_millis(report_every.unwrap_or(DEFAULT_METRICS_INTERVAL_MS)),
        report_jitter: Duration::from_millis(report_jitter),
        outbound,
        bootstrap,
    })
}

/// What `HTTP_OPTIONS_REJECT_UNAUTHORIZED` says. Ours: in the original any text but `true`, `1` and
/// `t` turns verification off, a misspelt `TRUE` too; here that takes a clear no.
fn own_verification(settings: &mut Settings<'_>) -> Option<Verification> {
    let found = settings.variable("HTTP_OPTIONS_REJECT_UNAUTHORIZED");
    let name = found.as_ref().map(|found| found.name.clone())?;
    match settings.parsed(found, values::switch)? {
        true => Some(Verification::Full),
        false => {
            outbound::warn_of_skipping(settings, &name);
            Some(Verification::Skipped)
        }
    }
}

fn bootstrap(settings: &mut Settings<'_>, outbound: &Outbound) -> Option<Bootstrap> {
    let authorization = settings.variable("EXP_BOOTSTRAP_AUTHORIZATION");
    let Some(url) = settings.variable("EXP_BOOTSTRAP_URL") else {
        if authorization.is_some() {
            settings
                .warn("`EXP_BOOTSTRAP_AUTHORIZATION` has no effect without `EXP_BOOTSTRAP_URL`");
        }
        return None;
    };
    let given = settings.token(authorization);
    let (url, own) = settings.parsed(Some(url), values::url_with_secrets)?;
    let authorization = given.or_else(|| own.map(|userinfo| outbound::basic(&userinfo)));
    Some(Bootstrap { url, authorization, outbound: outbound.clone() })
}

fn access(settings: &mut Settings<'_>) -> Option<Access> {
    let upstream_token = required(settings, "UNLEASH_API_TOKEN");
    let upstream_token = settings.token(upstream_token);
    let keys = settings.variable("UNLEASH_PROXY_CLIENT_KEYS");
    let keys = keys.or_else(|| settings.variable("UNLEASH_PROXY_SECRETS"));
    let keys = keys.or_else(|| required(settings, "UNLEASH_PROXY_CLIENT_KEYS"))?;
    let name = keys.name.clone();
    let client_keys = settings.tokens(Some(keys));
    if client_keys.is_empty() {
        settings.problem(format!("`{name}` holds no key"));
    }
    let server_tokens = settings.variable("EXP_SERVER_SIDE_SDK_CONFIG_TOKENS");
    let server_tokens = settings.tokens(server_tokens);
    Some(Access::Keys { upstream_token: upstream_token?, client_keys, server_tokens })
}

/// The filters of a features request (unleash-proxy.md 2.2).
fn query(settings: &mut Settings<'_>) -> Vec<(String, String)> {
    let mut query = Vec::new();
    for (name, key) in [("UNLEASH_PROJECT_NAME", "project"), ("UNLEASH_NAME_PREFIX", "namePrefix")]
    {
        query.extend(settings.variable(name).map(|found| (key.to_owned(), found.text)));
    }
    let Some(Found { name, text }) = settings.variable("UNLEASH_TAGS") else { return query };
    for tag in values::list(&text) {
        // Ours: a value may hold colons. The original cuts it at the second.
        match tag.split_once(':') {
            Some((kind, value)) if !kind.trim().is_empty() && !value.trim().is_empty() => {
                query.push(("tag".to_owned(), format!("{}:{}", kind.trim(), value.trim())));
            }
            _ => settings.problem(format!("`{name}` lists `{tag}`, which is not `name:value`")),
        }
    }
    query
}

fn log(settings: &mut Settings<'_>) -> Log {
    let json = settings.variable("JSON_LOGGER").is_some_and(|found| {
        // Ours: a plain no is a no. In the original any text switches it on.
        values::switch(&found.text).unwrap_or(true)
    });
    let level = match settings.variable("LOG_LEVEL").map(|found| found.text) {
        None => "warn",
        Some(level) => match level.trim().to_ascii_lowercase().as_str() {
            "trace" => "trace",
            "debug" => "debug",
            "info" => "info",
            "warn" => "warn",
            "error" | "fatal" => "error",
            _ => {
                settings
                    .warn(format!("`LOG_LEVEL` is `{level}`, which is no level: `debug` is used"));
                "debug"
            }
        },
    };
    let format = if json { LogFormat::Json } else { LogFormat::Plain };
    Log { format, filter: level.to_owned() }
}

/// Speaks about the variables that are known and not served.
fn complain(settings: &mut Settings<'_>) {
    if switch(settings, "CORS_PREFLIGHT_CONTINUE") {
        settings.warn(
            "`CORS_PREFLIGHT_CONTINUE` has no effect: there is nothing behind a preflight to \
             continue to, and its answer has the same headers",
        );
    }
    if settings.variable("NODE_OPTIONS").is_some() {
        settings.warn("`NODE_OPTIONS` has no effect: this is not Node");
    }
    for (name, what) in REFUSED {
        if settings.variable(name).is_some() {
            settings.problem(format!(
                "`{name}` is set: {what} cannot run yet (they come with an embedded JavaScript \
                 engine), and flags that need them would be off without a word; unset it to start \
                 without them"
            ));
        }
    }
}

/// A variable that must be set.
fn required(settings: &mut Settings<'_>, name: &str) -> Option<Found> {
    let found = settings.variable(name);
    if found.is_none() {
        settings.problem(format!("`{name}` is not set"));
    }
    found
}

fn text(settings: &Settings<'_>, name: &str, default: &str) -> String {
    settings.variable(name).map_or_else(|| default.to_owned(), |found| found.text)
}

/// On for exactly `true`, `1` and `t`; any other text is off, which is worth a word where its author
/// may have meant on.
fn switch(settings: &mut Settings<'_>, name: &str) -> bool {
    let Some(Found { text, .. }) = settings.variable(name) else { return false };
    let on = matches!(text.as_str(), "true" | "1" | "t");
    if !on && !matches!(text.as_str(), "false" | "0" | "f") {
        settings.warn(format!("`{name}` is `{text}`, which reads as `false`"));
    }
    on
}

/// The leading digits, as JavaScript's `parseInt` reads them. Ours: without any, it is a problem.
fn number(settings: &mut Settings<'_>, name: &str) -> Option<u64> {
    let Found { text, .. } = settings.variable(name)?;
    let trimmed = text.trim();
    let digits = trimmed.trim_start_matches('+');
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    match digits.parse() {
        Ok(number) => {
            if !rest.is_empty() {
                settings.warn(format!("`{name}` is `{text}`, which reads as {number}"));
            }
            Some(number)
        }
        Err(_) => {
            settings.problem(format!("`{name}` is `{text}`, which is not a whole number"));
            None
        }
    }
}

#[cfg(test)]
mod tests;
