//! Which proxy a request goes through, by the environment, as Python's clients have it.

use std::net::Ipv4Addr;

use ureq::http::Uri;

/// Proxies by the scheme of what is asked for, and what is asked for without one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// `HTTPS_PROXY`.
    pub https: Option<String>,
    /// `HTTP_PROXY`.
    pub http: Option<String>,
    /// `ALL_PROXY`, where there is none for the scheme.
    pub all: Option<String>,
    /// `NO_PROXY`: hosts with all below them, addresses, networks (`10.0.0.0/8`), each with a port or without; `*` is
    /// everything.
    pub none_for: String,
}

impl Proxies {
    /// From any source of variables; names in small letters win.
    pub(super) fn from_vars(set: impl Fn(&str) -> Option<String>) -> Self {
        let either = |name: &str| set(&name.to_ascii_lowercase()).or_else(|| set(name));
        Self {
            https: either("HTTPS_PROXY"),
            http: either("HTTP_PROXY"),
            all: either("ALL_PROXY"),
            none_for: either("NO_PROXY").unwrap_or_default(),
        }
    }

    /// The proxy for an address.
    pub(super) fn of(&self, url: &str) -> Option<&str> {
        let uri: Uri = url.parse().ok()?;
        let own = match uri.scheme_str()? {
            "https" => &self.https,
            _ => &self.http,
        };
        let proxy = own.as_deref().or(self.all.as_deref())?;
        let port = uri.port_u16().unwrap_or(match uri.scheme_str() {
            Some("https") => 443,
            _ => 80,
        });
        let host = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let mut entries = self.none_for.split(',').map(str::trim);
        (!entries.any(|entry| covers(entry, &host, port))).then_some(proxy)
    }
}

/// Whether an entry of `NO_PROXY` means a host.
fn covers(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    let entry = entry.to_ascii_lowercase();
    let entry = entry.split_once("://").map_or(entry.as_str(), |(_, rest)| rest);
    let (name, its_port) = match entry.rsplit_once(':') {
        // An address of version 6 has colons of its own.
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => (name, Some(port)),
        _ => (entry, None),
    };
    if its_port.is_some_and(|its_port| its_port.parse() != Ok(port)) {
        return false;
    }
    let name = name.trim_matches(['[', ']']);
    if let Some((network, length)) = name.split_once('/') {
        return is_within(host, network, length).unwrap_or(false);
    }
    let name = name.trim_start_matches('*').trim_start_matches('.');
    !name.is_empty()
        && host
            .strip_suffix(name)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn is_within(host: &str, network: &str, length: &str) -> Option<bool> {
    let (host, network): (Ipv4Addr, Ipv4Addr) = (host.parse().ok()?, network.parse().ok()?);
    let length: u32 = length.parse().ok().filter(|length| *length <= 32)?;
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    Some(host.to_bits() & mask == network.to_bits() & mask)
}

/// A proxy's address for people: what is before its `@` is nobody's business.
pub(super) fn shown(proxy: &str) -> String {
    match proxy.rsplit_once('@') {
        Some((before, host)) => match before.split_once("://") {
            Some((scheme, _)) => format!("{scheme}://…@{host}"),
            None => format!("…@{host}"),
        },
        None => proxy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(vars: &[(&str, &str)]) -> Proxies {
        Proxies::from_vars(|name| {
            let value = vars.iter().find(|(known, _)| *known == name);
            value.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_scheme_of_what_is_asked_for_says_which() {
        let both = proxies(&[("HTTPS_PROXY", "http://a:1"), ("HTTP_PROXY", "http://b:2")]);
        assert_eq!(both.of("https://huggingface.co/x"), Some("http://a:1"));
        assert_eq!(both.of("http://huggingface.co/x"), Some("http://b:2"));
        assert_eq!(proxies(&[("HTTP_PROXY", "http://b:2")]).of("https://h.co"), None);
        assert_eq!(
            proxies(&[("ALL_PROXY", "http://c")]).of("https://h.co"),
            Some("http://c")
        );
        let small = proxies(&[("HTTPS_PROXY", "http://a"), ("https_proxy", "http://b")]);
        assert_eq!(small.of("https://h.co"), Some("http://b"));
    }

    #[test]
    fn what_needs_none_is_asked_without() {
        let asked = |none_for: &str, url: &str| {
            let vars = [("ALL_PROXY", "http://c"), ("no_proxy", none_for)];
            proxies(&vars).of(url).is_some()
        };
        for (none_for, url) in [
            ("*", "https://h.co"),
            ("h.co", "https://h.co"),
            ("x.y, H.co ", "https://h.co/a"),
            ("h.co", "https://cdn.h.co"),
            (".h.co", "https://cdn.h.co"),
            ("*.h.co", "https://cdn.h.co"),
            ("h.co:8443", "https://h.co:8443"),
            ("localhost", "http://localhost:8080"),
            ("127.0.0.1", "http://127.0.0.1:8080"),
            ("10.0.0.0/8", "http://10.1.2.3"),
            ("::1", "http://[::1]:8080"),
        ] {
            assert!(!asked(none_for, url), "{none_for} does not cover {url}");
        }
        for (none_for, url) in [
            ("", "https://h.co"),
            ("h.co", "https://xh.co"),
            ("h.co:8443", "https://h.co"),
            ("10.0.0.0/8", "http://11.1.2.3"),
            ("10.0.0.0/x", "http://10.1.2.3"),
            ("co", "https://h.com"),
        ] {
            assert!(asked(none_for, url), "{none_for} covers {url}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        assert_eq!(shown("http://me:secret@proxy:8080"), "http://…@proxy:8080");
        assert_eq!(shown("proxy:8080"), "proxy:8080");
    }
}
