//! The file that holds the blocks themselves, one behind the other.
//!
//! It only ever grows while the store is open. So a write that never ends, or an index that the machine lost the latest state of,
//! leaves every block in place that any earlier state of the index names.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use savanna_wire::Block;
use xxhash_rust::xxh3::xxh3_64;

/// Where a block stands, and what its bytes come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its first byte's position in the file.
    pub(crate) start: u64,
    /// Tells rotten bytes from those that were written; it is no protection against intent.
    pub(crate) digest: u64,
}

impl Place {
    pub(crate) fn of(start: u64, block: &Block) -> Self {
        Self { start, digest: xxh3_64(block.bytes()) }
    }

    pub(crate) fn is_of(&self, bytes: &[u8]) -> bool {
        self.digest == xxh3_64(bytes)
    }
}

/// The file, open for appending.
#[derive(Debug)]
pub(crate) struct Bodies {
    file: File,
    end: u64,
}

impl Bodies {
    /// Opens the file, and makes it if it is missing.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let end = file.metadata()?.len();
        Ok(Self { file, end })
    }

    /// Returns how many bytes there are.
    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Appends blocks. They reach the system's buffers: the end of the process alone loses none of them.
    pub(crate) fn append(&mut self, run: &[Block]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = run.iter().map(|block| IoSlice::new(block.bytes())).collect();
        let mut left = &mut slices[..];
        while !left.is_empty() {
            match self.file.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.end += written as u64;
                    IoSlice::advance_slices(&mut left, written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes all that was appended durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Gives back what stands behind `end`.
    pub(crate) fn cut(&mut self, end: u64) -> io::Result<()> {
        self.file.set_len(end)?;
        self.end = end;
        Ok(())
    }
}

/// The same file, open for reading: several readers at once, none of whom moves another's position.
#[derive(Debug)]
pub(crate) struct BodyReader(File);

impl BodyReader {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(File::open(path)?))
    }

    /// Reads up to `length` bytes: fewer where the file ends. No memory is taken for what is not there.
    pub(crate) fn read(&self, start: u64, length: u32) -> io::Result<Vec<u8>> {
        let there = self.0.metadata()?.len().saturating_sub(start).min(u64::from(length));
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(0)];
        let mut filled = 0;
        while filled < bytes.len() {
            match self.0.read_at(&mut bytes[filled..], start + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }
}
