//! Why a node does not start, in sentences that a person can act on.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Error, anyhow};
use savanna::StartError;
use savanna_store::StoreError;

use crate::config::Config;

/// Explains why the pages cannot be served.
pub(super) fn of_http(address: SocketAddr, error: &io::Error) -> Error {
    of_socket(address, error, "--http")
}

/// Explains why the network cannot be joined.
pub(super) fn of_start(error: StartError, config: &Config) -> Error {
    if let StartError::Listen { address, source } = &error {
        return of_socket(*address, source, "--listen");
    }
    if let StartError::NoPeers = &error {
        return anyhow!(
            "{} has no DNS seeds, so nobody is known to dial and nobody could dial this node: name a peer with --peer, or an \
             address to listen on with --listen",
            config.network
        );
    }
    error.into()
}

pub(in crate::commands) fn of_socket(address: SocketAddr, error: &io::Error, flag: &str) -> Error {
    let (kind, port) = (error.kind(), address.port());
    let why = if kind == ErrorKind::AddrInUse {
        format!("port {port} is taken: another program listens at {address}; end it, or")
    } else if kind == ErrorKind::PermissionDenied {
        format!("{address} may not be listened on by this user, as ports below 1024 are often kept for others;")
    } else if kind == ErrorKind::AddrNotAvailable {
        format!("{address} is no address of this machine;")
    } else {
        format!("{address} cannot be listened on: {error};")
    };
    anyhow!("{why} choose another with {flag}")
}

/// Explains why the chain cannot be kept in a directory.
pub(super) fn of_store(error: StoreError, dir: &Path) -> Error {
    let place = dir.display();
    let is_io = |kind| matches!(&error, StoreError::Io(source) if source.kind() == kind);
    if let StoreError::Locked { .. } = &error {
        return anyhow!(
            "{error}: a savanna that runs there has to end first, or this one needs another directory (--dir)"
        );
    }
    if let StoreError::Network { .. } = &error {
        return anyhow!("{error}: each network needs a directory of its own (--dir)");
    }
    if let StoreError::Foreign { .. } = &error {
        return anyhow!("{error}: name an empty directory, or one that does not exist (--dir)");
    }
    if is_io(ErrorKind::PermissionDenied) {
        return anyhow!(
            "{place} cannot be written by this user: give it to whoever runs savanna, or name another (--dir)"
        );
    }
    if is_io(ErrorKind::StorageFull) {
        return anyhow!("the disk of {place} is full: make room, or name a directory on another (--dir)");
    }
    Error::new(error).context(format!("{place} cannot hold the chain"))
}
