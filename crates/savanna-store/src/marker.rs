//! Whose directory it is: one process's, one network's, one format's.
//!
//! The marker is a small text that stands beside the engine's files and is read before any of them is touched.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

use savanna_wire::Network;

use crate::StoreError;

/// The format that is read and written.
const FORMAT: u32 = 2;

const MARKER: &str = "savanna-blocks";
const DRAFT: &str = "savanna-blocks.new";
const LOCK: &str = "lock";
const TITLE: &str = "savanna block store";

/// Takes the directory for this process, and marks it as `network`'s if it is new. The lock lasts as long as the file is open.
pub(crate) fn claim(dir: &Path, network: Network) -> Result<File, StoreError> {
    fs::create_dir_all(dir)?;
    inspect(dir, network)?;
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StoreError::Locked { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    // Whoever held the lock before may have marked the directory in between.
    if !inspect(dir, network)? {
        write(dir, network)?;
    }
    Ok(lock)
}

/// Makes the names of files in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(dir)?.sync_all()?;
    }
    Ok(())
}

/// Reads whose directory it is, and touches nothing.
pub(crate) fn network_of(dir: &Path) -> Result<Network, StoreError> {
    let missing = || StoreError::Missing { dir: dir.to_owned() };
    match marked(dir) {
        Ok(network) => network.ok_or_else(missing),
        Err(StoreError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Err(missing()),
        Err(error) => Err(error),
    }
}

/// Returns whether the directory is marked; a directory that is somebody else's is an error.
fn inspect(dir: &Path, network: Network) -> Result<bool, StoreError> {
    match marked(dir)? {
        None => Ok(false),
        Some(found) if found == network => Ok(true),
        Some(found) => Err(StoreError::Network { dir: dir.to_owned(), expected: network, found }),
    }
}

/// Reads the marker; none if the directory is empty.
fn marked(dir: &Path) -> Result<Option<Network>, StoreError> {
    let foreign = || StoreError::Foreign { dir: dir.to_owned() };
    let text = match fs::read(dir.join(MARKER)) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| foreign())?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            for entry in fs::read_dir(dir)? {
                let name = entry?.file_name();
                if name != LOCK && name != DRAFT {
                    return Err(foreign());
                }
            }
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let (format, found) = parse(&text).ok_or_else(foreign)?;
    if format != FORMAT {
        return Err(StoreError::Format { dir: dir.to_owned(), expected: FORMAT, found: format });
    }
    found.and_then(|name| name.parse().ok()).map(Some).ok_or_else(foreign)
}

/// Reads the format and, where the format has it, the network's name.
fn parse(text: &str) -> Option<(u32, Option<&str>)> {
    let mut lines = text.lines();
    if lines.next()? != TITLE {
        return None;
    }
    let format = lines.next()?.strip_prefix("format ")?.parse().ok()?;
    Some((format, lines.next().and_then(|line| line.strip_prefix("network "))))
}

/// Writes the marker so that it is there whole or not at all.
fn write(dir: &Path, network: Network) -> io::Result<()> {
    let draft = dir.join(DRAFT);
    let mut file = File::create(&draft)?;
    writeln!(file, "{TITLE}\nformat {FORMAT}\nnetwork {network}")?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(MARKER))?;
    sync_dir(dir)
}
