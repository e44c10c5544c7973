//! Peers that let an address in once in two minutes, as Zebra's do: the smallest networks have to live with that.

use super::*;

/// How long a peer refuses after it has let somebody in, in seconds.
const REFUSES: u32 = 119;

#[derive(Default)]
struct Peers {
    let_in: BTreeMap<PeerAddr, UnixTime>,
    refused: usize,
}

impl Peers {
    fn ask(&mut self, address: PeerAddr, now: UnixTime) -> Tried {
        if self.let_in.get(&address).is_some_and(|at| now.since(*at) < REFUSES) {
            self.refused += 1;
            return Tried::Missed;
        }
        self.let_in.insert(address, now);
        met()
    }
}

/// Two days, looked at each minute: names are never gone, however few there are, and nobody who is always there is left out
/// once it is known of all whether they stay.
#[test]
fn peers_that_refuse_for_two_minutes_are_named_all_the_time() {
    for count in [1, 10, 30, 200] {
        let (mut ledger, mut peers) = (ledger(1_000), Peers::default());
        ledger.introduce((0..count).map(address), START);
        let mut now = START;
        for minute in 0..48 * 60 {
            for _ in 0..30 {
                while let Some(next) = ledger.poll_try(now) {
                    let tried = peers.ask(next.address, now);
                    ledger.note(next.address, tried, now);
                }
                now = now.plus(2);
            }
            let named = ledger.roll(now).nodes.len();
            let least = if minute < 90 { count.div_ceil(2).min(25) } else { count };
            assert!(named >= least as usize, "{named} of {count} in minute {minute}: {:?}", ledger.vet(now).refused);
        }
        assert_eq!(peers.refused, 0, "of {count} peers none was asked too soon");
        assert!(ledger.reports(now).all(|report| report.reliability.is_good() && report.reliability.tries() > 48));
    }
}

/// A lone peer that goes is named for five minutes at most, and is back when it answers.
#[test]
fn a_network_of_one_is_given_up_after_five_minutes() {
    let (mut ledger, mut peers) = (ledger(10), Peers::default());
    ledger.introduce([address(0)], START);
    let now = play(&mut ledger, START, 6 * HOUR, |next, now| peers.ask(next.address, now));
    let heard = ledger.last_heard();
    let mut now = play(&mut ledger, now, 200, |_, _| Tried::Missed);
    while now.since(heard) <= 300 {
        now = play(&mut ledger, now, 10, |_, _| Tried::Missed);
    }
    assert_eq!(ledger.roll(now), Roll::default());
    let now = play(&mut ledger, now, 24 * HOUR, |_, _| Tried::Missed);
    assert_eq!(ledger.roll(now), Roll::default());
    let now = play(&mut ledger, now, 150, |_, _| met());
    assert_eq!(ledger.roll(now).nodes.len(), 1);
}

/// One that hangs up at once is not to blame if it was asked of late, and is otherwise.
#[test]
fn who_hangs_up_when_asked_again_too_soon_is_not_blamed() {
    for (asked_again_after, tries) in [(60, 1), (140, 2)] {
        let mut ledger = ledger(10);
        ledger.introduce([address(0)], START);
        ledger.poll_try(START).unwrap();
        ledger.note(address(0), met(), START);
        let again = START.plus(asked_again_after);
        let node = ledger.nodes[0].as_mut().unwrap();
        let was = std::mem::replace(&mut node.next, again);
        ledger.proven = BTreeSet::from([(again, 0)]);
        assert!(was > START && ledger.poll_try(again).is_some());
        ledger.note(address(0), Tried::HungUp, again);
        assert_eq!(ledger.reports(again).next().unwrap().reliability.tries(), tries);
        assert!(ledger.nodes[0].as_ref().unwrap().next.since(again) > 125, "it is let alone");
    }
}
