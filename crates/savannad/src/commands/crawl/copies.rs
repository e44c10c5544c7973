//! Copies of the state on disk while the crawl goes on.

use std::time::{Duration, Instant};

use savanna_net::Clock;
use savanna_peerset::crawler::{Plan, Saved};
use tokio::task::JoinHandle;

use super::state::{Keep, StateFile};

/// How much time lies between two copies: what a kill may cost.
const BETWEEN: Duration = Duration::from_secs(30);

/// How many nodes are copied at a time: conversations wait for less than a millisecond.
const SLICE: usize = 2_000;

/// Copies the state to disk now and then, in slices between the things that happen.
pub(super) struct Copies<'a> {
    state: Option<&'a StateFile>,
    last: Instant,
    begun: Option<Saved>,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

impl<'a> Copies<'a> {
    pub(super) fn new(state: Option<&'a StateFile>) -> Self {
        Self { state, last: Instant::now(), begun: None, running: None }
    }

    /// Goes on with a copy, or begins one where it is time.
    pub(super) fn go_on(&mut self, plan: &Plan, clock: Clock) {
        let Some(state) = self.state else { return };
        let Some(mut saved) = self.begun.take() else {
            let is_idle = self.running.as_ref().is_none_or(JoinHandle::is_finished);
            if is_idle && self.last.elapsed() >= BETWEEN {
                self.last = Instant::now();
                self.begun = Some(plan.begin_save());
            }
            return;
        };
        if plan.save_on(&mut saved, SLICE, clock.now()) {
            let state = state.clone();
            self.running = Some(tokio::task::spawn_blocking(move || state.store(&saved)));
        } else {
            self.begun = Some(saved);
        }
    }

    /// Waits for the copy that is being written.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        if let Some(running) = self.running {
            // The copy at the end is the one whose failure is told.
            let _ = running.await?;
        }
        Ok(())
    }
}
