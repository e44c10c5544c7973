//! The zones of a service, and the answers that each has ready.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, Guard};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use thiserror::Error;
use tokio::task::{JoinError, spawn_blocking};

use super::counts::{Counters, Counts};
use crate::roll::Roll;
use crate::zone::{Prepared, Zone, ZoneError, wire};

/// How long a roll is believed, in seconds, unless it is given anew: whoever makes it may have died. It is to be given at least
/// twice in this time.
pub const ROLL_LIFE: u64 = 150;

/// Why a zone's answers could not be made anew. What it says stays as it was.
#[derive(Debug, Error)]
pub enum UpdateError {
    /// There is no such zone.
    #[error("{0} is not served here")]
    Unknown(String),
    /// The answers could not be made.
    #[error(transparent)]
    Zone(#[from] ZoneError),
    /// The task that makes them failed.
    #[error("making the answers of a zone failed: {0}")]
    Task(#[from] JoinError),
}

/// The zones of one service. Clones are the same zones.
#[derive(Debug, Clone)]
pub struct Zones(Arc<All>);

#[derive(Debug)]
struct All {
    zones: Vec<Arc<Served>>,
    counters: Counters,
    seed: [u8; 32],
    streams: AtomicU64,
}

/// A zone, and what it says.
#[derive(Debug)]
pub(crate) struct Served {
    zone: Zone,
    origin: Box<[u8]>,
    prepared: ArcSwap<Prepared>,
    making: Mutex<Making>,
}

#[derive(Debug)]
struct Making {
    roll: Roll,
    /// When the roll was given, and when the answers were last made: seconds since 1970.
    given: u64,
    made: u64,
    serial: u32,
    rng: ChaCha8Rng,
}

impl Zones {
    /// Serves these zones, which name nobody until they are told whom. `seed` decides all draws, and must not be known to
    /// others; `now` in seconds since 1970.
    ///
    /// # Errors
    /// [`ZoneError`] if one is another or within another, or if their answers cannot be made.
    pub fn new(zones: impl IntoIterator<Item = Zone>, seed: [u8; 32], now: u64) -> Result<Self, ZoneError> {
        let mut served: Vec<Arc<Served>> = Vec::new();
        let mut seeds = ChaCha8Rng::from_seed(seed);
        for zone in zones {
            for other in served.iter().map(|served| served.zone.name()) {
                let (inner, outer) =
                    if other.zone_of(zone.name()) { (zone.name(), other) } else { (other, zone.name()) };
                if outer.zone_of(inner) {
                    return Err(ZoneError::Within(Box::new((inner.clone(), outer.clone()))));
                }
            }
            let mut rng = ChaCha8Rng::seed_from_u64(seeds.next_u64());
            let serial = low(now);
            let prepared = Prepared::new(&zone, &Roll::default(), serial, low(now), &mut rng)?;
            served.push(Arc::new(Served {
                origin: wire(zone.name()),
                zone,
                prepared: ArcSwap::from_pointee(prepared),
                making: Mutex::new(Making { roll: Roll::default(), given: now, made: now, serial, rng }),
            }));
        }
        let all = All { zones: served, counters: Counters::default(), seed, streams: AtomicU64::new(1) };
        Ok(Self(Arc::new(all)))
    }

    /// Names these nodes from this moment on, and no others. It must be told again within [`ROLL_LIFE`]. `now` in seconds
    /// since 1970.
    ///
    /// # Errors
    /// [`UpdateError`] if there is no such zone, or its answers cannot be made.
    pub async fn update(&self, zone: &str, roll: Roll, now: u64) -> Result<(), UpdateError> {
        let served = self.by_name(zone).ok_or_else(|| UpdateError::Unknown(zone.to_owned()))?;
        let served = Arc::clone(served);
        Ok(spawn_blocking(move || served.make(Some(roll), now)).await??)
    }

    /// Makes the answers of those zones anew whose TTL has gone by, and says which could not be.
    pub(crate) async fn renew(&self, now: u64) {
        for served in &self.0.zones {
            let due = Arc::clone(served);
            let made = spawn_blocking(move || if due.is_due(now) { due.make(None, now) } else { Ok(()) }).await;
            if let Err(error) = made.map_err(UpdateError::from).and_then(|made| Ok(made?)) {
                tracing::error!(zone = %served.zone.name(), %error, "the answers of a zone could not be renewed");
            }
        }
    }

    /// Says whether a zone has nodes to name; a zone that is not served has none.
    #[must_use]
    pub fn is_ready(&self, zone: &str) -> bool {
        self.by_name(zone).is_some_and(|served| served.prepared().is_ready())
    }

    /// Returns what was asked and answered since the service began.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters().read()
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Returns randomness of its own for one who picks draws.
    pub(crate) fn picks(&self) -> ChaCha8Rng {
        let mut picks = ChaCha8Rng::from_seed(self.0.seed);
        picks.set_stream(self.0.streams.fetch_add(1, Ordering::Relaxed));
        picks
    }

    /// Finds the zone that a name is in. The name is as in a message, in lower case.
    pub(crate) fn of(&self, name: &[u8]) -> Option<&Served> {
        self.0.zones.iter().find(|served| is_within(name, &served.origin)).map(|served| &**served)
    }

    fn by_name(&self, name: &str) -> Option<&Arc<Served>> {
        let name = name.trim_end_matches('.');
        let is = |served: &&Arc<Served>| served.zone.name().to_ascii().trim_end_matches('.').eq_ignore_ascii_case(name);
        self.0.zones.iter().find(is)
    }
}

impl Served {
    /// Returns what is said at this moment.
    pub(crate) fn prepared(&self) -> Guard<Arc<Prepared>> {
        self.prepared.load()
    }

    fn is_due(&self, now: u64) -> bool {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        // A roll that was given by a clock that was ahead is believed no longer than another.
        making.given = making.given.min(now);
        let is_stale = !making.roll.nodes.is_empty() && making.is_past(now);
        is_stale || now.saturating_sub(making.made) >= u64::from(self.zone.ttl()) || now < making.made
    }

    fn make(&self, roll: Option<Roll>, now: u64) -> Result<(), ZoneError> {
        let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        let making = &mut *making;
        making.given = making.given.min(now);
        match roll {
            Some(roll) => (making.roll, making.given) = (roll, now),
            None if making.is_past(now) => making.roll = Roll::default(),
            None => {}
        }
        // By time, so that it moves on over restarts too.
        making.serial = making.serial.wrapping_add(1).max(low(now));
        let prepared = Prepared::new(&self.zone, &making.roll, making.serial, low(now), &mut making.rng)?;
        making.made = now;
        self.prepared.store(Arc::new(prepared));
        Ok(())
    }
}

impl Making {
    /// Says whether the roll is too old to be believed.
    const fn is_past(&self, now: u64) -> bool {
        now.saturating_sub(self.given) > ROLL_LIFE
    }
}

/// A time as the DNS has it, whose numbers begin again in 2106.
fn low(now: u64) -> u32 {
    u32::try_from(now & u64::from(u32::MAX)).unwrap_or(0)
}

fn is_within(name: &[u8], origin: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > origin.len() {
        let label = usize::from(rest[0]);
        match rest.get(label + 1..) {
            Some(above) => rest = above,
            None => return false,
        }
    }
    rest == origin
}

#[cfg(test)]
mod tests;
