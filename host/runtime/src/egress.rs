//! Where a component may send requests.

use http::Uri;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::time::Duration;

/// Destinations an instance may reach. The default reaches nothing.
///
/// ```
/// use longshore_runtime::EgressPolicy;
/// let policy = EgressPolicy::allowing(["https://*.maxcompute.example.com", "http://127.0.0.1:8080"])?;
/// assert!(policy.permits(&"https://dt.maxcompute.example.com/x".parse()?).is_ok());
/// assert!(policy.permits(&"http://dt.maxcompute.example.com/x".parse()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressPolicy {
    /// Allowed destinations; a request must match one of them.
    pub rules: Vec<EgressRule>,
    /// Checked for each address a name resolves to, so that a name can not lead inside.
    pub addresses: AddressRule,
    /// Time for a connection, TLS included, where the component sets none. Default 10 s.
    pub connect_timeout: Duration,
    /// Time without progress from the connection to the head of the answer, where the component sets
    /// none. Sending the body counts as progress. Default 120 s.
    pub first_byte_timeout: Duration,
    /// Time between two pieces of the answer's body, where the component sets none. Default 120 s.
    pub between_bytes_timeout: Duration,
}

impl Default for EgressPolicy {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            addresses: AddressRule::default(),
            connect_timeout: Duration::from_secs(10),
            first_byte_timeout: Duration::from_secs(120),
            between_bytes_timeout: Duration::from_secs(120),
        }
    }
}

impl EgressPolicy {
    /// Allows the destinations these texts name; see [`EgressRule`] for their form.
    pub fn allowing<R: AsRef<str>>(
        rules: impl IntoIterator<Item = R>,
    ) -> Result<Self, EgressRuleError> {
        let rules = rules
            .into_iter()
            .map(|rule| rule.as_ref().parse())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            rules,
            ..Self::default()
        })
    }

    /// Whether a request may go to this address. The error says why not.
    pub fn permits(&self, uri: &Uri) -> Result<(), EgressDenied> {
        let denied = |reason: &str| {
            Err(EgressDenied {
                destination: destination(uri),
                reason: reason.to_owned(),
            })
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return denied("it has no scheme or no host");
        };
        if authority.as_str().contains('@') {
            return denied("it carries a user name");
        }
        let Some(scheme) = Scheme::from_name(scheme) else {
            return denied("only http and https are possible");
        };
        let port = match (authority.port(), authority.port_u16()) {
            (None, _) => scheme.default_port(),
            (Some(_), Some(port)) => port,
            (Some(_), None) => return denied("its port is no port number"),
        };
        let host = HostName::from_uri(authority.host());
        if self
            .rules
            .iter()
            .any(|rule| rule.matches(scheme, &host, port))
        {
            Ok(())
        } else {
            denied("no rule of the egress policy allows it")
        }
    }

    /// Whether a connection to this address may be made, given that the request was permitted.
    pub(crate) fn permits_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.addresses.admits(address)
            || self
                .rules
                .iter()
                .any(|rule| rule.host == HostPattern::Address(address))
    }

    pub(crate) fn reaches_https(&self) -> bool {
        self.rules.iter().any(|rule| rule.scheme == Scheme::Https)
    }
}

/// Which resolved addresses are acceptable. An address that a rule names literally always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressRule {
    /// Every address.
    Any,
    /// No link-local, multicast, unspecified or cloud metadata address.
    #[default]
    NoMetadata,
    /// As `NoMetadata`, and no loopback, private or shared (carrier) address.
    PublicOnly,
}

impl AddressRule {
    fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::NoMetadata => !is_metadata(address),
            Self::PublicOnly => !is_metadata(address) && !is_internal(address),
        }
    }
}

/// Where several clouds answer with the machine's own credentials, beside the link-local range.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

fn is_metadata(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.is_multicast()
                || v4.is_unspecified()
                || v4.is_broadcast()
                || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6.is_unspecified()
                || v6 == METADATA_V6
                || embedded_v4(v6).is_some_and(|v4| is_metadata(v4.into()))
        }
    }
}

fn is_internal(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || first == 0
                || (first == 100 && (64..128).contains(&second))
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || embedded_v4(v6).is_some_and(|v4| is_internal(v4.into()))
        }
    }
}

/// The IPv4 address inside a NAT64 (`64:ff9b::/96`) or 6to4 (`2002::/16`) address.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            Some(Ipv4Addr::new(a, b, c, d))
        }
        _ => None,
    }
}

/// One allowed destination: `<scheme>://<host>[:<port>]`.
///
/// The scheme is `http` or `https`. The host is a name, `*.` and a name (every name below it, not
/// the name itself), an IPv4 address or an IPv6 address in brackets. Without a port the scheme's own
/// is meant; `:*` means every port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRule {
    scheme: Scheme,
    host: HostPattern,
    port: Option<u16>,
}

impl EgressRule {
    fn matches(&self, scheme: Scheme, host: &HostName, port: u16) -> bool {
        self.scheme == scheme
            && self.port.is_none_or(|own| own == port)
            && match (&self.host, host) {
                (HostPattern::Address(own), HostName::Address(address)) => own == address,
                (HostPattern::Name(own), HostName::Name(name)) => own == name,
                (HostPattern::Below(suffix), HostName::Name(name)) => name
                    .strip_suffix(suffix.as_str())
                    .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
                _ => false,
            }
    }
}

impl FromStr for EgressRule {
    type Err = EgressRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason: &'static str| EgressRuleError {
            rule: text.to_owned(),
            reason,
        };
        let (scheme, authority) = text
            .split_once("://")
            .ok_or(error("it has no scheme; write http://host or https://host"))?;
        let scheme = Scheme::from_name(scheme).ok_or(error("its scheme is not http or https"))?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#', '@']) {
            return Err(error(
                "only scheme, host and port are possible, no path or user name",
            ));
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            None => Some(scheme.default_port()),
            Some("*") => None,
            Some(port) => Some(
                port.parse()
                    .map_err(|_| error("its port is not a number or *"))?,
            ),
        };
        let host = HostPattern::parse(host).ok_or(error(
            "its host is not a name, `*.` and a name, an IPv4 address or an IPv6 address in brackets",
        ))?;
        Ok(Self { scheme, host, port })
    }
}

impl fmt::Display for EgressRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        match self.port {
            None => f.write_str(":*"),
            Some(port) if port == self.scheme.default_port() => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

/// A text that is no [`EgressRule`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule:?} is not a destination: {reason}")]
pub struct EgressRuleError {
    rule: String,
    reason: &'static str,
}

/// A destination the policy does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("requests to {destination} are not allowed: {reason}")]
pub struct EgressDenied {
    destination: String,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn from_name(name: &str) -> Option<Self> {
        if name.eq_ignore_ascii_case("http") {
            Some(Self::Http)
        } else if name.eq_ignore_ascii_case("https") {
            Some(Self::Https)
        } else {
            None
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Name(String),
    Below(String),
    Address(IpAddr),
}

impl HostPattern {
    fn parse(host: &str) -> Option<Self> {
        if let Some(suffix) = host.strip_prefix("*.") {
            let HostName::Name(suffix) = HostName::parse(suffix)? else {
                return None;
            };
            return Some(Self::Below(suffix));
        }
        Some(match HostName::parse(host)? {
            HostName::Name(name) => Self::Name(name),
            HostName::Address(address) => Self::Address(address),
        })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Below(suffix) => write!(f, "*.{suffix}"),
            Self::Address(IpAddr::V4(v4)) => v4.fmt(f),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

/// A host in the one spelling that is compared: names in lower case without a trailing dot,
/// addresses as addresses (an IPv4 address inside IPv6 as IPv4).
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostName {
    Name(String),
    Address(IpAddr),
}

impl HostName {
    fn parse(host: &str) -> Option<Self> {
        let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        match Self::from_uri(host) {
            Self::Name(name)
                if name.is_empty()
                    || name.starts_with('.')
                    || name.contains("..")
                    || !name.bytes().all(is_name_byte) =>
            {
                None
            }
            host => Some(host),
        }
    }

    fn from_uri(host: &str) -> Self {
        let unbracketed = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address = match unbracketed {
            Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        match address {
            Some(address) => Self::Address(address.to_canonical()),
            None => {
                let name = host.strip_suffix('.').unwrap_or(host);
                Self::Name(name.to_ascii_lowercase())
            }
        }
    }
}

fn destination(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("?");
    // Without the user name, which could be a secret.
    let host = uri.host().unwrap_or("?");
    match uri.port() {
        Some(port) => format!("{scheme}://{host}:{port}"),
        None => format!("{scheme}://{host}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permitted(rule: &str, uri: &str) -> bool {
        EgressPolicy::allowing([rule])
            .unwrap()
            .permits(&uri.parse().unwrap())
            .is_ok()
    }

    #[test]
    fn a_rule_fixes_scheme_host_and_port() {
        let rule = "http://service.example.com:8080";
        assert!(permitted(rule, "http://service.example.com:8080/api?x=1"));
        assert!(permitted(rule, "http://SERVICE.Example.com.:8080/"));
        for uri in [
            "https://service.example.com:8080/",
            "http://service.example.com/",
            "http://service.example.com:8081/",
            "http://example.com:8080/",
            "http://service.example.com.evil.net:8080/",
            "http://user@service.example.com:8080/",
            "http://service.example.com:8080@evil.net/",
            "/relative",
        ] {
            assert!(!permitted(rule, uri), "{uri}");
        }
        assert!(permitted("https://h.example", "https://h.example:443/"));
        assert!(permitted("http://h.example:*", "http://h.example:9/"));
    }

    #[test]
    fn wildcards_match_names_below_and_never_addresses() {
        let rule = "https://*.example.com";
        assert!(permitted(rule, "https://a.b.example.com/"));
        for uri in [
            "https://example.com/",
            "https://badexample.com/",
            "https://.example.com/",
        ] {
            assert!(!permitted(rule, uri), "{uri}");
        }
        assert!(!permitted("http://*.0.0.1", "http://127.0.0.1/"));
    }

    #[test]
    fn addresses_are_compared_as_addresses() {
        assert!(permitted("http://127.0.0.1", "http://[::ffff:127.0.0.1]/"));
        assert!(permitted("http://[::1]:80", "http://[0:0:0:0:0:0:0:1]/"));
        assert!(!permitted("http://127.0.0.1", "http://2130706433/"));
        assert!(!permitted("http://127.0.0.1", "http://localhost/"));
    }

    #[test]
    fn rules_that_would_mean_more_than_they_say_do_not_parse() {
        for rule in [
            "example.com",
            "ftp://example.com",
            "https://*",
            "https://*example.com",
            "https://a.*.com",
            "https://*.*.com",
            "https://example.com/path",
            "https://u@example.com",
            "https://example.com:port",
            "https://",
            "https://::1",
        ] {
            assert!(rule.parse::<EgressRule>().is_err(), "{rule}");
        }
        for rule in [
            "https://*.example.com:*",
            "http://127.0.0.1:81",
            "https://[::1]",
        ] {
            assert_eq!(rule.parse::<EgressRule>().unwrap().to_string(), rule);
        }
    }

    #[test]
    fn metadata_addresses_need_a_rule_of_their_own() {
        let named = EgressPolicy::allowing(["http://cloud.example"]).unwrap();
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "100.100.100.200",
            "fe80::1",
            "64:ff9b::a9fe:a9fe",
        ] {
            assert!(
                !named.permits_address(address.parse().unwrap()),
                "{address}"
            );
        }
        assert!(named.permits_address("127.0.0.1".parse().unwrap()));
        let literal = EgressPolicy::allowing(["http://169.254.169.254"]).unwrap();
        assert!(literal.permits_address("169.254.169.254".parse().unwrap()));
        let public = EgressPolicy {
            addresses: AddressRule::PublicOnly,
            ..named
        };
        for address in ["127.0.0.1", "10.1.2.3", "100.64.0.1", "::1", "fd00::1"] {
            assert!(
                !public.permits_address(address.parse().unwrap()),
                "{address}"
            );
        }
        assert!(public.permits_address("8.8.8.8".parse().unwrap()));
    }
}
