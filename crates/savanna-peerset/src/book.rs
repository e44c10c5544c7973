//! The address book of a node, for all who write into it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use savanna_book::Book;

/// A node's address book. Clones are handles of the same book.
#[derive(Debug, Clone)]
pub struct SharedBook(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    book: Mutex<Book>,
    /// How often bans and marks were written.
    penalties: watch::Sender<u64>,
}

impl SharedBook {
    /// Shares a book.
    #[must_use]
    pub fn new(book: Book) -> Self {
        let penalties = watch::Sender::new(book.penalties().changes());
        Self(Arc::new(Shared { book: Mutex::new(book), penalties }))
    }

    /// Lets `work` have the book. It is held for that long and by nobody else, so `work` is to be short.
    pub fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        let mut book = self.0.book.lock().unwrap_or_else(PoisonError::into_inner);
        let before = book.penalties().changes();
        let done = work(&mut book);
        let after = book.penalties().changes();
        drop(book);
        if after != before {
            self.0.penalties.send_replace(after);
        }
        done
    }

    /// Returns what changes when somebody is banned or marked.
    pub(crate) fn penalties(&self) -> watch::Receiver<u64> {
        self.0.penalties.subscribe()
    }
}
