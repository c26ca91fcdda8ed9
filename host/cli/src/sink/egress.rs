//! Where the sink may send requests: the endpoints of the definition, and nothing beyond.

/// Hosts that tunnel discovery of the public service may name.
const FAMILIES: [&str; 2] = ["maxcompute.aliyun.com", "maxcompute.aliyun-inc.com"];

/// Rules for an endpoint, and for the tunnel's where one is given. Without one the service names it:
/// then hosts of the same family are allowed, and on this machine every port.
pub(crate) fn rules(endpoint: Option<&str>, tunnel: Option<&str>) -> Vec<String> {
    let mut rules = Vec::new();
    for url in [endpoint, tunnel].into_iter().flatten() {
        if let Some((scheme, authority)) = origin(url) {
            rules.push(format!("{scheme}://{authority}"));
        }
    }
    if tunnel.is_none()
        && let Some((scheme, authority)) = endpoint.and_then(origin)
    {
        let host = host(authority);
        if is_loopback(host) {
            rules.push(format!("{scheme}://{host}:*"));
        } else if FAMILIES
            .iter()
            .any(|family| host.ends_with(&format!(".{family}")))
        {
            rules.extend(FAMILIES.map(|family| format!("{scheme}://*.{family}")));
        }
    }
    rules.dedup();
    rules
}

/// Scheme and authority of a URL.
fn origin(url: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    (!authority.is_empty()).then_some((scheme, authority))
}

/// An authority without its port.
fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::rules;

    #[test]
    fn a_tunnel_that_is_given_is_the_only_one() {
        let found = rules(
            Some("https://service.cn-hangzhou.maxcompute.aliyun.com/api"),
            Some("https://dt.cn-hangzhou.maxcompute.aliyun.com"),
        );
        assert_eq!(
            found,
            [
                "https://service.cn-hangzhou.maxcompute.aliyun.com",
                "https://dt.cn-hangzhou.maxcompute.aliyun.com"
            ]
        );
    }

    #[test]
    fn a_tunnel_to_be_discovered_is_of_the_same_family() {
        let found = rules(
            Some("https://service.cn-hangzhou.maxcompute.aliyun.com/api"),
            None,
        );
        assert_eq!(
            found,
            [
                "https://service.cn-hangzhou.maxcompute.aliyun.com",
                "https://*.maxcompute.aliyun.com",
                "https://*.maxcompute.aliyun-inc.com"
            ]
        );
    }

    #[test]
    fn on_this_machine_every_port_is_allowed_and_elsewhere_only_the_one_given() {
        assert_eq!(
            rules(Some("http://127.0.0.1:8080/api"), None),
            ["http://127.0.0.1:8080", "http://127.0.0.1:*"]
        );
        assert_eq!(
            rules(Some("http://[::1]:80/api"), None),
            ["http://[::1]:80", "http://[::1]:*"]
        );
        assert_eq!(
            rules(Some("http://odps.corp:8080/api"), None),
            ["http://odps.corp:8080"]
        );
        assert_eq!(
            rules(Some("http://evil.com/x.maxcompute.aliyun.com"), None),
            ["http://evil.com"]
        );
    }
}
