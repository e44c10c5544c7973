//! Looks the engine's files over before the engine opens them.
//!
//! The engine checks what it reads, but it reserves memory for some counts before it has checked them: one rotten bit there
//! would end the process instead of giving an error. Both places carry a checksum, which is verified here first: the table of
//! contents at the end of each file, and the list of a keyspace's files. What does not look as expected is left to the engine.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use savanna_wire::Reader;
use xxhash_rust::xxh3::xxh3_128;

use crate::StoreError;

/// What stands at the end of a file: magic, version, kind of checksum, checksum, position and length of the contents.
const TRAILER_LEN: usize = 38;

const TRAILER_START: [u8; 6] = *b"SFA!\x01\x00";

/// The longest table of contents in bytes; real ones have a few hundred.
const MAX_CONTENTS: u64 = 1024 * 1024;

/// Verifies the files of every keyspace under `path`.
pub(crate) fn look_over(path: &Path) -> Result<(), StoreError> {
    for keyspace in fs::read_dir(path.join("keyspaces"))? {
        let keyspace = keyspace?.path();
        check_list(&keyspace)?;
        check_files(&keyspace)?;
    }
    Ok(())
}

/// Verifies the list of a keyspace's files against the checksum that stands beside its number in `current`.
fn check_list(keyspace: &Path) -> Result<(), StoreError> {
    let Some(current) = read_if_there(&keyspace.join("current"))? else { return Ok(()) };
    let mut reader = Reader::new(&current, "current");
    let (Ok(number), Ok(checksum)) = (reader.u64(), reader.array()) else { return Ok(()) };
    let path = keyspace.join(format!("v{number}"));
    match read_if_there(&path)? {
        Some(list) if xxh3_128(&list) != u128::from_le_bytes(checksum) => Err(rotten(&path)),
        Some(_) | None => Ok(()),
    }
}

fn check_files(dir: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            check_files(&path)?;
        } else if !has_sound_contents(&path)? {
            return Err(rotten(&path));
        }
    }
    Ok(())
}

/// Returns whether a file's table of contents is the one that was written, or there is none.
fn has_sound_contents(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let Some(end) = file.metadata()?.len().checked_sub(TRAILER_LEN as u64) else { return Ok(true) };
    let mut trailer = [0; TRAILER_LEN];
    file.seek(SeekFrom::Start(end))?;
    file.read_exact(&mut trailer)?;
    let mut reader = Reader::new(&trailer, "trailer");
    let (Ok(start), Ok(checksum), Ok(position)) = (reader.array::<6>(), reader.array(), reader.u64()) else {
        return Ok(true);
    };
    if start != TRAILER_START {
        return Ok(true);
    }
    let Some(length) = end.checked_sub(position).filter(|&length| length <= MAX_CONTENTS) else { return Ok(false) };
    let mut contents = Vec::new();
    file.seek(SeekFrom::Start(position))?;
    file.take(length).read_to_end(&mut contents)?;
    Ok(xxh3_128(&contents) == u128::from_le_bytes(checksum))
}

fn read_if_there(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn rotten(path: &Path) -> StoreError {
    StoreError::corrupt(format!("{} is not as it was written", path.display()))
}
