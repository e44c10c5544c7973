//! Observations shared through PostgreSQL: several machines survey one network, and each answers from what all of them see.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};

use savanna_book::UnixTime;
use savanna_net::Clock;

use crate::{Ledger, Union, VantagePoint, merge};

use database::Database;
use pace::Pace;
use rows::{Changes, Row};

pub use config::ShareConfig;
pub use error::{ShareConfigError, ShareError};

mod config;
mod database;
mod dial;
mod error;
mod pace;
mod rows;
mod schema;

/// How many vantage points of one network share a database at most. One more is refused.
pub const MAX_VANTAGE_POINTS: usize = 16;

/// How many nodes one vantage point shares at most. Beyond, those that are not good are left out first.
pub const MAX_SIGHTINGS: usize = 100_000;

/// How often it is judged anew whom to name, without news: others fall silent.
const JUDGE_EVERY: Duration = Duration::from_secs(5);

/// How things stand with the database.
#[derive(Debug, Clone, Default)]
pub enum Link {
    /// It has not answered yet.
    #[default]
    Starting,
    /// It was written and read the last time that it was time for it.
    Up,
    /// It cannot be used. It is tried again, also where [`ShareError::needs_a_person`].
    Down(Arc<ShareError>),
}

/// What was shared since the start. The numbers only grow.
#[derive(Debug, Clone, Default)]
pub struct ShareStatus {
    /// How things stand with the database.
    pub link: Link,
    /// How often it was written and read.
    pub rounds: u64,
    /// How often it could not be.
    pub failures: u64,
    /// Sightings that were written, and removed.
    pub written: u64,
    /// Sightings of others that were read.
    pub read: u64,
    /// Of them, those that no vantage point of this network could have had.
    pub unbelievable: u64,
}

/// Shares what a survey sees, and tells what comes of what all see.
#[derive(Debug)]
pub struct Share {
    clock: Clock,
    offer_every: u32,
    offered: UnixTime,
    own: watch::Sender<Option<VantagePoint>>,
    union: watch::Receiver<Arc<Union>>,
    status: watch::Receiver<ShareStatus>,
}

impl Share {
    /// Makes both halves: this one for who surveys and who answers, and the other one to be run. The seed decides when the
    /// database is asked, and should be another one on each machine.
    pub fn new(config: ShareConfig, clock: Clock, seed: [u8; 32]) -> (Self, Sharing) {
        let own = watch::Sender::new(None);
        let (union, status) = (watch::Sender::new(Arc::default()), watch::Sender::new(ShareStatus::default()));
        let offer_every = u32::try_from(config.every.as_secs() / 2).unwrap_or(u32::MAX);
        let share = Self {
            clock,
            offer_every,
            offered: UnixTime::NEVER,
            union: union.subscribe(),
            status: status.subscribe(),
            own: own.clone(),
        };
        let others = watch::Sender::new(Vec::new());
        (share, Sharing { config, clock, seed, own: own.subscribe(), others, union, status })
    }

    /// Offers what a ledger sees, if it is time again. To be called about once a second.
    pub fn follow(&mut self, ledger: &Ledger, now: UnixTime) {
        let is_early = now.since(self.offered) < self.offer_every && now >= self.offered;
        if !is_early {
            self.offered = now;
            self.offer(VantagePoint::of(ledger, now));
        }
    }

    /// Offers what is seen. It takes the place of what was offered before: whatever the database missed is in it.
    pub fn offer(&self, mut point: VantagePoint) {
        if point.at != UnixTime::NEVER {
            let ago = UnixTime::from(self.clock.now().unix).since(point.at);
            point.at = steady(&self.clock).minus(ago);
        }
        self.own.send_replace(Some(point));
    }

    /// Returns where it appears who may be named by what all see, and how many have a voice. It changes only when they do.
    ///
    /// While the database is away, what was read of others stands until it is as old as they may be silent; from then on this
    /// machine answers from what itself sees.
    #[must_use]
    pub fn unions(&self) -> watch::Receiver<Arc<Union>> {
        self.union.clone()
    }

    /// Returns where it appears how things stand with the database.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<ShareStatus> {
        self.status.clone()
    }
}

/// The half that talks to the database.
#[derive(Debug)]
#[must_use = "nothing is shared until it runs"]
pub struct Sharing {
    config: ShareConfig,
    clock: Clock,
    seed: [u8; 32],
    own: watch::Receiver<Option<VantagePoint>>,
    others: watch::Sender<Vec<VantagePoint>>,
    union: watch::Sender<Arc<Union>>,
    status: watch::Sender<ShareStatus>,
}

impl Sharing {
    /// Shares until the other half is gone. Nothing that the database does, or does not, ends it.
    ///
    /// What takes long is done off the async threads, and nobody who surveys or answers ever waits for it.
    ///
    /// # Cancel safety
    /// Dropping the future hangs up. What was offered last may not be written then.
    pub async fn run(self) {
        tokio::select! {
            () = self.exchange() => {}
            () = self.judge() => {}
        }
    }

    /// Publishes whom to name, whenever that may have changed.
    async fn judge(&self) {
        let (mut own, mut others) = (self.own.clone(), self.others.subscribe());
        let mut ticks = interval(JUDGE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut points = others.borrow_and_update().clone();
            points.extend(own.borrow_and_update().clone());
            let (stale_after, now) = (self.config.stale_after, self.now());
            let Ok(union) = spawn_blocking(move || merge(&points, stale_after, now)).await else { return };
            self.union.send_if_modified(|before| {
                let is_new = **before != union;
                if is_new {
                    *before = Arc::new(union);
                }
                is_new
            });
            tokio::select! {
                changed = own.changed() => if changed.is_err() { return },
                _ = others.changed() => {}
                _ = ticks.tick() => {}
            }
        }
    }

    /// Writes what is seen and reads what others see, again and again.
    async fn exchange(&self) {
        let mut pace = Pace::new(self.config.every, self.seed);
        loop {
            let Err(error) = self.visit(&mut pace).await;
            let needs_a_person = error.needs_a_person();
            self.tell(&error);
            self.status.send_modify(|status| {
                status.failures += 1;
                status.link = Link::Down(Arc::new(error));
            });
            sleep(pace.failed(needs_a_person)).await;
        }
    }

    /// Logs what keeps it from the database, once for as long as it stays the same.
    fn tell(&self, error: &ShareError) {
        let is_known = match &self.status.borrow().link {
            Link::Down(before) => before.to_string() == error.to_string(),
            Link::Starting | Link::Up => false,
        };
        if is_known {
            tracing::debug!(%error, "observations are still not shared");
        } else if error.needs_a_person() {
            tracing::error!(%error, "observations are not shared; this seeder answers from its own");
        } else {
            tracing::warn!(%error, "observations are not shared for a while");
        }
    }

    /// Connects, and exchanges until it fails.
    async fn visit(&self, pace: &mut Pace) -> Result<Infallible, ShareError> {
        let mut database = Database::open(&self.config).await?;
        // What the database holds may not be what was written: it may have been restored from yesterday.
        let mut held = database.own().await?;
        loop {
            let others = database.others(&self.config, self.now()).await?;
            let read = (others.read, others.unbelievable);
            self.others.send_replace(others.points);
            let written = self.write(&database, &mut held).await?;
            self.status.send_modify(|status| {
                if !matches!(status.link, Link::Up) {
                    tracing::info!("observations are shared");
                }
                status.link = Link::Up;
                status.rounds += 1;
                status.written += written;
                status.read += read.0;
                status.unbelievable += read.1;
            });
            sleep(pace.worked()).await;
        }
    }

    /// Writes what is seen and not held yet. Returns how many rows that were.
    async fn write(&self, database: &Database, held: &mut Vec<Row>) -> Result<u64, ShareError> {
        let Some(point) = self.own.borrow().clone() else { return Ok(0) };
        let heard_ago = (point.at != UnixTime::NEVER).then(|| self.now().since(point.at));
        let before = std::mem::take(held);
        let compared = spawn_blocking(move || {
            let wanted = rows::rows(&point);
            (Changes::between(&before, &wanted), wanted)
        });
        let (changes, wanted) = compared.await.map_err(|error: JoinError| ShareError::Lost(error.to_string()))?;
        for batch in changes.batches() {
            database.write(batch, heard_ago).await?;
        }
        *held = wanted;
        Ok((changes.put.len() + changes.gone.len()) as u64)
    }

    fn now(&self) -> UnixTime {
        steady(&self.clock)
    }
}

/// Returns the moment on a scale that begins with this run, far from either end: so it says how old a report is whatever the
/// clocks of the machines are set to, and when.
fn steady(clock: &Clock) -> UnixTime {
    const BEGIN: UnixTime = UnixTime(1 << 31);
    BEGIN.plus(u32::try_from(clock.now().monotonic.as_secs()).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
