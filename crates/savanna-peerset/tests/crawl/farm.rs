//! Peers on loopback, good and bad.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::BytesMut;
use savanna_net::{Clock, Handshake, HandshakeRequest, Network, NodeConfig, Route, Tasks};
use savanna_peer::{Direction, Request, Response};
use savanna_wire::{
    AddrV1, AddrV2, Bounded, Decoded, Decoder, Message, ProtocolVersion, Services, UserAgent, Version, VersionAddr,
    encode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tower::{Service, service_fn};

/// How many addresses a peer tells at once.
const TOLD: usize = 60;

/// What a raw peer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Hangs up at once.
    HangsUp,
    /// Says nothing.
    SaysNothing,
    /// Sends `version`, and hangs up.
    OnlyVersion,
    /// Pushes addresses as soon as it may, answers pings, and tells none when asked.
    Pushes,
    /// Tells addresses seconds after it was asked, as zcashd does.
    TellsLate,
}

/// Peers, and how often each was connected to.
pub(crate) struct Farm {
    tasks: Tasks,
    addresses: Arc<OnceLock<Vec<SocketAddr>>>,
    connections: Arc<Vec<Visits>>,
}

/// How often a peer was connected to, and how often at once.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    pub(crate) total: AtomicUsize,
    now: AtomicUsize,
    pub(crate) most: AtomicUsize,
}

impl Farm {
    /// Starts peers that tell each a part of the others, and raw ones; all are told of.
    pub(crate) async fn start(good: usize, raw: &[Habit]) -> Self {
        let (tasks, addresses) = (Tasks::new(), Arc::new(OnceLock::new()));
        let connections: Arc<Vec<Visits>> = Arc::new((0..good + raw.len()).map(|_| Visits::default()).collect());
        let farm = Self { tasks, addresses, connections };
        let mut bound = Vec::new();
        for number in 0..good + raw.len() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            bound.push(listener.local_addr().unwrap());
            match number.checked_sub(good) {
                None => farm.serve(number, listener),
                Some(at) => farm.misbehave(number, listener, raw[at]),
            }
        }
        farm.addresses.set(bound).unwrap();
        farm
    }

    pub(crate) fn address(&self, number: usize) -> SocketAddr {
        self.addresses.get().unwrap()[number]
    }

    pub(crate) fn visits(&self) -> &[Visits] {
        &self.connections
    }

    fn serve(&self, number: usize, listener: TcpListener) {
        let mut config = NodeConfig::new(Network::Regtest);
        config.session.services = Services::NODE_NETWORK;
        config.session.height = u32::try_from(number).unwrap();
        let addresses = Arc::clone(&self.addresses);
        let service = service_fn(move |request| {
            let all = addresses.get().unwrap();
            let told = (0..TOLD).map(|step| all[(number + 1 + step * step) % all.len()]);
            let entry = |address: SocketAddr| AddrV2 {
                time: 1_800_000_000,
                services: Services::NODE_NETWORK,
                address: address.into(),
            };
            let response = match request {
                Request::Peers => Response::Peers(told.map(entry).collect()),
                _ => Response::Nil,
            };
            ready(Ok::<_, Infallible>(response))
        });
        let mut handshake = Handshake::new(config, service, Clock::start(), self.tasks.spawner());
        let connections = Arc::clone(&self.connections);
        let spawner = self.tasks.spawner();
        self.tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let visit = Visit::begin(&connections, number);
                let shaking = handshake.call(HandshakeRequest {
                    stream,
                    direction: Direction::Inbound,
                    peer: None,
                    route: Route::Direct,
                    slot: None,
                });
                spawner.spawn(async move {
                    let _visit = visit;
                    if let Ok(client) = shaking.await {
                        client.closed().await;
                    }
                });
            }
        });
    }

    fn misbehave(&self, number: usize, listener: TcpListener, habit: Habit) {
        let connections = Arc::clone(&self.connections);
        let addresses = Arc::clone(&self.addresses);
        let spawner = self.tasks.spawner();
        self.tasks.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let visit = Visit::begin(&connections, number);
                let pushed = addresses.get().unwrap().clone();
                spawner.spawn(async move {
                    let _visit = visit;
                    let _ = act(stream, habit, &pushed).await;
                });
            }
        });
    }
}

struct Visit {
    connections: Arc<Vec<Visits>>,
    number: usize,
}

impl Visit {
    fn begin(connections: &Arc<Vec<Visits>>, number: usize) -> Self {
        let Visits { total, now, most } = &connections[number];
        total.fetch_add(1, Ordering::Relaxed);
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        Self { connections: Arc::clone(connections), number }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.connections[self.number].now.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn act(mut stream: TcpStream, habit: Habit, pushed: &[SocketAddr]) -> io::Result<()> {
    match habit {
        Habit::HangsUp => return Ok(()),
        Habit::SaysNothing => return stream.read_to_end(&mut Vec::new()).await.map(|_| ()),
        Habit::OnlyVersion => {
            stream.read_u8().await?;
            return stream.write_all(&frames(&[Message::Version(version(170_190))])).await;
        }
        Habit::Pushes | Habit::TellsLate => {}
    }
    let mut asked = 0;
    let mut decoder = Decoder::new(Network::Regtest.magic());
    let mut buffer = BytesMut::new();
    loop {
        while let Some(decoded) = decoder.decode(&mut buffer).map_err(io::Error::other)? {
            match decoded {
                Decoded::Message(Message::Version(_)) => {
                    decoder.complete_handshake(ProtocolVersion(170_190));
                    let mut said = vec![Message::Version(version(170_190)), Message::Verack];
                    if habit == Habit::Pushes {
                        said.push(addresses(pushed));
                    } else if let Message::Version(version) = &mut said[0] {
                        version.user_agent = UserAgent::new(*b"/MagicBean:6.2.0/").unwrap();
                    }
                    stream.write_all(&frames(&said)).await?;
                }
                Decoded::Message(Message::GetAddr) if habit == Habit::TellsLate => {
                    asked += 1;
                    // Each further question comes when the one before has waited for two seconds.
                    if asked == 3 {
                        stream.write_all(&frames(&[addresses(pushed)])).await?;
                    }
                }
                Decoded::Message(Message::Ping(nonce)) => stream.write_all(&frames(&[Message::Pong(nonce)])).await?,
                Decoded::Message(_) | Decoded::Dropped { .. } => {}
            }
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

fn addresses(told: &[SocketAddr]) -> Message {
    let entry = |address: &SocketAddr| AddrV1 { time: 0, services: Services::NONE, address: *address };
    Message::Addr(Bounded::truncated(told.iter().map(entry).collect()))
}

fn frames(messages: &[Message]) -> Vec<u8> {
    messages.iter().flat_map(|message| encode(message, Network::Regtest.magic()).concat()).collect()
}

fn version(version: i32) -> Version {
    Version {
        version: ProtocolVersion(version),
        services: Services::NODE_NETWORK,
        time: 0,
        receiver: VersionAddr::UNSPECIFIED,
        sender: VersionAddr::UNSPECIFIED,
        nonce: 1,
        user_agent: UserAgent::new(*b"/Raw:\x1b[31m/").unwrap(),
        height: -5,
        relay: false,
    }
}
