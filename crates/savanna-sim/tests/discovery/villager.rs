//! An honest node that dials nobody: it answers, tells of others, and goes now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use savanna_peer::{CloseReason, Config, Event, LocalReason, Request, Response};
use savanna_sim::block;
use savanna_sim::network::{Connection, ConnectionId, Host, Node, Sessions};
use savanna_wire::{AddrV2, Block, MAX_ADDRESSES, Services};

use crate::citizen::served;
use crate::player::{about, below};

/// How long a connection lasts on average, until the villager restarts, moves, or wants its place for another.
const STAY: Duration = Duration::from_secs(12 * 60 * 60);

/// How often there is a block.
pub(crate) const BLOCK_EVERY: Duration = Duration::from_secs(75);

/// How long a block is on its way to a villager at most.
const SPREAD: Duration = Duration::from_secs(3);

/// Returns the latest block there is.
pub(crate) fn latest_block(now: Duration) -> Block {
    block(u32::try_from(now.as_secs() / BLOCK_EVERY.as_secs()).unwrap(), 0)
}

/// What a villager knows of the others.
pub(crate) type Directory = Rc<Vec<SocketAddr>>;

#[derive(Debug)]
pub(crate) struct Villager {
    sessions: Sessions,
    directory: Directory,
    leaves: BTreeSet<(Duration, ConnectionId)>,
    next_news: Duration,
}

impl Villager {
    pub(crate) fn new(config: Config, directory: Directory) -> Self {
        Self { sessions: Sessions::new(config), directory, leaves: BTreeSet::new(), next_news: Duration::ZERO }
    }

    /// Tells everybody of the latest block.
    fn tell(&mut self, host: &mut Host<'_>) {
        let friends: Vec<_> = self.sessions.established().map(|friend| friend.id).collect();
        for friend in friends {
            let news = Request::AdvertiseBlock(latest_block(host.now().monotonic).hash());
            let _ = self.sessions.request(friend, news, host);
        }
        self.await_block(host);
    }

    fn await_block(&mut self, host: &mut Host<'_>) {
        let next = host.now().monotonic.as_secs() / BLOCK_EVERY.as_secs() + 1;
        self.next_news = BLOCK_EVERY * u32::try_from(next).unwrap() + about(SPREAD / 2, host.rng());
    }

    fn act(&mut self, host: &mut Host<'_>) {
        while let Some((connection, event)) = self.sessions.poll_event() {
            if let Event::Request { id, request } = event {
                let response = match request {
                    Request::Peers => Response::Peers(some_of(&self.directory, host)),
                    Request::Blocks(hashes) => {
                        let latest = latest_block(host.now().monotonic);
                        served(&BTreeMap::from([(latest.hash(), latest)]), &hashes)
                    }
                    _ => Response::Nil,
                };
                self.sessions.respond(connection.id, id, response, host);
            }
        }
    }
}

/// Draws at most 1000 addresses, seen within the last two hours.
pub(crate) fn some_of(directory: &[SocketAddr], host: &mut Host<'_>) -> Vec<AddrV2> {
    let now = u32::try_from(host.now().unix).unwrap();
    let count = directory.len().min(MAX_ADDRESSES);
    let first = below(directory.len(), host.rng());
    let drawn = (0..count).map(|step| directory[(first + step) % directory.len()]);
    drawn
        .map(|address| AddrV2 {
            time: now - u32::try_from(below(7200, host.rng())).unwrap(),
            services: Services::NODE_NETWORK,
            address: address.into(),
        })
        .collect()
}

impl Node for Villager {
    fn on_connected(&mut self, connection: Connection, host: &mut Host<'_>) {
        let leaves = host.now().monotonic + about(STAY, host.rng());
        if self.leaves.is_empty() {
            self.await_block(host);
        }
        self.leaves.insert((leaves, connection.id));
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
        self.leaves.retain(|(_, leaves)| *leaves != id);
        self.sessions.handle_closed(id, host);
        self.act(host);
    }

    fn on_timer(&mut self, host: &mut Host<'_>) {
        self.sessions.handle_timeout(host);
        if self.next_news <= host.now().monotonic {
            self.tell(host);
        }
        while let Some((at, id)) = self.leaves.first().copied()
            && at <= host.now().monotonic
        {
            self.leaves.pop_first();
            self.sessions.close(id, CloseReason::Local(LocalReason::Evicted), host);
        }
        self.act(host);
    }

    fn poll_timeout(&self) -> Option<Duration> {
        // Who has no friends has nobody to tell anything.
        let leaves = self.leaves.first().map(|(at, _)| *at);
        let news = leaves.map(|_| self.next_news);
        [self.sessions.poll_timeout(), leaves, news].into_iter().flatten().min()
    }
}
