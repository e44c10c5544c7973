//! A book as plain records, and back.

use std::collections::BTreeMap;

use savanna_wire::{PeerAddr, Services};

use crate::bucket::{BUCKET_LEN, NEW_BUCKETS};
use crate::entry::{Entry, MAX_PLACES};
use crate::{Book, Config, Handshake, Mark, Netgroup, Prefix, UnixTime};

/// An address of a book, with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where the peer listens.
    pub address: PeerAddr,
    /// The group of who first told of it.
    pub source: Netgroup,
    /// What it offers, as gossip has it.
    pub services: Services,
    /// When it was last seen: by us, or by others as far as they are believed.
    pub seen: UnixTime,
    /// When we last dialled it.
    pub last_try: UnixTime,
    /// When it last completed a handshake.
    pub last_success: UnixTime,
    /// When a failure was last counted against it.
    pub last_counted: UnixTime,
    /// Until when it is left alone.
    pub rests_until: UnixTime,
    /// How often we dialled it.
    pub attempts: u16,
    /// How often it completed a handshake.
    pub successes: u16,
    /// How often in a row we failed to reach it.
    pub failures: u8,
    /// What it said of itself in its last handshake.
    pub handshake: Option<Handshake>,
    /// Where it stands.
    pub table: Table,
}

/// Where an address stands in a book.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Table {
    /// In these buckets of `new`: one to eight, below 1024. With none given, where its source puts it.
    New(Vec<u16>),
    /// In `tried`, where its key puts it.
    Tried,
}

/// A book on its way to a disk or from it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// The secret that places the addresses. Never shown to anyone.
    pub secret: [u8; 32],
    /// The addresses.
    pub records: Vec<Record>,
    /// The operator's bans, and when each ends.
    pub bans: Vec<(Prefix, UnixTime)>,
    /// What tells against ranges of hosts.
    pub marks: Vec<(Prefix, Mark)>,
    /// The last good outbound peers.
    pub anchors: Vec<PeerAddr>,
}

/// How much of a snapshot found its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Records, bans, marks and anchors that are in the book.
    pub kept: usize,
    /// Those that no longer fit: not admitted under this configuration, there twice, expired, or without a place.
    pub refused: usize,
}

impl Restored {
    const fn count(&mut self, is_kept: bool) {
        if is_kept {
            self.kept += 1;
        } else {
            self.refused += 1;
        }
    }
}

impl Book {
    /// Returns the records of all addresses, one by one.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.tables.iter().map(record)
    }

    /// Returns what is known of an address.
    #[must_use]
    pub fn record(&self, address: PeerAddr) -> Option<Record> {
        self.tables.find(address).and_then(|id| self.tables.get(id)).map(record)
    }

    /// Returns the whole book as plain values.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            secret: self.secret(),
            records: self.records().collect(),
            bans: self.penalties.bans().collect(),
            marks: self.penalties.marks().collect(),
            anchors: self.anchors().to_vec(),
        }
    }

    /// Makes a book of a snapshot, as far as that fits, with randomness from `seed`.
    ///
    /// # Security
    /// A damaged snapshot gives a smaller book, never a panic or an address that [`Book::add`] would not admit.
    #[must_use]
    pub fn restore(config: Config, snapshot: Snapshot, seed: [u8; 32], now: UnixTime) -> (Self, Restored) {
        let mut book = Self::new(config, snapshot.secret, seed);
        let restored = book.merge(snapshot, now);
        (book, restored)
    }

    /// Takes in a snapshot beside what is there, as far as that fits. What is there keeps its place.
    ///
    /// # Security
    /// Under another secret than the snapshot's, addresses go where this book's secret puts them.
    pub fn merge(&mut self, snapshot: Snapshot, now: UnixTime) -> Restored {
        let is_foreign = snapshot.secret != self.secret();
        let mut restored = Restored::default();
        for (prefix, until) in snapshot.bans {
            restored.count(until > now && self.penalties.ban(prefix, until, now).is_ok());
        }
        let marked: BTreeMap<Prefix, Mark> = self.penalties.marks().collect();
        for (prefix, mark) in snapshot.marks {
            let is_worse = marked.get(&prefix).is_none_or(|there| there.points < mark.points);
            restored.count(is_worse && mark.until > now && self.penalties.mark(prefix, mark, now));
        }
        let (records, before) = (snapshot.records.len(), self.counts().total() as usize);
        for mut record in snapshot.records {
            if is_foreign && let Table::New(buckets) = &mut record.table {
                buckets.clear();
            }
            self.admit_record(record, now);
        }
        // One may have had to leave again, where two claim a place.
        let kept = (self.counts().total() as usize).saturating_sub(before);
        restored.kept += kept;
        restored.refused += records - kept;
        let latest = self.anchors().to_vec();
        for address in snapshot.anchors.into_iter().rev() {
            restored.count(self.anchor(address));
        }
        for address in latest.into_iter().rev() {
            self.anchor(address);
        }
        restored
    }

    fn admit_record(&mut self, record: Record, now: UnixTime) {
        let (address, source) = (record.address, record.source);
        if self.refusal(address).is_some() || self.tables.find(address).is_some() {
            return;
        }
        let (entry, table) = entry(record);
        let (entry, buckets) = match table {
            Table::New(buckets) => (entry, buckets),
            Table::Tried => match self.tables.insert_tried(entry) {
                Ok(_) => return,
                Err(entry) => (entry, Vec::new()),
            },
        };
        let legal = buckets.iter().filter(|bucket| **bucket < NEW_BUCKETS).take(MAX_PLACES);
        let mut slots: Vec<_> = legal.map(|bucket| self.tables.slot_in(address, *bucket)).collect();
        if slots.is_empty() {
            slots.push(self.tables.new_slot(address, source));
        }
        let mut homeless = Some(entry);
        for slot in slots {
            homeless = homeless.and_then(|entry| self.tables.insert(entry, slot, now).err());
            if let (None, Some(id)) = (&homeless, self.tables.find(address)) {
                self.tables.add_place(id, slot, now);
            }
        }
    }
}

fn entry(record: Record) -> (Entry, Table) {
    let mut entry = Entry::new(record.address, record.source, record.services, record.seen);
    entry.last_try = record.last_try;
    entry.last_success = record.last_success;
    entry.last_counted = record.last_counted;
    entry.rests_until = record.rests_until;
    entry.attempts = record.attempts;
    entry.successes = record.successes;
    entry.failures = record.failures;
    entry.handshake = record.handshake.map(Box::new);
    (entry, record.table)
}

fn record(entry: &Entry) -> Record {
    let bucket = |slot: &u16| slot / BUCKET_LEN;
    Record {
        address: entry.address,
        source: entry.source,
        services: entry.services,
        seen: entry.seen,
        last_try: entry.last_try,
        last_success: entry.last_success,
        last_counted: entry.last_counted,
        rests_until: entry.rests_until,
        attempts: entry.attempts,
        successes: entry.successes,
        failures: entry.failures,
        handshake: entry.handshake.as_deref().cloned(),
        table: if entry.is_tried { Table::Tried } else { Table::New(entry.places().iter().map(bucket).collect()) },
    }
}
