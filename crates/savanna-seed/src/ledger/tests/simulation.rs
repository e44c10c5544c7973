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
}

impl World {
    fn new() -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
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
        Self { kinds, by_ip, rng, is_alive: true }
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

    /// Counts those who are named, by whether they are good.
    fn named(&self, ledger: &Ledger, now: UnixTime) -> (usize, usize) {
        let of = |ip| &self.by_ip[&ip];
        let roll = ledger.roll(now);
        let good = roll.nodes.iter().filter(|node| *of(node.ip) == Kind::Good).count();
        let never =
            roll.nodes.iter().filter(|node| matches!(of(node.ip), Kind::OtherChain | Kind::Obsolete | Kind::Nobody));
        assert_eq!(never.count(), 0, "seed {SEED}");
        (good, roll.nodes.len() - good)
    }

    fn play(&mut self, ledger: &mut Ledger, now: UnixTime, seconds: u32) -> UnixTime {
        play(ledger, now, seconds, |next, now| self.ask(next.address, now))
    }
}

/// Three hundred good nodes, three hundred of another chain, two hundred obsolete ones, two hundred that come and go, five
/// hundred addresses of nobody: within minutes all good ones are named, half a day later nobody else is.
#[test]
fn after_convergence_all_good_nodes_are_named_and_nobody_else() {
    let (mut world, mut ledger) = (World::new(), ledger(LedgerConfig::CAPACITY));
    ledger.introduce([address(0)], START);
    let mut now = world.play(&mut ledger, START, 10);
    let all: Vec<_> = world.kinds.keys().copied().collect();
    for teller in all.iter().skip(1).step_by(20) {
        ledger.hear(*teller, &told(all.iter().copied()), now);
    }
    now = world.play(&mut ledger, now, 20 * 60);
    assert!(world.named(&ledger, now).0 >= 297, "in time: {:?}", world.named(&ledger, now));
    now = world.play(&mut ledger, now, 12 * HOUR);
    let (mut least, mut others, mut named) = (usize::MAX, 0, 0);
    for _ in 0..24 * 6 {
        now = world.play(&mut ledger, now, 600);
        ledger.review_floor(now);
        let (good, other) = world.named(&ledger, now);
        (least, others, named) = (least.min(good), others + other, named + good + other);
    }
    println!("seed {SEED}: at least {least} of 300 good ones named, {others} of {named} namings of others");
    assert!(least >= 297, "seed {SEED}: {least}");
    assert!(others * 1_000 <= named, "seed {SEED}: {others} of {named}");

    world.is_alive = false;
    let died = now;
    while now.since(died) <= LedgerConfig::STALE_AFTER {
        now = world.play(&mut ledger, now, 10);
    }
    assert_eq!(world.named(&ledger, now), (0, 0), "seed {SEED}: empty within the time to live");
    now = world.play(&mut ledger, now, 2 * HOUR);
    assert_eq!(world.named(&ledger, now), (0, 0), "seed {SEED}");

    world.is_alive = true;
    now = world.play(&mut ledger, now, 2 * HOUR);
    assert!(
        world.named(&ledger, now).0 >= 290,
        "seed {SEED}: {:?} {:?}",
        world.named(&ledger, now),
        ledger.refusals(now)
    );
}
