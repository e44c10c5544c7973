//! A session whose peer is played by hand.

use std::time::Duration;

use bytes::BytesMut;
use savanna_peer::{Config, Direction, Event, Now, Request, RequestId, Session, Step};
use savanna_wire::{Decoded, Decoder, Magic, Message, ProtocolVersion, encode};

use crate::version;

/// One session under test; what its peer does is for the test to say.
#[derive(Debug)]
pub struct Puppet {
    /// The session under test.
    pub session: Session,
    /// What the clock shows.
    pub now: Now,
    magic: Magic,
    decoder: Decoder,
    buffer: BytesMut,
    heard: BytesMut,
}

impl Puppet {
    /// Begins a connection: the session under test has `direction`.
    #[must_use]
    pub fn new(config: Config, direction: Direction) -> Self {
        let (magic, negotiated) = (config.magic, config.version);
        let now = Now::from_millis(0, 1_800_000_000);
        let session = Session::new(config, direction, [7; 32], now);
        let mut decoder = Decoder::new(magic);
        decoder.complete_handshake(negotiated);
        Self { session, now, magic, decoder, buffer: BytesMut::new(), heard: BytesMut::new() }
    }

    /// Begins a connection and shakes hands. The first heartbeat is answered; what was said and reported is gone.
    ///
    /// # Panics
    /// If the session does not agree.
    #[must_use]
    pub fn established(config: Config, direction: Direction) -> Self {
        let mut puppet = Self::new(config, direction);
        puppet.say(&Message::Version(version(1)));
        puppet.say(&Message::Verack);
        assert!(puppet.session.info().is_some(), "no handshake");
        puppet.answer_pings();
        puppet.events();
        puppet
    }

    /// Sends a message to the session.
    pub fn say(&mut self, message: &Message) -> Step {
        let frame = encode(message, self.magic).concat();
        self.say_bytes(&frame)
    }

    /// Sends bytes to the session, and lets it take what it wants.
    pub fn say_bytes(&mut self, bytes: &[u8]) -> Step {
        self.buffer.extend_from_slice(bytes);
        self.resume()
    }

    /// Lets the session go on with what it has not taken.
    pub fn resume(&mut self) -> Step {
        loop {
            match self.session.handle_bytes(&mut self.buffer, self.now) {
                Step::More => {}
                step @ (Step::NeedBytes | Step::Blocked) => return step,
            }
        }
    }

    /// Returns how many bytes the session has not taken.
    #[must_use]
    pub fn untaken(&self) -> usize {
        self.buffer.len()
    }

    /// Takes everything that the session sends.
    ///
    /// # Panics
    /// If that is not a sequence of messages.
    pub fn hear(&mut self) -> Vec<Message> {
        while let Some(bytes) = self.session.poll_transmit() {
            self.heard.extend_from_slice(&bytes);
        }
        self.understand()
    }

    /// Takes one piece of what the session sends, as slow readers do; returns the messages that it completes.
    pub fn hear_some(&mut self) -> Option<Vec<Message>> {
        let bytes = self.session.poll_transmit()?;
        self.heard.extend_from_slice(&bytes);
        Some(self.understand())
    }

    fn understand(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(decoded) = self.decoder.decode(&mut self.heard).expect("the session sends frames") {
            match decoded {
                Decoded::Message(message) => messages.push(message),
                Decoded::Dropped { reason, .. } => panic!("the session sent what is dropped: {reason:?}"),
            }
        }
        messages
    }

    /// Takes everything that the session sends and answers its pings; returns the rest.
    pub fn answer_pings(&mut self) -> Vec<Message> {
        let mut others = self.hear();
        let mut nonces = Vec::new();
        others.retain(|message| {
            let Message::Ping(nonce) = message else { return true };
            nonces.push(*nonce);
            false
        });
        for nonce in nonces {
            self.say(&Message::Pong(nonce));
        }
        others
    }

    /// Takes what the session reports.
    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// Lets the session ask something.
    ///
    /// # Panics
    /// If it is busy.
    pub fn ask(&mut self, request: Request) -> RequestId {
        self.session.request(&request, self.now).expect("the session takes the request")
    }

    /// Moves the clock, and lets the session know of every deadline on the way.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now.monotonic + duration;
        while let Some((at, _)) = self.session.poll_timeout().filter(|(at, _)| *at <= end) {
            self.set_clock(at.max(self.now.monotonic));
            self.session.handle_timeout(self.now);
        }
        self.set_clock(end);
    }

    /// Moves the clock as a peer does that lives and answers nothing but heartbeats.
    ///
    /// Those are told from fences by when they are sent: as deadlines pass, not as something is asked.
    pub fn live(&mut self, duration: Duration) {
        self.hear();
        let end = self.now.monotonic + duration;
        while let Some((at, _)) = self.session.poll_timeout().filter(|(at, _)| *at <= end) {
            self.set_clock(at.max(self.now.monotonic));
            self.session.handle_timeout(self.now);
            self.answer_pings();
        }
        self.set_clock(end);
    }

    /// Returns what the peer would have negotiated.
    #[must_use]
    pub fn negotiated(&self) -> Option<ProtocolVersion> {
        self.session.info().map(|info| info.negotiated)
    }

    fn set_clock(&mut self, monotonic: Duration) {
        let passed = monotonic.saturating_sub(self.now.monotonic).as_secs().cast_signed();
        self.now = Now { monotonic, unix: self.now.unix + passed };
    }
}
