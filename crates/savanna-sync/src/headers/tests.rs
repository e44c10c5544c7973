//! The chain of headers from honest peers, and from each kind of the others.

use savanna_sim::regtest::{chain, extend};
use savanna_wire::{Block, Network};

use super::*;
use crate::verify;

/// What a peer answers to a locator.
enum Habit {
    /// The headers that follow the first hash it knows, 160 at most.
    Honest,
    /// Nothing, ever.
    Silent,
    /// That there is nothing more.
    Empty,
    /// The first 160 headers of its chain, whatever is asked.
    Looping,
    /// The headers of its chain one at a time, whatever is asked.
    Trickling,
    /// Headers whose parents it keeps to itself.
    Orphans,
}

struct World {
    headers: Headers<usize>,
    peers: Vec<(Habit, Vec<Block>)>,
    now: Duration,
    answers: Vec<usize>,
    gone: BTreeMap<usize, HeaderFault>,
    forks: Vec<u32>,
}

impl World {
    fn new(until: Option<u32>, peers: Vec<(Habit, Vec<Block>)>) -> Self {
        let mut headers = Headers::new(HeaderChain::new(Network::Regtest), until);
        (0..peers.len()).for_each(|peer| headers.handle_joined(peer));
        let answers = vec![0; peers.len()];
        Self { headers, peers, now: Duration::ZERO, answers, gone: BTreeMap::new(), forks: Vec::new() }
    }

    /// Runs until every peer has said that it has no more, or nothing happens any more.
    fn run(&mut self) {
        for _ in 0..10_000 {
            self.headers.handle_timeout(self.now);
            match self.headers.poll_action(self.now) {
                Some(HeaderAction::Ask { peer, locator }) => self.answer(peer, &locator),
                Some(HeaderAction::Cancel(_)) => {}
                Some(HeaderAction::Disconnect { peer, fault }) => assert_eq!(self.gone.insert(peer, fault), None),
                None if self.headers.is_done() => return,
                None => match self.headers.poll_timeout(self.now) {
                    Some(at) => self.now = at,
                    None => return,
                },
            }
        }
        panic!("the peers keep us busy for ever");
    }

    fn answer(&mut self, peer: usize, locator: &[BlockHash]) {
        assert!(locator.len() <= MAX_LOCATOR);
        assert_eq!(*locator.last().unwrap(), Network::Regtest.genesis_hash());
        let (habit, chain) = &self.peers[peer];
        let first = match habit {
            Habit::Honest => {
                let known = |hash: &BlockHash| chain.iter().position(|block| block.hash() == *hash);
                locator.iter().find_map(known).unwrap() + 1
            }
            Habit::Silent => return,
            Habit::Empty => chain.len(),
            Habit::Looping => 1,
            Habit::Trickling => 1 + self.answers[peer],
            Habit::Orphans => 50,
        };
        let most = if matches!(habit, Habit::Trickling) { 1 } else { 160 };
        self.answers[peer] += 1;
        let answer = chain[first..].iter().take(most).map(|block| block.header().clone()).collect();
        let checked = verify::headers(Network::Regtest, answer).unwrap();
        let change = self.headers.handle_headers(peer, &checked);
        self.forks.extend(change.fork);
    }

    fn tip(&self) -> (u32, BlockHash) {
        self.headers.chain().tip()
    }
}

fn tip_of(chain: &[Block]) -> (u32, BlockHash) {
    (u32::try_from(chain.len()).unwrap() - 1, chain[chain.len() - 1].hash())
}

fn branch(trunk: &[Block], fork: usize, count: u32) -> Vec<Block> {
    let branch = extend(&trunk[fork], u32::try_from(fork).unwrap(), count, 0, 9);
    trunk[..=fork].iter().cloned().chain(branch).collect()
}

#[test]
fn one_peer_leads_and_the_others_are_asked_for_the_rest() {
    let all = chain(1000, 0);
    let peers = vec![
        (Habit::Honest, all[..700].to_vec()),
        (Habit::Honest, all.clone()),
        (Habit::Honest, all[..300].to_vec()),
        (Habit::Honest, all.clone()),
    ];
    let mut world = World::new(None, peers);
    world.run();
    assert_eq!(world.tip(), tip_of(&all));
    assert!(world.headers.is_done() && world.gone.is_empty());
    // 699 headers in five answers, 301 in two, an end each; the others only say what they lack.
    assert_eq!(world.answers[0], 6);
    assert_eq!(world.answers[1], 3);
    assert!(world.answers[2] <= 3 && world.answers[3] == 1, "{:?}", world.answers);
}

#[test]
fn the_chain_with_the_most_work_wins_whoever_comes_first() {
    let long = chain(700, 0);
    let short = branch(&long, 600, 60);
    for peers in [[&short, &long], [&long, &short]] {
        let forks = if peers[0].len() < peers[1].len() { vec![600] } else { Vec::new() };
        let mut world = World::new(None, peers.map(|chain| (Habit::Honest, chain.clone())).into());
        world.run();
        assert_eq!(world.tip(), tip_of(&long));
        assert_eq!(world.forks, forks);
        assert!(world.gone.is_empty(), "a fork of less than a hundred blocks is no fault");
    }
}

#[test]
fn adversary_19_a_low_work_chain_loses_and_so_does_its_peer() {
    let long = chain(900, 0);
    let low = branch(&long, 300, 200);
    for low_first in [true, false] {
        let mut peers = vec![(Habit::Honest, long.clone()), (Habit::Honest, low.clone())];
        let mut low_peer = 1;
        if low_first {
            peers.swap(0, 1);
            low_peer = 0;
        }
        let mut world = World::new(None, peers);
        world.run();
        assert_eq!(world.tip(), tip_of(&long));
        // Whoever led with the low chain is found out when it is asked again.
        world.headers.ask_again();
        world.run();
        assert_eq!(world.gone, [(low_peer, HeaderFault::LowWork)].into());
    }
}

#[test]
fn adversary_19_headers_that_do_not_link_or_lack_work_are_refused() {
    let chain = chain(5, 0);
    let linked: Vec<BlockHeader> = chain.iter().map(|block| block.header().clone()).collect();
    let hashes: Vec<BlockHash> =
        verify::headers(Network::Regtest, linked.clone()).unwrap().iter().map(|h| h.1).collect();
    assert_eq!(hashes, chain.iter().map(Block::hash).collect::<Vec<_>>());

    let mut holed = linked.clone();
    holed.remove(3);
    let refused = verify::headers(Network::Regtest, holed).unwrap_err();
    assert_eq!(refused, verify::HeadersError::NotLinked { index: 3 });

    let mut easy = linked.clone();
    easy.truncate(3);
    easy[2].bits = 0x207f_ffff;
    let refused = verify::headers(Network::Regtest, easy).unwrap_err();
    assert!(matches!(refused, verify::HeadersError::Work { index: 2, .. }), "{refused}");

    let refused = verify::headers(Network::Mainnet, linked[1..].to_vec()).unwrap_err();
    assert!(matches!(refused, verify::HeadersError::Work { index: 0, .. }), "{refused}");
}

#[test]
fn adversary_19_headers_on_an_unknown_parent_cost_the_peer_its_place() {
    let chain = chain(300, 0);
    let mut world = World::new(None, vec![(Habit::Orphans, chain.clone()), (Habit::Honest, chain.clone())]);
    world.run();
    assert_eq!(world.gone, [(0, HeaderFault::Invalid)].into());
    assert_eq!(world.tip(), tip_of(&chain));
}

#[test]
fn adversary_22_a_peer_that_repeats_itself_loses_its_place() {
    let chain = chain(500, 0);
    let mut world = World::new(None, vec![(Habit::Looping, chain.clone()), (Habit::Honest, chain.clone())]);
    world.run();
    assert_eq!(world.gone, [(0, HeaderFault::Looping)].into());
    assert_eq!(world.tip(), tip_of(&chain));
    assert_eq!(world.answers[0], 2);
}

#[test]
fn adversary_22_empty_headers_for_ever_hold_up_nobody() {
    let chain = chain(500, 0);
    let mut world = World::new(None, vec![(Habit::Empty, chain.clone()), (Habit::Honest, chain.clone())]);
    world.run();
    assert_eq!(world.tip(), tip_of(&chain));
    assert_eq!(world.answers[0], 1);
    assert_eq!(world.now, Duration::ZERO);
}

#[test]
fn adversary_22_a_silent_peer_is_passed_over_within_seconds_and_then_let_go_of() {
    let chain = chain(500, 0);
    let mut world = World::new(None, vec![(Habit::Silent, Vec::new()), (Habit::Honest, chain.clone())]);
    world.run();
    assert_eq!(world.tip(), tip_of(&chain));
    assert!(world.headers.is_done());
    assert!(world.now <= Duration::from_secs(3), "{:?}", world.now);

    let mut world = World::new(None, vec![(Habit::Silent, Vec::new())]);
    world.run();
    assert_eq!(world.gone, [(0, HeaderFault::Silent)].into());
    assert_eq!(world.now, Duration::from_secs(30));
}

#[test]
fn adversary_22_many_silent_peers_are_waited_for_together() {
    let chain = chain(500, 0);
    let mut peers = vec![(Habit::Honest, chain.clone())];
    peers.extend((0..6).map(|_| (Habit::Silent, Vec::new())));
    let mut world = World::new(None, peers);
    world.run();
    assert_eq!(world.tip(), tip_of(&chain));
    assert_eq!(world.now, Duration::from_secs(2));
}

#[test]
fn a_peer_goes_on_from_the_highest_header_it_shares() {
    let all = chain(1000, 0);
    let mut headers: Headers<usize> = Headers::new(HeaderChain::new(Network::Regtest), None);
    headers.handle_joined(0);
    let checked = |range: std::ops::Range<usize>| {
        let part = all[range].iter().map(|block| block.header().clone()).collect();
        verify::headers(Network::Regtest, part).unwrap()
    };
    for (hash, header) in all[1..].iter().map(|block| (block.hash(), block.header())) {
        headers.chain.insert(header, hash).unwrap();
    }
    for (last, end) in [(0, 161), (160, 321), (320, 401)] {
        let Some(HeaderAction::Ask { locator, .. }) = headers.poll_action(Duration::ZERO) else { panic!() };
        let heights: Vec<u32> = locator.iter().map(|hash| headers.chain.height_of(*hash).unwrap()).collect();
        assert!(heights.is_sorted_by(|a, b| a > b), "{heights:?}");
        assert!(last == 0 || locator.contains(&all[last].hash()));
        headers.handle_headers(0, &checked(last + 1..end));
    }
}

#[test]
fn nothing_is_asked_for_beyond_the_goal() {
    let all = chain(1000, 0);
    let mut world = World::new(Some(200), vec![(Habit::Honest, all.clone()), (Habit::Honest, all)]);
    world.run();
    assert_eq!(world.tip().0, 480, "the second peer is asked once, from where the first was left");
    assert_eq!(world.answers, [2, 1]);
}

#[test]
fn a_new_block_is_found_when_peers_are_asked_again() {
    let all = chain(30, 0);
    let mut world = World::new(None, vec![(Habit::Honest, all[..30].to_vec())]);
    world.run();
    assert_eq!(world.tip(), tip_of(&all[..30]));
    world.peers[0].1 = all.clone();
    world.headers.ask_again();
    assert!(!world.headers.is_done());
    world.run();
    assert_eq!(world.tip(), tip_of(&all));
}

#[test]
fn adversary_22_known_headers_told_one_by_one_do_not_put_off_the_end() {
    let all = chain(1000, 0);
    let mut world = World::new(None, vec![(Habit::Honest, all.clone()), (Habit::Trickling, all.clone())]);
    world.run();
    assert_eq!(world.tip(), tip_of(&all));
    assert!(world.answers[1] < 20, "{:?}", world.answers);
}
