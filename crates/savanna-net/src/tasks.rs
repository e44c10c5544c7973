//! The owner of everything that runs.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::timeout;

/// How long [`Tasks::shutdown`] waits for the tasks it has aborted to be dropped.
const ABORT_GRACE: Duration = Duration::from_millis(250);

/// Owns tasks: ends them on [`shutdown`](Self::shutdown), aborts them when dropped.
///
/// Whatever runs in a node was spawned through one of these, so nothing outlives its owner.
#[derive(Debug)]
pub struct Tasks {
    running: Arc<Mutex<JoinSet<()>>>,
    stop: watch::Sender<bool>,
}

impl Tasks {
    /// Makes an owner of nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self { running: Arc::default(), stop: watch::Sender::new(false) }
    }

    /// Returns a handle that spawns into this owner and keeps nothing alive.
    #[must_use]
    pub fn spawner(&self) -> Spawner {
        Spawner { running: Arc::downgrade(&self.running), stop: Stop(self.stop.subscribe()) }
    }

    /// Spawns a task.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.spawner().spawn(task);
    }

    /// Returns how many tasks have not ended.
    #[must_use]
    pub fn len(&self) -> usize {
        let mut running = lock(&self.running);
        reap(&mut running);
        running.len()
    }

    /// Returns whether all tasks have ended.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Signals every task to stop, waits at most `bound` for them, aborts the rest and returns how many those were.
    ///
    /// What is spawned from here on is dropped unrun.
    ///
    /// # Cancel safety
    /// Dropping the future aborts what has not ended.
    pub async fn shutdown(self, bound: Duration) -> usize {
        self.stop.send_replace(true);
        let mut running = std::mem::take(&mut *lock(&self.running));
        let drained = timeout(bound, async {
            while let Some(ended) = running.join_next().await {
                report(ended);
            }
        });
        if drained.await.is_ok() {
            return 0;
        }
        let aborted = running.len();
        // A task that never yields cannot be aborted: it must not hold up the shutdown as well.
        let _ = timeout(ABORT_GRACE, running.shutdown()).await;
        aborted
    }
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

/// Spawns into a [`Tasks`] for as long as that exists.
#[derive(Debug, Clone)]
pub struct Spawner {
    running: Weak<Mutex<JoinSet<()>>>,
    stop: Stop,
}

impl Spawner {
    /// Spawns a task, or drops it unrun when the owner is gone or shutting down.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Some(running) = self.running.upgrade() else { return };
        let mut running = lock(&running);
        // The signal is given before the set is taken away, so under the lock nothing slips in behind it.
        if !self.stop.is_stopped() {
            reap(&mut running);
            running.spawn(task);
        }
    }

    /// Returns the owner's signal to stop.
    #[must_use]
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }
}

/// The signal that a task is to end: given by a shutdown, or by the owner's end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Returns whether the signal has been given.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits for the signal.
    ///
    /// # Cancel safety
    /// Nothing is lost: a signal once given stays.
    pub async fn stopped(&mut self) {
        // An error means that the owner is gone, which says the same.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }
}

fn lock(running: &Mutex<JoinSet<()>>) -> MutexGuard<'_, JoinSet<()>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forgets what has ended, so that a node that runs for months holds its living tasks alone.
fn reap(running: &mut JoinSet<()>) {
    while let Some(ended) = running.try_join_next() {
        report(ended);
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a task panicked");
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;

    const BOUND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn shutdown_drains_those_that_listen_and_aborts_the_rest() {
        let tasks = Tasks::new();
        let mut stop = tasks.spawner().stop();
        tasks.spawn(async move { stop.stopped().await });
        tasks.spawn(pending());
        tasks.spawn(pending());
        tasks.spawn(async {});
        let late = tasks.spawner();
        assert_eq!(tasks.shutdown(BOUND).await, 2);
        assert!(late.stop().is_stopped());
        let (held, dropped) = oneshot::channel::<()>();
        late.spawn(async move {
            drop(held);
            pending().await
        });
        assert!(dropped.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_owner_ends_its_tasks() {
        let tasks = Tasks::new();
        let (held, dropped) = oneshot::channel::<()>();
        let mut stop = tasks.spawner().stop();
        tasks.spawn(async move {
            let _held = held;
            pending().await
        });
        assert_eq!(tasks.len(), 1);
        drop(tasks);
        timeout(BOUND, stop.stopped()).await.unwrap();
        assert!(timeout(BOUND, dropped).await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_ended_are_forgotten() {
        let tasks = Tasks::new();
        for _ in 0..1000 {
            tasks.spawn(async {});
            tokio::task::yield_now().await;
        }
        assert!(lock(&tasks.running).len() < 10);
        while !tasks.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}
