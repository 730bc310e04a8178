//! What unit tests of several modules need.

use crate::config::{Cors, EdgeSurface, Exposure, Origins, ProxySurface, Surfaces, TrustProxy};

/// Both predecessors' defaults.
pub(super) fn surfaces() -> Surfaces {
    Surfaces {
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
        cors: cors(),
        trust_proxy: TrustProxy::Nobody,
        body_limit: 102_400,
        body_within: std::time::Duration::from_secs(30),
        metrics: Exposure::On,
    }
}

pub(super) fn cors() -> Cors {
    Cors {
        origin: Origins::Any,
        methods: "GET, POST".to_owned(),
        allowed_headers: None,
        exposed_headers: "ETag".to_owned(),
        credentials: false,
        max_age_seconds: 172_800,
        preflight_status: 204,
    }
}
