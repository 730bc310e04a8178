//! What the text of a setting means. Pure: a text goes in, a value or the reason against it comes
//! out. A reason completes the sentence "`SETTING` …" and never repeats what may be a secret.

use std::{net::IpAddr, time::Duration};

use actix_web::http::{
    Uri,
    header::{HeaderName, HeaderValue},
};

use super::Exposure;
use crate::token::Token;

/// Why a text is no value of its setting.
pub(super) type Reason = String;

/// The networks that the Unleash Proxy knows by name (unleash-proxy.md 1.10).
const NAMED_NETWORKS: [(&str, &[&str]); 3] = [
    ("loopback", &["127.0.0.1/8", "::1/128"]),
    ("linklocal", &["169.254.0.0/16", "fe80::/10"]),
    ("uniquelocal", &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"]),
];

/// A base path: empty, or with one leading slash and no trailing one (unleash-proxy.md 2.2).
pub(super) fn base_path(text: &str) -> Result<String, Reason> {
    let path = text.trim().trim_matches('/');
    if path.is_empty() {
        return Ok(String::new());
    }
    if path.contains(|c: char| c.is_whitespace() || "?#{}".contains(c)) {
        return Err(format!("is `{text}`, which is not a path"));
    }
    Ok(format!("/{path}"))
}

/// The entries of a comma list, trimmed, empty ones dropped.
pub(super) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}

/// A switch as Unleash Edge's command line reads one.
pub(super) fn switch(text: &str) -> Result<bool, Reason> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "t" | "yes" | "y" | "on" => Ok(true),
        "false" | "0" | "f" | "no" | "n" | "off" => Ok(false),
        _ => Err(format!("is `{text}`, which is neither `true` nor `false`")),
    }
}

/// Whether a switch is on; what is no switch is off.
pub(crate) fn is_on(text: &str) -> bool {
    switch(text).unwrap_or(false)
}

pub(super) fn port(text: &str) -> Result<u16, Reason> {
    text.trim().parse().map_err(|_| format!("is `{text}`, which is not a port (0 to 65535)"))
}

/// `on`, `off` or a port of its own.
pub(super) fn exposure(text: &str) -> Result<Exposure, Reason> {
    // A number is a port here and no switch.
    match (text.trim().parse::<u16>(), switch(text)) {
        (Ok(port), _) if port > 0 => Ok(Exposure::Port(port)),
        (Err(_), Ok(true)) => Ok(Exposure::On),
        (Err(_), Ok(false)) => Ok(Exposure::Off),
        _ => Err(format!("is `{text}`, which is none of `on`, `off` and a port (1 to 65535)")),
    }
}

pub(super) fn address(text: &str) -> Result<IpAddr, Reason> {
    let address = text.trim().trim_start_matches('[').trim_end_matches(']');
    address.parse().map_err(|_| format!("is `{text}`, which is not an IP address"))
}

/// A whole number that is not negative.
pub(super) fn number(text: &str) -> Result<u64, Reason> {
    text.trim().parse().map_err(|_| format!("is `{text}`, which is not a whole number"))
}

/// A whole number of at least 1.
pub(super) fn count(text: &str) -> Result<usize, Reason> {
    match text.trim().parse() {
        Ok(count) if count > 0 => Ok(count),
        _ => Err(format!("is `{text}`, which is not a whole number above 0")),
    }
}

/// A number of threads that serve; the server knows no more than 512.
pub(super) fn workers(text: &str) -> Result<usize, Reason> {
    match text.trim().parse() {
        Ok(count @ 1..=512) => Ok(count),
        _ => Err(format!("is `{text}`, which is not a number of threads (1 to 512)")),
    }
}

/// Whole seconds; 0 is allowed.
pub(super) fn seconds(text: &str) -> Result<Duration, Reason> {
    number(text).map(Duration::from_secs)
}

/// Whole seconds, at least one.
pub(super) fn some_seconds(text: &str) -> Result<Duration, Reason> {
    count(text).map(|seconds| Duration::from_secs(seconds as u64))
}

/// A header's name, in lower case.
pub(super) fn header_name(text: &str) -> Result<String, Reason> {
    HeaderName::from_bytes(text.trim().as_bytes())
        .map(|name| name.as_str().to_owned())
        .map_err(|_| format!("is `{text}`, which is not the name of a header"))
}

/// Whether an HTTP header can carry `text`.
pub(super) fn fits_header(text: &str) -> bool {
    HeaderValue::from_str(text).is_ok()
}

/// `Name: value` pairs in a comma list (unleash-edge.md 2.2, `--custom-client-headers`).
pub(super) fn headers(text: &str) -> Result<Vec<(String, Token)>, Reason> {
    let bad = |at: usize, what: &str| format!("has {what} in entry {}", at + 1);
    list(text)
        .enumerate()
        .map(|(at, entry)| {
            let (name, value) = entry.split_once(':').ok_or_else(|| bad(at, "no colon"))?;
            let name = header_name(name).map_err(|_| bad(at, "no valid header name"))?;
            let value = value.trim();
            if !fits_header(value) {
                return Err(bad(at, "a value that a header cannot carry"));
            }
            Ok((name, Token::new(value)))
        })
        .collect()
}

/// An absolute `http` or `https` URL, trimmed, without trailing slashes.
///
/// The reasons do not repeat the URL: credentials have been seen in there.
pub(super) fn url(text: &str) -> Result<String, Reason> {
    const SHAPE: &str = "is not an http or https URL, such as `https://unleash.example.com/api`";
    let text = text.trim().trim_end_matches('/');
    let uri: Uri = text.parse().map_err(|_| SHAPE.to_owned())?;
    let authority = uri.authority().ok_or(SHAPE)?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) || authority.host().is_empty() {
        return Err(SHAPE.to_owned());
    }
    if authority.as_str().contains('@') {
        return Err("carries a user name or a password: use headers instead".to_owned());
    }
    if text.contains(['?', '#']) {
        return Err("carries a query or a fragment".to_owned());
    }
    Ok(text.to_owned())
}

/// An absolute `http` or `https` URL that may hold secrets, and what stood before its `@`.
///
/// The reasons do not repeat the URL.
pub(super) fn url_with_secrets(text: &str) -> Result<(Token, Option<String>), Reason> {
    const SHAPE: &str = "is not an http or https URL";
    let text = text.trim();
    let text = text.split('#').next().unwrap_or(text);
    let (scheme, rest) = text.split_once("://").ok_or(SHAPE)?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (userinfo, host) = match authority.rsplit_once('@') {
        Some((userinfo, host)) => (Some(userinfo.to_owned()), host),
        None => (None, authority),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let url = format!("{}://{host}{slash}{path}", scheme.to_ascii_lowercase());
    let uri: Uri = url.parse().map_err(|_| SHAPE.to_owned())?;
    let is_usable = matches!(uri.scheme_str(), Some("http" | "https"));
    if !is_usable || uri.host().is_none_or(str::is_empty) {
        return Err(SHAPE.to_owned());
    }
    Ok((Token::new(url), userinfo))
}

/// Networks: addresses, CIDR, an address with a mask, or a name such as `loopback`.
pub(super) fn networks(text: &str) -> Result<Vec<(IpAddr, u8)>, Reason> {
    let mut networks = Vec::new();
    for entry in list(text) {
        let named = NAMED_NETWORKS.iter().find(|(name, _)| *name == entry);
        match named {
            Some((_, members)) => networks.extend(members.iter().filter_map(|text| network(text))),
            None => networks.push(network(entry).ok_or_else(|| {
                format!("lists `{entry}`, which is neither an IP address nor a network")
            })?),
        }
    }
    Ok(networks)
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let widest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => widest,
        Some(prefix) => prefix.parse().ok().or_else(|| mask_length(prefix))?,
    };
    (prefix <= widest).then_some((address, prefix))
}

/// Whether `address` is in the network of this many leading bits, at most as many as `network` has.
/// The families never meet.
pub(crate) fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let high =
        |whole: u128, width: u32| whole.checked_shr(width.saturating_sub(bits.into())).unwrap_or(0);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            high(u128::from(a.to_bits()), 32) == high(u128::from(n.to_bits()), 32)
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => high(a.to_bits(), 128) == high(n.to_bits(), 128),
        _ => false,
    }
}

/// The prefix length of a dotted mask such as `255.255.0.0`; `None` where its ones have gaps.
fn mask_length(text: &str) -> Option<u8> {
    let mask = u32::from(text.parse::<std::net::Ipv4Addr>().ok()?);
    (mask.leading_ones() == mask.count_ones()).then(|| mask.leading_ones() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_get_one_leading_slash_and_no_trailing_one() {
        for text in ["/base/path", "base/path/", "base/path", "  /base/path/ "] {
            assert_eq!(base_path(text).as_deref(), Ok("/base/path"), "{text}");
        }
        for text in ["", " ", "/", " / "] {
            assert_eq!(base_path(text).as_deref(), Ok(""), "{text}");
        }
        assert!(base_path("/a b").is_err());
        assert!(base_path("/a?b").is_err());
    }

    #[test]
    fn urls_lose_their_trailing_slash_and_must_be_absolute() {
        assert_eq!(url(" https://h/api/ ").as_deref(), Ok("https://h/api"));
        assert_eq!(url("http://[::1]:4242/api").as_deref(), Ok("http://[::1]:4242/api"));
        for text in ["h/api", "ftp://h/api", "https://", "/api", "https://h/api?x=1", "::"] {
            assert!(url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_repeating_it() {
        let reason = url("https://me:hunter2@h/api").unwrap_err();
        assert!(!reason.contains("hunter2"), "{reason}");
    }

    #[test]
    fn a_url_with_secrets_keeps_its_query_and_gives_its_credentials_apart() {
        let read = |text| url_with_secrets(text).map(|(url, own)| (url.secret().to_owned(), own));
        let plain = ("http://h:1/f.json?sig=a%20b".to_owned(), None);
        assert_eq!(read(" http://h:1/f.json?sig=a%20b#x "), Ok(plain));
        let own = ("https://h/?x".to_owned(), Some("me:s3cret".to_owned()));
        assert_eq!(read("HTTPS://me:s3cret@h?x"), Ok(own));
        for text in
            ["s3cret", "ftp://h/s3cret", "https://", "https://s3cret@/", "http://a b/s3cret"]
        {
            let reason = read(text).unwrap_err();
            assert!(!reason.contains("s3cret"), "{reason}");
        }
    }

    #[test]
    fn networks_are_addresses_cidr_masks_and_names() {
        let [v4, v6] = ["10.0.0.0", "fd00::"].map(|text| text.parse::<IpAddr>().unwrap());
        assert_eq!(networks("10.0.0.0").unwrap(), [(v4, 32)]);
        assert_eq!(networks("10.0.0.0/8, fd00::/8").unwrap(), [(v4, 8), (v6, 8)]);
        assert_eq!(networks("10.0.0.0/255.255.0.0").unwrap(), [(v4, 16)]);
        assert_eq!(networks("loopback,linklocal,uniquelocal").unwrap().len(), 8);
        for text in ["1", "10.0.0.0/33", "10.0.0.0/255.0.255.0", "10.0.0.0/8/8", "localhost"] {
            assert!(networks(text).is_err(), "{text}");
        }
    }

    #[test]
    fn metrics_are_on_off_or_on_a_port_of_their_own() {
        for (text, expected) in [
            ("on", Exposure::On),
            (" TRUE ", Exposure::On),
            ("off", Exposure::Off),
            ("false", Exposure::Off),
            ("9100", Exposure::Port(9100)),
            ("1", Exposure::Port(1)),
        ] {
            assert_eq!(exposure(text), Ok(expected), "{text}");
        }
        for text in ["0", "65536", "-1", "maybe", "on,9100"] {
            assert!(exposure(text).is_err(), "{text}");
        }
    }

    #[test]
    fn headers_are_pairs_and_a_bad_one_is_named_by_its_position_only() {
        let pairs = headers("X-Team: web, x-key:  s3cret ").unwrap();
        assert_eq!(pairs[0], ("x-team".to_owned(), Token::new("web")));
        assert_eq!(pairs[1], ("x-key".to_owned(), Token::new("s3cret")));
        let reason = headers("x-team: web, s3cret").unwrap_err();
        assert_eq!(reason, "has no colon in entry 2");
        assert!(headers("x y: z").is_err());
    }

    #[test]
    fn prefix_lengths_of_nothing_and_of_everything_hold() {
        let any = "0.0.0.0".parse().unwrap();
        let one = "1.2.3.4".parse().unwrap();
        assert!(is_within(one, any, 0));
        assert!(is_within(one, one, 32));
        assert!(!is_within(one, "1.2.3.5".parse().unwrap(), 32));
        assert!(is_within("::1".parse().unwrap(), "::".parse().unwrap(), 0));
        assert!(!is_within(one, "::".parse().unwrap(), 0));
    }
}
