use super::*;
use crate::http::fixture;

fn find(method: &str, path: &str, surfaces: &Surfaces) -> Result<Route, (Surface, Miss)> {
    Route::find(&Method::from_bytes(method.as_bytes()).unwrap(), path, surfaces)
}

#[test]
fn every_path_has_its_route_or_its_surfaces_refusal() {
    use Route::{
        BackstageHealth, BackstageMetrics, BackstageReady, FrontendList, FrontendUsage,
        ProxyDefinitions, ProxyHealth, ProxyList, ProxyPrometheus, ProxyUsage,
    };
    use Show::{All, Enabled};
    use Usage::{Metrics, Register};
    let proxy = Err((Surface::Proxy, Miss::Path));
    let edge = Err((Surface::Edge, Miss::Path));
    let surfaces = fixture::surfaces();
    for (method, path, expected) in [
        ("GET", "/proxy", Ok(ProxyList(Enabled))),
        ("HEAD", "/proxy", Ok(ProxyList(Enabled))),
        ("POST", "/proxy/", Ok(ProxyList(Enabled))),
        ("GET", "/PROXY/All", Ok(ProxyList(All))),
        ("GET", "/proxy/all/", Ok(ProxyList(All))),
        ("GET", "/Proxy/Health", Ok(ProxyHealth)),
        ("GET", "/proxy/internal-backstage/prometheus", Ok(ProxyPrometheus)),
        ("GET", "/proxy/Internal-Backstage/Prometheus/", Ok(ProxyPrometheus)),
        ("GET", "/proxy/internal-backstage/metrics", proxy),
        ("GET", "/internal-backstage/metrics", Ok(BackstageMetrics)),
        ("GET", "/internal-backstage/prometheus", edge),
        ("GET", "/proxy/client/features", Ok(ProxyDefinitions)),
        ("HEAD", "/Proxy/Client/Features/", Ok(ProxyDefinitions)),
        ("POST", "/proxy/client/features", proxy),
        ("GET", "/proxy/all/client/features", proxy),
        ("POST", "/proxy/health", proxy),
        ("PUT", "/proxy", proxy),
        ("DELETE", "/proxy/all", proxy),
        ("GET", "/proxy//", Ok(ProxyList(Enabled))),
        ("GET", "/proxy//all/", Ok(ProxyList(All))),
        ("POST", "/proxy//client/metrics", Ok(ProxyUsage(Metrics))),
        ("GET", "/proxy///", proxy),
        ("GET", "/proxy///all", proxy),
        ("GET", "/proxy/all//", proxy),
        ("POST", "/proxy/all//client/metrics", proxy),
        ("GET", "/proxy/nowhere", proxy),
        ("GET", "/proxyfoo", edge),
        ("GET", "/proxy.json", edge),
        ("GET", "//proxy", Err((Surface::Edge, Miss::Nearly(Nearly::Proxy)))),
        ("GET", "/api/frontend", Ok(FrontendList(Enabled))),
        ("GET", "/api/frontend/", Ok(FrontendList(Enabled))),
        ("GET", "//api//frontend//", Ok(FrontendList(Enabled))),
        ("POST", "/api/proxy", Ok(FrontendList(Enabled))),
        ("HEAD", "/api/proxy/all", Ok(FrontendList(All))),
        ("GET", "/api/frontend/all", Ok(FrontendList(All))),
        ("GET", "/API/frontend", edge),
        ("PUT", "/api/frontend", Err((Surface::Edge, Miss::Method("GET,HEAD,POST")))),
        ("GET", "/internal-backstage/health", Ok(BackstageHealth)),
        ("GET", "/internal-backstage//ready/", Ok(BackstageReady)),
        ("POST", "/internal-backstage/ready", Err((Surface::Edge, Miss::Method("GET,HEAD")))),
        ("GET", "/a/b/c/d/e/f/g/h", edge),
        ("GET", "/", Err((Surface::Edge, Miss::Nearly(Nearly::Root)))),
        ("POST", "/proxy/client/metrics", Ok(ProxyUsage(Metrics))),
        ("POST", "/Proxy/ALL/Client/Metrics/", Ok(ProxyUsage(Metrics))),
        ("POST", "/proxy/client/register", Ok(ProxyUsage(Register))),
        ("POST", "/proxy/all/client/register", proxy),
        ("GET", "/proxy/client/metrics", proxy),
        ("POST", "//api/frontend//client/metrics", Ok(FrontendUsage(Metrics))),
        ("POST", "/api/proxy/all/client/metrics", Ok(FrontendUsage(Metrics))),
        ("POST", "/api/proxy/all/client/register/", Ok(FrontendUsage(Register))),
        ("GET", "/api/proxy/client/register", Err((Surface::Edge, Miss::Method("POST")))),
        ("POST", "/api/frontend/client", edge),
        ("GET", "/api", Err((Surface::Edge, Miss::Nearly(Nearly::Root)))),
        ("GET", "/frontend", Err((Surface::Edge, Miss::Nearly(Nearly::Frontend)))),
    ] {
        assert_eq!(find(method, path, &surfaces), expected, "{method} {path}");
    }
}

#[test]
fn base_paths_move_their_own_surface_only() {
    let mut surfaces = fixture::surfaces();
    surfaces.proxy.base_path = "/Some/base".to_owned();
    surfaces.edge.base_path = "/edge".to_owned();
    let list = Ok(Route::ProxyList(Show::Enabled));
    assert_eq!(find("GET", "/some/BASE/proxy", &surfaces), list);
    assert_eq!(find("GET", "/proxy", &surfaces), Err((Surface::Edge, Miss::Nearly(Nearly::Proxy))));
    let frontend = Ok(Route::FrontendList(Show::Enabled));
    assert_eq!(find("GET", "/edge/api/frontend", &surfaces), frontend);
    assert_eq!(find("GET", "//edge//api/frontend/", &surfaces), frontend);
    assert_eq!(find("GET", "/api/frontend", &surfaces), Err((Surface::Edge, Miss::Path)));
    assert_eq!(
        find("GET", "/edge/internal-backstage/health", &surfaces),
        Ok(Route::BackstageHealth)
    );
}

#[test]
fn the_proxys_base_may_be_the_edges_api() {
    let mut surfaces = fixture::surfaces();
    surfaces.proxy.base_path = "/api".to_owned();
    assert_eq!(find("GET", "/api/proxy", &surfaces), Ok(Route::ProxyList(Show::Enabled)));
    assert_eq!(find("GET", "/api/frontend", &surfaces), Ok(Route::FrontendList(Show::Enabled)));
}

#[test]
fn edges_all_route_is_absent_when_switched_off() {
    let mut surfaces = fixture::surfaces();
    surfaces.edge.all_endpoint = false;
    assert_eq!(find("GET", "/api/frontend/all", &surfaces), Err((Surface::Edge, Miss::Path)));
    assert_eq!(find("PUT", "/api/proxy/all", &surfaces), Err((Surface::Edge, Miss::Path)));
}

#[test]
fn metrics_are_nowhere_but_where_they_are_exposed() {
    let surfaces = |metrics| Surfaces { metrics, ..fixture::surfaces() };
    for exposure in [Exposure::Off, Exposure::Port(9100)] {
        for path in ["/proxy/internal-backstage/prometheus", "/internal-backstage/metrics"] {
            assert!(find("GET", path, &surfaces(exposure)).is_err(), "{exposure:?} {path}");
        }
    }
    let mut surfaces = surfaces(Exposure::Port(9100));
    surfaces.proxy.base_path = "/b".to_owned();
    surfaces.edge.base_path = "/b".to_owned();
    for (method, path, expected) in [
        ("GET", "/metrics", Ok(Route::BackstageMetrics)),
        ("HEAD", "//metrics/", Ok(Route::BackstageMetrics)),
        ("GET", "/b/internal-backstage/metrics", Ok(Route::BackstageMetrics)),
        ("GET", "/b/proxy/internal-backstage/prometheus/", Ok(Route::ProxyPrometheus)),
        ("GET", "/internal-backstage/metrics", Err((Surface::Edge, Miss::Path))),
        ("GET", "/b/proxy", Err((Surface::Edge, Miss::Path))),
        ("GET", "/", Err((Surface::Edge, Miss::Path))),
        ("POST", "/metrics", Err((Surface::Edge, Miss::Method("GET,HEAD")))),
    ] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        assert_eq!(Route::find_metrics(&method, path, &surfaces), expected, "{method} {path}");
    }
}
