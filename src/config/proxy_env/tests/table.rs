//! Every variable of unleash-proxy.md 2.2 does what MIGRATING.md says of it, and stands there.

use std::collections::BTreeSet;

use super::*;

/// What a variable is there for.
enum Effect {
    /// It changes what this reads from the configuration, to this text.
    Sets(fn(&Config) -> String, &'static str),
    /// It is read, and another test holds what comes of it.
    Elsewhere,
    /// It changes nothing but a warning.
    Warns,
    /// The start is refused.
    Refused,
    /// It changes nothing, and nothing is said.
    Nothing,
}

use Effect::{Elsewhere, Nothing, Refused, Sets, Warns};

const TABLE: &[(&str, &str, Effect)] = &[
    ("UNLEASH_URL", "http://other/api", Sets(|it| up(it).api_url, "http://other/api")),
    ("UNLEASH_API_TOKEN", "*:other.x", Sets(|it| keys(it).0, "*:other.x")),
    ("UNLEASH_PROXY_CLIENT_KEYS", "k1, k2", Sets(|it| keys(it).1, "k1|k2")),
    // Only counts without the one above: `keys_are_trimmed_…` holds it.
    ("UNLEASH_PROXY_SECRETS", "s1", Nothing),
    ("PORT", "4001", Sets(|it| it.server.port.to_string(), "4001")),
    ("PROXY_PORT", "4002", Sets(|it| it.server.port.to_string(), "4002")),
    ("PROXY_BASE_PATH", "base/", Sets(|it| it.surfaces.proxy.base_path.clone(), "/base")),
    ("UNLEASH_APP_NAME", "shop", Sets(|it| it.identity.app_name.clone(), "shop")),
    ("UNLEASH_INSTANCE_ID", "glffct-x", Sets(|it| it.identity.instance_id.clone(), "glffct-x")),
    ("UNLEASH_FETCH_INTERVAL", "1500", Sets(|it| format!("{:?}", up(it).poll_every), "1.5s")),
    ("UNLEASH_METRICS_INTERVAL", "7000", Sets(|it| format!("{:?}", up(it).report_every), "7s")),
    ("UNLEASH_METRICS_JITTER", "250", Sets(|it| format!("{:?}", up(it).report_jitter), "250ms")),
    (
        "UNLEASH_ENVIRONMENT",
        "staging",
        Sets(|it| format!("{:?}", it.surfaces.proxy.environment), "Some(\"staging\")"),
    ),
    ("UNLEASH_PROJECT_NAME", "web", Sets(query_of, "project=web")),
    ("UNLEASH_NAME_PREFIX", "shop.", Sets(query_of, "namePrefix=shop.")),
    ("UNLEASH_TAGS", "a:b,c:d", Sets(query_of, "tag=a:b&tag=c:d")),
    ("TRUST_PROXY", "true", Sets(|it| format!("{:?}", it.surfaces.trust_proxy), "Everybody")),
    ("CLIENT_KEY_HEADER_NAME", "X-Key", Sets(|it| it.surfaces.proxy.key_header.clone(), "x-key")),
    ("ENABLE_ALL_ENDPOINT", "1", Sets(|it| it.surfaces.proxy.all_endpoint.to_string(), "true")),
    ("ENABLE_OAS", "true", Sets(|it| it.surfaces.proxy.docs.to_string(), "true")),
    ("EXP_SERVER_SIDE_SDK_CONFIG_TOKENS", "t1, t2", Sets(|it| keys(it).2, "t1|t2")),
    (
        "CORS_ORIGIN",
        "https://a",
        Sets(|it| format!("{:?}", it.surfaces.cors.origin), "One(\"https://a\")"),
    ),
    ("CORS_METHODS", "GET", Sets(|it| it.surfaces.cors.methods.clone(), "GET")),
    (
        "CORS_ALLOWED_HEADERS",
        "x-a",
        Sets(|it| format!("{:?}", it.surfaces.cors.allowed_headers), "Some(\"x-a\")"),
    ),
    ("CORS_EXPOSED_HEADERS", "Date", Sets(|it| it.surfaces.cors.exposed_headers.clone(), "Date")),
    // Over the default origin it warns: `all_eight_cors_variables_are_read` holds both.
    ("CORS_CREDENTIALS", "true", Elsewhere),
    ("CORS_MAX_AGE", "60", Sets(|it| it.surfaces.cors.max_age_seconds.to_string(), "60")),
    ("CORS_PREFLIGHT_CONTINUE", "true", Warns),
    (
        "CORS_OPTIONS_SUCCESS_STATUS",
        "200",
        Sets(|it| it.surfaces.cors.preflight_status.to_string(), "200"),
    ),
    ("UNLEASH_CUSTOM_STRATEGIES_FILE", "/x.js", Refused),
    ("EXP_CUSTOM_ENRICHERS_FILE", "/x.js", Refused),
    (
        "EXP_BOOTSTRAP_URL",
        "http://boot/f?s=1",
        Sets(
            |it| up(it).bootstrap.map_or_else(String::new, |it| it.url.secret().to_owned()),
            "http://boot/f?s=1",
        ),
    ),
    // Without a URL: `a_bootstrap_shows_what_it_is_told_to` holds it with one.
    ("EXP_BOOTSTRAP_AUTHORIZATION", "x", Warns),
    // Those that turn verification off warn too: `verification_…` holds it.
    ("HTTP_OPTIONS_REJECT_UNAUTHORIZED", "true", Nothing),
    ("NODE_TLS_REJECT_UNAUTHORIZED", "1", Nothing),
    ("NODE_EXTRA_CA_CERTS", "/nowhere.pem", Warns),
    ("HTTP_PROXY", "http://p:1", Sets(|it| proxy_to(it, "http://unleash.test"), "http://p:1")),
    ("HTTPS_PROXY", "http://p:1", Sets(|it| proxy_to(it, "https://unleash.test"), "http://p:1")),
    ("ALL_PROXY", "http://p:1", Sets(|it| proxy_to(it, "https://unleash.test"), "http://p:1")),
    (
        "npm_config_http_proxy",
        "http://p:1",
        Sets(|it| proxy_to(it, "http://unleash.test"), "http://p:1"),
    ),
    (
        "npm_config_https_proxy",
        "http://p:1",
        Sets(|it| proxy_to(it, "https://unleash.test"), "http://p:1"),
    ),
    (
        "npm_config_proxy",
        "http://p:1",
        Sets(|it| proxy_to(it, "http://unleash.test"), "http://p:1"),
    ),
    // Without a proxy they exempt from nothing: `exemptions_follow_…` holds them.
    ("NO_PROXY", "unleash.test", Elsewhere),
    ("npm_config_no_proxy", "unleash.test", Elsewhere),
    ("LOG_LEVEL", "error", Sets(|it| it.log.filter.clone(), "error")),
    ("JSON_LOGGER", "true", Sets(|it| format!("{:?}", it.log.format), "Json")),
    ("HOSTNAME", "box-8", Sets(|it| it.hostname.clone(), "box-8")),
    ("TMPDIR", "/elsewhere", Nothing),
    ("NODE_OPTIONS", "--max-old-space-size=4096", Warns),
    ("NODE_ENV", "production", Nothing),
];

fn up(config: &Config) -> Upstream {
    let Source::Upstream(upstream) = &config.source else { panic!("not upstream") };
    upstream.clone()
}

/// The token for upstream, and the lists of who may ask.
fn keys(config: &Config) -> (String, String, String) {
    let Access::Keys { upstream_token, client_keys, server_tokens } = up(config).access else {
        panic!("not by keys")
    };
    let joined = |list: &[Token]| list.iter().map(Token::secret).collect::<Vec<_>>().join("|");
    (upstream_token.secret().to_owned(), joined(&client_keys), joined(&server_tokens))
}

fn query_of(config: &Config) -> String {
    let query = up(config).query;
    query.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

fn proxy_to(config: &Config, url: &str) -> String {
    let url = url.parse().unwrap();
    up(config).outbound.proxies.to(&url).map_or_else(String::new, |it| format!("{it:?}"))
}

/// What the process makes of the minimal environment and `more`.
fn start(more: &[(&str, &str)]) -> Result<Resolved, Problems> {
    let variables = [MINIMAL, more].concat();
    let env = |name: &str| {
        let found = variables.iter().rev().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_owned())
    };
    let machine = Machine { connection_id: "id".to_owned(), ..Machine::of_this_process(&env) };
    resolve(&env, &machine)
}

#[test]
fn every_variable_does_what_it_is_there_for() {
    let base = start(&[]).unwrap();
    assert_eq!(base.warnings, [""; 0]);
    for (name, text, effect) in TABLE {
        let result = start(&[(name, text)]);
        if matches!(effect, Refused) {
            let problems = result.unwrap_err().0;
            assert_eq!(problems.len(), 1, "{name}: {problems:?}");
            assert!(problems[0].contains(&format!("`{name}`")), "{name}: {problems:?}");
            continue;
        }
        let resolved = result.unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let is_same = format!("{:?}", resolved.config) == format!("{:?}", base.config);
        match effect {
            Sets(read, expected) => {
                assert_eq!(read(&resolved.config), *expected, "{name}");
                assert_ne!(read(&base.config), *expected, "{name} would change nothing");
                assert_eq!(resolved.warnings, [""; 0], "{name}");
            }
            Nothing => assert!(is_same && resolved.warnings.is_empty(), "{name}"),
            Warns => {
                assert!(is_same, "{name}");
                assert_eq!(resolved.warnings.len(), 1, "{name}: {:?}", resolved.warnings);
                assert!(resolved.warnings[0].contains(&format!("`{name}`")), "{name}");
            }
            Elsewhere | Refused => {}
        }
    }
}

#[test]
fn a_variable_that_is_set_to_nothing_is_not_set() {
    let base = format!("{:?}", start(&[]).unwrap().config);
    let required = MINIMAL.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>();
    for (name, ..) in TABLE.iter().filter(|(name, ..)| !required.contains(name)) {
        let resolved = start(&[(name, "")]).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert_eq!(resolved.warnings, [""; 0], "{name}");
        assert_eq!(format!("{:?}", resolved.config), base, "{name}");
    }
}

/// The variables that the part of MIGRATING.md on the Unleash Proxy speaks about: those in the first
/// column of its table, and those of the lines below that name what is ignored or refused.
fn documented() -> BTreeSet<String> {
    let text = include_str!("../../../../MIGRATING.md");
    let part = text.split("\n## ").find(|part| part.starts_with("From the Unleash Proxy")).unwrap();
    let cells = part.lines().filter_map(|line| match line.strip_prefix("| `") {
        Some(_) => line.split(" | ").next(),
        None => (line.starts_with("Ignored") || line.starts_with("Refused")).then_some(line),
    });
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let is_variable = |name: &&str| !name.is_empty() && !name.contains(['-', '*', '.', ' ', '/']);
    names.filter(is_variable).map(str::to_owned).collect()
}

#[test]
fn migrating_speaks_of_every_variable_and_of_no_other() {
    let known: BTreeSet<String> = TABLE.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(known.len(), TABLE.len(), "each stands once");
    let documented = documented();
    let missing: Vec<_> = known.difference(&documented).collect();
    assert!(missing.is_empty(), "MIGRATING.md says nothing of {missing:?}");
    let strange: Vec<_> = documented.difference(&known).collect();
    assert!(strange.is_empty(), "MIGRATING.md speaks of {strange:?}, which no test holds");
}

#[test]
fn verification_is_turned_off_by_a_clear_no_only() {
    let of = |more: &[(&str, &str)]| {
        let resolved = start(more).unwrap();
        let upstream = up(&resolved.config);
        let boot = upstream.bootstrap.map(|it| it.outbound.tls.verification);
        (upstream.outbound.tls.verification, boot, resolved.warnings.len())
    };
    use Verification::{Full, Skipped};
    let (own, node, boot) = (
        "HTTP_OPTIONS_REJECT_UNAUTHORIZED",
        "NODE_TLS_REJECT_UNAUTHORIZED",
        ("EXP_BOOTSTRAP_URL", "https://b"),
    );
    for text in ["false", "0", "f", "FALSE", "no"] {
        assert_eq!(of(&[(own, text), boot]), (Skipped, Some(Full), 1), "{text}");
    }
    for text in ["true", "1", "t", "TRUE", "yes"] {
        assert_eq!(of(&[(own, text), boot]), (Full, Some(Full), 0), "{text}");
    }
    assert_eq!(problems(&[(own, "nonsense")]).len(), 1, "the original would turn it off");
    assert_eq!(of(&[(node, "0"), boot]), (Skipped, Some(Skipped), 1));
    assert_eq!(of(&[(node, "false"), boot]), (Full, Some(Full), 0), "as in Node: only `0`");
    assert_eq!(of(&[(node, "0"), (own, "true"), boot]), (Full, Some(Skipped), 1));
}

#[test]
fn a_bootstrap_shows_what_it_is_told_to() {
    let of = |more: &[(&str, &str)]| {
        let bootstrap = up(&start(more).unwrap().config).bootstrap.unwrap();
        let printed = format!("{bootstrap:?}");
        assert!(!printed.contains("s3cret"), "{printed}");
        let url = bootstrap.url.secret().to_owned();
        (url, bootstrap.authorization.map(|it| it.secret().to_owned()))
    };
    let url = ("EXP_BOOTSTRAP_URL", "https://me:s3cret@b/f?sig=s3cret");
    let clean = "https://b/f?sig=s3cret".to_owned();
    assert_eq!(of(&[url]), (clean.clone(), Some("Basic bWU6czNjcmV0".to_owned())));
    let own = ("EXP_BOOTSTRAP_AUTHORIZATION", "Bearer s3cret");
    assert_eq!(of(&[url, own]), (clean, Some("Bearer s3cret".to_owned())));
    let found =
        problems(&[("EXP_BOOTSTRAP_URL", "s3cret"), ("EXP_BOOTSTRAP_AUTHORIZATION", "a\nb")]);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(!found.concat().contains("s3cret"), "{found:?}");
}
