//! What waits to be written to the peer.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use savanna_wire::{Frame, Magic, Message, encode};

/// The queued bytes above which nothing is done for the peer that would queue more: 1 MiB.
///
/// # Security
/// A peer that asks much and reads slowly is answered as fast as it reads.
pub(crate) const MARK: usize = 1024 * 1024;

/// The length in bytes up to which small pieces are joined for one write.
const BATCH: usize = 16 * 1024;

/// A queue of encoded frames, with the deadline for the peer to take some of it.
///
/// Taking has no time of its own, so progress is noted, and dated when time is next told. A peer may so have up to twice
/// the write deadline, never less than it.
#[derive(Debug)]
pub(crate) struct Outbox {
    magic: Magic,
    pieces: VecDeque<Bytes>,
    bytes: usize,
    queued: u64,
    taken: u64,
    now: Duration,
    waiting_since: Duration,
    progress: bool,
}

impl Outbox {
    pub(crate) const fn new(magic: Magic, now: Duration) -> Self {
        Self { magic, pieces: VecDeque::new(), bytes: 0, queued: 0, taken: 0, now, waiting_since: now, progress: false }
    }

    /// Tells the time, which never goes back.
    pub(crate) fn tick(&mut self, now: Duration) {
        self.now = now;
        if self.progress {
            self.progress = false;
            self.waiting_since = now;
        }
    }

    pub(crate) fn send(&mut self, message: &Message) {
        self.queue(self.frame(message));
    }

    /// Frames a message, to be queued later.
    pub(crate) fn frame(&self, message: &Message) -> Frame {
        encode(message, self.magic)
    }

    /// Queues a frame.
    pub(crate) fn queue(&mut self, frame: Frame) {
        if self.pieces.is_empty() {
            self.waiting_since = self.now;
        }
        self.queued += frame.len() as u64;
        self.bytes += frame.len();
        self.pieces.extend([frame.head, frame.tail].into_iter().filter(|piece| !piece.is_empty()));
    }

    /// Takes the next piece; small neighbours come as one.
    pub(crate) fn take(&mut self) -> Option<Bytes> {
        let first = self.pieces.pop_front()?;
        let piece = if self.joins(first.len()) { self.join(first) } else { first };
        self.bytes -= piece.len();
        self.taken += piece.len() as u64;
        self.progress = true;
        Some(piece)
    }

    fn joins(&self, length: usize) -> bool {
        self.pieces.front().is_some_and(|next| length + next.len() <= BATCH)
    }

    fn join(&mut self, first: Bytes) -> Bytes {
        let mut joined = BytesMut::from(first);
        while self.joins(joined.len()) {
            let Some(next) = self.pieces.pop_front() else { break };
            joined.extend_from_slice(&next);
        }
        joined.freeze()
    }

    /// Returns how many bytes have ever been queued: the position of what was queued last.
    pub(crate) const fn position(&self) -> u64 {
        self.queued
    }

    /// Returns whether everything up to a position has been taken.
    pub(crate) const fn has_passed(&self, position: u64) -> bool {
        self.taken >= position
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) const fn is_above_mark(&self) -> bool {
        self.bytes > MARK
    }

    /// Returns when the peer has to have taken something, given how long it may take.
    pub(crate) fn deadline(&self, patience: Duration) -> Option<Duration> {
        (!self.pieces.is_empty()).then(|| self.waiting_since.saturating_add(patience))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_leave_as_one_piece_and_in_order() {
        let mut outbox = Outbox::new(Magic([1, 2, 3, 4]), Duration::ZERO);
        for nonce in 0..3 {
            outbox.send(&Message::Ping(nonce));
        }
        let piece = outbox.take().unwrap();
        assert_eq!(piece.len(), 3 * 32);
        assert_eq!([piece[24], piece[56], piece[88]], [0, 1, 2]);
        assert!(outbox.take().is_none() && outbox.bytes() == 0);
    }

    #[test]
    fn progress_moves_the_deadline_and_waiting_does_not() {
        let second = Duration::from_secs(1);
        let mut outbox = Outbox::new(Magic([1, 2, 3, 4]), Duration::ZERO);
        assert_eq!(outbox.deadline(second), None);
        for _ in 0..2 * BATCH / 32 {
            outbox.send(&Message::Ping(0));
        }
        outbox.tick(second / 2);
        assert_eq!(outbox.deadline(second), Some(second));
        outbox.take();
        outbox.tick(second);
        assert_eq!(outbox.deadline(second), Some(2 * second));
    }
}
