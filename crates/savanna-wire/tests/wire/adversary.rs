//! What a hostile peer may send, and what must follow.

use bytes::BytesMut;
use savanna_wire::{
    Block, BlockHash, Bounded, Command, DecodeError, Decoded, Decoder, DropReason, FrameError, MAX_BLOCK_LEN,
    MAX_COMPACT_SIZE, MAX_TRANSACTION_LEN, MAX_USER_AGENT, Message, Network, ProtocolVersion, Services, Transaction,
    UserAgent, Version, VersionAddr,
};

use crate::{MAGIC, accept, counted, decode, encoded, frame, frame_of_field, refuse};

fn command_name(name: &str) -> &'static str {
    Command::ALL.into_iter().find(|command| command.name() == name).unwrap().name()
}

/// A payload of `getblocks` or `getheaders` with `count` declared and `given` hashes.
fn locator(count: u64, given: usize) -> Vec<u8> {
    [&170_190_i32.to_le_bytes()[..], &counted(count, &vec![3; 32 * given]), &[0; 32]].concat()
}

fn version() -> Version {
    Version {
        version: ProtocolVersion(170_190),
        services: Services::NODE_NETWORK,
        time: 1_700_000_000,
        receiver: VersionAddr::UNSPECIFIED,
        sender: VersionAddr::UNSPECIFIED,
        nonce: 99,
        user_agent: UserAgent::new(*b"/Savanna:0.1.0/").unwrap(),
        height: 3_000_000,
        relay: false,
    }
}

fn version_payload(version: Version) -> Vec<u8> {
    Message::Version(version).payload().to_vec()
}

/// A header with a regtest solution, as an entry of `headers` with the given bytes behind it.
fn header_entry(behind: &[u8]) -> Vec<u8> {
    [&[4; 140][..], &[36], &[5; 36], behind].concat()
}

#[test]
fn adversary_1_counts_above_a_types_cap_are_refused_before_anything_is_read() {
    for (command, limit) in
        [("addr", 1000), ("addrv2", 1000), ("inv", 50_000), ("getdata", 50_000), ("notfound", 50_000), ("headers", 160)]
    {
        for count in [limit + 1, 1_000_000, MAX_COMPACT_SIZE, u64::MAX] {
            let what = command_name(command);
            assert_eq!(refuse(command, &counted(count, &[])), DecodeError::TooLarge { what, count, limit });
        }
        let short = refuse(command, &counted(limit, &[1, 0, 0, 0, 0, 0, 0, 0]));
        assert!(matches!(short, DecodeError::UnexpectedEnd { .. }), "{command}: {short:?}");
    }
}

#[test]
fn adversary_2_non_canonical_counts_and_lengths_are_refused_in_every_message() {
    let zero_in_three = [0xfd, 0, 0];
    for command in ["addr", "addrv2", "inv", "getdata", "notfound", "headers", "reject", "filterload", "filteradd"] {
        assert_eq!(refuse(command, &zero_in_three), DecodeError::NonCanonical { what: command_name(command) });
    }
    for command in ["getblocks", "getheaders"] {
        let payload = [&[0; 4][..], &zero_in_three, &[0; 32]].concat();
        assert_eq!(refuse(command, &payload), DecodeError::NonCanonical { what: command_name(command) });
    }
    let mut payload = version_payload(version());
    payload.splice(80..81, [0xfd, 15, 0]);
    assert_eq!(refuse("version", &payload), DecodeError::NonCanonical { what: "version" });
    assert_eq!(
        refuse("headers", &[&[1][..], &header_entry(&[0xfd, 0xfc, 0])].concat()),
        DecodeError::NonCanonical { what: "headers" }
    );
    let mut block = header_entry(&[0]);
    block.splice(140..141, [0xfd, 36, 0]);
    assert_eq!(refuse("block", &block), DecodeError::NonCanonical { what: "block" });
    let services = [&[1, 1, 0, 0, 0][..], &[0xfd, 1, 0], &[1, 4, 1, 2, 3, 4], &[0, 1]].concat();
    assert_eq!(refuse("addrv2", &services), DecodeError::NonCanonical { what: "addrv2" });
}

#[test]
fn adversary_2_the_count_behind_a_header_may_be_anything_up_to_32_mib() {
    for count in [0, 1, 0xfd, 0x1_0000, MAX_COMPACT_SIZE] {
        let payload = [&[1][..], &header_entry(&counted(count, &[]))].concat();
        assert!(matches!(accept("headers", &payload), Message::Headers(headers) if headers.len() == 1));
    }
    for count in [MAX_COMPACT_SIZE + 1, u64::MAX] {
        let payload = [&[1][..], &header_entry(&counted(count, &[]))].concat();
        assert!(matches!(refuse("headers", &payload), DecodeError::TooLarge { .. }));
    }
}

#[test]
fn adversary_3_blocks_and_transactions_over_two_million_bytes_are_refused() {
    let mut block = header_entry(&[1]);
    block.resize(MAX_BLOCK_LEN, 0);
    assert!(matches!(accept("block", &block), Message::Block(read) if read.bytes()[..] == block[..]));
    block.push(0);
    let (count, limit) = (2_000_001, 2_000_000);
    assert_eq!(refuse("block", &block), DecodeError::TooLarge { what: "block", count, limit });
    assert!(Block::new(block.into()).is_err());

    let mut transaction = vec![1; MAX_TRANSACTION_LEN];
    assert!(matches!(accept("tx", &transaction), Message::Tx(read) if read.bytes()[..] == transaction[..]));
    transaction.push(1);
    assert_eq!(refuse("tx", &transaction), DecodeError::TooLarge { what: "tx", count, limit });
    assert!(Transaction::new(transaction.into()).is_err());
}

#[test]
fn adversary_4_a_wrong_checksum_drops_the_message_and_the_next_one_is_read() {
    for bit in 0..32 {
        let mut bytes = encoded(&Message::Ping(1));
        bytes[20 + bit / 8] ^= 1 << (bit % 8);
        bytes.extend(encoded(&Message::Ping(2)));
        let (mut decoder, mut buffer) = (Decoder::new(MAGIC), BytesMut::from(&bytes[..]));
        let dropped = Decoded::Dropped { reason: DropReason::BadChecksum, length: 8 };
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(dropped)));
        assert_eq!(decoder.decode(&mut buffer), Ok(Some(Decoded::Message(Message::Ping(2)))));
    }
}

#[test]
fn adversary_4_a_payload_that_would_not_decode_is_only_dropped_under_a_wrong_checksum() {
    let mut bytes = frame("verack", &[1, 2, 3]);
    assert!(decode(&bytes).is_err());
    bytes[20] ^= 1;
    assert_eq!(decode(&bytes), Ok(Decoded::Dropped { reason: DropReason::BadChecksum, length: 3 }));
}

#[test]
fn adversary_5_wrong_magic_zeroes_and_other_networks_close_at_the_fourth_byte() {
    let foreign = [Network::Testnet.magic().0, Network::Regtest.magic().0, [0; 4], *b"GET ", [0x24, 0xe9, 0x27, 0x65]];
    for found in foreign {
        for mut decoder in [Decoder::new(MAGIC), crate::ready()] {
            let mut buffer = BytesMut::from(&found[..3]);
            assert_eq!(decoder.decode(&mut buffer), Ok(None));
            buffer.extend_from_slice(&found[3..]);
            let error = FrameError::Magic { expected: MAGIC, found: savanna_wire::Magic(found) };
            assert_eq!(decoder.decode(&mut buffer), Err(error));
        }
    }
}

#[test]
fn adversary_6_a_malformed_command_is_passed_over() {
    for field in
        [*b"ping\0\0\0x\0\0\0\0", *b"p\xc3\xa9ng\0\0\0\0\0\0\0", *b"ping\x7f\0\0\0\0\0\0\0", *b"\x1fping\0\0\0\0\0\0\0"]
    {
        let decoded = decode(&frame_of_field(field, &[1; 8]));
        assert_eq!(decoded, Ok(Decoded::Dropped { reason: DropReason::MalformedCommand, length: 8 }));
    }
    for field in [[0; 12], *b"PING\0\0\0\0\0\0\0\0", *b"ping \0\0\0\0\0\0\0", *b"twelve-bytes"] {
        let decoded = decode(&frame_of_field(field, &[1; 8]));
        assert_eq!(decoded, Ok(Decoded::Dropped { reason: DropReason::UnknownCommand, length: 8 }));
    }
}

#[test]
fn adversary_12_a_user_agent_is_bytes_up_to_256_and_escaped_where_shown() {
    let longest = UserAgent::new(vec![b'a'; MAX_USER_AGENT]).unwrap();
    let payload = version_payload(Version { user_agent: longest.clone(), ..version() });
    assert!(matches!(accept("version", &payload), Message::Version(read) if read.user_agent == longest));

    let mut payload = version_payload(version());
    payload.splice(80..81, [0xfd, 1, 1]);
    payload.splice(83..83, [b'a'; 242]);
    let refused = DecodeError::TooLarge { what: "version", count: 257, limit: 256 };
    assert_eq!(refuse("version", &payload), refused);
    assert!(UserAgent::new(vec![b'a'; 257]).is_err());

    let hostile = UserAgent::new(*b"\x1b[2J\xff\xfe\n\"").unwrap();
    let payload = version_payload(Version { user_agent: hostile.clone(), ..version() });
    let Message::Version(read) = accept("version", &payload) else { panic!("not a version") };
    assert_eq!(read.user_agent, hostile);
    for shown in [read.user_agent.to_string(), format!("{read:?}")] {
        assert!(shown.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{shown:?}");
    }
}

#[test]
fn adversary_12_a_reject_is_escaped_where_shown() {
    let payload = [&[4][..], b"\x1b[2J", &[0x10, 3], b"\xff\n\t"].concat();
    let Message::Reject(reject) = accept("reject", &payload) else { panic!("not a reject") };
    assert_eq!((reject.command(), reject.reason()), (&b"\x1b[2J"[..], &b"\xff\n\t"[..]));
    for shown in [reject.to_string(), format!("{reject:?}")] {
        assert!(shown.bytes().all(|byte| (0x20..=0x7e).contains(&byte)), "{shown:?}");
    }
}

#[test]
fn adversary_13_times_heights_and_versions_at_their_extremes_are_data() {
    for (time, number) in [(i64::MIN, i32::MIN), (i64::MAX, i32::MAX), (-1, -1), (0, 0)] {
        let version = Version { time, height: number, version: ProtocolVersion(number), ..version() };
        assert_eq!(accept("version", &version_payload(version.clone())), Message::Version(version));
    }
    let entry = |time: u32| [&time.to_le_bytes()[..], &[0; 8], &[0; 10], &[0xff, 0xff, 1, 2, 3, 4], &[0, 1]].concat();
    let Message::Addr(entries) = accept("addr", &[&[2][..], &entry(0), &entry(u32::MAX)].concat()) else {
        panic!("not an addr")
    };
    assert_eq!(entries.iter().map(|entry| entry.time).collect::<Vec<_>>(), [0, u32::MAX]);
}

#[test]
fn adversary_14_a_version_cut_at_any_byte_is_malformed_unless_only_relay_is_missing() {
    for relay in [false, true] {
        let whole = version_payload(Version { relay, ..version() });
        let without_relay = whole.len() - 1;
        for cut in 0..without_relay {
            let error = refuse("version", &whole[..cut]);
            assert!(matches!(error, DecodeError::UnexpectedEnd { what: "version", .. }), "cut at {cut}: {error:?}");
        }
        assert_eq!(accept("version", &whole[..without_relay]), Message::Version(Version { relay: true, ..version() }));
        assert_eq!(accept("version", &whole), Message::Version(Version { relay, ..version() }));
    }
}

#[test]
fn adversary_14_relay_is_zero_or_one_and_what_follows_it_belongs_to_later_versions() {
    let mut payload = version_payload(version());
    payload.extend_from_slice(&[7; 40]);
    assert_eq!(accept("version", &payload), Message::Version(version()));
    let relay = payload.len() - 41;
    for byte in 2..=u8::MAX {
        payload[relay] = byte;
        assert_eq!(refuse("version", &payload), DecodeError::Invalid { what: "relay" });
        assert_eq!(refuse("version", &payload[..=relay]), DecodeError::Invalid { what: "relay" });
    }
}

#[test]
fn adversary_20_a_locator_holds_101_hashes_and_no_more() {
    for command in ["getblocks", "getheaders"] {
        let refused = DecodeError::TooLarge { what: command_name(command), count: 102, limit: 101 };
        assert_eq!(refuse(command, &locator(102, 102)), refused);
        let (Message::GetBlocks(read) | Message::GetHeaders(read)) = accept(command, &locator(101, 101)) else {
            panic!("not a locator")
        };
        assert_eq!((read.hashes.len(), read.stop), (101, BlockHash::ZERO));
        assert!(matches!(accept(command, &locator(0, 0)), Message::GetBlocks(_) | Message::GetHeaders(_)));
    }
    assert!(Bounded::<BlockHash, 101>::try_from(vec![BlockHash::ZERO; 102]).is_err());
}
