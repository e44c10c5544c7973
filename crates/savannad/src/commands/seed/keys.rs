//! `savanna seed keys`: the keys that sign, and what the parent zones are to carry of them.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, bail};
use savanna_seed::{Keys, Zone};

use crate::cli::SeederArgs;
use crate::config::{SeedConfig, ZoneConfig, process_environment};

/// Prints the DS record and the key of each zone, as lines of a zone file.
pub(super) fn run(args: &SeederArgs) -> anyhow::Result<()> {
    let config = SeedConfig::load(args, &process_environment)?;
    let mut text = String::new();
    for zone in config.zones.iter().filter(|zone| !zone.name.is_empty() && zone.dnssec) {
        let zone = open(&config.dir, zone)?;
        for line in zone.ds().into_iter().chain(zone.dnskey()) {
            text += &line;
            text.push('\n');
        }
    }
    if text.is_empty() {
        bail!("no zone is signed: name one with --zone, and leave dnssec = true");
    }
    super::print(&text)
}

/// Describes a zone with the key that signs it, which is made if there is none.
pub(super) fn open(dir: &Path, config: &ZoneConfig) -> anyhow::Result<Zone> {
    let keys = config.dnssec.then(|| key_of(dir, config)).transpose()?;
    config.zone(keys)
}

fn key_of(dir: &Path, config: &ZoneConfig) -> anyhow::Result<Keys> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let path = dir.join(format!("{}.key", file_name(&config.name)));
    Keys::open(&path).with_context(|| path.display().to_string())
}

/// Returns a zone's name as that of a file.
fn file_name(zone: &str) -> String {
    zone.trim_end_matches('.')
        .to_ascii_lowercase()
        .replace(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '-'), "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_has_one_file_however_it_is_written_and_it_is_in_the_directory() {
        assert_eq!(file_name("Seed.Example.ORG."), "seed.example.org");
        assert_eq!(file_name("a/../b.example"), "a_.._b.example");
    }
}
