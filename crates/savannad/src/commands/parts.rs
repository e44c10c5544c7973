//! The parts of a node that are to work for as long as it runs.

use savanna_net::Stop;
use tokio::sync::watch;

/// Who notices that a part has ended.
#[derive(Debug)]
pub(super) struct Parts(watch::Sender<Option<&'static str>>);

impl Parts {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Returns what runs a part until told to stop. A part that ends before that, or panics, is missed.
    pub(super) fn watch(
        &self,
        name: &'static str,
        mut stop: Stop,
        part: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let mut guard = Guard { name, ended: Some(self.0.clone()) };
        async move {
            tokio::select! {
                () = stop.stopped() => guard.disarm(),
                () = part => {}
            }
        }
    }

    /// Waits until a part has ended, and returns which.
    pub(super) async fn ended(&self) -> &'static str {
        let mut ended = self.0.subscribe();
        // The sender is here.
        ended.wait_for(Option::is_some).await.ok().and_then(|part| *part).unwrap_or("unknown")
    }

    /// Returns what tells whether all parts work.
    pub(super) fn alive(&self) -> watch::Receiver<Option<&'static str>> {
        self.0.subscribe()
    }
}

struct Guard {
    name: &'static str,
    ended: Option<watch::Sender<Option<&'static str>>>,
}

impl Guard {
    fn disarm(&mut self) {
        self.ended = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(ended) = &self.ended {
            ended.send_replace(Some(self.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use savanna_net::Tasks;

    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_missed_and_one_that_is_stopped_is_not() {
        let (tasks, parts) = (Tasks::new(), Parts::new());
        tasks.spawn(parts.watch("waiting", tasks.spawner().stop(), std::future::pending()));
        assert!(parts.alive().borrow().is_none());
        tasks.spawn(parts.watch("dying", tasks.spawner().stop(), async { panic!("a test's own") }));
        assert_eq!(parts.ended().await, "dying");

        let (tasks, parts) = (Tasks::new(), Parts::new());
        tasks.spawn(parts.watch("waiting", tasks.spawner().stop(), std::future::pending()));
        tasks.shutdown(std::time::Duration::from_secs(60)).await;
        assert!(parts.alive().borrow().is_none());
    }
}
