//! What a browser sends besides the request itself, and what it says about where a form stood: cookies, `Origin`
//! (RFC 6454) and `Sec-Fetch-Site` (W3C Fetch Metadata).
//!
//! The cookie is `Lax`: a link in a message opens the page that it names for somebody who is signed in. It gives no
//! right to change anything: each form carries a token of its session besides, and has to come from this server.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, HeaderValue};

use crate::site::Serve;
use crate::trigger::authenticity;

/// As long as a session can last; the server forgets it earlier.
const LIFETIME_SECONDS: u32 = 7 * 24 * 60 * 60;

/// The address that a connection comes from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub IpAddr);

/// The cookie of sessions. Behind TLS its name makes browsers refuse it from anywhere but this very host (RFC 6265bis).
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookie {
    secure: bool,
}

impl Cookie {
    pub(super) fn of(serve: &Serve) -> Self {
        Cookie { secure: serve.tls.is_some() || serve.behind_proxy }
    }

    fn name(self) -> &'static str {
        if self.secure { "__Host-runbook" } else { "runbook" }
    }

    /// The name of the session that the request shows.
    pub(super) fn read(self, headers: &HeaderMap) -> Option<String> {
        let pairs = headers.get_all("cookie").iter().filter_map(|line| line.to_str().ok());
        let mut pairs = pairs.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name()).map(|(_, value)| value.to_owned())
    }

    pub(super) fn set(self, id: &str) -> HeaderValue {
        self.header(id, LIFETIME_SECONDS)
    }

    pub(super) fn clear(self) -> HeaderValue {
        self.header("", 0)
    }

    fn header(self, value: &str, seconds: u32) -> HeaderValue {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}", self.name());
        HeaderValue::from_str(&text).expect("hex and fixed text fit into a header")
    }
}

/// Whether a form was sent from a page of this server. Every browser of the last years says so by at least one of the
/// two headers; what says nothing is no browser, and has the API.
pub(super) fn is_from_here(headers: &HeaderMap) -> bool {
    let read = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    let (site, origin, host) = (read("sec-fetch-site"), read("origin"), read("host"));
    if site.is_none() && origin.is_none() {
        return false;
    }
    let own = |origin: &str| {
        let of = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
        of.zip(host).is_some_and(|(of, host)| !host.is_empty() && of.eq_ignore_ascii_case(host))
    };
    site.is_none_or(|site| site == "same-origin") && origin.is_none_or(own)
}

/// Whether a form carries the token of its session.
pub(super) fn is_of_session(offered: Option<&String>, csrf: &str) -> bool {
    offered.is_some_and(|offered| authenticity::same(offered, csrf))
}

/// Who a request comes from. A proxy puts the address that it sees at the end of `X-Forwarded-For`; without one,
/// anybody can write anything there.
pub(super) fn address(serve: &Serve, peer: Option<&Peer>, headers: &HeaderMap) -> IpAddr {
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0);
    let forwarded = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse().ok()
    };
    if serve.behind_proxy { forwarded().unwrap_or(peer) } else { peer }
}

/// A path of this server that somebody may be sent to after signing in; nothing that could lead elsewhere.
pub(super) fn own_path(path: &str) -> Option<&str> {
    let own = path.starts_with('/') && !path.starts_with("//");
    // Browsers read a backslash as a slash, and leave out line breaks and tabs.
    let harmless = path.chars().all(|character| character.is_ascii_graphic() && character != '\\');
    (own && harmless && path.len() <= 2_000).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn only_forms_of_this_server_are_from_here() {
        let host = ("host", "runbook.example:8600");
        let own = ("origin", "https://runbook.example:8600");
        let site = |site| ("sec-fetch-site", site);
        for (sent, expected) in [
            (vec![host, own], true),
            (vec![host, own, site("same-origin")], true),
            (vec![host, site("same-origin")], true),
            (vec![host, ("origin", "http://RUNBOOK.example:8600")], true),
            (vec![host], false),
            (vec![host, own, site("same-site")], false),
            (vec![host, own, site("cross-site")], false),
            (vec![host, site("none")], false),
            (vec![host, ("origin", "null")], false),
            (vec![host, ("origin", "https://runbook.example")], false),
            (vec![host, ("origin", "https://runbook.example:8600.evil.example")], false),
            (vec![host, ("origin", "https://evil.example"), site("same-origin")], false),
            (vec![("host", ""), ("origin", "https://")], false),
            (vec![own], false),
        ] {
            assert_eq!(is_from_here(&headers(&sent)), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_cookie_is_read_back_and_is_bound_to_the_host_behind_tls() {
        let (plain, secure) = (Cookie { secure: false }, Cookie { secure: true });
        for cookie in [plain, secure] {
            let sent = headers(&[("cookie", &format!("a=b; {}=abc; c=d", cookie.name()))]);
            assert_eq!(cookie.read(&sent), Some("abc".to_owned()));
        }
        assert_eq!(secure.read(&headers(&[("cookie", "runbook=abc")])), None);
        let set = secure.set("abc");
        assert_eq!(set.to_str().unwrap(), "__Host-runbook=abc; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax; Secure");
        assert!(plain.clear().to_str().unwrap().contains("Max-Age=0; HttpOnly; SameSite=Lax"));
    }

    #[test]
    fn after_signing_in_nobody_is_sent_elsewhere() {
        for own in ["/", "/runs/1122-174012-k3f9?said=approved", "/runs/a%2Fb"] {
            assert_eq!(own_path(own), Some(own));
        }
        for other in ["", "runs", "//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil.example", "/ü"]
        {
            assert_eq!(own_path(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_a_proxy_is_believed_about_addresses() {
        let sent = headers(&[("x-forwarded-for", "203.0.113.7, 192.0.2.1")]);
        let peer = Peer(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let behind = Serve { behind_proxy: true, ..Serve::default() };
        assert_eq!(address(&behind, Some(&peer), &sent).to_string(), "192.0.2.1");
        assert_eq!(address(&Serve::default(), Some(&peer), &sent).to_string(), "127.0.0.1");
        assert_eq!(address(&behind, Some(&peer), &headers(&[])).to_string(), "127.0.0.1");
    }
}
