//! TLS towards upstream: rustls with ring, the machine's own roots, and those that are configured.

use std::sync::Arc;

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use crate::config::{Tls, Verification};

/// Takes a server's certificate by other rules than the usual ones.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    rule: Rule,
}

#[derive(Debug)]
enum Rule {
    /// Whoever answers is believed.
    Anyone,
    /// One of these certificates itself, for the names in it, or whom `usual` takes.
    // `openssl req -x509` makes servers' certificates that are authorities by their own word. Node
    // takes those from `NODE_EXTRA_CA_CERTS`, webpki takes no authority for a server.
    OneOf(Vec<CertificateDer<'static>>, Arc<WebPkiServerVerifier>),
}

/// Trusts what the machine trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` are obeyed), or Mozilla's
/// list where the machine has none, as in an empty container; and the roots that `tls` adds.
pub(crate) fn client_config(tls: &Tls) -> Arc<ClientConfig> {
    let provider = Arc::new(ring::default_provider());
    let versions = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions();
    #[expect(clippy::expect_used, reason = "ring supports both versions of TLS that rustls knows")]
    let versions = versions.expect("ring has cipher suites for the default versions");
    let rule = match (tls.verification, tls.extra_roots.as_slice()) {
        (Verification::Skipped, _) => Some(Rule::Anyone),
        (Verification::Full, []) => None,
        (Verification::Full, extra) => Some(one_of(extra, &provider)),
    };
    let mut config = match rule {
        None => versions.with_root_certificates(roots()).with_no_client_auth(),
        Some(rule) => {
            let verifier = Arc::new(Verifier { provider, rule });
            let versions = versions.dangerous();
            versions.with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    };
    // HTTP/1.1 only: one request every few seconds has no use for streams.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

fn one_of(extra: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Rule {
    let mut roots = roots();
    roots.add_parsable_certificates(extra.iter().cloned());
    let usual =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    #[expect(clippy::expect_used, reason = "it fails without roots, and there are always some")]
    let usual = usual.expect("there are roots");
    Rule::OneOf(extra.to_vec(), usual)
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

// === impl Verifier ===

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Rule::OneOf(extra, usual) = &self.rule else {
            return Ok(ServerCertVerified::assertion());
        };
        let usually =
            usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let is_authority = match &usually {
            // webpki has no other word for an authority that shows itself.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) => true,
            _ => return usually,
        };
        if is_authority && extra.iter().any(|known| known.as_ref() == end_entity.as_ref()) {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        usually
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_always_roots_and_a_provider() {
        assert!(!roots().is_empty());
        assert_eq!(client_config(&Tls::default()).alpn_protocols, [b"http/1.1".to_vec()]);
    }
}
