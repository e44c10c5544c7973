//! The chain of headers from honest peers, and from each kind of the others.

use savanna_sim::regtest::{chain, extend};
use savanna_wire::{Block, MAX_LOCATOR, Network};

use super::*;
use crate::verify;

mod following;
mod judging;

/// Our clock: far behind every chain here.
const UNIX: u64 = 1_700_000_000;

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
    headers: Headers,
    peers: Vec<(Habit, Vec<Block>)>,
    now: Duration,
    answers: Vec<usize>,
    questions: usize,
    gone: BTreeMap<usize, HeaderFault>,
    forks: Vec<u32>,
    /// How many answers may wait while what follows them is asked for.
    lag: usize,
    unchecked: VecDeque<Vec<Answer>>,
}

impl World {
    fn new(until: Option<u32>, peers: Vec<(Habit, Vec<Block>)>) -> Self {
        let headers = Headers::new(HeaderChain::new(Network::Regtest), until);
        let answers = vec![0; peers.len()];
        let (gone, forks) = (BTreeMap::new(), Vec::new());
        let (lag, unchecked) = (0, VecDeque::new());
        Self { headers, peers, now: Duration::ZERO, answers, questions: 0, gone, forks, lag, unchecked }
    }

    /// Runs until nobody has more, or everybody is silent.
    fn run(&mut self) {
        for _ in 0..10_000 {
            self.headers.handle_timeout(self.now);
            match self.headers.poll_action(self.now) {
                Some(HeaderAction::Ask { whom, locator }) => self.ask(whom, &locator),
                Some(HeaderAction::Report { peer, fault }) => {
                    assert_eq!(self.gone.insert(usize::try_from(peer.0).unwrap(), fault), None);
                }
                None if !self.unchecked.is_empty() => self.take(),
                None if self.headers.is_done() || self.headers.is_silent(self.now) => return,
                None => self.now = self.headers.poll_timeout().expect("it waits for something"),
            }
        }
        panic!("the peers keep us busy for ever");
    }

    /// Asks as a peer set does: others in place of those who are silent, as far as there are others.
    fn ask(&mut self, whom: Whom, locator: &[BlockHash]) {
        let peers = if let Whom::Several(peers) = whom { peers } else { 1 };
        assert!(locator.len() <= MAX_LOCATOR);
        assert_eq!(*locator.last().unwrap(), Network::Regtest.genesis_hash());
        self.questions += 1;
        let present = (0..self.peers.len()).filter(|peer| !self.gone.contains_key(peer));
        let mut order: Vec<usize> = present.collect();
        let turn = self.questions % order.len().max(1);
        order.rotate_left(turn);
        order.sort_by_key(|peer| matches!(self.peers[*peer].0, Habit::Silent));
        order.truncate(peers);
        if order.iter().any(|peer| matches!(self.peers[*peer].0, Habit::Silent)) {
            // The answers of the others are held up; a question to one alone ends at some time.
            if order.len() == 1 {
                self.now += Duration::from_secs(30);
                self.headers.handle_failed(self.now);
            }
            return;
        }
        let answers: Vec<Answer> = order.into_iter().map(|peer| self.answer(peer, locator)).collect();
        let heard = |answer: &Answer| {
            let headers = answer.headers.as_deref().unwrap_or_default();
            Heard { peer: answer.peer, count: headers.len(), last: headers.last().map(|(_, hash)| *hash) }
        };
        assert!(self.headers.handle_heard(&answers.iter().map(heard).collect::<Vec<_>>(), self.now));
        self.unchecked.push_back(answers);
        if self.unchecked.len() > self.lag {
            self.take();
        }
    }

    /// Takes the oldest answers, as if their check ended now.
    fn take(&mut self) {
        let Some(answers) = self.unchecked.pop_front() else { return };
        let change = self.headers.handle_answers(&answers, self.now, UNIX);
        self.forks.extend(change.fork);
        if change.moot {
            self.unchecked.clear();
        }
    }

    fn answer(&mut self, peer: usize, locator: &[BlockHash]) -> Answer {
        let (habit, chain) = &self.peers[peer];
        let first = match habit {
            Habit::Honest => {
                let known = |hash: &BlockHash| chain.iter().position(|block| block.hash() == *hash);
                locator.iter().find_map(known).unwrap() + 1
            }
            Habit::Silent | Habit::Empty => chain.len(),
            Habit::Looping => 1,
            Habit::Trickling => 1 + self.answers[peer],
            Habit::Orphans => 50,
        };
        let most = if matches!(habit, Habit::Trickling) { 1 } else { 160 };
        self.answers[peer] += 1;
        let answer = chain[first..].iter().take(most).map(|block| block.header().clone()).collect();
        let headers = verify::headers(Network::Regtest, answer);
        Answer { peer: PeerId(peer as u64), headers, stopped: None }
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
fn the_chain_is_fetched_once_and_compared_with_what_others_have() {
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
    // Seven answers are full or the last; the rest are surveys, each an answer of every peer.
    assert!(world.questions < 14, "{}", world.questions);
    assert!(world.answers.iter().all(|&answers| answers > 0));
}

#[test]
fn the_chain_with_the_most_work_wins_whoever_comes_first() {
    let long = chain(700, 0);
    let short = branch(&long, 600, 60);
    for peers in [[&short, &long], [&long, &short]] {
        let mut world = World::new(None, peers.map(|chain| (Habit::Honest, chain.clone())).into());
        world.run();
        assert_eq!(world.tip(), tip_of(&long));
        assert!(world.forks.iter().all(|&fork| fork == 600) && world.forks.len() <= 2, "{:?}", world.forks);
        assert!(world.gone.is_empty(), "a fork of less than a thousand blocks is no fault");
    }
}

#[test]
fn a_branch_that_leaves_ours_far_below_is_followed_to_its_end() {
    let low = chain(3000, 0);
    for fork in [0, 100, 777, 1800, 2500, 2990] {
        let best = branch(&low, fork, u32::try_from(3010 - fork).unwrap());
        let mut peers: Vec<_> = (0..7).map(|_| (Habit::Honest, low.clone())).collect();
        peers.push((Habit::Honest, best.clone()));
        let mut world = World::new(None, peers);
        world.run();
        assert_eq!(world.tip(), tip_of(&best), "fork at {fork}");
        assert!(world.questions < 90, "{} questions", world.questions);
    }
}

#[test]
fn peers_that_lag_far_behind_cost_a_few_questions_and_keep_their_places() {
    let all = chain(4000, 0);
    let mut peers: Vec<_> = [100, 900, 1700, 2500, 3999].map(|length| (Habit::Honest, all[..length].to_vec())).into();
    peers.push((Habit::Honest, all.clone()));
    let mut world = World::new(None, peers);
    world.run();
    assert_eq!(world.tip(), tip_of(&all));
    assert!(world.gone.is_empty(), "{:?}", world.gone);
    assert!(world.questions < 90, "{} questions", world.questions);
}

#[test]
fn adversary_19_a_low_work_chain_loses_and_so_does_its_peer() {
    let long = chain(1500, 0);
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
        world.headers.ask_again(world.now);
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
    let mut world = World::new(None, vec![(Habit::Honest, chain.clone()), (Habit::Orphans, chain.clone())]);
    world.run();
    assert_eq!(world.gone, [(1, HeaderFault::Invalid)].into());
    assert_eq!(world.tip(), tip_of(&chain));
}

#[test]
fn adversary_22_a_peer_that_repeats_itself_loses_its_place() {
    let chain = chain(500, 0);
    let mut world = World::new(None, vec![(Habit::Looping, chain.clone()), (Habit::Honest, chain.clone())]);
    world.run();
    assert_eq!(world.gone, [(0, HeaderFault::Looping)].into());
    assert_eq!(world.tip(), tip_of(&chain));
    assert!(world.answers[0] <= 3);
}

#[test]
fn adversary_22_empty_headers_for_ever_hold_up_nobody() {
    let chain = chain(500, 0);
    let mut world = World::new(None, vec![(Habit::Empty, chain.clone()), (Habit::Honest, chain.clone())]);
    world.run();
    assert_eq!(world.tip(), tip_of(&chain));
    assert_eq!(world.now, Duration::ZERO);
}

#[test]
fn adversary_22_silent_peers_hold_up_the_end_for_seconds() {
    let chain = chain(500, 0);
    for silent in [1, 3, 6] {
        let mut peers = vec![(Habit::Honest, chain.clone())];
        peers.extend((0..silent).map(|_| (Habit::Silent, Vec::new())));
        let mut world = World::new(None, peers);
        world.run();
        assert_eq!(world.tip(), tip_of(&chain));
        assert!(world.headers.is_done());
        assert!(world.now <= Duration::from_secs(9), "{:?}", world.now);
    }
}

#[test]
fn adversary_22_a_network_that_says_nothing_is_given_up() {
    let mut world = World::new(None, vec![(Habit::Silent, Vec::new())]);
    world.run();
    assert!(!world.headers.is_done());
    assert!(world.now >= SILENT_AFTER && world.now < SILENT_AFTER * 2, "{:?}", world.now);
}

#[test]
fn adversary_22_a_peer_that_leaves_and_comes_back_silent_is_given_up() {
    let mut headers = Headers::new(HeaderChain::new(Network::Regtest), None);
    let mut now = Duration::ZERO;
    while !headers.is_silent(now) {
        assert!(now < SILENT_AFTER * 2, "still asking after {now:?}");
        if headers.poll_action(now).is_some() {
            now += Duration::from_secs(20);
            headers.handle_failed(now);
        }
        now = headers.poll_timeout().unwrap_or(now).max(now);
    }
}

#[test]
fn locators_go_down_and_hold_what_each_peer_sent_last() {
    let all = chain(3000, 0);
    let mut headers = Headers::new(HeaderChain::new(Network::Regtest), None);
    for block in &all[1..] {
        headers.chain.insert(block.header(), block.hash(), u64::MAX).unwrap();
    }
    for peer in 0..100_u32 {
        let end = all[usize::try_from(peer * 29).unwrap()].hash();
        headers.note_end(PeerId(u64::from(peer)), end, true).unwrap();
    }
    let locator = headers.locator();
    let heights: Vec<u32> = locator.iter().map(|hash| headers.chain.height_of(*hash).unwrap()).collect();
    assert!(heights.is_sorted_by(|a, b| a > b), "{heights:?}");
    assert!(heights.len() <= MAX_LOCATOR && heights[0] == 3000 && heights.last() == Some(&0));
    assert!((52..100).all(|peer| heights.contains(&(peer * 29))), "{heights:?}");
}

#[test]
fn nothing_is_asked_for_beyond_the_goal() {
    let all = chain(1000, 0);
    let mut world = World::new(Some(200), vec![(Habit::Honest, all.clone()), (Habit::Honest, all)]);
    world.run();
    assert_eq!(world.tip().0, 480, "the survey brings what follows once");
    assert_eq!(world.questions, 3);
}

#[test]
fn a_new_block_is_found_when_peers_are_asked_again() {
    let all = chain(30, 0);
    let mut world = World::new(None, vec![(Habit::Honest, all[..30].to_vec())]);
    world.run();
    assert_eq!(world.tip(), tip_of(&all[..30]));
    world.peers[0].1 = all.clone();
    world.headers.ask_again(world.now);
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

#[test]
fn what_follows_is_asked_for_while_answers_wait_to_be_checked() {
    let all = chain(5000, 0);
    let mut world = World::new(None, vec![(Habit::Honest, all.clone())]);
    world.lag = usize::MAX;
    let mut most = 0;
    while let Some(action) = world.headers.poll_action(world.now) {
        let HeaderAction::Ask { whom, locator } = action else { panic!("{action:?}") };
        world.ask(whom, &locator);
        most = most.max(world.unchecked.len());
    }
    assert_eq!(most, MAX_UNCHECKED + 1);
    assert_eq!(world.tip().0, 0, "nothing is taken unchecked");
    world.run();
    assert_eq!(world.tip(), tip_of(&all));
    assert!(world.headers.is_done() && world.gone.is_empty());
    assert!(world.questions <= 34, "{}", world.questions);
}

#[test]
fn adversary_19_what_follows_refused_headers_is_forgotten_unchecked() {
    let all = chain(2000, 0);
    let fork = branch(&all, 1950, 30);
    for lag in [1, 2, 4] {
        let habits = [Habit::Orphans, Habit::Looping, Habit::Empty, Habit::Trickling];
        let mut peers: Vec<_> = habits.into_iter().map(|habit| (habit, all.clone())).collect();
        peers.push((Habit::Honest, fork.clone()));
        peers.push((Habit::Honest, all.clone()));
        let mut world = World::new(None, peers);
        world.lag = lag;
        world.run();
        assert_eq!(world.tip(), tip_of(&all), "{lag} answers wait");
        assert!(world.gone.contains_key(&0) && world.gone.contains_key(&1), "{:?}", world.gone);
        assert!(!world.gone.contains_key(&4) && !world.gone.contains_key(&5), "{:?}", world.gone);
    }
}
