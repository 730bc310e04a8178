use super::*;

fn proxies_of(
    rules: Rules,
    upstream: &str,
    variables: &[(&str, &str)],
) -> (Result<Proxies, Vec<String>>, Vec<String>) {
    let env = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, text)| (*text).to_owned())
    };
    let mut settings = Settings::new(&env);
    let proxies = proxies(&mut settings, rules, Some(upstream));
    match settings.finish(Some(proxies)) {
        Ok((proxies, warnings)) => (Ok(proxies), warnings),
        Err(problems) => (Err(problems.0), Vec::new()),
    }
}

/// The proxy for `url` as it prints, or `direct`.
fn way(rules: Rules, variables: &[(&str, &str)], url: &str) -> String {
    let (proxies, _) = proxies_of(rules, url, variables);
    let url: Uri = url.parse().unwrap();
    proxies.unwrap().to(&url).map_or_else(|| "direct".to_owned(), |proxy| format!("{proxy:?}"))
}

#[test]
fn the_variables_decide_by_scheme_in_any_case() {
    use Rules::{Node, Reqwest};
    type Row = (Rules, &'static [(&'static str, &'static str)], &'static str, &'static str);
    let rows: [Row; 14] = [
        (Node, &[], "http://u", "direct"),
        (Node, &[("HTTP_PROXY", "http://p:1")], "http://u", "http://p:1"),
        (Node, &[("http_proxy", "http://p:1")], "http://u", "http://p:1"),
        (Node, &[("HTTP_PROXY", "http://p:1")], "https://u", "direct"),
        (Node, &[("https_proxy", "http://p:1")], "https://u", "http://p:1"),
        (Node, &[("ALL_PROXY", "http://p:1")], "https://u", "http://p:1"),
        (
            Node,
            &[("all_proxy", "http://p:1"), ("HTTP_PROXY", "http://q")],
            "http://u",
            "http://q:80",
        ),
        (
            Node,
            &[("http_proxy", "http://l"), ("HTTP_PROXY", "http://q")],
            "http://u",
            "http://l:80",
        ),
        (
            Reqwest,
            &[("http_proxy", "http://l"), ("HTTP_PROXY", "http://q")],
            "http://u",
            "http://q:80",
        ),
        (
            Node,
            &[("npm_config_proxy", "http://n"), ("ALL_PROXY", "http://q")],
            "http://u",
            "http://n:80",
        ),
        (
            Node,
            &[("npm_config_http_proxy", "http://n"), ("HTTP_PROXY", "http://q")],
            "http://u",
            "http://n:80",
        ),
        (Node, &[("HTTPS_PROXY", "p:3128")], "https://u", "https://p:3128"),
        (Reqwest, &[("HTTPS_PROXY", "p:3128")], "https://u", "http://p:3128"),
        (Node, &[("HTTP_PROXY", "http://[::1]:8080/")], "http://u", "http://[::1]:8080"),
    ];
    for (rules, variables, url, expected) in rows {
        assert_eq!(way(rules, variables, url), expected, "{rules:?} {variables:?} {url}");
    }
}

#[test]
fn exemptions_follow_each_originals_rules() {
    // What is exempt for `proxy-from-env`, and for `reqwest`.
    for (exempt, url, node, reqwest) in [
        ("u.example", "https://u.example", true, true),
        ("U.Example", "https://u.EXAMPLE", true, true),
        ("example", "https://u.example", false, true),
        (".example", "https://u.example", true, true),
        (".u.example", "https://u.example", false, true),
        ("*.example", "https://u.example", true, true),
        ("*example", "https://myexample", true, false),
        ("*", "https://u.example", true, true),
        ("other, u.example", "https://u.example", true, true),
        ("other u.example", "https://u.example", true, true),
        ("u.example:443", "https://u.example", true, true),
        ("u.example:443", "http://u.example", false, false),
        ("u.example:8443", "https://u.example:8443", true, true),
        ("u.example:8443", "https://u.example", false, false),
        ("10.0.0.0/8", "http://10.1.2.3", false, true),
        ("10.1.2.3", "http://10.1.2.3:4242", true, true),
        ("::1", "http://[::1]:4242", true, true),
        ("[::1]", "http://[::1]:4242", true, true),
        ("[::1]:4242", "http://[::1]:4242", true, true),
        ("fd00::/8", "http://[fd12::1]", false, true),
        ("127.0.0.1", "http://localhost", false, false),
        (",, ,", "http://u.example", false, false),
    ] {
        for (rules, expected) in [(Rules::Node, node), (Rules::Reqwest, reqwest)] {
            let variables = [("ALL_PROXY", "http://p"), ("NO_PROXY", exempt)];
            let is_direct = way(rules, &variables, url) == "direct";
            assert_eq!(is_direct, expected, "{rules:?} `{exempt}` {url}");
        }
    }
}

#[test]
fn credentials_become_a_header_and_never_a_message() {
    let variables = [("HTTP_PROXY", "http://us%20er:s3cret@p:3128/path")];
    let (proxies, warnings) = proxies_of(Rules::Node, "http://u", &variables);
    let proxies = proxies.unwrap();
    let proxy = proxies.to(&"http://u/".parse().unwrap()).unwrap();
    assert_eq!((proxy.authority().as_str(), warnings.len()), ("p:3128", 0));
    let token = proxy.authorization.as_ref().unwrap();
    assert_eq!(token.secret(), "Basic dXMgZXI6czNjcmV0", "as Node's agents write it");
    let printed = format!("{proxies:?}");
    assert!(printed.contains("p:3128") && !printed.contains("s3cret"), "{printed}");
    assert!(!printed.contains("dXMg"), "{printed}");
    assert_eq!(basic("user").secret(), "Basic dXNlcjo=");
    assert_eq!(basic("a:b:c").secret(), "Basic YTpiOmM=");
}

#[test]
fn a_proxy_that_is_no_url_is_a_problem_only_where_upstream_needs_it() {
    for bad in
        ["socks5://me:s3cret@p", "http://", "http://me:s3cret@", "http://p:s3cret", "http://a b"]
    {
        let set = [("HTTPS_PROXY", bad)];
        let (proxies, _) = proxies_of(Rules::Node, "https://u", &set);
        let problems = proxies.unwrap_err();
        assert_eq!(problems.len(), 1, "{bad}");
        assert!(problems[0].contains("`HTTPS_PROXY`"), "{problems:?}");
        assert!(!problems[0].contains("s3cret"), "{problems:?}");
        let (proxies, warnings) = proxies_of(Rules::Node, "http://u", &set);
        assert!(proxies.is_ok() && warnings.len() == 1, "{bad}: {warnings:?}");
        assert!(!warnings[0].contains("s3cret"), "{warnings:?}");
        let exempt = [("HTTPS_PROXY", bad), ("NO_PROXY", "u")];
        assert!(proxies_of(Rules::Node, "https://u", &exempt).0.is_ok(), "{bad}");
    }
}

#[test]
fn a_proxy_without_a_scheme_that_is_taken_for_one_with_tls_gets_a_word() {
    let set = [("HTTPS_PROXY", "p:3128")];
    assert_eq!(proxies_of(Rules::Node, "https://u", &set).1.len(), 1);
    assert_eq!(proxies_of(Rules::Node, "http://u", &set).1.len(), 0);
    assert_eq!(proxies_of(Rules::Reqwest, "https://u", &set).1.len(), 0);
}

#[test]
fn a_file_of_certificates_is_read_whole_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("offleash-pem-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let one = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap().cert.pem();
    let two = rcgen::generate_simple_self_signed(["b.test".to_owned()]).unwrap().cert.pem();
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (name, text) in [
        ("good.pem", format!("# ours\n{one}\n{two}")),
        ("empty.pem", String::new()),
        ("other.pem", "no PEM at all".to_owned()),
        ("half.pem", format!("{one}{garbage}")),
        ("cut.pem", one[..one.len() / 2].to_owned()),
    ] {
        fs::write(path(name), text).unwrap();
    }
    assert_eq!(certificates(&path("good.pem")).unwrap().len(), 2);
    for (name, why) in [
        ("missing.pem", "cannot be read"),
        ("empty.pem", "holds no certificate"),
        ("other.pem", "holds no certificate"),
        ("half.pem", "number 2 is malformed"),
        ("cut.pem", "no good PEM"),
    ] {
        let reason = certificates(&path(name)).unwrap_err();
        assert!(reason.contains(why) && reason.contains(name), "{name}: {reason}");
    }
    fs::remove_dir_all(folder).unwrap();
}
