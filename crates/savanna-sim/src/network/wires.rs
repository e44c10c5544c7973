//! Machines and the lines between them: what TCP and the internet would do, without the nodes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_peer::{Direction, Now};

use super::link::{End, EndState, Link, Segment};
use super::queue::{Happening, Queue};
use super::trace::Trace;
use super::{Conditions, Connection, ConnectionId, HostId};

mod outages;

/// What the virtual clock shows at the start, in Unix seconds.
const EPOCH: i64 = 1_800_000_000;

/// How long TCP tries to get a segment through before it tells its owner that the connection is lost.
const PATIENCE: Duration = Duration::from_secs(924);

/// A host without its node.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) address: SocketAddr,
    pub(super) is_up: bool,
    pub(super) listens: bool,
    pub(super) rng: ChaCha8Rng,
    /// Whether nobody is told that the host is down.
    is_dark: bool,
    side: u32,
    /// The earliest wake that is scheduled; later ones are overtaken.
    wake: Option<Duration>,
}

/// Everything of a network but its nodes.
#[derive(Debug)]
pub(super) struct Wires {
    pub(super) seed: u64,
    pub(super) conditions: Conditions,
    pub(super) trace: Trace,
    now: Duration,
    rng: ChaCha8Rng,
    queue: Queue,
    machines: Vec<Machine>,
    addresses: BTreeMap<SocketAddr, HostId>,
    links: BTreeMap<u32, Link>,
    next_link: u32,
}

/// What a dial comes upon.
#[derive(Debug)]
pub(super) enum Accepted {
    By(HostId, Connection),
    Refused,
    /// Nothing, or nobody who waits for it.
    Lost,
}

/// What an arrival brings.
#[derive(Debug)]
pub(super) enum Arrived {
    Bytes(HostId, Bytes),
    /// The other end has closed.
    End,
    /// This end is not known any more, which the other end is told.
    Reset,
    Nothing,
}

impl Wires {
    pub(super) fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            seed,
            conditions,
            trace: Trace::default(),
            now: Duration::ZERO,
            rng: ChaCha8Rng::seed_from_u64(seed),
            queue: Queue::default(),
            machines: Vec::new(),
            addresses: BTreeMap::new(),
            links: BTreeMap::new(),
            next_link: 0,
        }
    }

    pub(super) fn add(&mut self, address: SocketAddr) -> HostId {
        let id = HostId(u32::try_from(self.machines.len()).unwrap_or(u32::MAX));
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(u64::from(id.0) + 1);
        let (is_up, listens, is_dark) = (true, true, false);
        self.machines.push(Machine { address, is_up, listens, rng, is_dark, side: 0, wake: None });
        self.claim(id, address);
        id
    }

    pub(super) fn claim(&mut self, host: HostId, address: SocketAddr) {
        let before = self.addresses.insert(address, host);
        assert!(before.is_none(), "two hosts at {address}");
    }

    pub(super) fn machine(&self, host: HostId) -> &Machine {
        &self.machines[host.index()]
    }

    pub(super) fn machine_mut(&mut self, host: HostId) -> &mut Machine {
        &mut self.machines[host.index()]
    }

    pub(super) fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        self.addresses.get(&address).copied()
    }

    pub(super) const fn now(&self) -> Now {
        Now { monotonic: self.now, unix: EPOCH + self.now.as_secs().cast_signed() }
    }

    pub(super) fn set_clock(&mut self, at: Duration) {
        self.now = self.now.max(at);
    }

    pub(super) fn schedule(&mut self, after: Duration, happening: Happening) {
        self.queue.push(self.now + after, happening);
    }

    pub(super) fn pop_until(&mut self, end: Duration) -> Option<(Duration, Happening)> {
        self.queue.pop_until(end)
    }

    /// Sees to it that a node is woken at its deadline.
    pub(super) fn set_wake(&mut self, host: HostId, deadline: Option<Duration>) {
        let Some(at) = deadline.map(|at| at.max(self.now)) else { return };
        let machine = &mut self.machines[host.index()];
        if machine.is_up && machine.wake.is_none_or(|wake| at < wake) {
            machine.wake = Some(at);
            self.queue.push(at, Happening::Wake(host));
        }
    }

    /// Returns whether this wake is the one that was scheduled last.
    pub(super) fn take_wake(&mut self, host: HostId) -> bool {
        let now = self.now;
        let machine = self.machine_mut(host);
        machine.is_up && machine.wake.take_if(|wake| *wake == now).is_some()
    }

    pub(super) fn dial(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) -> ConnectionId {
        let conditions = self.conditions;
        let latency = conditions.draw_latency(&mut || unit(&mut self.rng));
        let delay = latency + conditions.draw_delay(&mut || unit(&mut self.rng));
        let id = ConnectionId { link: self.next_link, direction: Direction::Outbound };
        self.next_link += 1;
        self.links.insert(id.link, Link::new(host, from, to, latency));
        self.schedule(delay, Happening::Syn(id));
        self.schedule(conditions.dial_timeout, Happening::DialTimeout(id));
        id
    }

    /// Lets a dial arrive.
    pub(super) fn accept(&mut self, id: ConnectionId) -> Accepted {
        let Some(link) = self.links.get(&id.link) else { return Accepted::Lost };
        let [dialer, acceptor] = link.ends;
        let Some((from, to)) = dialer.host.zip(self.host_at(acceptor.address)) else { return Accepted::Lost };
        let machine = self.machine(to);
        if machine.is_dark || !self.is_joined(from, to) || dialer.state != EndState::Opening {
            return Accepted::Lost;
        }
        if !machine.is_up || !machine.listens {
            // The refusal takes its time back, but nothing depends on how long.
            return Accepted::Refused;
        }
        let latency = link.latency;
        let other = id.other();
        self.schedule(latency, Happening::SynAck(id));
        let Some(link) = self.links.get_mut(&id.link) else { return Accepted::Lost };
        link.ends[other.index()] = End { host: Some(to), state: EndState::Open, ..acceptor };
        // Nothing that the acceptor sends is there before the dialling end is open.
        link.pipes[id.index()].last_arrival = self.now + latency;
        Accepted::By(to, link.seen_by(other))
    }

    /// Opens the end that dialled.
    pub(super) fn establish(&mut self, id: ConnectionId) -> Option<(HostId, Connection)> {
        let [dialer, acceptor] = self.links.get(&id.link)?.ends;
        if dialer.state != EndState::Opening || !self.is_joined(dialer.host?, acceptor.host?) {
            return None;
        }
        let link = self.links.get_mut(&id.link)?;
        link.ends[id.index()].state = EndState::Open;
        Some((dialer.host?, link.seen_by(id)))
    }

    /// Ends a dial that has led nowhere.
    pub(super) fn fail(&mut self, id: ConnectionId) -> Option<(HostId, Connection)> {
        let link = self.links.get(&id.link)?;
        let end = link.ends[id.index()];
        if end.state != EndState::Opening {
            return None;
        }
        let connection = link.seen_by(id);
        self.close(id);
        Some((end.host?, connection))
    }

    /// Returns whose open end this is.
    pub(super) fn holder(&self, id: ConnectionId) -> Option<HostId> {
        let end = self.links.get(&id.link)?.ends[id.index()];
        (end.state == EndState::Open).then_some(end.host).flatten()
    }

    pub(super) fn room(&mut self, id: ConnectionId) -> usize {
        let Some(link) = self.links.get_mut(&id.link) else { return 0 };
        let pipe = &mut link.pipes[id.other().index()];
        pipe.is_awaited |= pipe.room() == 0;
        pipe.room()
    }

    pub(super) fn send(&mut self, id: ConnectionId, bytes: Bytes) {
        if !bytes.is_empty() && self.holder(id).is_some() {
            self.post(id.other(), Segment::Data(bytes));
        }
    }

    /// Puts a segment on its way to an end.
    fn post(&mut self, to: ConnectionId, segment: Segment) {
        let conditions = self.conditions;
        let late = conditions.draw_delay(&mut || unit(&mut self.rng));
        let now = self.now;
        let Some(link) = self.links.get_mut(&to.link) else { return };
        let latency = link.latency;
        let pipe = &mut link.pipes[to.index()];
        pipe.busy_until = pipe.busy_until.max(now) + conditions.transmission(segment.len());
        let arrival = (pipe.busy_until + latency + late).max(pipe.last_arrival);
        pipe.last_arrival = arrival;
        pipe.bytes += segment.len();
        pipe.segments.push_back((arrival, segment));
        self.queue.push(arrival, Happening::Arrival(to));
    }

    /// Takes what has arrived at an end by now: one segment.
    pub(super) fn take_arrived(&mut self, id: ConnectionId) -> Arrived {
        let now = self.now;
        let Some(link) = self.links.get(&id.link) else { return Arrived::Nothing };
        let [end, other] = [link.ends[id.index()], link.ends[id.other().index()]];
        if link.pipes[id.index()].segments.front().is_none_or(|(at, _)| *at > now) {
            return Arrived::Nothing;
        }
        let reaches = end.host.zip(other.host).is_some_and(|(to, from)| self.is_joined(to, from));
        let is_dark = end.host.is_some_and(|host| self.machine(host).is_dark);
        if !reaches || is_dark {
            self.stall(id);
            return Arrived::Nothing;
        }
        match end.state {
            EndState::Open => self.take_segment(id),
            EndState::Forgotten => Arrived::Reset,
            EndState::Opening | EndState::Closed => Arrived::Nothing,
        }
    }

    fn take_segment(&mut self, id: ConnectionId) -> Arrived {
        let Some(link) = self.links.get_mut(&id.link) else { return Arrived::Nothing };
        let latency = link.latency;
        let host = link.ends[id.index()].host;
        let pipe = &mut link.pipes[id.index()];
        if pipe.is_paused {
            return Arrived::Nothing;
        }
        let segment = pipe.segments.pop_front().map(|(_, segment)| segment);
        pipe.bytes -= segment.as_ref().map_or(0, Segment::len);
        if pipe.is_awaited && pipe.room() > 0 {
            pipe.is_awaited = false;
            self.schedule(latency, Happening::Writable(id.other()));
        }
        match (segment, host) {
            (Some(Segment::Data(bytes)), Some(host)) => Arrived::Bytes(host, bytes),
            (Some(Segment::Fin), _) => Arrived::End,
            (Some(Segment::Data(_)) | None, _) => Arrived::Nothing,
        }
    }

    /// Notes that what should have arrived does not; after long enough TCP gives up.
    fn stall(&mut self, id: ConnectionId) {
        let now = self.now;
        if let Some(link) = self.links.get_mut(&id.link)
            && link.pipes[id.index()].stalled_since.is_none()
        {
            link.pipes[id.index()].stalled_since = Some(now);
            self.schedule(PATIENCE, Happening::GiveUp(id));
        }
    }

    /// Returns whether what is on its way to an end has been so for too long.
    pub(super) fn is_given_up(&self, id: ConnectionId) -> bool {
        let stalled = self.links.get(&id.link).and_then(|link| link.pipes[id.index()].stalled_since);
        stalled.is_some_and(|since| self.now >= since + PATIENCE)
    }

    pub(super) fn pause(&mut self, id: ConnectionId, is_paused: bool) {
        let now = self.now;
        let Some(link) = self.links.get_mut(&id.link) else { return };
        let pipe = &mut link.pipes[id.index()];
        if pipe.is_paused && !is_paused {
            let waiting = pipe.segments.iter().take_while(|(at, _)| *at <= now).count();
            (0..waiting).for_each(|_| self.queue.push(now, Happening::Arrival(id)));
        }
        pipe.is_paused = is_paused;
    }

    /// Closes an end, and lets the other one know behind everything else.
    pub(super) fn close(&mut self, id: ConnectionId) {
        let Some(link) = self.links.get_mut(&id.link) else { return };
        let end = &mut link.ends[id.index()];
        if matches!(end.state, EndState::Closed | EndState::Forgotten) {
            return;
        }
        end.state = EndState::Closed;
        match link.ends[id.other().index()].state {
            EndState::Open => self.post(id.other(), Segment::Fin),
            EndState::Opening if id.direction == Direction::Outbound => self.forget(id.link),
            EndState::Opening => self.post(id.other(), Segment::Fin),
            EndState::Closed | EndState::Forgotten => self.forget(id.link),
        }
    }

    /// Closes an end because the other one is gone; returns whose it was.
    pub(super) fn lose(&mut self, id: ConnectionId) -> Option<HostId> {
        let host = self.holder(id)?;
        let link = self.links.get_mut(&id.link)?;
        link.ends[id.index()].state = EndState::Forgotten;
        if link.is_over() {
            self.forget(id.link);
        }
        Some(host)
    }

    fn forget(&mut self, link: u32) {
        self.links.remove(&link);
    }

    fn is_joined(&self, one: HostId, two: HostId) -> bool {
        self.machine(one).side == self.machine(two).side
    }
}

/// Draws from 0 to 1, without 1.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / (f64::from(u32::MAX) + 1.0)
}
