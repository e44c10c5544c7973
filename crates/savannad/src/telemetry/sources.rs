//! Where the numbers come from.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use savanna_book::Family;
use savanna_net::{Direction, Door, Traffic};
use savanna_peer::RequestKind;
use savanna_peerset::crawler::{Outcome, Summary};
use savanna_peerset::{DiscoveryCounts, Learned, PeerCounts, PeerSet, Purpose, RequestCounts};
use tokio::sync::watch;

use super::Source;
use super::metrics;
use super::page::Page;

const DIRECTIONS: [(Direction, &str); 2] = [(Direction::Inbound, "inbound"), (Direction::Outbound, "outbound")];

/// Which program this is.
pub(super) struct Build;

impl Source for Build {
    fn write(&self, page: &mut Page) {
        page.metric(&metrics::BUILD_INFO).number(&[env!("CARGO_PKG_VERSION")], 1);
    }
}

/// A set of peers. Its counts are what it published last: one snapshot each, so their sums hold.
pub(super) struct Network {
    peers: watch::Receiver<PeerCounts>,
    requests: watch::Receiver<RequestCounts>,
}

impl Network {
    pub(super) fn of(set: &PeerSet) -> Self {
        Self { peers: set.peers(), requests: set.requests() }
    }
}

impl Source for Network {
    fn write(&self, page: &mut Page) {
        let peers = *self.peers.borrow();
        let mut series = page.metric(&metrics::PEERS);
        series.number(&["ready"], peers.ready as u64);
        series.number(&["unready"], peers.unready as u64);
        let requests = *self.requests.borrow();
        let mut series = page.metric(&metrics::REQUESTS);
        for (kind, outcome, count) in requests.iter() {
            series.number(&[kind.label(), outcome.label()], count);
        }
        let mut series = page.metric(&metrics::REQUESTS_IN_FLIGHT);
        for kind in RequestKind::ALL {
            series.number(&[kind.label()], requests.in_flight(kind));
        }
    }
}

/// How a node finds its peers, as it was last told.
pub(super) struct Discovery(pub(super) watch::Receiver<DiscoveryCounts>);

impl Source for Discovery {
    fn write(&self, page: &mut Page) {
        let counts = self.0.borrow().clone();
        let mut series = page.metric(&metrics::BOOK);
        for (table, addresses) in [("new", counts.book.new), ("tried", counts.book.tried)] {
            for family in Family::ALL {
                series.number(&[table, family.label()], u64::from(addresses.of(family)));
            }
        }
        let mut series = page.metric(&metrics::LINKS);
        for purpose in Purpose::ALL {
            series.number(&[purpose.label()], counts.links.get(&purpose).copied().unwrap_or_default() as u64);
        }
        page.metric(&metrics::WANTED).number(&[], counts.target as u64);
        page.metric(&metrics::OFFLINE).number(&[], u64::from(counts.is_offline));
        let mut series = page.metric(&metrics::ADDRESSES);
        for (source, learned) in [("answered", counts.answered), ("told", counts.told), ("seeded", counts.seeded)] {
            let Learned { new, known, refused } = learned;
            series.number(&[source, "new"], new);
            series.number(&[source, "known"], known);
            series.number(&[source, "refused"], refused);
        }
        page.metric(&metrics::ADDRESSES_RELAYED).number(&[], counts.relayed);
        page.metric(&metrics::SEEDS_ASKED).number(&[], counts.seeds_asked);
        page.metric(&metrics::BANS).number(&[], counts.bans as u64);
        page.metric(&metrics::MARKS).number(&[], counts.marks as u64);
    }
}

impl Source for Door {
    fn write(&self, page: &mut Page) {
        let arrivals = self.arrivals();
        let mut series = page.metric(&metrics::ARRIVALS);
        series.number(&["admitted"], arrivals.admitted);
        series.number(&["barred"], arrivals.barred);
        series.number(&["too_fast"], arrivals.too_fast);
        series.number(&["no_slot"], arrivals.no_slot);
    }
}

/// A crawl, as it was last told.
pub(super) struct Crawl(pub(super) watch::Receiver<CrawlNumbers>);

/// Where a crawl stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CrawlNumbers {
    pub(crate) nodes: Summary,
    pub(crate) in_flight: usize,
}

impl Source for Crawl {
    fn write(&self, page: &mut Page) {
        let CrawlNumbers { nodes, in_flight } = *self.0.borrow();
        let mut series = page.metric(&metrics::CRAWL_NODES);
        for (outcome, count) in [
            (Outcome::Untried, nodes.untried),
            (Outcome::Reached, nodes.reached),
            (Outcome::Refused, nodes.refused),
            (Outcome::Silent, nodes.silent),
            (Outcome::Obsolete, nodes.obsolete),
            (Outcome::OtherChain, nodes.other_chain),
            (Outcome::Unroutable, nodes.unroutable),
        ] {
            series.number(&[outcome.label()], count as u64);
        }
        page.metric(&metrics::CRAWL_IN_FLIGHT).number(&[], in_flight as u64);
    }
}

impl Source for Traffic {
    fn write(&self, page: &mut Page) {
        let mut series = page.metric(&metrics::ROUND_TRIP);
        for kind in RequestKind::ALL.into_iter().filter(|kind| !is_statement(*kind)) {
            series.histogram(&[kind.label()], &self.round_trips(kind));
        }
        let mut series = page.metric(&metrics::CONNECTIONS);
        for (direction, label) in DIRECTIONS {
            series.number(&[label], self.connections(direction));
        }
        let mut series = page.metric(&metrics::CONNECTIONS_CLOSED);
        for (direction, label) in DIRECTIONS {
            self.closed(direction).for_each(|(reason, count)| series.number(&[label, reason], count));
        }
        let mut series = page.metric(&metrics::DIALS);
        self.dials().for_each(|(outcome, count)| series.number(&[outcome], count));
        let mut series = page.metric(&metrics::HANDSHAKES);
        for (direction, label) in DIRECTIONS {
            self.handshakes(direction).for_each(|(outcome, count)| series.number(&[label, outcome], count));
        }
        let mut series = page.metric(&metrics::HANDSHAKE_DURATION);
        for (direction, label) in DIRECTIONS {
            series.histogram(&[label], &self.handshake_times(direction));
        }
        page.metric(&metrics::RECEIVED_BYTES).number(&[], self.received());
        page.metric(&metrics::SENT_BYTES).number(&[], self.sent());
        let mut series = page.metric(&metrics::GOSSIP);
        for (kind, [taken, lost]) in self.gossip() {
            series.number(&[kind, "taken"], taken);
            series.number(&[kind, "lost"], lost);
        }
    }
}

/// Returns whether nobody answers such a request, so that there is no time to tell.
const fn is_statement(kind: RequestKind) -> bool {
    match kind {
        RequestKind::PushTransaction
        | RequestKind::AdvertiseTransactions
        | RequestKind::AdvertiseBlock
        | RequestKind::AdvertisePeers => true,
        RequestKind::Ping
        | RequestKind::Peers
        | RequestKind::FindBlocks
        | RequestKind::FindHeaders
        | RequestKind::Blocks
        | RequestKind::Transactions
        | RequestKind::MempoolIds => false,
    }
}

/// This process, as far as the system tells: elsewhere than on Linux it tells when it started.
pub(super) struct Process {
    started: u64,
}

impl Process {
    pub(super) fn start() -> Self {
        Self { started: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) }
    }
}

impl Source for Process {
    fn write(&self, page: &mut Page) {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        if let Some(kibibytes) = number_after(&read("/proc/self/status"), "VmRSS:") {
            page.metric(&metrics::RESIDENT_MEMORY).number(&[], kibibytes * 1024);
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            page.metric(&metrics::OPEN_FDS).number(&[], open.count() as u64);
        }
        if let Some(limit) = number_after(&read("/proc/self/limits"), "Max open files") {
            page.metric(&metrics::MAX_FDS).number(&[], limit);
        }
        page.metric(&metrics::START_TIME).number(&[], self.started);
    }
}

/// Returns the number that follows a name at the beginning of a line.
fn number_after(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_behind_its_name() {
        let text =
            "Name:\tsavanna\nVmRSS:\t   10240 kB\nMax open files            1024                 4096     files\n";
        assert_eq!(number_after(text, "VmRSS:"), Some(10_240));
        assert_eq!(number_after(text, "Max open files"), Some(1024));
        assert_eq!(number_after(text, "VmSize:"), None);
        assert_eq!(number_after("Max open files unlimited", "Max open files"), None);
    }
}
