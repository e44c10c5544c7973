//! The address book of a node, for all who write into it.

use std::sync::{Arc, Mutex, PoisonError};

use savanna_book::Book;

/// A node's address book. Clones are handles of the same book.
#[derive(Debug, Clone)]
pub struct SharedBook(Arc<Mutex<Book>>);

impl SharedBook {
    /// Shares a book.
    #[must_use]
    pub fn new(book: Book) -> Self {
        Self(Arc::new(Mutex::new(book)))
    }

    /// Lets `work` have the book. It is held for that long and by nobody else, so `work` is to be short.
    pub fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
