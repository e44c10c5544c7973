//! What an answer does to the tree of headers.

use std::collections::BTreeSet;

use savanna_chain::{ContextError, HeaderError, Inserted, MAX_REORG_DEPTH};
use savanna_net::PeerId;
use savanna_wire::{BlockHash, MAX_HEADERS};

use super::{Answer, Change, HeaderFault, Headers, HeadersError};

/// Of how many peers is kept how far their chains are known; beyond them the oldest connection is forgotten.
const MAX_KNOWN_ENDS: usize = 48;

impl Headers {
    /// Puts a peer's headers into the tree. What is from the future, or was rejected, is passed over with all that follows it, as
    /// if the peer did not have it.
    pub(super) fn take(&mut self, answer: &Answer, unix: u64, change: &mut Change) -> Result<End, HeaderFault> {
        let peer = answer.peer;
        let headers = answer.headers.as_ref().map_err(|error| self.fault(peer, error))?;
        let (mut is_new, mut count) = (false, 0);
        if let Some(why) = answer.stopped {
            self.pass_over(peer, why);
        }
        for (header, hash) in headers {
            match self.chain.insert(header, *hash, unix) {
                Ok(Inserted::Known) => {
                    count += 1;
                    continue;
                }
                Ok(Inserted::Extended | Inserted::Forked) => {}
                Ok(Inserted::NewBest { fork_height, .. }) => {
                    change.fork = Some(change.fork.map_or(fork_height, |fork| fork.min(fork_height)));
                }
                Err(why) if self.pass_over(peer, why) => break,
                Err(why) => return Err(self.fault(peer, &HeadersError::Refused { index: count, error: why })),
            }
            count += 1;
            is_new = true;
            change.new += 1;
        }
        let headers = &headers[..count];
        let is_full = headers.len() >= MAX_HEADERS;
        if let Some((_, hash)) = headers.last() {
            self.note_end(peer, *hash, is_new || !is_full)?;
        }
        if !is_full {
            self.part_if_low(peer)?;
        }
        Ok(End { peer, hash: headers.last().map(|(_, hash)| *hash), is_full, is_new })
    }

    /// Notes why a peer's headers are passed over; returns whether that is no fault.
    fn pass_over(&mut self, peer: PeerId, why: HeaderError) -> bool {
        if matches!(why, HeaderError::Context(ContextError::Future { .. })) {
            note(&mut self.early, peer);
        } else if matches!(why, HeaderError::Rejected { .. }) {
            note(&mut self.spurned, peer);
        } else {
            return false;
        }
        true
    }

    /// Returns what a peer is to be blamed for.
    fn fault(&mut self, peer: PeerId, error: &HeadersError) -> HeaderFault {
        match error {
            HeadersError::OtherChain { .. }
            | HeadersError::Refused {
                error: HeaderError::TooDeep { .. } | HeaderError::Context(ContextError::TooFewKnown { .. }),
                ..
            } => {
                note(&mut self.deep, peer);
                HeaderFault::LowWork
            }
            HeadersError::Refused { error: HeaderError::LowWork, .. } => HeaderFault::LowWork,
            HeadersError::Refused { .. } | HeadersError::NotLinked { .. } | HeadersError::Work { .. } => {
                HeaderFault::Invalid
            }
        }
    }

    /// Remembers how far a peer's chain is known. It has to climb, unless it `may_fall`: an answer that tells something new, or to
    /// its chain's end, leads on from nowhere, and a peer that followed a reorganisation may end lower than before.
    pub(super) fn note_end(&mut self, peer: PeerId, hash: BlockHash, may_fall: bool) -> Result<(), HeaderFault> {
        let Some((height, _)) = self.chain.ancestors(hash).next() else { return Ok(()) };
        let before = self.ends.insert(peer, (height, hash));
        if self.ends.len() > MAX_KNOWN_ENDS {
            self.ends.pop_first();
        }
        let is_loop = !may_fall && before.is_some_and(|(before, _)| height <= before);
        if is_loop { Err(HeaderFault::Looping) } else { Ok(()) }
    }

    /// Refuses a peer that has told all it has, if that is a branch of less work which parts from ours deep below the tip.
    fn part_if_low(&self, peer: PeerId) -> Result<(), HeaderFault> {
        let Some(&(_, last)) = self.ends.get(&peer) else { return Ok(()) };
        if self.chain.height_of(last).is_some() {
            return Ok(());
        }
        let fork = self.chain.ancestors(last).find(|(_, entry)| self.chain.height_of(entry.hash).is_some());
        let (tip, _) = self.chain.tip();
        let is_low = fork.is_none_or(|(height, _)| height + MAX_REORG_DEPTH < tip);
        if is_low { Err(HeaderFault::LowWork) } else { Ok(()) }
    }
}

fn note(peers: &mut BTreeSet<PeerId>, peer: PeerId) {
    peers.insert(peer);
    if peers.len() > MAX_KNOWN_ENDS {
        peers.pop_first();
    }
}

/// What one answer leaves to be asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) peer: PeerId,
    /// Its last header.
    pub(super) hash: Option<BlockHash>,
    /// It has as many headers as an answer holds: there may be more.
    pub(super) is_full: bool,
    pub(super) is_new: bool,
}
