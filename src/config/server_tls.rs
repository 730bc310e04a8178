//! TLS towards callers: Unleash Edge's flags (unleash-edge.md 2.1), read until nothing is left that
//! could fail.

use std::{fmt, fs, sync::Arc};

use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
};

use super::{outbound::certificates, settings::Settings, values, values::Reason};
use crate::cli::ServerArgs;

const DEFAULT_PORT: u16 = 3043;

/// With which certificate callers are served, and where. Without TLS nothing is served then.
#[derive(Clone)]
pub struct ServerTls {
    /// 0 takes a free port (tests).
    pub port: u16,
    pub config: Arc<ServerConfig>,
}

/// What the settings ask for; `None` where TLS is off or a setting is no good.
pub(super) fn read(settings: &mut Settings<'_>, typed: &ServerArgs) -> Option<ServerTls> {
    let enable = settings.flag("TLS_ENABLE", typed.tls_enable.as_deref());
    let enabled = settings.parsed(enable, values::switch).unwrap_or(false);
    let certificate = settings.flag("TLS_SERVER_CERT", typed.tls_server_cert.as_deref());
    let key = settings.flag("TLS_SERVER_KEY", typed.tls_server_key.as_deref());
    let port = settings.flag("TLS_SERVER_PORT", typed.tls_server_port.as_deref());
    if !enabled {
        for found in [certificate, key, port].into_iter().flatten() {
            settings.warn(format!("`{}` has no effect without `TLS_ENABLE`", found.name));
        }
        return None;
    }
    for (name, is_there) in
        [("TLS_SERVER_CERT", certificate.is_some()), ("TLS_SERVER_KEY", key.is_some())]
    {
        if !is_there {
            settings.problem(format!("`{name}` is not set, and `TLS_ENABLE` needs it"));
        }
    }
    let port = settings.parsed(port, values::port).unwrap_or(DEFAULT_PORT);
    let names = [&certificate, &key].map(|found| found.as_ref().map(|found| found.name.clone()));
    let certificate = settings.parsed(certificate, certificates);
    let key = settings.parsed(key, private_key);
    let (certificate, key) = (certificate?, key?);
    let versions = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    let config = versions
        .and_then(|versions| versions.with_no_client_auth().with_single_cert(certificate, key));
    match (config, names) {
        (Ok(config), _) => Some(ServerTls { port, config: Arc::new(config) }),
        (Err(err), [certificate, key]) => {
            let [certificate, key] = [certificate, key].map(Option::unwrap_or_default);
            settings.problem(match err {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    format!("`{key}` is not the key of the first certificate in `{certificate}`")
                }
                err => format!("`{certificate}` and `{key}` cannot be used: {err}"),
            });
            None
        }
    }
}

/// The first private key in a PEM file. The reasons never repeat what is in there.
fn private_key(path: &str) -> Result<PrivateKeyDer<'static>, Reason> {
    let pem = fs::read(path).map_err(|err| format!("is `{path}`, which cannot be read: {err}"))?;
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
        format!("is `{path}`, which holds no private key in PEM, or one with a pass phrase")
    })
}

// === impl ServerTls ===

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("port", &self.port).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// Writes files of a certificate and its key.
    fn files(test: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let write = |kind: &str, text: String| {
            let name = format!("offleash-{}-{test}-{kind}.pem", std::process::id());
            let file: PathBuf = std::env::temp_dir().join(name);
            fs::write(&file, text).unwrap();
            file.to_str().unwrap().to_owned()
        };
        (write("cert", made.cert.pem()), write("key", made.signing_key.serialize_pem()))
    }

    fn of(variables: &[(&str, &str)]) -> Result<(Option<ServerTls>, Vec<String>), Vec<String>> {
        let env = |name: &str| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, text)| (*text).to_owned())
        };
        let mut settings = Settings::new(&env);
        let tls = read(&mut settings, &ServerArgs::default());
        settings.finish(Some(tls)).map_err(|problems| problems.0)
    }

    #[test]
    fn a_certificate_and_its_key_are_all_it_takes() {
        let (cert, key) = files("pair");
        let set = [("TLS_ENABLE", "true"), ("TLS_SERVER_CERT", &cert), ("TLS_SERVER_KEY", &key)];
        let (tls, warnings) = of(&set).unwrap();
        assert_eq!((tls.unwrap().port, warnings.len()), (3043, 0));
        let port = [&set[..], &[("TLS_SERVER_PORT", "8443")]].concat();
        assert_eq!(of(&port).unwrap().0.unwrap().port, 8443);
        // One file may hold both.
        let both = fs::read_to_string(&cert).unwrap() + &fs::read_to_string(&key).unwrap();
        fs::write(&cert, both).unwrap();
        let one = [("TLS_ENABLE", "true"), ("TLS_SERVER_CERT", &cert), ("TLS_SERVER_KEY", &cert)];
        assert!(of(&one).unwrap().0.is_some());
        for file in [cert, key] {
            fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_served_with_is_named_all_at_once() {
        let ((cert, key), (other_cert, other_key)) = (files("one"), files("other"));
        let tls = |cert: &str, key: &str| {
            let cert = ("TLS_SERVER_CERT", cert);
            of(&[("TLS_ENABLE", "true"), cert, ("TLS_SERVER_KEY", key)]).unwrap_err()
        };
        let missing = of(&[("TLS_ENABLE", "true")]).unwrap_err();
        assert_eq!(missing.len(), 2);
        assert!(missing[0].starts_with("`TLS_SERVER_CERT` is not set"), "{missing:?}");
        let nowhere = tls("/nowhere/cert.pem", "/nowhere/key.pem");
        assert_eq!(nowhere.len(), 2);
        assert!(nowhere[1].contains("`/nowhere/key.pem`, which cannot be read"), "{nowhere:?}");
        let swapped = tls(&key, &cert);
        assert!(swapped[0].contains("holds no certificate"), "{swapped:?}");
        assert!(swapped[1].contains("holds no private key"), "{swapped:?}");
        assert_eq!(
            tls(&cert, &other_key),
            ["`TLS_SERVER_KEY` is not the key of the first certificate in `TLS_SERVER_CERT`"]
        );
        for file in [cert, key, other_cert, other_key] {
            fs::remove_file(file).unwrap();
        }
    }

    #[test]
    fn files_without_the_switch_are_worth_a_word() {
        let (tls, warnings) = of(&[("TLS_SERVER_CERT", "/a"), ("TLS_ENABLE", "no")]).unwrap();
        assert!(tls.is_none());
        assert_eq!(warnings, ["`TLS_SERVER_CERT` has no effect without `TLS_ENABLE`"]);
    }
}
