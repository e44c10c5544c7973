//! What becomes of addresses and of dials.

/// What became of an address that was offered to a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Added {
    /// It is in the book.
    New,
    /// It was there, and was seen since.
    Updated,
    /// It was there, and nothing is new.
    Known,
    /// It is not in the book.
    Refused(Refusal),
}

impl Added {
    /// Returns a short name from a fixed set, for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Updated => "updated",
            Self::Known => "known",
            Self::Refused(refusal) => refusal.label(),
        }
    }
}

/// Why an address is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// It is reached from nowhere, or not from where we are.
    Unroutable,
    /// Its port is that of a wallet or of another chain.
    Port,
    /// It is our own.
    Own,
    /// It is the far end of an inbound connection, where nobody listens.
    InboundPort,
    /// It is banned or discouraged.
    Penalized,
    /// Its place is taken.
    Full,
}

impl Refusal {
    /// Returns a short name from a fixed set, for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Unroutable => "unroutable",
            Self::Port => "port",
            Self::Own => "own",
            Self::InboundPort => "inbound_port",
            Self::Penalized => "penalized",
            Self::Full => "full",
        }
    }
}

/// How a dial, or what it led to, came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered, or not for long.
    Unreachable,
    /// The peer answers and is of no use: obsolete, without the services needed, on another chain.
    Useless,
}
