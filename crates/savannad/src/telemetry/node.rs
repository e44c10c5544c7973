//! The numbers of a node that follows the chain and serves it.

use savanna_peerset::TransactionCounts;
use savanna_sync::download::DownloadCounts;
use savanna_sync::serve::ServeCounts;

use super::metrics;
use super::page::Page;

/// What can be in a node's way, by name.
pub(crate) const TROUBLES: [&str; 11] = [
    "no_peers",
    "silent",
    "invalid_headers",
    "undelivered",
    "invalid_block",
    "clock",
    "deep_fork",
    "unreached",
    "disk_full",
    "disk_failed",
    "other",
];

/// Where a node stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NodeNumbers {
    pub(crate) tip: Option<u32>,
    pub(crate) target: u32,
    pub(crate) is_synced: bool,
    pub(crate) is_serving: bool,
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    pub(crate) blocks_per_second: u64,
    pub(crate) bytes_per_second: u64,
    pub(crate) reorganisations: u64,
    pub(crate) download: DownloadCounts,
    pub(crate) transactions: TransactionCounts,
    /// One of [`TROUBLES`].
    pub(crate) trouble: Option<&'static str>,
    pub(crate) served: ServeCounts,
    /// The bytes that are free on the disk, if the system says.
    pub(crate) free: Option<u64>,
}

impl NodeNumbers {
    /// Writes them.
    pub(crate) fn write(&self, page: &mut Page) {
        if let Some(tip) = self.tip {
            page.metric(&metrics::TIP_HEIGHT).number(&[], tip.into());
        }
        page.metric(&metrics::TARGET_HEIGHT).number(&[], self.target.into());
        page.metric(&metrics::SYNCED).number(&[], self.is_synced.into());
        page.metric(&metrics::SERVING).number(&[], self.is_serving.into());
        page.metric(&metrics::STORED_BLOCKS).number(&[], self.blocks);
        page.metric(&metrics::STORED_BYTES).number(&[], self.bytes);
        let mut series = page.metric(&metrics::SYNC_RATE);
        series.number(&["blocks"], self.blocks_per_second);
        series.number(&["bytes"], self.bytes_per_second);
        self.write_download(page);
        self.write_transactions(page);
        page.metric(&metrics::REORGANISATIONS).number(&[], self.reorganisations);
        let mut series = page.metric(&metrics::TROUBLE);
        for kind in TROUBLES {
            series.number(&[kind], u64::from(self.trouble == Some(kind)));
        }
        self.write_served(page);
        if let Some(free) = self.free {
            page.metric(&metrics::DISK_FREE).number(&[], free);
        }
    }

    fn write_download(&self, page: &mut Page) {
        let DownloadCounts { asked, arrived, refetched, bytes_under_way, bytes_held, .. } = self.download;
        let mut series = page.metric(&metrics::DOWNLOAD);
        series.number(&["asked"], asked);
        series.number(&["arrived"], arrived);
        let mut series = page.metric(&metrics::REFETCHED);
        series.number(&["wrong_body"], refetched.wrong_body);
        series.number(&["late"], refetched.timed_out);
        series.number(&["not_found"], refetched.not_found);
        series.number(&["passed_over"], refetched.dropped);
        series.number(&["no_room"], refetched.no_room);
        series.number(&["cut_short"], refetched.cancelled);
        let mut series = page.metric(&metrics::UNSTORED);
        series.number(&["under_way"], bytes_under_way as u64);
        series.number(&["held"], bytes_held as u64);
    }

    fn write_transactions(&self, page: &mut Page) {
        let counts = &self.transactions;
        let mut series = page.metric(&metrics::TRANSACTIONS);
        series.number(&["anybody"], counts.transactions as u64);
        series.number(&["several"], counts.shared as u64);
        let mut series = page.metric(&metrics::ANNOUNCEMENTS);
        series.number(&["heard"], counts.announced);
        series.number(&["first"], counts.distinct);
        series.number(&["forgotten"], counts.forgotten);
    }

    fn write_served(&self, page: &mut Page) {
        let served = &self.served;
        let mut series = page.metric(&metrics::SERVED);
        series.number(&["headers"], served.headers);
        series.number(&["hashes"], served.hashes);
        series.number(&["blocks"], served.blocks);
        page.metric(&metrics::SERVED_BYTES).number(&[], served.block_bytes);
        let mut series = page.metric(&metrics::UNSERVED);
        series.number(&["missing"], served.missing);
        series.number(&["dropped"], served.dropped);
        series.number(&["failed"], served.failed);
        let mut series = page.metric(&metrics::SERVING_HELD_UP);
        series.number(&["paced"], served.paced);
        series.number(&["repeated"], served.repeated);
        series.number(&["overloaded"], served.overloaded);
        page.metric(&metrics::SERVING_BYTES).number(&[], served.held_bytes);
    }
}
