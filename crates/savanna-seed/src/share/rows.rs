//! What is kept of a sighting, and what has to be written so that a table comes to hold what is seen.

use std::net::{IpAddr, SocketAddr};

use savanna_peerset::crawler::Scope;
use savanna_wire::{Network, PeerAddr, Services};

use super::MAX_SIGHTINGS;
use crate::{Sighting, VantagePoint};

/// How many rows are written at once at most: some 200 kB.
const BATCH: usize = 10_000;

/// A sighting as the database has it. The port is the network's, since no other is ever named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) ip: IpAddr,
    pub(super) good: Option<Services>,
    pub(super) is_reached: bool,
}

impl Row {
    /// Returns the sighting, if a vantage point of this network could have had it.
    ///
    /// # Security
    /// Against a vantage point that is set up wrongly, and would have all others name what is on its own private network.
    pub(super) fn sighting(self, network: Network, scope: Scope) -> Option<Sighting> {
        let address = PeerAddr::from(SocketAddr::new(self.ip, network.default_port()));
        let sighting = Sighting { address, good: self.good, is_reached: self.is_reached };
        scope.admits(address).then_some(sighting)
    }
}

/// Returns the rows of what is seen, by address, each once.
///
/// Beyond [`MAX_SIGHTINGS`], those that are not good are left out first.
pub(super) fn rows(point: &VantagePoint) -> Vec<Row> {
    let row = |sighting: &Sighting| {
        let ip = sighting.address.socket_addr()?.ip();
        Some(Row { ip, good: sighting.good, is_reached: sighting.is_reached })
    };
    let mut rows: Vec<Row> = point.sightings.iter().filter_map(row).collect();
    if rows.len() > MAX_SIGHTINGS {
        rows.sort_by_key(|row| (row.good.is_none(), row.ip));
        rows.truncate(MAX_SIGHTINGS);
    }
    rows.sort_by_key(|row| row.ip);
    rows.dedup_by_key(|row| row.ip);
    rows
}

/// What has to be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Changes {
    pub(super) put: Vec<Row>,
    pub(super) gone: Vec<IpAddr>,
}

impl Changes {
    /// Compares two tables, both by address.
    pub(super) fn between(held: &[Row], wanted: &[Row]) -> Self {
        let mut changes = Self::default();
        let mut held = held.iter().peekable();
        for row in wanted {
            while let Some(gone) = held.next_if(|held| held.ip < row.ip) {
                changes.gone.push(gone.ip);
            }
            if held.next_if(|held| held.ip == row.ip) != Some(row) {
                changes.put.push(*row);
            }
        }
        changes.gone.extend(held.map(|gone| gone.ip));
        changes
    }

    /// Iterates over the batches that they are written in: at least one, since that one was heard is news by itself.
    pub(super) fn batches(&self) -> impl Iterator<Item = Batch<'_>> {
        let count = self.put.len().max(self.gone.len()).div_ceil(BATCH).max(1);
        (1..=count).map(move |number| Batch {
            put: piece(&self.put, number),
            gone: piece(&self.gone, number),
            is_last: number == count,
        })
    }
}

/// What is written in one round trip.
#[derive(Debug, Clone, Copy)]
pub(super) struct Batch<'a> {
    pub(super) put: &'a [Row],
    pub(super) gone: &'a [IpAddr],
    /// Whether the table is whole with it.
    pub(super) is_last: bool,
}

fn piece<T>(all: &[T], number: usize) -> &[T] {
    let begin = all.len().min((number - 1) * BATCH);
    &all[begin..all.len().min(number * BATCH)]
}

#[cfg(test)]
mod tests;
