//! What is read, what is refused and what is passed over.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use bytes::{Bytes, BytesMut};
use proptest::strategy::{Strategy, ValueTree};
use savanna_wire::{
    AddrV2, Block, CjdnsIpv6, Command, DecodeError, Decoded, Decoder, DropReason, Host, Message, NativeIpv6, PeerAddr,
    PeerAddrError, ProtocolVersion, Services, Solution, write_compact_size,
};

use crate::{MAGIC, accept, any, counted, decode, encoded, frame, refuse};

fn addrv2_entry(id: u8, host: &[u8]) -> Vec<u8> {
    [&[1, 0, 0, 0, 1, id][..], &counted(host.len() as u64, host), &[0x20, 0x29]].concat()
}

#[test]
fn every_message_but_version_is_refused_with_a_byte_left_over_or_missing() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for command in Command::ALL {
        let message = any::message_of(command).new_tree(&mut runner).unwrap().current();
        let opaque = matches!(command, Command::Version | Command::Block | Command::Tx | Command::Reject);
        if opaque {
            continue;
        }
        let mut payload = message.payload().to_vec();
        payload.push(0);
        assert_eq!(refuse(command.name(), &payload), DecodeError::Trailing { left: 1 });
        payload.truncate(payload.len().saturating_sub(2));
        if !message.payload().is_empty() {
            assert!(matches!(refuse(command.name(), &payload), DecodeError::UnexpectedEnd { .. }), "{command}");
        }
    }
}

#[test]
fn a_reject_names_a_hash_or_none() {
    let plain = [&[2][..], b"tx", &[0x42, 3], b"fee"].concat();
    assert!(matches!(accept("reject", &plain), Message::Reject(reject) if reject.hash.is_none()));
    let named = [&plain[..], &[8; 32]].concat();
    assert!(matches!(accept("reject", &named), Message::Reject(reject) if reject.hash == Some([8; 32])));
    assert!(matches!(refuse("reject", &named[..named.len() - 1]), DecodeError::UnexpectedEnd { .. }));
    assert_eq!(refuse("reject", &[&named[..], &[0]].concat()), DecodeError::Trailing { left: 1 });
    let longest = [&[12][..], &[b'a'; 12], &[1, 111], &[b'a'; 111]].concat();
    assert!(matches!(accept("reject", &longest), Message::Reject(reject) if reject.reason().len() == 111));
    let long = [&[13][..], &[b'a'; 13], &[1, 0]].concat();
    assert!(matches!(refuse("reject", &long), DecodeError::TooLarge { count: 13, limit: 12, .. }));
    let long = [&[0, 1, 112][..], &[b'a'; 112]].concat();
    assert!(matches!(refuse("reject", &long), DecodeError::TooLarge { count: 112, limit: 111, .. }));
}

#[test]
fn filters_are_bounded() {
    let filter = |hashes: u32| [&counted(1, &[0xff]), &hashes.to_le_bytes()[..], &[0; 5]].concat();
    assert!(matches!(accept("filterload", &filter(50)), Message::FilterLoad(filter) if filter.hashes() == 50));
    assert_eq!(refuse("filterload", &filter(51)), DecodeError::Invalid { what: "number of hash functions" });
    assert!(matches!(refuse("filterload", &counted(36_001, &[0; 36_010])), DecodeError::TooLarge { .. }));
    let longest = [&counted(36_000, &[1; 36_000])[..], &[0; 9]].concat();
    assert!(matches!(accept("filterload", &longest), Message::FilterLoad(filter) if filter.bits.len() == 36_000));
    let longest = counted(520, &[1; 520]);
    assert!(matches!(accept("filteradd", &longest), Message::FilterAdd(filter) if filter.element.len() == 520));
    assert!(matches!(refuse("filteradd", &counted(521, &[0; 521])), DecodeError::TooLarge { .. }));
}

#[test]
fn inventory_of_unknown_size_drops_the_whole_message_and_never_closes() {
    for command in ["inv", "getdata", "notfound"] {
        for kind in [0_u32, 4, 6, 0x4000_0001, u32::MAX] {
            let payload = [&[2, 2, 0, 0, 0][..], &[1; 32], &kind.to_le_bytes(), &[1; 32]].concat();
            let dropped = Decoded::Dropped { reason: DropReason::UnknownInventory, length: payload.len() };
            assert_eq!(decode(&frame(command, &payload)), Ok(dropped));
        }
    }
}

#[test]
fn wtx_inventory_wants_a_negotiated_version_of_170014() {
    let payload = [&[1, 5, 0, 0, 0][..], &[1; 64]].concat();
    let bytes = frame("inv", &payload);
    for (version, known) in [(170_013, false), (170_014, true), (170_190, true), (i32::MIN, false)] {
        let (mut decoder, mut buffer) = (Decoder::new(MAGIC), BytesMut::from(&bytes[..]));
        decoder.complete_handshake(ProtocolVersion(version));
        let decoded = decoder.decode(&mut buffer).unwrap().unwrap();
        assert_eq!(matches!(decoded, Decoded::Message(Message::Inv(_))), known, "at {version}");
        assert!(known || matches!(decoded, Decoded::Dropped { reason: DropReason::UnknownInventory, .. }));
    }
}

#[test]
fn a_header_has_a_solution_of_one_of_two_lengths() {
    for (len, fine) in [(0, false), (35, false), (36, true), (37, false), (1343, false), (1344, true), (1345, false)] {
        let block = [&[4; 140][..], &counted(len as u64, &vec![5; len]), &[0]].concat();
        assert_eq!(Block::new(Bytes::from(block)).is_ok(), fine, "{len}");
        assert_eq!(Solution::new(vec![5; len]).is_some(), fine);
    }
}

#[test]
fn an_addrv2_host_of_a_known_network_has_that_networks_length() {
    for (id, right) in [(1, 4), (2, 16), (4, 32), (5, 32), (6, 16)] {
        for len in [0, right - 1, right, right + 1, 512] {
            let payload = [&[1][..], &addrv2_entry(id, &vec![0xfc; len])].concat();
            if len == right {
                assert!(matches!(accept("addrv2", &payload), Message::AddrV2(entries) if entries.len() == 1));
            } else {
                let error = refuse("addrv2", &payload);
                assert!(
                    matches!(error, DecodeError::UnexpectedEnd { .. } | DecodeError::Trailing { .. }),
                    "{id}/{len}"
                );
            }
        }
    }
    for id in [0, 1, 3, 7, 255] {
        let payload = [&[1][..], &addrv2_entry(id, &[0; 513])].concat();
        assert!(matches!(refuse("addrv2", &payload), DecodeError::TooLarge { count: 513, limit: 512, .. }));
    }
}

#[test]
fn addrv2_entries_of_tor_v2_of_unknown_networks_and_in_disguise_are_skipped() {
    let onion_cat: [u8; 16] = "fd87:d87e:eb43::1".parse::<Ipv6Addr>().unwrap().octets();
    let mapped: [u8; 16] = "::ffff:1.2.3.4".parse::<Ipv6Addr>().unwrap().octets();
    let entries = [
        addrv2_entry(3, &[1; 10]),
        addrv2_entry(0, &[]),
        addrv2_entry(200, &[1; 512]),
        addrv2_entry(2, &onion_cat),
        addrv2_entry(2, &mapped),
        addrv2_entry(6, &[0xfd; 16]),
        addrv2_entry(1, &[9, 9, 9, 9]),
    ];
    let payload = [&[7][..], &entries.concat()].concat();
    let Message::AddrV2(read) = accept("addrv2", &payload) else { panic!("not an addrv2") };
    assert_eq!(read.iter().map(|entry| entry.address.to_string()).collect::<Vec<_>>(), ["9.9.9.9:8233"]);
}

#[test]
fn a_host_has_one_value_and_no_other_networks_is_gossiped_in_disguise() {
    let mapped: IpAddr = "::ffff:1.2.3.4".parse().unwrap();
    assert_eq!(Host::from(mapped), Host::V4([1, 2, 3, 4].into()));
    assert_eq!(NativeIpv6::new("::ffff:1.2.3.4".parse().unwrap()), None);
    assert_eq!(CjdnsIpv6::new("fd00::1".parse().unwrap()), None);

    let onion_cat: IpAddr = "fd87:d87e:eb43::1".parse().unwrap();
    let entry = |ip: IpAddr| {
        let address = PeerAddr { host: ip.into(), port: 8233 };
        AddrV2 { time: 1, services: Services::NONE, address }
    };
    let told = |entries: Vec<AddrV2>| Message::AddrV2(entries.try_into().unwrap());
    let bytes = encoded(&told(vec![entry(onion_cat), entry(mapped)]));
    assert_eq!(decode(&bytes), Ok(Decoded::Message(told(vec![entry(mapped)]))));
    assert_eq!(bytes, encoded(&told(vec![entry(mapped)])), "what a reader skips is not written");
}

#[test]
fn services_of_an_addrv2_entry_are_a_value_and_so_may_exceed_32_mib() {
    let mut entry = vec![1, 0, 0, 0];
    write_compact_size(&mut entry, u64::MAX);
    entry.extend_from_slice(&[1, 4, 1, 2, 3, 4, 0, 1]);
    let Message::AddrV2(read) = accept("addrv2", &[&[1][..], &entry].concat()) else { panic!("not an addrv2") };
    assert_eq!(read[0].services, Services(u64::MAX));
}

#[test]
fn an_address_is_read_from_the_text_it_shows() {
    for text in ["203.0.113.5:8233", "[2001:db8::1]:18233"] {
        let address: PeerAddr = text.parse().unwrap();
        assert_eq!(address.to_string(), text);
        assert_eq!(address.socket_addr(), Some(text.parse::<SocketAddr>().unwrap()));
    }
    assert_eq!("[::ffff:203.0.113.5]:8233".parse(), "203.0.113.5:8233".parse::<PeerAddr>());
    for text in ["", "203.0.113.5", "example.com:8233", "2001:db8::1:8233"] {
        assert_eq!(text.parse::<PeerAddr>(), Err(PeerAddrError));
    }
    for host in
        [Host::TorV3([1; 32]), Host::I2p([1; 32]), Host::Cjdns(CjdnsIpv6::new("fc00::1".parse().unwrap()).unwrap())]
    {
        assert_eq!(PeerAddr { host, port: 1 }.socket_addr(), None);
    }
}
