//! The archive served over connections: to our own synchronisation, and to peers with habits of their own.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test may")]

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use savanna_net::{
    Client, Clock, Direction, Handshake, HandshakeRequest, InboundService, Network, Nil, NodeConfig, Route, Tasks,
};
use savanna_peer::{CloseReason, Timer};
use savanna_peerset::{Config, PeerSet};
use savanna_sim::regtest::{chain, extend, genesis};
use savanna_sync::serve::{ArchiveService, Limits};
use savanna_sync::{MemoryStore, Options, Store, sync};
use savanna_wire::{
    Block, BlockHash, Decoded, Decoder, Inventory, Locator, Message, ProtocolVersion, Services, UserAgent, Version,
    VersionAddr, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tower::Service;

fn archive(blocks: &[Block]) -> Arc<MemoryStore> {
    let store = MemoryStore::new(Network::Regtest);
    store.append(blocks).unwrap();
    Arc::new(store)
}

fn node<S: InboundService>(services: Services, service: S, tasks: &Tasks) -> Handshake<S> {
    let mut config = NodeConfig::new(Network::Regtest);
    config.session.services = services;
    Handshake::new(config, service, Clock::start(), tasks.spawner())
}

const fn request(stream: DuplexStream, direction: Direction) -> HandshakeRequest<DuplexStream> {
    HandshakeRequest { stream, direction, peer: None, route: Route::Direct, slot: None }
}

#[tokio::test(start_paused = true)]
async fn a_whole_chain_is_fetched_from_an_archive_by_our_own_synchronisation() {
    let chain = chain(1_200, 5_000);
    let tasks = Tasks::new();
    let service = ArchiveService::new(archive(&chain), Limits::DEFAULT);
    let mut serving = node(Services::NODE_NETWORK, service.clone(), &tasks);
    let mut fetching = node(Services::NONE, Nil, &tasks);
    let set = PeerSet::spawn(Config::PUBLIC, [7; 32], None, Clock::start(), &tasks.spawner());
    let mut held = Vec::new();
    for _ in 0..2 {
        let (ours, theirs) = duplex(256 * 1024);
        let (outbound, inbound) =
            (fetching.call(request(ours, Direction::Outbound)), serving.call(request(theirs, Direction::Inbound)));
        let (outbound, inbound) = tokio::join!(outbound, inbound);
        set.add(outbound.unwrap()).await;
        held.push(inbound.unwrap());
    }
    let store = Arc::new(MemoryStore::new(Network::Regtest));
    let summary = sync(set.clone(), Arc::clone(&store), Options::default(), |_| {}).await.unwrap();
    assert_eq!(store.blocks(), chain);
    assert_eq!(summary.tip_hash, chain[1_200].hash());
    let counts = service.counts();
    // Where headers prove nothing the chain comes by lists of hashes.
    assert!(counts.blocks >= 1_201 && counts.hashes >= 1_200);
    assert_eq!((counts.missing, counts.failed, counts.overloaded), (0, 0, 0));
    assert!(held.iter().all(|client: &Client| !client.is_closed()));
}

/// A peer that does exactly what it is told.
struct Guest {
    stream: DuplexStream,
    decoder: Decoder,
    buffer: BytesMut,
}

impl Guest {
    /// Shakes hands with a node, and returns the node's hold on the guest as well.
    async fn enter<S: InboundService>(node: &mut Handshake<S>) -> (Self, Client) {
        let (ours, stream) = duplex(64 * 1024);
        let inbound = node.call(request(ours, Direction::Inbound));
        let mut decoder = Decoder::new(Network::Regtest.magic());
        decoder.complete_handshake(ProtocolVersion::WTX);
        let mut guest = Self { stream, decoder, buffer: BytesMut::new() };
        let version = Version {
            version: NodeConfig::new(Network::Regtest).session.version,
            services: Services::NONE,
            time: 1_700_000_000,
            receiver: VersionAddr::UNSPECIFIED,
            sender: VersionAddr::UNSPECIFIED,
            nonce: 42,
            user_agent: UserAgent::new(*b"/Guest:1.0/").unwrap(),
            height: 0,
            relay: true,
        };
        guest.say(&[Message::Version(version), Message::Verack]).await;
        (guest, inbound.await.unwrap())
    }

    async fn say(&mut self, messages: &[Message]) {
        let frames: Vec<_> =
            messages.iter().map(|message| encode(message, Network::Regtest.magic()).concat()).collect();
        self.stream.write_all(&frames.concat()).await.unwrap();
    }

    async fn hear(&mut self) -> Message {
        loop {
            match self.decoder.decode(&mut self.buffer).unwrap() {
                Some(Decoded::Message(message)) => return message,
                Some(Decoded::Dropped { .. }) => {}
                None => assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "the connection ended"),
            }
        }
    }

    /// Asks, with a ping behind it, and returns what comes before that is answered.
    async fn ask(&mut self, question: Message) -> Vec<Message> {
        const FENCE: u64 = 7;
        self.say(&[question, Message::Ping(FENCE)]).await;
        let mut heard = Vec::new();
        loop {
            match self.hear().await {
                Message::Pong(FENCE) => return heard,
                Message::Ping(nonce) => self.say(&[Message::Pong(nonce)]).await,
                Message::Version(_) | Message::Verack => {}
                other => heard.push(other),
            }
        }
    }
}

fn locator(hashes: &[BlockHash]) -> Locator {
    Locator { version: ProtocolVersion::WTX, hashes: hashes.to_vec().try_into().unwrap(), stop: BlockHash::ZERO }
}

fn getdata(hashes: &[BlockHash]) -> Message {
    let items: Vec<_> = hashes.iter().copied().map(Inventory::Block).collect();
    Message::GetData(items.try_into().unwrap())
}

#[tokio::test(start_paused = true)]
async fn zebras_habits_are_answered_as_it_expects() {
    let chain = chain(620, 1_000);
    let all: Vec<_> = chain.iter().map(Block::hash).collect();
    let tasks = Tasks::new();
    let service = ArchiveService::new(archive(&chain), Limits::DEFAULT);
    let (mut guest, client) = Guest::enter(&mut node(Services::NODE_NETWORK, service, &tasks)).await;
    // At its tip it asks what follows every two seconds, and the memory pool unasked: silence, and an empty list.
    for _ in 0..100 {
        assert_eq!(guest.ask(Message::GetBlocks(locator(&all[620..]))).await, []);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(guest.ask(Message::Mempool).await, [Message::Inv(Vec::new().try_into().unwrap())]);
    // It extends its chain by a locator of one hash, and wants what follows that and nothing before it.
    let inv: Vec<_> = all[101..=600].iter().copied().map(Inventory::Block).collect();
    let heard = guest.ask(Message::GetBlocks(locator(&all[100..=100]))).await;
    assert_eq!(heard, [Message::Inv(inv.try_into().unwrap())]);
    let [Message::Headers(headers)] = &guest.ask(Message::GetHeaders(locator(&all[618..=618]))).await[..] else {
        panic!("no headers")
    };
    assert_eq!(headers.iter().map(savanna_wire::BlockHeader::hash).collect::<Vec<_>>(), all[619..]);
    // Blocks come in the order in which they were asked for, and what is lacking is named once.
    let unknown = [BlockHash([8; 32]), BlockHash([9; 32])];
    let heard = guest.ask(getdata(&[all[3], unknown[0], all[1], unknown[1]])).await;
    let lacking: Vec<_> = unknown.into_iter().map(Inventory::Block).collect();
    let [first, second] = [3, 1].map(|height: usize| Message::Block(chain[height].clone()));
    assert_eq!(heard, [first, second, Message::NotFound(lacking.try_into().unwrap())]);
    assert!(!client.is_closed());
}

#[tokio::test(start_paused = true)]
async fn adversary_18_one_block_asked_for_without_end_and_not_read_costs_the_connection() {
    let genesis = genesis();
    let block = extend(&genesis, 0, 1, 1_500_000, 0).remove(0);
    let tasks = Tasks::new();
    let service = ArchiveService::new(archive(&[genesis, block.clone()]), Limits::DEFAULT);
    let (mut guest, client) = Guest::enter(&mut node(Services::NODE_NETWORK, service.clone(), &tasks)).await;
    let question = encode(&getdata(&[block.hash()]), Network::Regtest.magic()).concat();
    let watch = service.clone();
    let asking = async {
        let mut most = 0;
        for _ in 0..50_000 {
            if guest.stream.write_all(&question).await.is_err() {
                break;
            }
            most = most.max(watch.counts().held_bytes);
        }
        most
    };
    let (most, reason) = tokio::join!(asking, client.closed());
    assert_eq!(reason, CloseReason::TimedOut(Timer::Write));
    assert!(most > 0 && most <= Limits::DEFAULT.peer_bytes as u64, "{most}");
    assert!(service.counts().blocks < 10);
    drop(client);
    while !tasks.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(service.counts().held_bytes, 0);
}
