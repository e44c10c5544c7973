//! What a crawl leaves on disk for the next: one file a network, one line a node.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use savanna_peerset::crawler::Saved;
use savanna_wire::{Network, sha256d};
use serde::{Deserialize, Serialize};

use line::Line;

mod line;

/// The shape of the file. Another number is another shape.
const FORMAT: u32 = 1;

/// Where a crawl's state is kept.
pub(super) trait Keep {
    /// Reads what the last crawl left, if there was one. What is there and cannot be used is set aside, and told to `tell`.
    fn load(&self, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Option<Saved>>;

    /// Replaces it, whole or not at all.
    fn store(&self, saved: &Saved) -> anyhow::Result<()>;
}

/// A file of JSON lines: a head with the checksum of the rest, then one line a node. It is this process's as long as there is
/// a copy of this.
#[derive(Debug, Clone)]
pub(super) struct StateFile {
    network: Network,
    path: PathBuf,
    _lock: Arc<File>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Head {
    savanna: String,
    format: u32,
    network: String,
    ended: i64,
    complete: bool,
    nodes: usize,
    checksum: String,
}

/// Says whose file it is.
const KIND: &str = "crawl";

impl StateFile {
    /// Opens the file of a network inside a directory, which is made if it does not exist.
    ///
    /// # Errors
    /// If another crawl has it, or the directory cannot be written.
    pub(super) fn open(dir: &Path, network: Network) -> anyhow::Result<Self> {
        let path = dir.join(format!("crawl-{network}.jsonl"));
        let lock = Self::claim(dir, &path).with_context(|| format!("{} cannot hold the crawl", dir.display()))?;
        let Some(lock) = lock else { bail!("{} is in use by another crawl", dir.display()) };
        Ok(Self { network, path, _lock: Arc::new(lock) })
    }

    /// Takes the lock, and tries to write; nothing if another process has the lock.
    fn claim(dir: &Path, path: &Path) -> std::io::Result<Option<File>> {
        fs::create_dir_all(dir)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(path.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let fresh = path.with_extension("jsonl.new");
        File::create(&fresh)?;
        fs::remove_file(&fresh)?;
        Ok(Some(lock))
    }

    fn parse(&self, bytes: &[u8]) -> Option<Saved> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (head, rest) = (&bytes[..end], &bytes[end + 1..]);
        let head: Head = serde_json::from_slice(head).ok()?;
        let is_ours = head.savanna == KIND && head.format == FORMAT && head.network == self.network.name();
        if !is_ours || head.checksum != checksum(rest) {
            return None;
        }
        let lines = rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let nodes: Vec<_> =
            lines.map(|line| serde_json::from_slice::<Line>(line).ok()?.node()).collect::<Option<_>>()?;
        let is_whole = nodes.len() == head.nodes;
        is_whole.then_some(Saved { network: self.network, ended: head.ended, is_complete: head.complete, nodes })
    }

    /// Moves a file that cannot be used out of the way, under a name that nothing has yet.
    fn set_aside(&self) -> anyhow::Result<PathBuf> {
        let mut aside = self.path.with_extension("jsonl.set-aside");
        let mut number = 1;
        while aside.exists() {
            number += 1;
            aside = self.path.with_extension(format!("jsonl.set-aside-{number}"));
        }
        fs::rename(&self.path, &aside).with_context(|| format!("{} cannot be set aside", self.path.display()))?;
        Ok(aside)
    }

    fn write(&self, saved: &Saved) -> std::io::Result<()> {
        let mut rest = Vec::new();
        for node in &saved.nodes {
            serde_json::to_writer(&mut rest, &Line::from(node))?;
            rest.push(b'\n');
        }
        let head = Head {
            savanna: KIND.to_owned(),
            format: FORMAT,
            network: saved.network.name().to_owned(),
            ended: saved.ended,
            complete: saved.is_complete,
            nodes: saved.nodes.len(),
            checksum: checksum(&rest),
        };
        let fresh = self.path.with_extension("jsonl.new");
        let mut out = BufWriter::new(File::create(&fresh)?);
        serde_json::to_writer(&mut out, &head)?;
        out.write_all(b"\n")?;
        out.write_all(&rest)?;
        out.into_inner()?.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        // The name is durable once its directory is.
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

impl Keep for StateFile {
    fn load(&self, tell: &mut dyn FnMut(&str)) -> anyhow::Result<Option<Saved>> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{} cannot be read", self.path.display())),
        };
        let saved = self.parse(&bytes);
        if saved.is_none() {
            let aside = self.set_aside()?;
            tell(&format!(
                "{} is damaged or not a crawl's, and was set aside as {}",
                self.path.display(),
                aside.display()
            ));
        }
        Ok(saved)
    }

    fn store(&self, saved: &Saved) -> anyhow::Result<()> {
        self.write(saved).with_context(|| format!("{} cannot be written", self.path.display()))
    }
}

fn checksum(bytes: &[u8]) -> String {
    sha256d(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests;
