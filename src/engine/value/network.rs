//! Networks and the addresses in them (section 4.8).

use std::net::{IpAddr, Ipv4Addr};

/// A set of addresses, given as addresses and networks of both families.
///
/// The families never meet: an IPv4-mapped IPv6 address is in no IPv4 network, and no IPv4 address
/// is in `::/0`.
// Sorted and disjoint, so that one binary search answers however long the list is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Networks {
    /// First and last address of each range.
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

/// Addresses of one network.
enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

/// Reads the address of a context: exactly one IPv4 or IPv6 address.
///
/// Returns `None` for networks, zones, white space, short forms and leading zeros.
pub(crate) fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn parse_range(item: &str) -> Option<Range> {
    let (address, suffix) = match item.split_once('/') {
        Some((address, suffix)) => (address, Some(suffix)),
        None => (item, None),
    };
    match parse_address(address)? {
        IpAddr::V4(address) => {
            let prefix = suffix.map_or(Some(32), v4_prefix).filter(|prefix| *prefix <= 32)?;
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            let first = address.to_bits() & mask;
            Some(Range::V4(first, first | !mask))
        }
        IpAddr::V6(address) => {
            let prefix = suffix.map_or(Some(128), prefix).filter(|prefix| *prefix <= 128)?;
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            let first = address.to_bits() & mask;
            Some(Range::V6(first, first | !mask))
        }
    }
}

fn v4_prefix(text: &str) -> Option<u32> {
    prefix(text).or_else(|| {
        let mask = text.parse::<Ipv4Addr>().ok()?.to_bits();
        let ones = mask.leading_ones();
        (ones + mask.trailing_zeros() == 32).then_some(ones)
    })
}

fn prefix(text: &str) -> Option<u32> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

fn merge<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
    ranges.into_boxed_slice()
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let started = ranges.partition_point(|(first, _)| *first <= address);
    ranges.get(..started).and_then(<[_]>::last).is_some_and(|(_, last)| address <= *last)
}

// === impl Networks ===

impl Networks {
    /// Reads a list of addresses, networks with a prefix length and IPv4 networks with a dotted
    /// mask, and hands back beside it the items that are none of these, for a warning.
    ///
    /// White space around an item is dropped, and so are empty items. Host bits are masked off.
    pub(crate) fn parse<'a>(items: impl Iterator<Item = &'a str>) -> (Self, Vec<&'a str>) {
        let (mut v4, mut v6, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for item in items.map(str::trim).filter(|item| !item.is_empty()) {
            match parse_range(item) {
                Some(Range::V4(first, last)) => v4.push((first, last)),
                Some(Range::V6(first, last)) => v6.push((first, last)),
                None => skipped.push(item),
            }
        }
        (Self { v4: merge(v4), v6: merge(v6) }, skipped)
    }

    /// Whether `address` is in any of the networks.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => holds(&self.v4, address.to_bits()),
            IpAddr::V6(address) => holds(&self.v6, address.to_bits()),
        }
    }

    /// Bytes held on the heap.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.v4) + size_of_val(&*self.v6)
    }

    /// Whether no address is in any of the networks.
    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn networks(items: &[&str]) -> Networks {
        let (networks, skipped) = Networks::parse(items.iter().copied());
        assert!(skipped.is_empty(), "{skipped:?}");
        networks
    }

    /// What a constraint does: an address that cannot be read is in no network.
    fn matches(items: &[&str], context: &str) -> bool {
        parse_address(context).is_some_and(|address| networks(items).contains(address))
    }

    #[test]
    fn an_address_is_in_its_networks_only() {
        let rows: &[(&[&str], &str, bool)] = &[
            (&["10.1.1.1"], "10.1.1.1", true),
            (&["10.1.1.1"], "10.1.1.2", false),
            (&["::1"], "::1", true),
            (&["::1"], "::2", false),
            (&["10.0.0.0/8"], "10.255.255.255", true),
            (&["10.0.0.0/8"], "11.0.0.0", false),
            (&["10.0.0.0/8"], "9.255.255.255", false),
            (&["10.0.0.7/8"], "10.9.9.9", true),
            (&["10.0.0.0/255.0.0.0"], "10.9.9.9", true),
            (&["10.0.0.0/255.0.0.0"], "11.9.9.9", false),
            (&["10.1.1.1/255.255.255.255"], "10.1.1.1", true),
            (&["10.1.1.1/32"], "10.1.1.1", true),
            (&["0.0.0.0/0"], "255.255.255.255", true),
            (&["0.0.0.0/0.0.0.0"], "0.0.0.0", true),
            (&[" 10.1.1.1 ", "\t::1\n"], "10.1.1.1", true),
            (&["", " ", "10.1.1.1"], "10.1.1.1", true),
            (&["2001:db8::/32"], "2001:db8:ffff::1", true),
            (&["2001:DB8::7/32"], "2001:db8::", true),
            (&["2001:db8::/32"], "2001:db9::", false),
            (&["::/0"], "ffff::", true),
            (&["::1/128"], "0:0:0:0:0:0:0:1", true),
            (&["::/0"], "10.1.1.1", false),
            (&["0.0.0.0/0"], "::1", false),
            (&["10.0.0.0/8"], "::ffff:10.1.1.1", false),
            (&["::ffff:10.0.0.0/104"], "::ffff:10.1.1.1", true),
            (&["::ffff:10.0.0.0/104"], "10.1.1.1", false),
            (&["10.0.0.0/8"], "10.1.1.1/24", false),
            (&["10.0.0.0/8"], "10.1.1.1/32", false),
            (&["10.0.0.0/8"], "010.1.1.1", false),
            (&["10.0.0.0/8"], "10.1.1.1 ", false),
            (&["10.0.0.0/8"], " 10.1.1.1", false),
            (&["10.0.0.0/8"], "10.0.0", false),
            (&["10.0.0.0/8"], "0x0a.1.1.1", false),
            (&["10.0.0.0/8"], "10.1.1.1:80", false),
            (&["10.0.0.0/8"], "", false),
            (&["fe80::/10"], "fe80::1%eth0", false),
            (&["fe80::/10"], "[fe80::1]", false),
            (&["fe80::/10"], "fe80::1", true),
        ];
        for (items, context, expected) in rows {
            assert_eq!(matches(items, context), *expected, "`{context}` in {items:?}");
        }
    }

    #[test]
    fn bad_items_are_handed_back_and_leave_the_others_alone() {
        let bad = [
            "10.0.0.0/33",
            "::/129",
            "garbage",
            "10.0.0",
            "010.0.0.1",
            "10.0.0.0/",
            "/8",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0.0 /8",
            "10.0.0.0/ 8",
            "10.0.0.0/255.0.255.0",
            "10.0.0.0/0.0.0.255",
            "::/255.0.0.0",
            "10.0.0.0/ffff::",
            "fe80::1%eth0",
            "10.0.0.0/0008",
            "10.0.0.1-10.0.0.9",
            "localhost",
            "10.0.0.0/٨",
        ];
        let items = bad.iter().copied().chain(["10.1.1.1"]);
        let (networks, skipped) = Networks::parse(items);
        assert_eq!(skipped, bad);
        assert_eq!(networks, self::networks(&["10.1.1.1/32"]));
    }

    #[test]
    fn a_list_of_nothing_is_empty() {
        assert!(networks(&[]).is_empty());
        assert!(networks(&["", " "]).is_empty());
        assert!(Networks::parse(["nope"].into_iter()).0.is_empty());
        assert!(!networks(&["::1"]).is_empty());
        assert!(!networks(&["0.0.0.0"]).is_empty());
    }

    #[test]
    fn overlapping_networks_are_kept_once() {
        let nested = networks(&["10.1.0.0/16", "10.0.0.0/8", "10.1.2.3", "10.0.0.0/8"]);
        assert_eq!(nested, networks(&["10.0.0.0/8"]));
    }

    proptest! {
        #[test]
        fn a_list_holds_what_any_of_its_items_holds(
            items in prop::collection::vec((0u32..1 << 12, 20u32..=32), 0..20),
            address in 0u32..1 << 12,
        ) {
            let texts: Vec<String> = items
                .iter()
                .map(|(bits, prefix)| format!("{}/{prefix}", Ipv4Addr::from_bits(*bits)))
                .collect();
            let (networks, skipped) = Networks::parse(texts.iter().map(String::as_str));
            prop_assert!(skipped.is_empty());
            let expected =
                items.iter().any(|(bits, prefix)| u64::from(bits ^ address) >> (32 - prefix) == 0);
            prop_assert_eq!(networks.contains(Ipv4Addr::from_bits(address).into()), expected);
        }
    }
}
