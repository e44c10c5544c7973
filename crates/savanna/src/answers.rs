//! What peers are answered: by the caller's service, and from the address book.

use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tower::Service;

use savanna_book::Family;
use savanna_net::InboundService;
use savanna_peer::{Request, Response};
use savanna_peerset::BookService;

/// Answers by the caller's service if there is one, and from the book what that leaves: addresses.
#[derive(Debug, Clone)]
pub(crate) struct Answers<S> {
    service: S,
    is_serving: bool,
    book: Option<BookService>,
}

impl<S: Clone> Answers<S> {
    /// Makes a service whose first part is the caller's only if `is_serving`; without a book it leaves nothing to that.
    pub(crate) const fn new(service: S, is_serving: bool, book: Option<BookService>) -> Self {
        Self { service, is_serving, book }
    }

    /// Makes the service of peers who dial us over a network of the given family.
    pub(crate) fn over(&self, family: Family) -> Self {
        let book = self.book.clone().map(|book| book.answering_over(family));
        Self { service: self.service.clone(), is_serving: self.is_serving, book }
    }
}

impl<S: InboundService> Service<Request> for Answers<S> {
    type Response = Response;
    type Error = tower::BoxError;
    type Future = BoxFuture<'static, Result<Response, tower::BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), tower::BoxError>> {
        if self.is_serving || self.book.is_none() {
            self.service.poll_ready(cx).map_err(Into::into)
        } else {
            Poll::Ready(Ok(()))
        }
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let book = self.book.clone();
        if !self.is_serving
            && let Some(mut book) = book
        {
            return async move { book.call(request).await.map_err(Into::into) }.boxed();
        }
        let asks_addresses = matches!(request, Request::Peers);
        let answering = self.service.call(request);
        async move {
            match (answering.await.map_err(Into::into)?, book) {
                (Response::Nil, Some(mut book)) if asks_addresses => {
                    book.call(Request::Peers).await.map_err(Into::into)
                }
                (response, _) => Ok(response),
            }
        }
        .boxed()
    }
}
