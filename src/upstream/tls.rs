//! TLS towards upstream: rustls with ring, and the machine's own roots.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Trusts what the machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are obeyed), or Mozilla's
/// list where the machine has none, as in an empty container.
pub(super) fn client_config() -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "ring supports both versions of TLS that rustls knows")]
    let versions = versions.expect("ring has cipher suites for the default versions");
    let mut config = versions.with_root_certificates(roots()).with_no_client_auth();
    // HTTP/1.1 only: one request every few seconds has no use for streams.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for err in found.errors {
        tracing::warn!("some of this machine's root certificates cannot be read: {err}");
    }
    let (_, ignored) = roots.add_parsable_certificates(found.certs);
    if ignored > 0 {
        tracing::debug!("{ignored} of this machine's root certificates are malformed");
    }
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_always_roots_and_a_provider() {
        assert!(!roots().is_empty());
        assert_eq!(client_config().alpn_protocols, [b"http/1.1".to_vec()]);
    }
}
