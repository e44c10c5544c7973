//! One operator with many addresses, who wants to be everybody's only acquaintance.
//!
//! It answers dials at all of its addresses and shakes hands as it should; answers `getaddr` with a thousand addresses of its
//! choice; dials its victim again and again, from everywhere; pushes addresses unasked as fast as anybody would take them; and
//! is the first to tell of every block, which it invents.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use savanna_peer::{Config, Direction, Event, MAX_ADVERTISED_PEERS, Request, Response};
use savanna_sim::network::{Connection, ConnectionId, Host, Node, Sessions};
use savanna_wire::{AddrV2, BlockHash, MAX_ADDRESSES, Services};

use crate::player::{below, bytes_of};

/// How often the villain does something.
const TURN: Duration = Duration::from_secs(100);

/// How many connections to its victim it keeps.
const GRIP: usize = 16;

#[derive(Debug)]
pub(crate) struct Villain {
    sessions: Sessions,
    /// Where the villain is.
    own: Vec<SocketAddr>,
    /// What it tells of.
    tells: Vec<SocketAddr>,
    told: usize,
    victim: SocketAddr,
    dialed: usize,
    next_turn: Duration,
    is_awake: bool,
}

impl Villain {
    pub(crate) fn new(config: Config, own: Vec<SocketAddr>, tells: Vec<SocketAddr>, victim: SocketAddr) -> Self {
        let sessions = Sessions::new(config);
        Self { sessions, own, tells, told: 0, victim, dialed: 0, next_turn: TURN, is_awake: false }
    }

    /// Begins the attack; until then the villain is a polite node without friends.
    pub(crate) fn awake(&mut self) {
        self.is_awake = true;
    }

    /// Returns the next addresses in turn, fresh as can be.
    pub(crate) fn next_told(&mut self, count: usize, host: &Host<'_>) -> Vec<AddrV2> {
        let time = u32::try_from(host.now().unix).unwrap();
        let count = if self.is_awake { count.min(self.tells.len()) } else { 0 };
        let turn = (0..count).map(|step| self.tells[(self.told + step) % self.tells.len()]);
        let entries =
            turn.map(|address| AddrV2 { time, services: Services::NODE_NETWORK, address: address.into() }).collect();
        self.told += count;
        entries
    }

    fn act(&mut self, host: &mut Host<'_>) {
        while let Some((connection, event)) = self.sessions.poll_event() {
            if let Event::Request { id, request } = event {
                let response = if request == Request::Peers {
                    Response::Peers(self.next_told(MAX_ADDRESSES, host))
                } else {
                    Response::Nil
                };
                self.sessions.respond(connection.id, id, response, host);
            }
        }
    }

    fn turn(&mut self, host: &mut Host<'_>) {
        self.next_turn = host.now().monotonic + TURN;
        if !self.is_awake {
            return;
        }
        let friends: Vec<_> = self.sessions.established().collect();
        for friend in &friends {
            let addresses = self.next_told(MAX_ADVERTISED_PEERS, host);
            let block = BlockHash(bytes_of(host.rng()));
            for news in [Request::AdvertisePeers(addresses), Request::AdvertiseBlock(block)] {
                let _ = self.sessions.request(friend.id, news, host);
            }
        }
        let grip = friends.iter().filter(|friend| friend.id.direction() == Direction::Outbound).count();
        if grip < GRIP {
            let from = self.own[below(self.own.len(), host.rng())];
            self.dialed += 1;
            host.dial_from(from, self.victim);
        }
    }
}

impl Node for Villain {
    fn on_connected(&mut self, connection: Connection, host: &mut Host<'_>) {
        self.sessions.handle_connected(connection, host);
        self.act(host);
    }

    fn on_bytes(&mut self, id: ConnectionId, bytes: Bytes, host: &mut Host<'_>) {
        self.sessions.handle_bytes(id, &bytes, host);
        self.act(host);
    }

    fn on_writable(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.sessions.handle_writable(id, host);
        self.act(host);
    }

    fn on_closed(&mut self, id: ConnectionId, host: &mut Host<'_>) {
        self.sessions.handle_closed(id, host);
        self.act(host);
    }

    fn on_timer(&mut self, host: &mut Host<'_>) {
        self.sessions.handle_timeout(host);
        if self.next_turn <= host.now().monotonic {
            self.turn(host);
        }
        self.act(host);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        [self.sessions.poll_timeout(), Some(self.next_turn)].into_iter().flatten().min()
    }
}
