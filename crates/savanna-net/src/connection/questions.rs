//! What the peer asks: put to the inbound service, a few at a time.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::time::{Instant, timeout_at};
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Service, ServiceExt};

use savanna_peer::{InboundId, Request, Response};

/// How long the inbound service may take to answer a question.
pub const QUESTION_DEADLINE: Duration = Duration::from_secs(5);

/// What answers the questions of peers. Every service of this shape is one.
///
/// An error is no answer, and none is sent. [`Overloaded`], as tower's `LoadShed` raises it, says that there is too much to
/// do: the connection that asked is closed for it if other questions of its own are being worked on, and else goes without an
/// answer. So does one whose question finds the service not ready in time.
///
/// # Security
/// A peer that keeps the service busy loses its own connection by asking on, and costs no other peer more than an answer.
pub trait InboundService:
    Service<Request, Response = Response, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static
{
}

impl<S> InboundService for S where
    S: Service<Request, Response = Response, Error: Into<BoxError>, Future: Send> + Clone + Send + 'static
{
}

/// The inbound service of a node that answers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nil;

impl Service<Request> for Nil {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        ready(Ok(Response::Nil))
    }
}

/// The service has more to do than it can.
#[derive(Debug)]
pub(super) struct Shed;

/// The questions being worked on: no more than the session has open at a time.
pub(super) struct Questions<S> {
    service: S,
    open: FuturesUnordered<BoxFuture<'static, (InboundId, Result<Response, Shed>)>>,
    /// What the service would not take.
    shed: Vec<InboundId>,
}

impl<S: InboundService> Questions<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, open: FuturesUnordered::new(), shed: Vec::new() }
    }

    /// Puts a question to the service.
    pub(super) fn ask(&mut self, id: InboundId, request: Request) {
        let service = self.service.clone();
        self.open.push(Box::pin(async move { (id, answer(service, request).await) }));
    }

    /// Returns the next answer, or `None` when there is no question. Fails when the peer asks for more while what it asked for
    /// before keeps the service from it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(InboundId, Response), Shed>>> {
        while !self.open.is_empty()
            && let Poll::Ready(Some((id, result))) = Pin::new(&mut self.open).poll_next(cx)
        {
            match result {
                Ok(response) => return Poll::Ready(Some(Ok((id, response)))),
                Err(Shed) => self.shed.push(id),
            }
        }
        // Each question has had its turn: those still open are being worked on.
        match self.shed.pop() {
            Some(_) if !self.open.is_empty() => Poll::Ready(Some(Err(Shed))),
            Some(id) => Poll::Ready(Some(Ok((id, Response::Nil)))),
            None if self.open.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// Answers one question: with nothing, if the service fails or is too slow.
async fn answer<S: InboundService>(mut service: S, request: Request) -> Result<Response, Shed> {
    let deadline = Instant::now() + QUESTION_DEADLINE;
    let kind = request.kind().label();
    match timeout_at(deadline, service.ready()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return without_answer(kind, error.into()),
        Err(late) => return without_answer(kind, late.into()),
    }
    match timeout_at(deadline, service.call(request)).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => without_answer(kind, error.into()),
        Err(late) => without_answer(kind, late.into()),
    }
}

fn without_answer(kind: &'static str, error: BoxError) -> Result<Response, Shed> {
    if error.is::<Overloaded>() {
        return Err(Shed);
    }
    tracing::debug!(kind, error, "no answer for a peer");
    Ok(Response::Nil)
}
