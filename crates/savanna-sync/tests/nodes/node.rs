//! A whole node but for its sockets: a peer set, an archive that is served, and whoever follows the chain into it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use savanna_chain::floor;
use savanna_net::{Client, Clock, Handshake, HandshakeRequest, NodeConfig, Route, Standing, Tasks};
use savanna_peer::{Direction, Request};
use savanna_peerset::{Config, PeerSet};
use savanna_sync::serve::{ArchiveService, Limits};
use savanna_sync::{MemoryStore, Options, Progress, Store, follow, news};
use savanna_wire::{Block, BlockHash, Network, PeerAddr, Services};
use tokio::sync::watch;
use tower::Service;

use crate::habits::{Habit, Habitual};
use crate::wire::{End, Line};

/// A node.
pub(crate) struct Node {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) set: PeerSet,
    pub(crate) habit: Habit,
    handshake: Handshake<Habitual>,
    standing: watch::Sender<Standing>,
    /// What the follower told, in order.
    pub(crate) told: Arc<Mutex<Vec<Progress>>>,
    is_live: Arc<AtomicBool>,
    tasks: Tasks,
}

impl Node {
    /// Makes a node that has blocks and, as its habit is, follows the chain or only serves.
    pub(crate) fn start(blocks: &[Block], habit: Habit, seed: u64) -> Self {
        let store = Arc::new(MemoryStore::new(Network::Regtest));
        store.append(blocks).unwrap();
        let is_source = habit.is_source();
        let height = store.tip().map_or(0, |tip| tip.height);
        let services = if is_source { Services::NODE_NETWORK } else { Services::NONE };
        let (standing, stands) = watch::channel(standing_at(height, services));
        let (clock, tasks) = (Clock::start(), Tasks::new());
        let mut config = NodeConfig::new(Network::Regtest);
        config.seed = spread(seed);
        config.standing = Some(stands.clone());
        let service = ArchiveService::new(Arc::clone(&store), Limits::DEFAULT).yielding_to(stands);
        let set = PeerSet::spawn(Config::PUBLIC, spread(seed ^ 1), None, clock, &tasks.spawner());
        let handshake = Handshake::new(config, Habitual::new(service, habit), clock, tasks.spawner());
        let (told, is_live) = (Arc::default(), Arc::new(AtomicBool::new(true)));
        let node = Self { store, set, habit, handshake, standing, told, is_live, tasks };
        if !is_source {
            node.follow(seed);
        }
        node
    }

    fn follow(&self, seed: u64) {
        let (set, store, told) = (self.set.clone(), Arc::clone(&self.store), Arc::clone(&self.told));
        let (standing, spawner) = (self.standing.clone(), self.tasks.spawner());
        let (mut stop, is_live) = (spawner.stop(), Arc::clone(&self.is_live));
        let announce = self.announcer();
        self.tasks.spawn(async move {
            let events = set.events();
            let options = Options { seed, ..Options::default() };
            let tell = |progress: Progress| {
                if let Progress::Tip { height, hash } = progress {
                    standing.send_replace(standing_at(height, Services::NODE_NETWORK));
                    announce(hash);
                } else if let Progress::Synced { height, .. } = progress {
                    standing.send_replace(standing_at(height, Services::NODE_NETWORK));
                } else if let Progress::Behind { height, .. } = progress {
                    standing.send_replace(standing_at(height, Services::NONE));
                }
                told.lock().unwrap().push(progress);
            };
            tokio::select! {
                () = stop.stopped() => {}
                error = follow(set.clone(), store, options, news(events), tell) => panic!("a follower ended: {error}"),
            }
            is_live.store(false, Ordering::Relaxed);
        });
    }

    /// Returns what tells every peer of a block.
    fn announcer(&self) -> impl Fn(BlockHash) + Send + use<> {
        let (set, spawner) = (self.set.clone(), self.tasks.spawner());
        move |hash| {
            let telling = set.clone().call(Request::AdvertiseBlock(hash));
            // With nobody there, nobody is told.
            spawner.spawn(async move { drop(telling.await) });
        }
    }

    /// Has this chain from here on, and tells of its end: what a miner does.
    pub(crate) fn mine(&self, chain: &[Block]) {
        let own = self.store.blocks();
        let shared = own.iter().zip(chain).take_while(|(own, other)| own.hash() == other.hash()).count();
        self.store.truncate(u32::try_from(shared - 1).unwrap()).unwrap();
        self.store.append(&chain[shared..]).unwrap();
        let tip = self.store.tip().unwrap();
        self.standing.send_replace(standing_at(tip.height, Services::NODE_NETWORK));
        self.announcer()(tip.hash);
    }

    /// Returns whether the follower runs.
    pub(crate) fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Relaxed)
    }

    /// Ends the node.
    pub(crate) async fn end(self) {
        let Self { set, tasks, .. } = self;
        drop(set);
        tasks.shutdown(std::time::Duration::from_secs(10)).await;
    }
}

/// Joins two nodes by a line, of which `ends` are the ends. Returns the clients of both, if both shook hands.
pub(crate) async fn join(
    dialer: &Node,
    dialed: &Node,
    address: PeerAddr,
    ends: [End; 2],
) -> Option<[savanna_net::PeerId; 2]> {
    let [near, far] = ends;
    let request = |stream, direction| HandshakeRequest {
        stream,
        direction,
        peer: Some(address),
        route: Route::Direct,
        slot: None,
    };
    let (mut outbound, mut inbound) = (dialer.handshake.clone(), dialed.handshake.clone());
    let shaking = [outbound.call(request(near, Direction::Outbound)), inbound.call(request(far, Direction::Inbound))];
    let [ours, theirs] = shaking;
    let (ours, theirs): (Result<Client, _>, Result<Client, _>) = tokio::join!(ours, theirs);
    let (ours, theirs) = (ours.ok()?, theirs.ok()?);
    let ids = [ours.id(), theirs.id()];
    dialer.set.add(ours).await;
    dialed.set.add(theirs).await;
    Some(ids)
}

/// Returns whether a line is worth keeping.
pub(crate) fn is_up(line: &Line) -> bool {
    !line.is_broken()
}

fn standing_at(height: u32, services: Services) -> Standing {
    Standing { height, services, floor: floor(Network::Regtest, None) }
}

fn spread(seed: u64) -> [u8; 32] {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes
}
