//! The sessions of one node, on the connections of its host.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rand_chacha::rand_core::Rng;
use savanna_peer::{
    Busy, CloseReason, Config, Direction, Event, InboundId, Request, RequestId, Response, Session, Step, Timeouts,
};

use super::{Connection, ConnectionId, Host};

/// Every session of a node, with the driver that sockets would need.
///
/// A node hands over what its host tells it, and takes the events. After [`Event::Closed`] the connection is closed and
/// the session gone.
#[derive(Debug)]
pub struct Sessions {
    config: Config,
    live: BTreeMap<ConnectionId, Live>,
    deadlines: BTreeSet<(Duration, ConnectionId)>,
    events: VecDeque<(Connection, Event)>,
}

#[derive(Debug)]
struct Live {
    connection: Connection,
    session: Session,
    buffer: BytesMut,
    deadline: Option<Duration>,
    is_paused: bool,
}

impl Sessions {
    /// Makes a node's sessions. Those of inbound connections have longer for the handshake.
    #[must_use]
    pub const fn new(config: Config) -> Self {
        Self { config, live: BTreeMap::new(), deadlines: BTreeSet::new(), events: VecDeque::new() }
    }

    /// Begins a session on a new connection.
    pub fn handle_connected(&mut self, connection: Connection, host: &mut Host<'_>) {
        let mut config = self.config.clone();
        let direction = connection.id.direction();
        if direction == Direction::Inbound {
            config.timeouts.handshake = config.timeouts.handshake.max(Timeouts::INBOUND.handshake);
        }
        let mut seed = [0; 32];
        host.rng().fill_bytes(&mut seed);
        let session = Session::new(config, direction, seed, host.now());
        let live = Live { connection, session, buffer: BytesMut::new(), deadline: None, is_paused: false };
        self.live.insert(connection.id, live);
        self.drive(connection.id, host);
    }

    /// Takes bytes of a peer's.
    pub fn handle_bytes(&mut self, id: ConnectionId, bytes: &Bytes, host: &mut Host<'_>) {
        if let Some(live) = self.live.get_mut(&id) {
            live.buffer.extend_from_slice(bytes);
            self.drive(id, host);
        }
    }

    /// Takes that a full pipe has room again.
    pub fn handle_writable(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.drive(id, host);
    }

    /// Takes that a peer is gone.
    pub fn handle_closed(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        if let Some(live) = self.live.get_mut(&id) {
            live.session.handle_eof(host.now());
            self.drive(id, host);
        }
    }

    /// Lets every deadline pass that is due.
    pub fn handle_timeout(&mut self, host: &mut Host<'_>) {
        let now = host.now();
        let due: Vec<_> = self.deadlines.iter().take_while(|(at, _)| *at <= now.monotonic).copied().collect();
        for (_, id) in due {
            if let Some(live) = self.live.get_mut(&id) {
                live.session.handle_timeout(now);
            }
            self.drive(id, host);
        }
    }

    /// Asks a peer something, or tells it something.
    ///
    /// # Errors
    /// [`Busy`] as the session says it, and if there is no such peer.
    pub fn request(&mut self, id: ConnectionId, request: Request, host: &mut Host<'_>) -> Result<RequestId, Busy> {
        let kind = request.kind();
        let asked = self.live.get_mut(&id).map(|live| live.session.request(&request, host.now()));
        self.drive(id, host);
        asked.unwrap_or(Err(Busy(kind)))
    }

    /// Answers a peer's question.
    pub fn respond(&mut self, id: ConnectionId, question: InboundId, response: Response, host: &mut Host<'_>) {
        if let Some(live) = self.live.get_mut(&id) {
            live.session.respond(question, response);
            self.drive(id, host);
        }
    }

    /// Ends a session, which is an event as any other end.
    pub fn close(&mut self, id: ConnectionId, reason: CloseReason, host: &mut Host<'_>) {
        if let Some(live) = self.live.get_mut(&id) {
            live.session.close(reason);
            self.drive(id, host);
        }
    }

    /// Returns the next event, with the connection on which it happened.
    pub fn poll_event(&mut self) -> Option<(Connection, Event)> {
        self.events.pop_front()
    }

    /// Returns the next deadline of any session.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Returns a session.
    #[must_use]
    pub fn session(&self, id: ConnectionId) -> Option<&Session> {
        self.live.get(&id).map(|live| &live.session)
    }

    /// Returns the connections whose handshake is complete.
    pub fn established(&self) -> impl Iterator<Item = Connection> {
        self.live.values().filter(|live| live.session.info().is_some()).map(|live| live.connection)
    }

    /// Lets a session take what is there and say what it has to say, until it has nothing to do.
    fn drive(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        let Some(live) = self.live.get_mut(&id) else { return };
        let is_blocked = loop {
            let step = live.session.handle_bytes(&mut live.buffer, host.now());
            let mut has_moved = step == Step::More;
            while let Some(event) = live.session.poll_event() {
                has_moved = true;
                self.events.push_back((live.connection, event));
            }
            while (live.session.is_closed() || host.room(id) > 0)
                && let Some(bytes) = live.session.poll_transmit()
            {
                has_moved = true;
                host.send(id, bytes);
            }
            if !has_moved {
                break step == Step::Blocked;
            }
        };
        if live.session.is_closed() {
            host.close(id);
            self.remove(id);
            return;
        }
        if is_blocked != live.is_paused {
            live.is_paused = is_blocked;
            host.pause(id, is_blocked);
        }
        let deadline = live.session.poll_timeout().map(|(at, _)| at);
        if deadline != live.deadline {
            let before = std::mem::replace(&mut live.deadline, deadline);
            before.map(|at| self.deadlines.remove(&(at, id)));
            deadline.map(|at| self.deadlines.insert((at, id)));
        }
    }

    fn remove(&mut self, id: ConnectionId) {
        if let Some(live) = self.live.remove(&id)
            && let Some(at) = live.deadline
        {
            self.deadlines.remove(&(at, id));
        }
    }
}
