//! Where the database is, and under which name to write.

use std::time::Duration;

use savanna_peerset::crawler::Scope;
use savanna_wire::Network;
use tokio_postgres::Config;
use tokio_postgres::config::{SslMode, SslNegotiation};

use super::ShareConfigError;
use super::error::in_full;

/// How long a vantage point's name is at most, in bytes.
const LONGEST_NAME: usize = 64;

/// How observations are shared.
///
/// The tables are made in a schema of their own, `savanna_seed`, so the role needs the right to create one (`GRANT CREATE ON
/// DATABASE`) the first time, and whenever a new program changes them. A pooler that lends a connection for one transaction
/// cannot stand between: a vantage point's name is held by its connection.
///
/// # Security
/// Who may write to the database decides whom all vantage points name. So it is to be the operator's own.
#[derive(Debug, Clone)]
pub struct ShareConfig {
    pub(super) database: Config,
    pub(super) name: String,
    pub(super) network: Network,
    pub(super) scope: Scope,
    /// How often the database is written and read.
    pub every: Duration,
    /// How long a vantage point may have heard no node until it has no voice, in seconds.
    pub stale_after: u32,
}

impl ShareConfig {
    /// How often the database is written and read unless said otherwise.
    pub const EVERY: Duration = Duration::from_secs(15);
    /// How long a vantage point may have heard no node unless said otherwise, in seconds.
    pub const STALE_AFTER: u32 = 120;

    /// Makes a configuration from a database's address, as PostgreSQL's own programs take it, and a name that no other vantage
    /// point of the network has.
    ///
    /// The address is either words (`host=/run/postgresql user=seeder dbname=seeder`) or a URL
    /// (`postgresql://seeder:secret@10.0.0.5/seeder`), with several hosts if there are several. The first that takes a
    /// connection is used.
    ///
    /// # Errors
    /// [`ShareConfigError`] if one of them cannot be used.
    pub fn new(address: &str, name: &str, network: Network, scope: Scope) -> Result<Self, ShareConfigError> {
        let mut database: Config = address.parse().map_err(|error| ShareConfigError::Unreadable(in_full(&error)))?;
        let (hosts, ports) = (database.get_hosts().len(), database.get_ports().len());
        if hosts == 0 {
            return Err(ShareConfigError::NoHost);
        }
        if (ports > 1 && ports != hosts) || ![0, hosts].contains(&database.get_hostaddrs().len()) {
            return Err(ShareConfigError::Uneven);
        }
        if database.get_ssl_mode() == SslMode::Require || database.get_ssl_negotiation() == SslNegotiation::Direct {
            return Err(ShareConfigError::Tls);
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(is_plain) {
            return Err(ShareConfigError::Name(name.to_owned()));
        }
        database.ssl_mode(SslMode::Disable);
        if database.get_application_name().is_none() {
            database.application_name("savanna seed");
        }
        let name = name.to_owned();
        Ok(Self { database, name, network, scope, every: Self::EVERY, stale_after: Self::STALE_AFTER })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(address: &str, name: &str) -> String {
        ShareConfig::new(address, name, Network::Mainnet, Scope::Public).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_work_is_told_in_a_sentence() {
        for (address, told) in [
            ("", "names no host"),
            ("user=seeder", "names no host"),
            ("host=10.0.0.1 colour=red", "colour"),
            ("postgresql://10.0.0.1:port/x", "port"),
            ("host=a,b,c port=1,2", "one port for all"),
            ("host=a,b hostaddr=10.0.0.1", "hostaddr for each"),
            ("host=10.0.0.1 sslmode=require", "TLS, which is not supported"),
            ("host=10.0.0.1 sslmode=verify-full", "sslmode"),
        ] {
            let fault = fault(address, "a");
            assert!(fault.contains(told), "{address}: {fault}");
        }
        for name in ["", "a b", "ü", &"a".repeat(65)] {
            assert!(fault("host=10.0.0.1", name).contains("1 to 64 of"), "{name}");
        }
    }

    #[test]
    fn both_ways_of_writing_an_address_are_read() {
        for address in [
            "host=/run/postgresql user=seeder dbname=seeder",
            "postgresql://seeder:secret@10.0.0.5,10.0.0.6:5433/seeder?sslmode=prefer",
        ] {
            let config = ShareConfig::new(address, "frankfurt-1", Network::Testnet, Scope::Public).unwrap();
            assert!(!format!("{config:?}").contains("secret"), "{config:?}");
        }
    }
}
