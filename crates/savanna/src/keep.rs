//! The address book between two runs.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use savanna_book::{Book, Config, UnixTime};
use savanna_net::{Clock, Stop};
use savanna_peerset::SharedBook;
use savanna_store::{Opened, PeerStore, PeerStoreError};

use crate::StartError;

/// How often the book is written.
const SAVED_EVERY: Duration = Duration::from_secs(5 * 60);

const PANICKED: &str = "the storage engine panicked";

/// Makes a book of what a directory holds; an empty one without a directory, or if there is nothing yet.
///
/// Where nothing can be read or written, the node does without: the book is empty then, and is not kept.
///
/// # Errors
/// [`StartError::Store`] if somebody else has it open, or the path cannot be that of a directory.
pub(crate) async fn open(
    dir: Option<PathBuf>,
    config: Config,
    secrets: [[u8; 32]; 2],
    clock: Clock,
) -> Result<(SharedBook, Option<PeerStore>), StartError> {
    let [secret, seed] = secrets;
    let empty = || (SharedBook::new(Book::new(config, secret, seed)), None);
    let Some(dir) = dir else { return Ok(empty()) };
    let path = dir.join(PeerStore::file_name(config.network));
    let opened = spawn_blocking(move || PeerStore::open(&dir, config.network)).await;
    let Opened { store, snapshot, set_aside } = match judge(opened, &path)? {
        Ok(opened) => opened,
        Err(cause) => {
            tracing::warn!(cause, "beginning with an empty address book, which is not kept");
            return Ok(empty());
        }
    };
    if let Some(aside) = set_aside {
        tracing::warn!(%aside, "beginning with an empty address book");
    }
    let book = match snapshot {
        None => Book::new(config, secret, seed),
        Some(snapshot) => {
            let (book, restored) = Book::restore(config, snapshot, seed, UnixTime::from(clock.now().unix));
            tracing::info!(kept = restored.kept, refused = restored.refused, "address book read");
            book
        }
    };
    Ok((SharedBook::new(book), Some(store)))
}

/// Returns what was opened, or why the node does without; an error, if it does not start for that.
fn judge(
    opened: Result<Result<Opened, PeerStoreError>, JoinError>,
    path: &Path,
) -> Result<Result<Opened, String>, StartError> {
    match opened {
        Ok(Ok(opened)) => Ok(Ok(opened)),
        Ok(Err(error)) if is_misuse(&error) => Err(error.into()),
        Ok(Err(error)) => Ok(Err(error.to_string())),
        Err(failure) if failure.is_panic() => Ok(Err(format!("{} cannot be used: {PANICKED}", path.display()))),
        Err(_) => Err(StartError::Stopped),
    }
}

/// Returns whether an error says that the caller asked for something else than was meant, and no disk is to blame.
fn is_misuse(error: &PeerStoreError) -> bool {
    let is_no_directory = |source: &io::Error| {
        matches!(source.kind(), ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::InvalidInput)
    };
    matches!(error, PeerStoreError::Locked { .. })
        || matches!(error, PeerStoreError::Io { source, .. } if is_no_directory(source))
}

/// Writes the book now and then, and a last time when told to stop.
pub(crate) async fn save(store: PeerStore, book: SharedBook, mut stop: Stop) {
    let store = Arc::new(Mutex::new(store));
    let mut failing = None;
    loop {
        let is_last = tokio::select! {
            () = stop.stopped() => true,
            () = sleep(SAVED_EVERY) => false,
        };
        let (store, book) = (Arc::clone(&store), book.clone());
        let saved = spawn_blocking(move || {
            let snapshot = book.with(|book| book.snapshot());
            store.lock().unwrap_or_else(PoisonError::into_inner).save(&snapshot)
        });
        let cause = match saved.await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(failure) if failure.is_panic() => Some(PANICKED.to_owned()),
            Err(_) => Some(StartError::Stopped.to_string()),
        };
        match news(&mut failing, cause) {
            Some(Some(cause)) => tracing::warn!(cause, "the address book was not saved"),
            Some(None) => tracing::info!("the address book is saved again"),
            None => {}
        }
        if is_last {
            return;
        }
    }
}

/// Returns why saving fails, or that it does not, if it was otherwise the last time: a disk that stays full is told of once.
fn news(before: &mut Option<String>, cause: Option<String>) -> Option<Option<String>> {
    let is_news = *before != cause;
    before.clone_from(&cause);
    is_news.then_some(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use savanna_wire::Network;

    async fn open_in(dir: &Path) -> Result<(SharedBook, Option<PeerStore>), StartError> {
        open(Some(dir.to_owned()), Config::new(Network::Regtest), [[1; 32], [2; 32]], Clock::start()).await
    }

    fn refused(kind: ErrorKind) -> Result<Result<Opened, PeerStoreError>, JoinError> {
        Ok(Err(PeerStoreError::Io { path: "book".into(), source: kind.into() }))
    }

    #[tokio::test]
    async fn a_disk_that_refuses_leaves_an_empty_book_that_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        // No disk opens a directory as a file, whoever asks.
        std::fs::create_dir(dir.path().join(PeerStore::file_name(Network::Regtest))).unwrap();
        let (book, store) = open_in(dir.path()).await.unwrap();
        assert_eq!((book.with(|book| book.counts().total()), store.is_none()), (0, true));

        for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
            let cause = judge(refused(kind), Path::new("book")).unwrap().unwrap_err();
            assert_eq!(cause, format!("book cannot be used: {}", io::Error::from(kind)));
        }
    }

    #[tokio::test]
    async fn a_panic_in_the_store_leaves_an_empty_book() {
        let opened = spawn_blocking(|| panic!("a test's own")).await;
        let cause = judge(opened, Path::new("book")).unwrap().unwrap_err();
        assert_eq!(cause, "book cannot be used: the storage engine panicked");
    }

    #[tokio::test]
    async fn a_book_in_use_and_a_path_of_no_directory_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let (_book, store) = open_in(dir.path()).await.unwrap();
        assert!(store.is_some());
        let second = open_in(dir.path()).await;
        assert!(matches!(second, Err(StartError::Store(PeerStoreError::Locked { .. }))), "{second:?}");

        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let opened = open_in(&path).await;
            assert!(matches!(opened, Err(StartError::Store(PeerStoreError::Io { .. }))), "{opened:?}");
        }
    }

    #[test]
    fn saving_that_keeps_failing_is_told_of_once_for_each_cause() {
        let (full, gone) = (Some("full".to_owned()), Some("gone".to_owned()));
        let mut before = None;
        let attempts = [None, full.clone(), full.clone(), gone.clone(), gone.clone(), None, None, full.clone()];
        let told: Vec<_> = attempts.into_iter().filter_map(|cause| news(&mut before, cause)).collect();
        assert_eq!(told, [full.clone(), gone, None, full]);
    }
}
