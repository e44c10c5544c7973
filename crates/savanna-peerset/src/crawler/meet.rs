//! One conversation by itself, for who plans his own.

use futures_util::future::join;
use tokio::time::timeout;

use savanna_net::{Client, Connector, Handshake, Nil, Request, Response};
use savanna_wire::{AddrV2, BlockHash, BlockHeader, PeerAddr};

use super::talk::{Dialling, Failure, TALK_DEADLINE, dial, of_close};
use super::{Ending, Introduction};

/// What to ask of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errand {
    /// Where it listens.
    pub address: PeerAddr,
    /// By which hashes to ask for headers, newest first.
    pub locator: Vec<BlockHash>,
    /// The last header wanted; `None` for as many as fit.
    pub stop: Option<BlockHash>,
    /// Whether to ask for addresses.
    pub asks_addresses: bool,
}

/// What came of an errand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meeting {
    /// With whom.
    pub address: PeerAddr,
    /// What it said of itself, even if it hung up behind it. What was measured or answered besides is not in there.
    pub introduction: Option<Introduction>,
    /// How it ended.
    pub ending: Ending,
    /// Whether this machine opens no more connections, so that there was none.
    pub lacks_files: bool,
    /// The headers that it answered with; `None` if it did not.
    pub headers: Option<Vec<BlockHeader>>,
    /// The addresses that it answered with; `None` if it did not, or was not asked.
    pub told: Option<Vec<AddrV2>>,
}

/// Dials a node, asks it what the errand says, and hangs up.
pub(super) async fn meet(connector: Connector, handshake: Handshake<Nil>, errand: Errand) -> Meeting {
    let Dialling { address, introduction, result } = dial(connector, handshake, errand.address).await;
    let ending = match result {
        Err(Failure::Ended(ending)) => ending,
        Err(Failure::NoFiles) | Ok(_) => Ending::Local,
    };
    let lacks_files = matches!(result, Err(Failure::NoFiles));
    let mut meeting = Meeting { address, introduction, ending, lacks_files, headers: None, told: None };
    if let Ok(client) = result {
        meeting.ending = Ending::TimedOut;
        let asking = join(headers(&client, &errand), told(&client, errand.asks_addresses));
        if let Ok((headers, told)) = timeout(TALK_DEADLINE, asking).await {
            (meeting.headers, meeting.told, meeting.ending) = (headers, told, Ending::Complete);
        }
        if client.is_closed() {
            meeting.ending = of_close(&client.closed().await);
        }
    }
    meeting
}

async fn headers(client: &Client, errand: &Errand) -> Option<Vec<BlockHeader>> {
    let request = Request::FindHeaders { locator: errand.locator.clone(), stop: errand.stop };
    match client.ask(request).await {
        Ok(Response::Headers(headers)) => Some(headers),
        Ok(_) | Err(_) => None,
    }
}

async fn told(client: &Client, asks: bool) -> Option<Vec<AddrV2>> {
    if !asks {
        return None;
    }
    match client.ask(Request::Peers).await {
        Ok(Response::Peers(told)) => Some(told),
        Ok(_) | Err(_) => None,
    }
}
