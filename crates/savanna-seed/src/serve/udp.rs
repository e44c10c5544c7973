//! Questions that come as datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use tokio::net::UdpSocket;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::Shared;
use super::answer::{LARGEST_DATAGRAM, slipped};
use super::counts::Transport;
use super::counts::one_more;
use super::either::answer as answered;
use crate::limit::Verdict;

/// How many datagrams are answered until other tasks have their turn.
const BATCH: usize = 64;

/// How long reading rests after the system failed at it.
const REST: Duration = Duration::from_millis(20);

/// The largest question that is read: what is cut off is malformed.
const LARGEST_QUESTION: usize = 4096;

/// Answers for as long as it is let.
pub(crate) async fn answer(socket: UdpSocket, shared: Arc<Shared>) {
    let mut packet = vec![0; LARGEST_QUESTION].into_boxed_slice();
    let mut out = Vec::with_capacity(usize::from(LARGEST_DATAGRAM));
    let mut picks = shared.zones.picks();
    loop {
        let ready = socket.readable().await;
        if ready.is_err() || batch(&socket, &shared, &mut packet, &mut out, &mut picks).is_err() {
            sleep(REST).await;
        }
        yield_now().await;
    }
}

/// Answers what is there, up to a bound.
///
/// # Errors
/// [`io::Error`] if the system failed at reading; that nothing is there is none.
fn batch(
    socket: &UdpSocket,
    shared: &Shared,
    packet: &mut [u8],
    out: &mut Vec<u8>,
    picks: &mut ChaCha8Rng,
) -> io::Result<()> {
    let now = shared.began.elapsed();
    let counters = shared.zones.counters();
    for _ in 0..BATCH {
        let (len, from) = match socket.try_recv_from(packet) {
            Ok(received) => received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        if !may_be_answered(from) {
            one_more(&counters.ignored);
            continue;
        }
        let packet = &packet[..len];
        match shared.limiter.take(from.ip(), now) {
            Verdict::Answered => match answered(&shared.zones, packet, Transport::Udp, picks.next_u64(), out) {
                Some(said) => counters.answered(said, Transport::Udp),
                None => {
                    one_more(&counters.ignored);
                    continue;
                }
            },
            Verdict::Slipped if slipped(packet, out) => one_more(&counters.slipped),
            Verdict::Slipped | Verdict::Dropped => {
                one_more(&counters.limited);
                continue;
            }
        }
        // The asker asks again; waiting for room would let one who takes nothing hold up the others.
        if socket.try_send_to(out, from).is_err() {
            one_more(&counters.unsent);
        }
    }
    Ok(())
}

/// # Security
/// An answer to many, or to port 0, helps nobody but one who wants them flooded.
fn may_be_answered(from: SocketAddr) -> bool {
    let ip = from.ip().to_canonical();
    let broadcast = matches!(ip, std::net::IpAddr::V4(ip) if ip.is_broadcast());
    from.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}
