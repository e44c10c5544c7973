//! Peers by the thousand in one process, each at a loopback address of its own and all behind one socket.

#![allow(dead_code, reason = "each test binary uses a part")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a peer answers what it is asked, and nothing else")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::BytesMut;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_net::Clock;
use savanna_seed::{Anchor, ChainProbe};
use savanna_wire::{
    AddrV1, BlockHash, BlockHeader, Bounded, Decoded, Decoder, MerkleRoot, Message, Network, PeerAddr, ProtocolVersion,
    Reader, Services, Solution, UserAgent, Version, VersionAddr, encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const NETWORK: Network = Network::Mainnet;
/// Beyond the activation of NU7.
pub(crate) const HEIGHT: u32 = 3_600_000;
/// How many addresses a peer tells at once.
const TOLD: u32 = 60;
/// The target of mainnet's first blocks.
const FIRST_BITS: u32 = 0x1f07_ffff;

/// Headers of the blocks 1 to 10 of mainnet, which bear real work, and of the block that tells old forks apart.
const FIRST_TEN: &[u8] = include_bytes!("../data/mainnet-1-to-10.headers");
const TELLING: &[u8] = include_bytes!("../../../savanna-peerset/src/crawler/probe/mainnet_1687107.header");

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Good,
    /// Of a chain that shares the first block.
    Fork,
    /// Of a chain that shares nothing.
    Stranger,
    /// Answers as if it had the chain, with headers that did no work.
    Forger,
    /// Answers with no headers.
    Mute,
    Obsolete,
    /// There for so many seconds, gone for as many.
    Flapping {
        period: u32,
        phase: u32,
    },
    Nobody,
}

/// A network.
pub(crate) struct Peers {
    kinds: BTreeMap<IpAddr, Kind>,
    clock: Clock,
    begins: i64,
    is_alive: AtomicBool,
    chain: Shown,
    visited: Mutex<BTreeSet<IpAddr>>,
}

/// What peers show of their chains.
struct Shown {
    deep: Vec<BlockHeader>,
    light: BlockHeader,
    forged: Vec<BlockHeader>,
    forged_light: BlockHeader,
    fork: Vec<BlockHeader>,
    strange: Vec<BlockHeader>,
    anchor: BlockHash,
}

impl Peers {
    /// Makes up 300 good ones, 300 of other chains, 200 obsolete, 200 flapping, and addresses of nobody.
    pub(crate) fn new(clock: Clock, seed: u64) -> Arc<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kinds = (0..1_200).map(|number| {
            let kind = match number {
                0..300 => Kind::Good,
                300..600 => [Kind::Fork, Kind::Stranger, Kind::Forger, Kind::Mute][number as usize % 4],
                600..800 => Kind::Obsolete,
                800..1_000 => Kind::Flapping { period: 720 + rng.next_u32() % 1_380, phase: rng.next_u32() % 3_600 },
                _ => Kind::Nobody,
            };
            (address(number).ip(), kind)
        });
        let kinds = kinds.collect();
        let begins = clock.now().unix;
        Arc::new(Self {
            kinds,
            clock,
            begins,
            is_alive: AtomicBool::new(true),
            chain: Shown::new(),
            visited: Mutex::default(),
        })
    }

    /// Returns the question that only those of the chain can answer.
    pub(crate) fn probe(&self) -> ChainProbe {
        ChainProbe::new(NETWORK, [Anchor { height: 1, hash: self.chain.anchor }])
    }

    pub(crate) fn kind(&self, ip: IpAddr) -> Kind {
        self.kinds[&ip]
    }

    /// Returns those whom a Zebra has shaken hands with.
    pub(crate) fn visited_by_zebra(&self) -> BTreeSet<IpAddr> {
        self.visited.lock().unwrap().clone()
    }

    /// Forgets them.
    pub(crate) fn forget_visits(&self) {
        self.visited.lock().unwrap().clear();
    }

    /// From here on nobody answers: every second peer hangs up at once, the others say nothing.
    pub(crate) fn die(&self) {
        self.is_alive.store(false, Ordering::Relaxed);
    }

    /// Serves all of them until the runtime ends.
    pub(crate) async fn listen(self: &Arc<Self>) {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, NETWORK.default_port()));
        let listener = TcpListener::bind(any).await.expect("the network's port is free");
        let peers = Arc::clone(self);
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                if from.ip().is_loopback() {
                    tokio::spawn(Arc::clone(&peers).serve(stream));
                }
            }
        });
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let ip = stream.local_addr().ok()?.ip();
        let kind = *self.kinds.get(&ip)?;
        if !self.is_alive.load(Ordering::Relaxed) {
            let is_silent = self.kinds.keys().position(|each| *each == ip)?.is_multiple_of(2);
            while is_silent && stream.read_buf(&mut BytesMut::with_capacity(1_024)).await.ok()? > 0 {}
            return None;
        }
        if !self.is_there(kind) {
            return None;
        }
        let (mut decoder, mut buffer) = (Decoder::new(NETWORK.magic()), BytesMut::new());
        loop {
            while let Some(Decoded::Message(message)) = decoder.decode(&mut buffer).ok()? {
                if let Message::Version(version) = &message
                    && version.user_agent.as_bytes().starts_with(b"/Zebra")
                {
                    self.visited.lock().unwrap().insert(ip);
                }
                if message == Message::Verack {
                    decoder.complete_handshake(version_of(kind));
                }
                let answers = self.answer(kind, &message);
                let frames: Vec<u8> = answers.iter().flat_map(|each| encode(each, NETWORK.magic()).concat()).collect();
                stream.write_all(&frames).await.ok()?;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
    }

    fn is_there(&self, kind: Kind) -> bool {
        let now = u32::try_from(self.clock.now().unix).unwrap();
        match kind {
            Kind::Flapping { period, phase } => ((now + phase) / period).is_multiple_of(2),
            Kind::Nobody => false,
            Kind::Good | Kind::Fork | Kind::Stranger | Kind::Forger | Kind::Mute | Kind::Obsolete => true,
        }
    }

    fn answer(&self, kind: Kind, message: &Message) -> Vec<Message> {
        if let Message::Version(_) = message {
            return vec![Message::Version(self.version(kind)), Message::Verack];
        }
        if let Message::GetHeaders(locator) = message {
            return vec![Message::Headers(Bounded::truncated(self.chain.headers(kind, locator.hashes.first())))];
        }
        match message {
            Message::Ping(nonce) => vec![Message::Pong(*nonce)],
            Message::GetAddr => vec![Message::Addr(Bounded::truncated(self.told()))],
            _ => Vec::new(),
        }
    }

    fn version(&self, kind: Kind) -> Version {
        let now = self.clock.now().unix;
        let grown = i32::try_from((now - self.begins) / 25).unwrap();
        Version {
            version: version_of(kind),
            services: Services::NODE_NETWORK,
            time: now,
            receiver: VersionAddr::UNSPECIFIED,
            sender: VersionAddr { services: Services::NODE_NETWORK, ..VersionAddr::UNSPECIFIED },
            nonce: rand_chacha::rand_core::Rng::next_u64(&mut self.draw()),
            user_agent: UserAgent::new(*b"/Loopback:1.0.0/").unwrap(),
            height: i32::try_from(HEIGHT).unwrap() + grown,
            relay: true,
        }
    }

    fn told(&self) -> Vec<AddrV1> {
        let mut rng = self.draw();
        let time = u32::try_from(self.clock.now().unix).unwrap();
        let entry = |number| AddrV1 { time, services: Services::NODE_NETWORK, address: address(number) };
        (0..TOLD).map(|_| entry(rng.next_u32() % 1_200)).collect()
    }

    fn draw(&self) -> ChaCha8Rng {
        let moment = self.clock.now().monotonic.as_nanos();
        ChaCha8Rng::seed_from_u64(u64::try_from(moment).unwrap())
    }
}

impl Shown {
    fn new() -> Self {
        let mut reader = Reader::new(FIRST_TEN, "headers");
        let first: Vec<_> = (0..10).map(|_| BlockHeader::decode(&mut reader).unwrap()).collect();
        let light = BlockHeader::decode(&mut Reader::new(TELLING, "header")).unwrap();
        let anchor = first[0].hash();
        Self {
            deep: first[1..].to_vec(),
            forged: forged(anchor, 9),
            forged_light: forged(light.previous, 1).remove(0),
            fork: forged(NETWORK.genesis_hash(), 2),
            strange: forged(BlockHash([9; 32]), 9),
            light,
            anchor,
        }
    }

    fn headers(&self, kind: Kind, from: Option<&BlockHash>) -> Vec<BlockHeader> {
        let is_deep = from == Some(&self.anchor);
        match kind {
            Kind::Good | Kind::Obsolete | Kind::Flapping { .. } if is_deep => self.deep.clone(),
            Kind::Good | Kind::Obsolete | Kind::Flapping { .. } => vec![self.light.clone()],
            Kind::Forger if is_deep => self.forged.clone(),
            Kind::Forger => vec![self.forged_light.clone()],
            Kind::Fork => self.fork.clone(),
            Kind::Stranger => self.strange.clone(),
            Kind::Mute | Kind::Nobody => Vec::new(),
        }
    }
}

/// Headers that link to one another and meet the target of the first blocks, and solve nothing.
fn forged(mut previous: BlockHash, length: usize) -> Vec<BlockHeader> {
    let mut headers = Vec::new();
    for _ in 0..length {
        let mut header = BlockHeader {
            version: 4,
            previous,
            merkle_root: MerkleRoot([0; 32]),
            commitment: [0; 32],
            time: 0,
            bits: FIRST_BITS,
            nonce: [0; 32],
            solution: Solution::new(vec![0; Solution::LEN]).unwrap(),
        };
        // The target's three leading bytes are 0x0007ff, and a hash ends with its most significant byte.
        while header.hash().0[31] != 0 || header.hash().0[30] >= 7 {
            header.time += 1;
        }
        previous = header.hash();
        headers.push(header);
    }
    headers
}

fn version_of(kind: Kind) -> ProtocolVersion {
    ProtocolVersion(if kind == Kind::Obsolete { 170_160 } else { 170_190 })
}

fn address(number: u32) -> SocketAddr {
    let byte = |value: u32| u8::try_from(value).unwrap();
    SocketAddr::from((Ipv4Addr::new(127, 1 + byte(number % 200), byte(number / 200), 7), NETWORK.default_port()))
}

/// Returns one that is good, to begin with.
pub(crate) fn first() -> PeerAddr {
    address(0).into()
}
