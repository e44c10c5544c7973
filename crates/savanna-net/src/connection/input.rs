//! The read buffer.

use std::io;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, ReadBuf};

use crate::transport::Transport;

/// The least room for a read, in bytes.
const LEAST: usize = 4 * 1024;

/// The most room that is made at once for bytes not yet announced by bytes received.
const MOST: usize = 32 * 1024;

/// What was read and not yet taken.
///
/// # Security
/// The room for the next read is at most twice what is in the buffer, or [`MOST`], so memory follows the bytes that a peer
/// has sent and never the length it declares. An idle connection holds no buffer.
pub(super) struct Input {
    bytes: BytesMut,
    /// How much room the next read gets: doubles while reads fill it, halves when they do not.
    room: usize,
    at_end: bool,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { bytes: BytesMut::new(), room: LEAST, at_end: false }
    }

    pub(super) const fn bytes(&mut self) -> &mut BytesMut {
        &mut self.bytes
    }

    /// Returns whether the peer has sent its last byte.
    pub(super) const fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Reads once; zero bytes are the end.
    pub(super) fn poll_fill<T: Transport>(&mut self, stream: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (spare, read) = if self.bytes.is_empty() && self.room == LEAST {
            (LEAST, self.poll_little(stream, cx))
        } else {
            self.bytes.reserve(self.room.max(self.bytes.len()));
            let spare = self.bytes.capacity() - self.bytes.len();
            // The future holds nothing between polls, so a new one each time is the same one.
            (spare, pin!(stream.read_buf(&mut self.bytes)).poll(cx))
        };
        if read.is_pending() {
            self.room = LEAST;
            if self.bytes.is_empty() {
                self.bytes = BytesMut::new();
            }
        }
        let count = ready!(read)?;
        self.at_end = count == 0;
        if count == spare {
            self.room = (self.room * 2).min(MOST);
        } else if count < self.room / 4 {
            self.room = (self.room / 2).max(LEAST);
        }
        Poll::Ready(Ok(count))
    }

    /// Reads by way of the stack: most reads of a quiet connection find nothing or a small message, and need no buffer.
    fn poll_little<T: Transport>(&mut self, stream: &mut T, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); LEAST];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(stream).poll_read(cx, &mut room))?;
        self.bytes.extend_from_slice(room.filled());
        Poll::Ready(Ok(room.filled().len()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_buffer_follows_what_is_received_and_goes_when_idle() {
        let (mut ours, mut theirs) = duplex(1 << 20);
        let mut input = Input::new();
        let fill = async |input: &mut Input, ours: &mut _| {
            futures_util::future::poll_fn(|cx| Poll::Ready(input.poll_fill(ours, cx))).await
        };
        assert!(fill(&mut input, &mut ours).await.is_pending());
        assert_eq!(input.bytes.capacity(), 0);

        let sent = vec![7; 300_000];
        theirs.write_all(&sent).await.unwrap();
        while let Poll::Ready(count) = fill(&mut input, &mut ours).await {
            assert!(count.unwrap() > 0);
            assert!(input.bytes.capacity() <= (2 * input.bytes.len()).max(MOST) + LEAST);
        }
        assert_eq!(input.bytes, sent);

        input.bytes.clear();
        assert!(fill(&mut input, &mut ours).await.is_pending());
        assert_eq!((input.bytes.capacity(), input.room), (0, LEAST));
        drop(theirs);
        assert!(matches!(fill(&mut input, &mut ours).await, Poll::Ready(Ok(0))));
        assert!(input.is_at_end());
    }
}
