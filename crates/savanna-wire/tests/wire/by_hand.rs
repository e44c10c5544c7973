//! Each message against bytes put together by hand, field by field, in both directions.

use std::net::SocketAddr;

use bytes::Bytes;
use savanna_wire::{
    AddrV1, AddrV2, AuthDigest, Block, BlockHash, CjdnsIpv6, Command, Decoded, FilterAdd, FilterLoad, Host, Inventory,
    Locator, Message, Network, PeerAddr, ProtocolVersion, Reject, RejectCode, Services, Transaction, TxId, UserAgent,
    Version, VersionAddr,
};

use crate::{accept, decode, encoded, frame, hex};

/// Asserts that `payload` is what `message` looks like on the wire.
fn same(command: &str, payload: &str, message: Message) {
    let payload = hex(payload);
    assert_eq!(accept(command, &payload), message);
    assert_eq!(message.payload(), payload);
    assert_eq!(message.command().name(), command);
    assert_eq!(encoded(&message), frame(command, &payload));
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A hash whose bytes count up from `first`.
fn counting(first: u8) -> [u8; 32] {
    std::array::from_fn(|at| first + u8::try_from(at).unwrap())
}

/// The same in hexadecimal digits.
fn counting_hex(first: u8) -> String {
    counting(first).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The header of regtest's first block, as chain parameters publish it.
fn regtest_genesis() -> String {
    [
        "04000000",                                                         // version 4
        "0000000000000000000000000000000000000000000000000000000000000000", // no parent
        "db4d7a85b768123f1dff1d4c4cece70083b2d27e117b4ac2e31d087988a5eac4", // merkle root
        "0000000000000000000000000000000000000000000000000000000000000000", // reserved
        "dae5494d",                                                         // 1296688602
        "0f0f0f20",                                                         // 200f0f0f
        "0900000000000000000000000000000000000000000000000000000000000000", // nonce
        "24",                                                               // 36 bytes of solution
        "01936b7db1eb4ac39f151b8704642d0a8bda13ec547d54cd5e43ba142fc6d8877cab07b3",
    ]
    .concat()
}

#[test]
fn an_empty_frame() {
    for (bytes, message) in [
        ("24e92764 76657261636b000000000000 00000000 5df6e0e2", Message::Verack),
        ("24e92764 676574616464720000000000 00000000 5df6e0e2", Message::GetAddr),
        ("24e92764 6d656d706f6f6c0000000000 00000000 5df6e0e2", Message::Mempool),
        ("24e92764 66696c746572636c65617200 00000000 5df6e0e2", Message::FilterClear),
    ] {
        let bytes = hex(bytes);
        assert_eq!(encoded(&message), bytes);
        assert_eq!(decode(&bytes), Ok(Decoded::Message(message)));
    }
}

#[test]
fn version() {
    same(
        "version",
        &[
            "ce980200",                          // version 170190
            "0500000000000000",                  // services: network and bloom
            "15cd5b0700000000",                  // time 123456789
            "0100000000000000",                  // the receiver's services
            "00000000000000000000ffffcb007105",  // 203.0.113.5
            "2029",                              // port 8233
            "0000000000000000",                  // the sender's services
            "20010db8000000000000000000000001",  // 2001:db8::1
            "4739",                              // port 18233
            "efcdab8967452301",                  // nonce
            "0f 2f536176616e6e613a302e312e302f", // /Savanna:0.1.0/
            "40420f00",                          // height 1000000
            "00",                                // relay
        ]
        .concat(),
        Message::Version(Version {
            version: ProtocolVersion(170_190),
            services: Services(5),
            time: 123_456_789,
            receiver: VersionAddr { services: Services::NODE_NETWORK, address: socket("203.0.113.5:8233") },
            sender: VersionAddr { services: Services::NONE, address: socket("[2001:db8::1]:18233") },
            nonce: 0x0123_4567_89ab_cdef,
            user_agent: UserAgent::new(*b"/Savanna:0.1.0/").unwrap(),
            height: 1_000_000,
            relay: false,
        }),
    );
}

#[test]
fn ping_and_pong() {
    same("ping", "efcdab8967452301", Message::Ping(0x0123_4567_89ab_cdef));
    same("pong", "0100000000000080", Message::Pong(0x8000_0000_0000_0001));
}

#[test]
fn addr() {
    let entry = |time, services, address| AddrV1 { time, services: Services(services), address: socket(address) };
    same(
        "addr",
        "02
         0065cd1d 0100000000000000 00000000000000000000ffff0a000001 2029
         ffffffff 0500000000000000 20010db80000000000000000000000ff 4739",
        Message::Addr(
            vec![entry(500_000_000, 1, "10.0.0.1:8233"), entry(u32::MAX, 5, "[2001:db8::ff]:18233")]
                .try_into()
                .unwrap(),
        ),
    );
}

#[test]
fn addrv2() {
    let entry = |services, host| AddrV2 {
        time: 500_000_000,
        services: Services(services),
        address: PeerAddr { host, port: 8233 },
    };
    let key = counting_hex(0x10);
    same(
        "addrv2",
        &format!(
            "05
             0065cd1d 01         01 04 0a000001                         2029
             0065cd1d fd0004     02 10 20010db80000000000000000000000ff 2029
             0065cd1d 00         04 20 {key}                            2029
             0065cd1d ff0000000001000000 05 20 {key}                    2029
             0065cd1d 01         06 10 fc000000000000000000000000000001 2029"
        ),
        Message::AddrV2(
            vec![
                entry(1, Host::V4([10, 0, 0, 1].into())),
                entry(0x400, Host::from("2001:db8::ff".parse::<std::net::IpAddr>().unwrap())),
                entry(0, Host::TorV3(counting(0x10))),
                entry(1 << 32, Host::I2p(counting(0x10))),
                entry(1, Host::Cjdns(CjdnsIpv6::new("fc00::1".parse().unwrap()).unwrap())),
            ]
            .try_into()
            .unwrap(),
        ),
    );
}

#[test]
fn inv_getdata_and_notfound() {
    let [a, b, c, d, e] = [0x00, 0x20, 0x40, 0x60, 0x80].map(counting);
    let payload = format!(
        "04 01000000 {} 02000000 {} 03000000 {} 05000000 {} {}",
        counting_hex(0x00),
        counting_hex(0x20),
        counting_hex(0x40),
        counting_hex(0x60),
        counting_hex(0x80),
    );
    let items = || {
        vec![
            Inventory::Tx(TxId(a)),
            Inventory::Block(BlockHash(b)),
            Inventory::FilteredBlock(BlockHash(c)),
            Inventory::Wtx(TxId(d), AuthDigest(e)),
        ]
        .try_into()
        .unwrap()
    };
    same("inv", &payload, Message::Inv(items()));
    same("getdata", &payload, Message::GetData(items()));
    same("notfound", &payload, Message::NotFound(items()));
    same("inv", "00", Message::Inv(Vec::new().try_into().unwrap()));
}

#[test]
fn getblocks_and_getheaders() {
    let payload = format!("ce980200 02 {} {} {}", counting_hex(1), counting_hex(2), "00".repeat(32));
    let locator = || Locator {
        version: ProtocolVersion(170_190),
        hashes: vec![BlockHash(counting(1)), BlockHash(counting(2))].try_into().unwrap(),
        stop: BlockHash::ZERO,
    };
    same("getblocks", &payload, Message::GetBlocks(locator()));
    same("getheaders", &payload, Message::GetHeaders(locator()));
}

#[test]
fn headers() {
    let payload = format!("02 {genesis} 00 {genesis} 00", genesis = regtest_genesis());
    let Message::Headers(headers) = accept("headers", &hex(&payload)) else { panic!("not headers") };
    let header = &headers[0];
    assert_eq!((header.version, header.previous), (4, BlockHash::ZERO));
    assert_eq!(header.merkle_root.to_string(), "c4eaa58879081de3c24a7b117ed2b28300e7ec4c4c1dff1d3f1268b7857a4ddb");
    assert_eq!((header.commitment, header.time, header.bits), ([0; 32], 1_296_688_602, 0x200f_0f0f));
    assert_eq!((header.nonce[0], header.solution.as_bytes()[..2].to_vec()), (9, vec![0x01, 0x93]));
    assert_eq!(header.hash(), Network::Regtest.genesis_hash());
    same("headers", &payload, Message::Headers(headers.clone()));
}

#[test]
fn block_and_tx() {
    let payload = format!("{} 01 abcdef", regtest_genesis());
    let block = Block::new(hex(&payload).into()).unwrap();
    assert_eq!(block.hash(), Network::Regtest.genesis_hash());
    assert_eq!(block.body(), [1, 0xab, 0xcd, 0xef]);
    same("block", &payload, Message::Block(block));
    same(
        "tx",
        "01000000 00 00 00000000",
        Message::Tx(Transaction::new(Bytes::from(vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0])).unwrap()),
    );
}

#[test]
fn reject() {
    let obsolete = Reject::new(Command::Version, RejectCode::OBSOLETE, "old");
    same("reject", "07 76657273696f6e 11 03 6f6c64", Message::Reject(obsolete));
    let mut invalid = Reject::new(Command::Block, RejectCode::INVALID, "");
    invalid.hash = Some(counting(1));
    same("reject", &format!("05 626c6f636b 10 00 {}", counting_hex(1)), Message::Reject(invalid));
}

#[test]
fn filters() {
    let filter = FilterLoad::new(vec![0xb5, 0x0f].try_into().unwrap(), 11, 0x0102_0304, 1).unwrap();
    same("filterload", "02 b50f 0b000000 04030201 01", Message::FilterLoad(filter));
    let element = vec![0xaa, 0xbb, 0xcc].try_into().unwrap();
    same("filteradd", "03 aabbcc", Message::FilterAdd(FilterAdd { element }));
}
