//! Whose address a request comes from (unleash-proxy.md 1.10, unleash-edge.md 1.2).

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use actix_web::http::header::{FORWARDED, HeaderName, X_FORWARDED_FOR};

use super::{
    head::{self, Headers},
    route::Surface,
};
use crate::config::{TrustProxy, is_within};

/// A client's address as its context shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Address<'h> {
    /// Without a port; an IPv4 address mapped into IPv6 is plain IPv4 again, so that rules match.
    Ip(IpAddr),
    /// A forwarding entry that is no address, verbatim.
    Text(&'h str),
}

/// The address of the client behind `peer`.
///
/// By default (`TrustProxy::Nobody`) the peer itself. The Proxy's surface reads `X-Forwarded-For`
/// alone; Edge's prefers `Forwarded`. Returns `None` when nobody says.
pub(super) fn client<'h>(
    peer: Option<SocketAddr>,
    headers: Headers<'h>,
    trust: &TrustProxy,
    surface: Surface,
) -> Option<Address<'h>> {
    let peer = peer.map(|peer| Address::Ip(peer.ip().to_canonical()));
    match trust {
        TrustProxy::Nobody => peer,
        TrustProxy::Everybody => {
            let (header, parse) = forwarding(headers, surface);
            entries(headers, &header, parse).next().or(peer)
        }
        TrustProxy::Networks(networks) => {
            let (header, parse) = forwarding(headers, surface);
            let mut client = peer?;
            if !trusted(client, networks) {
                return Some(client);
            }
            let hops: Vec<_> = entries(headers, &header, parse).collect();
            for hop in hops.into_iter().rev() {
                client = hop;
                if !trusted(client, networks) {
                    break;
                }
            }
            Some(client)
        }
    }
}

// === impl Address ===

impl<'h> Address<'h> {
    /// Reads one forwarding entry: an address, one with a port, or whatever it is.
    fn parse(entry: &'h str) -> Self {
        let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']'));
        let ip = bare.unwrap_or(entry).parse::<IpAddr>().ok();
        let ip = ip.or_else(|| entry.parse::<SocketAddr>().ok().map(|address| address.ip()));
        ip.map_or(Self::Text(entry), |ip| Self::Ip(ip.to_canonical()))
    }
}

impl fmt::Display for Address<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Finds the address inside one element of a forwarding header.
type Parse = for<'e> fn(&'e str) -> Option<&'e str>;

fn forwarding(headers: Headers<'_>, surface: Surface) -> (HeaderName, Parse) {
    if surface == Surface::Edge && headers.has(&FORWARDED) {
        (FORWARDED, forwarded_for)
    } else {
        (X_FORWARDED_FOR, |entry| Some(entry))
    }
}

fn entries<'h>(
    headers: Headers<'h>,
    name: &HeaderName,
    parse: Parse,
) -> impl Iterator<Item = Address<'h>> {
    headers
        .all(name)
        .filter_map(head::text)
        .flat_map(|value| value.split(','))
        .filter_map(move |entry| parse(entry.trim()))
        .filter(|entry| !entry.is_empty())
        .map(Address::parse)
}

/// The `for` parameter of one element of RFC 7239's header.
fn forwarded_for(element: &str) -> Option<&str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
    })
}

fn trusted(address: Address<'_>, networks: &[(IpAddr, u8)]) -> bool {
    match address {
        Address::Ip(ip) => networks.iter().any(|&(network, bits)| is_within(ip, network, bits)),
        Address::Text(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderMap, HeaderValue};

    use super::*;

    fn ask(trust: &TrustProxy, surface: Surface, peer: &str, lines: &[(&str, &str)]) -> String {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        let peer = Some(SocketAddr::new(peer.parse().unwrap(), 4711));
        client(peer, Headers::from(&headers), trust, surface).unwrap().to_string()
    }

    fn networks(texts: &[&str]) -> TrustProxy {
        TrustProxy::Networks(
            texts
                .iter()
                .map(|text| {
                    let (ip, bits) = text.split_once('/').unwrap();
                    (ip.parse().unwrap(), bits.parse().unwrap())
                })
                .collect(),
        )
    }

    #[test]
    fn the_client_is_who_the_trusted_say_it_is() {
        let private = networks(&["10.0.0.0/8", "fd00::/8"]);
        let all = &TrustProxy::Everybody;
        for (trust, surface, peer, lines, expected) in [
            (&TrustProxy::Nobody, Surface::Proxy, "::ffff:1.2.3.4", &[][..], "1.2.3.4"),
            (&TrustProxy::Nobody, Surface::Edge, "::1", &[("x-forwarded-for", "9.9.9.9")], "::1"),
            (all, Surface::Proxy, "10.0.0.1", &[], "10.0.0.1"),
            (
                all,
                Surface::Proxy,
                "10.0.0.1",
                &[("x-forwarded-for", "9.9.9.9, 8.8.8.8")],
                "9.9.9.9",
            ),
            (
                all,
                Surface::Proxy,
                "10.0.0.1",
                &[("x-forwarded-for", " unknown ,8.8.8.8")],
                "unknown",
            ),
            (all, Surface::Proxy, "10.0.0.1", &[("x-forwarded-for", "9.9.9.9:80")], "9.9.9.9"),
            (
                all,
                Surface::Edge,
                "10.0.0.1",
                &[("x-forwarded-for", "[2001:db8::1]:80")],
                "2001:db8::1",
            ),
            (all, Surface::Edge, "10.0.0.1", &[("x-forwarded-for", "::ffff:9.9.9.9")], "9.9.9.9"),
            (
                all,
                Surface::Edge,
                "10.0.0.1",
                &[
                    ("x-forwarded-for", "9.9.9.9"),
                    ("forwarded", "proto=https;For=\"[2001:db8::2]:1\""),
                ],
                "2001:db8::2",
            ),
            (
                all,
                Surface::Proxy,
                "10.0.0.1",
                &[("x-forwarded-for", "9.9.9.9"), ("forwarded", "for=7.7.7.7")],
                "9.9.9.9",
            ),
            (&private, Surface::Proxy, "8.8.8.8", &[("x-forwarded-for", "9.9.9.9")], "8.8.8.8"),
            (
                &private,
                Surface::Proxy,
                "::ffff:10.0.0.1",
                &[("x-forwarded-for", "7.7.7.7, 9.9.9.9, 10.1.1.1")],
                "9.9.9.9",
            ),
            (
                &private,
                Surface::Proxy,
                "fd00::1",
                &[("x-forwarded-for", "7.7.7.7"), ("x-forwarded-for", "10.1.1.1")],
                "7.7.7.7",
            ),
            (
                &private,
                Surface::Proxy,
                "10.0.0.1",
                &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")],
                "10.0.0.3",
            ),
            (&private, Surface::Proxy, "10.0.0.1", &[("x-forwarded-for", "7.7.7.7, junk")], "junk"),
        ] {
            assert_eq!(ask(trust, surface, peer, lines), expected, "{trust:?} {peer} {lines:?}");
        }
    }
}
