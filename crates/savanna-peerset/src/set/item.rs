//! The items of a list, and the list as an answer.

use savanna_net::PeerId;
use savanna_peer::{Missing, Partial, RequestKind, Response};
use savanna_wire::{Block, BlockHash, Inventory, Transaction, TransactionId};

use crate::network::Call;
use crate::request::RequestError;

/// One block or transaction of a list.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) id: Inventory,
    pub(super) state: State,
    /// How many peers are being asked for it.
    pub(super) copies: usize,
    pub(super) tried: Vec<PeerId>,
    /// How many of them were asked in earnest: a chance that one was given takes nothing from the others.
    pub(super) attempts: usize,
    /// Why it did not come so far.
    pub(super) lack: Option<Missing>,
}

#[derive(Debug)]
pub(super) enum State {
    Wanted,
    Block(Block),
    Transaction(Transaction),
    /// Handed to the stream.
    Delivered,
    Missing,
}

impl Item {
    pub(super) const fn new(id: Inventory) -> Self {
        Self { id, state: State::Wanted, copies: 0, tried: Vec::new(), attempts: 0, lack: None }
    }

    /// Lets the peer of a question be asked again.
    pub(super) fn forgive(&mut self, call: &Call) {
        self.tried.retain(|peer| *peer != call.peer);
        self.attempts -= usize::from(!call.is_chance);
    }

    pub(super) const fn is_wanted(&self) -> bool {
        matches!(self.state, State::Wanted)
    }
}

impl State {
    /// Returns how many bytes came.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Block(block) => block.bytes().len() as u64,
            Self::Transaction(transaction) => transaction.bytes().len() as u64,
            Self::Wanted | Self::Delivered | Self::Missing => 0,
        }
    }
}

/// What a peer's answer to a part of a list holds.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) found: Vec<(Inventory, State)>,
    pub(super) missing: Vec<(Inventory, Missing)>,
}

impl From<Response> for Arrived {
    /// An answer of another kind holds nothing.
    fn from(response: Response) -> Self {
        match response {
            Response::Blocks(Partial { found, missing }) => Self {
                found: found.into_iter().map(|block| (Inventory::Block(block.hash()), State::Block(block))).collect(),
                missing: missing.into_iter().map(|(hash, why)| (Inventory::Block(hash), why)).collect(),
            },
            Response::Transactions(Partial { found, missing }) => Self {
                found: found.into_iter().filter_map(named).collect(),
                missing: missing.into_iter().map(|(id, why)| (id.into(), why)).collect(),
            },
            Response::Nil
            | Response::Pong(_)
            | Response::Peers(_)
            | Response::BlockHashes(_)
            | Response::Headers(_)
            | Response::TransactionIds(_) => Self::default(),
        }
    }
}

fn named(transaction: Transaction) -> Option<(Inventory, State)> {
    let id = savanna_chain::transaction_id(transaction.bytes())?;
    Some((id.into(), State::Transaction(transaction)))
}

/// Puts a list together.
pub(super) fn assemble(kind: RequestKind, items: Vec<Item>) -> Result<Response, RequestError> {
    let (mut blocks, mut transactions) = (Partial::complete(Vec::new()), Partial::complete(Vec::new()));
    for Item { id, state, lack, .. } in items {
        match state {
            State::Block(block) => blocks.found.push(block),
            State::Transaction(transaction) => transactions.found.push(transaction),
            State::Wanted | State::Delivered | State::Missing => {
                let why = lack.unwrap_or(Missing::TimedOut);
                blocks.missing.extend(block_hash(id).map(|hash| (hash, why)));
                transactions.missing.extend(id.transaction_id().map(|id| (id, why)));
            }
        }
    }
    if kind == RequestKind::Blocks {
        verdict(&blocks).map(|()| Response::Blocks(blocks))
    } else {
        verdict(&transactions).map(|()| Response::Transactions(transactions))
    }
}

/// A list of which nothing came is no answer.
fn verdict<T, Id>(list: &Partial<T, Id>) -> Result<(), RequestError> {
    if !list.found.is_empty() || list.missing.is_empty() {
        Ok(())
    } else if list.missing.iter().any(|(_, why)| *why == Missing::TimedOut) {
        Err(RequestError::TimedOut)
    } else {
        Err(RequestError::NotFound)
    }
}

pub(super) const fn block_hash(item: Inventory) -> Option<BlockHash> {
    match item {
        Inventory::Block(hash) => Some(hash),
        Inventory::Tx(_) | Inventory::FilteredBlock(_) | Inventory::Wtx(..) => None,
    }
}

/// Names the blocks of a list.
pub(super) fn blocks(hashes: Vec<BlockHash>) -> Vec<Inventory> {
    hashes.into_iter().map(Inventory::Block).collect()
}

/// Names the transactions of a list.
pub(super) fn transactions(ids: Vec<TransactionId>) -> Vec<Inventory> {
    ids.into_iter().map(Inventory::from).collect()
}
