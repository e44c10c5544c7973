//! A network of hosts under one virtual clock: they dial one another, lines delay and lose, partitions and deaths happen.
//!
//! A [`Network`] runs [`Node`]s. What a node does, it does through its [`Host`], when it is told that something happened.
//! [`Sessions`] is what a node of this project is built on. Everything follows from the seed: two runs that differ in
//! their [`Network::trace_hash`] had different seeds, conditions, nodes or tests.

mod conditions;
mod host;
mod link;
mod node;
mod queue;
mod seeds;
mod sessions;
mod trace;
mod wires;

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use savanna_peer::Now;

pub use conditions::Conditions;
pub use host::Host;
pub use link::{Connection, ConnectionId};
pub use node::{Node, Unreachable};
pub use seeds::over_seeds;
pub use sessions::Sessions;

use queue::Happening;
use trace::Told;
use wires::Wires;

/// How much may happen while the clock stands still: beyond, the nodes are talking in circles.
const MAX_AT_ONCE: u32 = 1_000_000;

/// The port that simulated nodes listen on unless told otherwise.
const PORT: u16 = 8233;

/// Names a host for the life of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(u32);

impl HostId {
    /// Returns the host's place in the order in which hosts were added, from 0.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h{}", self.0)
    }
}

/// How a host goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Death {
    /// The process ends: its connections are closed, and dials to it are refused.
    Stopped,
    /// The power fails: nothing answers any more, and nobody is told.
    PoweredOff,
}

/// Makes an IPv6 address on the simulated internet: one group is one /32, an internet provider's.
#[must_use]
pub fn ipv6(group: u16, number: u32) -> SocketAddr {
    let [a, b] = [number >> 16, number & 0xffff].map(|part| u16::try_from(part).unwrap_or_default());
    (Ipv6Addr::new(0x2a00, group, a, b, 0, 0, 0, 1), PORT).into()
}

/// Hosts, the lines between them, and the clock.
///
/// A test that panics while it holds a network shows the last things that happened.
#[derive(Debug)]
pub struct Network<N> {
    wires: Wires,
    nodes: Vec<N>,
}

impl<N> Network<N> {
    /// Makes a network without hosts.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self { wires: Wires::new(seed, conditions), nodes: Vec::new() }
    }

    /// Adds a host that listens at an address, and starts its node as soon as the clock goes on.
    ///
    /// # Panics
    /// If a host is there already.
    pub fn add(&mut self, address: SocketAddr, node: N) -> HostId {
        let id = self.wires.add(address);
        self.nodes.push(node);
        self.wires.schedule(Duration::ZERO, Happening::Start(id));
        id
    }

    /// Lets a host answer at a further address.
    ///
    /// # Panics
    /// If a host is there already.
    pub fn also_at(&mut self, host: HostId, address: SocketAddr) {
        self.wires.claim(host, address);
    }

    /// Says whether a host takes connections: one behind a router does not.
    pub fn set_listening(&mut self, host: HostId, listens: bool) {
        self.wires.machine_mut(host).listens = listens;
    }

    /// Changes what the lines are like: latency for new connections, the rest for all.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.wires.conditions = conditions;
    }

    /// Cuts the network apart: hosts of different sides hear nothing of each other until it heals.
    pub fn partition(&mut self, side: impl Fn(HostId) -> u32) {
        self.wires.partition(side);
    }

    /// Joins everything again. What was on its way arrives late.
    pub fn heal(&mut self) {
        self.wires.partition(|_| 0);
    }

    /// Takes a host down. Its node is told nothing any more, and can be looked at still.
    pub fn kill(&mut self, host: HostId, death: Death) {
        self.wires.kill(host, death);
    }

    /// Starts a host again, with a node that remembers what the test gave it.
    ///
    /// A host that is up is stopped first.
    pub fn restart(&mut self, host: HostId, node: N) {
        self.wires.kill(host, Death::Stopped);
        self.wires.revive(host);
        self.nodes[host.index()] = node;
        self.wires.schedule(Duration::ZERO, Happening::Start(host));
    }

    /// Returns whether a host is up.
    #[must_use]
    pub fn is_up(&self, host: HostId) -> bool {
        self.wires.machine(host).is_up
    }

    /// Returns where a host listens.
    #[must_use]
    pub fn address(&self, host: HostId) -> SocketAddr {
        self.wires.machine(host).address
    }

    /// Returns which host answers at an address.
    #[must_use]
    pub fn host_at(&self, address: SocketAddr) -> Option<HostId> {
        self.wires.host_at(address)
    }

    /// Returns a host's node.
    #[must_use]
    pub fn node(&self, host: HostId) -> &N {
        &self.nodes[host.index()]
    }

    /// Returns the hosts that are up, with their nodes.
    pub fn live(&self) -> impl Iterator<Item = (HostId, &N)> {
        let hosts = (0..).map(HostId).zip(&self.nodes);
        hosts.filter(|(host, _)| self.is_up(*host))
    }

    /// Returns what the clock shows.
    #[must_use]
    pub const fn now(&self) -> Now {
        self.wires.now()
    }

    /// Returns everything that has happened as one number: the same for the same run.
    #[must_use]
    pub const fn trace_hash(&self) -> u64 {
        self.wires.trace.hash()
    }

    /// Returns how many times a node has been told something.
    #[must_use]
    pub const fn happenings(&self) -> u64 {
        self.wires.trace.count()
    }
}

impl<N: Node> Network<N> {
    /// Calls a node as its application would, and lets it use its host.
    pub fn with<T>(&mut self, host: HostId, call: impl FnOnce(&mut N, &mut Host<'_>) -> T) -> T {
        let node = &mut self.nodes[host.index()];
        let result = call(node, &mut Host::new(&mut self.wires, host));
        self.wires.set_wake(host, node.poll_timeout());
        result
    }

    /// Lets the clock go on by `duration`, and everything happen that is due until then.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    /// Lets the clock go on until `is_reached`, asked once each virtual second; at most for `limit`.
    ///
    /// Returns whether it was reached.
    pub fn run_until(&mut self, limit: Duration, mut is_reached: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now().monotonic + limit;
        while self.now().monotonic < end {
            if is_reached(self) {
                return true;
            }
            let stop = end.min(self.now().monotonic + Duration::from_secs(1));
            self.run_to(stop);
        }
        is_reached(self)
    }

    fn run_to(&mut self, end: Duration) {
        let mut at_once = 0;
        while let Some((at, happening)) = self.wires.pop_until(end) {
            at_once = if at > self.now().monotonic { 0 } else { at_once + 1 };
            assert!(at_once < MAX_AT_ONCE, "the nodes are talking in circles at {at:?}");
            self.wires.set_clock(at);
            self.happen(happening);
        }
        self.wires.set_clock(end);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Start(host) if self.is_up(host) => self.tell(host, Told::Start, N::on_start),
            Happening::Wake(host) => self.wake(host),
            Happening::Syn(id) => self.accept(id),
            Happening::SynAck(id) => {
                if let Some((host, connection)) = self.wires.establish(id) {
                    self.tell(host, Told::Connected(id), |node, host| node.on_connected(connection, host));
                }
            }
            Happening::DialTimeout(id) => self.fail(id, Unreachable::TimedOut),
            Happening::Arrival(id) => self.arrive(id),
            Happening::Writable(id) => {
                if let Some(host) = self.wires.holder(id) {
                    self.tell(host, Told::Writable(id), |node, host| node.on_writable(id, host));
                }
            }
            Happening::GiveUp(id) => {
                if self.wires.is_given_up(id) {
                    self.lose(id.other());
                }
            }
            Happening::Start(_) => {}
        }
    }

    fn wake(&mut self, host: HostId) {
        if self.wires.take_wake(host) {
            let node = &self.nodes[host.index()];
            match node.poll_timeout() {
                Some(due) if due <= self.now().monotonic => self.tell(host, Told::Timer, N::on_timer),
                later => self.wires.set_wake(host, later),
            }
        }
    }

    /// A dial reaches its destination.
    fn accept(&mut self, id: ConnectionId) {
        match self.wires.accept(id) {
            wires::Accepted::Lost => {}
            wires::Accepted::Refused => self.fail(id, Unreachable::Refused),
            wires::Accepted::By(host, connection) => {
                let id = connection.id;
                self.tell(host, Told::Connected(id), |node, host| node.on_connected(connection, host));
            }
        }
    }

    fn fail(&mut self, id: ConnectionId, failure: Unreachable) {
        if let Some((host, connection)) = self.wires.fail(id) {
            let told = match failure {
                Unreachable::Refused => Told::Refused(id),
                Unreachable::TimedOut => Told::Unanswered(id),
            };
            self.tell(host, told, |node, host| node.on_failed(connection, failure, host));
        }
    }

    fn arrive(&mut self, id: ConnectionId) {
        match self.wires.take_arrived(id) {
            wires::Arrived::Nothing => {}
            wires::Arrived::Bytes(host, bytes) => {
                self.wires.trace.mix_bytes(&bytes);
                self.tell(host, Told::Bytes(id, bytes.len()), |node, host| node.on_bytes(id, bytes, host));
            }
            wires::Arrived::End => self.lose(id),
            wires::Arrived::Reset => self.lose(id.other()),
        }
    }

    /// Tells an end that its connection is gone.
    fn lose(&mut self, id: ConnectionId) {
        if let Some(host) = self.wires.lose(id) {
            self.tell(host, Told::Closed(id), |node, host| node.on_closed(id, host));
        }
    }

    fn tell(&mut self, host: HostId, told: Told, call: impl FnOnce(&mut N, &mut Host<'_>)) {
        self.wires.trace.record(self.now().monotonic, host, told);
        self.with(host, call);
    }
}

impl<N> Drop for Network<N> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("simulated network with seed {}: {}", self.wires.seed, self.wires.trace);
        }
    }
}

#[cfg(test)]
mod tests;
