//! One conversation: its dial, its handshake, its questions.

use std::io;
use std::time::Duration;

use futures_util::future::join;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tower::Service;

use savanna_net::{Client, Connector, DialError, Handshake, HandshakeRequest, Nil, Request, Response};
use savanna_peer::{CloseReason, Incompatibility, RequestError};
use savanna_wire::{AddrV2, PeerAddr, Version};

use super::{Chain, Ending, Introduction, Probe, Talk};

/// How long a node has for all our questions.
pub(super) const TALK_DEADLINE: Duration = Duration::from_secs(15);

/// How long zcashd has to tell addresses, where few are known: it answers at random, half a minute later on average.
const ZCASHD_PATIENCE: Duration = Duration::from_secs(35);

/// What came of dialling a node.
#[derive(Debug)]
pub(super) struct Dialling {
    pub(super) address: PeerAddr,
    /// What it said of itself, even if it hung up behind it.
    pub(super) introduction: Option<Introduction>,
    pub(super) result: Result<Client, Failure>,
}

/// Why there is no conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// For this reason.
    Ended(Ending),
    /// This machine opens no more connections.
    NoFiles,
}

/// Dials a node and shakes hands.
pub(super) async fn dial(mut connector: Connector, mut handshake: Handshake<Nil>, address: PeerAddr) -> Dialling {
    let began = Instant::now();
    let dialed = match connector.call(address).await {
        Ok(dialed) => dialed,
        Err(error) => return Dialling { address, introduction: None, result: Err(of_dial(&error)) },
    };
    let connect = began.elapsed();
    match handshake.call(HandshakeRequest::outbound(dialed, None)).await {
        Ok(client) => {
            let introduction = Some(introduction(&client.info().remote, connect));
            Dialling { address, introduction, result: Ok(client) }
        }
        Err(error) => {
            let introduction = error.remote.as_deref().map(|remote| introduction(remote, connect));
            Dialling { address, introduction, result: Err(Failure::Ended(of_close(&error.reason))) }
        }
    }
}

/// Asks a node all there is to ask, and hangs up.
///
/// Slow answers are waited for as long as `is_small` says that they are needed.
pub(super) async fn talk(
    address: PeerAddr,
    client: Client,
    probe: Probe,
    is_small: watch::Receiver<bool>,
) -> (PeerAddr, Talk) {
    let mut talk = Talk::without_answers(Ending::TimedOut);
    let asking = async {
        let (told, chain) = join(addresses(&client, is_small), chain(&client, probe)).await;
        talk.told = told;
        talk.chain = chain;
    };
    let is_zcashd = client.info().remote.user_agent.as_bytes().starts_with(b"/MagicBean:");
    let patience = TALK_DEADLINE + if is_zcashd { ZCASHD_PATIENCE } else { Duration::ZERO };
    if timeout(patience, asking).await.is_ok() {
        talk.ending = Ending::Complete;
        if client.round_trip().is_none() && !client.is_closed() {
            let _ = timeout(TALK_DEADLINE, client.ask(Request::Ping)).await;
        }
    }
    talk.round_trip = client.round_trip();
    if client.is_closed() {
        talk.ending = of_close(&client.closed().await);
    }
    (address, talk)
}

/// Asks for addresses. `None` if there was no answer.
async fn addresses(client: &Client, is_small: watch::Receiver<bool>) -> Option<Vec<AddrV2>> {
    let is_zcashd = client.info().remote.user_agent.as_bytes().starts_with(b"/MagicBean:");
    let until = Instant::now() + ZCASHD_PATIENCE;
    let mut told = None;
    loop {
        match client.ask(Request::Peers).await {
            Ok(Response::Peers(addresses)) => told = Some(addresses),
            Ok(_) | Err(RequestError::TimedOut) => {}
            Err(_) => return told,
        }
        // One entry is most likely the node's own.
        let has_told = told.as_ref().is_some_and(|told| told.len() > 1);
        if has_told || !is_zcashd || Instant::now() >= until || !*is_small.borrow() {
            return told;
        }
    }
}

async fn chain(client: &Client, probe: Probe) -> Chain {
    match client.ask(Request::FindHeaders { locator: probe.locator(), stop: probe.stop() }).await {
        Ok(Response::Headers(headers)) => probe.judge(&headers),
        Ok(_) | Err(_) => Chain::Unknown,
    }
}

fn introduction(remote: &Version, connect: Duration) -> Introduction {
    Introduction {
        version: remote.version,
        services: remote.services,
        user_agent: remote.user_agent.clone(),
        height: remote.height,
        connect: Some(connect),
        round_trip: None,
        told: None,
        chain: Chain::Unknown,
    }
}

fn of_dial(error: &DialError) -> Failure {
    Failure::Ended(match error {
        DialError::NeedsProxy => Ending::NoRoute,
        DialError::TimedOut(_) => Ending::DialTimedOut,
        DialError::Connect(error) if is_out_of_files(error) => return Failure::NoFiles,
        DialError::Connect(error) => of_io(error.kind()),
        DialError::Proxy(_) | _ => Ending::DialFailed,
    })
}

fn of_io(kind: io::ErrorKind) -> Ending {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, NetworkUnreachable, TimedOut};
    let known = [
        (ConnectionRefused, Ending::ConnectionRefused),
        (ConnectionReset, Ending::ClosedByPeer),
        (ConnectionAborted, Ending::ClosedByPeer),
        (NetworkUnreachable, Ending::NoRoute),
        (TimedOut, Ending::DialTimedOut),
    ];
    known.iter().find(|(each, _)| *each == kind).map_or(Ending::DialFailed, |(_, ending)| *ending)
}

/// Returns whether the process, or the system, has as many files open as it may.
fn is_out_of_files(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

pub(super) fn of_close(reason: &CloseReason) -> Ending {
    match reason {
        CloseReason::Malformed(_) => Ending::Malformed,
        CloseReason::Misbehaved(_) => Ending::Misbehaved,
        CloseReason::Incompatible(Incompatibility::OurSelf) => Ending::OurSelf,
        CloseReason::Incompatible(_) => Ending::Incompatible,
        CloseReason::TimedOut(_) => Ending::TimedOut,
        CloseReason::ClosedByPeer => Ending::ClosedByPeer,
        CloseReason::Local(_) | _ => Ending::Local,
    }
}
