//! Questions that come by TCP: from those whose answer did not fit into a datagram, or who were asked to prove where they are.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand_chacha::rand_core::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Shared;
use super::answer::{Transport, answer as answered};
use super::counts::one_more;
use crate::limit::Prefix;

/// The largest question that is read. An asker with a larger one is cut off.
const LARGEST_QUESTION: usize = 4096;

/// How long accepting rests when the system has no descriptors left.
const REST: Duration = Duration::from_millis(20);

/// Accepts for as long as it is let.
///
/// # Security
/// Connections beyond the bounds are closed before a byte of them is read; a question, and the taking of an answer, have
/// deadlines that single bytes do not put off.
pub(crate) async fn answer(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Places::default());
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, from)) = listener.accept().await else {
            sleep(REST).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let Some(place) = places.take(Prefix::of(from.ip()), &shared) else {
            one_more(&shared.zones.counters().connections_refused);
            continue;
        };
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            // How a connection ended matters to nobody.
            let _ended = converse(stream, &shared).await;
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let counters = shared.zones.counters();
    let mut picks = shared.zones.picks();
    let mut out = Vec::new();
    let mut framed = Vec::new();
    for _ in 0..shared.limits.questions {
        let packet = timeout(shared.limits.idle, question(&mut stream)).await??;
        let Some(said) = answered(&shared.zones, &packet, Transport::Tcp, picks.next_u64(), &mut out) else {
            one_more(&counters.ignored);
            return Ok(());
        };
        counters.answered(said, Transport::Tcp);
        let len = u16::try_from(out.len()).map_err(io::Error::other)?;
        framed.clear();
        framed.extend_from_slice(&len.to_be_bytes());
        framed.extend_from_slice(&out);
        timeout(shared.limits.idle, stream.write_all(&framed)).await??;
    }
    Ok(())
}

async fn question(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = usize::from(stream.read_u16().await?);
    if len > LARGEST_QUESTION {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut packet = vec![0; len];
    stream.read_exact(&mut packet).await?;
    Ok(packet)
}

/// Who has how many connections.
#[derive(Debug, Default)]
struct Places(Mutex<BTreeMap<Prefix, usize>>);

impl Places {
    fn take(self: &Arc<Self>, prefix: Prefix, shared: &Shared) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = taken.values().sum();
        let of_prefix = taken.get(&prefix).copied().unwrap_or(0);
        if all >= shared.limits.connections || of_prefix >= shared.limits.connections_of_prefix {
            return None;
        }
        taken.insert(prefix, of_prefix + 1);
        Some(Place { places: Arc::clone(self), prefix })
    }
}

/// A connection's place, given back when it is dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    prefix: Prefix,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.prefix) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.prefix);
            }
        }
    }
}
