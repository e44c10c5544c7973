use std::net::{Ipv4Addr, SocketAddr};

use savanna_book::{Config, Netgroup, Standing};
use savanna_net::session_config;
use savanna_peer::{Direction, LocalReason, Offence};
use savanna_wire::{Network, Version, VersionAddr};

use super::named::{FIRST_BACKOFF, INCOMPATIBLE_FOR, LONGEST_BACKOFF};
use super::*;

mod discovery;
mod weather;

/// What the calendar shows when the plan begins.
const EPOCH: i64 = 1_800_000_000;

/// An address of a /16 of its own.
fn address(number: u32) -> PeerAddr {
    SocketAddr::from((Ipv4Addr::from_bits((0x0b00 + number) << 16 | 1), 8233)).into()
}

/// Returns the number in an address's name, by which tests tell the living from the dead.
fn digit(address: PeerAddr) -> u8 {
    let Some(SocketAddr::V4(address)) = address.socket_addr() else { panic!() };
    address.ip().octets()[1]
}

fn info() -> PeerInfo {
    let config = session_config(Network::Mainnet);
    let remote = Version {
        version: config.version,
        services: Services::NODE_NETWORK,
        time: 0,
        receiver: VersionAddr::UNSPECIFIED,
        sender: VersionAddr::UNSPECIFIED,
        nonce: 0,
        user_agent: config.user_agent,
        height: 0,
        relay: false,
    };
    PeerInfo { direction: Direction::Outbound, remote, negotiated: config.version }
}

/// A plan, its book, and a clock.
struct World {
    plan: Upkeep,
    book: Book,
    now: Now,
}

impl World {
    fn new(plan: Upkeep) -> Self {
        let book = Book::new(Config::new(Network::Mainnet), [3; 32], [4; 32]);
        Self { plan, book, now: Now { monotonic: Duration::ZERO, unix: EPOCH } }
    }

    /// A plan of a policy with a book of so many addresses that were heard of.
    fn knowing(policy: Policy, addresses: u32, seed: u8) -> Self {
        let mut world = Self::new(Upkeep::with_policy(policy, [], [], [seed; 32]));
        (0..addresses).for_each(|number| world.learn(address(number)));
        world
    }

    fn learn(&mut self, address: PeerAddr) {
        let unix = UnixTime::from(self.now.unix);
        let entry = AddrV2 { time: unix.0, services: Services::NODE_NETWORK, address };
        self.book.add(entry, Source::Gossip(address.host), unix);
        self.plan.handle_learned();
    }

    fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        self.now.unix = EPOCH + self.now.monotonic.as_secs().cast_signed();
    }

    fn actions(&mut self) -> Vec<Action> {
        std::iter::from_fn(|| self.plan.poll_action(&mut self.book, self.now)).collect()
    }

    /// Does what is to be done, and returns whom the plan dials, and what for.
    fn dials(&mut self) -> Vec<(PeerAddr, Purpose)> {
        let mut dials = Vec::new();
        for action in self.actions() {
            match action {
                Action::Dial(address, purpose) => dials.push((address, purpose)),
                Action::LetGo(address) => self.end(address, &CloseReason::Local(LocalReason::Evicted).into()),
                Action::Meet(_) | Action::AskSeeds => {}
            }
        }
        dials
    }

    fn addresses(&mut self) -> Vec<PeerAddr> {
        self.dials().into_iter().map(|(address, _)| address).collect()
    }

    fn connect(&mut self, address: PeerAddr) -> Admission {
        self.plan.handle_connected(address, &info(), &mut self.book, self.now)
    }

    fn end(&mut self, address: PeerAddr, reason: &DialFailure) {
        self.plan.handle_ended(address, reason, &mut self.book, self.now);
    }

    /// Connects whomever the plan dials, and lets those go at once that have no place, until nothing is to be done.
    fn run(&mut self, is_alive: impl Fn(PeerAddr) -> bool) {
        loop {
            let dials = self.dials();
            if dials.is_empty() {
                return;
            }
            for (address, _) in dials {
                if !is_alive(address) {
                    self.end(address, &DialFailure::Unreachable);
                } else if !matches!(self.connect(address), Admission::Keep { .. }) {
                    self.end(address, &CloseReason::Local(LocalReason::Unused).into());
                }
            }
        }
    }

    /// Lets time pass, and does what is due whenever it is.
    fn run_for(&mut self, time: Duration, is_alive: impl Fn(PeerAddr) -> bool + Copy) {
        let end = self.now.monotonic + time;
        loop {
            self.run(is_alive);
            let next = self.plan.poll_timeout(self.now);
            assert!(next > self.now.monotonic, "nothing was done about {next:?} at {:?}", self.now);
            if next > end {
                break;
            }
            self.pass(next - self.now.monotonic);
        }
        self.pass(end - self.now.monotonic);
        self.run(is_alive);
    }

    /// As many peers stay as are wanted, and one more while it shows what it is worth.
    fn assert_full(&self, wanted: usize) {
        let extra = self.staying().len() - wanted;
        assert_eq!(extra, self.plan.count(Purpose::Extra).min(1), "{:?}", self.plan.links);
    }

    fn staying(&self) -> Vec<PeerAddr> {
        self.plan.links.staying().map(|(address, _)| address).collect()
    }
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn f7_dials_are_concurrent_up_to_fifty_and_dead_addresses_delay_no_other() {
    let mut world = World::new(Upkeep::new((0..200).map(address), 75, [1; 32]));
    assert_eq!(world.dials().len(), MAX_DIALS);
    assert_eq!((world.plan.dialing(), world.plan.poll_timeout(world.now)), (MAX_DIALS, LOOK_EVERY));

    // One peer is wanted, and those dialled first never answer: others are dialled meanwhile.
    let mut world = World::new(Upkeep::new((0..200).map(address), 1, [1; 32]));
    assert_eq!(world.dials().len(), FIRST_DIALS);
    assert_eq!(world.plan.poll_timeout(world.now), SLOW_DIAL);
    world.pass(SLOW_DIAL - ms(1));
    assert_eq!(world.dials().len(), 0);
    world.pass(ms(1));
    for _ in 0..20 {
        world.dials();
        world.pass(SLOW_DIAL);
    }
    assert_eq!(world.plan.dialing(), MAX_DIALS);
}

#[test]
fn f7_addresses_of_the_book_are_dialled_at_once_as_well() {
    let mut world = World::knowing(Policy::public(75), 200, 1);
    assert_eq!(world.dials().len(), MAX_DIALS);
    let mut world = World::knowing(Policy::public(1), 200, 1);
    for _ in 0..20 {
        world.dials();
        world.pass(SLOW_DIAL);
    }
    assert_eq!(world.plan.dialing(), MAX_DIALS);
}

#[test]
fn a_failing_address_rests_longer_each_time_and_recovers_when_it_lasts() {
    let mut world = World::new(Upkeep::new([address(1)], 1, [2; 32]));
    let mut rests = Vec::new();
    for _ in 0..14 {
        assert_eq!(world.addresses(), [address(1)]);
        world.end(address(1), &DialFailure::Unreachable);
        let ended = world.now.monotonic;
        while world.plan.named.next().is_some_and(|next| next > world.now.monotonic) {
            assert_eq!(world.addresses(), []);
            world.pass(world.plan.poll_timeout(world.now) - world.now.monotonic);
        }
        rests.push(world.now.monotonic - ended);
    }
    assert!(rests[0] >= FIRST_BACKOFF.mul_f64(0.75) && rests[0] <= FIRST_BACKOFF.mul_f64(1.25));
    assert!(rests.windows(2).take(8).all(|pair| pair[1] > pair[0]), "{rests:?}");
    assert!(rests.iter().all(|rest| *rest <= LONGEST_BACKOFF.mul_f64(1.25)));
    assert!(rests[12] != rests[13], "no jitter: {rests:?}");

    world.dials();
    assert_eq!(world.connect(address(1)), Admission::Keep { asks: false });
    assert_eq!((world.plan.connected(), world.plan.dialing()), (1, 0));
    world.pass(STABLE);
    world.end(address(1), &CloseReason::ClosedByPeer.into());
    assert!(world.plan.named.next().unwrap() - world.now.monotonic <= FIRST_BACKOFF.mul_f64(1.25));
}

#[test]
fn an_incompatible_peer_is_left_alone_for_long() {
    let mut world = World::new(Upkeep::new([address(1), address(1)], 5, [3; 32]));
    assert_eq!(world.dials().len(), 1);
    world.end(address(1), &CloseReason::Incompatible(Incompatibility::OurSelf).into());
    assert!(world.plan.named.next().unwrap() >= INCOMPATIBLE_FOR.mul_f64(0.75));
}

#[test]
fn f11_only_named_addresses_are_dialled_where_the_policy_says_so() {
    let mut world = World::new(Upkeep::new([address(1)], 5, [3; 32]));
    (10..50).for_each(|number| world.learn(address(number)));
    world.run_for(seconds(3600), |_| true);
    assert_eq!(world.staying(), [address(1)]);
    let told = AddrV2 { time: UnixTime::from(EPOCH).0, services: Services::NODE_NETWORK, address: address(99) };
    let learned = world.plan.handle_addresses(address(1), &[told], &mut world.book, world.now);
    assert_eq!((learned, world.book.counts().total()), (Learned::default(), 40));
}
