//! Every key, and what it is for. What stands here is what `savanna config` prints: there is no other reference.

use super::Config;
use super::value::{Kind, Value, quote_all, with_port};
use crate::telemetry::is_filter;

/// A key of the configuration.
pub(super) struct Key {
    /// The name of the field that it sets.
    pub(super) name: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
    /// What it may be set to, as in "it is to be ...".
    pub(super) expected: &'static str,
    /// Sets it, and says whether the value was one that it may be set to.
    pub(super) read: fn(&mut Config, &Value) -> bool,
    /// Writes its value as TOML.
    pub(super) show: fn(&Config) -> String,
}

/// Makes the key of a field; a number has a range, and others may have a test.
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

/// The fewest bytes that fetching and serving work with: a few of the longest blocks.
const LEAST_MEMORY: u64 = 16 * 1024 * 1024;

/// Their order is that of what is printed.
pub(super) const KEYS: [Key; 21] = [
    key!(
        network,
        "mainnet, testnet or regtest",
        "The network: mainnet, testnet or regtest. What other keys are unless they are set depends on it."
    ),
    key!(
        dir,
        "the path of a directory",
        "The directory of the chain and of the address book; made if it does not exist. One network's, and one process's."
    ),
    Key {
        name: "listen",
        about: "Where peers may dial this node: IP:PORT, or an IP for the network's usual port; port 0 is a free one. Unless set,
                every address on mainnet and testnet, where a node that nobody can dial helps nobody, and none on regtest.
                \"[::]\" is every address of both versions of IP on most systems, and \"0.0.0.0\" of IPv4 alone. With an empty
                list nobody can dial.",
        expected: "a list of IP:PORT or IP",
        read: |config, value| {
            let port = config.network.default_port();
            set(&mut config.listen, with_port(value, port))
        },
        show: |config| quote_all(&config.listen),
    },
    key!(
        peers,
        "a list of HOST or HOST:PORT",
        "Peers that are always dialled: HOST or HOST:PORT. They are the beginning: others are found by way of them."
    ),
    key!(
        named_only,
        "true or false",
        "Whether to keep to those peers: nobody else is dialled, no seed is asked, and no address is learned or told."
    ),
    key!(
        dns_seeds,
        "a list of names",
        "The DNS seeds that name the first peers to a node that knows none. An empty list asks nobody."
    ),
    key!(
        private_addresses,
        "true or false",
        "Whether to dial private addresses that others tell of, as on a network of one's own. On a public one, strangers could
         have this node knock at machines behind its firewall."
    ),
    key!(
        proxy,
        "IP:PORT of a SOCKS5 proxy, or nothing",
        "A SOCKS5 proxy, such as Tor's, that every peer is dialled through. Then no name is looked up and no seed asked."
    ),
    key!(user_agent, "a text", "What peers are told behind Savanna's own name and version, as in \"Operator:1.0\"."),
    key!(outbound in 0..=64, "a number from 0 to 64", "How many peers to dial and keep."),
    key!(
        inbound in 0..=10_000,
        "a number from 0 to 10000",
        "How many connections of peers who dial this node are taken. Beyond them newcomers are refused, or take the place of the
         least useful."
    ),
    key!(
        per_address in 0..=10_000,
        "a number from 0 to 10000",
        "How many of those may come from one IPv4 address or one IPv6 /64; 0 is no limit, for closed networks."
    ),
    key!(
        per_network in 0..=10_000,
        "a number from 0 to 10000",
        "How many of those may come from one IPv4 /24 or one IPv6 /64; 0 is no limit, for closed networks."
    ),
    key!(
        accept_rates,
        "true or false",
        "Whether to limit how fast connections come in, from one network and in all. Off for closed networks."
    ),
    key!(
        sync_memory in LEAST_MEMORY..=1 << 40,
        "a number of bytes from 16777216 on",
        "How many bytes of blocks may be under way or in memory at once while the chain is fetched."
    ),
    key!(
        serve_memory in LEAST_MEMORY..=1 << 40,
        "a number of bytes from 16777216 on",
        "How many bytes of blocks may be read for peers, and wait until those take them, at once."
    ),
    key!(
        transaction_index,
        "true or false",
        "Whether to note in which block each transaction is, for `savanna archive`. It takes room on the disk."
    ),
    key!(
        http,
        "IP:PORT, or a port, or nothing",
        "Where /metrics, /health, /ready and /status are served: IP:PORT, or a port alone, which is for this machine only.
         Whoever reaches it may read it; it names no peer. Nothing is no such server."
    ),
    key!(
        log,
        |filter: &String| is_filter(filter),
        "a level, as in info, or a filter, as in warn,savanna_net=debug",
        "How much is logged: error, warn, info, debug or trace, for parts of the program too, as in \"info,savanna_net=debug\"."
    ),
    key!(log_format, "text or json", "What log lines are: text for people, or json, one object a line."),
    key!(
        shutdown in 1..=600,
        "a number of seconds from 1 to 600",
        "How many seconds the end may take once it is asked for. A second signal ends at once."
    ),
];
