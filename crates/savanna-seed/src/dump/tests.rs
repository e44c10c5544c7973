use savanna_book::{Handshake, UnixTime};
use savanna_wire::{Network, PeerAddr, ProtocolVersion, Services};

use super::*;
use crate::{Ledger, LedgerConfig, Nameable, Roll, Tried};
use savanna_peerset::crawler::Chain;

const NOW: UnixTime = UnixTime(1_790_000_000);

/// A ledger of one good node, one of another chain, and one that never answered.
fn ledger() -> Ledger {
    let mut ledger = Ledger::of(LedgerConfig::new(Network::Mainnet), [1; 32]);
    let addresses =
        ["1.1.1.1:8233", "[2a01:4f8::1]:8233", "9.9.9.9:8233"].map(|text| text.parse::<PeerAddr>().unwrap());
    ledger.introduce(addresses, NOW);
    while let Some(next) = ledger.poll_try(NOW) {
        let said = Handshake {
            version: ProtocolVersion(170_190),
            services: Services(5),
            height: 3_600_000,
            user_agent: UserAgent::new(&b"/Evil \"x\" \x1b[2J\n1.2.3.4:8233 1/"[..]).unwrap(),
        };
        let chain = if next.address == addresses[0] { Chain::Ours } else { Chain::Other };
        let tried = if next.address == addresses[2] { Tried::Missed } else { Tried::Met { said, chain } };
        ledger.note(next.address, tried, NOW);
    }
    ledger
}

#[test]
fn the_table_has_the_columns_that_bitcoins_tools_read() {
    let text = table(ledger().reports(NOW));
    let mut lines = text.lines();
    let columns: Vec<_> = lines.next().unwrap().split_whitespace().collect();
    assert_eq!(
        columns,
        [
            "#",
            "address",
            "good",
            "lastSuccess",
            "%(2h)",
            "%(8h)",
            "%(1d)",
            "%(7d)",
            "%(30d)",
            "blocks",
            "svcs",
            "version"
        ]
    );
    let rows: Vec<Vec<_>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 2, "who never answered has no line: {text}");
    // As those tools do it: split at spaces, a share before its sign, services in hexadecimal, the agent in quotes.
    let [good, other] = [&rows[0], &rows[1]];
    assert_eq!((good[0], good[1], good[2]), ("1.1.1.1:8233", "1", "1790000000"));
    // 1 − e^(−1000/7200) is 0.1297.
    assert_eq!((good[3], good[7].trim_end_matches('%').parse::<f32>().unwrap()), ("12.97%", 0.04));
    assert_eq!((good[8], good[9], good[10]), ("3600000", "00000005", "170190"));
    assert_eq!((other[0], other[1], other[2]), ("[2a01:4f8::1]:8233", "0", "0"));
}

#[test]
fn adversary_12_a_user_agent_stays_one_word_on_its_line() {
    let text = table(ledger().reports(NOW));
    assert_eq!(text.lines().count(), 3);
    assert!(text.is_ascii() && !text.contains('\u{1b}'));
    for line in text.lines().skip(1) {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words.len(), 12, "{line}");
        assert!(words[11].starts_with("\"/Evil\\x20\\\"x\\\"\\x20\\x1b[2J\\n1.2.3.4:8233\\x201/"), "{line}");
    }
}

#[test]
fn json_has_everybody_and_why_not() {
    let text = json(ledger().reports(NOW)).unwrap();
    let rows: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |at: usize, key: &str| rows[at][key].clone();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(
        (of(0, "address"), of(0, "good"), of(0, "refusal")),
        ("1.1.1.1:8233".into(), true.into(), serde_json::Value::Null)
    );
    assert_eq!((of(1, "refusal"), of(1, "user_agent")), ("silent".into(), serde_json::Value::Null));
    assert_eq!((of(2, "refusal"), of(2, "chain"), of(2, "tries")), ("other_chain".into(), "other".into(), 1.into()));
}

fn head() -> ZoneHead {
    ZoneHead {
        zone: "seed.example.org".into(),
        name_servers: vec!["ns1.example.org".into(), "ns2.example.net.".into()],
        contact: "host.master@example.org".into(),
        ttl: 60,
        serial: 2_026_112_201,
    }
}

fn roll() -> Roll {
    let v4 = (0..100_u8).map(|each| format!("20.{}.0.{each}", each / 2));
    let v6 = (0..30_u8).map(|each| format!("2a01:{each:x}::1"));
    let nameable = |text: String| Nameable { ip: text.parse().unwrap(), services: Services(1) };
    Roll { nodes: v4.chain(v6).map(nameable).collect() }
}

#[test]
fn the_zone_file_has_what_a_primary_needs() {
    let text = zone_file(&head(), &roll(), [4; 32]).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "$ORIGIN seed.example.org.");
    assert_eq!(lines[1], "$TTL 60");
    assert_eq!(lines[2], "@ IN SOA ns1.example.org. host\\.master.example.org. 2026112201 900 300 604800 60");
    assert_eq!(lines[3..5], ["@ IN NS ns1.example.org.", "@ IN NS ns2.example.net."]);
    let of = |kind: &str| -> Vec<std::net::IpAddr> {
        let start = format!("@ IN {kind} ");
        lines.iter().filter_map(|line| line.strip_prefix(&start)).map(|ip| ip.parse().unwrap()).collect()
    };
    let (v4, v6) = (of("A"), of("AAAA"));
    assert_eq!((v4.len(), v6.len(), lines.len()), (25, 25, 55));
    let groups: std::collections::BTreeSet<_> =
        v4.iter().chain(&v6).map(|ip| savanna_book::Netgroup::of((*ip).into())).collect();
    assert_eq!(groups.len(), 50, "at most one of each group");
    assert_ne!(text, zone_file(&head(), &roll(), [5; 32]).unwrap(), "drawn anew by another seed");
    let empty = zone_file(&head(), &Roll::default(), [4; 32]).unwrap();
    assert_eq!(empty.lines().count(), 5);
}

#[test]
fn a_head_that_is_none_is_refused() {
    let with = |change: fn(&mut ZoneHead)| {
        let mut head = head();
        change(&mut head);
        zone_file(&head, &roll(), [0; 32])
    };
    assert_eq!(with(|head| head.ttl = 59), Err(ZoneError::Ttl(59)));
    assert_eq!(with(|head| head.name_servers.clear()), Err(ZoneError::NoNameServer));
    for bad in
        ["", "a..b", "two words.org", "x\n@ IN A 6.6.6.6", "$INCLUDE", "a;b.org", &"a".repeat(64), &"a.".repeat(140)]
    {
        for place in 0..3 {
            let mut head = head();
            match place {
                0 => head.zone = bad.into(),
                1 => head.name_servers[1] = bad.into(),
                _ => head.contact = bad.into(),
            }
            assert_eq!(zone_file(&head, &roll(), [0; 32]), Err(ZoneError::Name(bad.into())));
        }
    }
    assert!(with(|head| head.contact = "a b@example.org".into()).is_err());
}

/// Of 41 groups one holds 500 nodes: in a hundred files of 25 it is named some 61 times, as each of the others is.
#[test]
fn adversary_23_a_zone_file_favours_no_crowded_group() {
    let node = |text: String| crate::Nameable { ip: text.parse().unwrap(), services: savanna_wire::Services(5) };
    let crowd = (0..500).map(|each| node(format!("60.9.{}.{}", each / 250, each % 250)));
    let nodes = (0..40).map(|each| node(format!("{}.9.1.1", 70 + each))).chain(crowd).collect();
    let roll = Roll { nodes };
    let named = (0..100).filter(|seed| zone_file(&head(), &roll, [*seed; 32]).unwrap().contains(" 60.9.")).count();
    assert!((40..82).contains(&named), "{named}");
}
