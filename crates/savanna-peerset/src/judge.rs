//! Keeping out whom the address book says is banned, or has misbehaved.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use savanna_book::{Standing, UnixTime};
use savanna_net::{Clock, Spawner};
use savanna_wire::Host;

use crate::{PeerSet, SharedBook};

/// Says how a host stands; without a book everybody is fine.
#[derive(Clone, Default)]
pub(crate) struct Judge(Option<Arc<dyn Fn(Host) -> Standing + Send + Sync>>);

impl Judge {
    fn by(book: SharedBook, clock: Clock) -> Self {
        Self(Some(Arc::new(move |host| book.with(|book| book.standing(host, UnixTime::from(clock.now().unix))))))
    }

    pub(crate) fn standing(&self, host: Option<Host>) -> Standing {
        match (&self.0, host) {
            (Some(judge), Some(host)) => judge(host),
            (None, _) | (_, None) => Standing::Fine,
        }
    }
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Judge").field(&self.0.is_some()).finish()
    }
}

impl PeerSet {
    /// Keeps out whom `book` says is banned, in a task of its own, until the set ends or `spawner` stops.
    ///
    /// A ban closes the connections that are there, and so does a mark that makes a host discouraged. Whoever is discouraged
    /// already and dials us has a place while there is room, and is the first to lose it.
    pub fn keep_out(&self, book: &SharedBook, clock: Clock, spawner: &Spawner) {
        let (teller, joins, mut changes) = (self.teller(), self.joins(), book.penalties());
        let judge = Judge::by(book.clone(), clock);
        let mut stop = spawner.stop();
        spawner.spawn(async move {
            teller.judge(judge.clone());
            let (mut closed, mut stopped) = (pin!(joins.closed()), pin!(stop.stopped()));
            let mut watching = pin!(async {
                while changes.changed().await.is_ok() {
                    teller.judge(judge.clone());
                }
            });
            poll_fn(|cx| {
                let is_over = closed.as_mut().poll(cx).is_ready() || stopped.as_mut().poll(cx).is_ready();
                if is_over { Poll::Ready(()) } else { watching.as_mut().poll(cx) }
            })
            .await;
        });
    }
}
