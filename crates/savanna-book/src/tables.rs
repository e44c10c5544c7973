//! The addresses of a book, found by address and by place.

use std::collections::BTreeMap;

use savanna_wire::PeerAddr;

use crate::bucket::{Buckets, Id, NEW_BUCKETS, TRIED_BUCKETS};
use crate::entry::{Entry, MAX_PLACES};
use crate::key::{Key, address_bytes};
use crate::{Family, Netgroup, PerFamily, UnixTime};

/// How many addresses a book holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BookCounts {
    /// Those heard of.
    pub new: PerFamily,
    /// Those that answered.
    pub tried: PerFamily,
}

impl BookCounts {
    /// Returns how many there are in both tables.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.new.total() + self.tried.total()
    }
}

/// The tables, and the index that agrees with them. An address is in `tried` once, or in `new` at up to eight places.
#[derive(Debug)]
pub(crate) struct Tables {
    key: Key,
    entries: Vec<Option<Entry>>,
    free: Vec<Id>,
    index: BTreeMap<PeerAddr, Id>,
    pub(crate) new: Buckets,
    pub(crate) tried: Buckets,
    counts: BookCounts,
}

impl Tables {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            entries: Vec::new(),
            free: Vec::new(),
            index: BTreeMap::new(),
            new: Buckets::new(NEW_BUCKETS),
            tried: Buckets::new(TRIED_BUCKETS),
            counts: BookCounts::default(),
        }
    }

    pub(crate) const fn key(&self) -> &Key {
        &self.key
    }

    pub(crate) const fn counts(&self) -> BookCounts {
        self.counts
    }

    pub(crate) fn find(&self, address: PeerAddr) -> Option<Id> {
        self.index.get(&address).copied()
    }

    pub(crate) fn get(&self, id: Id) -> Option<&Entry> {
        self.entries.get(id.0 as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut Entry> {
        self.entries.get_mut(id.0 as usize)?.as_mut()
    }

    pub(crate) fn find_mut(&mut self, address: PeerAddr) -> Option<&mut Entry> {
        let id = self.find(address)?;
        self.get_mut(id)
    }

    /// Finds an address of `new` that has answered. One that left and was heard of again has to answer again.
    pub(crate) fn find_answering(&self, address: PeerAddr) -> Option<Id> {
        let answers = |entry: &Entry| !entry.is_tried && entry.last_success != UnixTime::NEVER;
        self.find(address).filter(|id| self.get(*id).is_some_and(answers))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// Returns where an address from a source belongs in `new`.
    pub(crate) fn new_slot(&self, address: PeerAddr, source: Netgroup) -> u16 {
        let bucket = self.key.new_bucket(Netgroup::of(address.host), source);
        self.slot_in(address, bucket)
    }

    /// Returns where an address stands in a bucket of `new`.
    pub(crate) fn slot_in(&self, address: PeerAddr, bucket: u16) -> u16 {
        self.key.new_slot(&address_bytes(address), bucket)
    }

    /// Returns where an address belongs in `tried`.
    pub(crate) fn tried_slot(&self, address: PeerAddr) -> u16 {
        self.key.tried_slot(&address_bytes(address), Netgroup::of(address.host))
    }

    /// Takes in an address that is not there yet, at a slot of `new`; gives it back if the slot's incumbent stays.
    pub(crate) fn insert(&mut self, entry: Entry, slot: u16, now: UnixTime) -> Result<Id, Entry> {
        if self.gives_way(slot, true, now) { Ok(self.insert_over(entry, slot)) } else { Err(entry) }
    }

    /// Takes in an address that is not there yet, at a slot of `new`, whoever stands there.
    pub(crate) fn insert_over(&mut self, entry: Entry, slot: u16) -> Id {
        let family = Family::of(entry.address.host);
        let id = self.store(entry);
        self.counts.new.add(family);
        self.place(id, slot);
        id
    }

    /// Takes in an address that is not there yet, in its own slot of `tried`; gives it back if that is taken.
    pub(crate) fn insert_tried(&mut self, entry: Entry) -> Result<Id, Entry> {
        let slot = self.tried_slot(entry.address);
        if self.tried.at(slot).is_some() {
            return Err(entry);
        }
        let id = self.store(entry);
        self.place_tried(id, slot);
        Ok(id)
    }

    /// Gives an address of `new` one more place there, if the slot is free or its incumbent is worth nothing.
    pub(crate) fn add_place(&mut self, id: Id, slot: u16, now: UnixTime) -> bool {
        let has_room = self.get(id).is_some_and(|entry| !entry.is_tried && entry.places().len() < MAX_PLACES);
        if !has_room || self.new.at(slot) == Some(id) || !self.gives_way(slot, false, now) {
            return false;
        }
        self.place(id, slot);
        true
    }

    /// Moves an address from `new` to `tried`. Whoever stands there goes back to `new`.
    pub(crate) fn promote(&mut self, id: Id) {
        let Some(entry) = self.get(id).filter(|entry| !entry.is_tried) else { return };
        let address = entry.address;
        for slot in entry.places().to_vec() {
            self.displace(id, slot);
        }
        let slot = self.tried_slot(address);
        if let Some(incumbent) = self.tried.at(slot) {
            self.demote(incumbent, slot);
        }
        self.counts.new.remove(Family::of(address.host));
        self.place_tried(id, slot);
    }

    /// Forgets an address.
    pub(crate) fn remove(&mut self, id: Id) {
        let Some(entry) = self.entries.get_mut(id.0 as usize).and_then(Option::take) else { return };
        let table = if entry.is_tried { &mut self.tried } else { &mut self.new };
        entry.places().iter().for_each(|slot| table.clear(*slot));
        let counts = if entry.is_tried { &mut self.counts.tried } else { &mut self.counts.new };
        counts.remove(Family::of(entry.address.host));
        self.index.remove(&entry.address);
        self.free.push(id);
    }

    /// Returns whether a slot of `new` is free for another.
    fn gives_way(&self, slot: u16, to_unplaced: bool, now: UnixTime) -> bool {
        self.new
            .at(slot)
            .and_then(|id| self.get(id))
            .is_none_or(|incumbent| incumbent.is_terrible(now) || (to_unplaced && incumbent.places().len() > 1))
    }

    fn demote(&mut self, id: Id, slot: u16) {
        self.tried.clear(slot);
        let Some(entry) = self.get_mut(id) else { return };
        entry.drop_place(slot);
        entry.is_tried = false;
        let (address, source) = (entry.address, entry.source);
        self.counts.tried.remove(Family::of(address.host));
        self.counts.new.add(Family::of(address.host));
        let slot = self.new_slot(address, source);
        self.place(id, slot);
    }

    /// Puts an address into a slot of `new`, and whoever has no other place than that one out of the book.
    fn place(&mut self, id: Id, slot: u16) {
        if let Some(incumbent) = self.new.at(slot) {
            self.displace(incumbent, slot);
            if self.get(incumbent).is_some_and(|entry| entry.places().is_empty()) {
                self.remove(incumbent);
            }
        }
        self.new.put(slot, id);
        if let Some(entry) = self.get_mut(id) {
            entry.push_place(slot);
        }
    }

    fn place_tried(&mut self, id: Id, slot: u16) {
        self.tried.put(slot, id);
        let Some(entry) = self.get_mut(id) else { return };
        entry.push_place(slot);
        entry.is_tried = true;
        let family = Family::of(entry.address.host);
        self.counts.tried.add(family);
    }

    fn displace(&mut self, id: Id, slot: u16) {
        self.new.clear(slot);
        if let Some(entry) = self.get_mut(id) {
            entry.drop_place(slot);
        }
    }

    /// Keeps an entry, as yet without a place and not counted.
    fn store(&mut self, entry: Entry) -> Id {
        let address = entry.address;
        let id = if let Some(id) = self.free.pop() {
            id
        } else {
            // Doubling would waste up to half of the largest part of a book.
            if self.entries.len() == self.entries.capacity() {
                self.entries.reserve_exact(self.entries.len() / 8 + 16);
            }
            self.entries.push(None);
            Id(u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX))
        };
        if let Some(place) = self.entries.get_mut(id.0 as usize) {
            *place = Some(entry);
        }
        self.index.insert(address, id);
        id
    }
}

#[cfg(test)]
mod check;
