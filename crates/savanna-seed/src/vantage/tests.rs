use super::*;

const NOW: UnixTime = UnixTime(1_790_000_000);
const BOTH: Services = Services(5);

fn address(number: u8) -> PeerAddr {
    format!("20.{number}.0.1:8233").parse().unwrap()
}

/// A vantage point that tried the nodes of `tried` and finds those of `good` good.
fn point(tried: impl IntoIterator<Item = u8>, good: &[u8]) -> VantagePoint {
    let sighting = |number| {
        let is_good = good.contains(&number);
        Sighting { address: address(number), good: is_good.then_some(BOTH), is_reached: is_good }
    };
    VantagePoint { at: NOW, sightings: tried.into_iter().map(sighting).collect() }
}

fn named(points: &[VantagePoint]) -> Vec<u8> {
    let octet = |nameable: &Nameable| match nameable.ip {
        std::net::IpAddr::V4(ip) => ip.octets()[1],
        std::net::IpAddr::V6(_) => panic!("{nameable:?}"),
    };
    merge(points, 300, NOW).roll.nodes.iter().map(octet).collect()
}

#[test]
fn a_node_is_good_when_most_of_those_who_tried_it_find_it_good() {
    let points = [point(1..=6, &[1, 2, 3, 6]), point(1..=5, &[1, 2, 4]), point(1..=5, &[1, 5])];
    // 6 was tried by one alone, who found it good; 3, 4 and 5 by three, of whom one did.
    assert_eq!(named(&points), [1, 2, 6]);
    let [a, b, c] = points;
    assert_eq!(named(&[c, a, b]), [1, 2, 6], "whoever asks");
    assert_eq!(named(&[point(1..=2, &[1, 2]), point(1..=2, &[1])]), [1], "half is not most");
}

#[test]
fn one_that_is_offline_does_not_vote_everybody_down() {
    let seeing = point(1..=100, &(1..=90).collect::<Vec<_>>());
    let all: Vec<u8> = (1..=90).collect();
    let offline = point(1..=100, &[]);
    let nearly = point(1..=100, &[1, 2, 3]);
    assert_eq!(named(&[seeing.clone(), offline.clone(), offline.clone()]), all);
    let union = merge(&[seeing.clone(), nearly, offline.clone()], 300, NOW);
    assert_eq!((union.heard, union.offline, union.stale, union.roll.nodes.len()), (1, 2, 0, 90));
    let half = point(1..=100, &(1..=45).collect::<Vec<_>>());
    assert_eq!(named(&[seeing, half]).len(), 45, "who sees much has a voice");
    assert_eq!(merge(&[offline], 300, NOW).roll, Roll::default());
}

#[test]
fn one_that_is_stale_has_no_voice() {
    let stale = |points: VantagePoint| VantagePoint { at: NOW.minus(301), ..points };
    let union = merge(&[point(1..=2, &[1]), stale(point(1..=2, &[2])), stale(point(1..=2, &[2]))], 300, NOW);
    assert_eq!((union.heard, union.stale, union.roll.nodes.len()), (1, 2, 1));
    let all_stale = merge(&[stale(point(1..=2, &[1, 2]))], 300, NOW);
    assert_eq!((all_stale.heard, all_stale.roll), (0, Roll::default()), "never old data");
    let ahead = |seconds| VantagePoint { at: NOW.plus(seconds), ..point(1..=2, &[1, 2]) };
    assert_eq!(named(&[ahead(300)]), [1, 2], "a clock that is somewhat ahead is no reason");
    assert_eq!(named(&[ahead(301)]), [0; 0], "one that is further ahead would stay fresh for ever");
}

#[test]
fn what_is_offered_is_what_all_have_seen() {
    let mut other = point(1..=1, &[1]);
    Arc::make_mut(&mut other.sightings)[0].good = Some(Services(0x0100_0001));
    assert_eq!(merge(&[point(1..=1, &[1]), other], 300, NOW).roll.nodes[0].services, Services(1));
}

/// A look out of turn, and a silence of ours, leave a node reached.
#[test]
fn a_node_is_reached_that_did_not_fail_and_was_met_of_late() {
    let chain = savanna_peerset::crawler::Chain::Ours;
    let said = savanna_book::Handshake {
        version: savanna_wire::ProtocolVersion(170_190),
        services: BOTH,
        height: 3_600_000,
        user_agent: savanna_wire::UserAgent::new(&b"/Savanna:0.1.0/"[..]).unwrap(),
    };
    let config = crate::LedgerConfig::new(savanna_wire::Network::Mainnet);
    let mut ledger = Ledger::new(config, 3_522_460, [7; 32]);
    ledger.introduce((1..20).map(address), NOW);
    let mut now = NOW;
    for _ in 0..600 {
        while let Some(next) = ledger.poll_try(now) {
            ledger.note(next.address, crate::Tried::Met { said: said.clone(), chain }, now);
        }
        now = now.plus(10);
    }
    let point = VantagePoint::of(&ledger, now);
    assert_eq!((point.at, point.reached()), (now, 19));
}
