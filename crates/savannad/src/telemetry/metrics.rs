//! Every metric, by name. `docs/metrics.md` is the same list for people.

use super::page::{Kind, Metric};

pub(super) const BUILD_INFO: Metric =
    gauge("savanna_build_info", &["version"], "Is 1; the label tells which version runs.");

pub(super) const PEERS: Metric = gauge(
    "savanna_peers",
    &["state"],
    "Peers in the peer set: ready ones take any question at once, unready ones are asked as much of some kind as they take.",
);
pub(super) const REQUESTS: Metric =
    counter("savanna_requests_total", &["kind", "outcome"], "Questions to single peers that have ended.");
pub(super) const REQUESTS_IN_FLIGHT: Metric =
    gauge("savanna_requests_in_flight", &["kind"], "Questions to single peers that have not ended.");
pub(super) const ROUND_TRIP: Metric = histogram(
    "savanna_round_trip_seconds",
    &["kind"],
    "Time from putting a question to a peer to its answer; a list may have been answered in part.",
);

pub(super) const CONNECTIONS: Metric =
    gauge("savanna_connections", &["direction"], "Connections whose handshake is complete and that have not ended.");
pub(super) const CONNECTIONS_CLOSED: Metric = counter(
    "savanna_connections_closed_total",
    &["direction", "reason"],
    "Connections that ended after their handshake.",
);
pub(super) const DIALS: Metric = counter("savanna_dials_total", &["outcome"], "Addresses that were dialled.");
pub(super) const HANDSHAKES: Metric =
    counter("savanna_handshakes_total", &["direction", "outcome"], "Handshakes that were completed, or failed.");
pub(super) const HANDSHAKE_DURATION: Metric = histogram(
    "savanna_handshake_duration_seconds",
    &["direction"],
    "How long the handshakes took that were completed.",
);
pub(super) const RECEIVED_BYTES: Metric =
    counter("savanna_received_bytes_total", &[], "Bytes read from connections with peers.");
pub(super) const SENT_BYTES: Metric =
    counter("savanna_sent_bytes_total", &[], "Bytes written to connections with peers.");
pub(super) const GOSSIP: Metric = counter(
    "savanna_gossip_total",
    &["kind", "outcome"],
    "What peers told unasked: passed on, or lost because nobody took it in time.",
);

pub(super) const BOOK: Metric = gauge(
    "savanna_book_addresses",
    &["table", "network"],
    "Addresses in the address book: new ones were heard of, tried ones have answered.",
);
pub(super) const LINKS: Metric =
    gauge("savanna_links", &["purpose"], "Addresses in use, dialled or connected, by what they were dialled for.");
pub(super) const WANTED: Metric = gauge("savanna_peers_wanted", &[], "Peers that are to be dialled and kept.");
pub(super) const OFFLINE: Metric = gauge("savanna_offline", &[], "Is 1 while nobody at all can be reached.");
pub(super) const ADDRESSES: Metric =
    counter("savanna_addresses_total", &["source", "outcome"], "Addresses that were learned, and what became of them.");
pub(super) const ADDRESSES_RELAYED: Metric =
    counter("savanna_addresses_relayed_total", &[], "Addresses that were passed on to peers unasked.");
pub(super) const SEEDS_ASKED: Metric =
    counter("savanna_seeds_asked_total", &[], "How often the seeds were asked for addresses.");
pub(super) const BANS: Metric = gauge("savanna_bans", &[], "Ranges of hosts that the operator bans.");
pub(super) const MARKS: Metric = gauge("savanna_marks", &[], "Ranges of hosts that have misbehaved.");
pub(super) const ARRIVALS: Metric = counter(
    "savanna_arrivals_total",
    &["outcome"],
    "Connections that peers dialled: let in, or shed before a byte was read.",
);

pub(super) const CRAWL_NODES: Metric =
    gauge("savanna_crawl_nodes", &["outcome"], "Nodes of a crawl, by what came of asking them.");
pub(super) const CRAWL_IN_FLIGHT: Metric =
    gauge("savanna_crawl_in_flight", &[], "Nodes that a crawl is talking to, or dials.");

pub(super) const TIP_HEIGHT: Metric = gauge("savanna_tip_height", &[], "The height of the last block that is kept.");
pub(super) const TARGET_HEIGHT: Metric =
    gauge("savanna_target_height", &[], "The height of the best chain that is known.");
pub(super) const SYNCED: Metric =
    gauge("savanna_synced", &[], "Is 1 while the archive is whole to the tip, as far as peers tell.");
pub(super) const SERVING: Metric = gauge("savanna_serving", &[], "Is 1 while peers are told that the chain is served.");
pub(super) const STORED_BLOCKS: Metric =
    counter("savanna_stored_blocks_total", &[], "Blocks that were fetched and kept.");
pub(super) const STORED_BYTES: Metric = counter("savanna_stored_bytes_total", &[], "Bytes of those blocks.");
pub(super) const SYNC_RATE: Metric =
    gauge("savanna_sync_rate", &["unit"], "How much was kept a second, over the last ten seconds.");
pub(super) const DOWNLOAD: Metric = counter(
    "savanna_download_blocks_total",
    &["event"],
    "Blocks that were asked for, each time anew, and blocks that came and were wanted.",
);
pub(super) const REFETCHED: Metric =
    counter("savanna_refetched_blocks_total", &["reason"], "Blocks that had to be asked for again.");
pub(super) const UNSTORED: Metric =
    gauge("savanna_download_bytes", &["state"], "Bytes of blocks that are not stored yet, as of the last write.");
pub(super) const TRANSACTIONS: Metric = gauge(
    "savanna_announced_transactions",
    &["by"],
    "Transactions that connected peers have announced of late. They are neither fetched nor vouched for.",
);
pub(super) const ANNOUNCEMENTS: Metric =
    counter("savanna_transaction_announcements_total", &["what"], "Announcements of transactions.");
pub(super) const REORGANISATIONS: Metric =
    counter("savanna_reorganisations_total", &[], "How often another branch took over.");
pub(super) const TROUBLE: Metric =
    gauge("savanna_trouble", &["kind"], "Is 1 for what is most in the way, if anything is.");
pub(super) const SERVED: Metric = counter("savanna_served_total", &["kind"], "What peers were told from the archive.");
pub(super) const SERVED_BYTES: Metric =
    counter("savanna_served_block_bytes_total", &[], "Bytes of blocks handed to connections.");
pub(super) const UNSERVED: Metric = counter(
    "savanna_unserved_total",
    &["reason"],
    "Blocks that peers asked for and were not given, and reads that failed.",
);
pub(super) const SERVING_HELD_UP: Metric =
    counter("savanna_serving_held_up_total", &["reason"], "Questions that waited, or were left without an answer.");
pub(super) const SERVING_BYTES: Metric =
    gauge("savanna_serving_bytes", &[], "Bytes of blocks that are read for peers or wait until those take them.");
pub(super) const DISK_FREE: Metric =
    gauge("savanna_disk_free_bytes", &[], "Bytes that are free on the archive's disk.");

pub(super) const SEED_NAMED: Metric = gauge(
    "savanna_seed_named",
    &["network"],
    "Nodes that newcomers are told of; none while nothing is known of the present.",
);
pub(super) const SEED_GOOD: Metric =
    gauge("savanna_seed_good", &["network"], "Nodes that are good enough to be named.");
pub(super) const SEED_TRACKED: Metric = gauge("savanna_seed_tracked", &["network"], "Nodes that are known.");
pub(super) const SEED_TRYING: Metric =
    gauge("savanna_seed_trying", &["network"], "Nodes that are being talked to, or dialled.");
pub(super) const SEED_STALE: Metric =
    gauge("savanna_seed_stale", &["network"], "Is 1 while nobody answers, so that nobody is named.");
pub(super) const SEED_HEIGHT: Metric =
    gauge("savanna_seed_height", &["network"], "The network's height, by what most groups of addresses say.");
pub(super) const SEED_FLOOR: Metric =
    gauge("savanna_seed_floor", &["network"], "The least protocol version of a node that is named.");
pub(super) const SEED_REFUSED: Metric =
    gauge("savanna_seed_refused", &["network", "reason"], "Nodes that are known and not named, by why.");
pub(super) const SEED_TRIES: Metric =
    counter("savanna_seed_tries_total", &["network", "outcome"], "Conversations with nodes, by what came of them.");
pub(super) const SEED_TOLD: Metric =
    counter("savanna_seed_told_total", &["network", "outcome"], "Addresses that nodes told, and what became of them.");
pub(super) const DNS_ANSWERS: Metric =
    counter("savanna_dns_answers_total", &["kind", "outcome", "transport"], "Questions by DNS that were answered.");
pub(super) const DNS_UNANSWERED: Metric =
    counter("savanna_dns_unanswered_total", &["reason"], "Questions by DNS that were not answered.");

// These bear the names that dashboards know from other programs.
pub(super) const RESIDENT_MEMORY: Metric =
    gauge("process_resident_memory_bytes", &[], "Memory of this process that is in RAM.");
pub(super) const OPEN_FDS: Metric = gauge("process_open_fds", &[], "File descriptors that this process has open.");
pub(super) const MAX_FDS: Metric = gauge("process_max_fds", &[], "File descriptors that this process may have open.");
pub(super) const START_TIME: Metric =
    gauge("process_start_time_seconds", &[], "When this process started, in seconds since 1970.");

#[cfg(test)]
pub(super) const ALL: [&Metric; 61] = [
    &BUILD_INFO,
    &PEERS,
    &REQUESTS,
    &REQUESTS_IN_FLIGHT,
    &ROUND_TRIP,
    &CONNECTIONS,
    &CONNECTIONS_CLOSED,
    &DIALS,
    &HANDSHAKES,
    &HANDSHAKE_DURATION,
    &RECEIVED_BYTES,
    &SENT_BYTES,
    &GOSSIP,
    &BOOK,
    &LINKS,
    &WANTED,
    &OFFLINE,
    &ADDRESSES,
    &ADDRESSES_RELAYED,
    &SEEDS_ASKED,
    &BANS,
    &MARKS,
    &ARRIVALS,
    &CRAWL_NODES,
    &CRAWL_IN_FLIGHT,
    &TIP_HEIGHT,
    &TARGET_HEIGHT,
    &SYNCED,
    &SERVING,
    &STORED_BLOCKS,
    &STORED_BYTES,
    &SYNC_RATE,
    &DOWNLOAD,
    &REFETCHED,
    &UNSTORED,
    &TRANSACTIONS,
    &ANNOUNCEMENTS,
    &REORGANISATIONS,
    &TROUBLE,
    &SERVED,
    &SERVED_BYTES,
    &UNSERVED,
    &SERVING_HELD_UP,
    &SERVING_BYTES,
    &DISK_FREE,
    &SEED_NAMED,
    &SEED_GOOD,
    &SEED_TRACKED,
    &SEED_TRYING,
    &SEED_STALE,
    &SEED_HEIGHT,
    &SEED_FLOOR,
    &SEED_REFUSED,
    &SEED_TRIES,
    &SEED_TOLD,
    &DNS_ANSWERS,
    &DNS_UNANSWERED,
    &RESIDENT_MEMORY,
    &OPEN_FDS,
    &MAX_FDS,
    &START_TIME,
];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}
