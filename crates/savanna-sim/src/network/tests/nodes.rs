//! A node that does what the test says and writes down what it is told.

use savanna_peer::{Config, Event, SelfKey};

use super::*;
use crate::config;

/// What a [`Talker`] keeps.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Failed(Unreachable),
    Closed(CloseReason),
}

fn config_of(number: u16) -> Config {
    let mut secret = [0; 32];
    secret[..2].copy_from_slice(&number.to_le_bytes());
    Config { self_key: SelfKey::new(secret), ..config(0) }
}

/// Sessions, and notes on their ends.
#[derive(Debug)]
pub(super) struct Talker {
    sessions: Sessions,
    said: Vec<Said>,
    round_trips: Vec<Duration>,
    began: Vec<Duration>,
}

impl Talker {
    pub(super) fn new(number: u16) -> Self {
        let sessions = Sessions::new(config_of(number));
        Self { sessions, said: Vec::new(), round_trips: Vec::new(), began: Vec::new() }
    }

    pub(super) fn peers(&self) -> usize {
        self.sessions.established().count()
    }

    pub(super) fn said(&self) -> &[Said] {
        &self.said
    }

    pub(super) fn round_trips(&self) -> &[Duration] {
        &self.round_trips
    }

    /// When the first handshake was complete.
    pub(super) fn began_at(&self) -> Duration {
        self.began[0]
    }

    fn listen(&mut self, host: &Host<'_>) {
        while let Some((_, event)) = self.sessions.poll_event() {
            match event {
                Event::Closed(reason) => self.said.push(Said::Closed(reason)),
                Event::RoundTrip(took) => self.round_trips.push(took),
                Event::Established(_) => self.began.push(host.now().monotonic),
                Event::Response { .. } | Event::Request { .. } | Event::Gossip(_) => {}
            }
        }
    }
}

impl Node for Talker {
    fn on_connected(&mut self, connection: Connection, host: &mut Host<'_>) {
        self.sessions.handle_connected(connection, host);
        self.listen(host);
    }

    fn on_failed(&mut self, _: Connection, failure: Unreachable, _: &mut Host<'_>) {
        self.said.push(Said::Failed(failure));
    }

    fn on_bytes(&mut self, id: ConnectionId, bytes: bytes::Bytes, host: &mut Host<'_>) {
        self.sessions.handle_bytes(id, &bytes, host);
        self.listen(host);
    }

    fn on_writable(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.sessions.handle_writable(id, host);
        self.listen(host);
    }

    fn on_closed(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.sessions.handle_closed(id, host);
        self.listen(host);
    }

    fn on_timer(&mut self, host: &mut Host<'_>) {
        self.sessions.handle_timeout(host);
        self.listen(host);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        self.sessions.poll_timeout()
    }
}
