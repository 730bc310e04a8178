use clap::Parser;

use super::*;
use crate::cli::Command;

fn machine() -> Machine {
    Machine {
        hostname: "box-7".to_owned(),
        user: String::new(),
        cores: 3,
        connection_id: "id".to_owned(),
    }
}

/// What a command line (without the program's name) and variables resolve to.
fn read(line: &str, variables: &[(&str, &str)]) -> Result<Resolved, Problems> {
    let args = Args::parse_from(["offleash"].into_iter().chain(line.split_whitespace()));
    let env = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_owned())
    };
    match args.command.as_ref().unwrap() {
        Command::Edge(edge) => super::edge(&args, edge, &env, &machine()),
        Command::Offline(offline) => super::offline(&args, offline, &env, &machine()),
        Command::Demo => super::demo(&args, &env, &machine()),
        other => panic!("{other:?}"),
    }
}

const MINIMAL: &str = "edge --upstream-url http://h --tokens *:development.x";

fn with(more: &str) -> Resolved {
    read(&format!("{MINIMAL} {more}"), &[]).unwrap()
}

fn upstream_of(resolved: Resolved) -> Upstream {
    let Source::Upstream(upstream) = resolved.config.source else { panic!() };
    upstream
}

fn tokens(texts: &[&str]) -> Vec<Token> {
    texts.iter().map(|text| Token::new(*text)).collect()
}

#[test]
fn two_flags_are_enough_and_the_rest_has_the_defaults_of_the_original() {
    let resolved = with("");
    assert_eq!(resolved.warnings, [""; 0]);
    let Config { server, surfaces, identity, log, .. } = resolved.config.clone();
    assert_eq!((server.interface, server.port, server.workers), (None, 3063, 3));
    assert_eq!(surfaces.edge.base_path, "");
    assert_eq!(surfaces.edge.token_header, "authorization");
    assert!(surfaces.edge.all_endpoint);
    assert_eq!(surfaces.trust_proxy, TrustProxy::Nobody);
    assert_eq!(surfaces.body_limit, 2_097_152);
    assert!(resolved.config.source.validates_callers());
    assert_eq!(surfaces.cors.origin, Origins::Any);
    assert_eq!(
        (surfaces.cors.methods.as_str(), surfaces.cors.exposed_headers.as_str()),
        ("*", "*")
    );
    assert_eq!((surfaces.cors.allowed_headers, surfaces.cors.max_age_seconds), (None, 172_800));
    assert_eq!(
        (identity.app_name.as_str(), identity.instance_id.as_str()),
        ("unleash-edge", "unleash-edge@id")
    );
    assert_eq!(log, Log { format: LogFormat::Plain, filter: "info".to_owned() });

    let upstream = upstream_of(resolved);
    assert_eq!(
        (upstream.api_url.as_str(), upstream.root_url.as_str()),
        ("http://h/api", "http://h")
    );
    assert_eq!(upstream.poll_every, Duration::from_secs(15));
    assert_eq!(upstream.report_every, Duration::from_secs(60));
    assert_eq!(upstream.connect_within, Duration::from_secs(5));
    assert_eq!(upstream.answer_within, Duration::from_secs(5));
    let Access::Tokens { startup, frontend } = upstream.access else { panic!() };
    assert_eq!((startup, frontend), (tokens(&["*:development.x"]), Vec::new()));
}

#[test]
fn every_flag_has_its_variable_and_the_flag_wins() {
    let variables = [
        ("UPSTREAM_URL", "https://u/api/"),
        ("TOKENS", "a:b.c, d:e.f"),
        ("PRETRUSTED_TOKENS", "*:p.q"),
        ("PORT", "4000"),
        ("INTERFACE", "127.0.0.1"),
        ("BASE_PATH", "base/"),
        ("WORKERS", "5"),
        ("APP_NAME", "shop"),
        ("INSTANCE_ID", "i-1"),
        ("FEATURES_REFRESH_INTERVAL_SECONDS", "7"),
        ("METRICS_INTERVAL_SECONDS", "0"),
        ("UPSTREAM_REQUEST_TIMEOUT", "2"),
        ("UPSTREAM_SOCKET_TIMEOUT", "3"),
        ("CUSTOM_CLIENT_HEADERS", "X-Team: web"),
        ("DISABLE_ALL_ENDPOINT", "true"),
        ("LOG_FORMAT", "json"),
        ("RUST_LOG", "offleash=debug"),
        ("STRICT", "true"),
    ];
    let resolved = read("edge --port 5000 --app-name typed", &variables).unwrap();
    assert_eq!(resolved.warnings, [""; 0]);
    let Config { server, surfaces, identity, log, .. } = resolved.config.clone();
    assert_eq!((server.port, server.workers), (5000, 5));
    assert_eq!(server.interface, Some("127.0.0.1".parse().unwrap()));
    assert_eq!((surfaces.edge.base_path.as_str(), surfaces.edge.all_endpoint), ("/base", false));
    assert_eq!((surfaces.proxy.base_path.as_str(), surfaces.proxy.all_endpoint), ("/base", false));
    assert_eq!((identity.app_name.as_str(), identity.instance_id.as_str()), ("typed", "i-1"));
    assert_eq!(log, Log { format: LogFormat::Json, filter: "offleash=debug".to_owned() });
    let upstream = upstream_of(resolved);
    assert_eq!(upstream.api_url, "https://u/api");
    assert_eq!(upstream.poll_every, Duration::from_secs(7));
    assert_eq!(upstream.report_every, Duration::ZERO);
    assert_eq!(upstream.connect_within, Duration::from_secs(2));
    assert_eq!(upstream.answer_within, Duration::from_secs(3));
    assert_eq!(upstream.custom_headers, [("x-team".to_owned(), Token::new("web"))]);
    let Access::Tokens { startup, frontend } = upstream.access else { panic!() };
    assert_eq!((startup, frontend), (tokens(&["a:b.c", "d:e.f"]), tokens(&["*:p.q"])));
}

#[test]
fn problems_come_together_and_without_secrets() {
    let line = "edge --tokens s3cret,*:development.x --port x --interface y --log-format z \
                --cors-max-age m -f 0 --trust-proxy --proxy-trusted-servers 300.0.0.1 -H s3cret";
    let problems = read(line, &[("RUST_LOG", "offleash=loud")]).unwrap_err().0;
    assert_eq!(problems.len(), 10, "{problems:#?}");
    assert!(!problems.concat().contains("s3cret"), "{problems:#?}");
    assert!(problems.iter().any(|text| text.contains("`--port` is `x`")), "{problems:#?}");
    assert!(problems.iter().any(|text| text.contains("`RUST_LOG`")), "{problems:#?}");
}

#[test]
fn one_header_setting_sets_both_directions_and_excludes_the_single_ones() {
    let both = with("--token-header X-Both");
    assert_eq!(both.config.surfaces.edge.token_header, "x-both");
    assert_eq!(upstream_of(both).token_header, "x-both");
    let single = with("--edge-auth-header X-In --upstream-auth-header X-Out");
    assert_eq!(single.config.surfaces.edge.token_header, "x-in");
    assert_eq!(single.config.surfaces.proxy.key_header, "x-in");
    assert_eq!(upstream_of(single).token_header, "x-out");
    let line = format!("{MINIMAL} --token-header a --edge-auth-header b --upstream-auth-header c");
    assert_eq!(read(&line, &[]).unwrap_err().0.len(), 2);
    let line = format!("{MINIMAL} --token-header @@");
    assert_eq!(read(&line, &[]).unwrap_err().0.len(), 1);
}

#[test]
fn trusted_proxies_need_the_switch() {
    let trust = |more: &str| with(more).config.surfaces.trust_proxy;
    let network = vec![("10.0.0.0".parse().unwrap(), 8)];
    assert_eq!(trust("--trust-proxy"), TrustProxy::Everybody);
    assert_eq!(trust("--trust-proxy=false"), TrustProxy::Nobody);
    let listed = trust("--trust-proxy --proxy-trusted-servers 10.0.0.0/8");
    assert_eq!(listed, TrustProxy::Networks(network));
    let idle = with("--proxy-trusted-servers 10.0.0.0/8");
    assert_eq!(idle.config.surfaces.trust_proxy, TrustProxy::Nobody);
    assert_eq!(idle.warnings.len(), 1);
}

#[test]
fn a_star_opens_cors_and_a_list_closes_it() {
    let origin = |text: &str| with(&format!("--cors-origin {text}")).config.surfaces.cors.origin;
    assert_eq!(origin("*"), Origins::Any);
    assert_eq!(origin("https://a,*"), Origins::Any);
    assert_eq!(origin("https://a"), Origins::Listed(vec!["https://a".to_owned()]));
    let headers = |text: &str| {
        with(&format!("--cors-allowed-headers {text}")).config.surfaces.cors.allowed_headers
    };
    assert_eq!(headers("*"), None);
    assert_eq!(headers("x-a,x-b").as_deref(), Some("x-a,x-b"));
}

#[test]
fn settings_that_close_something_are_refused_until_they_are_served() {
    for (name, text) in [("ALLOW_LIST", "10.0.0.0/8"), ("DENY_LIST", "::/0")] {
        assert_eq!(read(MINIMAL, &[(name, text)]).unwrap_err().0.len(), 1, "{name}");
    }
}

#[test]
fn what_is_not_served_yet_gets_a_warning_each_and_a_no_gets_none() {
    let set: Vec<_> = UNSUPPORTED.iter().map(|name| (*name, "true")).collect();
    assert_eq!(read(MINIMAL, &set).unwrap().warnings.len(), set.len());
    assert_eq!(read(MINIMAL, &[("STREAMING", "false")]).unwrap().warnings, [""; 0]);
    assert_eq!(read("demo", &set).unwrap().warnings, [""; 0]);
}

#[test]
fn the_way_to_upstream_is_read_from_flags_and_variables() {
    let outbound = |line: &str, variables: &[(&str, &str)]| {
        let resolved = read(&format!("{MINIMAL} {line}"), variables).unwrap();
        let Source::Upstream(upstream) = resolved.config.source else { panic!("not upstream") };
        assert!(upstream.bootstrap.is_none() && upstream.report_jitter.is_zero());
        (upstream.outbound, resolved.warnings)
    };
    let (plain, warnings) = outbound("", &[]);
    assert_eq!((plain.tls.clone(), warnings.len()), (crate::config::Tls::default(), 0));
    assert!(plain.proxies.to(&"https://unleash.test".parse().unwrap()).is_none());
    for (line, variables) in [
        ("--skip-ssl-verification", &[][..]),
        ("-s", &[]),
        ("", &[("SKIP_SSL_VERIFICATION", "true")]),
    ] {
        let (outbound, warnings) = outbound(line, variables);
        assert_eq!(outbound.tls.verification, crate::config::Verification::Skipped, "{line}");
        assert_eq!(warnings.len(), 1, "{line}");
    }
    let set = [("HTTPS_PROXY", "p:3128"), ("NO_PROXY", "example")];
    let (outbound, _) = outbound("--skip-ssl-verification=false", &set);
    let to = |url: &str| outbound.proxies.to(&url.parse().unwrap()).map(|it| format!("{it:?}"));
    assert_eq!(to("https://unleash.test").as_deref(), Some("http://p:3128"));
    assert_eq!(to("https://unleash.example"), None);
    let missing = format!("{MINIMAL} --upstream-certificate-file /nowhere.pem");
    let problems = read(&missing, &[]).unwrap_err().0;
    assert!(problems[0].contains("`/nowhere.pem`") && problems.len() == 1, "{problems:?}");
}

#[test]
fn an_offline_process_needs_a_file_and_somebody_who_may_ask() {
    let line = "offline -b flags.json -c c:e.s -f f1,f2 -r 3";
    let Source::File { path, reload_every, tokens: who } = read(line, &[]).unwrap().config.source
    else {
        panic!()
    };
    assert_eq!(path.to_str(), Some("flags.json"));
    assert_eq!(reload_every, Some(Duration::from_secs(3)));
    assert_eq!((who.frontend, who.backend), (tokens(&["f1", "f2"]), tokens(&["c:e.s"])));
    assert_eq!(read("offline", &[]).unwrap_err().0.len(), 2);
}

#[test]
fn the_older_name_of_the_offline_tokens_works_typed_and_as_a_variable() {
    for (line, variables) in [
        ("offline -b f --tokens a", &[][..]),
        ("offline", &[("BOOTSTRAP_FILE", "f"), ("TOKENS", "a"), ("RELOAD_INTERVAL", "0")]),
    ] {
        let Source::File { reload_every, tokens: who, .. } =
            read(line, variables).unwrap().config.source
        else {
            panic!()
        };
        assert_eq!((who.frontend, reload_every), (tokens(&["a"]), None), "{line}");
    }
}

#[test]
fn the_demo_listens_on_loopback_unless_told_otherwise() {
    let server = |line: &str| read(line, &[]).unwrap().config.server;
    let demo = server("demo");
    assert_eq!((demo.interface, demo.port), (Some(Ipv4Addr::LOCALHOST.into()), 3063));
    assert_eq!(server("demo --port 4000").port, 4000);
    assert_eq!(server("-p 4000 demo").port, 4000);
    assert_eq!(server("demo -i 0.0.0.0").interface, Some(Ipv4Addr::UNSPECIFIED.into()));
    let Source::Demo { tokens: who } = read("demo", &[]).unwrap().config.source else { panic!() };
    assert_eq!(who.frontend, tokens(&["demo-key"]));
}

#[test]
fn the_unspecified_address_of_ipv6_means_every_address() {
    assert_eq!(with("--interface ::").config.server.interface, None);
}

#[test]
fn a_token_that_names_no_environment_or_no_project_is_refused_without_being_shown() {
    for text in [":dev.sesame", "*:.sesame", "*:dev.", "sesame", "a.b:sesame", ":."] {
        let problems =
            read("edge --upstream-url http://h", &[("TOKENS", text)]).unwrap_err().to_string();
        assert!(problems.contains("`TOKENS`") && problems.contains("entry 1"), "{problems}");
        assert!(!problems.contains("sesame"), "{problems}");
    }
}

#[test]
fn a_configuration_prints_without_its_secrets() {
    let secrets = [
        ("TOKENS", "*:development.sesame"),
        ("PRETRUSTED_TOKENS", "*:development.front-sesame"),
        ("CUSTOM_CLIENT_HEADERS", "x-api-key: header-sesame"),
        ("INSTANCE_ID", "gitlab-sesame"),
    ];
    let resolved = read("edge --upstream-url http://h", &secrets).unwrap();
    let Source::Upstream(upstream) = &resolved.config.source else { panic!("not upstream") };
    assert_eq!(upstream.custom_headers.len(), 1);
    for text in [format!("{:?}", resolved.config), format!("{resolved:#?}")] {
        assert!(text.contains("x-api-key") && text.contains("app_name"), "{text}");
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[test]
fn edges_switch_closes_the_metrics_unless_they_have_a_port_of_their_own() {
    for (variables, expected) in [
        (&[][..], Exposure::On),
        (&[("DISABLE_METRICS_ENDPOINT", "true")], Exposure::Off),
        (&[("DISABLE_METRICS_ENDPOINT", "false")], Exposure::On),
        (
            &[("DISABLE_METRICS_ENDPOINT", "true"), ("OFFLEASH_PROMETHEUS", "9100")],
            Exposure::Port(9100),
        ),
        (&[("OFFLEASH_PROMETHEUS", "off")], Exposure::Off),
    ] {
        let metrics = read(MINIMAL, variables).unwrap().config.surfaces.metrics;
        assert_eq!(metrics, expected, "{variables:?}");
    }
    assert!(read(MINIMAL, &[("OFFLEASH_PROMETHEUS", "3063")]).is_err(), "the port that serves");
}
