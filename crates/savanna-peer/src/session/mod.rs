//! The session: one peer, from its first byte to its last.

mod intake;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_wire::{Command, Decoder, Message, ProtocolVersion, Reject, RejectCode, Version};
use thiserror::Error;

use crate::budget::Budget;
use crate::gossip::{self, AddressAllowance};
use crate::handshake::{self, ExpectVersion, Phase};
use crate::inbound::Inbound;
use crate::keepalive::Keepalive;
use crate::outbox::Outbox;
use crate::patience::Patience;
use crate::requests::{Line, Requests};
use crate::{
    CloseReason, Config, Direction, Event, InboundId, Incompatibility, Now, PeerInfo, Request, RequestId, RequestKind,
    Response, Timer,
};

/// How many events may wait before nothing more is taken from the peer.
const MAX_EVENTS: usize = 16;

/// What [`Session::handle_bytes`] wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// More bytes: nothing in the buffer can be taken yet.
    NeedBytes,
    /// Another call: the buffer may hold another message.
    More,
    /// Its outputs drained: until then it takes nothing.
    Blocked,
}

/// The session takes no request of this kind at the moment.
///
/// So many are in flight already, cancelled ones counted until the peer's answers have gone past them; or the peer does not
/// read what it is sent; or there is no completed handshake. Any message of the peer's may change it, with or without an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many requests of kind {} in flight", .0.label())]
pub struct Busy(pub RequestKind);

/// One peer's side of the protocol.
///
/// Methods are of four kinds: getters; `handle_*`, which take what the world does; requests, responses and [`close`], which
/// take what the application wants; and `poll_*`, which give what is to be done. After any of the others, the driver polls
/// transmissions, then events, then the deadline, until there is nothing.
///
/// # Fairness
/// While the session is [`Step::Blocked`] it is we who do not read, and the peer's deadlines stand still: all of them while
/// our events are not drained; while it is the peer's own questions that wait, only those that could end the connection,
/// since else it could put off its answers by asking. When reading goes on after a stop, no deadline passes until what has
/// piled up meanwhile has had as long as the stop, at most a second, to be read. A driver in turn offers what it has read
/// before it lets time pass, calls [`handle_bytes`] until it wants bytes or is blocked, leaves events where they are while
/// its own consumer is full, and answers every question within a bound.
///
/// # Security
/// Everything that a peer can make a session hold is bounded; beyond a bound nothing is read. [`buffered_bytes`] tells how
/// much it is.
///
/// [`close`]: Self::close
/// [`handle_bytes`]: Self::handle_bytes
/// [`buffered_bytes`]: Self::buffered_bytes
#[derive(Debug)]
pub struct Session {
    config: Config,
    now: Now,
    decoder: Decoder,
    rng: ChaCha8Rng,
    phase: Phase,
    began: Duration,
    remote: Option<Version>,
    is_closed: bool,
    outbox: Outbox,
    events: VecDeque<Event>,
    keepalive: Keepalive,
    requests: Requests,
    inbound: Inbound,
    budget: Budget,
    allowance: AddressAllowance,
    frame_began: Option<Duration>,
    /// How much of the frame in progress the decoder has taken off the buffer.
    frame_bytes: usize,
    /// Stands still whenever nothing is read: for the deadlines that end the connection.
    reading: Patience,
    /// Stands still while it is we who hold up reading: for the deadlines of requests.
    waiting: Patience,
}

impl Session {
    /// Begins a connection.
    #[must_use]
    pub fn new(config: Config, direction: Direction, seed: [u8; 32], now: Now) -> Self {
        let at = now.monotonic;
        let mut session = Self {
            now,
            decoder: Decoder::new(config.magic),
            rng: ChaCha8Rng::from_seed(seed),
            phase: Phase::ExpectVersion(ExpectVersion::new(direction)),
            began: at,
            remote: None,
            is_closed: false,
            outbox: Outbox::new(config.magic, at),
            events: VecDeque::new(),
            keepalive: Keepalive::new(at),
            requests: Requests::new(),
            inbound: Inbound::new(direction, config.addrv2, at),
            budget: Budget::new(at),
            allowance: AddressAllowance::new(at),
            frame_began: None,
            frame_bytes: 0,
            reading: Patience::default(),
            waiting: Patience::default(),
            config,
        };
        if direction == Direction::Outbound {
            session.introduce();
        }
        session
    }

    /// Takes at most one message from the front of the buffer.
    pub fn handle_bytes(&mut self, buffer: &mut BytesMut, now: Now) -> Step {
        self.tick(now);
        if self.is_closed || self.is_blocked() {
            return Step::Blocked;
        }
        let before = buffer.len();
        let decoded = self.decoder.decode(buffer);
        self.frame_bytes += before - buffer.len();
        match decoded {
            Err(error) => self.close(CloseReason::Malformed(error)),
            Ok(None) => {
                if self.decoder.is_mid_frame(buffer) && self.frame_began.is_none() {
                    self.frame_began = Some(self.reading.read(self.now.monotonic));
                }
                return Step::NeedBytes;
            }
            Ok(Some(decoded)) => {
                self.frame_began = None;
                let bytes = std::mem::take(&mut self.frame_bytes);
                self.take(decoded, bytes);
                self.pump();
            }
        }
        if self.is_closed { Step::Blocked } else { Step::More }
    }

    /// Says that the peer will send no more, and that everything it sent has been handed over.
    pub fn handle_eof(&mut self, now: Now) {
        self.tick(now);
        self.close(CloseReason::ClosedByPeer);
    }

    /// Lets every deadline pass that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        self.tick(now);
        if self.is_closed {
            return;
        }
        if let Some(timer) = self.overdue() {
            return self.close(CloseReason::TimedOut(timer));
        }
        self.beat();
        self.requests.expire(&self.waiting, self.now.monotonic);
        self.pump();
    }

    /// Asks the peer something, or tells it something.
    ///
    /// Ends with one [`Event::Response`], unless it is cancelled. Blocks and transactions are asked for once however often
    /// a request names them, and an empty request for them is complete at once. Of two requests that name the same block
    /// each asks for it, and the first copy answers both.
    ///
    /// # Errors
    /// [`Busy`] if the session takes no request of this kind at the moment: nothing was sent.
    pub fn request(&mut self, request: &Request, now: Now) -> Result<RequestId, Busy> {
        self.tick(now);
        let kind = request.kind();
        let Some(negotiated) = self.info().map(|info| info.negotiated) else { return Err(Busy(kind)) };
        let statement = gossip::statement(request, negotiated, self.config.addrv2);
        if self.is_closed || (statement.is_some() && self.outbox.is_above_mark()) {
            return Err(Busy(kind));
        }
        let mut line = Line {
            outbox: &mut self.outbox,
            rng: &mut self.rng,
            negotiated,
            now: self.now.monotonic,
            clock: &self.waiting,
            timeout: self.config.timeouts.request,
        };
        let id = self.requests.begin(request, &mut line)?;
        if let Some(message) = statement {
            self.outbox.send(&message);
        }
        if kind == RequestKind::Peers {
            self.allowance.asked();
        }
        self.pump();
        Ok(id)
    }

    /// Forgets a request: its answer, should it come, is dropped.
    pub fn cancel(&mut self, id: RequestId) {
        self.requests.cancel(id);
        self.events.retain(|event| !matches!(event, Event::Response { id: ended, .. } if *ended == id));
    }

    /// Answers a question of the peer's. An answer of another kind than the question counts as [`Response::Nil`].
    ///
    /// Answers go out in the order of the questions, whatever the order of the calls.
    pub fn respond(&mut self, id: InboundId, response: Response) {
        if let Some(negotiated) = self.info().map(|info| info.negotiated) {
            self.inbound.respond(id, response, negotiated, &self.outbox);
            self.pump();
        }
    }

    /// Raises the least version that the peer must speak.
    ///
    /// A peer that speaks less is told so, and the session ends: for when an upgrade activates.
    pub fn set_floor(&mut self, floor: ProtocolVersion) {
        self.config.floor = floor;
        let known = self.remote.as_ref().map_or(Ok(()), |remote| handshake::check_floor(remote.version, floor));
        if let Err(obsolete) = known {
            self.refuse(obsolete);
        }
    }

    /// Ends the session.
    ///
    /// What is queued for the peer can still be polled; everything else stops.
    pub fn close(&mut self, reason: CloseReason) {
        if self.is_closed {
            return;
        }
        self.is_closed = true;
        self.inbound.clear();
        self.requests.close(&reason);
        self.collect();
        self.events.push_back(Event::Closed(reason));
    }

    /// Returns the next bytes for the peer. To be asked only when they can be written.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        let piece = self.outbox.take()?;
        self.pump();
        Some(piece)
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Returns the next deadline, on the scale of [`Now::monotonic`], and what it is for.
    ///
    /// A deadline may turn out to have moved when it is reached; then nothing happens and the next is later.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Duration, Timer)> {
        if self.is_closed {
            return None;
        }
        let timeouts = &self.config.timeouts;
        let (reads, waits) = (!self.is_blocked(), !self.holds_up());
        let on = |clock: &Patience, (at, timer): (Duration, Timer)| (clock.when(at), timer);
        let deadlines = [
            self.shakes_hands().then(|| (handshake::deadline(&self.config, self.began), Timer::Handshake)),
            self.outbox.deadline(timeouts.write).map(|at| (at, Timer::Write)),
            self.frame_deadline().filter(|_| reads).map(|at| on(&self.reading, (at, Timer::Frame))),
            self.keepalive.deadline().filter(|_| reads).map(|beat| on(&self.reading, beat)),
            self.keepalive.next().filter(|_| !self.shakes_hands()).map(|at| (at, Timer::Heartbeat)),
            self.requests.deadline().filter(|_| waits).map(|(at, id)| on(&self.waiting, (at, Timer::Request(id)))),
            self.inbound.throttled_until().map(|at| (at, Timer::Question)),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// Returns what the peer said of itself, once it has, though it was refused for it.
    #[must_use]
    pub const fn remote(&self) -> Option<&Version> {
        self.remote.as_ref()
    }

    /// Returns what the completed handshake told.
    #[must_use]
    pub const fn info(&self) -> Option<&PeerInfo> {
        self.phase.info()
    }

    /// Returns whether the peer is known to have something to send: its part of the handshake, the rest of a frame, or an
    /// answer. Waiting for its bytes costs time only then.
    #[must_use]
    pub fn awaits_bytes(&self) -> bool {
        self.shakes_hands() || self.frame_began.is_some() || self.requests.awaits_answers()
    }

    /// Returns whether the session has ended.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// Returns how many bytes of the peer's and for the peer the session holds, outside the events not yet polled.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.outbox.bytes() + self.inbound.bytes() + self.requests.bytes()
    }

    /// Tells every clock the time.
    fn tick(&mut self, now: Now) {
        let monotonic = now.monotonic.max(self.now.monotonic);
        self.now = Now { monotonic, ..now };
        self.outbox.tick(monotonic);
        self.stop_clocks();
        if !self.is_blocked() {
            self.reading.go_on(monotonic);
        }
        if !self.holds_up() {
            self.waiting.go_on(monotonic);
        }
        self.keepalive.tick(&self.outbox, &self.reading, monotonic);
    }

    /// Stops the clocks of a session that reads nothing. They go on when time is told next.
    fn stop_clocks(&mut self) {
        if self.is_blocked() {
            self.reading.stop(self.now.monotonic);
        }
        if self.holds_up() {
            self.waiting.stop(self.now.monotonic);
        }
    }

    /// Returns whether nothing more is to be read.
    fn is_blocked(&self) -> bool {
        self.holds_up() || self.inbound.is_full()
    }

    /// Returns whether it is we alone who hold up reading.
    fn holds_up(&self) -> bool {
        self.events.len() >= MAX_EVENTS
    }

    const fn shakes_hands(&self) -> bool {
        !matches!(self.phase, Phase::Ready(_))
    }

    fn frame_deadline(&self) -> Option<Duration> {
        Some(self.frame_began?.saturating_add(self.config.timeouts.frame))
    }

    /// Returns a passed deadline that ends the session.
    fn overdue(&self) -> Option<Timer> {
        let now = self.now.monotonic;
        if self.shakes_hands() && now >= handshake::deadline(&self.config, self.began) {
            return Some(Timer::Handshake);
        }
        if self.outbox.deadline(self.config.timeouts.write).is_some_and(|at| now >= at) {
            return Some(Timer::Write);
        }
        if self.frame_deadline().is_some_and(|at| self.reading.is_due(at, now)) {
            return Some(Timer::Frame);
        }
        self.keepalive.overdue(&self.reading, now)
    }

    /// Turns the peer away; one that is obsolete is told so.
    fn refuse(&mut self, reason: Incompatibility) {
        if !self.is_closed && matches!(reason, Incompatibility::Obsolete { .. }) {
            let text = format!("version must be {} or greater", self.config.floor);
            self.outbox.send(&Message::Reject(Reject::new(Command::Version, RejectCode::OBSOLETE, &text)));
        }
        self.close(CloseReason::Incompatible(reason));
    }

    fn beat(&mut self) {
        let now = self.now.monotonic;
        if !self.shakes_hands() && self.keepalive.is_due(now) {
            let (nonce, asked) = (self.rng.next_u64(), self.requests.asked());
            self.keepalive.beat(nonce, asked, &mut self.outbox, &self.reading, &self.config.timeouts, now);
        }
    }

    /// Moves what has become possible: answers to the outbox, questions and ended requests to the events.
    fn pump(&mut self) {
        if !self.is_closed {
            self.inbound.pump(&mut self.outbox, &mut self.events, self.now.monotonic);
            self.collect();
            self.stop_clocks();
        }
    }

    fn collect(&mut self) {
        while let Some((id, result)) = self.requests.poll() {
            self.events.push_back(Event::Response { id, result });
        }
    }
}
