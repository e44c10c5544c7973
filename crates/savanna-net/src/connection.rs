//! The driver of one connection: moves bytes between a stream and a session, and requests between clients and it.

mod asks;
mod ending;
mod input;
mod output;
mod questions;

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::poll_fn;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, Sleep, sleep_until};

use savanna_peer::{
    CloseReason, Event, Gossip, LocalReason, Now, PeerInfo, RequestError, RequestId, Response, Session, Step,
};
use savanna_wire::PeerAddr;

use self::asks::Asks;
use self::input::Input;
use self::output::Output;
use self::questions::Questions;
use crate::client::{Ask, Client, QUEUE, Shared};
use crate::config::Standing;
use crate::slots::Slot;
use crate::tasks::Stop;
use crate::traffic::{Meter, gossip_kind};
use crate::transport::Transport;
use crate::{Clock, HandshakeError, PeerId};

pub use self::questions::{InboundService, Nil, QUESTION_DEADLINE};

/// How many bytes a connection reads before others have their turn.
const TURN: usize = 256 * 1024;

/// What a connection is made of.
pub(crate) struct Parts<T, S> {
    pub(crate) id: PeerId,
    pub(crate) address: Option<PeerAddr>,
    pub(crate) stream: T,
    pub(crate) session: Session,
    pub(crate) service: S,
    pub(crate) slot: Option<Slot>,
    pub(crate) patience: Duration,
    pub(crate) clock: Clock,
    pub(crate) gossip: Option<mpsc::Sender<(PeerId, Gossip)>>,
    pub(crate) standing: Option<watch::Receiver<Standing>>,
    pub(crate) meter: Meter,
    pub(crate) established: oneshot::Sender<Result<Client, HandshakeError>>,
}

/// What has happened in one poll.
#[derive(Debug, Default)]
struct Turn {
    /// How many bytes were read.
    read: usize,
    /// Whether a request of ours was answered.
    answered: bool,
    /// Whether the clients' queue, or the stream, was found empty: then it wakes the task, and is not looked at again.
    clients_wait: bool,
    stream_waits: bool,
}

/// One connection: owns the stream and the session, and is polled by its own task alone.
pub(crate) struct Connection<T, S> {
    id: PeerId,
    address: Option<PeerAddr>,
    patience: Duration,
    clock: Clock,
    /// When the current poll began: deadlines need it no finer.
    now: Now,
    stream: T,
    session: Session,
    input: Input,
    output: Output,
    asks: Asks,
    questions: Questions<S>,
    gossip: Option<mpsc::Sender<(PeerId, Gossip)>>,
    standing: Option<watch::Receiver<Standing>>,
    meter: Meter,
    /// Who waits for the handshake, until it is over.
    handshake: Option<Awaited>,
    /// What is shared with clients, once there may be any.
    shared: Option<Arc<Shared>>,
    closed: watch::Sender<Option<CloseReason>>,
    /// Why the session has ended.
    ended: Option<CloseReason>,
    /// Whether the stream takes no more bytes.
    broken: bool,
    /// Why it takes no more, until all has been read that the peer sent before: its last words may say the reason.
    write_failure: Option<CloseReason>,
    stopping: bool,
    _slot: Option<Slot>,
}

/// Who waits for a handshake, and what they will get.
struct Awaited {
    established: oneshot::Sender<Result<Client, HandshakeError>>,
    queue: mpsc::Sender<Ask>,
}

impl<T: Transport, S: InboundService> Connection<T, S> {
    pub(crate) fn new(parts: Parts<T, S>) -> Self {
        let (queue, asks) = mpsc::channel(QUEUE);
        Self {
            id: parts.id,
            address: parts.address,
            patience: parts.patience,
            clock: parts.clock,
            now: parts.clock.now(),
            stream: parts.stream,
            session: parts.session,
            input: Input::new(),
            output: Output::new(),
            asks: Asks::new(asks),
            questions: Questions::new(parts.service),
            gossip: parts.gossip,
            standing: parts.standing,
            meter: parts.meter,
            handshake: Some(Awaited { established: parts.established, queue }),
            shared: None,
            closed: watch::Sender::new(None),
            ended: None,
            broken: false,
            write_failure: None,
            stopping: false,
            _slot: parts.slot,
        }
    }

    /// Runs the connection to its end.
    ///
    /// It is boxed because a future holds each value once for every step that it is moved through, and there are thousands of these.
    pub(crate) async fn run(mut self: Box<Self>, mut stop: Stop) {
        let reason = {
            let mut stopped = pin!(stop.stopped());
            let mut timer = pin!(sleep_until(Instant::now()));
            poll_fn(|cx| self.poll(cx, stopped.as_mut(), timer.as_mut())).await
        };
        tracing::debug!(id = %self.id, %reason, "connection ends");
        self.end(reason).await;
    }

    /// Does all that can be done without waiting, until the session ends.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        stopped: Pin<&mut impl Future<Output = ()>>,
        mut timer: Pin<&mut Sleep>,
    ) -> Poll<CloseReason> {
        if !self.stopping && stopped.poll(cx).is_ready() {
            self.stopping = true;
            self.session.close(CloseReason::Local(LocalReason::Shutdown));
        }
        self.follow_standing();
        self.now = self.clock.now();
        let mut turn = Turn::default();
        loop {
            let mut moved = !turn.clients_wait && self.poll_clients(&mut turn, cx);
            // Whatever moved before may have made room for requests that wait, the answers to cancelled ones too.
            moved |= self.asks.put(&mut self.session, self.now);
            moved |= self.poll_questions(cx);
            let has_read = !turn.stream_waits && self.poll_read(&mut turn, cx);
            moved |= has_read;
            moved |= self.poll_write(cx);
            if !has_read && let Some(reason) = self.write_failure.take() {
                self.session.close(reason);
            }
            moved |= self.drain_events(&mut turn);
            if let Some(reason) = self.ended.take() {
                return Poll::Ready(reason);
            }
            if turn.read >= TURN {
                self.pass_time();
                cx.waker().wake_by_ref();
                break;
            }
            // What has arrived counts before the time does.
            if !moved && !self.poll_timer(cx, timer.as_mut()) {
                break;
            }
        }
        self.acknowledge(&turn);
        Poll::Pending
    }

    /// Has what was read acknowledged at once if the peer may be waiting for that. Zebra leaves Nagle's algorithm on, so its
    /// second small write waits for the acknowledgement of its first: 41 ms if the system takes its time.
    ///
    /// After the last answer there is no second write. The system then acknowledges it with our next question, and the
    /// cheapest packet is the one that is not sent.
    fn acknowledge(&self, turn: &Turn) {
        if turn.read > 0 && (self.session.awaits_bytes() || !turn.answered) {
            self.stream.acknowledge();
        }
    }

    /// Holds the peer to the version that is needed. Heartbeats come by here, so no waker is left for it.
    fn follow_standing(&mut self) {
        if let Some(standing) = &mut self.standing
            && standing.has_changed().unwrap_or(false)
        {
            let floor = standing.borrow_and_update().floor;
            self.session.set_floor(floor);
        }
    }

    /// Takes what clients want.
    fn poll_clients(&mut self, turn: &mut Turn, cx: &mut Context<'_>) -> bool {
        if let Some(shared) = &self.shared {
            shared.register_driver(cx);
            if let Some(reason) = shared.wants_close()
                && !self.session.is_closed()
            {
                self.session.close(reason.clone());
            }
        }
        if self.session.is_closed() {
            return false;
        }
        let cancelled = self.shared.as_ref().is_some_and(|shared| shared.take_cancelled());
        if cancelled {
            self.asks.forget_cancelled(&mut self.session);
        }
        let taken = self.asks.poll(cx);
        turn.clients_wait = self.asks.has_room() && self.shared.is_some();
        // Who gives up waiting for room gives it back.
        if (taken.count > 0 || cancelled)
            && let Some(shared) = &self.shared
        {
            shared.wake_for_room();
        }
        if taken.nobody_left {
            self.session.close(CloseReason::Local(LocalReason::Unused));
        }
        cancelled || taken.count > 0 || taken.nobody_left
    }

    /// Passes the inbound service's answers to the session.
    fn poll_questions(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some(answer)) = self.questions.poll(cx) {
            moved = true;
            match answer {
                Ok((id, response)) => self.session.respond(id, response),
                Err(_) => self.session.close(CloseReason::Local(LocalReason::Overloaded)),
            }
        }
        moved
    }

    /// Lets deadlines pass.
    fn poll_timer(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> bool {
        let session = self.session.poll_timeout().map(|(at, _)| self.clock.instant(at));
        let Some(deadline) = session.into_iter().chain(self.asks.deadline()).min() else { return false };
        // Deadlines mostly move away as answers come: the timer is left as it is then, and found to be early.
        if deadline < timer.deadline() || timer.is_elapsed() {
            timer.as_mut().reset(deadline);
        }
        if timer.poll(cx).is_pending() {
            return false;
        }
        self.now = self.clock.now();
        self.pass_time();
        true
    }

    fn pass_time(&mut self) {
        self.session.handle_timeout(self.now);
        self.asks.expire(self.clock.instant(self.now.monotonic));
    }

    /// Takes bytes off the stream and messages off what was read; returns whether there were any.
    fn poll_read(&mut self, turn: &mut Turn, cx: &mut Context<'_>) -> bool {
        let (moved, hungry) = self.decode(turn);
        if !hungry || self.input.is_at_end() {
            return moved;
        }
        match self.input.poll_fill(&mut self.stream, cx) {
            Poll::Pending => {
                turn.stream_waits = true;
                return moved;
            }
            Poll::Ready(Ok(0)) => self.session.handle_eof(self.now),
            Poll::Ready(Ok(count)) => {
                self.meter.received(count);
                turn.read += count;
                self.decode(turn);
            }
            Poll::Ready(Err(error)) => {
                let reason = self.stream_failed(&error);
                self.session.close(reason);
            }
        }
        true
    }

    /// Takes messages off the buffer. Returns whether there were any, and whether more bytes are wanted.
    fn decode(&mut self, turn: &mut Turn) -> (bool, bool) {
        let mut moved = false;
        loop {
            let step = self.session.handle_bytes(self.input.bytes(), self.now);
            let drained = self.drain_events(turn);
            moved |= drained;
            match step {
                Step::More => moved = true,
                Step::NeedBytes => return (moved, true),
                Step::Blocked if drained => {}
                Step::Blocked => return (moved, false),
            }
        }
    }

    /// Writes as long as the stream takes bytes.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while !self.broken {
            match self.output.poll_write(&mut self.session, &mut self.stream, cx) {
                Poll::Pending | Poll::Ready(Ok(0)) => break,
                Poll::Ready(Ok(count)) => {
                    self.meter.sent(count);
                    moved = true;
                }
                Poll::Ready(Err(error)) => {
                    self.write_failure = Some(self.stream_failed(&error));
                    moved = true;
                }
            }
        }
        moved
    }

    fn stream_failed(&mut self, error: &io::Error) -> CloseReason {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof, WriteZero};
        tracing::debug!(id = %self.id, %error, "the stream failed");
        self.broken = true;
        let by_peer =
            [BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof, WriteZero].contains(&error.kind());
        if by_peer { CloseReason::ClosedByPeer } else { CloseReason::Local(LocalReason::Socket) }
    }

    /// Takes the session's events; returns whether there were any.
    fn drain_events(&mut self, turn: &mut Turn) -> bool {
        let mut drained = false;
        while let Some(event) = self.session.poll_event() {
            drained = true;
            match event {
                Event::Established(info) => self.establish(info),
                Event::RoundTrip(measured) => self.note_round_trip(measured),
                Event::Response { id, result } => {
                    turn.answered = true;
                    if let Ok(Response::Pong(measured)) = &result {
                        self.note_round_trip(*measured);
                    }
                    self.answer(id, result);
                }
                Event::Request { id, request } => {
                    tracing::trace!(id = %self.id, kind = request.kind().label(), "asked");
                    self.questions.ask(id, request);
                }
                Event::Gossip(gossip) => self.pass_on(gossip),
                Event::Closed(reason) => self.ended = Some(reason),
            }
        }
        drained
    }

    fn answer(&mut self, id: RequestId, result: Result<Response, RequestError>) {
        let is_answer = result.as_ref().is_ok_and(|response| *response != Response::Nil);
        if let Some((kind, since)) = self.asks.answer(id, result)
            && is_answer
        {
            self.meter.traffic.count_round_trip(kind, self.now.monotonic.saturating_sub(since));
        }
    }

    fn note_round_trip(&self, measured: Duration) {
        if let Some(shared) = &self.shared {
            shared.set_round_trip(measured);
        }
    }

    /// Hands the first client to whoever asked for the handshake. If they are gone, so is the client, and the connection
    /// ends for want of any.
    fn establish(&mut self, info: PeerInfo) {
        tracing::debug!(
            id = %self.id,
            version = %info.remote.version,
            services = %info.remote.services,
            user_agent = %shortened(info.remote.user_agent.as_bytes()),
            height = info.remote.height,
            "handshake complete",
        );
        self.meter.established();
        let shared = Arc::new(Shared::new(self.id, info, self.address, self.patience));
        if let Some(Awaited { established, queue }) = self.handshake.take() {
            let _ = established.send(Ok(Client::new(Arc::clone(&shared), queue, self.closed.subscribe())));
        }
        self.shared = Some(shared);
    }

    /// Passes gossip on, or loses it if its consumer is behind.
    fn pass_on(&self, gossip: Gossip) {
        let Some(consumer) = &self.gossip else { return };
        let kind = gossip_kind(&gossip);
        let is_lost = consumer.try_send((self.id, gossip)).is_err();
        self.meter.traffic.count_gossip(kind, is_lost);
        if is_lost {
            tracing::trace!(id = %self.id, "gossip lost");
        }
    }
}

/// Escapes the first bytes of what a peer says.
fn shortened(text: &[u8]) -> impl std::fmt::Display {
    const SHOWN: usize = 64;
    text[..text.len().min(SHOWN)].escape_ascii()
}
