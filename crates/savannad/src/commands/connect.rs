//! `savanna connect`: one peer, looked at.

use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::future::join;
use savanna_net::{
    Client, Clock, Connector, Handshake, HandshakeError, HandshakeRequest, LOOKUP_DEADLINE, Nil, NodeConfig, Target,
    Tasks, resolve,
};
use savanna_peer::{Request, RequestError, Response};
use savanna_wire::{AddrV2, BlockHash, BlockHeader, Network, PeerAddr, Services};
use serde::Serialize;
use tower::{Service as _, ServiceExt as _};

use crate::cli::ConnectArgs;

/// How many pings are timed.
const PINGS: usize = 5;

/// How many of the peer's addresses are shown to a person.
const SHOWN_ADDRESSES: usize = 8;

/// How long the connection has to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Connects, asks, prints.
pub(crate) async fn run(args: ConnectArgs) -> anyhow::Result<()> {
    let tasks = Tasks::new();
    let client = reach(&args.peer, args.network, &tasks).await?;
    let report = Report::gather(&client, args.network).await.with_context(|| args.peer.to_string())?;
    drop(client);
    tasks.shutdown(DRAIN).await;
    if args.json {
        println!("{}", report.to_json()?);
    } else {
        print!("{}", report.to_text());
    }
    Ok(())
}

/// Tries the addresses of the target in turn.
async fn reach(target: &Target, network: Network, tasks: &Tasks) -> anyhow::Result<Client> {
    let addresses = resolve(target, network.default_port(), LOOKUP_DEADLINE).await?;
    let mut config = NodeConfig::new(network);
    // Looking at a peer is worth it whatever the peer offers.
    config.session.required_services = Services::NONE;
    let mut handshake = Handshake::new(config, Nil, Clock::start(), tasks.spawner());
    let mut last = None;
    for address in addresses {
        let dialed = match Connector::direct().oneshot(PeerAddr::from(address)).await {
            Ok(dialed) => dialed,
            Err(error) => {
                last = Some(anyhow::Error::new(error).context(address));
                continue;
            }
        };
        match handshake.call(HandshakeRequest::outbound(dialed, None)).await {
            Ok(client) => return Ok(client),
            Err(error) => last = Some(anyhow::anyhow!(explain(&error, address.into()))),
        }
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("{target} has no address")))
}

/// Says why there was no handshake, and who it was that there was none with.
fn explain(error: &HandshakeError, address: PeerAddr) -> String {
    match &error.remote {
        Some(remote) => format!("{address} ({}, version {}): {error}", remote.user_agent, remote.version),
        None => format!("{address}: {error}"),
    }
}

/// What was seen of a peer.
struct Report {
    client: Client,
    round_trips: Vec<Duration>,
    addresses: Option<Vec<AddrV2>>,
    headers: Option<Vec<BlockHeader>>,
    genesis: BlockHash,
}

impl Report {
    async fn gather(client: &Client, network: Network) -> anyhow::Result<Self> {
        let genesis = network.genesis_hash();
        let mut round_trips = Vec::with_capacity(PINGS);
        for _ in 0..PINGS {
            if let Response::Pong(round_trip) = client.ask(Request::Ping).await.context("pinged")? {
                round_trips.push(round_trip);
            }
        }
        round_trips.sort_unstable();
        let find_headers = Request::FindHeaders { locator: vec![genesis], stop: None };
        let (peers, headers) = join(client.ask(Request::Peers), client.ask(find_headers)).await;
        let addresses = match answered(peers).context("asked for addresses")? {
            Some(Response::Peers(addresses)) => Some(addresses),
            Some(_) | None => None,
        };
        let headers = match answered(headers).context("asked for headers")? {
            Some(Response::Headers(headers)) => Some(headers),
            Some(_) | None => None,
        };
        Ok(Self { client: client.clone(), round_trips, addresses, headers, genesis })
    }

    fn address(&self) -> String {
        self.client.peer_addr().map_or_else(|| "unknown".to_owned(), |address| address.to_string())
    }

    /// Returns the median round trip in milliseconds, to the microsecond.
    fn median_ms(&self) -> Option<f64> {
        self.round_trips.get(self.round_trips.len() / 2).copied().map(milliseconds)
    }

    fn to_json(&self) -> serde_json::Result<String> {
        let remote = &self.client.info().remote;
        let peers = self.addresses.iter().flatten().map(|entry| entry.address.to_string());
        serde_json::to_string(&Json {
            address: self.address(),
            version: remote.version.0,
            user_agent: remote.user_agent.to_string(),
            services: remote.services.0,
            height: remote.height,
            rtt_ms: self.median_ms(),
            addresses: self.addresses.as_ref().map(Vec::len),
            headers: self.headers.as_ref().map(Vec::len),
            peers: peers.collect(),
        })
    }

    fn to_text(&self) -> String {
        let remote = &self.client.info().remote;
        let round_trips: Vec<_> = self.round_trips.iter().map(|each| format!("{:.2}", milliseconds(*each))).collect();
        let rows = [
            ("address", self.address()),
            ("version", remote.version.to_string()),
            ("user agent", remote.user_agent.to_string()),
            ("services", describe_services(remote.services)),
            ("height", remote.height.to_string()),
            ("round trips", format!("{} ms", round_trips.join(", "))),
            ("addresses", self.describe_addresses()),
            ("headers", self.describe_headers()),
        ];
        rows.iter().fold(String::new(), |text, (name, value)| text + &format!("{name:<12} {value}\n"))
    }

    fn describe_addresses(&self) -> String {
        let Some(addresses) = &self.addresses else { return "no answer".to_owned() };
        let shown: Vec<_> = addresses.iter().take(SHOWN_ADDRESSES).map(|entry| entry.address.to_string()).collect();
        let more = if addresses.len() > shown.len() { ", …" } else { "" };
        let list = if shown.is_empty() { String::new() } else { format!(": {}{more}", shown.join(", ")) };
        format!("{}{list}", addresses.len())
    }

    fn describe_headers(&self) -> String {
        let Some(headers) = &self.headers else { return "no answer".to_owned() };
        let Some(last) = headers.last() else { return "0: it has none after genesis".to_owned() };
        let linked = if is_linked(headers, self.genesis) { "linked to genesis" } else { "NOT linked to genesis" };
        format!("{}, {linked}, the last is {}", headers.len(), last.hash())
    }
}

/// A report as JSON. Where the peer did not answer there is null.
#[derive(Serialize)]
struct Json {
    address: String,
    version: i32,
    user_agent: String,
    services: u64,
    height: i32,
    rtt_ms: Option<f64>,
    /// How many addresses it told.
    addresses: Option<usize>,
    /// How many headers it gave after genesis.
    headers: Option<usize>,
    /// The addresses it told.
    peers: Vec<String>,
}

/// Tells an answer from silence; the end of the connection is an error.
fn answered(result: Result<Response, RequestError>) -> anyhow::Result<Option<Response>> {
    match result {
        Ok(response) => Ok(Some(response)),
        Err(RequestError::TimedOut) => Ok(None),
        Err(error) => bail!(error),
    }
}

fn is_linked(headers: &[BlockHeader], genesis: BlockHash) -> bool {
    let mut parent = genesis;
    headers.iter().all(|header| {
        // A peer that knows no hash of the locator begins with genesis itself.
        let links = header.previous == parent || (parent == genesis && header.hash() == genesis);
        parent = header.hash();
        links
    })
}

fn describe_services(services: Services) -> String {
    let known = [(Services::NODE_NETWORK, "network"), (Services::NODE_BLOOM, "bloom")];
    let names: Vec<_> = known.iter().filter(|(bit, _)| services.contains(*bit)).map(|(_, name)| *name).collect();
    if names.is_empty() { services.to_string() } else { format!("{services} ({})", names.join(", ")) }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}
