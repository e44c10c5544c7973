//! What the peer tells unasked, and what we tell it.

use std::time::Duration;

use savanna_wire::{AddrV1, AddrV2, BlockHash, Bounded, Inventory, Message, ProtocolVersion, TransactionId};

use crate::budget::Bucket;
use crate::requests::is_askable;
use crate::{MAX_ADVERTISED, MAX_ADVERTISED_PEERS, Request};

/// The most ids that one announcement reports; the rest is passed over.
///
/// # Security
/// Bounds what an `inv` flood makes us hold before it is read.
const MAX_IDS: usize = 1000;

/// The allowance for addresses told unasked, in entries.
///
/// # Security
/// Without one a peer could push itself, and its like, into our address book.
#[derive(Debug)]
pub(crate) struct AddressAllowance(Bucket);

impl AddressAllowance {
    const PERIOD: Duration = Duration::from_secs(10);
    const BURST: u32 = 1000;

    pub(crate) fn new(now: Duration) -> Self {
        Self(Bucket::new(Self::PERIOD, Self::BURST, 1, now))
    }

    /// Admits a full burst: we have asked for addresses.
    pub(crate) const fn asked(&mut self) {
        self.0.fill();
    }

    /// Keeps what the allowance covers of entries that came unasked.
    pub(crate) fn admit(&mut self, mut entries: Vec<AddrV2>, now: Duration) -> Vec<AddrV2> {
        if entries.len() > MAX_ADVERTISED_PEERS {
            return Vec::new();
        }
        let admitted = self.0.take_up_to(u32::try_from(entries.len()).unwrap_or(0), now);
        entries.truncate(admitted as usize);
        entries
    }
}

/// An `inv`, sorted.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    pub(crate) blocks: Vec<BlockHash>,
    pub(crate) transactions: Vec<TransactionId>,
    /// Whether nothing but transactions was in it.
    pub(crate) is_pure: bool,
}

impl Announced {
    pub(crate) fn sort(items: &[Inventory]) -> Self {
        let mut sorted = Self { is_pure: true, ..Self::default() };
        for item in items {
            match *item {
                Inventory::Block(hash) => sorted.blocks.push(hash),
                Inventory::FilteredBlock(_) => sorted.is_pure = false,
                Inventory::Tx(id) => sorted.transactions.push(TransactionId::Legacy(id)),
                Inventory::Wtx(id, digest) => sorted.transactions.push(TransactionId::Witnessed(id, digest)),
            }
        }
        sorted.is_pure &= sorted.blocks.is_empty();
        sorted
    }
}

/// Cuts announced ids to what one report holds.
pub(crate) fn cut(mut ids: Vec<TransactionId>) -> Vec<TransactionId> {
    ids.truncate(MAX_IDS);
    ids.shrink_to_fit();
    ids
}

/// Returns the messages that tell the peer something; none for a question.
pub(crate) fn statement(request: &Request, negotiated: ProtocolVersion, addrv2: bool) -> Option<Message> {
    match request {
        Request::PushTransaction(transaction) => Some(Message::Tx(transaction.clone())),
        Request::AdvertiseBlock(hash) => Some(Message::Inv(Bounded::truncated(vec![Inventory::Block(*hash)]))),
        Request::AdvertiseTransactions(ids) if ids.len() <= MAX_ADVERTISED => {
            let known = ids.iter().copied().filter(|id| is_askable(*id, negotiated));
            let items: Vec<_> = known.map(Inventory::from).collect();
            (!items.is_empty()).then(|| Message::Inv(Bounded::truncated(items)))
        }
        Request::AdvertisePeers(peers) if peers.len() <= MAX_ADVERTISED_PEERS => addresses(peers, addrv2),
        Request::AdvertiseTransactions(_)
        | Request::AdvertisePeers(_)
        | Request::Ping
        | Request::Peers
        | Request::FindBlocks { .. }
        | Request::FindHeaders { .. }
        | Request::Blocks(_)
        | Request::Transactions(_)
        | Request::MempoolIds => None,
    }
}

/// Writes addresses as an `addrv2`, or else as an `addr`: those of IP networks. Either as far as it holds them.
pub(crate) fn addresses(peers: &[AddrV2], addrv2: bool) -> Option<Message> {
    if addrv2 {
        return (!peers.is_empty()).then(|| Message::AddrV2(Bounded::truncated(peers.to_vec())));
    }
    let entries: Vec<_> = peers
        .iter()
        .filter_map(|peer| {
            let address = peer.address.socket_addr()?;
            Some(AddrV1 { time: peer.time, services: peer.services, address })
        })
        .collect();
    (!entries.is_empty()).then(|| Message::Addr(Bounded::truncated(entries)))
}

/// Reads the entries of an `addr` as those of an `addrv2`.
pub(crate) fn upgraded(entry: &AddrV1) -> AddrV2 {
    AddrV2 { time: entry.time, services: entry.services, address: entry.address.into() }
}
