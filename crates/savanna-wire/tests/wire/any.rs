//! Generators of every type of the crate.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use savanna_wire::{
    AddrV1, AddrV2, AuthDigest, Block, BlockHash, BlockHeader, Bounded, CjdnsIpv6, Command, FilterAdd, FilterLoad,
    Host, Inventory, Locator, MerkleRoot, Message, PeerAddr, ProtocolVersion, Reject, RejectCode, Services, Solution,
    Transaction, TxId, UserAgent, Version, VersionAddr,
};

/// Bytes without a pattern, cheap to make and to shrink.
pub(crate) fn noise(len: impl Strategy<Value = usize>) -> impl Strategy<Value = Vec<u8>> {
    (len, 1..u64::MAX).prop_map(|(len, seed)| {
        let mut state = seed;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        (0..len).map(|_| next()).collect()
    })
}

/// Lengths on both sides of the bound between a copied and a shared payload; mostly small.
fn body_len() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..600_usize, 1 => 14_000..18_000_usize, 1 => 18_000..120_000_usize]
}

fn list<T: std::fmt::Debug + savanna_wire::Element, const MAX: usize>(
    element: impl Strategy<Value = T>,
    usual: usize,
) -> impl Strategy<Value = Bounded<T, MAX>> {
    vec(element, 0..=usual).prop_map(|elements| elements.try_into().unwrap())
}

fn ip() -> impl Strategy<Value = IpAddr> {
    let v6 = prop_oneof![
        4 => any::<u128>().prop_map(Ipv6Addr::from_bits),
        1 => Just(Ipv6Addr::UNSPECIFIED),
        1 => Just(Ipv6Addr::LOCALHOST),
        1 => any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).to_ipv6_mapped()),
    ];
    prop_oneof![any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()), v6.prop_map(IpAddr::from)]
}

/// Socket addresses as a reader gets them: IPv4 is never written as IPv6.
fn socket_addr() -> impl Strategy<Value = SocketAddr> {
    (ip(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
}

fn host() -> impl Strategy<Value = Host> {
    let cjdns = any::<[u8; 15]>().prop_map(|rest| {
        let mut octets = [0xfc; 16];
        octets[1..].copy_from_slice(&rest);
        Host::Cjdns(CjdnsIpv6::new(octets.into()).unwrap())
    });
    prop_oneof![
        3 => ip().prop_map(Host::from),
        1 => any::<[u8; 32]>().prop_map(Host::TorV3),
        1 => any::<[u8; 32]>().prop_map(Host::I2p),
        1 => cjdns,
    ]
}

fn services() -> impl Strategy<Value = Services> {
    prop_oneof![Just(0), Just(1), Just(5), 0..0x1_0000_u64, any::<u64>()].prop_map(Services)
}

fn addr_v1() -> impl Strategy<Value = AddrV1> {
    (any::<u32>(), services(), socket_addr()).prop_map(|(time, services, address)| AddrV1 { time, services, address })
}

fn addr_v2() -> impl Strategy<Value = AddrV2> {
    (any::<u32>(), services(), host(), any::<u16>()).prop_map(|(time, services, host, port)| AddrV2 {
        time,
        services,
        address: PeerAddr { host, port },
    })
}

fn version_addr() -> impl Strategy<Value = VersionAddr> {
    let told = (services(), socket_addr()).prop_map(|(services, address)| VersionAddr { services, address });
    prop_oneof![1 => Just(VersionAddr::UNSPECIFIED), 3 => told]
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    let numbers = (any::<i32>(), services(), any::<i64>(), any::<u64>(), any::<i32>(), any::<bool>());
    let user_agent = vec(any::<u8>(), 0..=256).prop_map(|bytes| UserAgent::new(bytes).unwrap());
    (numbers, version_addr(), version_addr(), user_agent).prop_map(|(numbers, receiver, sender, user_agent)| {
        let (version, services, time, nonce, height, relay) = numbers;
        let version = ProtocolVersion(version);
        Version { version, services, time, receiver, sender, nonce, user_agent, height, relay }
    })
}

fn block_hash() -> impl Strategy<Value = BlockHash> {
    any::<[u8; 32]>().prop_map(BlockHash)
}

fn inventory() -> impl Strategy<Value = Inventory> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|id| Inventory::Tx(TxId(id))),
        block_hash().prop_map(Inventory::Block),
        block_hash().prop_map(Inventory::FilteredBlock),
        any::<[[u8; 32]; 2]>().prop_map(|[id, digest]| Inventory::Wtx(TxId(id), AuthDigest(digest))),
    ]
}

fn inventories<const MAX: usize>() -> impl Strategy<Value = Bounded<Inventory, MAX>> {
    prop_oneof![8 => list(inventory(), 20), 1 => list(inventory(), 600)]
}

fn locator() -> impl Strategy<Value = Locator> {
    let stop = prop_oneof![Just(BlockHash::ZERO), block_hash()];
    (any::<i32>(), list(block_hash(), 101), stop).prop_map(|(version, hashes, stop)| {
        let version = ProtocolVersion(version);
        Locator { version, hashes, stop }
    })
}

pub(crate) fn block_header() -> impl Strategy<Value = BlockHeader> {
    let solution = noise(select(vec![Solution::REGTEST_LEN, Solution::LEN]));
    let hashes = any::<[[u8; 32]; 4]>();
    (any::<[u32; 3]>(), hashes, solution).prop_map(|([version, time, bits], hashes, solution)| {
        let [previous, merkle_root, commitment, nonce] = hashes;
        let (previous, merkle_root) = (BlockHash(previous), MerkleRoot(merkle_root));
        let solution = Solution::new(solution).unwrap();
        BlockHeader { version, previous, merkle_root, commitment, time, bits, nonce, solution }
    })
}

pub(crate) fn block() -> impl Strategy<Value = Block> {
    (block_header(), noise(body_len())).prop_map(|(header, body)| {
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        bytes.extend_from_slice(&body);
        Block::new(bytes.into()).unwrap()
    })
}

pub(crate) fn transaction() -> impl Strategy<Value = Transaction> {
    noise(body_len()).prop_map(|bytes| Transaction::new(Bytes::from(bytes)).unwrap())
}

fn reject() -> impl Strategy<Value = Reject> {
    let hash = proptest::option::of(any::<[u8; 32]>());
    (command(), any::<u8>(), "[ -~]{0,130}", hash).prop_map(|(command, code, reason, hash)| {
        let mut reject = Reject::new(command, RejectCode(code), &reason);
        reject.hash = hash;
        reject
    })
}

fn filter_load() -> impl Strategy<Value = FilterLoad> {
    let bits = noise(prop_oneof![4 => 0..40_usize, 1 => 0..=36_000_usize]);
    (bits, 0..=50_u32, any::<u32>(), any::<u8>()).prop_map(|(bits, hashes, tweak, flags)| {
        FilterLoad::new(bits.try_into().unwrap(), hashes, tweak, flags).unwrap()
    })
}

pub(crate) fn command() -> impl Strategy<Value = Command> {
    select(Command::ALL.to_vec())
}

/// Messages that travel under `command`.
pub(crate) fn message_of(command: Command) -> BoxedStrategy<Message> {
    match command {
        Command::Version => version().prop_map(Message::Version).boxed(),
        Command::Verack => Just(Message::Verack).boxed(),
        Command::Ping => any::<u64>().prop_map(Message::Ping).boxed(),
        Command::Pong => any::<u64>().prop_map(Message::Pong).boxed(),
        Command::GetAddr => Just(Message::GetAddr).boxed(),
        Command::Addr => {
            prop_oneof![8 => list(addr_v1(), 20), 1 => list(addr_v1(), 1000)].prop_map(Message::Addr).boxed()
        }
        Command::AddrV2 => {
            prop_oneof![8 => list(addr_v2(), 20), 1 => list(addr_v2(), 1000)].prop_map(Message::AddrV2).boxed()
        }
        Command::Inv => inventories().prop_map(Message::Inv).boxed(),
        Command::GetData => inventories().prop_map(Message::GetData).boxed(),
        Command::NotFound => inventories().prop_map(Message::NotFound).boxed(),
        Command::GetBlocks => locator().prop_map(Message::GetBlocks).boxed(),
        Command::GetHeaders => locator().prop_map(Message::GetHeaders).boxed(),
        Command::Headers => {
            prop_oneof![8 => list(block_header(), 4), 1 => list(block_header(), 160)].prop_map(Message::Headers).boxed()
        }
        Command::Block => block().prop_map(Message::Block).boxed(),
        Command::Tx => transaction().prop_map(Message::Tx).boxed(),
        Command::Mempool => Just(Message::Mempool).boxed(),
        Command::Reject => reject().prop_map(Message::Reject).boxed(),
        Command::FilterLoad => filter_load().prop_map(Message::FilterLoad).boxed(),
        Command::FilterAdd => noise(0..=520_usize)
            .prop_map(|element| Message::FilterAdd(FilterAdd { element: element.try_into().unwrap() }))
            .boxed(),
        Command::FilterClear => Just(Message::FilterClear).boxed(),
    }
}

/// Messages of every kind.
pub(crate) fn message() -> impl Strategy<Value = Message> {
    command().prop_flat_map(message_of)
}
