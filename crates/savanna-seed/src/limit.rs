//! How many answers a network's prefix gets.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

const SHARDS: usize = 64;
const SETS: usize = 256;
const WAYS: usize = 4;

/// What one answer costs of a bucket, so that a bucket fills evenly within a second.
const ANSWER: u64 = 1_000_000;

/// The bounds of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Answers over UDP that an IPv4 /24 or an IPv6 /56 gets in a second, in the long run.
    pub rate: u32,
    /// Answers over UDP that such a prefix may get at once.
    pub burst: u32,
    /// Of the answers over UDP that are too many, every so-many-th is told to come again over TCP; the others get
    /// nothing. None is told if this is 0.
    pub slip: u32,
    /// TCP connections at the same time, all together.
    pub connections: usize,
    /// TCP connections at the same time from one prefix.
    pub connections_of_prefix: usize,
    /// TCP connections at the same time from one IPv4 /16 or IPv6 /48, such as one owner may have many prefixes of.
    pub connections_of_network: usize,
    /// How long a TCP connection may take for a question, or for taking an answer, until it is closed.
    pub idle: Duration,
    /// Questions on one TCP connection, until it is closed.
    pub questions: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rate: 50,
            burst: 200,
            slip: 2,
            connections: 512,
            connections_of_prefix: 16,
            connections_of_network: 64,
            idle: Duration::from_secs(5),
            questions: 256,
        }
    }
}

/// What becomes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is answered.
    Answered,
    /// It is told to come again over TCP, where nobody lies about who he is.
    Slipped,
    /// It gets nothing.
    Dropped,
}

/// A prefix as a number: 56 bits, and which family above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Prefix(u64);

impl Prefix {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self(1 << 56 | u64::from(ip.to_bits() >> 8)),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, ..] = ip.octets();
                Self(u64::from_be_bytes([2, a, b, c, d, e, f, g]))
            }
        }
    }
}

/// A wider prefix as a number: an IPv4 /16 or an IPv6 /48, and which family above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wide(u64);

impl Wide {
    pub(crate) const fn of(prefix: Prefix) -> Self {
        Self(prefix.0 >> 8)
    }
}

/// A bucket that is nobody's has prefix 0, which none has.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    prefix: u64,
    /// What is spent of the burst, in millionths of an answer.
    spent: u64,
    /// When that was so: microseconds.
    at: u64,
    /// How many were too many.
    refused: u32,
}

/// The buckets that a prefix may have: the one that was used least lately makes room.
#[derive(Debug, Clone, Copy, Default)]
struct Set([Bucket; WAYS]);

#[derive(Debug)]
struct Shard(Box<[Set]>);

/// Token buckets by prefix, in a table of fixed size.
///
/// # Security
/// Someone who sends under others' addresses makes us send each prefix no more than the rate, and in a table of 65,536
/// places he can at most put out of it what was used least lately: then that prefix begins with a whole burst.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: u64,
    burst: u64,
    slip: u32,
    seed: u64,
    shards: Vec<Mutex<Shard>>,
}

impl Limiter {
    /// Makes an empty table. `seed` decides who shares a place with whom, and must not be known to others.
    pub(crate) fn new(limits: &Limits, seed: u64) -> Self {
        let shard = || Mutex::new(Shard(vec![Set::default(); SETS].into()));
        Self {
            rate: u64::from(limits.rate),
            burst: u64::from(limits.burst.max(1)) * ANSWER,
            slip: limits.slip,
            seed,
            shards: (0..SHARDS).map(|_| shard()).collect(),
        }
    }

    /// Decides about a question that comes `now`, a time since the server began.
    pub(crate) fn take(&self, ip: IpAddr, now: Duration) -> Verdict {
        let Prefix(prefix) = Prefix::of(ip);
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let hash = usize::try_from(xxh3_64_with_seed(&prefix.to_le_bytes(), self.seed) & 0xffff_ffff).unwrap_or(0);
        let mut shard = self.shards[hash % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = shard.0[hash / SHARDS % SETS].bucket(prefix, now);
        // A rate is answers in a second, which is millionths of an answer in a microsecond.
        let refilled = now.saturating_sub(bucket.at).saturating_mul(self.rate);
        bucket.spent = bucket.spent.saturating_sub(refilled);
        bucket.at = bucket.at.max(now);
        if bucket.spent + ANSWER <= self.burst {
            bucket.spent += ANSWER;
            return Verdict::Answered;
        }
        bucket.refused = bucket.refused.wrapping_add(1);
        if self.slip > 0 && bucket.refused.is_multiple_of(self.slip) { Verdict::Slipped } else { Verdict::Dropped }
    }
}

impl Set {
    fn bucket(&mut self, prefix: u64, now: u64) -> &mut Bucket {
        let (mut oldest, mut at) = (0, u64::MAX);
        for (way, bucket) in self.0.iter().enumerate() {
            if bucket.prefix == prefix {
                return &mut self.0[way];
            }
            let used = if bucket.prefix == 0 { 0 } else { bucket.at };
            if used < at {
                (oldest, at) = (way, used);
            }
        }
        self.0[oldest] = Bucket { prefix, at: now, ..Bucket::default() };
        &mut self.0[oldest]
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn limiter(rate: u32, burst: u32, slip: u32) -> Limiter {
        Limiter::new(&Limits { rate, burst, slip, ..Limits::default() }, 1)
    }

    fn ask(limiter: &Limiter, ip: impl Into<IpAddr>, times: usize, now: Duration) -> [usize; 3] {
        let ip = ip.into();
        let mut counts = [0; 3];
        for _ in 0..times {
            counts[limiter.take(ip, now) as usize] += 1;
        }
        counts
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let limiter = limiter(10, 5, 2);
        let ip = Ipv4Addr::new(192, 0, 2, 7);
        assert_eq!(ask(&limiter, ip, 9, Duration::ZERO), [5, 2, 2]);
        assert_eq!(ask(&limiter, ip, 3, Duration::from_millis(100)), [1, 1, 1]);
        assert_eq!(ask(&limiter, ip, 9, Duration::from_secs(60)), [5, 2, 2], "no more than the burst is saved up");
    }

    #[test]
    fn a_prefix_is_one_and_its_neighbour_another() {
        let limiter = limiter(1, 1, 0);
        let now = Duration::ZERO;
        assert_eq!(ask(&limiter, Ipv4Addr::new(192, 0, 2, 7), 1, now), [1, 0, 0]);
        assert_eq!(ask(&limiter, Ipv4Addr::new(192, 0, 2, 200), 1, now), [0, 0, 1]);
        assert_eq!(
            ask(&limiter, Ipv4Addr::new(192, 0, 2, 9).to_ipv6_mapped(), 1, now),
            [0, 0, 1],
            "mapped is the same"
        );
        assert_eq!(ask(&limiter, Ipv4Addr::new(192, 0, 3, 7), 1, now), [1, 0, 0]);
        let net = |last| Ipv6Addr::new(0x2001, 0xdb8, 1, last, 0, 0, 0, 1);
        assert_eq!(ask(&limiter, net(0x0100), 1, now), [1, 0, 0]);
        assert_eq!(ask(&limiter, net(0x01ff), 1, now), [0, 0, 1]);
        assert_eq!(ask(&limiter, net(0x0200), 1, now), [1, 0, 0]);
        assert_eq!(ask(&limiter, Ipv6Addr::UNSPECIFIED, 2, now), [1, 0, 1], "not the empty place");
    }

    #[test]
    fn a_clock_that_stands_or_turns_back_gives_nothing() {
        let limiter = limiter(u32::MAX, 1, 0);
        let ip = Ipv4Addr::LOCALHOST;
        assert_eq!(ask(&limiter, ip, 2, Duration::from_secs(9)), [1, 0, 1]);
        assert_eq!(ask(&limiter, ip, 2, Duration::from_secs(1)), [0, 0, 2]);
        assert_eq!(ask(&limiter, ip, 2, Duration::MAX), [1, 0, 1]);
    }

    /// A million prefixes pass through; the table stays as large as it is, and one that keeps asking keeps its bucket.
    #[test]
    fn adversary_16_a_flood_of_prefixes_frees_nobody_who_keeps_asking() {
        let limiter = limiter(1, 10, 0);
        let loud = Ipv4Addr::new(198, 51, 100, 1);
        let mut answered = 0;
        for i in 0..1_000_000u32 {
            let now = Duration::from_micros(u64::from(i));
            ask(&limiter, Ipv4Addr::from_bits(i << 8), 1, now);
            if i % 1000 == 0 {
                answered += ask(&limiter, loud, 1, now)[0];
            }
        }
        assert!((10..=11).contains(&answered), "answered {answered}");
    }
}
