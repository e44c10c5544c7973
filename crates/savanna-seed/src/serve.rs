//! Answering by DNS: the sockets, the zones behind them, and the renewal of what they say.
//!
//! A question that asks for what was prepared is answered from bytes that are ready; all others are read, decided and
//! written by `hickory-server`, through its [`RequestHandler`](hickory_server::server::RequestHandler). The sockets are
//! ours: the library's own server spawns a task for each datagram, takes TCP connections without a bound, and tells the
//! log who asked.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep};

use crate::limit::{Limiter, Limits};
use crate::zone::SHORTEST_TTL;

pub use counts::{Count, Counts};
pub use zones::{ROLL_LIFE, UpdateError, Zones};

mod answer;
mod counts;
mod either;
mod library;
mod question;
mod tcp;
mod udp;
mod zones;

/// The targets of those libraries' logs that tell who asked what. Nothing of them below WARN belongs into a log; this
/// crate's own targets tell of no client at any level.
pub const TARGETS_THAT_TELL_CLIENTS: [&str; 3] = ["hickory_server", "hickory_net", "hickory_proto"];

/// What the system may hold for us of questions that come while we are busy: bytes.
const RECEIVED_AHEAD: usize = 4 << 20;

/// How often a free port is sought that UDP and TCP can share.
const TRIES: usize = 16;

/// Why the service ended.
#[derive(Debug, Error)]
pub enum ServeError {
    /// A part of it failed.
    #[error("a task of the DNS service failed: {0}")]
    Task(#[from] JoinError),
    /// A part of it ended by itself.
    #[error("a task of the DNS service ended")]
    Ended,
}

/// What all parts of the service share.
#[derive(Debug)]
struct Shared {
    zones: Zones,
    limiter: Limiter,
    limits: Limits,
    began: Instant,
}

/// A service that has its sockets, and answers nobody until it is [served](Self::serve).
#[derive(Debug)]
pub struct Dns {
    shared: Arc<Shared>,
    sockets: Vec<(UdpSocket, TcpListener)>,
}

impl Dns {
    /// Takes the addresses, each for UDP and TCP. With port 0 the system chooses one, the same for both.
    ///
    /// An IPv6 address takes no IPv4 questions, so that both unspecified addresses can be taken. On a machine with
    /// several addresses each should be named: the answer to a question at an unspecified address leaves from the one that
    /// the system prefers.
    ///
    /// `seed` decides which prefixes share a place in the table of limits, and must not be known to others.
    ///
    /// # Errors
    /// [`io::Error`] if an address is taken, or not ours to take; or if none is given.
    ///
    /// # Panics
    /// Outside of a tokio runtime, like all that makes its sockets.
    pub fn bind(addresses: &[SocketAddr], zones: Zones, limits: Limits, seed: u64) -> io::Result<Self> {
        if addresses.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no address to answer DNS at"));
        }
        let sockets = addresses.iter().map(|address| both(*address)).collect::<io::Result<_>>()?;
        let limiter = Limiter::new(&limits, seed);
        Ok(Self { shared: Arc::new(Shared { zones, limiter, limits, began: Instant::now() }), sockets })
    }

    /// Returns the addresses that are served.
    ///
    /// # Errors
    /// [`io::Error`] if the system does not say.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets.iter().map(|(udp, _)| udp.local_addr()).collect()
    }

    /// Answers until `stop` is done, and draws and signs anew each TTL.
    ///
    /// # Errors
    /// [`ServeError`] if a part of it failed: then nothing is answered any more.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), ServeError> {
        let mut tasks = JoinSet::new();
        for (udp, tcp) in self.sockets {
            tasks.spawn(udp::answer(udp, Arc::clone(&self.shared)));
            tasks.spawn(tcp::answer(tcp, Arc::clone(&self.shared)));
        }
        tasks.spawn(renew(self.shared.zones.clone()));
        // Dropping the set ends what is left of it.
        tokio::select! {
            () = stop => Ok(()),
            ended = tasks.join_next() => match ended {
                Some(Err(error)) => Err(error.into()),
                Some(Ok(())) | None => Err(ServeError::Ended),
            },
        }
    }
}

/// Renews the zones that are due, looking as often as the shortest TTL may ask for.
async fn renew(zones: Zones) {
    loop {
        sleep(Duration::from_secs(u64::from(SHORTEST_TTL)) / 4).await;
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(now) => zones.renew(now.as_secs()).await,
            Err(_) => tracing::error!("the clock is before 1970: nothing can be signed"),
        }
    }
}

fn both(address: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = 1;
    loop {
        let udp = datagrams(address)?;
        let same = SocketAddr::new(address.ip(), udp.local_addr()?.port());
        match streams(same) {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) if address.port() == 0 && error.kind() == io::ErrorKind::AddrInUse && tries < TRIES => {
                tries += 1
            }
            Err(error) => return Err(error),
        }
    }
}

fn datagrams(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A hint: the system gives as much as it allows.
    socket.set_recv_buffer_size(RECEIVED_AHEAD)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

fn streams(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // So that a service that is started again need not wait for connections of the last one to be forgotten.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(256)?;
    TcpListener::from_std(socket.into())
}
