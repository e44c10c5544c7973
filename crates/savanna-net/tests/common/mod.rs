//! What the tests share: a peer that does exactly what it is told, and nodes joined by pipes.
#![allow(dead_code, reason = "each test file uses a part of this")]

use std::time::Duration;

use bytes::BytesMut;
use savanna_net::{
    Client, Clock, Direction, Handshake, HandshakeError, HandshakeFuture, HandshakeRequest, InboundService, Network,
    Nil, NodeConfig, Request, Route, Slot, Tasks, session_config,
};
use savanna_wire::{
    Block, BlockHash, BlockHeader, Decoded, Decoder, Magic, MerkleRoot, Message, ProtocolVersion, Services, Solution,
    UserAgent, Version, VersionAddr,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::timeout;
use tower::Service;

pub(crate) const MAGIC: Magic = Network::Regtest.magic();

/// Longer than anything takes that is awaited here.
pub(crate) const BOUND: Duration = Duration::from_secs(600);

pub(crate) async fn within<T>(bound: Duration, awaited: impl Future<Output = T>) -> T {
    timeout(bound, awaited).await.expect("it takes too long")
}

/// Lets every task run that can.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

/// The configuration of a node that serves the chain, on regtest.
pub(crate) fn serving() -> NodeConfig {
    let mut config = NodeConfig::new(Network::Regtest);
    config.session.services = Services::NODE_NETWORK;
    config
}

/// A node and what it runs.
pub(crate) struct Node<S = Nil> {
    pub(crate) handshake: Handshake<S>,
    pub(crate) tasks: Tasks,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with(serving(), Nil)
    }
}

impl<S: InboundService> Node<S> {
    pub(crate) fn with(config: NodeConfig, service: S) -> Self {
        let tasks = Tasks::new();
        Self { handshake: Handshake::new(config, service, Clock::start(), tasks.spawner()), tasks }
    }

    pub(crate) fn begin(&mut self, stream: DuplexStream, direction: Direction, slot: Option<Slot>) -> HandshakeFuture {
        self.handshake.call(HandshakeRequest { stream, direction, peer: None, route: Route::Direct, slot })
    }

    /// Connects to a puppet, which shakes hands as it should.
    pub(crate) async fn meet(&mut self, slot: Option<Slot>) -> (Client, Puppet) {
        let (ours, theirs) = duplex(64 * 1024);
        let handshake = self.begin(ours, Direction::Outbound, slot);
        let mut puppet = Puppet::new(theirs);
        puppet.accept().await;
        (within(BOUND, handshake).await.unwrap(), puppet)
    }
}

/// Joins two nodes by a pipe: first the client of who dials, then of who is dialled.
pub(crate) async fn join<A: InboundService, B: InboundService>(
    dialler: &mut Node<A>,
    dialled: &mut Node<B>,
) -> (Result<Client, HandshakeError>, Result<Client, HandshakeError>) {
    let (ours, theirs) = duplex(64 * 1024);
    let outbound = dialler.begin(ours, Direction::Outbound, None);
    let inbound = dialled.begin(theirs, Direction::Inbound, None);
    within(BOUND, async { tokio::join!(outbound, inbound) }).await
}

pub(crate) fn version() -> Version {
    let config = session_config(Network::Regtest);
    Version {
        version: config.version,
        services: Services::NODE_NETWORK,
        time: 1_700_000_000,
        receiver: VersionAddr::UNSPECIFIED,
        sender: VersionAddr::UNSPECIFIED,
        nonce: 42,
        user_agent: UserAgent::new(*b"/Puppet:1.0/").unwrap(),
        height: 7,
        relay: false,
    }
}

pub(crate) fn find_headers(start: u8) -> Request {
    Request::FindHeaders { locator: vec![BlockHash([start; 32])], stop: None }
}

pub(crate) fn no_headers() -> Message {
    Message::Headers(Vec::new().try_into().unwrap())
}

/// Returns a block with a body of `length` bytes, whose header no other length has.
pub(crate) fn block(length: u32) -> Block {
    let header = BlockHeader {
        version: 4,
        previous: BlockHash::ZERO,
        merkle_root: MerkleRoot([0; 32]),
        commitment: [0; 32],
        time: length,
        bits: 0,
        nonce: [0; 32],
        solution: Solution::new(vec![0; Solution::LEN]).unwrap(),
    };
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    bytes.resize(bytes.len() + usize::try_from(length).unwrap(), 0);
    Block::new(bytes.into()).unwrap()
}

/// A peer that does exactly what it is told.
pub(crate) struct Puppet<T = DuplexStream> {
    pub(crate) stream: T,
    decoder: Decoder,
    buffer: BytesMut,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Puppet<T> {
    pub(crate) fn new(stream: T) -> Self {
        let mut decoder = Decoder::new(MAGIC);
        decoder.complete_handshake(ProtocolVersion::WTX);
        Self { stream, decoder, buffer: BytesMut::new() }
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.write(&savanna_wire::encode(&message, MAGIC).concat()).await;
    }

    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        within(BOUND, self.stream.write_all(bytes)).await.unwrap();
    }

    /// Returns the next message, or nothing once the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            match self.decoder.decode(&mut self.buffer).unwrap() {
                Some(Decoded::Message(message)) => return Some(message),
                Some(Decoded::Dropped { .. }) => {}
                None => {
                    if within(BOUND, self.stream.read_buf(&mut self.buffer)).await.unwrap() == 0 {
                        return None;
                    }
                }
            }
        }
    }

    /// Returns the next message that is no heartbeat, and answers the heartbeats before it.
    pub(crate) async fn question(&mut self) -> Option<Message> {
        loop {
            match self.next().await {
                Some(Message::Ping(nonce)) => self.send(Message::Pong(nonce)).await,
                other => return other,
            }
        }
    }

    /// Passes over everything up to the end of the stream.
    pub(crate) async fn end(&mut self) {
        while self.next().await.is_some() {}
    }

    /// Takes a handshake that the other side began.
    pub(crate) async fn accept(&mut self) {
        assert!(matches!(self.next().await, Some(Message::Version(_))));
        self.send(Message::Version(version())).await;
        self.send(Message::Verack).await;
        assert_eq!(self.next().await, Some(Message::Verack));
    }

    /// Begins a handshake and sees it through.
    pub(crate) async fn introduce(&mut self) {
        self.send(Message::Version(version())).await;
        assert!(matches!(self.next().await, Some(Message::Version(_))));
        assert_eq!(self.next().await, Some(Message::Verack));
        self.send(Message::Verack).await;
    }
}
