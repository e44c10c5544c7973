//! Why nothing is shared.

use std::io;
use std::net::SocketAddr;

use thiserror::Error;
use tokio_postgres::error::SqlState;

/// Why observations cannot be shared as they are set up to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShareConfigError {
    /// The words that say where the database is have no meaning.
    #[error("the database's address is not understood: {0}")]
    Unreadable(String),
    /// They name no place.
    #[error("the database's address names no host: give host=/run/postgresql or host=127.0.0.1, or a private address")]
    NoHost,
    /// They name another number of ports or addresses than of hosts.
    #[error("the database's address has to name one port for all hosts or one for each, and hostaddr for each or none")]
    Uneven,
    /// They ask for TLS.
    #[error(
        "the database's address asks for TLS, which is not supported: reach the database over a Unix socket, a private \
         network or a tunnel, and leave sslmode out"
    )]
    Tls,
    /// The vantage point's name is none.
    #[error("a vantage point's name is 1 to 64 of a-z, A-Z, 0-9, '.', '_' and '-': {0:?}")]
    Name(String),
}

/// Why nothing is shared at a moment.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ShareError {
    /// Nobody listens there, or the network is down.
    #[error("the database at {place} cannot be reached: {source}")]
    Unreachable {
        /// The host and the port, or the socket.
        place: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is on the open internet, where everybody between could read and change what is shared.
    #[error(
        "the database at {place} is {address} on the open internet, and TLS is not supported: reach it over a Unix socket, \
         a private network or a tunnel"
    )]
    Public {
        /// As it was named.
        place: String,
        /// What the name stands for.
        address: SocketAddr,
    },
    /// The database refused something.
    #[error("the database refuses: {said}")]
    Refused {
        /// Its own words.
        said: String,
        /// Whether it may do otherwise by itself: while it starts, or has too many connections.
        passes: bool,
    },
    /// It follows another one, and takes no writes until that one is gone.
    #[error("the database is a standby, which takes no writes: name the primary one too")]
    Standby,
    /// It holds something else of the same name.
    #[error(
        "the database has a schema named savanna_seed that was not made by this program: {0}; name another database"
    )]
    Foreign(String),
    /// A newer program made its tables.
    #[error("the database has format {found}, and this program knows {known} at most: update this program")]
    Newer {
        /// The format of the tables.
        found: i32,
        /// The newest that is known.
        known: i32,
    },
    /// Somebody else writes under this name.
    #[error("another process writes as vantage point {0:?}: give each a name of its own")]
    NameTaken(String),
    /// There are as many vantage points of this network as there may be.
    #[error("the database has {0} vantage points of this network, and there may be no more")]
    Full(usize),
    /// Somebody removed this vantage point from the database. The next connection writes everything anew.
    #[error("this vantage point was removed from the database")]
    Removed,
    /// The database did not answer in time.
    #[error("the database did not answer within {0} s")]
    TimedOut(u64),
    /// The connection ended.
    #[error("the connection to the database was lost: {0}")]
    Lost(String),
}

impl ShareError {
    /// Returns whether a person has to do something about it. The rest passes by itself, or may.
    #[must_use]
    pub const fn needs_a_person(&self) -> bool {
        match self {
            Self::Public { .. } | Self::Foreign(_) | Self::Newer { .. } | Self::Full(_) => true,
            Self::Refused { passes, .. } => !*passes,
            // Our own last connection may hold the name until the database finds out that it is gone.
            Self::NameTaken(_)
            | Self::Standby
            | Self::Unreachable { .. }
            | Self::Removed
            | Self::TimedOut(_)
            | Self::Lost(_) => false,
        }
    }
}

impl From<tokio_postgres::Error> for ShareError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(said) = error.as_db_error() else { return Self::Lost(in_full(&error)) };
        if *said.code() == SqlState::FOREIGN_KEY_VIOLATION {
            return Self::Removed;
        }
        let hint = said.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
        Self::Refused { said: format!("{}{hint}", said.message()), passes: passes(said.code()) }
    }
}

/// Returns whether what the database complains of passes by itself: by the class of its code.
fn passes(code: &SqlState) -> bool {
    // Connections, transactions that met, resources, operators who intervene, the system, the machine.
    ["08", "40", "53", "55", "57", "58", "XX"].iter().any(|class| code.code().starts_with(class))
}

/// Writes an error with what is behind it: the client's own errors name no causes.
pub(super) fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
