//! The archive's disk: opened, and opened again when it was full.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::statvfs;
use savanna_store::{BlockStore, Options, StoreError};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::chain::{Chain, Complaint, Kind};
use super::refusal;
use crate::config::Config;

/// How long it takes until a disk that failed is tried again; it doubles up to the longest.
const FIRST_REST: Duration = Duration::from_secs(1);
const LONGEST_REST: Duration = Duration::from_secs(30);

/// Opens the archive.
///
/// # Errors
/// A sentence that a person can act on.
pub(super) async fn open(config: &Config) -> anyhow::Result<Arc<BlockStore>> {
    let (dir, network) = (config.dir.clone(), config.network);
    let options = Options { transaction_index: config.transaction_index };
    let opened = spawn_blocking(move || BlockStore::open_with(&dir, network, options)).await?;
    opened.map(Arc::new).map_err(|error| refusal::of_store(error, &config.dir))
}

/// The archive's disk, and who is told of it.
#[derive(Clone)]
pub(super) struct Disk {
    store: Arc<BlockStore>,
    chain: Arc<watch::Sender<Chain>>,
}

impl Disk {
    pub(super) const fn new(store: Arc<BlockStore>, chain: Arc<watch::Sender<Chain>>) -> Self {
        Self { store, chain }
    }

    /// Returns how many bytes are free for this user; nothing if the system does not say.
    pub(super) fn free(&self) -> Option<u64> {
        free(self.store.dir())
    }

    /// Opens the archive again after a failed write, as often as it takes. Meanwhile what is there is served.
    pub(super) async fn recover(&self, error: StoreError) {
        let mut rest = FIRST_REST;
        let mut error = error;
        loop {
            let complaint = complain(&error, self.store.dir());
            self.chain.send_modify(|chain| chain.complain(complaint));
            sleep(rest).await;
            rest = (rest * 2).min(LONGEST_REST);
            let store = Arc::clone(&self.store);
            match spawn_blocking(move || store.reopen()).await {
                Ok(Ok(tip)) => {
                    self.chain.send_modify(|chain| chain.reopened(tip));
                    return;
                }
                Ok(Err(again)) => error = again,
                // It panicked, which a later try may not.
                Err(_) => {}
            }
        }
    }

    /// Fills the index of transactions of an archive that was there before it, beside everything else.
    pub(super) async fn index_transactions(self) {
        loop {
            let store = Arc::clone(&self.store);
            match spawn_blocking(move || store.index_transactions()).await {
                Ok(Ok(indexed)) if indexed.is_whole() => {
                    tracing::info!("the index of transactions is whole");
                    return std::future::pending().await;
                }
                Ok(Ok(_)) => {}
                // The archive is opened again by whoever writes blocks.
                Ok(Err(_)) | Err(_) => sleep(LONGEST_REST).await,
            }
        }
    }
}

fn complain(error: &StoreError, dir: &Path) -> Complaint {
    let place = dir.display();
    let is_full = matches!(error, StoreError::Io(source)
        if matches!(source.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded));
    if is_full {
        let free = free(dir).map_or_else(String::new, |free| format!(" ({:.1} MB are free)", free as f64 / 1e6));
        let sentence = format!(
            "the disk of {place} is full{free}: make room there; what is kept is served meanwhile, and fetching goes on by itself"
        );
        return Complaint { kind: Kind::DiskFull, sentence };
    }
    let sentence = format!("the chain cannot be kept in {place}: {error}; it is tried again");
    Complaint { kind: Kind::DiskFailed, sentence }
}

fn free(dir: &Path) -> Option<u64> {
    let disk = statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_with_its_place_and_what_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let full = complain(&StoreError::Io(ErrorKind::StorageFull.into()), dir.path());
        assert_eq!(full.kind, Kind::DiskFull);
        assert!(full.sentence.contains(dir.path().to_str().unwrap()), "{}", full.sentence);
        assert!(full.sentence.contains(" MB are free"), "{}", full.sentence);
        let broken = complain(&StoreError::Failed, dir.path());
        assert_eq!(broken.kind, Kind::DiskFailed);
        assert!(broken.sentence.contains("tried again"), "{}", broken.sentence);
    }
}
