//! Requests of the clients: on their way to the session, and waiting for its answers.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use savanna_peer::{CloseReason, Now, RequestError, RequestId, RequestKind, Response, Session};

use crate::client::Ask;

/// How many requests may wait until the session takes another of their kind. Beyond it, the clients' queue fills up.
const MAX_WAITING: usize = 64;

/// The clients' requests.
pub(super) struct Asks {
    queue: mpsc::Receiver<Ask>,
    /// In the order in which they came; one that found the queue full came later than its deadline tells.
    waiting: Vec<Ask>,
    asked: BTreeMap<RequestId, Asked>,
}

/// A request that was put to the session.
struct Asked {
    kind: RequestKind,
    /// When, on the scale of [`Now::monotonic`].
    since: Duration,
    reply: oneshot::Sender<Result<Response, RequestError>>,
}

/// What a look into the queue brought.
pub(super) struct Taken {
    pub(super) count: usize,
    /// Whether no client and no unfinished future is left.
    pub(super) nobody_left: bool,
}

impl Asks {
    pub(super) const fn new(queue: mpsc::Receiver<Ask>) -> Self {
        Self { queue, waiting: Vec::new(), asked: BTreeMap::new() }
    }

    /// Takes requests off the queue, as long as not too many wait.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Taken {
        let mut taken = Taken { count: 0, nobody_left: false };
        while self.has_room() {
            match self.queue.poll_recv(cx) {
                Poll::Ready(Some(ask)) => {
                    taken.count += 1;
                    self.waiting.push(ask);
                }
                Poll::Ready(None) => {
                    taken.nobody_left = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        taken
    }

    /// Returns whether a request that comes now may be taken off the queue.
    pub(super) const fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }

    /// Puts to the session what waits, as far as it takes it, oldest first in each kind. Returns whether fewer wait now.
    pub(super) fn put(&mut self, session: &mut Session, now: Now) -> bool {
        if self.waiting.is_empty() {
            return false;
        }
        let before = self.waiting.len();
        let mut busy: Vec<RequestKind> = Vec::new();
        let mut still_waiting = Vec::new();
        for ask in self.waiting.drain(..) {
            let kind = ask.request.kind();
            if ask.reply.is_closed() {
                continue;
            }
            if busy.contains(&kind) {
                still_waiting.push(ask);
                continue;
            }
            match session.request(&ask.request, now) {
                Ok(id) => {
                    tracing::trace!(kind = kind.label(), "asking");
                    self.asked.insert(id, Asked { kind, since: now.monotonic, reply: ask.reply });
                }
                Err(_) => {
                    busy.push(kind);
                    still_waiting.push(ask);
                }
            }
        }
        self.waiting.append(&mut still_waiting);
        self.waiting.len() < before
    }

    /// Gives an answer to whom it is for, and returns what had been asked and when.
    pub(super) fn answer(
        &mut self,
        id: RequestId,
        result: Result<Response, RequestError>,
    ) -> Option<(RequestKind, Duration)> {
        let Asked { kind, since, reply } = self.asked.remove(&id)?;
        // The future may have been dropped a moment ago.
        let _ = reply.send(result);
        Some((kind, since))
    }

    /// Cancels what nobody waits for any more.
    pub(super) fn forget_cancelled(&mut self, session: &mut Session) {
        self.asked.retain(|id, Asked { reply, .. }| {
            if reply.is_closed() {
                session.cancel(*id);
            }
            !reply.is_closed()
        });
    }

    /// Returns when the first of the waiting requests has waited long enough.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.waiting.iter().map(|ask| ask.deadline).min()
    }

    /// Gives up on requests that have waited long enough.
    pub(super) fn expire(&mut self, now: Instant) {
        for ask in self.waiting.extract_if(.., |ask| ask.deadline <= now) {
            let _ = ask.reply.send(Err(RequestError::TimedOut));
        }
    }

    /// Tells everyone that the connection has ended, and takes nothing more.
    pub(super) fn fail(&mut self, reason: &CloseReason) {
        self.queue.close();
        let queued = std::iter::from_fn(|| self.queue.try_recv().ok());
        let unasked = self.waiting.drain(..).chain(queued).map(|ask| ask.reply);
        let asked = std::mem::take(&mut self.asked).into_values().map(|asked| asked.reply);
        for reply in unasked.chain(asked) {
            let _ = reply.send(Err(RequestError::Closed(reason.clone())));
        }
    }
}

#[cfg(test)]
mod tests {
    use savanna_peer::Request;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_request_waits_its_own_time_whatever_the_order_of_coming() {
        let (sender, queue) = mpsc::channel(2);
        let mut asks = Asks::new(queue);
        let start = Instant::now();
        let mut answers = [5, 2].map(|seconds| {
            let (reply, answer) = oneshot::channel();
            let deadline = start + Duration::from_secs(seconds);
            sender.try_send(Ask { request: Request::Ping, deadline, reply }).unwrap();
            answer
        });
        assert_eq!(asks.poll(&mut Context::from_waker(std::task::Waker::noop())).count, 2);
        assert_eq!(asks.deadline(), Some(start + Duration::from_secs(2)));
        asks.expire(start + Duration::from_secs(2));
        assert_eq!(answers[1].try_recv(), Ok(Err(RequestError::TimedOut)));
        assert!(answers[0].try_recv().is_err());
        assert_eq!(asks.deadline(), Some(start + Duration::from_secs(5)));
    }
}
