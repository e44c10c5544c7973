//! Nodes that answer, and not as they should.

use super::*;

/// Holds a list for the light question, and nothing for the deep one.
#[test]
fn adversary_13_a_canned_header_does_not_keep_a_node_named() {
    let mut ledger = ledger(100);
    let liar = address(1);
    ledger.introduce((0..20).map(address), START);
    let mut now = play(&mut ledger, START, 6 * HOUR, |_, _| met());
    assert_eq!(ledger.roll(now).nodes.len(), 20);
    // It has shown its chain once, and has thrown it away.
    let mut minutes_named = 0;
    for _ in 0..48 * 60 {
        now = play(&mut ledger, now, 60, |next, _| match next.depth {
            Depth::Deep if next.address == liar => Tried::Met { said: said(), chain: Chain::Unknown },
            Depth::Deep | Depth::Light => met(),
        });
        minutes_named += usize::from(ledger.roll(now).nodes.len() == 20);
    }
    assert!(minutes_named < 14 * 60, "until it is asked at depth: {minutes_named} minutes");
    assert_eq!(ledger.roll(now).nodes.len(), 19);
}

#[test]
fn another_chain_is_believed_whenever_it_is_shown() {
    let mut ledger = ledger(100);
    ledger.introduce((0..3).map(address), START);
    let now = play(&mut ledger, START, 20, |_, _| met());
    assert_eq!(ledger.roll(now).nodes.len(), 3);
    // Asked out of turn, since nobody is due.
    let now = play(&mut ledger, now, 180, |next, _| match next.address == address(1) {
        true => Tried::Met { said: said(), chain: Chain::Other },
        false => met(),
    });
    assert_eq!(ledger.refusals(now), BTreeMap::from([(Refusal::OtherChain, 1)]));
}

/// Whoever is of no use does not show that the network lives.
#[test]
fn adversary_13_who_could_not_be_named_does_not_keep_a_dead_network_alive() {
    let of_no_use = [
        Tried::Met { said: said(), chain: Chain::Behind },
        Tried::Met { said: Handshake { version: ProtocolVersion(170_150), ..said() }, chain: Chain::Ours },
        Tried::Met { said: Handshake { services: Services::NONE, ..said() }, chain: Chain::Ours },
    ];
    for useless in of_no_use {
        let mut ledger = ledger(100);
        ledger.introduce((0..50).map(address), START);
        let lives = |next: &Try, _| match (0..10).any(|each| next.address == address(each)) {
            true => useless.clone(),
            false => met(),
        };
        let mut now = play(&mut ledger, START, 12 * HOUR, lives);
        assert_eq!(ledger.roll(now).nodes.len(), 40, "{useless:?}");
        let died = now;
        while now.since(died) <= LedgerConfig::STALE_AFTER {
            now = play(&mut ledger, now, 2, |next, now| match lives(next, now) {
                tried if tried == useless => tried,
                _ => Tried::Missed,
            });
        }
        assert_eq!(ledger.roll(now), Roll::default(), "{useless:?}");
    }
}

/// Before an upgrade, eight groups that claim to be ready are not all the answers.
#[test]
fn adversary_23_few_groups_that_claim_to_be_ready_do_not_take_all_answers() {
    let mut ledger = ledger(100);
    ledger.introduce((0..30).map(address), START);
    let near = Upgrade::Nu7.activation_height(Network::Mainnet).unwrap() - 1_000;
    let now = play(&mut ledger, START, 10, |next, _| {
        let is_ready = (0..9).any(|each| next.address == address(each));
        let version = ProtocolVersion(if is_ready { 170_190 } else { 170_160 });
        Tried::Met { said: Handshake { version, height: i32::try_from(near).unwrap(), ..said() }, chain: Chain::Ours }
    });
    assert_eq!(ledger.vet(now).good, 30, "nine of thirty are less than a third");
}
