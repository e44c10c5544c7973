//! What always holds of the tables.

use std::collections::BTreeMap;

use super::*;
use crate::bucket::BUCKET_LEN;

impl Tables {
    /// Checks that places, index, entries and counts agree, and that everything stands where the key puts it.
    pub(crate) fn check(&self) {
        let mut counts = BookCounts::default();
        let (mut new, mut tried) = (BTreeMap::new(), BTreeMap::new());
        for (address, id) in &self.index {
            let entry = self.get(*id).unwrap();
            assert_eq!(entry.address, *address);
            let family = Family::of(address.host);
            if entry.is_tried {
                counts.tried.add(family);
                assert_eq!(entry.places(), [self.tried_slot(*address)]);
                tried.insert(entry.places()[0], *id);
            } else {
                counts.new.add(family);
                assert!((1..=MAX_PLACES).contains(&entry.places().len()));
                for slot in entry.places() {
                    assert_eq!(*slot, self.slot_in(*address, slot / BUCKET_LEN));
                    assert_eq!(new.insert(*slot, *id), None);
                }
            }
        }
        assert_eq!(counts, self.counts);
        assert_eq!(self.iter().count(), self.index.len());
        assert_eq!(self.free.len() + self.index.len(), self.entries.len());
        for (table, expected) in [(&self.new, new), (&self.tried, tried)] {
            assert_eq!(table.all().collect::<BTreeMap<_, _>>(), expected);
            table.check();
        }
    }
}
