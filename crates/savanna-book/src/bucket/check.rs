//! What always holds of a table of buckets.

use std::collections::BTreeSet;

use rand_chacha::rand_core::SeedableRng;

use super::*;

impl Buckets {
    /// Returns the slots that are taken, and by whom.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u16, Id)> + '_ {
        (0..=u16::MAX).take(self.slots.len()).filter_map(|slot| Some((slot, self.at(slot)?)))
    }

    /// Checks that the buckets in use are those in which any slot is taken.
    pub(crate) fn check(&self) {
        let expected: BTreeSet<_> = self.all().map(|(slot, _)| slot / BUCKET_LEN).collect();
        assert_eq!(self.in_use.iter().copied().collect::<BTreeSet<_>>(), expected);
        assert_eq!(self.in_use.len(), expected.len());
        for (rank, bucket) in self.in_use.iter().enumerate() {
            assert_eq!(usize::from(self.rank[usize::from(*bucket)]), rank);
        }
    }
}

#[test]
fn a_crowded_bucket_is_drawn_no_more_often_than_one_that_holds_a_single_address() {
    let mut buckets = Buckets::new(8);
    (0..BUCKET_LEN).for_each(|slot| buckets.put(slot, Id(1)));
    buckets.put(5 * BUCKET_LEN + 63, Id(2));
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    let lonely = (0..1000).filter(|_| buckets.draw(&mut rng) == Some(Id(2))).count();
    assert!((450..550).contains(&lonely), "{lonely}");
    assert_eq!(buckets.walk(&mut rng).count(), 65);
    (0..BUCKET_LEN).for_each(|slot| buckets.clear(slot));
    buckets.check();
    assert_eq!(buckets.draw(&mut rng), Some(Id(2)));
    buckets.clear(5 * BUCKET_LEN + 63);
    assert_eq!(buckets.draw(&mut rng), None);
    assert_eq!(buckets.walk(&mut rng).next(), None);
}

#[test]
fn a_secret_spreads_a_source_and_a_group_over_as_many_buckets_as_stated_and_no_more() {
    use std::net::Ipv4Addr;

    use savanna_wire::{Host, PeerAddr};

    use crate::key::address_bytes;

    let key = Key::new([3; 32]);
    let source = Netgroup::of(Host::V4(Ipv4Addr::new(6, 6, 6, 6)));
    let groups = (0..20_000_u32).map(|number| Netgroup::of(Host::V4(Ipv4Addr::from(number << 16))));
    let reached: BTreeSet<_> = groups.map(|group| key.new_bucket(group, source)).collect();
    assert!((50..=64).contains(&reached.len()), "{}", reached.len());
    let group = source;
    let slots = (0..20_000_u32).map(|number| {
        let host = Host::V4(Ipv4Addr::from(0x0606_0000 | (number & 0xffff)));
        key.tried_slot(&address_bytes(PeerAddr { host, port: 8233 }), group)
    });
    let reached: BTreeSet<_> = slots.map(|slot| slot / BUCKET_LEN).collect();
    assert!((7..=8).contains(&reached.len()), "{}", reached.len());
    assert_ne!(key.new_bucket(group, source), Key::new([4; 32]).new_bucket(group, source));
}
