//! A network, a disk and a clock around a download, all of it generated from a seed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::ops::Range;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use savanna_chain::check_body;
use savanna_net::PeerId;
use savanna_peer::Missing;
use savanna_sim::regtest::{extend, genesis, with_wrong_body};
use savanna_wire::{Block, BlockHash, Network};

use super::super::{Action, Arrival, AskId, Delivery, Download, Limits};

/// How the network answers.
#[derive(Debug, Clone)]
pub(super) struct Habit {
    /// Time before an answer.
    pub(super) takes: Duration,
    /// Up to how much longer an answer may take.
    pub(super) jitter: Duration,
    /// One body of so many is wrong; none if it is 0.
    pub(super) wrong_of: u32,
    /// One block of so many is told missing; none if it is 0.
    pub(super) missing_of: u32,
    /// Heights that it lacks at first, and until when.
    pub(super) lacks: (Range<u32>, Duration),
}

impl Default for Habit {
    fn default() -> Self {
        let (takes, jitter) = (Duration::from_millis(5), Duration::ZERO);
        Self { takes, jitter, wrong_of: 0, missing_of: 0, lacks: (0..0, Duration::ZERO) }
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Answer(AskId, u32, BlockHash),
    Written(usize),
}

pub(super) struct World {
    pub(super) now: Duration,
    pub(super) download: Download,
    /// What was handed over so far.
    pub(super) handed: Vec<Block>,
    /// How many questions were asked.
    pub(super) asks: usize,
    /// Time for each block written.
    pub(super) write_pace: Duration,
    rng: ChaCha8Rng,
    habit: Habit,
    chain: Vec<Block>,
    limits: Limits,
    open: BTreeMap<AskId, Vec<(u32, BlockHash)>>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    /// What is to be reported before anything else, and what was asked for again.
    to_report: usize,
    writing: bool,
    largest: usize,
    steps: usize,
}

impl World {
    pub(super) fn new(chain: Vec<Block>, limits: Limits, habit: Habit) -> Self {
        let largest = chain.iter().map(|block| block.bytes().len()).max().unwrap_or(0);
        Self {
            now: Duration::ZERO,
            download: Download::new(0, limits),
            handed: Vec::new(),
            asks: 0,
            write_pace: Duration::from_micros(10),
            rng: ChaCha8Rng::seed_from_u64(0),
            habit,
            chain,
            limits,
            open: BTreeMap::new(),
            events: BinaryHeap::new(),
            to_report: 0,
            writing: false,
            largest,
            steps: 0,
        }
    }

    /// Makes a chain, limits and a network from a seed.
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
        let (blocks, under_way) = (20 + below(1000), 1 + below(300));
        let (blocks, under_way) = (usize::try_from(blocks).unwrap(), usize::try_from(under_way).unwrap());
        let length = u32::try_from(chain.len()).unwrap();
        let habit = Habit {
            takes: Duration::from_millis(u64::from(below(100))),
            jitter: Duration::from_millis(u64::from(below(3) * below(1000))),
            wrong_of: below(3) * (2 + below(40)),
            missing_of: below(3) * (2 + below(40)),
            lacks: (below(length)..length, Duration::from_millis(u64::from(below(2) * below(20_000)))),
        };
        let write_pace = Duration::from_micros(u64::from(below(5000)));
        Self { write_pace, rng, ..Self::new(chain, Limits { bytes, blocks, under_way }, habit) }
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
        assert_eq!(self.download.poll_action(), None);
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
        while let Some(action) = self.download.poll_action() {
            self.act(action);
        }
        assert_eq!(self.to_report, 0, "a wrong body is not reported at once");
        self.write();
        assert_eq!(self.download.failure(), None);
        let event = self.events.peek().map(|Reverse((at, _))| *at);
        let timeout = self.download.poll_timeout();
        if let Some(timeout) = timeout
            && event.is_none_or(|event| timeout < event)
        {
            assert!(timeout > self.now, "a deadline that passed is still there");
            self.now = timeout;
            return;
        }
        if self.handed.len() == self.chain.len() {
            return;
        }
        let Reverse((at, event)) = self.events.pop().expect("a download that is not complete waits for something");
        self.now = at;
        match event {
            Event::Answer(ask, height, hash) => self.answer(ask, height, hash),
            Event::Written(bytes) => {
                self.writing = false;
                self.download.handle_stored(bytes);
            }
        }
        let held = self.download.unstored_bytes();
        assert!(held <= self.limits.bytes + self.largest, "{held} bytes held, {} allowed", self.limits.bytes);
        assert!(self.download.room() <= self.limits.blocks);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Cancel(ask) => drop(self.open.remove(&ask)),
            Action::Report(_) => self.to_report -= 1,
            Action::Ask { ask, blocks } => {
                self.asks += 1;
                assert!(!blocks.is_empty() && blocks.is_sorted_by(|a, b| a.0 < b.0), "in order of height");
                for &(height, hash) in &blocks {
                    assert_eq!(self.chain[usize::try_from(height).unwrap()].hash(), hash);
                    assert!(!self.open.values().any(|open| open.contains(&(height, hash))), "{height} is asked twice");
                    let jitter = self.habit.jitter * (self.rng.next_u32() % 1000) / 1000;
                    let at = self.now + self.habit.takes + jitter;
                    self.events.push(Reverse((at, Event::Answer(ask, height, hash))));
                }
                self.open.insert(ask, blocks);
                let under_way: usize = self.open.values().map(Vec::len).sum();
                // The lowest missing block is asked for in any case.
                assert!(under_way <= self.limits.under_way + 1);
            }
        }
    }

    fn answer(&mut self, ask: AskId, height: u32, hash: BlockHash) {
        // A question that was cancelled may still be answered: that counts for nothing.
        if let Some(open) = self.open.get_mut(&ask) {
            open.retain(|&block| block != (height, hash));
        }
        let is_open = self.open.contains_key(&ask);
        let mut one_of = |count: u32| count > 0 && self.rng.next_u32().is_multiple_of(count);
        let (is_wrong, is_missing) = (one_of(self.habit.wrong_of), one_of(self.habit.missing_of));
        let (lacks, until) = &self.habit.lacks;
        let is_lacking = lacks.contains(&height) && self.now < *until;
        let block = self.chain.get(usize::try_from(height).unwrap()).filter(|block| block.hash() == hash);
        let result = match block {
            Some(block) if !is_missing && !is_lacking => {
                let block = if is_wrong { with_wrong_body(block) } else { block.clone() };
                let verdict = check_body(Network::Regtest, height, &block).map(drop);
                self.to_report += usize::from(is_wrong && is_open);
                Ok(Delivery { peer: PeerId(u64::from(height) % 8), block, verdict })
            }
            Some(_) | None => Err(if is_missing { Missing::TimedOut } else { Missing::NotFound }),
        };
        self.download.handle_arrivals(ask, vec![Arrival { hash, result }], self.now);
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
