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
use super::counts::Transport;
use super::counts::one_more;
use super::either::answer as answered;
use crate::limit::{Limits, Prefix, Wide};

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
        let Some(place) = places.take(Prefix::of(from.ip()), &shared.limits) else {
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
struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_prefix: BTreeMap<Prefix, usize>,
    of_network: BTreeMap<Wide, usize>,
}

impl Places {
    /// # Security
    /// One owner has thousands of prefixes in a row: by its network too, or he alone would have all places.
    fn take(self: &Arc<Self>, prefix: Prefix, limits: &Limits) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_prefix = taken.of_prefix.get(&prefix).copied().unwrap_or(0);
        let of_network = taken.of_network.get(&Wide::of(prefix)).copied().unwrap_or(0);
        let is_full = taken.all >= limits.connections
            || of_prefix >= limits.connections_of_prefix
            || of_network >= limits.connections_of_network;
        if is_full {
            return None;
        }
        taken.all += 1;
        taken.of_prefix.insert(prefix, of_prefix + 1);
        taken.of_network.insert(Wide::of(prefix), of_network + 1);
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
        taken.all -= 1;
        one_less(&mut taken.of_prefix, self.prefix);
        one_less(&mut taken.of_network, Wide::of(self.prefix));
    }
}

fn one_less<P: Ord>(counts: &mut BTreeMap<P, usize>, of: P) {
    if let Some(count) = counts.get_mut(&of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&of);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn adversary_23_one_owner_does_not_take_all_places() {
        let (places, limits) = (Arc::new(Places::default()), Limits::default());
        let take = |ip: String| places.take(Prefix::of(ip.parse::<IpAddr>().unwrap()), &limits);
        let of_one: Vec<_> =
            (0..600).filter_map(|each| take(format!("2a01:4f8:1:{:x}::1", each << 8 & 0xff00))).collect();
        let of_another: Vec<_> = (0..600).filter_map(|each| take(format!("60.9.{}.1", each % 256))).collect();
        assert_eq!((of_one.len(), of_another.len()), (64, 64));
        assert!(take("2a01:4f8:2::1".to_owned()).is_some() && take("60.10.0.1".to_owned()).is_some());
        drop((of_one, of_another));
        assert!(take("60.9.0.1".to_owned()).is_some(), "places are given back");
        let taken = places.0.lock().unwrap();
        assert_eq!((taken.all, taken.of_prefix.len(), taken.of_network.len()), (0, 0, 0));
    }
}
