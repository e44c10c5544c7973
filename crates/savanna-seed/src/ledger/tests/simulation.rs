//! A network of a thousand nodes under a virtual clock.

use rand_chacha::rand_core::Rng;

use super::*;

const SEED: u64 = 20_261_122;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// There, but for one conversation in five hundred.
    Good,
    OtherChain,
    Obsolete,
    /// There for some minutes, gone for as many.
    Flapping {
        period: u32,
        phase: u32,
    },
    /// An address that somebody made up.
    Nobody,
}

struct World {
    kinds: BTreeMap<PeerAddr, Kind>,
    by_ip: BTreeMap<std::net::IpAddr, Kind>,
    rng: ChaCha8Rng,
    is_alive: bool,
    others_since_convergence: usize,
    seed: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kinds = (0..1_500).map(|number| {
            let kind = match number {
                0..300 => Kind::Good,
                300..600 => Kind::OtherChain,
                600..800 => Kind::Obsolete,
                800..1_000 => Kind::Flapping { period: 600 + rng.next_u32() % 1_800, phase: rng.next_u32() % 3_600 },
                _ => Kind::Nobody,
            };
            (address(number), kind)
        });
        let kinds: BTreeMap<_, _> = kinds.collect();
        let by_ip = kinds.iter().map(|(address, kind)| (address.socket_addr().unwrap().ip(), *kind)).collect();
        Self { kinds, by_ip, rng, is_alive: true, others_since_convergence: 0, seed }
    }

    fn ask(&mut self, address: PeerAddr, now: UnixTime) -> Tried {
        let since = i32::try_from(now.since(START) / 25).unwrap();
        let said = Handshake { height: said().height + since, ..said() };
        let is_there = match self.kinds[&address] {
            _ if !self.is_alive => false,
            Kind::Good => !self.rng.next_u32().is_multiple_of(500),
            Kind::OtherChain | Kind::Obsolete => true,
            Kind::Flapping { period, phase } => ((now.0 + phase) / period).is_multiple_of(2),
            Kind::Nobody => false,
        };
        match self.kinds[&address] {
            _ if !is_there => Tried::Missed,
            Kind::OtherChain => Tried::Met { said, chain: Chain::Other },
            Kind::Obsolete => {
                Tried::Met { said: Handshake { version: ProtocolVersion(170_150), ..said }, chain: Chain::Ours }
            }
            Kind::Good | Kind::Flapping { .. } | Kind::Nobody => Tried::Met { said, chain: Chain::Ours },
        }
    }

    /// Every tenth node is heard of when the others are known.
    fn is_late(&self, address: PeerAddr) -> bool {
        self.kinds.keys().position(|each| *each == address).is_some_and(|at| at % 10 == 0)
    }

    /// Counts those who are named, by whether they are good.
    fn named(&mut self, ledger: &Ledger, now: UnixTime) -> (usize, usize) {
        let of = |ip| &self.by_ip[&ip];
        let vetting = ledger.vet(now);
        let nodes = &vetting.roll.nodes;
        let good = nodes.iter().filter(|node| *of(node.ip) == Kind::Good).count();
        let never = nodes.iter().filter(|node| matches!(of(node.ip), Kind::OtherChain | Kind::Obsolete | Kind::Nobody));
        assert_eq!(never.count(), 0, "seed {}", self.seed);
        let others = nodes.len() - good;
        if !vetting.is_provisional {
            self.others_since_convergence += others;
        }
        (good, others)
    }

    fn play(&mut self, ledger: &mut Ledger, now: UnixTime, seconds: u32) -> UnixTime {
        let mut now = now;
        for _ in 0..seconds.div_ceil(300) {
            now = play(ledger, now, seconds.min(300), |next, now| self.ask(next.address, now));
            self.named(ledger, now);
        }
        now
    }
}

/// Three hundred good nodes, three hundred of another chain, two hundred obsolete ones, two hundred that come and go, five
/// hundred addresses of nobody: within minutes all good ones are named, and as soon as enough are known to stay nobody else is.
#[test]
fn after_convergence_all_good_nodes_are_named_and_nobody_else() {
    for seed in 0..2 {
        converges(SEED + seed);
    }
}

fn converges(seed: u64) {
    let (mut world, mut ledger) = (World::new(seed), ledger(LedgerConfig::CAPACITY));
    ledger.introduce([address(0)], START);
    let mut now = world.play(&mut ledger, START, 10);
    let all: Vec<_> = world.kinds.keys().copied().filter(|address| !world.is_late(*address)).collect();
    for teller in all.iter().skip(1).step_by(20) {
        ledger.hear(*teller, &told(all.iter().copied()), now);
    }
    let early = all.iter().filter(|address| world.kinds[*address] == Kind::Good).count();
    now = world.play(&mut ledger, now, 20 * 60);
    assert!(world.named(&ledger, now).0 * 100 >= early * 99, "in time, seed {seed}: {:?}", world.named(&ledger, now));
    assert!(ledger.vet(now).is_provisional, "seed {seed}");
    now = world.play(&mut ledger, now, 70 * 60);
    assert!(world.named(&ledger, now).0 * 100 >= early * 95, "seed {seed}: {:?}", world.named(&ledger, now));

    let late = world.kinds.keys().copied().filter(|address| world.is_late(*address));
    ledger.hear(address(1), &told(late), now);
    now = world.play(&mut ledger, now, 3 * HOUR);
    let (mut least, mut others, mut named) = (usize::MAX, 0, 0);
    for _ in 0..20 * 12 {
        now = world.play(&mut ledger, now, 300);
        ledger.review_floor(now);
        let (good, other) = world.named(&ledger, now);
        (least, others, named) = (least.min(good), others + other, named + good + other);
    }
    println!("seed {seed}: at least {least} of 300 good ones named, {others} of {named} namings of others");
    assert!(least >= 297, "seed {seed}: {least}");
    assert_eq!((others, world.others_since_convergence), (0, 0), "seed {seed}: of {named}");

    world.is_alive = false;
    let died = now;
    while now.since(died) <= LedgerConfig::STALE_AFTER {
        now = world.play(&mut ledger, now, 10);
    }
    assert_eq!(world.named(&ledger, now), (0, 0), "seed {seed}: empty within the time to live");
    now = world.play(&mut ledger, now, 2 * HOUR);
    assert_eq!(world.named(&ledger, now), (0, 0), "seed {seed}");

    world.is_alive = true;
    now = world.play(&mut ledger, now, 2 * HOUR);
    let (good, _) = world.named(&ledger, now);
    assert!(good >= 290, "seed {seed}: {good} {:?}", ledger.refusals(now));
}
