//! What the peer asks: put to the inbound service, a few at a time.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::time::error::Elapsed;
use tokio::time::{Sleep, sleep, timeout_at};
use tower::load_shed::error::Overloaded;
use tower::{BoxError, Service};

use savanna_peer::{InboundId, Request, Response};

/// How long the inbound service may take to answer a question.
pub const QUESTION_DEADLINE: Duration = Duration::from_secs(5);

/// What answers the questions of peers. Every service of this shape is one.
///
/// Each connection works on a clone of its own, and on that alone: a service can so keep what it has to remember of one peer.
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

/// A question that the service has not taken.
struct Waiting {
    id: InboundId,
    request: Request,
    /// When it is given up.
    deadline: Pin<Box<Sleep>>,
}

/// The questions being worked on: no more than the session has open at a time.
///
/// All are put to one instance of the service, so what that keeps of its own it keeps of this peer.
pub(super) struct Questions<S> {
    service: S,
    /// In the order in which they came.
    waiting: VecDeque<Waiting>,
    open: FuturesUnordered<BoxFuture<'static, (InboundId, Result<Response, Shed>)>>,
    /// What the service would not take.
    shed: Vec<InboundId>,
}

impl<S: InboundService> Questions<S> {
    pub(super) fn new(service: S) -> Self {
        Self { service, waiting: VecDeque::new(), open: FuturesUnordered::new(), shed: Vec::new() }
    }

    /// Takes a question for the service.
    pub(super) fn ask(&mut self, id: InboundId, request: Request) {
        self.waiting.push_back(Waiting { id, request, deadline: Box::pin(sleep(QUESTION_DEADLINE)) });
    }

    /// Returns the next answer, or `None` when there is no question. Fails when the peer asks for more while what it asked for
    /// before keeps the service from it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<(InboundId, Response), Shed>>> {
        self.begin(cx);
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
            None if self.open.is_empty() && self.waiting.is_empty() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// Puts questions to the service, in the order in which they came, as it becomes ready for them.
    fn begin(&mut self, cx: &mut Context<'_>) {
        while let Some(front) = self.waiting.front_mut() {
            let ready = match self.service.poll_ready(cx) {
                Poll::Ready(ready) => ready.map_err(Into::into),
                Poll::Pending if front.deadline.as_mut().poll(cx).is_ready() => Err("the service was not ready".into()),
                Poll::Pending => return,
            };
            let Some(Waiting { id, request, deadline }) = self.waiting.pop_front() else { return };
            let kind = request.kind().label();
            match ready {
                Ok(()) => {
                    let answering = timeout_at(deadline.deadline(), self.service.call(request));
                    self.open.push(Box::pin(async move { (id, answer(kind, answering).await) }));
                }
                Err(error) => self.open.push(Box::pin(async move { (id, without_answer(kind, error)) })),
            }
        }
    }
}

/// Waits for an answer: it is nothing if the service fails or is too slow.
async fn answer<E: Into<BoxError>>(
    kind: &'static str,
    answering: impl Future<Output = Result<Result<Response, E>, Elapsed>>,
) -> Result<Response, Shed> {
    match answering.await {
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
