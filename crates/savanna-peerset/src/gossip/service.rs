//! Answering peers from the address book.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use tower::Service;

use savanna_book::{Family, UnixTime};
use savanna_net::Clock;
use savanna_peer::{Request, Response};

use crate::SharedBook;

/// An inbound service that answers [`Request::Peers`] from a book, and everything else by [`Response::Nil`].
///
/// # Security
/// The book gives the same answer for ten minutes, so asking often shows no more of it. How often a connection may ask is the
/// session's business.
#[derive(Debug, Clone)]
pub struct BookService {
    book: SharedBook,
    over: Family,
    clock: Clock,
}

impl BookService {
    /// Makes a service for peers that dial us over a network of the given family.
    #[must_use]
    pub const fn new(book: SharedBook, over: Family, clock: Clock) -> Self {
        Self { book, over, clock }
    }

    /// Makes one of the same book for peers that dial us over a network of another family.
    #[must_use]
    pub fn answering_over(self, over: Family) -> Self {
        Self { over, ..self }
    }

    fn answer(&self, request: &Request) -> Response {
        if *request != Request::Peers {
            return Response::Nil;
        }
        let now = UnixTime::from(self.clock.now().unix);
        let peers = self.book.with(|book| {
            // Nothing would be the answer for ten minutes.
            if book.counts().total() == 0 { Vec::new() } else { book.answer(self.over, now).to_vec() }
        });
        if peers.is_empty() { Response::Nil } else { Response::Peers(peers) }
    }
}

impl Service<Request> for BookService {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        ready(Ok(self.answer(&request)))
    }
}
