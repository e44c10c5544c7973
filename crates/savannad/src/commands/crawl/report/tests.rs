use std::path::Path;
use std::time::Duration;

use savanna_peerset::crawler::{Chain, Change, Changes, Ending, Introduction, Outcome, Record, Software};
use savanna_wire::{Network, PeerAddr, ProtocolVersion, Services, UserAgent};

use super::*;

const HOSTILE: &str = "/<script src=//evil.example/x.js></script>\"'&\u{1b}[31m/";

fn agent(text: &str) -> UserAgent {
    UserAgent::new(text.as_bytes()).unwrap()
}

fn record(address: &str, outcome: Outcome, user_agent: &str, height: i32) -> Record {
    let address: PeerAddr = address.parse().unwrap();
    let introduction = Introduction {
        version: ProtocolVersion(if outcome == Outcome::Obsolete { 170_140 } else { 170_190 }),
        services: Services(0b101),
        user_agent: agent(user_agent),
        height,
        connect: Some(Duration::from_millis(20)),
        round_trip: Some(Duration::from_millis(37)),
        told: Some(250),
        chain: Chain::Ours,
    };
    let has_spoken = !matches!(outcome, Outcome::Refused | Outcome::Silent | Outcome::Untried);
    let ending = if has_spoken { Ending::Complete } else { Ending::ConnectionRefused };
    let introduction = has_spoken.then(|| Box::new(introduction));
    Record { outcome, ending: Some(ending), introduction, ..Record::new(address, 1_790_000_000) }
}

fn census() -> Census {
    let mut records: Vec<_> = (1..=40)
        .map(|host| {
            record(&format!("127.{host}.0.1:8233"), Outcome::Reached, &format!("/Zebra:7.0.{host}/"), 3_550_000)
        })
        .collect();
    records.push(record("127.200.0.1:8233", Outcome::Reached, HOSTILE, i32::MIN));
    records.push(record("127.201.0.1:8233", Outcome::Obsolete, "/MagicBean:6.2.0/", i32::MAX));
    records.push(record("127.202.0.1:8233", Outcome::OtherChain, HOSTILE, 1_700_000));
    records.push(record("[2001:db8::1]:8233", Outcome::Refused, "", 0));
    let software = |text| Software { version: ProtocolVersion(170_160), user_agent: agent(text) };
    let address = records[0].address;
    let changed = vec![Change { address, before: software(HOSTILE), after: software("/Zebra:7.0.1/") }];
    let changes = Some(Changes { new: vec![address], gone: Vec::new(), changed });
    let took = Duration::from_secs(75);
    Census {
        network: Network::Mainnet,
        began: 1_790_000_000,
        took,
        is_complete: true,
        passed_over: 12_345,
        records,
        changes,
    }
}

fn page(census: &Census, places: Option<&Places>) -> String {
    let mut page = Vec::new();
    write(census, places, &mut page).unwrap();
    String::from_utf8(page).unwrap()
}

#[test]
fn the_page_tells_what_the_census_found() {
    let page = page(&census(), None);
    for told in [
        "Census of the Zcash network: mainnet",
        "2026-09-21T14:13:20Z",
        "1m 15s",
        "may tell kept 12\u{202f}345 out",
        "<dt>known</dt><dd>44</dd>",
        "<dt>of another chain</dt><dd>1</dd>",
        "/MagicBean:6.2.0/",
        "NODE_BLOOM",
        "median, 3550000".trim_start_matches("median, "),
        "refused: connection_refused",
        "1 new, 0 gone, 1 with other software",
    ] {
        assert!(page.contains(told), "{told} is missing");
    }
}

#[test]
fn adversary_12_the_page_runs_nothing_and_asks_nobody() {
    let page = page(&census(), None);
    assert!(!page.contains("<script") && page.contains("&lt;script"));
    assert!(page.bytes().all(|byte| byte == b'\n' || byte >= b' '), "a control character came through");
    for link in ["http:", "https:", "src=\"", "url(", "@import"] {
        assert!(!page.contains(link), "{link}");
    }
    let policy = page.find("Content-Security-Policy").unwrap();
    assert!(policy < page.find("<style").unwrap());
}

#[test]
fn every_element_that_is_opened_is_closed() {
    const VOID: [&str; 4] = ["meta", "link", "rect", "line"];
    let page = page(&census(), None);
    let (_, body) = page.split_once("<!doctype html>").unwrap();
    let mut open: Vec<&str> = Vec::new();
    for tag in body.split('<').skip(1) {
        let name = tag.split([' ', '>']).next().unwrap().trim_end_matches('/');
        match tag.strip_prefix('/') {
            Some(closing) => assert_eq!(open.pop(), closing.split('>').next(), "{open:?}"),
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
}

#[test]
fn an_empty_census_is_a_page_too() {
    let empty = Census { records: Vec::new(), changes: None, is_complete: false, ..census() };
    let page = page(&empty, None);
    assert!(page.contains("<dt>known</dt><dd>0</dd>") && page.contains("before every address was asked"));
}

#[test]
fn places_come_from_the_database_that_is_given() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/places.mmdb");
    let places = Places::open(&file).unwrap();
    let page = page(&census(), Some(&places));
    assert!(page.contains("<h2>Countries</h2>") && page.contains("<td>SE</td>") && page.contains("<td>KE</td>"));
    assert!(page.contains("AS64497 Example &lt;South&gt; &amp; Sons"));

    let bytes = std::fs::read(&file).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.mmdb");
    for bad in [&b"not a database"[..], &bytes[..bytes.len() / 2], &[]] {
        std::fs::write(&foreign, bad).unwrap();
        assert!(Places::open(&foreign).unwrap_err().to_string().contains("foreign.mmdb is no database"));
    }
    assert!(Places::open(&dir.path().join("none")).unwrap_err().to_string().contains("cannot be read"));
}
