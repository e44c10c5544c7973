#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]

use std::net::{IpAddr, Ipv4Addr};

use savanna_peer::Partial;
use savanna_wire::{BlockHash, BlockHeader, MerkleRoot, Solution};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn host(number: u32) -> Option<Host> {
    Some(IpAddr::V4(Ipv4Addr::from_bits(number)).into())
}

fn header() -> BlockHeader {
    BlockHeader {
        version: 4,
        previous: BlockHash::ZERO,
        merkle_root: MerkleRoot([0; 32]),
        commitment: [0; 32],
        time: 0,
        bits: 0x200f_0f0f,
        nonce: [0; 32],
        solution: Solution::new([0; 36]).unwrap(),
    }
}

#[test]
fn adversary_26_the_limit_holds_under_ten_thousand_attempts() {
    for (limit, attempts) in [(0, 100_u32), (1, 100), (12, 1_000), (13, 1_000), (30, 10_000)] {
        let mut inbound = Inbound::new(limit, [3; 32]);
        let (mut stayed, mut replaced, mut refused) = (0, 0, 0);
        for attempt in 0..attempts {
            let peer = PeerId(attempt.into());
            match inbound.handle_joined(peer, host(attempt.wrapping_mul(2_654_435_761)), false, SECOND * attempt) {
                Verdict::Stays => stayed += 1,
                Verdict::Replaces(other) => {
                    assert_ne!(other, peer);
                    replaced += 1;
                }
                Verdict::Refused => refused += 1,
            }
            inbound.handle_round_trip(peer, SECOND);
            assert!(inbound.len() <= limit);
        }
        assert_eq!((inbound.len(), stayed), (limit, limit));
        assert_eq!(replaced + refused, attempts as usize - limit);
        // Eight near ones and four of chosen ranges: of so few all are protected.
        assert_eq!((refused == 0, replaced == 0), (limit > 12, limit <= 12));
    }
}

#[test]
fn what_a_peer_delivers_at_our_asking_keeps_its_place() {
    let mut inbound = Inbound::new(60, [4; 32]);
    for number in 0..60 {
        assert_eq!(inbound.handle_joined(PeerId(number), host(number as u32), false, SECOND), Verdict::Stays);
    }
    // The youngest of one crowd, were it not for the headers.
    inbound.handle_response(PeerId(59), &Response::Headers(vec![header()]), 2 * SECOND);
    inbound.handle_response(PeerId(58), &Response::Headers(Vec::new()), 2 * SECOND);
    inbound.handle_response(PeerId(57), &Response::Pong(SECOND), 2 * SECOND);
    inbound.handle_response(PeerId(56), &Response::Blocks(Partial::complete(Vec::new())), 2 * SECOND);
    assert_eq!(inbound.handle_joined(PeerId(100), host(7 << 24), false, 3 * SECOND), Verdict::Replaces(PeerId(58)));
    assert_eq!(inbound.handle_joined(PeerId(101), host(8 << 24), false, 3 * SECOND), Verdict::Replaces(PeerId(56)));

    inbound.handle_left(PeerId(0));
    inbound.handle_left(PeerId(0));
    assert_eq!((inbound.len(), inbound.is_full(), inbound.is_empty()), (59, false, false));
    assert_eq!(inbound.handle_joined(PeerId(102), None, false, 3 * SECOND), Verdict::Stays);
    assert!(inbound.is_full());
}

#[test]
fn adversary_24_who_is_discouraged_is_the_first_to_go_and_replaces_nobody() {
    let mut inbound = Inbound::new(MAX_PROTECTED + 10, [5; 32]);
    for number in 0..inbound.limit as u64 {
        let is_discouraged = number < 2;
        assert_eq!(
            inbound.handle_joined(PeerId(number), host(number as u32), is_discouraged, SECOND * number as u32),
            Verdict::Stays
        );
        // The oldest and the nearest are those who are discouraged.
        inbound.handle_round_trip(PeerId(number), SECOND * number as u32);
    }
    let now = 1000 * SECOND;
    assert_eq!(inbound.handle_joined(PeerId(500), host(500), true, now), Verdict::Refused);
    assert_eq!(inbound.handle_joined(PeerId(501), host(501), false, now), Verdict::Replaces(PeerId(1)));
    assert_eq!(inbound.handle_joined(PeerId(502), host(502), false, now), Verdict::Replaces(PeerId(0)));
    assert!(matches!(inbound.handle_joined(PeerId(503), host(503), false, now), Verdict::Replaces(PeerId(2..))));
}
