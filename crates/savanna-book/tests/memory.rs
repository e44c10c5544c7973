//! A book of 50,000 addresses holds at most 250 bytes for each. Alone in its process, whose memory is measured.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::net::Ipv4Addr;

use savanna_book::{Book, Config, Source, UnixTime, Wanted};
use savanna_wire::{AddrV2, Host, Network, PeerAddr, Services};

const NOW: UnixTime = UnixTime(1_790_000_000);

/// Returns the resident memory that belongs to no file, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn heard(number: u32) -> AddrV2 {
    let [_, c, b, a] = number.to_be_bytes();
    let host = Host::V4(Ipv4Addr::new(20 + a % 64, b, c, 1 + a / 64));
    AddrV2 { time: NOW.0, services: Services::NODE_NETWORK, address: PeerAddr { host, port: 8233 } }
}

#[test]
fn a_book_of_fifty_thousand_addresses_takes_at_most_250_bytes_for_each() {
    const COUNT: u32 = 50_000;
    const MOST: usize = 250;
    let before = resident();
    let mut book = Book::new(Config::new(Network::Mainnet), [1; 32], [2; 32]);
    let mut number = 0_u32;
    while book.counts().total() < COUNT {
        // From many sources, so that all buckets are reached.
        let source = Source::Gossip(heard(number.wrapping_mul(0x9e37_79b1) >> 8).address.host);
        book.add(heard(number), source, NOW);
        number += 1;
    }
    let each = (resident() - before) / COUNT as usize;
    println!("{each} bytes for each address");
    assert!(each <= MOST, "{each} bytes");
    assert!(book.pick(&Wanted::default(), NOW).is_some());
}
