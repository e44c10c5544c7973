//! The address book between two runs.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use savanna_book::{Book, Config, UnixTime};
use savanna_net::{Clock, Stop};
use savanna_peerset::SharedBook;
use savanna_store::{Opened, PeerStore};

use crate::StartError;

/// How often the book is written.
const SAVED_EVERY: Duration = Duration::from_secs(5 * 60);

/// Makes a book of what a directory holds; an empty one without a directory, or if there is nothing yet.
///
/// # Errors
/// [`StartError::Store`] if somebody else has it open, or the system refuses.
pub(crate) async fn open(
    dir: Option<PathBuf>,
    config: Config,
    secrets: [[u8; 32]; 2],
    clock: Clock,
) -> Result<(SharedBook, Option<PeerStore>), StartError> {
    let [secret, seed] = secrets;
    let Some(dir) = dir else { return Ok((SharedBook::new(Book::new(config, secret, seed)), None)) };
    let opened = spawn_blocking(move || PeerStore::open(&dir, config.network)).await;
    let Opened { store, snapshot, set_aside } = opened.map_err(|_| StartError::Stopped)??;
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

/// Writes the book now and then, and a last time when told to stop.
pub(crate) async fn save(store: PeerStore, book: SharedBook, mut stop: Stop) {
    let store = Arc::new(Mutex::new(store));
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
        match saved.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the address book was not saved"),
            Err(error) => tracing::warn!(%error, "the address book was not saved"),
        }
        if is_last {
            return;
        }
    }
}
