//! Heartbeats: a `ping` now and then, whose `pong` shows that the peer lives and how far away it is.

use std::time::Duration;

use savanna_wire::Message;

use crate::outbox::Outbox;
use crate::patience::Patience;
use crate::{Timeouts, Timer};

/// The heartbeat of one connection. It is a timer of the session and ends with it: nothing else holds the connection.
#[derive(Debug)]
pub(crate) struct Keepalive {
    next: Duration,
    beat: Option<Beat>,
}

/// A heartbeat on its way.
///
/// If something waited before it, its deadline begins anew when the `ping` has left the outbox: a peer that we answer faster
/// than its line carries is not to blame for how long our `ping` waits behind the answers. Nor is one for the time that the
/// blocks we asked for before it take on our own line, so they have theirs first.
#[derive(Debug)]
struct Beat {
    nonce: u64,
    sent: Duration,
    position: u64,
    is_out: bool,
    patience: Duration,
    deadline: Duration,
    order: u64,
}

/// What has been asked before a heartbeat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    /// The place behind it among our questions.
    pub(crate) order: u64,
    /// How many messages' worth of blocks the peer has yet to send.
    pub(crate) block_messages: u32,
}

/// A heartbeat that came back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Returned {
    pub(crate) round_trip: Duration,
    /// Everything asked before this place among our questions has been answered.
    pub(crate) order: u64,
}

impl Keepalive {
    pub(crate) const fn new(now: Duration) -> Self {
        Self { next: now, beat: None }
    }

    /// Returns whether a heartbeat is due and none is on its way.
    pub(crate) fn is_due(&self, now: Duration) -> bool {
        self.beat.is_none() && now >= self.next
    }

    /// Sends a heartbeat behind `asked`.
    pub(crate) fn beat(
        &mut self,
        nonce: u64,
        asked: Asked,
        outbox: &mut Outbox,
        clock: &Patience,
        timeouts: &Timeouts,
        now: Duration,
    ) {
        let patience = timeouts.request.saturating_mul(asked.block_messages).saturating_add(timeouts.ping);
        let is_out = outbox.bytes() == 0;
        outbox.send(&Message::Ping(nonce));
        let (position, deadline) = (outbox.position(), clock.read(now).saturating_add(patience));
        self.beat = Some(Beat { nonce, sent: now, position, is_out, patience, deadline, order: asked.order });
        self.next = now.saturating_add(timeouts.heartbeat);
    }

    /// Takes a `pong`; one with another nonce says nothing.
    pub(crate) fn pong(&mut self, nonce: u64, now: Duration) -> Option<Returned> {
        let beat = self.beat.take_if(|beat| beat.nonce == nonce)?;
        Some(Returned { round_trip: now.saturating_sub(beat.sent), order: beat.order })
    }

    /// Starts the deadline of a heartbeat that has left the outbox.
    pub(crate) fn tick(&mut self, outbox: &Outbox, clock: &Patience, now: Duration) {
        if let Some(beat) = &mut self.beat
            && !beat.is_out
        {
            let waits = !outbox.has_passed(beat.position);
            if !waits || clock.is_due(beat.deadline, now) {
                beat.is_out = !waits;
                beat.deadline = clock.read(now).saturating_add(beat.patience);
            }
        }
    }

    /// Returns the heartbeat that the peer has left unanswered too long.
    pub(crate) fn overdue(&self, clock: &Patience, now: Duration) -> Option<Timer> {
        let beat = self.beat.as_ref()?;
        clock.is_due(beat.deadline, now).then_some(Timer::Ping(beat.nonce))
    }

    /// Returns the deadline of the heartbeat on its way, on the scale of `clock`.
    pub(crate) fn deadline(&self) -> Option<(Duration, Timer)> {
        self.beat.as_ref().map(|beat| (beat.deadline, Timer::Ping(beat.nonce)))
    }

    /// Returns when the next heartbeat is sent.
    pub(crate) const fn next(&self) -> Option<Duration> {
        if self.beat.is_some() { None } else { Some(self.next) }
    }
}
