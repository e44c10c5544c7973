//! A line between two nodes: it delays, loses what has to be sent again, carries only so much, and can be cut for a while.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use savanna_net::Transport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// How many bytes are on their way at most, as a socket's buffers hold.
const CAPACITY: usize = 256 * 1024;

/// How long it takes to notice that something was lost; it doubles with each loss of the same.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// What a line is like.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quality {
    /// How long the way is.
    pub(crate) latency: Duration,
    /// How many writes of a thousand are lost once.
    pub(crate) loss: u32,
    /// How many bytes go through in a second.
    pub(crate) rate: u64,
    /// It breaks once so many bytes went one way.
    pub(crate) breaks_after: u64,
}

/// A hold on a line, by which it is cut and joined.
#[derive(Debug, Clone)]
pub(crate) struct Line([Arc<Mutex<Way>>; 2]);

/// One end of a line.
#[derive(Debug)]
pub(crate) struct End {
    incoming: Arc<Mutex<Way>>,
    outgoing: Arc<Mutex<Way>>,
    /// Wakes the reader when the next bytes arrive.
    alarm: Option<Pin<Box<Sleep>>>,
}

/// One direction.
#[derive(Debug)]
struct Way {
    quality: Quality,
    rng: ChaCha8Rng,
    /// What is on its way, and when it arrives.
    pieces: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    /// How many bytes went this way.
    carried: u64,
    /// When the last of it arrives: nothing overtakes.
    last: Option<Instant>,
    is_cut: bool,
    is_closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Line {
    /// Makes a line and its two ends.
    pub(crate) fn new(quality: Quality, rngs: [ChaCha8Rng; 2]) -> (Self, [End; 2]) {
        let [there, back] = rngs.map(|rng| {
            Arc::new(Mutex::new(Way {
                quality,
                rng,
                pieces: VecDeque::new(),
                bytes: 0,
                carried: 0,
                last: None,
                is_cut: false,
                is_closed: false,
                reader: None,
                writer: None,
            }))
        });
        let end = |incoming: &Arc<Mutex<Way>>, outgoing: &Arc<Mutex<Way>>| End {
            incoming: Arc::clone(incoming),
            outgoing: Arc::clone(outgoing),
            alarm: None,
        };
        let ends = [end(&back, &there), end(&there, &back)];
        (Self([there, back]), ends)
    }

    /// Lets nothing arrive until it is joined. Nobody is told.
    pub(crate) fn cut(&self) {
        self.0.iter().for_each(|way| lock(way).is_cut = true);
    }

    /// Returns whether either end is gone.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.iter().any(|way| lock(way).is_closed)
    }

    /// Lets what was held up arrive.
    pub(crate) fn join(&self) {
        for way in &self.0 {
            let mut way = lock(way);
            way.is_cut = false;
            way.wake();
        }
    }
}

impl Way {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }

    /// Returns when a piece of so many bytes arrives that leaves now.
    fn arrival(&mut self, length: usize) -> Instant {
        let Quality { latency, loss, rate, .. } = self.quality;
        let mut late = Duration::ZERO;
        let mut again = RETRANSMISSION;
        while self.rng.next_u32() % 1000 < loss {
            late += again;
            again *= 2;
        }
        let jitter = latency * (self.rng.next_u32() % 64) / 256;
        let taken = Duration::from_nanos(length as u64 * 1_000_000_000 / rate);
        let now = Instant::now();
        let first = self.last.map_or(now, |last| last.max(now));
        first.max(now + latency + jitter + late) + taken
    }
}

fn lock(way: &Arc<Mutex<Way>>) -> MutexGuard<'_, Way> {
    way.lock().unwrap()
}

impl Transport for End {}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let incoming = Arc::clone(&self.incoming);
        let mut way = lock(&incoming);
        way.reader = Some(cx.waker().clone());
        if way.is_cut {
            return Poll::Pending;
        }
        let Some(&(at, _)) = way.pieces.front() else {
            return if way.is_closed { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        if at > Instant::now() {
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(at)));
            alarm.as_mut().reset(at);
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        let Some((at, mut piece)) = way.pieces.pop_front() else { return Poll::Pending };
        let length = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..length]);
        if length < piece.len() {
            way.pieces.push_front((at, piece.split_off(length)));
        }
        way.bytes -= length;
        way.writer.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut way = lock(&self.outgoing);
        if way.is_closed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = CAPACITY.saturating_sub(way.bytes);
        if room == 0 {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let length = bytes.len().min(room);
        way.carried += length as u64;
        if way.carried > way.quality.breaks_after {
            way.is_closed = true;
            way.pieces.clear();
            way.wake();
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let at = way.arrival(length);
        way.last = Some(at);
        way.bytes += length;
        way.pieces.push_back((at, bytes[..length].to_vec()));
        way.reader.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut way = lock(&self.outgoing);
        way.is_closed = true;
        way.wake();
        Poll::Ready(Ok(()))
    }
}

impl Drop for End {
    fn drop(&mut self) {
        for way in [&self.incoming, &self.outgoing] {
            let mut way = lock(way);
            way.is_closed = true;
            way.wake();
        }
    }
}
