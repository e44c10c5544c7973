//! Whether the goal is reached, or out of reach.

use std::time::Duration;

use savanna_store::Tip;

use super::{Options, Run};
use crate::download::Failure;
use crate::{Progress, Source, Store, SyncError};

/// How long what peers said of their tips counts. Older, they are asked again before the end is believed.
const FRESH: Duration = Duration::from_secs(10);

/// How often the peers are counted, at the least.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whether there is a peer, and since when there is none.
#[derive(Debug)]
pub(super) struct Company {
    /// How long there may be none.
    bound: Duration,
    next_bound: Duration,
    alone_since: Option<Duration>,
}

impl Company {
    pub(super) const fn new(options: &Options) -> Self {
        Self { bound: options.first_peer_within, next_bound: options.next_peer_within, alone_since: None }
    }

    /// Takes the number of peers, and returns whether that is the end of a loneliness.
    pub(super) fn look(&mut self, peers: usize, now: Duration) -> bool {
        if peers == 0 {
            self.alone_since.get_or_insert(now);
            return false;
        }
        self.bound = self.next_bound;
        self.alone_since.take().is_some()
    }

    pub(super) fn look_again_at(&self, now: Duration) -> Duration {
        now + LOOK_EVERY
    }

    pub(super) fn is_alone_for_long(&self, now: Duration) -> bool {
        self.alone_since.is_some_and(|since| now >= since + self.bound)
    }
}

/// How long nobody may answer anything before the network counts as lost.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// Since when, and until when, somebody answered with headers or blocks. That a block is lacking may be said of peers that are silent.
#[derive(Debug, Default)]
pub(super) struct Touch {
    since: Duration,
    heard_at: Duration,
}

impl Touch {
    /// Takes the news that somebody answered something.
    pub(super) fn hear(&mut self, now: Duration) {
        if now > self.heard_at + LOST_AFTER {
            self.since = now;
        }
        self.heard_at = now;
    }

    pub(super) const fn since(&self) -> Duration {
        self.since
    }

    pub(super) const fn heard_at(&self) -> Duration {
        self.heard_at
    }
}

impl<N, T, F> Run<N, T, F>
where
    N: Source,
    T: Store,
    F: FnMut(Progress),
{
    /// Returns the height to be reached, as far as the chain is known.
    pub(super) fn target(&self) -> u32 {
        let tip = self.known_height().min(self.most());
        self.until.map_or(tip, |until| until.min(tip))
    }

    /// Returns the store's tip if the goal is reached.
    pub(super) fn outcome(&mut self, now: Duration) -> Result<Option<Tip>, SyncError> {
        // What has come in order is kept, however this ends.
        if self.disk.is_busy() {
            return Ok(None);
        }
        if let (Some(tip), Some(until)) = (self.disk.tip(), self.until)
            && tip.height >= until
            && (self.headers.is_done() || self.blocks == 0)
            && self.disk.cut().is_none()
        {
            return Ok(Some(tip));
        }
        self.out_of_reach(now)?;
        if !self.is_by_headers() {
            return Ok(None);
        }
        let (height, hash) = self.headers.chain().tip();
        let Some(tip) = self.disk.tip().filter(|tip| tip.hash == hash && self.headers.is_done()) else {
            return Ok(None);
        };
        if self.source.is_gathering() {
            return Ok(None);
        }
        // Whoever joined since several were asked may know better.
        let is_joined = self.source.peers() > self.surveyed;
        if is_joined || self.moved && now >= self.round_at + FRESH {
            (self.round_at, self.moved) = (now, false);
            self.headers.ask_again(now);
            self.ask_for_headers(now);
            return Ok(None);
        }
        if self.headers.is_clock_doubted() {
            return Err(SyncError::Clock);
        }
        match self.until {
            Some(until) if until > height => Err(SyncError::TooShort { height, until }),
            Some(_) | None => Ok(Some(tip)),
        }
    }

    /// Returns why there is no going on, if there is none.
    fn out_of_reach(&self, now: Duration) -> Result<(), SyncError> {
        if let Some(failure) = self.download.failure() {
            return Err(match failure {
                Failure::Unavailable { height } => SyncError::Unavailable { height },
                Failure::Undelivered { height } => SyncError::Undelivered { height },
                Failure::Invalid { height, hash, error } => SyncError::InvalidBlock { height, hash, error },
            });
        }
        if self.company.is_alone_for_long(now) {
            return Err(if self.headers.is_refused() { SyncError::InvalidHeaders } else { SyncError::NoPeers });
        }
        if let Some(failure) = self.ground_failure(now) {
            return Err(failure.into());
        }
        if self.headers.is_silent(now) { Err(SyncError::Silent) } else { Ok(()) }
    }
}
