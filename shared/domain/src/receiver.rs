//! Where notifications may go. Somebody who may make a subscription may not reach with it what only the control plane can:
//! its own machine, its network, or its cloud's metadata. Names are resolved first, each address is asked here, and the
//! connection goes to the very address that was asked about.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::id::as_text;
use crate::limits;

/// An address to post to, such as `https://example.com/hooks?x=1`. Spelled so that it has one reading: ASCII, without
/// credentials or a fragment, its host a name with letters in its last label or an IP address in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverUrl {
    text: String,
    is_tls: bool,
    host: String,
}

/// Which receivers this control plane reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those on the internet, over TLS.
    Public,
    /// Beside them those on this very machine, with or without TLS: a laptop's own.
    PublicAndLoopback,
}

/// Why a text is no address of a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    #[error("not an address such as https://example.com/hooks")]
    Form,
    #[error("at most {} bytes", limits::URL_BYTES)]
    Length,
    #[error("only visible ASCII characters; spell others as %C3%BC, and names of hosts with xn--")]
    Characters,
    #[error("without a user, a password and a fragment: what is sent is signed, and that proves who sent it")]
    Parts,
    #[error("the port is not a number from 1 to 65535")]
    Port,
    #[error("the host is neither a name such as example.com nor an IP address written in full")]
    Host,
}

/// Why nothing is sent to an address that could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    #[error("has to begin with https://; plain http:// is for a receiver on this machine, where that is allowed")]
    Plain,
    #[error(
        "a receiver on the control plane's own machine is reached only on a laptop that allows it: \
         start `oz` with OZ_LOOPBACK_RECEIVERS=true"
    )]
    Loopback,
    #[error("{0} is {1}: notifications go to addresses of the internet alone")]
    Address(IpAddr, &'static str),
}

impl ReceiverUrl {
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As in the address, in lower case; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Whether it says by itself that it is on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => is_loopback(address),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// Whether this could be reached, as far as the address tells before its name is looked up.
    pub fn check(&self, reach: Reach) -> Result<(), Unreachable> {
        if self.is_loopback() {
            return if reach == Reach::PublicAndLoopback { Ok(()) } else { Err(Unreachable::Loopback) };
        }
        if !self.is_tls {
            return Err(Unreachable::Plain);
        }
        match self.host.parse::<IpAddr>() {
            Ok(address) => self.check_resolved(address, reach),
            Err(_) => Ok(()),
        }
    }

    /// Whether the connection may go to `address`, which is what the host is or was resolved to. A name that is not this
    /// machine's must not lead there, whatever its owner says in the DNS.
    pub fn check_resolved(&self, address: IpAddr, reach: Reach) -> Result<(), Unreachable> {
        if self.is_loopback() && is_loopback(address) {
            return if reach == Reach::PublicAndLoopback { Ok(()) } else { Err(Unreachable::Loopback) };
        }
        match not_public(address) {
            Some(why) => Err(Unreachable::Address(address, why)),
            None if self.is_tls => Ok(()),
            None => Err(Unreachable::Plain),
        }
    }
}

impl FromStr for ReceiverUrl {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > limits::URL_BYTES {
            return Err(InvalidUrl::Length);
        }
        if !text.bytes().all(|b| b.is_ascii_graphic()) || text.contains('\\') {
            return Err(InvalidUrl::Characters);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::Form)?;
        let is_tls = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(InvalidUrl::Form),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') || text.contains('#') {
            return Err(InvalidUrl::Parts);
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, after)) => {
                host.parse::<Ipv6Addr>().map_err(|_| InvalidUrl::Host)?;
                (host, if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or(InvalidUrl::Host)?) })
            }
            None => {
                let (host, port) =
                    authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
                if host.parse::<Ipv4Addr>().is_err() && !is_host_name(host) {
                    return Err(InvalidUrl::Host);
                }
                (host, port)
            }
        };
        if port.is_some_and(|port| port.starts_with('+') || port.parse::<u16>().map_or(0, u16::from) == 0) {
            return Err(InvalidUrl::Port);
        }
        Ok(Self { is_tls, host: host.to_ascii_lowercase(), text: text.to_owned() })
    }
}

impl fmt::Display for ReceiverUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

as_text!(ReceiverUrl);

/// Labels of letters, digits and dashes. The last one begins with a letter: browsers and resolvers take names that end in a
/// number, such as `127.1` or `0x7f000001`, for IPv4 addresses.
fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&label.len()) && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or_default();
    host.len() <= 253 && host.split('.').all(is_label) && last.starts_with(|c: char| c.is_ascii_alphabetic())
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => address.is_loopback() || address.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    }
}

/// What an address is that does not lead to the internet. None: it does.
pub fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => not_public_v4(address),
        IpAddr::V6(address) => not_public_v6(address),
    }
}

/// The blocks of RFC 6890 and the registry that follows it which are not globally reachable, and one that should not be.
fn not_public_v4(address: Ipv4Addr) -> Option<&'static str> {
    Some(match address.octets() {
        [0, ..] => "an address of \"this network\"",
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] => "an address of a private network",
        [100, 64..=127, ..] => "an address shared by a carrier's customers",
        [127, ..] => "a loopback address",
        // 169.254.169.254 and 169.254.170.2 are where AWS, GCP and Azure keep credentials.
        [169, 254, ..] => "a link-local address",
        [192, 0, 0, _] => "an address of protocols",
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => "an address of examples",
        [192, 88, 99, _] => "an address of relays to IPv6",
        [198, 18..=19, ..] => "an address of measurements",
        [168, 63, 129, 16] => "a cloud's metadata service",
        [224..=239, ..] => "a multicast address",
        [240..=255, ..] => "a reserved or broadcast address",
        _ => return None,
    })
}

/// Global unicast is `2000::/3`, less what is taken out of it. What holds an IPv4 address leads where that leads.
fn not_public_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return not_public_v4(mapped);
    }
    let embedded = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    Some(match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => "a loopback address",
        // The translation prefix of IPv6-only networks.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => return not_public_v4(embedded(high, low)),
        [0x2002, high, low, ..] => return not_public_v4(embedded(high, low)).or(Some("an address of relays to IPv4")),
        [0x2001, 0..=0x1ff, ..] => "an address of protocols",
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => "an address of examples",
        [0x2000..=0x3fff, ..] => return None,
        // fd00:ec2::254 is where AWS keeps credentials.
        [0xfc00..=0xfdff, ..] => "an address of a private network",
        [0xfe80..=0xfebf, ..] => "a link-local address",
        [0xff00..=0xffff, ..] => "a multicast address",
        _ => "no address of the internet",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn parses(text: &str, expected: Result<&str, InvalidUrl>) {
        let parsed = text.parse::<ReceiverUrl>();
        assert_eq!(parsed.as_ref().map(ReceiverUrl::host).map_err(|err| *err), expected, "{text}");
        if let Ok(url) = parsed {
            assert_eq!(url.as_str(), text);
        }
    }

    #[test]
    fn an_address_has_one_reading() {
        parses("https://example.com", Ok("example.com"));
        parses("https://Example.com./a/b?c=d&e=%C3%BC", Ok("example.com."));
        parses("https://a-b.xn--bcher-kva.example:8443/", Ok("a-b.xn--bcher-kva.example"));
        parses("https://8.8.8.8/", Ok("8.8.8.8"));
        parses("https://[2606:4700::1111]:443/", Ok("2606:4700::1111"));
        parses("http://localhost:8080/hook", Ok("localhost"));
        parses("https://example.com?a://b@c", Ok("example.com"));
        for text in
            ["", "example.com", "ftp://example.com", "HTTPS://example.com", "//example.com", "https:/example.com"]
        {
            parses(text, Err(InvalidUrl::Form));
        }
        // Other readers take these for IPv4 addresses, or for other hosts.
        for host in [
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "1.2.3.4.5",
            "256.1.1.1",
            "a.0x1",
            "",
            ".",
            "a..b",
            "-a.com",
            "a-.com",
            "[::1",
            "::1",
            "[127.0.0.1]",
            "[::1%25eth0]",
            "[fe80::1%eth0]",
            "[::1]x",
            "a,b",
            "a%2eb.com",
            "example.com|",
        ] {
            let parsed = format!("https://{host}/").parse::<ReceiverUrl>();
            assert!(matches!(parsed, Err(InvalidUrl::Host | InvalidUrl::Port)), "{host} {parsed:?}");
        }
        for text in
            ["https://user@example.com", "https://u:p@example.com/", "https://example.com/#a", "https://[::1]@b"]
        {
            parses(text, Err(InvalidUrl::Parts));
        }
        for text in [
            "https://example.com\\@a",
            "https://exa mple.com",
            "https://bücher.example",
            "https://a/\n",
            "https://a\t/",
        ] {
            parses(text, Err(InvalidUrl::Characters));
        }
        for port in ["0", "65536", "+1", "", "a", "1:2"] {
            parses(&format!("https://example.com:{port}/"), Err(InvalidUrl::Port));
        }
        parses(&format!("https://example.com/{}", "a".repeat(2_048)), Err(InvalidUrl::Length));
    }

    /// `-` or the first words of why not: on AWS, and on a laptop that allows its own.
    #[track_caller]
    fn reaches(text: &str, public: &str, loopback: &str) {
        let url: ReceiverUrl = text.parse().unwrap();
        for (reach, expected) in [(Reach::Public, public), (Reach::PublicAndLoopback, loopback)] {
            let told = url.check(reach).map_or_else(|err| err.to_string(), |()| "-".to_owned());
            assert!(told.starts_with(expected), "{text} {reach:?}: {told}");
        }
    }

    #[test]
    fn only_the_internet_over_tls_is_reached_and_where_allowed_this_machine() {
        reaches("https://example.com/", "-", "-");
        reaches("https://8.8.8.8/", "-", "-");
        reaches("https://[2606:4700::1111]/", "-", "-");
        reaches("http://example.com/", "has to begin with https", "has to begin with https");
        reaches("http://8.8.8.8/", "has to begin with https", "has to begin with https");
        let no = "a receiver on the control plane's own machine";
        for host in ["localhost:80", "a.localhost", "127.0.0.1:80", "127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            reaches(&format!("http://{host}/"), no, "-");
            reaches(&format!("https://{host}/"), no, "-");
        }
        for host in ["10.0.0.1", "169.254.169.254", "192.168.1.1", "[fd00:ec2::254]", "[::ffff:10.0.0.1]", "0.0.0.0"] {
            reaches(&format!("https://{host}/"), "", "");
            assert!(
                format!("https://{host}/").parse::<ReceiverUrl>().unwrap().check(Reach::PublicAndLoopback).is_err()
            );
        }
    }

    #[track_caller]
    fn resolved(url: &str, address: &str, expected: bool) {
        let url: ReceiverUrl = url.parse().unwrap();
        let checked = url.check_resolved(address.parse().unwrap(), Reach::PublicAndLoopback);
        assert_eq!(checked.is_ok(), expected, "{url} {address}: {checked:?}");
        let checked = url.check_resolved(address.parse().unwrap(), Reach::Public);
        assert_eq!(checked.is_ok(), expected && !url.is_loopback(), "{url} {address}: {checked:?}");
    }

    #[test]
    fn a_name_leads_where_its_kind_may() {
        resolved("https://example.com", "93.184.216.34", true);
        // Whoever owns a name says what it is resolved to.
        resolved("https://example.com", "127.0.0.1", false);
        resolved("https://example.com", "::1", false);
        resolved("https://example.com", "10.0.0.1", false);
        resolved("http://localhost", "127.0.0.1", true);
        resolved("http://localhost", "::1", true);
        resolved("http://localhost", "93.184.216.34", false);
        resolved("http://localhost", "10.0.0.1", false);
    }

    #[track_caller]
    fn address(text: &str, expected: Option<&str>) {
        let why = not_public(text.parse().unwrap());
        match expected {
            None => assert_eq!(why, None, "{text}"),
            Some(expected) => assert!(why.is_some_and(|why| why.contains(expected)), "{text}: {why:?}"),
        }
    }

    #[test]
    fn every_block_ends_where_the_registry_says() {
        for (inside, what, outside) in [
            ("0.0.0.0 0.255.255.255", "this network", "1.0.0.0"),
            ("10.0.0.0 10.255.255.255", "private", "9.255.255.255 11.0.0.0"),
            ("100.64.0.0 100.127.255.255 100.100.100.200", "carrier", "100.63.255.255 100.128.0.0"),
            ("127.0.0.0 127.0.0.1 127.255.255.255", "loopback", "126.255.255.255 128.0.0.0"),
            ("169.254.0.0 169.254.169.254 169.254.170.2 169.254.255.255", "link-local", "169.253.255.255 169.255.0.0"),
            ("172.16.0.0 172.31.255.255", "private", "172.15.255.255 172.32.0.0"),
            ("192.0.0.0 192.0.0.255", "protocols", "191.255.255.255 192.0.1.0"),
            ("192.0.2.0 198.51.100.255 203.0.113.7", "examples", "192.0.3.0 198.51.99.255 203.0.114.0"),
            ("192.88.99.1", "relays", "192.88.98.255 192.88.100.0"),
            ("192.168.0.0 192.168.255.255", "private", "192.167.255.255 192.169.0.0"),
            ("198.18.0.0 198.19.255.255", "measurements", "198.17.255.255 198.20.0.0"),
            ("168.63.129.16", "metadata", "168.63.129.15 168.63.129.17"),
            ("224.0.0.0 239.255.255.255", "multicast", "223.255.255.255"),
            ("240.0.0.0 255.255.255.255", "reserved", "8.8.8.8"),
            ("::1", "loopback", "2606:4700::1111"),
            (":: ::2 ::8.8.8.8 100::1 1fff::1 4000::1 64:ff9b:1::808:808 5f00::1", "no address", "2000::1 3fff:1000::"),
            ("::ffff:127.0.0.1", "loopback", "::ffff:8.8.8.8"),
            ("::ffff:169.254.169.254 64:ff9b::a9fe:a9fe 2002:a9fe:a9fe::1", "link-local", "64:ff9b::808:808"),
            ("::ffff:10.0.0.1 64:ff9b::10.0.0.1 2002:a00:1::", "private", "2001:4860:4860::8888"),
            ("2002:808:808::1", "relays to IPv4", "2003::1"),
            ("2001::1 2001:1ff:ffff::1", "protocols", "2001:200::1"),
            ("2001:db8::1 3fff::1 3fff:fff::1", "examples", "2001:db9::1"),
            ("fc00::1 fd00:ec2::254 fdff::1", "private", "2a00::1"),
            ("fe80::1 febf::1", "link-local", "2a00::1"),
            ("fec0::1 fbff::1", "no address", "2a00::1"),
            ("ff02::1", "multicast", "2a00::1"),
        ] {
            for text in inside.split(' ') {
                address(text, Some(what));
            }
            for text in outside.split(' ') {
                address(text, None);
            }
        }
    }

    proptest! {
        #[test]
        fn an_ipv4_address_is_what_it_is_in_whatever_it_is_wrapped(address in any::<u32>()) {
            let v4 = Ipv4Addr::from(address);
            let expected = not_public(v4.into());
            prop_assert_eq!(not_public(v4.to_ipv6_mapped().into()), expected);
            let [a, b, c, d] = v4.octets();
            let translated: Ipv6Addr = format!("64:ff9b::{a:x}{b:02x}:{c:x}{d:02x}").parse().unwrap();
            prop_assert_eq!(not_public(translated.into()), expected);
            // The standard library's own list, as far as it is stable.
            let known = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_documentation()
                || v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified();
            prop_assert!(!known || expected.is_some());
        }

        #[test]
        fn what_is_not_global_unicast_is_never_reached(address in any::<u128>()) {
            let v6 = Ipv6Addr::from(address);
            let translated = v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] || v6.to_ipv4_mapped().is_some();
            prop_assert!(address >> 125 == 1 || translated || not_public(v6.into()).is_some());
        }
    }
}
