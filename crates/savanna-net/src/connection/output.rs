//! What is on its way into the stream.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWriteExt;

use savanna_peer::Session;

use crate::traffic::Meter;
use crate::transport::Transport;

/// The most pieces given to the system at once.
const PIECES: usize = 16;

/// The length in bytes from which no further piece is taken from the session.
const ENOUGH: usize = 64 * 1024;

/// Pieces taken from the session and not yet by the stream: no more than one write takes, so that what a peer does not read
/// stays in the session, which counts it.
pub(super) struct Output {
    pieces: VecDeque<Bytes>,
    length: usize,
    unflushed: bool,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self { pieces: VecDeque::new(), length: 0, unflushed: false }
    }

    /// Writes once; zero says that there is nothing to write.
    pub(super) fn poll_write<T: Transport>(
        &mut self,
        session: &mut Session,
        stream: &mut T,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        while self.pieces.len() < PIECES
            && self.length < ENOUGH
            && let Some(piece) = session.poll_transmit()
        {
            self.push(piece);
        }
        if self.pieces.is_empty() {
            if self.unflushed {
                ready!(Pin::new(stream).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Ready(Ok(0));
        }
        let mut slices = [IoSlice::new(&[]); PIECES];
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
        }
        let used = self.pieces.len().min(PIECES);
        let count = ready!(Pin::new(stream).poll_write_vectored(cx, &slices[..used]))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(count);
        self.unflushed = true;
        Poll::Ready(Ok(count))
    }

    /// Writes all that there is, ends the stream, and returns whether there was anything. What is written is counted as it goes:
    /// the peer may not read it to the end.
    pub(super) async fn drain<T: Transport>(
        &mut self,
        session: &mut Session,
        stream: &mut T,
        meter: &Meter,
    ) -> io::Result<bool> {
        let mut is_any = false;
        while let Some(mut piece) = self.pieces.pop_front().or_else(|| session.poll_transmit()) {
            while piece.has_remaining() {
                let count = stream.write_buf(&mut piece).await?;
                if count == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                meter.sent(count);
                is_any = true;
            }
        }
        stream.shutdown().await?;
        Ok(is_any)
    }

    fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.length += piece.len();
            self.pieces.push_back(piece);
        }
    }

    fn advance(&mut self, mut count: usize) {
        self.length -= count;
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
    }
}
