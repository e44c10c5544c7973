use std::time::Duration;

use savanna_peerset::crawler::{Chain, Ending, Introduction, Outcome, Record, SavedNode, Software};
use savanna_wire::{CjdnsIpv6, Host, PeerAddr, ProtocolVersion, Services, UserAgent};

use super::*;

fn saved() -> Saved {
    let user_agent = UserAgent::new(*b"/A\"\x1b\xff\n/").unwrap();
    let hosts = [
        "1.2.3.4:1".parse::<PeerAddr>().unwrap().host,
        "[2a01::1]:1".parse::<PeerAddr>().unwrap().host,
        Host::TorV3([0xab; 32]),
        Host::I2p([7; 32]),
        Host::Cjdns(CjdnsIpv6::new("fc00::1".parse().unwrap()).unwrap()),
    ];
    let nodes = hosts.into_iter().map(|host| {
        let mut record = Record::new(PeerAddr { host, port: 8233 }, i64::MIN);
        record.outcome = Outcome::OtherChain;
        record.ending = Some(Ending::ClosedByPeer);
        record.last_seen = Some(i64::MAX);
        record.introduction = Some(Box::new(Introduction {
            version: ProtocolVersion(i32::MIN),
            services: Services(u64::MAX),
            user_agent: user_agent.clone(),
            height: -1,
            connect: Some(Duration::from_micros(7)),
            round_trip: None,
            told: Some(0),
            chain: Chain::Behind,
        }));
        SavedNode {
            record,
            before: Some(Software { version: ProtocolVersion(1), user_agent: user_agent.clone() }),
            missed: 1,
        }
    });
    Saved { network: Network::Testnet, ended: 5, is_complete: false, nodes: nodes.collect() }
}

#[test]
fn what_is_kept_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = StateFile::open(&dir.path().join("a/b"), Network::Testnet).unwrap();
    let mut told = |text: &str| panic!("{text}");
    assert_eq!(file.load(&mut told).unwrap(), None);
    let mut saved = saved();
    file.store(&saved).unwrap();
    assert_eq!(file.load(&mut told).unwrap().as_ref(), Some(&saved));
    saved.nodes.clear();
    file.store(&saved).unwrap();
    assert_eq!(file.load(&mut told).unwrap(), Some(saved));
}

#[test]
fn adversary_27_a_cut_changed_or_foreign_file_is_set_aside_and_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = StateFile::open(dir.path(), Network::Testnet).unwrap();
    file.store(&saved()).unwrap();
    let whole = fs::read(&file.path).unwrap();
    let mut changed = whole.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    let mut cut = whole.clone();
    cut.truncate(whole.len() - 7);
    let another = String::from_utf8(whole.clone()).unwrap().replace("\"testnet\"", "\"mainnet\"").into_bytes();
    let damaged = [cut, changed, another, Vec::new(), b"\n".to_vec(), vec![0; 4096], b"{}\n{}\n".to_vec()];
    for (number, bytes) in damaged.iter().enumerate() {
        fs::write(&file.path, bytes).unwrap();
        let mut told = Vec::new();
        assert_eq!(file.load(&mut |text| told.push(text.to_owned())).unwrap(), None, "{number}");
        assert_eq!((told.len(), file.path.exists()), (1, false), "{number}");
        assert_eq!(file.load(&mut |text| panic!("{text}")).unwrap(), None);
    }
    let aside = fs::read_dir(dir.path()).unwrap().count();
    // And the lock.
    assert_eq!(aside, damaged.len() + 1);
}

#[test]
fn two_crawls_do_not_share_a_state() {
    let dir = tempfile::tempdir().unwrap();
    let first = StateFile::open(dir.path(), Network::Testnet).unwrap();
    let error = StateFile::open(dir.path(), Network::Testnet).unwrap_err().to_string();
    assert!(error.ends_with("is in use by another crawl"), "{error}");
    StateFile::open(dir.path(), Network::Mainnet).unwrap();
    drop(first);
    StateFile::open(dir.path(), Network::Testnet).unwrap();
}
