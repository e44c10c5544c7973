//! Names to addresses, by the system's resolver.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thiserror::Error;
use tokio::net::lookup_host;
use tokio::time::timeout;

/// How long a name may take.
pub const LOOKUP_DEADLINE: Duration = Duration::from_secs(10);

/// The most addresses taken from one answer: more than a seeder sends in one UDP packet.
pub const MAX_RESOLVED: usize = 256;

/// Why a text led to no address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The text is neither an address nor a name.
    #[error("{0:?} is neither an address nor a name, with or without a port")]
    Syntax(String),
    /// The system's resolver knows no such name, or cannot be asked.
    #[error("{name} cannot be resolved: {source}")]
    Lookup {
        /// The name.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// The name has no address.
    #[error("{0} has no address")]
    Empty(String),
    /// The resolver did not answer in time.
    #[error("{0} was not resolved in time")]
    TimedOut(String),
}

/// Resolves `HOST`, `HOST:PORT`, `IP`, `IP:PORT` or `[IPv6]:PORT` to at most [`MAX_RESOLVED`] socket addresses, each once.
///
/// A literal address asks nobody. A host without a port gets `default_port`.
///
/// # Errors
/// [`ResolveError`], within `deadline` for a name. The system's resolver cannot be interrupted: a question given up is
/// answered to nobody on one of tokio's blocking threads.
pub async fn resolve(text: &str, default_port: u16, deadline: Duration) -> Result<Vec<SocketAddr>, ResolveError> {
    let target = parse(text, default_port).ok_or_else(|| ResolveError::Syntax(text.to_owned()))?;
    let (name, port) = match target {
        Target::Literal(address) => return Ok(vec![address]),
        Target::Name(name, port) => (name, port),
    };
    let found = timeout(deadline, lookup_host((name, port)))
        .await
        .map_err(|_| ResolveError::TimedOut(name.to_owned()))?
        .map_err(|source| ResolveError::Lookup { name: name.to_owned(), source })?;
    let mut addresses = Vec::new();
    for address in found.map(canonical) {
        if addresses.len() < MAX_RESOLVED && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(ResolveError::Empty(name.to_owned()));
    }
    Ok(addresses)
}

#[derive(Debug, PartialEq, Eq)]
enum Target<'a> {
    Literal(SocketAddr),
    Name(&'a str, u16),
}

fn parse(text: &str, default_port: u16) -> Option<Target<'_>> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(Target::Literal(canonical(address)));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some(Target::Literal(canonical(SocketAddr::new(ip, default_port))));
    }
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()?),
        None => (text, default_port),
    };
    is_name(name).then_some(Target::Name(name, port))
}

/// Letters, digits, hyphens, underscores and dots: what host names are made of in practice.
fn is_name(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=253).contains(&name.len()) && name.bytes().all(legal) && !name.starts_with('.')
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_need_no_resolver() {
        for (text, expected) in [
            ("127.0.0.1:1234", "127.0.0.1:1234"),
            ("127.0.0.1", "127.0.0.1:8233"),
            ("::1", "[::1]:8233"),
            ("[::1]", "[::1]:8233"),
            ("[::1]:7", "[::1]:7"),
            ("::ffff:192.0.2.1", "192.0.2.1:8233"),
        ] {
            let found = resolve(text, 8233, Duration::ZERO).await.unwrap();
            assert_eq!(found, [expected.parse().unwrap()], "{text}");
        }
    }

    #[tokio::test]
    async fn nonsense_is_refused_without_asking() {
        for text in
            ["", ":", "a b", "host:", "host:99999", "host:port", "-\u{7}", ".x", "[::1", "a/b:1", "fe80::1%eth0:x"]
        {
            let error = resolve(text, 8233, Duration::ZERO).await.unwrap_err();
            assert!(matches!(error, ResolveError::Syntax(_)), "{text:?}: {error}");
        }
        assert_eq!(parse("seeder.zec.rocks", 8233), Some(Target::Name("seeder.zec.rocks", 8233)));
        assert_eq!(parse("seeder.zec.rocks:1", 8233), Some(Target::Name("seeder.zec.rocks", 1)));
    }

    #[tokio::test]
    async fn localhost_is_found_in_the_hosts_file() {
        let found = resolve("localhost:80", 1, LOOKUP_DEADLINE).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    }
}
