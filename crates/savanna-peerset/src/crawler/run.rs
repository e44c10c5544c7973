//! The crawl itself: dials as planned, and hands back what came of it.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::sleep_until;

use savanna_chain::Upgrade;
use savanna_net::{Client, Clock, Connector, Handshake, Nil, NodeConfig, Spawner};
use savanna_peer::{Now, Timeouts};
use savanna_wire::{Network, PeerAddr, Services};

use super::meet::meet;
use super::talk::{Dialling, Failure, dial, talk};
use super::{Errand, Meeting, Plan, Talk};

/// How long a node has to answer one question, and to send the rest of an answer that has begun.
const ANSWER_DEADLINE: Duration = Duration::from_secs(8);

/// Returns the configuration of a node that surveys: it takes every peer, whatever that offers and however old it is, and
/// waits for none for long.
///
/// # Panics
/// If the operating system has no randomness.
#[must_use]
pub fn survey_config(network: Network) -> NodeConfig {
    let hurried = |timeouts: Timeouts| Timeouts {
        frame: ANSWER_DEADLINE,
        write: ANSWER_DEADLINE,
        ping: ANSWER_DEADLINE,
        request: ANSWER_DEADLINE,
        ..timeouts
    };
    let mut config = NodeConfig::new(network);
    config.session.required_services = Services::NONE;
    config.session.floor = Upgrade::Sprout.protocol_version(network);
    config.outbound = hurried(config.outbound);
    config
}

/// Dials nodes and talks with them, as a [`Plan`] says.
#[derive(Debug, Clone)]
pub struct Surveyor {
    connector: Connector,
    handshake: Handshake<Nil>,
    clock: Clock,
}

type Dials = FuturesUnordered<BoxFuture<'static, Dialling>>;
type Talks = FuturesUnordered<BoxFuture<'static, (PeerAddr, Talk)>>;

enum Happening {
    Dialled(Dialling),
    Talked(PeerAddr, Talk),
    Due,
}

impl Surveyor {
    /// Makes one whose connections run on `spawner`. The configuration is best one of [`survey_config`].
    #[must_use]
    pub fn new(config: NodeConfig, connector: Connector, clock: Clock, spawner: Spawner) -> Self {
        Self { connector, handshake: Handshake::new(config, Nil, clock, spawner), clock }
    }

    /// Meets one node, for who has no [`Plan`] but one of his own: dials it, asks it what the errand says, and hangs up.
    ///
    /// # Cancel safety
    /// Dropping the future hangs up.
    pub fn meet(&self, errand: Errand) -> impl Future<Output = Meeting> + Send + use<> {
        meet(self.connector.clone(), self.handshake.clone(), errand)
    }

    /// Crawls until the plan is done. `watch` is called after each thing that happens.
    ///
    /// # Cancel safety
    /// Dropping the future hangs up all conversations. The plan keeps what was learned.
    pub async fn run(&self, plan: &mut Plan, mut watch: impl FnMut(&Plan)) {
        let (mut dials, mut talks) = (Dials::new(), Talks::new());
        let (small, is_small) = watch::channel(plan.is_small());
        loop {
            let now = self.clock.now();
            while let Some(address) = plan.poll_dial(now) {
                dials.push(Box::pin(dial(self.connector.clone(), self.handshake.clone(), address)));
            }
            if plan.is_done(now) {
                return;
            }
            match self.next(plan, &mut dials, &mut talks).await {
                Happening::Dialled(dialling) => {
                    let probe = *plan.probe();
                    if let Some((address, client)) = dialled(plan, dialling, self.clock.now()) {
                        talks.push(Box::pin(talk(address, client, probe, is_small.clone())));
                    }
                }
                Happening::Talked(address, talk) => {
                    plan.handle_talk(address, talk, self.clock.now());
                    small.send_if_modified(|small| std::mem::replace(small, plan.is_small()) != plan.is_small());
                }
                Happening::Due => {}
            }
            watch(plan);
        }
    }

    async fn next(&self, plan: &Plan, dials: &mut Dials, talks: &mut Talks) -> Happening {
        let due = plan.poll_timeout().map(|when| sleep_until(self.clock.instant(when)));
        let mut due = pin!(due);
        poll_fn(|cx| {
            if let Poll::Ready(Some((address, talk))) = talks.poll_next_unpin(cx) {
                return Poll::Ready(Happening::Talked(address, talk));
            }
            if let Poll::Ready(Some(dialling)) = dials.poll_next_unpin(cx) {
                return Poll::Ready(Happening::Dialled(dialling));
            }
            match due.as_mut().as_pin_mut() {
                Some(due) => due.poll(cx).map(|()| Happening::Due),
                None => Poll::Pending,
            }
        })
        .await
    }
}

/// Tells the plan what came of a dial; returns the client of a conversation that has begun.
fn dialled(plan: &mut Plan, dialling: Dialling, now: Now) -> Option<(PeerAddr, Client)> {
    let Dialling { address, introduction, result } = dialling;
    let has_spoken = introduction.is_some();
    if let Some(introduction) = introduction {
        plan.handle_introduction(address, introduction, now);
    }
    match result {
        Ok(client) => Some((address, client)),
        Err(Failure::Ended(ending)) if has_spoken => {
            plan.handle_talk(address, Talk::without_answers(ending), now);
            None
        }
        Err(Failure::Ended(ending)) => {
            plan.handle_failure(address, ending, now);
            None
        }
        Err(Failure::NoFiles) => {
            if plan.handle_no_files(address, now) {
                tracing::warn!("this process may open no more connections at once: raise its limit of open files");
            }
            None
        }
    }
}
