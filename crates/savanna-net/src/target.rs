//! Peers as people write them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use thiserror::Error;

/// The longest host name, in bytes (RFC 1035).
const MAX_NAME: usize = 253;

/// A peer as a person writes it: `HOST`, `HOST:PORT`, `IP`, `IP:PORT` or `[IPv6]:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub(crate) host: TargetHost,
    pub(crate) port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TargetHost {
    Ip(IpAddr),
    Name(String),
}

/// A text that is no host, with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a peer is HOST or HOST:PORT, an IPv6 address with a port in brackets, and a port from 1 to 65535")]
pub struct ParseTargetError;

impl FromStr for Target {
    type Err = ParseTargetError;

    fn from_str(text: &str) -> Result<Self, ParseTargetError> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Self::new(TargetHost::Ip(address.ip().to_canonical()), Some(address.port()));
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return Self::new(TargetHost::Ip(ip.to_canonical()), None);
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| ParseTargetError)?)),
            None => (text, None),
        };
        if !is_name(name) {
            return Err(ParseTargetError);
        }
        Self::new(TargetHost::Name(name.to_owned()), port)
    }
}

impl Target {
    /// Returns the address, with `default_port` where there is no port; nothing if the host is a name, to be resolved.
    #[must_use]
    pub fn socket_addr(&self, default_port: u16) -> Option<SocketAddr> {
        match self.host {
            TargetHost::Ip(ip) => Some(SocketAddr::new(ip, self.port.unwrap_or(default_port))),
            TargetHost::Name(_) => None,
        }
    }

    fn new(host: TargetHost, port: Option<u16>) -> Result<Self, ParseTargetError> {
        if port == Some(0) { Err(ParseTargetError) } else { Ok(Self { host, port }) }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.host, self.port) {
            (TargetHost::Ip(ip), Some(port)) => SocketAddr::new(*ip, port).fmt(f),
            (TargetHost::Ip(ip), None) => ip.fmt(f),
            (TargetHost::Name(name), Some(port)) => write!(f, "{name}:{port}"),
            (TargetHost::Name(name), None) => f.write_str(name),
        }
    }
}

/// Letters, digits, hyphens, underscores and dots: what host names are made of in practice.
fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_form_is_read_and_shown() {
        for (text, shown) in [
            ("127.0.0.1:1234", "127.0.0.1:1234"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[::1]:7", "[::1]:7"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("seeder.zec.rocks", "seeder.zec.rocks"),
            ("seeder.zec.rocks:1", "seeder.zec.rocks:1"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let wrong = [
            "",
            ":",
            ":1",
            "a b",
            "host:",
            "host:0",
            "host:99999",
            "host:port",
            "host:1:2",
            "-\u{7}",
            ".x",
            "[::1",
            "[host]:1",
            "a/b:1",
            "fe80::1%eth0:x",
            "127.0.0.1:0",
        ];
        for text in wrong {
            assert_eq!(text.parse::<Target>(), Err(ParseTargetError), "{text:?}");
        }
    }
}
