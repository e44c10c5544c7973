use std::time::{Duration, Instant};

use savanna_book::{Handshake, Netgroup, UnixTime};
use savanna_peerset::crawler::Chain;
use savanna_wire::{PeerAddr, ProtocolVersion, Services, UserAgent};

use super::*;
use crate::{Authority, Decision, Kept, Reliability, Steadiness};

fn kept(number: u32) -> Kept {
    let [a, b, c, d] = number.to_be_bytes();
    let address: PeerAddr = if number.is_multiple_of(3) {
        format!("[2a01:{b:x}{c:02x}:{d:x}::{a:x}]:8233").parse().unwrap()
    } else {
        format!("20.{b}.{c}.{d}:8233").parse().unwrap()
    };
    let (mut reliability, mut steadiness) = (Reliability::NEW, Steadiness::NEW);
    for turn in 0..number % 40 {
        reliability.note(turn % 5 != 0, UnixTime(1_790_000_000 + turn * 2_000));
        steadiness.note(turn % 5 != 0, UnixTime(1_790_000_000 + turn * 2_000));
    }
    let said = Handshake {
        version: ProtocolVersion(170_190),
        services: Services(u64::from(number)),
        height: i32::try_from(number).unwrap() - 7,
        user_agent: UserAgent::new(format!("/Node:{number}/\u{1b}[2J").into_bytes()).unwrap(),
    };
    Kept {
        address,
        source: Netgroup::of(address.host),
        reliability,
        steadiness,
        said: (!number.is_multiple_of(4)).then_some(said),
        chain: [Chain::Unknown, Chain::Ours, Chain::Behind, Chain::Other][number as usize % 4],
        first_heard: UnixTime(1_780_000_000),
        last_success: UnixTime(number),
        shown: UnixTime(number + 1),
        next: UnixTime(u32::MAX - number),
        failures: d,
    }
}

fn snapshot(nodes: u32) -> Snapshot {
    let authority = Authority::Attested { by: "ann".into() };
    let floor = Decision { version: ProtocolVersion(170_190), since: UnixTime(1_790_000_000), authority };
    Snapshot { nodes: (1..=nodes).map(kept).collect(), floor }
}

fn open(dir: &Path) -> OpenedLedger {
    LedgerStore::open(dir, Network::Mainnet).unwrap()
}

#[test]
fn what_was_saved_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let OpenedLedger { mut store, snapshot: none, set_aside } = open(dir.path());
    assert_eq!((none, set_aside), (None, None));
    for authority in [Authority::Known, Authority::Observed { past: 5, of: 6 }] {
        let mut first = snapshot(3_000);
        first.floor.authority = authority;
        store.save(&first).unwrap();
        drop(store);
        let opened = open(dir.path());
        assert_eq!(opened.snapshot, Some(first));
        store = opened.store;
    }
    let fewer = snapshot(1_500);
    store.save(&fewer).unwrap();
    drop(store);
    assert_eq!(open(dir.path()).snapshot, Some(fewer), "what is gone is gone");
}

#[test]
fn adversary_27_a_damaged_or_foreign_file_is_set_aside_and_a_new_one_begins() {
    let written = {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).store.save(&snapshot(2_000)).unwrap();
        fs::read(dir.path().join("seeder-mainnet.redb")).unwrap()
    };
    let mut fresh = 0;
    for cut in [1, 100, 4_096, written.len() / 2, written.len() - 1] {
        fresh += usize::from(begins_anew(&written[..cut]));
    }
    for at in (0..64).chain((64..written.len()).step_by(written.len() / 40)) {
        let mut rotten = written.clone();
        rotten[at] ^= 0x55;
        begins_anew(&rotten);
    }
    assert!(fresh >= 4, "{fresh}");
    assert!(begins_anew(b"no database"));
}

/// Opens a file with such content, saves to it, and opens it again. Returns whether it began anew.
fn begins_anew(content: &[u8]) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seeder-mainnet.redb");
    fs::write(&path, content).unwrap();
    let mut opened = open(dir.path());
    let is_new = opened.snapshot.is_none();
    if let Some(aside) = &opened.set_aside {
        assert!(is_new && aside.path.exists() && aside.to_string().contains("set aside"), "{aside}");
    }
    let after = snapshot(10);
    opened.store.save(&after).unwrap();
    drop(opened);
    assert_eq!(open(dir.path()).snapshot, Some(after));
    is_new
}

#[test]
fn a_ledger_of_another_network_is_not_taken_for_this_ones() {
    let dir = tempfile::tempdir().unwrap();
    LedgerStore::open(dir.path(), Network::Testnet).unwrap().store.save(&snapshot(5)).unwrap();
    fs::rename(dir.path().join("seeder-testnet.redb"), dir.path().join("seeder-mainnet.redb")).unwrap();
    let opened = open(dir.path());
    assert_eq!(opened.snapshot, None);
    assert!(opened.set_aside.unwrap().reason.contains("testnet"));
}

#[test]
fn one_process_has_it_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let second = LedgerStore::open(dir.path(), Network::Mainnet).unwrap_err();
    assert!(matches!(second, LedgerStoreError::Locked { .. }), "{second}");
    drop(first);
}

#[test]
fn pieces_that_were_never_written_are_refused() {
    let good = codec::encode(&snapshot(20));
    assert!(codec::decode(&good).is_ok());
    assert!(codec::decode(&[]).is_err());
    assert!(codec::decode(&good[..1]).is_err(), "nodes are missing");
    for (piece, bytes) in good.iter().enumerate() {
        for cut in 0..bytes.len() {
            let mut pieces = good.clone();
            pieces[piece].truncate(cut);
            assert!(codec::decode(&pieces).is_err(), "piece {piece} cut at {cut}");
        }
    }
}

#[test]
fn adversary_27_a_node_that_cannot_be_is_left_out_and_the_others_stay() {
    let mut kept = snapshot(20);
    kept.nodes[7].address = "[::]:8233".parse().unwrap();
    let read = codec::decode(&codec::encode(&kept)).unwrap();
    kept.nodes.remove(7);
    assert_eq!(read, kept);
}

#[test]
fn fifty_thousand_nodes_are_saved_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (all, mut opened) = (snapshot(50_000), open(dir.path()));
    let began = Instant::now();
    opened.store.save(&all).unwrap();
    let saved = began.elapsed();
    drop(opened);
    let began = Instant::now();
    assert_eq!(open(dir.path()).snapshot, Some(all));
    let read = began.elapsed();
    let length = fs::metadata(dir.path().join("seeder-mainnet.redb")).unwrap().len();
    println!("50,000 nodes: saved in {saved:?}, read in {read:?}, {length} bytes");
    // The program under test is not optimized, and shares its machine.
    assert!(saved + read < Duration::from_secs(20));
}
