//! What peers are answered: by the caller's service, or from the address book where there is none.

use std::task::{Context, Poll};

use futures_util::future::Either;
use tower::Service;

use savanna_net::InboundService;
use savanna_peer::{Request, Response};
use savanna_peerset::BookService;

/// Answers by a service, unless there is a book that answers for it.
#[derive(Debug, Clone)]
pub(crate) struct Answers<S> {
    service: S,
    book: Option<BookService>,
}

impl<S> Answers<S> {
    pub(crate) const fn new(service: S, book: Option<BookService>) -> Self {
        Self { service, book }
    }
}

impl<S: InboundService> Service<Request> for Answers<S> {
    type Response = Response;
    type Error = tower::BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response, tower::BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tower::BoxError>> {
        match self.book {
            Some(_) => Poll::Ready(Ok(())),
            None => self.service.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let answering = match &mut self.book {
            Some(book) => Either::Left(book.call(request)),
            None => Either::Right(self.service.call(request)),
        };
        Box::pin(async move {
            match answering {
                Either::Left(answering) => answering.await.map_err(Into::into),
                Either::Right(answering) => answering.await.map_err(Into::into),
            }
        })
    }
}
