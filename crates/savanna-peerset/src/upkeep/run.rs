//! The task that dials what the plan says.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::sleep_until;
use tower::Service;

use savanna_net::{Clock, Spawner};
use savanna_peer::CloseReason;
use savanna_wire::PeerAddr;

use super::{DialFailure, Upkeep};
use crate::{Peer, PeerSet};

impl PeerSet {
    /// Keeps the set connected as planned, in a task of its own, until the set ends or `spawner` stops.
    ///
    /// `dial` leads from an address to a peer: a [`Dialer`](super::Dialer), or a stand-in.
    pub fn keep_connected<D, P>(&self, plan: Upkeep, dial: D, clock: Clock, spawner: &Spawner)
    where
        D: Service<PeerAddr, Response = P, Error = DialFailure, Future: Send + 'static> + Send + 'static,
        P: Peer,
    {
        let (dials, ends) = (FuturesUnordered::new(), FuturesUnordered::new());
        let keeper = Keeper { plan, dial, clock, dials, ends, joins: self.joins() };
        let mut stop = spawner.stop();
        spawner.spawn(async move {
            let joins = keeper.joins.clone();
            let (mut closed, mut stopped) = (pin!(joins.closed()), pin!(stop.stopped()));
            let mut running = pin!(keeper.run());
            poll_fn(|cx| {
                let is_over = closed.as_mut().poll(cx).is_ready() || stopped.as_mut().poll(cx).is_ready();
                if is_over { Poll::Ready(()) } else { running.as_mut().poll(cx) }
            })
            .await;
        });
    }
}

struct Keeper<D, P> {
    plan: Upkeep,
    dial: D,
    clock: Clock,
    dials: FuturesUnordered<BoxFuture<'static, (PeerAddr, Result<P, DialFailure>)>>,
    ends: FuturesUnordered<BoxFuture<'static, (PeerAddr, CloseReason)>>,
    joins: mpsc::Sender<Box<dyn Peer>>,
}

enum Happening<P> {
    Dialed(PeerAddr, Result<P, DialFailure>),
    Ended(PeerAddr, CloseReason),
    Rested,
}

impl<D, P> Keeper<D, P>
where
    D: Service<PeerAddr, Response = P, Error = DialFailure, Future: Send + 'static>,
    P: Peer,
{
    async fn run(mut self) {
        loop {
            let now = self.clock.now().monotonic;
            while let Some(address) = self.plan.poll_dial(now) {
                tracing::trace!(%address, "dialling");
                let dialing = self.dial.call(address);
                self.dials.push(Box::pin(async move { (address, dialing.await) }));
            }
            match self.next(now).await {
                Happening::Dialed(address, Ok(peer)) => {
                    self.plan.handle_connected(address, self.now());
                    let closed = peer.closed();
                    self.ends.push(Box::pin(async move { (address, closed.await) }));
                    if self.joins.send(Box::new(peer)).await.is_err() {
                        return;
                    }
                }
                Happening::Dialed(address, Err(failure)) => self.plan.handle_ended(address, &failure, self.now()),
                Happening::Ended(address, reason) => self.plan.handle_ended(address, &reason.into(), self.now()),
                Happening::Rested => {}
            }
        }
    }

    fn now(&self) -> Duration {
        self.clock.now().monotonic
    }

    async fn next(&mut self, now: Duration) -> Happening<P> {
        let rested = self.plan.poll_timeout(now).map(|when| sleep_until(self.clock.instant(when)));
        let mut rested = pin!(rested);
        poll_fn(|cx| {
            if let Poll::Ready(Some((address, result))) = self.dials.poll_next_unpin(cx) {
                return Poll::Ready(Happening::Dialed(address, result));
            }
            if let Poll::Ready(Some((address, reason))) = self.ends.poll_next_unpin(cx) {
                return Poll::Ready(Happening::Ended(address, reason));
            }
            match rested.as_mut().as_pin_mut() {
                Some(sleep) => sleep.poll(cx).map(|()| Happening::Rested),
                None => Poll::Pending,
            }
        })
        .await
    }
}
