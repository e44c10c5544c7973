//! The names of messages.

use std::fmt;

/// A message this crate knows, by the name in its frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is named as on the wire, and described at its message")]
pub enum Command {
    Version,
    Verack,
    Ping,
    Pong,
    GetAddr,
    Addr,
    AddrV2,
    Inv,
    GetData,
    NotFound,
    GetBlocks,
    GetHeaders,
    Headers,
    Block,
    Tx,
    Mempool,
    Reject,
    FilterLoad,
    FilterAdd,
    FilterClear,
}

impl Command {
    /// Every known command.
    pub const ALL: [Self; 20] = [
        Self::Version,
        Self::Verack,
        Self::Ping,
        Self::Pong,
        Self::GetAddr,
        Self::Addr,
        Self::AddrV2,
        Self::Inv,
        Self::GetData,
        Self::NotFound,
        Self::GetBlocks,
        Self::GetHeaders,
        Self::Headers,
        Self::Block,
        Self::Tx,
        Self::Mempool,
        Self::Reject,
        Self::FilterLoad,
        Self::FilterAdd,
        Self::FilterClear,
    ];

    /// Returns the name on the wire. There are twenty, so it serves as a metric's label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Verack => "verack",
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::GetAddr => "getaddr",
            Self::Addr => "addr",
            Self::AddrV2 => "addrv2",
            Self::Inv => "inv",
            Self::GetData => "getdata",
            Self::NotFound => "notfound",
            Self::GetBlocks => "getblocks",
            Self::GetHeaders => "getheaders",
            Self::Headers => "headers",
            Self::Block => "block",
            Self::Tx => "tx",
            Self::Mempool => "mempool",
            Self::Reject => "reject",
            Self::FilterLoad => "filterload",
            Self::FilterAdd => "filteradd",
            Self::FilterClear => "filterclear",
        }
    }

    /// Returns the twelve bytes of the frame header's field: the name, padded with NUL.
    #[must_use]
    pub fn field(self) -> [u8; 12] {
        let mut field = [0; 12];
        field[..self.name().len()].copy_from_slice(self.name().as_bytes());
        field
    }

    /// Reads the field of a frame header.
    pub(crate) fn from_field(field: &[u8; 12]) -> Field {
        let len = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
        let (name, padding) = field.split_at(len);
        let legal = name.iter().all(|byte| (0x20..=0x7e).contains(byte)) && padding.iter().all(|byte| *byte == 0);
        if !legal {
            return Field::Malformed;
        }
        let known = Self::ALL.into_iter().find(|command| command.name().as_bytes() == name);
        known.map_or(Field::Unknown, Field::Known)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the command field of a frame header turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Known(Command),
    Unknown,
    Malformed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_read_back() {
        for command in Command::ALL {
            assert_eq!(Command::from_field(&command.field()), Field::Known(command));
        }
    }

    #[test]
    fn adversary_6_bytes_after_the_nul_or_outside_ascii_make_a_field_malformed() {
        assert_eq!(Command::from_field(b"ping\0\0\0x\0\0\0\0"), Field::Malformed);
        assert_eq!(Command::from_field(b"pi\x7fg\0\0\0\0\0\0\0\0"), Field::Malformed);
        assert_eq!(Command::from_field(b"p\xc3\xa9ng\0\0\0\0\0\0\0"), Field::Malformed);
        assert_eq!(Command::from_field(b"sendheaders\0"), Field::Unknown);
        assert_eq!(Command::from_field(b"twelve-bytes"), Field::Unknown);
    }
}
