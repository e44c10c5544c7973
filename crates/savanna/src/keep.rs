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
use savanna_store::{Opened, PeerStore, PeerStoreError, SetAside};
use savanna_wire::Network;

use crate::StartError;

/// How often the book is written, and how often a disk is tried that refuses.
const SAVED_EVERY: Duration = Duration::from_secs(5 * 60);

const PANICKED: &str = "the storage engine panicked";

/// Makes a book of what a directory holds; an empty one without a directory, or if there is nothing yet.
///
/// Where nothing can be read or written, the node does without until it can: the book is empty then, and is not kept.
///
/// # Errors
/// [`StartError::Store`] if somebody else has it open, or the path cannot be that of a directory.
pub(crate) async fn open(
    dir: Option<PathBuf>,
    config: Config,
    secrets: [[u8; 32]; 2],
    clock: Clock,
) -> Result<(SharedBook, Option<Keeper>), StartError> {
    let [secret, seed] = secrets;
    let book = SharedBook::new(Book::new(config, secret, seed));
    let Some(dir) = dir else { return Ok((book, None)) };
    let mut keeper = Keeper { dir, network: config.network, book, clock, store: None, failing: None };
    let Opened { store, snapshot, set_aside } = match judge(keeper.try_open().await, &keeper.path())? {
        Ok(opened) => opened,
        Err(cause) => {
            tracing::warn!(cause, "beginning with an empty address book, which is not kept before this is mended");
            keeper.failing = Some(cause);
            return Ok((keeper.book.clone(), Some(keeper)));
        }
    };
    tell_aside(set_aside);
    if let Some(snapshot) = snapshot {
        let (book, restored) = Book::restore(config, snapshot, seed, keeper.now());
        tracing::info!(kept = restored.kept, refused = restored.refused, "address book read");
        keeper.book = SharedBook::new(book);
    }
    keeper.store = Some(Arc::new(Mutex::new(store)));
    Ok((keeper.book.clone(), Some(keeper)))
}

/// Keeps a book on a disk.
#[derive(Debug)]
pub(crate) struct Keeper {
    dir: PathBuf,
    network: Network,
    book: SharedBook,
    clock: Clock,
    /// None while the disk refuses.
    store: Option<Arc<Mutex<PeerStore>>>,
    /// Why the last attempt came to nothing.
    failing: Option<String>,
}

impl Keeper {
    /// Writes the book now and then, and a last time when told to stop.
    pub(crate) async fn run(mut self, mut stop: Stop) {
        loop {
            let is_last = tokio::select! {
                () = stop.stopped() => true,
                () = sleep(SAVED_EVERY) => false,
            };
            let outcome = self.save().await;
            match news(&mut self.failing, outcome.err()) {
                Some(Some(cause)) => tracing::warn!(cause, "the address book was not saved"),
                Some(None) => tracing::info!("the address book is saved again"),
                None => {}
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes the book; what is on a disk that refused before is taken in first.
    async fn save(&mut self) -> Result<(), String> {
        let store = match &self.store {
            Some(store) => Arc::clone(store),
            None => self.open_late().await?,
        };
        let book = self.book.clone();
        let saved = spawn_blocking(move || {
            let snapshot = book.with(|book| book.snapshot());
            store.lock().unwrap_or_else(PoisonError::into_inner).save(&snapshot)
        });
        match saved.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(failure) => Err(ended(&failure)),
        }
    }

    async fn open_late(&mut self) -> Result<Arc<Mutex<PeerStore>>, String> {
        let opened = self.try_open().await.map_err(|failure| ended(&failure))?;
        let Opened { store, snapshot, set_aside } = opened.map_err(|error| error.to_string())?;
        tell_aside(set_aside);
        if let Some(snapshot) = snapshot {
            let restored = self.book.with(|book| book.merge(snapshot, self.now()));
            tracing::info!(kept = restored.kept, refused = restored.refused, "address book read at last");
        }
        Ok(Arc::clone(self.store.insert(Arc::new(Mutex::new(store)))))
    }

    async fn try_open(&self) -> Result<Result<Opened, PeerStoreError>, JoinError> {
        let (dir, network) = (self.dir.clone(), self.network);
        spawn_blocking(move || PeerStore::open(&dir, network)).await
    }

    fn path(&self) -> PathBuf {
        self.dir.join(PeerStore::file_name(self.network))
    }

    fn now(&self) -> UnixTime {
        UnixTime::from(self.clock.now().unix)
    }
}

fn tell_aside(set_aside: Option<SetAside>) {
    if let Some(aside) = set_aside {
        tracing::warn!(%aside, "beginning with an empty address book");
    }
}

fn ended(failure: &JoinError) -> String {
    if failure.is_panic() { PANICKED.to_owned() } else { StartError::Stopped.to_string() }
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

/// Returns why saving fails, or that it does not, if it was otherwise the last time: a disk that stays full is told of once.
fn news(before: &mut Option<String>, cause: Option<String>) -> Option<Option<String>> {
    let is_news = *before != cause;
    before.clone_from(&cause);
    is_news.then_some(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use savanna_book::Source;
    use savanna_wire::{AddrV2, PeerAddr, Services};

    async fn open_in(dir: &Path) -> Result<(SharedBook, Option<Keeper>), StartError> {
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
        let (book, keeper) = open_in(dir.path()).await.unwrap();
        assert_eq!((book.with(|book| book.counts().total()), keeper.unwrap().store.is_none()), (0, true));

        for kind in [ErrorKind::StorageFull, ErrorKind::ReadOnlyFilesystem, ErrorKind::PermissionDenied] {
            let cause = judge(refused(kind), Path::new("book")).unwrap().unwrap_err();
            assert_eq!(cause, format!("book cannot be used: {}", io::Error::from(kind)));
        }
    }

    fn learn(book: &SharedBook, address: &str) {
        let address: PeerAddr = address.parse().unwrap();
        let (heard, now) = (AddrV2 { time: 0, services: Services::NODE_NETWORK, address }, UnixTime(1_800_000_000));
        book.with(|book| book.add(heard, Source::Config, now));
    }

    #[tokio::test]
    async fn a_disk_that_is_mended_is_read_and_written_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let (book, keeper) = open_in(dir.path()).await.unwrap();
        learn(&book, "1.2.3.4:18233");
        keeper.unwrap().save().await.unwrap();
        // A directory in the file's stead is a disk that refuses, whoever asks.
        let (file, away) = (dir.path().join(PeerStore::file_name(Network::Regtest)), dir.path().join("away"));
        std::fs::rename(&file, &away).unwrap();
        std::fs::create_dir(&file).unwrap();
        let (book, keeper) = open_in(dir.path()).await.unwrap();
        let mut keeper = keeper.unwrap();
        learn(&book, "5.6.7.8:18233");
        assert!(keeper.save().await.is_err());
        assert_eq!(book.with(|book| book.counts().total()), 1);

        std::fs::remove_dir(&file).unwrap();
        std::fs::rename(&away, &file).unwrap();
        keeper.save().await.unwrap();
        assert_eq!(book.with(|book| book.counts().total()), 2, "what was on the disk is there too");
        drop(keeper);
        let (book, _keeper) = open_in(dir.path()).await.unwrap();
        assert_eq!(book.with(|book| book.counts().total()), 2);
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
        let (_book, keeper) = open_in(dir.path()).await.unwrap();
        assert!(keeper.as_ref().is_some_and(|keeper| keeper.store.is_some()));
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
