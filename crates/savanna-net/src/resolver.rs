//! Names to addresses, by the system's resolver.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::target::{Target, TargetHost};

/// How long a name may take.
pub const LOOKUP_DEADLINE: Duration = Duration::from_secs(10);

/// The most addresses taken from one answer: more than a seeder sends in one UDP packet.
pub const MAX_RESOLVED: usize = 256;

/// Why a text led to no address.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ResolveError {
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

/// Resolves a target to at most [`MAX_RESOLVED`] socket addresses, each once.
///
/// A literal address asks nobody. A target without a port gets `default_port`.
///
/// # Errors
/// [`ResolveError`], within `deadline` for a name. The system's resolver cannot be interrupted: a question given up is
/// answered to nobody on one of tokio's blocking threads.
pub async fn resolve(target: &Target, default_port: u16, deadline: Duration) -> Result<Vec<SocketAddr>, ResolveError> {
    let port = target.port.unwrap_or(default_port);
    let name = match &target.host {
        TargetHost::Ip(ip) => return Ok(vec![SocketAddr::new(*ip, port)]),
        TargetHost::Name(name) => name.as_str(),
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

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn literals_need_no_resolver() {
        for (text, expected) in [("127.0.0.1:1234", "127.0.0.1:1234"), ("::1", "[::1]:8233")] {
            let found = resolve(&text.parse().unwrap(), 8233, Duration::ZERO).await.unwrap();
            assert_eq!(found, [expected.parse().unwrap()], "{text}");
        }
    }

    #[tokio::test]
    async fn localhost_is_found_in_the_hosts_file() {
        let found = resolve(&"localhost:80".parse().unwrap(), 1, LOOKUP_DEADLINE).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
    }
}
