//! A world of peers, a disk and a clock around a download, all of it generated from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_chain::check_body;
use savanna_peer::Missing;
use savanna_sim::regtest::{extend, genesis, with_wrong_body};
use savanna_wire::{Block, BlockHash, Network};

use super::super::{Action, Answer, AskId, Download, Fault, Limits};

/// How a peer answers.
#[derive(Debug, Clone)]
pub(super) struct Habit {
    /// Time for each block.
    pub(super) pace: Duration,
    /// Time before and after each answer, however long.
    pub(super) latency: Duration,
    /// After so many blocks it says nothing any more.
    pub(super) silent_after: Option<usize>,
    /// Every block it sends has a wrong body.
    pub(super) lies: bool,
    /// It drops what is beyond so many blocks of an answer.
    pub(super) at_most: usize,
    /// Heights that it says it lacks.
    pub(super) lacks: Range<u32>,
    /// When it goes.
    pub(super) leaves_at: Option<Duration>,
}

impl Default for Habit {
    fn default() -> Self {
        let (pace, latency) = (Duration::from_millis(1), Duration::from_millis(1));
        Self { pace, latency, silent_after: None, lies: false, at_most: 16, lacks: 0..0, leaves_at: None }
    }
}

#[derive(Debug)]
struct Member {
    habit: Habit,
    sent: usize,
    busy_until: Duration,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Answer(AskId),
    Leave(usize),
    Written(usize),
}

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) download: Download<usize>,
    /// What was handed over so far.
    pub(super) handed: Vec<Block>,
    /// How many blocks each peer delivered.
    pub(super) delivered: BTreeMap<usize, usize>,
    /// The most blocks that each peer was asked for at once.
    pub(super) widest: BTreeMap<usize, usize>,
    /// Peers let go of.
    pub(super) gone: BTreeMap<usize, Fault>,
    /// Time for each block written.
    pub(super) write_pace: Duration,
    chain: Vec<Block>,
    limits: Limits,
    members: BTreeMap<usize, Member>,
    in_flight: BTreeMap<AskId, (usize, Vec<(u32, BlockHash)>)>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    writing: bool,
    largest: usize,
    steps: usize,
}

impl World {
    pub(super) fn new(chain: Vec<Block>, limits: Limits) -> Self {
        let largest = chain.iter().map(|block| block.bytes().len()).max().unwrap_or(0);
        Self {
            now: Duration::ZERO,
            download: Download::new(0, limits),
            handed: Vec::new(),
            delivered: BTreeMap::new(),
            widest: BTreeMap::new(),
            gone: BTreeMap::new(),
            write_pace: Duration::from_micros(10),
            chain,
            limits,
            members: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            events: BinaryHeap::new(),
            writing: false,
            largest,
            steps: 0,
        }
    }

    /// Makes a chain, limits and peers of every kind from a seed; one peer is honest and stays.
    pub(super) fn generated(seed: u64) -> Self {
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut below = |bound: u32| rng.next_u32() % bound;
        let mut chain = vec![genesis()];
        for height in 0..100 + below(500) {
            let padding = usize::try_from(below(4000)).unwrap();
            let next = extend(&chain[chain.len() - 1], height, 1, padding, 0);
            chain.extend(next);
        }
        let bytes = usize::try_from(50_000 + below(2_000_000)).unwrap();
        let blocks = usize::try_from(20 + below(1000)).unwrap();
        let limits = Limits { bytes, blocks, under_way: usize::try_from(1 + below(300)).unwrap() };
        let length = u32::try_from(chain.len()).unwrap();
        let mut world = Self::new(chain, limits);
        world.write_pace = Duration::from_micros(u64::from(below(5000)));
        world.join(Habit { pace: Duration::from_millis(u64::from(1 + below(50))), ..Habit::default() });
        for _ in 0..below(8) {
            let mut habit = Habit {
                pace: Duration::from_millis(u64::from(1 + below(100))),
                latency: Duration::from_millis(u64::from(below(300))),
                ..Habit::default()
            };
            match below(8) {
                0 => habit.silent_after = Some(usize::try_from(below(100)).unwrap()),
                1 => habit.lies = true,
                2 => habit.at_most = usize::try_from(below(16)).unwrap(),
                3 => habit.lacks = below(length)..length,
                4 => habit.leaves_at = Some(Duration::from_millis(u64::from(below(5000)))),
                5 => habit.pace = Duration::from_secs(1),
                _ => {}
            }
            world.join(habit);
        }
        world
    }

    pub(super) fn join(&mut self, habit: Habit) {
        let id = self.members.len();
        if let Some(at) = habit.leaves_at {
            self.events.push(Reverse((at, Event::Leave(id))));
        }
        self.members.insert(id, Member { habit, sent: 0, busy_until: self.now });
        self.download.handle_joined(id);
    }

    /// Puts another chain in the place of this one, above `fork`.
    pub(super) fn switch_to(&mut self, chain: Vec<Block>, fork: u32) {
        self.chain = chain;
        self.download.rewind(fork);
        self.handed.truncate(usize::try_from(fork).unwrap() + 1);
    }

    /// Puts a branch of its own, somewhat longer, in the place of the chain above some height.
    pub(super) fn fork(&mut self, seed: u64, turn: u8) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed << 8 | u64::from(turn));
        let length = u32::try_from(self.chain.len()).unwrap();
        let fork = rng.next_u32() % length;
        let trunk = &self.chain[..=usize::try_from(fork).unwrap()];
        let branch = extend(&trunk[trunk.len() - 1], fork, length - fork, 1000, turn + 1);
        self.switch_to(trunk.iter().cloned().chain(branch).collect(), fork);
    }

    pub(super) fn run_to_the_end(&mut self) {
        while self.handed.len() < self.chain.len() {
            self.step();
        }
        assert_eq!(self.handed, self.chain);
        assert_eq!(self.download.poll_action(self.now), None);
    }

    /// Acts on all that is to be done, then jumps to the next moment at which something happens.
    pub(super) fn step(&mut self) {
        self.steps += 1;
        assert!(self.steps < 200_000, "no progress at {:?}", self.now);
        let next = self.download.next_height();
        let room = self.download.room();
        let hashes = self.chain.iter().map(Block::hash);
        self.download.extend(hashes.skip(usize::try_from(next).unwrap()).take(room));
        self.download.handle_timeout(self.now);
        while let Some(action) = self.download.poll_action(self.now) {
            self.act(action);
        }
        self.write();
        let event = self.events.peek().map(|Reverse((at, _))| *at);
        let timeout = self.download.poll_timeout(self.now);
        if let Some(timeout) = timeout
            && event.is_none_or(|event| timeout < event)
        {
            assert!(timeout > self.now, "a deadline that passed is still there");
            self.now = timeout;
            return;
        }
        if self.handed.len() == self.chain.len() || self.download.peers() == 0 {
            return;
        }
        let Reverse((at, event)) = self.events.pop().expect("a download that is not complete waits for something");
        self.now = at;
        self.handle(event);
        self.check_memory();
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Answer(ask) => {
                let Some((peer, blocks)) = self.in_flight.remove(&ask) else { return };
                let answer = self.answer(peer, &blocks);
                self.download.handle_answer(ask, answer, self.now);
            }
            Event::Leave(peer) => self.download.handle_left(peer),
            Event::Written(bytes) => {
                self.writing = false;
                self.download.handle_stored(bytes);
            }
        }
    }

    fn check_memory(&self) {
        let held = self.download.unstored_bytes();
        assert!(held <= self.limits.bytes + self.largest, "{held} bytes held, {} allowed", self.limits.bytes);
        assert!(self.download.room() <= self.limits.blocks);
    }

    fn act(&mut self, action: Action<usize>) {
        match action {
            Action::Cancel(ask) => drop(self.in_flight.remove(&ask)),
            Action::Disconnect { peer, fault } => {
                assert_eq!(self.gone.insert(peer, fault), None, "let go of twice");
            }
            Action::Ask { peer, ask, blocks } => {
                self.check_ask(peer, &blocks);
                self.schedule(peer, ask, &blocks);
                self.in_flight.insert(ask, (peer, blocks));
                let width: usize =
                    self.in_flight.values().filter(|(of, _)| *of == peer).map(|(_, blocks)| blocks.len()).sum();
                let widest = self.widest.entry(peer).or_default();
                *widest = width.max(*widest);
            }
        }
    }

    /// Nothing is asked twice at once but one block, the lowest that is missing, of two peers.
    fn check_ask(&self, peer: usize, blocks: &[(u32, BlockHash)]) {
        assert!(!blocks.is_empty() && blocks.len() <= 16);
        assert!(blocks.is_sorted_by(|a, b| a.0 < b.0), "in order of height");
        assert!(!self.gone.contains_key(&peer), "a peer that was let go of is asked");
        for &(height, hash) in blocks {
            assert_eq!(self.chain[usize::try_from(height).unwrap()].hash(), hash);
            let asked = || self.in_flight.values().filter(|(_, blocks)| blocks.contains(&(height, hash)));
            if asked().count() > 0 {
                assert_eq!((asked().count(), blocks.len()), (1, 1), "height {height} is asked again");
                assert!(asked().all(|(other, _)| *other != peer));
                assert_eq!(self.download.window.lowest_missing(), Some(height));
            }
        }
    }

    /// Puts the moment of the answer into the calendar, if there will be one.
    fn schedule(&mut self, peer: usize, ask: AskId, blocks: &[(u32, BlockHash)]) {
        let member = self.members.get_mut(&peer).unwrap();
        let sent = blocks.iter().filter(|(height, _)| !member.habit.lacks.contains(height)).count();
        let sent = sent.min(member.habit.at_most);
        if member.habit.silent_after.is_some_and(|limit| member.sent + sent > limit) {
            return;
        }
        member.sent += sent;
        let begin = member.busy_until.max(self.now + member.habit.latency);
        member.busy_until = begin + member.habit.pace * u32::try_from(sent).unwrap();
        self.events.push(Reverse((member.busy_until + member.habit.latency, Event::Answer(ask))));
    }

    fn answer(&mut self, peer: usize, blocks: &[(u32, BlockHash)]) -> Answer {
        let habit = &self.members[&peer].habit;
        let mut answer = Answer::default();
        for &(height, hash) in blocks {
            let Some(block) = self.chain.get(usize::try_from(height).unwrap()).filter(|block| block.hash() == hash)
            else {
                // The chain is another one by now.
                answer.missing.push((hash, Missing::NotFound));
                continue;
            };
            if habit.lacks.contains(&height) {
                answer.missing.push((hash, Missing::NotFound));
            } else if answer.found.len() >= habit.at_most {
                answer.missing.push((hash, Missing::Dropped));
            } else if habit.lies {
                let wrong = with_wrong_body(block);
                let verdict = check_body(Network::Regtest, height, &wrong).map(drop);
                answer.found.push((wrong, verdict));
            } else {
                answer.found.push((block.clone(), Ok(())));
                *self.delivered.entry(peer).or_default() += 1;
            }
        }
        answer
    }

    fn write(&mut self) {
        if self.writing {
            return;
        }
        let run = self.download.take_run(50_000);
        if run.is_empty() {
            return;
        }
        self.writing = true;
        let bytes = run.iter().map(|block| block.bytes().len()).sum();
        let takes = self.write_pace * u32::try_from(run.len()).unwrap();
        self.events.push(Reverse((self.now + takes, Event::Written(bytes))));
        self.handed.extend(run);
    }
}
