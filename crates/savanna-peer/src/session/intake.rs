//! What each message of the peer's does.

use rand_chacha::rand_core::Rng;
use savanna_wire::{AddrV2, Command, Decoded, DropReason, Message, Reject, RejectCode};

use super::Session;
use crate::budget::Budget;
use crate::gossip::{self, Announced};
use crate::handshake::{self, ExpectVersion, Phase};
use crate::{CloseReason, Direction, Event, Gossip, MAX_TRANSACTIONS, Offence};

impl Session {
    /// Takes one frame of the peer's, which had `bytes` bytes.
    pub(super) fn take(&mut self, decoded: Decoded, bytes: usize) {
        match decoded {
            Decoded::Dropped { reason: DropReason::UnknownCommand, length } => self.charge(1, length),
            Decoded::Dropped {
                reason: DropReason::MalformedCommand | DropReason::BadChecksum | DropReason::UnknownInventory,
                length,
            } => self.charge(Budget::DAMAGED, length),
            Decoded::Message(message) if self.shakes_hands() => self.shake_hands(message, bytes),
            Decoded::Message(message) => self.dispatch(message, bytes),
        }
    }

    /// Advances the handshake; whatever does not belong to it is passed over.
    fn shake_hands(&mut self, message: Message, bytes: usize) {
        let placeholder = Phase::ExpectVersion(ExpectVersion::new(Direction::Inbound));
        self.phase = match (std::mem::replace(&mut self.phase, placeholder), message) {
            (Phase::ExpectVersion(state), Message::Version(version)) => {
                self.remote = Some(version.clone());
                match state.version(version, &self.config) {
                    Ok(next) => {
                        if next.direction() == Direction::Inbound {
                            self.introduce();
                        }
                        self.outbox.send(&Message::Verack);
                        Phase::ExpectVerack(next)
                    }
                    Err(reason) => {
                        self.refuse(reason);
                        Phase::ExpectVersion(state)
                    }
                }
            }
            (Phase::ExpectVerack(state), Message::Verack) => {
                let ready = state.verack(&mut self.decoder);
                self.events.push_back(Event::Established(ready.info.clone()));
                self.phase = Phase::Ready(ready);
                return self.beat();
            }
            (state @ Phase::ExpectVerack(_), Message::Version(_)) => {
                self.reject_duplicate(Command::Version, Offence::DuplicateVersion);
                state
            }
            (state, _) => {
                self.charge(1, bytes);
                state
            }
        };
    }

    fn dispatch(&mut self, message: Message, bytes: usize) {
        if let Some(hash) = self.requests.release(&message) {
            self.charge(1, 0);
            self.tell(Gossip::Block(hash));
        }
        if self.is_closed {
            return;
        }
        match message {
            Message::Version(_) => self.reject_duplicate(Command::Version, Offence::DuplicateVersion),
            Message::Verack => self.reject_duplicate(Command::Verack, Offence::DuplicateVerack),
            Message::Ping(nonce) => {
                if !self.inbound.ping(nonce) {
                    self.charge(1, bytes);
                }
            }
            Message::Pong(nonce) => self.pong(nonce, bytes),
            Message::Addr(entries) => self.addresses(entries.iter().map(gossip::upgraded).collect(), bytes),
            Message::AddrV2(entries) => self.addresses(entries.into_vec(), bytes),
            Message::Inv(items) => self.announced(Announced::sort(&items), bytes),
            Message::NotFound(items) => {
                let named = items.iter().take(MAX_TRANSACTIONS);
                let asked = named.filter(|item| self.requests.lacks(**item)).count();
                self.charge_unless(asked > 0, bytes);
            }
            Message::Headers(headers) => {
                let asked = self.requests.headers(headers.into_vec());
                self.charge_unless(asked, bytes);
            }
            Message::Block(block) => {
                let asked = self.requests.block(&block);
                self.charge_unless(asked, bytes);
            }
            Message::Tx(transaction) => {
                let id = (self.config.transaction_id)(transaction.bytes());
                if !id.is_some_and(|id| self.requests.transaction(id, &transaction)) {
                    self.charge(1, bytes);
                    self.tell(Gossip::Transaction(transaction));
                }
            }
            Message::GetAddr => {
                let answered = self.inbound.peers();
                self.charge_unless(answered, bytes);
            }
            Message::GetData(items) => {
                let is_modest = items.len() <= MAX_TRANSACTIONS;
                let answered = self.inbound.fetch(&items);
                self.charge_unless(answered && is_modest, bytes);
            }
            Message::GetBlocks(locator) => self.inbound.find_blocks(locator),
            Message::GetHeaders(locator) => self.inbound.find_headers(locator),
            Message::Mempool => self.inbound.mempool(),
            Message::Reject(_) | Message::FilterLoad(_) | Message::FilterAdd(_) | Message::FilterClear => {
                self.charge(1, bytes);
            }
        }
    }

    /// Takes a `pong`: of a heartbeat, of a fence or a ping; one that answers nothing of ours says nothing.
    fn pong(&mut self, nonce: u64, bytes: usize) {
        let now = self.now.monotonic;
        if let Some(returned) = self.keepalive.pong(nonce, now) {
            self.requests.reached(returned.order);
            self.events.push_back(Event::RoundTrip(returned.round_trip));
        } else {
            let asked = self.requests.pong(nonce, &self.waiting, now);
            self.charge_unless(asked, bytes);
        }
    }

    fn addresses(&mut self, entries: Vec<AddrV2>, bytes: usize) {
        if self.requests.addresses(&entries) {
            return;
        }
        self.charge(1, bytes);
        let admitted = self.allowance.admit(entries, self.now.monotonic);
        if !admitted.is_empty() {
            self.tell(Gossip::Peers(admitted));
        }
    }

    fn announced(&mut self, announced: Announced, bytes: usize) {
        let Announced { blocks, mut transactions, is_pure } = announced;
        if is_pure {
            match self.requests.transaction_ids(transactions) {
                Ok(()) => return,
                Err(news) => transactions = news,
            }
        }
        if blocks.is_empty() || !self.requests.block_hashes(&blocks) {
            self.charge(1, bytes);
            if let [block] = blocks[..] {
                self.tell(Gossip::Block(block));
            }
        }
        if !transactions.is_empty() {
            self.tell(Gossip::Transactions(gossip::cut(transactions)));
        }
    }

    fn tell(&mut self, gossip: Gossip) {
        if !self.is_closed {
            self.events.push_back(Event::Gossip(gossip));
        }
    }

    fn charge_unless(&mut self, asked: bool, bytes: usize) {
        if !asked {
            self.charge(1, bytes);
        }
    }

    /// Charges the peer for something unasked, and ends the session if it cannot afford it.
    fn charge(&mut self, messages: u32, bytes: usize) {
        if !self.budget.charge(messages, bytes, self.now.monotonic) {
            self.close(CloseReason::Misbehaved(Offence::Flood));
        }
    }

    /// Says who we are.
    pub(super) fn introduce(&mut self) {
        let random = self.rng.next_u32();
        self.outbox.send(&handshake::introduction(&self.config, random, self.now));
    }

    fn reject_duplicate(&mut self, command: Command, offence: Offence) {
        let reject = Reject::new(command, RejectCode::DUPLICATE, "sent before");
        self.outbox.send(&Message::Reject(reject));
        self.close(CloseReason::Misbehaved(offence));
    }
}
