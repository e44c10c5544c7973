//! Where a host is and whose network it is in, by a database that the operator brings.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use maxminddb::{PathElement, Reader, path};
use savanna_peerset::crawler::Record;

/// A database of places in the MaxMind format: countries or cities, operators (ASN), or both in one.
#[derive(Debug)]
pub(super) struct Places(Reader<Vec<u8>>);

impl Places {
    /// Reads a database.
    ///
    /// # Errors
    /// If it cannot be read, or is no database of this kind.
    pub(super) fn open(file: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let reader = Reader::from_source(bytes)
            .with_context(|| format!("{} is no database of places (mmdb)", file.display()))?;
        reader.verify().with_context(|| format!("{} is damaged", file.display()))?;
        Ok(Self(reader))
    }

    /// Returns the two letters of the country that a host is in (ISO 3166).
    pub(super) fn country(&self, ip: IpAddr) -> Option<String> {
        self.text(ip, &path!["country", "iso_code"])
    }

    /// Returns the number and the name of the operator whose network a host is in.
    pub(super) fn operator(&self, ip: IpAddr) -> Option<String> {
        let number: u32 = self.0.lookup(ip).ok()?.decode_path(&path!["autonomous_system_number"]).ok()??;
        let name = self.text(ip, &path!["autonomous_system_organization"]);
        Some(name.map_or_else(|| format!("AS{number}"), |name| format!("AS{number} {name}")))
    }

    /// Counts nodes by country, the most common first.
    pub(super) fn countries<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Vec<(String, usize)> {
        tally(records, |ip| self.country(ip))
    }

    /// Counts nodes by operator, the most common first.
    pub(super) fn operators<'a>(&self, records: impl Iterator<Item = &'a Record>) -> Vec<(String, usize)> {
        tally(records, |ip| self.operator(ip))
    }

    fn text(&self, ip: IpAddr, path: &[PathElement<'_>]) -> Option<String> {
        self.0.lookup(ip).ok()?.decode_path(path).ok()?
    }
}

fn tally<'a>(
    records: impl Iterator<Item = &'a Record>,
    place: impl Fn(IpAddr) -> Option<String>,
) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    for name in records.filter_map(|record| record.address.host.ip()).filter_map(place) {
        *counts.entry(name).or_insert(0_usize) += 1;
    }
    let mut tally: Vec<_> = counts.into_iter().collect();
    tally.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    tally
}
