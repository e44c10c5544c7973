//! Keeping what DNS says to what the survey finds.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use savanna_seed::{Published, Roll, Zones};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How often the survey's word is passed on at least: well before the zones stop to believe it.
const PASSED_ON_EVERY: Duration = Duration::from_secs(60);

/// How often at most: each time, everything is signed anew.
const REST: Duration = Duration::from_secs(5);

/// How old the survey's word may be, in seconds, until it says nothing of the present.
const STALE_AFTER: u64 = 120;

/// Names in a zone whom the survey finds, for as long as there is a survey.
pub(super) async fn tell(
    zone: String,
    zones: Zones,
    mut rolls: watch::Receiver<Arc<Roll>>,
    published: watch::Receiver<Arc<Published>>,
) {
    loop {
        let now = unix_now();
        let is_stale = now.saturating_sub(published.borrow().at.0.into()) > STALE_AFTER;
        let roll = if is_stale { Roll::default() } else { (**rolls.borrow_and_update()).clone() };
        if let Err(error) = zones.update(&zone, roll, now).await {
            tracing::error!(zone, %error, "what the zone says stays as it was");
        }
        sleep(REST).await;
        if let Ok(Err(_)) = timeout(PASSED_ON_EVERY, rolls.changed()).await {
            return;
        }
    }
}

pub(super) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
