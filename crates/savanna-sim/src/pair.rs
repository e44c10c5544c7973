//! Two sessions joined by pipes.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_peer::{Config, Direction, Event, Now, Request, RequestError, Response, Session};

use crate::{Endpoint, config};

/// What the virtual clock shows at the start, in Unix seconds.
const EPOCH: i64 = 1_800_000_000;

/// How long the clock may stand still while things happen, in turns: beyond, the sessions are talking in circles.
const MAX_TURNS: usize = 1_000_000;

/// Two nodes, one connection, one virtual clock.
#[derive(Debug)]
pub struct Pair {
    /// The side that dialled.
    pub outbound: Endpoint,
    /// The side that was dialled.
    pub inbound: Endpoint,
    /// How long bytes are on their way.
    pub latency: Duration,
    rng: ChaCha8Rng,
    cuts: bool,
    now: Duration,
}

impl Pair {
    /// Joins two nodes of the usual configuration.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with(config(1), config(2), seed)
    }

    /// Joins two nodes: the first dials.
    #[must_use]
    pub fn with(outbound: Config, inbound: Config, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut session = |config, direction| {
            let mut seed = [0; 32];
            rng.fill_bytes(&mut seed);
            Endpoint::new(Session::new(config, direction, seed, now(Duration::ZERO)))
        };
        let (outbound, inbound) = (session(outbound, Direction::Outbound), session(inbound, Direction::Inbound));
        Self { outbound, inbound, latency: Duration::from_millis(10), rng, cuts: false, now: Duration::ZERO }
    }

    /// Joins two nodes and lets them shake hands. Events up to there are gone.
    ///
    /// # Panics
    /// If they do not agree.
    #[must_use]
    pub fn established(seed: u64) -> Self {
        let mut pair = Self::new(seed);
        pair.drive();
        assert!(pair.outbound.session.info().is_some() && pair.inbound.session.info().is_some(), "no handshake");
        pair.outbound.events();
        pair.inbound.events();
        pair
    }

    /// Cuts the streams at random places.
    #[must_use]
    pub const fn cut(mut self) -> Self {
        self.cuts = true;
        self
    }

    /// Returns what the clock shows.
    #[must_use]
    pub const fn now(&self) -> Now {
        now(self.now)
    }

    /// Delivers everything that is on its way, and all that follows from it; lets no deadline pass.
    pub fn drive(&mut self) {
        loop {
            self.settle();
            let Some(arrival) = self.next_arrival() else { return };
            self.now = arrival;
        }
    }

    /// Delivers, and lets deadlines pass, until the clock has gone on by `duration`.
    pub fn drive_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            self.settle();
            let Some(next) = self.next().filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            self.settle();
            self.time_out();
        }
        self.now = end;
        self.settle();
    }

    /// Lets the outbound side ask something, and drives until it is answered or nothing is on its way.
    ///
    /// Events that are no answer to it stay where they are.
    ///
    /// # Errors
    /// What ended the request instead of an answer.
    ///
    /// # Panics
    /// If the session is busy, or the request is not answered.
    pub fn ask(&mut self, request: Request) -> Result<Response, RequestError> {
        let now = self.now();
        let id = self.outbound.session.request(&request, now).expect("the session takes the request");
        self.drive();
        let mut others = self.outbound.events();
        let answered = |event: &Event| matches!(event, Event::Response { id: ended, .. } if *ended == id);
        let at = others.iter().position(answered).expect("the request is answered");
        let Event::Response { result, .. } = others.remove(at) else { unreachable!("it was found as an answer") };
        self.outbound.restore(others);
        result
    }

    /// Returns the next moment at which anything happens by itself.
    fn next(&self) -> Option<Duration> {
        let timeouts = [&self.outbound, &self.inbound].map(|side| side.session.poll_timeout().map(|(at, _)| at));
        timeouts.into_iter().chain([self.next_arrival()]).flatten().min()
    }

    /// Returns when bytes arrive. What has arrived and is not read waits for a session that is blocked.
    fn next_arrival(&self) -> Option<Duration> {
        let arrivals = [self.outbound.next_arrival(), self.inbound.next_arrival()].into_iter().flatten();
        arrivals.filter(|arrival| *arrival > self.now).min()
    }

    /// Runs both sides until neither has anything to do at this moment.
    fn settle(&mut self) {
        let now = self.now();
        for _ in 0..MAX_TURNS {
            self.choose_pieces();
            let moved = [
                self.outbound.turn(now),
                self.inbound.turn(now),
                transmit(&mut self.outbound, &mut self.inbound, self.now + self.latency),
                transmit(&mut self.inbound, &mut self.outbound, self.now + self.latency),
            ];
            if moved == [false; 4] {
                return;
            }
        }
        panic!("the sessions are talking in circles at {:?}", self.now);
    }

    fn choose_pieces(&mut self) {
        if self.cuts {
            for side in [&mut self.outbound, &mut self.inbound] {
                side.piece = 1 + self.rng.next_u32() as usize % 300;
            }
        }
    }

    fn time_out(&mut self) {
        let now = self.now();
        for side in [&mut self.outbound, &mut self.inbound] {
            if side.session.poll_timeout().is_some_and(|(at, _)| at <= now.monotonic) {
                side.session.handle_timeout(now);
            }
        }
    }
}

const fn now(monotonic: Duration) -> Now {
    Now { monotonic, unix: EPOCH + monotonic.as_secs().cast_signed() }
}

/// Moves what one side has to say into the pipe of the other, as far as that has room.
fn transmit(from: &mut Endpoint, to: &mut Endpoint, arrival: Duration) -> bool {
    let mut has_moved = false;
    while to.has_room()
        && let Some(bytes) = from.session.poll_transmit()
    {
        to.post(bytes, arrival);
        has_moved = true;
    }
    has_moved
}
