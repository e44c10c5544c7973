use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use savanna_book::{Book, Config, Handshake, Prefix, Source, UnixTime};
use savanna_wire::{AddrV2, CjdnsIpv6, Host, PeerAddr, ProtocolVersion, Services, UserAgent};

use super::*;

const NOW: UnixTime = UnixTime(1_790_000_000);

/// A book with addresses of every kind and of every standing.
fn book(addresses: u32, seed: u64) -> Book {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut book = Book::new(Config::new(Network::Mainnet), [7; 32], [8; 32]);
    for number in 0..addresses {
        let host = match number % 20 {
            0 => Host::TorV3(random(&mut rng)),
            1 => Host::I2p(random(&mut rng)),
            2 => Host::Cjdns(
                CjdnsIpv6::new([&[0xfc][..], &random::<15>(&mut rng)].concat().try_into().unwrap_or([0xfc; 16]).into())
                    .unwrap(),
            ),
            3 => Host::from(std::net::IpAddr::from(
                [&[0x20, 0x01, 0x0c][..], &random::<13>(&mut rng)].concat().try_into().unwrap_or([0x20; 16]),
            )),
            _ => {
                let [a, b, c] = random(&mut rng);
                Host::V4([60 + a % 60, b, c, 1].into())
            }
        };
        let address = PeerAddr { host, port: 8233 };
        let heard = AddrV2 { time: NOW.0 - number % 1000, services: Services(1), address };
        book.add(heard, Source::Gossip(Host::V4([random::<1>(&mut rng)[0] | 1, 7, 7, 7].into())), NOW);
        if number % 7 == 0 {
            let user_agent = UserAgent::new(format!("/Zebra:7.0.{number}/").into_bytes()).unwrap();
            let (version, services) = (ProtocolVersion(170_190), Services(5));
            book.handle_attempt(address, NOW);
            book.handle_success(address, Handshake { version, services, height: -1, user_agent }, NOW);
            book.anchor(address);
        }
        if number % 500 == 1 {
            book.penalties_mut().penalize(host, 60, NOW);
            book.penalties_mut().ban(Prefix::of(host), UnixTime(NOW.0 + 60), NOW).unwrap();
        }
    }
    book
}

fn random<const N: usize>(rng: &mut ChaCha8Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

fn open(dir: &Path) -> Opened {
    PeerStore::open(dir, Network::Mainnet).unwrap()
}

#[test]
fn a_book_comes_back_as_it_was_kept() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("made");
    let snapshot = book(5000, 1).snapshot();
    assert!(snapshot.records.len() > 2 * 1024 && !snapshot.anchors.is_empty());
    assert!(!snapshot.bans.is_empty() && !snapshot.marks.is_empty());

    let Opened { mut store, snapshot: none, set_aside } = open(&dir);
    assert!(none.is_none() && set_aside.is_none());
    store.save(&snapshot).unwrap();
    store.save(&snapshot).unwrap();
    drop(store);
    let Opened { mut store, snapshot: found, .. } = open(&dir);
    assert!(found.as_ref() == Some(&snapshot), "it is another");
    let (restored, count) = Book::restore(Config::new(Network::Mainnet), found.unwrap(), [9; 32], NOW);
    assert_eq!((count.refused, restored.records().count()), (0, snapshot.records.len()));

    // A smaller one leaves nothing of the larger one behind.
    let smaller = book(10, 2).snapshot();
    store.save(&smaller).unwrap();
    drop(store);
    assert!(open(&dir).snapshot == Some(smaller));
}

#[test]
fn one_process_has_the_book() {
    let dir = tempfile::tempdir().unwrap();
    let held = open(dir.path());
    assert!(matches!(PeerStore::open(dir.path(), Network::Mainnet), Err(PeerStoreError::Locked { .. })));
    // Another network's is another file.
    assert!(PeerStore::open(dir.path(), Network::Testnet).unwrap().snapshot.is_none());
    drop(held);
    open(dir.path());
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_secret() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).store.save(&book(10, 3).snapshot()).unwrap();
    let mode = fs::metadata(dir.path().join("peers-mainnet.redb")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn adversary_27_a_foreign_file_is_set_aside_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers-mainnet.redb");
    let other = tempfile::tempdir().unwrap();
    PeerStore::open(other.path(), Network::Testnet).unwrap().store.save(&book(10, 4).snapshot()).unwrap();
    let testnet = fs::read(other.path().join("peers-testnet.redb")).unwrap();
    for foreign in [&b"my shopping list"[..], &[0; 5000], &testnet] {
        fs::write(&path, foreign).unwrap();
        let opened = open(dir.path());
        let aside = opened.set_aside.unwrap();
        assert!(opened.snapshot.is_none() && !aside.reason.is_empty());
        assert_eq!(fs::read(&aside.path).unwrap().len(), foreign.len());
        drop(opened.store);
        let again = open(dir.path());
        assert!(again.set_aside.is_none(), "it is told again");
    }
}

#[test]
fn adversary_27_a_cut_or_rotten_file_gives_the_book_or_a_new_one() {
    let seed = 5;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("peers-mainnet.redb");
    let snapshot = book(400, 6).snapshot();
    open(dir.path()).store.save(&snapshot).unwrap();
    let sound = fs::read(&path).unwrap();
    let (mut kept, mut fresh) = (0, 0);
    for turn in 0..60 {
        let mut bytes = sound.clone();
        let at = rng.next_u32() as usize % bytes.len();
        if turn % 3 == 0 {
            bytes.truncate(at);
        } else {
            let end = (at + 1 + rng.next_u32() as usize % 64).min(bytes.len());
            rng.fill_bytes(&mut bytes[at..end]);
        }
        fs::write(&path, bytes).unwrap();
        let mut opened = open(dir.path());
        match (&opened.snapshot, &opened.set_aside) {
            (Some(found), None) => {
                assert!(*found == snapshot, "turn {turn}: damage came through");
                kept += 1;
            }
            (None, aside) => {
                // A file that was cut to nothing is a new one.
                assert!(aside.is_some() || turn % 3 == 0, "turn {turn}: the book is gone and nobody was told");
                fresh += 1;
            }
            (Some(_), Some(_)) => unreachable!("what was set aside gives nothing"),
        }
        opened.store.save(&snapshot).unwrap();
        drop(opened);
        assert!(open(dir.path()).snapshot.as_ref() == Some(&snapshot), "turn {turn}");
    }
    assert!(kept > 0 && fresh > 10, "{kept} kept, {fresh} fresh");
}

#[test]
fn trouble_with_the_directory_is_an_error_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let error = PeerStore::open(&file, Network::Mainnet).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"x");
}
