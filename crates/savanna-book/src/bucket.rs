//! Buckets of addresses: `new` for those heard of, `tried` for those that answered.

use rand_chacha::ChaCha8Rng;

use crate::Netgroup;
use crate::backoff::below;
use crate::key::{Key, Purpose};

/// How many addresses a bucket holds.
pub(crate) const BUCKET_LEN: u16 = 64;
/// How many buckets `new` has.
pub(crate) const NEW_BUCKETS: u16 = 1024;
/// How many buckets `tried` has.
pub(crate) const TRIED_BUCKETS: u16 = 256;
/// How many buckets of `new` one group of sources reaches.
pub(crate) const NEW_BUCKETS_PER_SOURCE: u16 = 64;
/// How many buckets of `tried` the addresses of one group reach.
pub(crate) const TRIED_BUCKETS_PER_GROUP: u16 = 8;

/// Names an entry of the book for as long as it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Id(pub(crate) u32);

/// A table of buckets. A slot is numbered through all of them.
///
/// A draw takes a bucket first: an attacker who crowds a few buckets is drawn no more often for it.
#[derive(Debug)]
pub(crate) struct Buckets {
    slots: Vec<Id>,
    /// Which slots of a bucket are taken, a bit each.
    taken: Vec<u64>,
    /// The buckets in which any slot is.
    in_use: Vec<u16>,
    /// Where a bucket stands among those in use.
    rank: Vec<u16>,
}

impl Buckets {
    pub(crate) fn new(count: u16) -> Self {
        let (count, len) = (usize::from(count), usize::from(BUCKET_LEN));
        Self { slots: vec![Id(0); count * len], taken: vec![0; count], in_use: Vec::new(), rank: vec![0; count] }
    }

    pub(crate) fn at(&self, slot: u16) -> Option<Id> {
        let (bucket, bit) = split(slot);
        (self.taken[bucket] & bit != 0).then(|| self.slots[usize::from(slot)])
    }

    pub(crate) fn put(&mut self, slot: u16, id: Id) {
        let (bucket, bit) = split(slot);
        if self.taken[bucket] == 0 {
            self.rank[bucket] = u16_of(self.in_use.len());
            self.in_use.push(u16_of(bucket));
        }
        self.taken[bucket] |= bit;
        self.slots[usize::from(slot)] = id;
    }

    pub(crate) fn clear(&mut self, slot: u16) {
        let (bucket, bit) = split(slot);
        if self.taken[bucket] & bit == 0 {
            return;
        }
        self.taken[bucket] &= !bit;
        if self.taken[bucket] == 0 {
            let rank = self.rank[bucket];
            self.in_use.swap_remove(usize::from(rank));
            if let Some(moved) = self.in_use.get(usize::from(rank)) {
                self.rank[usize::from(*moved)] = rank;
            }
        }
    }

    /// Draws one of the buckets in use and one of its addresses, each as likely as the others.
    pub(crate) fn draw(&self, rng: &mut ChaCha8Rng) -> Option<Id> {
        let bucket = *self.in_use.get(below(u32::try_from(self.in_use.len()).ok()?, rng) as usize)?;
        let mut taken = self.taken[usize::from(bucket)];
        for _ in 0..below(taken.count_ones(), rng) {
            taken &= taken - 1;
        }
        Some(self.slots[usize::from(bucket) * usize::from(BUCKET_LEN) + taken.trailing_zeros() as usize])
    }

    /// Returns what stands in the table, bucket by bucket from a drawn one on.
    pub(crate) fn walk(&self, rng: &mut ChaCha8Rng) -> impl Iterator<Item = Id> + '_ {
        let count = self.in_use.len();
        let first = below(u32::try_from(count).unwrap_or(0), rng) as usize;
        let order = self.in_use.iter().cycle().skip(first).take(count);
        order.flat_map(move |bucket| {
            let first = usize::from(*bucket) * usize::from(BUCKET_LEN);
            let taken = self.taken[usize::from(*bucket)];
            (0..usize::from(BUCKET_LEN))
                .filter(move |place| taken >> place & 1 != 0)
                .map(move |place| self.slots[first + place])
        })
    }
}

fn split(slot: u16) -> (usize, u64) {
    (usize::from(slot / BUCKET_LEN), 1 << (slot % BUCKET_LEN))
}

fn u16_of(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Where an address belongs.
impl Key {
    /// Returns the slot of `tried` for an address: its group reaches [`TRIED_BUCKETS_PER_GROUP`] buckets.
    pub(crate) fn tried_slot(&self, address: &[u8; 35], group: Netgroup) -> u16 {
        let spread = self.below(TRIED_BUCKETS_PER_GROUP, Purpose::TriedSpread, &[address]);
        let parts = [&group.to_bytes()[..], &spread.to_le_bytes()];
        let bucket = self.below(TRIED_BUCKETS, Purpose::TriedBucket, &parts);
        self.slot(Purpose::TriedPosition, bucket, address)
    }

    /// Returns the bucket of `new` for addresses of a group from a source: the source reaches
    /// [`NEW_BUCKETS_PER_SOURCE`] buckets.
    pub(crate) fn new_bucket(&self, group: Netgroup, source: Netgroup) -> u16 {
        let (group, source) = (group.to_bytes(), source.to_bytes());
        let spread = self.below(NEW_BUCKETS_PER_SOURCE, Purpose::NewSpread, &[&group, &source]);
        self.below(NEW_BUCKETS, Purpose::NewBucket, &[&source, &spread.to_le_bytes()])
    }

    /// Returns the slot of `new` for an address in a bucket.
    pub(crate) fn new_slot(&self, address: &[u8; 35], bucket: u16) -> u16 {
        self.slot(Purpose::NewPosition, bucket, address)
    }

    fn slot(&self, purpose: Purpose, bucket: u16, address: &[u8; 35]) -> u16 {
        bucket * BUCKET_LEN + self.below(BUCKET_LEN, purpose, &[&bucket.to_le_bytes(), address])
    }

    fn below(&self, bound: u16, purpose: Purpose, parts: &[&[u8]]) -> u16 {
        u16::try_from(self.hash(purpose, parts) % u64::from(bound)).unwrap_or(0)
    }
}

#[cfg(test)]
mod check;
