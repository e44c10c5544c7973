//! What a seeder is told to be: by a file, above it by the environment, above that by flags.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use savanna_net::{AcceptRates, Listener, SlotLimits, Target};
use savanna_peerset::crawler::Scope;
use savanna_seed::{Keys, LedgerConfig, Limits, NameServer, SERVICE_NAMES, SHORTEST_TTL, ShareConfig, Zone};
use savanna_wire::{Network, Services};

use super::value::Value;
use super::{Environment, LogFormat, NO_LIMIT, file, number, read_text};
use crate::cli::SeederArgs;

use keys::{KEYS, Key, ZONE_KEYS};

mod keys;

/// Every setting of a seeder. The key of a setting is the name of its field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeedConfig {
    pub(crate) dir: PathBuf,
    pub(crate) dns: Vec<SocketAddr>,
    pub(crate) rate: u64,
    pub(crate) burst: u64,
    pub(crate) slip: u64,
    pub(crate) dns_connections: u64,
    pub(crate) share: String,
    pub(crate) share_name: String,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) shutdown: u64,
    /// At least one, and each network once.
    pub(crate) zones: Vec<ZoneConfig>,
}

/// Every setting of one network that is seeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ZoneConfig {
    pub(crate) network: Network,
    /// Empty where there is no DNS.
    pub(crate) name: String,
    pub(crate) ns: Vec<NameServer>,
    pub(crate) contact: String,
    pub(crate) ttl: u64,
    pub(crate) dnssec: bool,
    pub(crate) service_names: Vec<Services>,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) offers_chain: bool,
    pub(crate) inbound: u64,
    pub(crate) per_address: u64,
    pub(crate) accept_rates: bool,
    pub(crate) peers: Vec<Target>,
    pub(crate) dns_seeds: Vec<Target>,
    pub(crate) private_addresses: bool,
    pub(crate) capacity: u64,
    pub(crate) floor: u64,
    pub(crate) floor_by: String,
}

/// What the environment variable of a key begins with.
const PREFIX: &str = "SAVANNA_SEED_";

/// What all commands share.
const LOG_VARIABLE: &str = "SAVANNA_LOG";

/// How many peers there are at a time unless told otherwise.
const INBOUND: u64 = 500;

const NETWORK: &str = "network";

/// A key, what it is set to, and where that stands.
#[derive(Debug, Clone)]
struct Given {
    key: String,
    value: Value,
    place: String,
}

impl SeedConfig {
    fn new(environment: Environment<'_>) -> Self {
        let limits = Limits::default();
        let seeder = super::default_dir(Network::Mainnet, environment).map(|dir| dir.with_file_name("seeder"));
        Self {
            dir: seeder.unwrap_or_default(),
            dns: Vec::new(),
            rate: limits.rate.into(),
            burst: limits.burst.into(),
            slip: limits.slip.into(),
            dns_connections: limits.connections as u64,
            share: String::new(),
            share_name: String::new(),
            http: None,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            shutdown: 10,
            zones: Vec::new(),
        }
    }

    /// Reads the file that the flags or the environment name, if any, and puts the environment and the flags above it.
    ///
    /// # Errors
    /// A sentence that names the key, and where it was set.
    pub(crate) fn load(args: &SeederArgs, environment: Environment<'_>) -> anyhow::Result<Self> {
        let named = environment(&variable("config")).filter(|path| !path.is_empty()).map(PathBuf::from);
        let config = match args.config.clone().or(named) {
            Some(path) => Self::read(&read_text(&path)?, &path, args, environment)?,
            None => Self::from_given(Vec::new(), Vec::new(), args, environment)?,
        };
        config.check()?;
        Ok(config)
    }

    fn read(text: &str, path: &Path, args: &SeederArgs, environment: Environment<'_>) -> anyhow::Result<Self> {
        let (settings, tables) = file::parse_tables(text, path, "zone")?;
        let given =
            |setting: super::Setting| Given { place: setting.to_string(), key: setting.key, value: setting.value };
        let tables = tables.into_iter().map(|table| table.into_iter().map(given).collect()).collect();
        Self::from_given(settings.into_iter().map(given).collect(), tables, args, environment)
    }

    fn from_given(
        mut settings: Vec<Given>,
        mut tables: Vec<Vec<Given>>,
        args: &SeederArgs,
        environment: Environment<'_>,
    ) -> anyhow::Result<Self> {
        settings.extend(from_environment(&KEYS, environment));
        settings.extend(of_all(args));
        let of_zone: Vec<_> = from_environment(&ZONE_KEYS, environment).chain(of_zone(args)).collect();
        if tables.is_empty() {
            tables.push(Vec::new());
        }
        match (&mut tables[..], of_zone.first()) {
            (_, None) => {}
            ([table], Some(_)) => table.extend(of_zone),
            (tables, Some(Given { place, .. })) => {
                bail!("{place} is about one network, and the file has {}: set it there", tables.len())
            }
        }
        let mut config = Self::new(environment);
        settings.iter().try_for_each(|given| given.apply(&mut config, &KEYS, &ZONE_KEYS))?;
        config.zones = tables.iter().map(|table| ZoneConfig::from_given(table)).collect::<Result<_, _>>()?;
        Ok(config)
    }

    /// Looks for what does not go together.
    fn check(&self) -> anyhow::Result<()> {
        if self.dir.as_os_str().is_empty() {
            bail!("there is no home directory to keep anything in: name a directory with --dir");
        }
        let mut networks = BTreeSet::new();
        for zone in &self.zones {
            if !networks.insert(zone.network.to_string()) {
                bail!("{} is there twice: each network has one [[zone]]", zone.network);
            }
            zone.check()?;
            self.sharing(zone)?;
        }
        match (self.zones.iter().find(|zone| !zone.name.is_empty()), self.dns.is_empty()) {
            (Some(zone), true) => {
                bail!("{} is answered nowhere: say where with --dns, as in --dns 192.0.2.1", zone.name)
            }
            (None, false) => bail!("there is no name to answer by DNS: name a zone with --zone, --ns and --contact"),
            (Some(_), false) | (None, true) => {}
        }
        if self.dns.is_empty() && self.zones.iter().all(|zone| zone.listen.is_empty()) {
            bail!("nobody could ask this seeder: name an address to listen at (--listen), or a zone (--zone, --dns)");
        }
        Ok(())
    }

    /// Writes every key with what it is for and what it is set to, as a file that can be read again.
    pub(crate) fn to_toml(&self) -> String {
        let header = "# Every setting of `savanna seed`, with its value. A key that is left out of a file has the value that\n\
                      # `savanna seed config` prints without that file. Above a file stands the environment, SAVANNA_SEED_ and the\n\
                      # key in capitals, with commas between the items of a list; above that stand the flags. Both set keys of a\n\
                      # zone only where there is one.\n";
        let mut text = header.to_owned() + &shown(&KEYS, self);
        for zone in &self.zones {
            text += "\n# One of these for each network.\n[[zone]]\n";
            text += &shown(&ZONE_KEYS, zone);
        }
        text
    }

    /// Returns where and how what is seen of a network is shared, if it is.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub(crate) fn sharing(&self, zone: &ZoneConfig) -> anyhow::Result<Option<ShareConfig>> {
        if self.share.is_empty() {
            return Ok(None);
        }
        let config = ShareConfig::new(&self.share, &self.share_name, zone.network, zone.scope());
        config.map(Some).context("share, share_name")
    }

    /// Returns how much is answered by DNS.
    pub(crate) fn limits(&self) -> Limits {
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Limits {
            rate: narrow(self.rate),
            burst: narrow(self.burst),
            slip: narrow(self.slip),
            connections: number(self.dns_connections),
            ..Limits::default()
        }
    }
}

impl ZoneConfig {
    fn new(network: Network) -> Self {
        let is_public = !matches!(network, Network::Regtest);
        Self {
            network,
            name: String::new(),
            ns: Vec::new(),
            contact: String::new(),
            ttl: SHORTEST_TTL.into(),
            dnssec: true,
            service_names: SERVICE_NAMES.to_vec(),
            listen: if is_public { vec![Listener::default_address(network)] } else { Vec::new() },
            offers_chain: true,
            inbound: INBOUND,
            per_address: if is_public { SlotLimits::PUBLIC.per_host as u64 } else { NO_LIMIT },
            accept_rates: is_public,
            peers: Vec::new(),
            // The names of the network's seeds are legal, as a test says.
            dns_seeds: network.dns_seeds().iter().filter_map(|seed| seed.parse().ok()).collect(),
            private_addresses: !is_public,
            capacity: LedgerConfig::CAPACITY as u64,
            floor: 0,
            floor_by: String::new(),
        }
    }

    fn from_given(table: &[Given]) -> anyhow::Result<Self> {
        // What the others are unless told otherwise depends on the network.
        let (of_network, others): (Vec<_>, Vec<_>) = table.iter().partition(|given| given.key == NETWORK);
        let mut config = Self::new(Network::Mainnet);
        of_network.iter().try_for_each(|given| given.apply(&mut config, &ZONE_KEYS, &KEYS))?;
        config = Self::new(config.network);
        others.iter().try_for_each(|given| given.apply(&mut config, &ZONE_KEYS, &KEYS))?;
        Ok(config)
    }

    fn check(&self) -> anyhow::Result<()> {
        if self.floor > 0 && self.floor_by.is_empty() {
            bail!("floor stands on somebody's word: say on whose with floor_by");
        }
        if self.name.is_empty() {
            return match (self.ns.first(), &*self.contact) {
                (None, "") => Ok(()),
                _ => bail!("a zone needs its name (--zone)"),
            };
        }
        if self.contact.is_empty() {
            bail!("{}: whom is one to write to? Policy requires a mail address that is read (--contact)", self.name);
        }
        if self.ns.is_empty() {
            bail!("{}: a zone needs a name server at least (--ns), as its parent delegates it to", self.name);
        }
        self.zone(None).map(|_| ())
    }

    /// Describes what is answered by DNS.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub(crate) fn zone(&self, keys: Option<Keys>) -> anyhow::Result<Zone> {
        let ttl = u32::try_from(self.ttl).unwrap_or(u32::MAX);
        let zone = Zone::new(&self.name, &self.ns, &self.contact, ttl, keys)
            .and_then(|zone| zone.with_service_names(self.service_names.iter().copied()));
        zone.with_context(|| format!("{} cannot be a zone", self.name))
    }

    /// Returns which addresses are surveyed.
    pub(crate) fn scope(&self) -> Scope {
        if self.private_addresses { Scope::Private } else { Scope::of(self.network) }
    }

    /// Returns how many peers may dial the seeder.
    pub(crate) fn slots(&self) -> SlotLimits {
        let inbound = number(self.inbound);
        let per_host = if self.per_address == NO_LIMIT { inbound } else { number(self.per_address) };
        let ratio = SlotLimits::PUBLIC.per_netgroup / SlotLimits::PUBLIC.per_host;
        let per_netgroup = per_host.saturating_mul(ratio).min(inbound);
        SlotLimits { inbound, per_host, per_netgroup, ..SlotLimits::PUBLIC }
    }

    /// Returns how fast peers may come in.
    pub(crate) const fn rates(&self) -> AcceptRates {
        if self.accept_rates { AcceptRates::PUBLIC } else { AcceptRates::LOCAL }
    }
}

impl Given {
    /// Sets its key; `others` are the keys that stand elsewhere.
    fn apply<C, D>(&self, config: &mut C, keys: &[Key<C>], others: &[Key<D>]) -> anyhow::Result<()> {
        let Self { key, value, place } = self;
        let Some(known) = keys.iter().find(|known| known.name == *key) else {
            if others.iter().any(|other| other.name == *key) {
                let is_of_zone = ZONE_KEYS.iter().any(|known| known.name == *key);
                bail!("{place}: it stands {} [[zone]]", if is_of_zone { "in a" } else { "before every" });
            }
            bail!("{place}: there is no such key; `savanna seed config` lists them all");
        };
        if !(known.read)(config, value) {
            bail!("{place}: it is to be {}, and it is {value}", known.expected);
        }
        Ok(())
    }
}

fn shown<C>(keys: &[Key<C>], config: &C) -> String {
    keys.iter().fold(String::new(), |text, key| {
        let about = key.about.lines().map(|line| format!("# {}\n", line.trim())).collect::<String>();
        format!("{text}\n{about}{} = {}\n", key.name, (key.show)(config))
    })
}

/// Returns the environment variable of a key.
fn variable(key: &str) -> String {
    PREFIX.to_owned() + &key.to_uppercase()
}

fn from_environment<C>(keys: &[Key<C>], environment: Environment<'_>) -> impl Iterator<Item = Given> + use<C> {
    let set = |key: &Key<C>| {
        let own = variable(key.name);
        let shared = (key.name == "log").then_some(LOG_VARIABLE);
        let (place, text) = [Some(own.as_str()), shared]
            .into_iter()
            .flatten()
            .find_map(|name| Some((name.to_owned(), environment(name)?)))?;
        Some(Given { key: key.name.to_owned(), value: Value::Word(text), place })
    };
    keys.iter().filter_map(set).collect::<Vec<_>>().into_iter()
}

fn word(flag: &str, key: &str, value: Option<impl ToString>) -> Option<Given> {
    let value = Value::Word(value?.to_string());
    Some(Given { key: key.to_owned(), value, place: format!("--{flag}") })
}

fn list(flag: &str, key: &str, items: &[impl ToString]) -> Option<Given> {
    let value = Value::List(items.iter().map(ToString::to_string).collect());
    (!items.is_empty()).then(|| Given { key: key.to_owned(), value, place: format!("--{flag}") })
}

/// Returns the flags about the whole.
fn of_all(args: &SeederArgs) -> impl Iterator<Item = Given> + use<> {
    let dir = args.dir.as_ref().map(|dir| dir.to_string_lossy());
    [word("dir", "dir", dir), list("dns", "dns", &args.dns), word("http", "http", args.http)].into_iter().flatten()
}

/// Returns the flags about one network.
fn of_zone(args: &SeederArgs) -> impl Iterator<Item = Given> + use<> {
    let flags = [
        word(NETWORK, NETWORK, args.network),
        list("listen", "listen", &args.listen),
        list("peer", "peers", &args.peers),
        word("zone", "name", args.zone.as_ref()),
        list("ns", "ns", &args.ns),
        word("contact", "contact", args.contact.as_ref()),
    ];
    flags.into_iter().flatten()
}

#[cfg(test)]
mod tests;
