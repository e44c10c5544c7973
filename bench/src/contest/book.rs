//! An address book as full as that of a node that has been running for long.

use std::net::Ipv4Addr;

use savanna_book::{Book, Config, Handshake, Source, UnixTime};
use savanna_wire::{AddrV2, Host, Network, PeerAddr, ProtocolVersion, Services, UserAgent};

use super::resident;

/// How many addresses the book holds.
pub(crate) const ADDRESSES: u32 = 50_000;

/// When the book was filled.
pub(crate) const FILLED: UnixTime = UnixTime(1_790_000_000);

/// Fills a book by gossip from many sources. Where `each` is given, every so-manieth address has answered.
pub(crate) fn fill(each: Option<u32>) -> Book {
    let mut book = Book::new(Config::new(Network::Mainnet), [1; 32], [2; 32]);
    for number in 0_u32.. {
        if book.counts().total() >= ADDRESSES {
            break;
        }
        let source = address(number.wrapping_mul(0x9e37_79b1) >> 8).host;
        let heard = AddrV2 { time: FILLED.0, services: Services::NODE_NETWORK, address: address(number) };
        book.add(heard, Source::Gossip(source), FILLED);
        if each.is_some_and(|each| number % each == 0) {
            book.handle_success(heard.address, handshake(), FILLED);
        }
    }
    book
}

/// Returns the bytes of memory that a book of gossip holds for each address.
pub(super) fn weigh() -> f64 {
    let before = resident();
    let book = fill(None);
    let grown = resident().saturating_sub(before);
    grown as f64 / f64::from(book.counts().total())
}

/// Returns the address with a number: neighbours are in different netgroups.
fn address(number: u32) -> PeerAddr {
    let [_, third, second, first] = number.to_be_bytes();
    PeerAddr { host: Host::V4(Ipv4Addr::new(20 + first % 64, second, third, 1 + first / 64)), port: 8233 }
}

fn handshake() -> Handshake {
    Handshake {
        version: ProtocolVersion(170_190),
        services: Services::NODE_NETWORK,
        height: 3_500_000,
        user_agent: UserAgent::default(),
    }
}
