//! A zone: what it is called, who serves it, and how a roll becomes the answers that it gives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hickory_proto::rr::Name;
use savanna_wire::Services;
use thiserror::Error;

use crate::dnssec::Keys;

pub(crate) use labels::{Labels, wire};
pub(crate) use prepared::{Lookup, Prepared};
pub(crate) use reply::{OPT_LEN, Reply, edns, emit};

mod labels;
mod prepared;
mod reply;

/// The shortest time, in seconds, that a resolver may be told to keep an answer: the network's policy for its seeders.
pub const SHORTEST_TTL: u32 = 60;

/// The longest: nodes come and go, and a name must not outlive what it names by more.
pub const LONGEST_TTL: u32 = 3600;

/// How long a resolver may keep what is fixed in a zone: its servers and its key. Seconds.
const FIXED_TTL: u32 = 3600;

/// How long a resolver may keep that there is nothing. Seconds. It is short, so that a seeder that begins is soon heard.
const NEGATIVE_TTL: u32 = 60;

/// The most service names of a zone: each has its own draws, signed anew each TTL.
pub const MOST_SERVICE_NAMES: usize = 16;

/// The services that have a name unless told otherwise, as the older seeders have them.
pub const SERVICE_NAMES: [Services; 5] = [Services(0x1), Services(0x4), Services(0x5), Services(0x9), Services(0xd)];

/// Why a zone cannot be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ZoneError {
    /// A name is none.
    #[error("{0:?} is no name of the DNS")]
    Name(String),
    /// The zone would be the root or a top-level domain.
    #[error("{0} is not a zone for a seeder: it needs two labels at least")]
    TooHigh(Name),
    /// Nobody serves it.
    #[error("a zone needs a name server at least")]
    NoServer,
    /// A server inside of the zone has no address, so that nobody would find it; or one outside has some.
    #[error("{0}: a name server has addresses here if, and only if, it is inside of the zone")]
    ServerAddress(Name),
    /// A server has the name of something else in the zone.
    #[error("{0} is a name that the seeder answers with nodes; a name server needs another")]
    ServerName(Name),
    /// The contact is missing or no address.
    #[error("{0:?} is no contact: write an address, as hostmaster@example.org")]
    Contact(String),
    /// The TTL is out of bounds.
    #[error("a TTL of {0} s: the network's policy asks for {SHORTEST_TTL} s at least, and {LONGEST_TTL} s is the most")]
    Ttl(u32),
    /// There are too many service names.
    #[error("{0} service names, and {MOST_SERVICE_NAMES} are the most")]
    Services(usize),
    /// A record could not be written or signed.
    #[error("the answers of {0} could not be made")]
    Unwritten(Name),
    /// Of two zones one is, or is within, the other: that would need a delegation, which a seeder's zone has none of.
    #[error("{} is within {}, which is served here too", .0.0, .0.1)]
    Within(Box<(Name, Name)>),
}

/// A name server of a zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameServer {
    /// What it is called.
    pub name: String,
    /// Where it is: only for one inside of the zone.
    pub addresses: Vec<IpAddr>,
}

/// A zone that names the nodes of one network.
#[derive(Debug, Clone)]
pub struct Zone {
    name: Name,
    servers: BTreeMap<Name, BTreeSet<IpAddr>>,
    first_server: Name,
    contact: Name,
    ttl: u32,
    keys: Option<Keys>,
    services: BTreeSet<u64>,
}

impl Zone {
    /// Describes a zone. `contact` is an address of mail; `ttl` in seconds; without `keys` the zone is not signed.
    ///
    /// # Errors
    /// [`ZoneError`] says what is wrong with it.
    pub fn new(
        name: &str,
        servers: &[NameServer],
        contact: &str,
        ttl: u32,
        keys: Option<Keys>,
    ) -> Result<Self, ZoneError> {
        let name = parse(name)?;
        if name.num_labels() < 2 {
            return Err(ZoneError::TooHigh(name));
        }
        if !(SHORTEST_TTL..=LONGEST_TTL).contains(&ttl) {
            return Err(ZoneError::Ttl(ttl));
        }
        let mut all = BTreeMap::new();
        let mut first_server = None;
        for server in servers {
            let host = parse(&server.name)?;
            if name.zone_of(&host) == server.addresses.is_empty() {
                return Err(ZoneError::ServerAddress(host));
            }
            first_server.get_or_insert_with(|| host.clone());
            all.insert(host, server.addresses.iter().copied().collect());
        }
        let first_server = first_server.ok_or(ZoneError::NoServer)?;
        let contact = mailbox(contact)?;
        Self { name, servers: all, first_server, contact, ttl, keys, services: BTreeSet::new() }
            .with_service_names(SERVICE_NAMES)
    }

    /// Gives names to these services instead of [`SERVICE_NAMES`]: `x` and the mask in hexadecimal, as `x5`, for the nodes
    /// that offer all of them.
    ///
    /// # Errors
    /// [`ZoneError::Services`] if they are more than [`MOST_SERVICE_NAMES`]; [`ZoneError::ServerName`] if a name server is
    /// called so.
    pub fn with_service_names(mut self, services: impl IntoIterator<Item = Services>) -> Result<Self, ZoneError> {
        self.services = services.into_iter().map(|Services(mask)| mask).collect();
        if self.services.len() > MOST_SERVICE_NAMES {
            return Err(ZoneError::Services(self.services.len()));
        }
        for name in self.drawn()?.into_keys() {
            if self.servers.contains_key(&name) {
                return Err(ZoneError::ServerName(name));
            }
        }
        Ok(self)
    }

    /// Returns the zone's name, in lower case and with its final dot.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Returns how long a resolver may keep the answers that name nodes: seconds.
    #[must_use]
    pub const fn ttl(&self) -> u32 {
        self.ttl
    }

    /// Returns the DS record that the parent zone must carry, as in a zone file; nothing if the zone is not signed.
    #[must_use]
    pub fn ds(&self) -> Option<String> {
        self.keys.as_ref()?.ds(&self.name)
    }

    /// Returns the zone's public key, as in a zone file; nothing if the zone is not signed.
    #[must_use]
    pub fn dnskey(&self) -> Option<String> {
        Some(self.keys.as_ref()?.dnskey(&self.name))
    }

    /// Returns the names that are answered with nodes, each with the services that its nodes must offer.
    fn drawn(&self) -> Result<BTreeMap<Name, Services>, ZoneError> {
        let mut names = BTreeMap::from([(self.name.clone(), Services::NONE)]);
        for mask in &self.services {
            let label = format!("x{mask:x}");
            let name = self.name.prepend_label(label.as_str()).map_err(|_| ZoneError::Name(label))?;
            names.insert(name, Services(*mask));
        }
        Ok(names)
    }
}

fn parse(text: &str) -> Result<Name, ZoneError> {
    let bad = || ZoneError::Name(text.to_owned());
    let mut name = Name::from_ascii(text).map_err(|_| bad())?.to_lowercase();
    name.set_fqdn(true);
    if name.is_root() || name.is_wildcard() {
        return Err(bad());
    }
    Ok(name)
}

/// RFC 1035, section 8: the first label is all that is before the `@`.
fn mailbox(text: &str) -> Result<Name, ZoneError> {
    let bad = || ZoneError::Contact(text.to_owned());
    let (who, domain) = text.split_once('@').ok_or_else(bad)?;
    if who.is_empty() || !who.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad());
    }
    let domain = parse(domain).map_err(|_| bad())?;
    if domain.num_labels() < 2 {
        return Err(bad());
    }
    domain.prepend_label(who.as_bytes()).map_err(|_| bad())
}
