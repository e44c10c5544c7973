//! The book beside a naive model of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Table;
use crate::bucket::BUCKET_LEN;

/// How many addresses take part, in two groups, so that places in `tried` are wanted by several.
const ADDRESSES: u32 = 600;

#[derive(Debug, Clone, Copy)]
enum Op {
    Hear { address: u32, teller: u8, age: u16 },
    Attempt { address: u32 },
    Succeed { address: u32 },
    Fail { address: u32, is_useless: bool },
    See { address: u32 },
    Own { address: u32 },
    Discourage { address: u32 },
    Test { answers: bool },
    Pick,
    Answer,
    Wait { seconds: u32 },
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let address = 0..ADDRESSES;
    prop_oneof![
        8 => (address.clone(), 0..3_u8, any::<u16>()).prop_map(|(address, teller, age)| Op::Hear { address, teller, age }),
        3 => address.clone().prop_map(|address| Op::Attempt { address }),
        12 => address.clone().prop_map(|address| Op::Succeed { address }),
        4 => (address.clone(), any::<bool>()).prop_map(|(address, is_useless)| Op::Fail { address, is_useless }),
        1 => address.clone().prop_map(|address| Op::See { address }),
        1 => (0..20_u32).prop_map(|address| Op::Own { address }),
        1 => address.prop_map(|address| Op::Discourage { address }),
        4 => any::<bool>().prop_map(|answers| Op::Test { answers }),
        3 => Just(Op::Pick),
        1 => Just(Op::Answer),
        2 => (0..20_000_u32).prop_map(|seconds| Op::Wait { seconds }),
        1 => Just(Op::Restart),
    ]
}

fn address_of(number: u32) -> PeerAddr {
    let [_, _, c, d] = (number / 2).to_be_bytes();
    let ip = if number.is_multiple_of(2) { Ipv4Addr::new(50, 1, c, d) } else { Ipv4Addr::new(60, 2, c, d) };
    PeerAddr { host: Host::V4(ip), port: 8233 }
}

fn teller(number: u8) -> Host {
    Host::V4(Ipv4Addr::new(70 + number, 1, 1, 1))
}

/// What the book must hold, kept in the plainest way.
#[derive(Debug, Default)]
struct Model {
    /// Who told of an address, how often it was dialled, and how often it answered.
    known: BTreeMap<PeerAddr, Known>,
    /// Who stands where in `tried`.
    tried: BTreeMap<u16, PeerAddr>,
    own: Vec<PeerAddr>,
    discouraged: BTreeMap<PeerAddr, UnixTime>,
}

#[derive(Debug, Default, Clone)]
struct Known {
    tellers: BTreeSet<u8>,
    attempts: u16,
    successes: u16,
}

struct World {
    book: Book,
    model: Model,
    now: UnixTime,
    /// The incumbents under test, with the place that each holds.
    tests: Vec<(PeerAddr, u16)>,
    restarts: u8,
}

impl World {
    fn new() -> Self {
        Self { book: book(), model: Model::default(), now: NOW, tests: Vec::new(), restarts: 0 }
    }

    fn run(&mut self, op: Op) {
        let now = self.now;
        if let Op::Hear { address, .. }
        | Op::Attempt { address }
        | Op::Succeed { address }
        | Op::Fail { address, .. }
        | Op::Own { address } = op
        {
            self.forget_if_gone(address_of(address));
        }
        match op {
            Op::Hear { address, teller, age } => self.hear(address_of(address), teller, age),
            Op::Attempt { address } => {
                self.book.handle_attempt(address_of(address), now);
                self.bump(address_of(address), |known| known.attempts += 1);
            }
            Op::Succeed { address } => self.succeed(address_of(address)),
            Op::Fail { address, is_useless } => {
                let failure = if is_useless { Failure::Useless } else { Failure::Unreachable };
                self.fail(address_of(address), failure);
            }
            Op::See { address } => self.book.handle_seen(address_of(address), now),
            Op::Own { address } => {
                let address = address_of(address);
                self.book.own(address);
                self.model.own.push(address);
                self.model.known.remove(&address);
                self.model.tried.retain(|_, other| *other != address);
            }
            Op::Discourage { address } => {
                self.book.penalties_mut().penalize(address_of(address).host, 100, now);
                self.model.discouraged.insert(address_of(address), now.plus(Penalties::MARKED_FOR));
            }
            Op::Test { answers } => self.test(answers),
            Op::Pick => self.pick(),
            Op::Answer => self.answer(),
            Op::Wait { seconds } => self.now = now.plus(seconds),
            Op::Restart => self.restart(),
        }
    }

    /// Notes that others took the places of an address: it had none but in `new`.
    fn forget_if_gone(&mut self, address: PeerAddr) {
        if self.book.tables.find(address).is_none() && self.model.known.remove(&address).is_some() {
            assert!(!self.is_incumbent(address), "{address} left tried");
        }
    }

    fn hear(&mut self, address: PeerAddr, number: u8, age: u16) {
        let time = self.now.minus(u32::from(age));
        let outcome = self.book.add(heard(address, time), Source::Gossip(teller(number)), self.now);
        let is_discouraged = self.model.discouraged.get(&address).is_some_and(|until| self.now < *until);
        match outcome {
            Added::New => {
                let fresh = Known { tellers: BTreeSet::from([number]), ..Known::default() };
                assert!(self.model.known.insert(address, fresh).is_none());
            }
            Added::Updated | Added::Known => self.bump(address, |known| known.tellers.extend([number])),
            Added::Refused(Refusal::Own) => assert!(self.model.own.contains(&address)),
            Added::Refused(Refusal::Penalized) => assert!(is_discouraged),
            Added::Refused(Refusal::Full) => assert!(!self.model.known.contains_key(&address)),
            Added::Refused(other) => panic!("{other:?}"),
        }
        if !matches!(outcome, Added::Refused(_)) {
            assert!(!self.model.own.contains(&address) && !is_discouraged);
        }
    }

    fn bump(&mut self, address: PeerAddr, change: impl FnOnce(&mut Known)) {
        if let Some(known) = self.model.known.get_mut(&address) {
            change(known);
        }
    }

    fn succeed(&mut self, address: PeerAddr) {
        self.book.handle_success(address, handshake(), self.now);
        self.bump(address, |known| known.successes += 1);
        if self.model.known.contains_key(&address) {
            let slot = self.book.tables.tried_slot(address);
            // Only an empty place is taken without more ado.
            self.model.tried.entry(slot).or_insert(address);
        }
    }

    fn fail(&mut self, address: PeerAddr, failure: Failure) {
        let before = self.is_incumbent(address);
        self.book.handle_failure(address, failure, self.now);
        if before && !is_tried(&self.book, address) {
            self.replaced(address);
        }
    }

    fn is_incumbent(&self, address: PeerAddr) -> bool {
        self.model.tried.values().any(|other| *other == address)
    }

    /// Notes that an incumbent lost its place: to one that answered and belongs there.
    fn replaced(&mut self, incumbent: PeerAddr) {
        let slot = self.book.tables.tried_slot(incumbent);
        let winner = self.book.tables.tried.at(slot).and_then(|id| self.book.tables.get(id)).unwrap().address;
        assert!(self.model.known[&winner].successes > 0);
        assert_eq!(self.model.tried.insert(slot, winner), Some(incumbent));
    }

    fn test(&mut self, answers: bool) {
        if let Some(incumbent) = self.book.poll_test(self.now) {
            assert!(self.is_incumbent(incumbent), "only incumbents are tested");
            self.tests.push((incumbent, self.book.tables.tried_slot(incumbent)));
        }
        // A place that became free may have gone to who waited for it.
        self.follow_vacancies();
        if let Some((incumbent, _)) = self.tests.pop() {
            if answers {
                self.succeed(incumbent);
            } else {
                self.fail(incumbent, Failure::Unreachable);
            }
        }
    }

    fn follow_vacancies(&mut self) {
        for entry in self.book.tables.iter().filter(|entry| entry.is_tried) {
            let holder = *self.model.tried.entry(entry.places()[0]).or_insert(entry.address);
            assert_eq!(holder, entry.address);
        }
    }

    fn pick(&mut self) {
        let groups = BTreeSet::from([Netgroup::of(host("50.1.0.0"))]);
        let wanted = Wanted { groups: &groups, ..Wanted::default() };
        if let Some(peer) = self.book.pick(&wanted, self.now) {
            assert_eq!(Netgroup::of(peer.host), Netgroup::of(host("60.2.0.0")));
            assert!(self.model.known.contains_key(&peer));
            assert!(self.model.discouraged.get(&peer).is_none_or(|until| self.now >= *until));
            assert!(self.now >= self.book.record(peer).unwrap().rests_until);
        }
        if let Some(peer) = self.book.feeler(&Wanted::default(), self.now) {
            assert!(!self.is_incumbent(peer));
        }
    }

    fn answer(&mut self) {
        let total = self.book.counts().total() as usize;
        self.book.answers = Answers::default();
        let answer = self.book.answer(Family::V4, self.now).to_vec();
        assert!(answer.len() <= total.div_ceil(2));
        let addresses: BTreeSet<_> = answer.iter().map(|entry| entry.address).collect();
        assert_eq!(addresses.len(), answer.len());
        assert!(addresses.iter().all(|address| self.model.known.contains_key(address)));
    }

    fn restart(&mut self) {
        self.restarts = self.restarts.wrapping_add(1);
        let own: Vec<_> = self.book.own_addresses().collect();
        let snapshot = self.book.snapshot();
        let records = snapshot.records.len();
        let seed = [self.restarts; 32];
        let (book, restored) = Book::restore(Config::new(Network::Mainnet), snapshot, seed, self.now);
        self.book = book;
        own.into_iter().for_each(|address| self.book.own(address));
        assert_eq!(self.book.counts().total() as usize, records);
        assert!(restored.kept >= records);
        self.tests.clear();
    }

    /// Compares the book with the model, and both with what holds by construction.
    fn check(&mut self) {
        self.book.tables.check();
        for address in self.model.known.keys().copied().collect::<Vec<_>>() {
            self.forget_if_gone(address);
        }
        let (book, tried) = (&self.book, &self.model.tried);
        assert_eq!(book.counts().total() as usize, self.model.known.len());
        assert_eq!(book.counts().tried.total() as usize, tried.len());
        for (slot, address) in tried {
            assert!(is_tried(book, *address), "{address}");
            assert_eq!(book.tables.tried_slot(*address), *slot);
        }
        let mut by_teller: BTreeMap<u8, BTreeSet<u16>> = BTreeMap::new();
        for (address, known) in &self.model.known {
            let record = book.record(*address).unwrap();
            assert_eq!((record.attempts, record.successes), (known.attempts, known.successes));
            if let (Table::New(buckets), 1) = (&record.table, known.tellers.len()) {
                by_teller.entry(*known.tellers.first().unwrap()).or_default().extend(buckets);
            }
        }
        assert!(by_teller.values().all(|buckets| buckets.len() <= 64));
        let tried_buckets: BTreeSet<_> = tried.keys().map(|slot| slot / BUCKET_LEN).collect();
        assert!(tried_buckets.len() <= 2 * 8, "two groups of addresses");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_book_agrees_with_a_naive_model(ops in proptest::collection::vec(op(), 500..2500)) {
        let mut world = World::new();
        for (step, op) in ops.into_iter().enumerate() {
            world.run(op);
            if step % 40 == 0 {
                world.check();
            }
        }
        world.check();
    }
}
