use super::*;
use crate::token::Token;

mod table;

const MINIMAL: &[(&str, &str)] = &[
    ("UNLEASH_URL", "https://unleash.example.com/api/"),
    ("UNLEASH_API_TOKEN", "*:development.s3cret"),
    ("UNLEASH_PROXY_CLIENT_KEYS", "one, two"),
];

fn machine() -> Machine {
    Machine {
        hostname: "box-7".to_owned(),
        user: "node".to_owned(),
        cores: 3,
        connection_id: "id".to_owned(),
    }
}

fn read(variables: &[(&str, &str)]) -> Result<Resolved, Problems> {
    let env = |name: &str| {
        let found = variables.iter().rev().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_owned())
    };
    resolve(&env, &machine())
}

/// The minimal environment and `more` resolve to this.
fn with(more: &[(&str, &str)]) -> Resolved {
    read(&[MINIMAL, more].concat()).unwrap()
}

fn problems(more: &[(&str, &str)]) -> Vec<String> {
    read(&[MINIMAL, more].concat()).unwrap_err().0
}

fn upstream_of(resolved: Resolved) -> Upstream {
    let Source::Upstream(upstream) = resolved.config.source else { panic!() };
    upstream
}

fn tokens(texts: &[&str]) -> Vec<Token> {
    texts.iter().map(|text| Token::new(*text)).collect()
}

#[test]
fn three_variables_are_enough_and_the_rest_has_the_defaults_of_the_original() {
    let resolved = with(&[]);
    assert_eq!(resolved.warnings, [""; 0]);
    let Config { server, surfaces, identity, log, hostname, .. } = resolved.config.clone();
    assert_eq!((server.interface, server.port, server.workers), (None, 3000, 3));
    assert_eq!(server.keep_alive, Duration::from_secs(75));
    assert_eq!(server.stop_within, Duration::from_secs(9));
    assert_eq!(surfaces.proxy.base_path, "");
    assert_eq!(surfaces.proxy.key_header, "authorization");
    assert!(!surfaces.proxy.all_endpoint && !surfaces.edge.all_endpoint);
    assert_eq!(surfaces.proxy.app_name, "unleash-proxy");
    assert_eq!(surfaces.proxy.environment, None);
    assert_eq!(surfaces.trust_proxy, TrustProxy::Nobody);
    assert_eq!(surfaces.body_limit, 102_400);
    assert!(!resolved.config.source.validates_callers(), "keys of our own are all there are");
    assert_eq!(surfaces.cors.origin, Origins::Any);
    assert_eq!(surfaces.cors.methods, "GET, POST");
    assert_eq!(surfaces.cors.allowed_headers, None);
    assert_eq!(surfaces.cors.exposed_headers, "ETag");
    assert_eq!((surfaces.cors.max_age_seconds, surfaces.cors.preflight_status), (172_800, 204));
    assert!(!surfaces.cors.credentials);
    assert_eq!((identity.app_name.as_str(), hostname.as_str()), ("unleash-proxy", "box-7"));
    assert_eq!(
        (identity.instance_id.as_str(), identity.connection_id.as_str()),
        ("node-box-7", "id")
    );
    assert_eq!(log, Log { format: LogFormat::Plain, filter: "warn".to_owned() });

    let upstream = upstream_of(resolved);
    assert_eq!(upstream.api_url, "https://unleash.example.com/api");
    assert_eq!(upstream.root_url, "https://unleash.example.com");
    assert_eq!(upstream.token_header, "authorization");
    assert_eq!(upstream.poll_every, Duration::from_secs(5));
    assert_eq!(upstream.report_every, Duration::from_secs(30));
    assert_eq!(upstream.answer_within, Duration::from_secs(10));
    assert_eq!(upstream.query, []);
    let Access::Keys { upstream_token, client_keys, server_tokens } = upstream.access else {
        panic!()
    };
    assert_eq!(upstream_token.secret(), "*:development.s3cret");
    assert_eq!(client_keys, tokens(&["one", "two"]));
    assert_eq!(server_tokens, []);
}

#[test]
fn every_missing_variable_is_named_at_once_and_blank_ones_are_missing() {
    let expected = ["UNLEASH_URL", "UNLEASH_API_TOKEN", "UNLEASH_PROXY_CLIENT_KEYS"]
        .map(|name| format!("`{name}` is not set"));
    assert_eq!(read(&[]).unwrap_err().0, expected);
    let blank = expected.each_ref().map(|text| (text.split('`').nth(1).unwrap(), ""));
    assert_eq!(read(&blank).unwrap_err().0, expected);
}

#[test]
fn problems_of_every_kind_come_together_and_without_secrets() {
    let found = problems(&[
        ("UNLEASH_URL", "https://me:s3cret@h/api"),
        ("UNLEASH_API_TOKEN", "s3cret\u{7f}"),
        ("UNLEASH_PROXY_CLIENT_KEYS", "s3cret\n\nx,"),
        ("PORT", "70000"),
        ("CLIENT_KEY_HEADER_NAME", "no good"),
        ("UNLEASH_FETCH_INTERVAL", "soon"),
        ("UNLEASH_TAGS", "simple"),
        ("CORS_OPTIONS_SUCCESS_STATUS", "404"),
        ("CORS_MAX_AGE", "-1"),
        ("PROXY_BASE_PATH", "/a b"),
    ]);
    assert_eq!(found.len(), 10, "{found:#?}");
    assert!(!found.concat().contains("s3cret"), "{found:#?}");
}

#[test]
fn urls_end_where_the_api_begins() {
    for (url, api, root) in [
        ("https://h/api", "https://h/api", "https://h"),
        ("https://h/api/client/features/", "https://h/api", "https://h"),
        ("https://h/base/api/features", "https://h/base/api", "https://h/base"),
        (
            "https://gitlab.com/api/v4/feature_flags/unleash/42",
            "https://gitlab.com/api/v4/feature_flags/unleash/42",
            "https://gitlab.com/api/v4/feature_flags/unleash/42",
        ),
    ] {
        let upstream = upstream_of(with(&[("UNLEASH_URL", url)]));
        assert_eq!((upstream.api_url.as_str(), upstream.root_url.as_str()), (api, root), "{url}");
    }
}

#[test]
fn keys_are_trimmed_on_both_sides_and_the_old_name_still_works() {
    let keys = |more: &[(&str, &str)]| {
        let Access::Keys { client_keys, .. } = upstream_of(with(more)).access else { panic!() };
        client_keys
    };
    let padded = [("UNLEASH_PROXY_CLIENT_KEYS", " a ,b,, a\n")];
    assert_eq!(keys(&padded), tokens(&["a", "b"]));
    let old = [("UNLEASH_PROXY_CLIENT_KEYS", ""), ("UNLEASH_PROXY_SECRETS", "s1, s2")];
    assert_eq!(keys(&old), tokens(&["s1", "s2"]));
    let both = [("UNLEASH_PROXY_CLIENT_KEYS", "new"), ("UNLEASH_PROXY_SECRETS", "old")];
    assert_eq!(keys(&both), tokens(&["new"]));
    assert_eq!(problems(&[("UNLEASH_PROXY_CLIENT_KEYS", " , ")]).len(), 1);
}

#[test]
fn server_tokens_are_a_list_of_their_own_and_may_repeat_client_keys() {
    let read = with(&[("EXP_SERVER_SIDE_SDK_CONFIG_TOKENS", "three ,one,, three")]);
    assert_eq!(read.warnings, [] as [&str; 0]);
    let Access::Keys { client_keys, server_tokens, .. } = upstream_of(read).access else {
        panic!()
    };
    assert_eq!(client_keys, tokens(&["one", "two"]));
    assert_eq!(server_tokens, tokens(&["three", "one"]));
    let bad = problems(&[("EXP_SERVER_SIDE_SDK_CONFIG_TOKENS", "fine,s3cret\u{7f}")]);
    assert_eq!(bad.len(), 1);
    assert!(!bad.concat().contains("s3cret"), "{bad:?}");
}

#[test]
fn metrics_are_where_they_always_were_unless_told_otherwise() {
    let metrics = |text| with(&[("OFFLEASH_PROMETHEUS", text)]).config.surfaces.metrics;
    let found = ["", "on", "off", "9100"].map(metrics);
    assert_eq!(found, [Exposure::On, Exposure::On, Exposure::Off, Exposure::Port(9100)]);
    for text in ["3000", "0", "loud"] {
        assert_eq!(problems(&[("OFFLEASH_PROMETHEUS", text)]).len(), 1, "{text}");
    }
}

#[test]
fn a_token_from_a_file_with_a_line_break_is_read() {
    let upstream = upstream_of(with(&[("UNLEASH_API_TOKEN", "*:development.x\n")]));
    let Access::Keys { upstream_token, .. } = upstream.access else { panic!() };
    assert_eq!(upstream_token.secret(), "*:development.x");
}

#[test]
fn the_port_is_port_before_proxy_port() {
    for (variables, port) in [
        (&[("PORT", "4001"), ("PROXY_PORT", "4002")][..], 4001),
        (&[("PROXY_PORT", "4002")], 4002),
        (&[("PORT", ""), ("PROXY_PORT", "4002")], 4002),
        (&[("PORT", "0")], 0),
    ] {
        assert_eq!(with(variables).config.server.port, port, "{variables:?}");
    }
}

#[test]
fn both_surfaces_share_base_path_key_header_and_the_all_switch() {
    let surfaces = with(&[
        ("PROXY_BASE_PATH", " base/path/ "),
        ("CLIENT_KEY_HEADER_NAME", "X-Key"),
        ("ENABLE_ALL_ENDPOINT", "t"),
    ])
    .config
    .surfaces;
    assert_eq!(surfaces.proxy.base_path, "/base/path");
    assert_eq!(surfaces.edge.base_path, "/base/path");
    assert_eq!(surfaces.proxy.key_header, "x-key");
    assert_eq!(surfaces.edge.token_header, "x-key");
    assert!(surfaces.proxy.all_endpoint && surfaces.edge.all_endpoint);
}

#[test]
fn switches_are_on_for_three_spellings_only_and_doubtful_ones_get_a_word() {
    for (text, on, warned) in [
        ("true", true, false),
        ("1", true, false),
        ("t", true, false),
        ("false", false, false),
        ("0", false, false),
        ("TRUE", false, true),
        ("yes", false, true),
    ] {
        let resolved = with(&[("ENABLE_ALL_ENDPOINT", text)]);
        assert_eq!(resolved.config.surfaces.proxy.all_endpoint, on, "{text}");
        assert_eq!(!resolved.warnings.is_empty(), warned, "{text}");
    }
}

#[test]
fn intervals_are_milliseconds_read_like_parse_int() {
    for (text, millis, warned) in
        [("1500", 1500, false), (" 2000 ", 2000, false), ("5000ms", 5000, true), ("0", 5000, true)]
    {
        let resolved = with(&[("UNLEASH_FETCH_INTERVAL", text)]);
        assert_eq!(!resolved.warnings.is_empty(), warned, "{text}");
        assert_eq!(upstream_of(resolved).poll_every, Duration::from_millis(millis), "{text}");
    }
    for text in ["abc", "-5", "ms5", " "] {
        assert_eq!(problems(&[("UNLEASH_FETCH_INTERVAL", text)]).len(), 1, "{text}");
    }
    let off = upstream_of(with(&[("UNLEASH_METRICS_INTERVAL", "0")]));
    assert_eq!(off.report_every, Duration::ZERO);
}

#[test]
fn names_upstream_and_filters_are_taken_over() {
    let resolved = with(&[
        ("UNLEASH_APP_NAME", "shop"),
        ("UNLEASH_INSTANCE_ID", "gitlab-id"),
        ("UNLEASH_ENVIRONMENT", "staging"),
        ("UNLEASH_PROJECT_NAME", "web"),
        ("UNLEASH_NAME_PREFIX", "shop."),
        ("UNLEASH_TAGS", "simple:proxy, demo : a:b"),
    ]);
    assert_eq!(resolved.config.identity.app_name, "shop");
    assert_eq!(resolved.config.identity.instance_id, "gitlab-id");
    assert_eq!(resolved.config.surfaces.proxy.app_name, "shop");
    assert_eq!(resolved.config.surfaces.proxy.environment.as_deref(), Some("staging"));
    let query = upstream_of(resolved).query;
    let query: Vec<_> = query.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let expected =
        [("project", "web"), ("namePrefix", "shop."), ("tag", "simple:proxy"), ("tag", "demo:a:b")];
    assert_eq!(query, expected);
}

#[test]
fn trust_proxy_is_a_switch_or_a_list_and_anything_else_trusts_nobody_with_a_warning() {
    let loopback = TrustProxy::Networks(vec![
        ("127.0.0.1".parse().unwrap(), 8),
        ("::1".parse().unwrap(), 128),
    ]);
    let one = TrustProxy::Networks(vec![("10.0.0.1".parse().unwrap(), 32)]);
    for (text, expected, warned) in [
        ("true", TrustProxy::Everybody, false),
        ("TRUE", TrustProxy::Everybody, false),
        ("False", TrustProxy::Nobody, false),
        ("loopback", loopback, false),
        ("10.0.0.1", one, false),
        ("1", TrustProxy::Nobody, true),
        ("10.0.0.1, nonsense", TrustProxy::Nobody, true),
        (",", TrustProxy::Nobody, false),
    ] {
        let resolved = with(&[("TRUST_PROXY", text)]);
        assert_eq!(resolved.config.surfaces.trust_proxy, expected, "{text}");
        assert_eq!(!resolved.warnings.is_empty(), warned, "{text}");
    }
}

#[test]
fn all_eight_cors_variables_are_read() {
    let cors = with(&[
        ("CORS_ORIGIN", "https://a.example, https://b.example"),
        ("CORS_METHODS", "GET"),
        ("CORS_ALLOWED_HEADERS", "authorization"),
        ("CORS_EXPOSED_HEADERS", "ETag, Date"),
        ("CORS_CREDENTIALS", "true"),
        ("CORS_MAX_AGE", "60"),
        ("CORS_OPTIONS_SUCCESS_STATUS", "200"),
    ]);
    assert_eq!(cors.warnings, [""; 0]);
    let cors = cors.config.surfaces.cors;
    let listed = ["https://a.example", "https://b.example"].map(str::to_owned).to_vec();
    assert_eq!(cors.origin, Origins::Listed(listed));
    assert_eq!(cors.methods, "GET");
    assert_eq!(cors.allowed_headers.as_deref(), Some("authorization"));
    assert_eq!(cors.exposed_headers, "ETag, Date");
    assert!(cors.credentials);
    assert_eq!((cors.max_age_seconds, cors.preflight_status), (60, 200));
    let one = with(&[("CORS_ORIGIN", "https://a.example")]).config.surfaces.cors.origin;
    assert_eq!(one, Origins::One("https://a.example".to_owned()));
    assert_eq!(with(&[("CORS_ORIGIN", "*")]).config.surfaces.cors.origin, Origins::Any);
    assert_eq!(with(&[("CORS_CREDENTIALS", "1")]).warnings.len(), 1);
    assert_eq!(with(&[("CORS_PREFLIGHT_CONTINUE", "true")]).warnings.len(), 1);
    assert_eq!(with(&[("CORS_PREFLIGHT_CONTINUE", "false")]).warnings.len(), 0);
}

#[test]
fn the_log_follows_log_level_and_json_logger() {
    for (level, json, filter, format, warned) in [
        ("", "", "warn", LogFormat::Plain, false),
        ("info", "true", "info", LogFormat::Json, false),
        ("fatal", "false", "error", LogFormat::Plain, false),
        ("trace", "yes please", "trace", LogFormat::Json, false),
        ("loud", "0", "debug", LogFormat::Plain, true),
    ] {
        let resolved = with(&[("LOG_LEVEL", level), ("JSON_LOGGER", json)]);
        assert_eq!(resolved.config.log, Log { format, filter: filter.to_owned() }, "{level}");
        assert_eq!(!resolved.warnings.is_empty(), warned, "{level}");
    }
}

#[test]
fn code_in_javascript_is_refused_with_its_plan() {
    let more: Vec<_> = REFUSED.iter().map(|(name, _)| (*name, "/x.js")).collect();
    let problems = problems(&more);
    assert_eq!(problems.len(), 2);
    assert!(problems.iter().all(|text| text.contains("embedded JavaScript")), "{problems:?}");
}

#[test]
fn offleash_has_variables_for_what_the_original_had_fixed() {
    let config = with(&[
        ("OFFLEASH_WORKERS", "2"),
        ("OFFLEASH_KEEP_ALIVE_SECONDS", "30"),
        ("OFFLEASH_STOP_WITHIN_SECONDS", "0"),
        ("OFFLEASH_BODY_LIMIT_BYTES", "1000"),
    ])
    .config;
    assert_eq!((config.server.workers, config.surfaces.body_limit), (2, 1000));
    assert_eq!(config.server.keep_alive, Duration::from_secs(30));
    assert_eq!(config.server.stop_within, Duration::ZERO);
    for workers in ["0", "513"] {
        assert_eq!(problems(&[("OFFLEASH_WORKERS", workers)]).len(), 1, "{workers}");
    }
}

#[test]
fn the_grace_of_a_stop_is_a_part_of_its_time() {
    let server = with(&[("OFFLEASH_STOP_GRACE_SECONDS", "5")]).config.server;
    assert_eq!(server.announce_for(), Duration::from_secs(5));
    assert_eq!(server.finish_within(), Duration::from_secs(4));
    let server = with(&[]).config.server;
    assert_eq!(server.announce_for(), Duration::from_millis(500));
    let server = with(&[("OFFLEASH_STOP_WITHIN_SECONDS", "0")]).config.server;
    assert_eq!((server.announce_for(), server.finish_within()), (Duration::ZERO, Duration::ZERO));
    let problems = problems(&[("OFFLEASH_STOP_GRACE_SECONDS", "9")]);
    assert_eq!(
        problems,
        ["`OFFLEASH_STOP_GRACE_SECONDS` is `9`, which leaves no time for requests: it is a part \
          of `OFFLEASH_STOP_WITHIN_SECONDS`, which is `9`"]
    );
}
