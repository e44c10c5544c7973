//! One side of a connection: a session and the driver that a socket would need.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use savanna_peer::{Event, Now, Request, Response, Session, Step};

/// How many bytes a pipe holds before it takes no more: what two socket buffers hold.
const PIPE: usize = 256 * 1024;

/// A session with its pipe, its events, and a service that answers what the peer asks.
pub struct Endpoint {
    /// The session.
    pub session: Session,
    /// Whether events stay in the session, as when their consumer is busy.
    pub is_deaf: bool,
    /// Whether nothing is read from the pipe, as when the process is busy.
    pub is_asleep: bool,
    /// Every message is cut into pieces of this many bytes at most.
    pub piece: usize,
    pipe: VecDeque<(Duration, Bytes)>,
    buffer: BytesMut,
    events: Vec<Event>,
    service: Option<Service>,
}

type Service = Box<dyn FnMut(&Request) -> Response + Send>;

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(crate) fn new(session: Session) -> Self {
        Self {
            session,
            is_deaf: false,
            is_asleep: false,
            piece: usize::MAX,
            pipe: VecDeque::new(),
            buffer: BytesMut::new(),
            events: Vec::new(),
            service: None,
        }
    }

    /// Answers what the peer asks by `service`; without one, questions are events like others.
    pub fn serve(&mut self, service: impl FnMut(&Request) -> Response + Send + 'static) {
        self.service = Some(Box::new(service));
    }

    /// Takes the events that happened.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Puts events back in front of those that happen next.
    pub(crate) fn restore(&mut self, events: Vec<Event>) {
        self.events.splice(0..0, events);
    }

    /// Returns how many bytes are on their way to the session.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.buffer.len() + self.pipe.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    /// Returns whether the pipe takes more.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight() < PIPE
    }

    /// Puts bytes into the pipe towards this side.
    pub(crate) fn post(&mut self, bytes: Bytes, arrival: Duration) {
        self.pipe.push_back((arrival, bytes));
    }

    /// Returns when the next bytes arrive.
    pub(crate) fn next_arrival(&self) -> Option<Duration> {
        if self.is_asleep { None } else { self.pipe.front().map(|(arrival, _)| *arrival) }
    }

    /// Reads what has arrived and takes what comes of it; returns whether anything happened.
    pub(crate) fn turn(&mut self, now: Now) -> bool {
        let mut has_moved = self.read(now);
        while !self.is_deaf
            && let Some(event) = self.session.poll_event()
        {
            has_moved = true;
            self.take(event);
        }
        has_moved
    }

    fn read(&mut self, now: Now) -> bool {
        let mut has_moved = false;
        while !self.is_asleep {
            match self.session.handle_bytes(&mut self.buffer, now) {
                Step::More => has_moved = true,
                Step::Blocked => break,
                Step::NeedBytes => match self.pipe.front_mut() {
                    Some((arrival, bytes)) if *arrival <= now.monotonic => {
                        self.buffer.extend_from_slice(&bytes.split_to(self.piece.min(bytes.len())));
                        if bytes.is_empty() {
                            self.pipe.pop_front();
                        }
                        has_moved = true;
                    }
                    Some(_) | None => break,
                },
            }
        }
        has_moved
    }

    fn take(&mut self, event: Event) {
        match (event, &mut self.service) {
            (Event::Request { id, request }, Some(service)) => {
                let response = service(&request);
                self.session.respond(id, response);
            }
            (event, _) => self.events.push(event),
        }
    }
}
