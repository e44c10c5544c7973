//! Every key of a seeder, and what it is for: first those of the whole, then those of each `[[zone]]`.

use std::net::IpAddr;

use savanna_seed::{LONGEST_TTL, MOST_SERVICE_NAMES, NameServer, SHORTEST_TTL};
use savanna_wire::Services;

use super::super::value::{Kind, Value, quote_all, with_port};
use super::{SeedConfig, ZoneConfig};
use crate::telemetry::is_private_filter;

/// Where DNS is answered.
const DNS_PORT: u16 = 53;

/// A key of the configuration.
pub(super) struct Key<C> {
    /// The name of the field that it sets.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// What it may be set to, as in "it is to be ...".
    pub(super) expected: &'static str,
    /// Sets it, and says whether the value was one that it may be set to.
    pub(super) read: fn(&mut C, &Value) -> bool,
    /// Writes its value as TOML.
    pub(super) show: fn(&C) -> String,
}

macro_rules! key {
    ($field:ident, $expected:literal, $about:literal) => {
        key!($field, |_| true, $expected, $about)
    };
    ($field:ident in $range:expr, $expected:literal, $about:literal) => {
        key!($field, |value| $range.contains(value), $expected, $about)
    };
    ($field:ident, $is_legal:expr, $expected:literal, $about:literal) => {
        Key {
            name: stringify!($field),
            about: $about,
            expected: $expected,
            read: |config, value| set(&mut config.$field, Kind::read(value).filter($is_legal)),
            show: |config| config.$field.show(),
        }
    };
}

fn set<T>(field: &mut T, value: Option<T>) -> bool {
    value.map(|value| *field = value).is_some()
}

pub(super) const KEYS: [Key<SeedConfig>; 12] = [
    key!(
        dir,
        "the path of a directory",
        "The directory of what is known of nodes, and of the keys that sign; made if it does not exist. One process's."
    ),
    Key {
        name: "dns",
        about: "Where DNS is answered, by UDP and by TCP: IP:PORT, or an IP for port 53. Name each address of a machine that has
                several. \"[::]\" is every IPv6 address and no other.",
        expected: "a list of IP:PORT or IP",
        read: |config, value| set(&mut config.dns, with_port(value, DNS_PORT)),
        show: |config| quote_all(&config.dns),
    },
    key!(
        rate in 1..=10_000_000,
        "a number from 1 to 10000000",
        "How many answers by UDP an IPv4 /24 or an IPv6 /56 gets in a second, in the long run."
    ),
    key!(burst in 1..=10_000_000, "a number from 1 to 10000000", "How many such a prefix may get at once."),
    key!(
        slip in 0..=1_000,
        "a number from 0 to 1000",
        "Of the questions beyond that, every so-many-th is told to come again by TCP, where nobody lies about who he is; 0 is none."
    ),
    key!(dns_connections in 1..=100_000, "a number from 1 to 100000", "How many connections by TCP are open at a time."),
    key!(
        share,
        "the address of a PostgreSQL database, or nothing",
        "A PostgreSQL database by which several seeders share what they see, as PostgreSQL's own programs take its address: a node
         is named when most of those that tried it find it good. Nothing is no sharing."
    ),
    key!(
        share_name,
        "a name of letters, digits, dots and hyphens, 64 bytes at most",
        "What this machine is called there; no other is called so."
    ),
    key!(
        http,
        "IP:PORT, or a port, or nothing",
        "Where /metrics, /health, /ready, /status and /dump are served: IP:PORT, or a port alone, which is for this machine only.
         Whoever reaches it may read it; /dump names the nodes that are tracked. Nothing is no such server."
    ),
    key!(
        log,
        |filter: &String| is_private_filter(filter),
        "a level, as in info, or a filter, as in warn,savanna_seed=debug",
        "How much is logged: error, warn, info, debug or trace, for parts of the program too. Who asked by DNS is never logged."
    ),
    key!(log_format, "text or json", "What log lines are: text for people, or json, one object a line."),
    key!(
        shutdown in 1..=600,
        "a number of seconds from 1 to 600",
        "How many seconds the end may take once it is asked for. A second signal ends at once."
    ),
];

pub(super) const ZONE_KEYS: [Key<ZoneConfig>; 18] = [
    key!(
        network,
        "mainnet, testnet or regtest",
        "The network whose nodes are surveyed: mainnet, testnet or regtest. What other keys are unless they are set depends on it."
    ),
    key!(
        name,
        "a name, or nothing",
        "The name that is answered by DNS with nodes of the network; it is delegated to this seeder. Nothing is no DNS."
    ),
    key!(
        ns,
        "a list of NAME or NAME=IP",
        "The name servers of that name, as the parent zone has them. One whose name is within the zone needs its addresses:
         NAME=IP, once for each address."
    ),
    key!(
        contact,
        "a mail address",
        "Whom to write to when the seeder misbehaves: a mail address that is read. It stands in the SOA record; policy requires it."
    ),
    key!(
        ttl in SHORTEST_TTL.into()..=LONGEST_TTL.into(),
        "a number of seconds from 60 to 3600",
        "How many seconds an answer may be kept by resolvers; policy asks for 60 at least."
    ),
    key!(
        dnssec,
        "true or false",
        "Whether answers are signed. The key is made at the first start, and kept in the directory; `savanna seed keys` prints the
         DS record that the parent zone is to carry."
    ),
    key!(
        service_names,
        "a list of names, as in x1 or x5, 16 at most",
        "The names below the zone that are answered with nodes of some services alone: x and their bits in hexadecimal."
    ),
    Key {
        name: "listen",
        about: "Where peers may dial this seeder to ask for addresses: IP:PORT, or an IP for the network's usual port. An empty list
                is nowhere.",
        expected: "a list of IP:PORT or IP",
        read: |config, value| {
            let port = config.network.default_port();
            set(&mut config.listen, with_port(value, port))
        },
        show: |config| quote_all(&config.listen),
    },
    key!(
        offers_chain,
        "true or false",
        "Whether peers are told that this node serves the chain. It does not; but nodes that are new hang up on whoever does not say
         so, before they ask for addresses. Each connection is ended after two minutes, so that it costs them little."
    ),
    key!(inbound in 0..=10_000, "a number from 0 to 10000", "How many connections of peers there are at a time."),
    key!(
        per_address in 0..=10_000,
        "a number from 0 to 10000",
        "How many of those may come from one IPv4 address or one IPv6 /64; 0 is no limit, for closed networks."
    ),
    key!(
        accept_rates,
        "true or false",
        "Whether to limit how fast connections come in, from one network and in all. Off for closed networks."
    ),
    key!(
        peers,
        "a list of HOST or HOST:PORT",
        "Nodes to begin the survey with. Nodes are named only at the network's usual port, since DNS carries none."
    ),
    key!(
        dns_seeds,
        "a list of names",
        "Other DNS seeds to begin the survey with. What they name is asked like every other node before it is named here."
    ),
    key!(
        private_addresses,
        "true or false",
        "Whether private addresses are surveyed and named, as on a network of one's own."
    ),
    key!(
        capacity in 100..=1_000_000,
        "a number from 100 to 1000000",
        "How many nodes are tracked at most. A node takes some 400 bytes."
    ),
    key!(
        floor in 0..=99_999_999,
        "a protocol version, or 0",
        "The least protocol version of a node that is named, on the operator's word; 0 leaves it to the network: it rises when most
         groups of addresses are past an upgrade."
    ),
    key!(floor_by, "a name", "Who says so, to be kept with it: 64 bytes at most."),
];

/// A name server, as the settings have it.
impl Kind for Vec<NameServer> {
    fn read(value: &Value) -> Option<Self> {
        let mut servers: Self = Vec::new();
        for item in value.items()? {
            let (name, address) = match item.split_once('=') {
                Some((name, address)) => (name.trim(), Some(address.trim().parse::<IpAddr>().ok()?)),
                None => (item, None),
            };
            match servers.iter_mut().find(|server| server.name.eq_ignore_ascii_case(name)) {
                Some(server) => server.addresses.extend(address),
                None => servers.push(NameServer { name: name.to_owned(), addresses: address.into_iter().collect() }),
            }
        }
        Some(servers)
    }

    fn show(&self) -> String {
        let mut items = Vec::new();
        for NameServer { name, addresses } in self {
            if addresses.is_empty() {
                items.push(name.clone());
            }
            items.extend(addresses.iter().map(|address| format!("{name}={address}")));
        }
        quote_all(&items)
    }
}

impl Kind for Vec<Services> {
    fn read(value: &Value) -> Option<Self> {
        let one = |item: &str| {
            let mask = u64::from_str_radix(item.strip_prefix('x')?, 16).ok().filter(|mask| *mask > 0)?;
            Some(Services(mask))
        };
        let services: Option<Self> = value.items()?.into_iter().map(one).collect();
        services.filter(|services| services.len() <= MOST_SERVICE_NAMES)
    }

    fn show(&self) -> String {
        let items: Vec<_> = self.iter().map(|Services(mask)| format!("x{mask:x}")).collect();
        quote_all(&items)
    }
}
