//! Random interleavings, held against what may be said of every one of them.

use proptest::collection::vec;
use proptest::prelude::*;

use savanna_peer::CloseReason;

use super::super::*;
use super::world::{SERVES, World, hashes, ms};

/// How a stand-in answers.
#[derive(Debug, Clone, Copy)]
enum Style {
    Whole,
    /// The first half; the rest is dropped, or said to be missing.
    Half(bool),
    Nothing(bool),
    /// Blocks that were not asked for.
    Others,
    TimesOut,
    Closes,
}

#[derive(Debug, Clone)]
enum Step {
    Join(bool),
    Leave(usize),
    Announce(usize, usize),
    Ping,
    FindBlocks,
    Advertise,
    Distinct(usize),
    Graced(usize, u64),
    Following(u64),
    Blocks(usize, usize),
    Stream(usize, usize),
    Cancel(usize),
    Answer(usize, Style),
    Read(usize),
    Pass(u64),
}

fn style() -> impl Strategy<Value = Style> {
    prop_oneof![
        4 => Just(Style::Whole),
        2 => any::<bool>().prop_map(Style::Half),
        1 => any::<bool>().prop_map(Style::Nothing),
        1 => Just(Style::Others),
        1 => Just(Style::TimesOut),
        1 => Just(Style::Closes),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let any = || any::<usize>();
    prop_oneof![
        2 => proptest::bool::weighted(0.8).prop_map(Step::Join),
        1 => any().prop_map(Step::Leave),
        1 => (any(), 0..500_usize).prop_map(|(peer, at)| Step::Announce(peer, at)),
        2 => Just(Step::Ping),
        2 => Just(Step::FindBlocks),
        1 => Just(Step::Advertise),
        1 => (1..5_usize).prop_map(Step::Distinct),
        1 => (1..5_usize, 1..3_000_u64).prop_map(|(want, grace)| Step::Graced(want, grace)),
        1 => (0..20_u64).prop_map(Step::Following),
        2 => (0..500_usize, 1..90_usize).prop_map(|(at, count)| Step::Blocks(at, count)),
        1 => (0..500_usize, 1..90_usize).prop_map(|(at, count)| Step::Stream(at, count)),
        1 => any().prop_map(Step::Cancel),
        16 => (any(), style()).prop_map(|(call, style)| Step::Answer(call, style)),
        3 => any().prop_map(Step::Read),
        3 => (1..3_000_u64).prop_map(Step::Pass),
    ]
}

fn pick<T: Clone>(list: impl ExactSizeIterator<Item = T>, at: usize) -> Option<T> {
    let len = list.len();
    (len > 0).then(|| at % len).and_then(|at| list.into_iter().nth(at))
}

/// Runs the steps; pongs carry the number of the request that they answer, so that none can be taken for another's.
struct Model {
    world: World,
    joined: u64,
    late: Vec<CallId>,
}

impl Model {
    fn apply(&mut self, step: Step) {
        let world = &mut self.world;
        match step {
            Step::Join(serves_chain) => {
                self.joined += 1;
                world.join(PeerId(self.joined), Traits { serves_chain, ..SERVES });
            }
            Step::Leave(at) => {
                if let Some(peer) = pick(world.peers.iter().copied().collect::<Vec<_>>().into_iter(), at) {
                    world.leave(peer);
                }
            }
            Step::Announce(peer, at) => {
                let items = hashes(at..at + 20).into_iter().map(Inventory::Block);
                world.set.handle_announced(PeerId(peer as u64 % 20), items, world.now);
            }
            Step::Ping => drop(world.ask(Ask::One(Request::Ping))),
            Step::FindBlocks => drop(world.ask(Ask::One(find_blocks()))),
            Step::Advertise => drop(world.ask(Ask::One(Request::AdvertiseBlock(hashes(0..1)[0])))),
            Step::Distinct(want) => drop(world.ask(Ask::Distinct(find_blocks(), want))),
            Step::Graced(want, grace) => drop(world.ask(Ask::Graced(find_blocks(), want, ms(grace)))),
            Step::Following(peer) => drop(world.ask(Ask::Following(find_blocks(), PeerId(peer)))),
            Step::Blocks(at, count) => drop(world.ask(Ask::One(Request::Blocks(hashes(at..at + count))))),
            Step::Stream(at, count) => drop(world.ask(Ask::Stream(hashes(at..at + count)))),
            Step::Cancel(at) => {
                if let Some(id) = pick(world.open.keys().copied().collect::<Vec<_>>().into_iter(), at) {
                    self.late.extend(world.asked.iter().map(|asked| asked.call));
                    world.cancel(id);
                }
            }
            Step::Answer(at, style) => self.answer(at, style),
            Step::Read(at) => {
                let streams: Vec<_> = world.fetched.keys().copied().collect();
                if let Some(id) = pick(streams.into_iter(), at) {
                    world.read(id, 5_000);
                }
            }
            Step::Pass(time) => world.pass(Duration::from_millis(time)),
        }
    }

    fn answer(&mut self, at: usize, style: Style) {
        let in_flight: Vec<_> = self.world.asked.clone();
        let Some(asked) = pick(in_flight.into_iter(), at) else { return };
        self.late.push(asked.call);
        let result = match style {
            Style::TimesOut => Err(savanna_peer::RequestError::TimedOut),
            Style::Closes => Err(savanna_peer::RequestError::Closed(CloseReason::ClosedByPeer)),
            _ => Ok(respond(&asked.request, style)),
        };
        self.world.answer(asked.call, result);
        // An answer to a question that has ended changes nothing, whoever sends it how often.
        let late = self.late[at % self.late.len()];
        if self.world.asked.iter().all(|asked| asked.call != late) {
            let before = self.world.total_asked;
            self.world.answer(late, Ok(Response::Pong(Duration::from_secs(666))));
            assert_eq!(self.world.total_asked, before);
        }
    }
}

fn find_blocks() -> Request {
    Request::FindBlocks { locator: hashes(0..1), stop: None }
}

fn respond(request: &Request, style: Style) -> Response {
    let Request::Blocks(asked) = request else {
        return match request {
            Request::Ping => Response::Pong(Duration::from_millis(1)),
            Request::FindBlocks { .. } => Response::BlockHashes(hashes(0..3)),
            _ => Response::Nil,
        };
    };
    let (served, why) = match style {
        Style::Half(says_so) => (asked.len().div_ceil(2), if says_so { Missing::NotFound } else { Missing::Dropped }),
        Style::Nothing(says_so) => (0, if says_so { Missing::NotFound } else { Missing::Dropped }),
        Style::Others => (0, Missing::TimedOut),
        Style::Whole | Style::TimesOut | Style::Closes => (asked.len(), Missing::Dropped),
    };
    let mut found: Vec<_> = asked[..served].iter().map(|hash| super::world::find(*hash)).collect();
    if matches!(style, Style::Others) {
        found.extend(super::world::BLOCKS[595..].iter().cloned());
    }
    Response::Blocks(Partial { found, missing: asked[served..].iter().map(|hash| (*hash, why)).collect() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every request ends once, with its own answer or an honest error; what is in flight stays within its bounds and returns
    /// to nothing; the counts always fit. (The world asserts it at each step.)
    #[test]
    fn every_interleaving_ends_every_request_once(seed: u8, small: bool, steps in vec(step(), 1..160)) {
        let streamed_bytes = if small { 20_000 } else { Config::PUBLIC.streamed_bytes };
        let config = Config { streamed_bytes, requests: 40, ..Config::PUBLIC };
        let mut model = Model { world: World::new(config, seed), joined: 0, late: Vec::new() };
        for step in steps {
            model.apply(step);
        }
        let world = &mut model.world;
        // A stream waits for its reader without end, so the readers read on.
        while !world.open.is_empty() {
            let streams: Vec<_> = world.fetched.keys().copied().collect();
            for id in streams {
                world.read(id, 1_000_000);
            }
            world.pass(Duration::from_secs(10));
        }
        world.assert_idle();
        let peers: Vec<_> = world.peers.iter().copied().collect();
        peers.into_iter().for_each(|peer| world.leave(peer));
        prop_assert!(world.now < Duration::from_secs(40_000));
        prop_assert_eq!(world.set.peers().total(), 0);
        prop_assert_eq!(world.set.network.registry.len(), 0);
    }
}
