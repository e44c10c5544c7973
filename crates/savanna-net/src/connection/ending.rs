//! How a connection ends: who waits is told first, then the peer.

use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, timeout_at};

use savanna_peer::{CloseReason, LocalReason};

use super::{Awaited, Connection};
use crate::HandshakeError;
use crate::client::ABORTED;
use crate::transport::Transport;

/// How long a closed connection may take to send what it still has for its peer. One that nobody uses takes no time.
const LINGER: Duration = Duration::from_secs(1);

impl<T: Transport, S> Connection<T, S> {
    /// Ends a connection whose session has ended.
    pub(super) async fn end(mut self: Box<Self>, reason: CloseReason) {
        let is_unused = reason == CloseReason::Local(LocalReason::Unused);
        self.conclude(reason);
        if self.broken {
            return;
        }
        if is_unused {
            // Nobody cares any more what the peer is told: it gets what the stream takes without waiting.
            let _ = self.say_goodbye().now_or_never();
        } else {
            let _ = timeout_at(Instant::now() + LINGER, self.say_goodbye()).await;
        }
    }

    /// Sends what the session still has for the peer, and ends the stream.
    async fn say_goodbye(&mut self) -> io::Result<()> {
        if self.output.drain(&mut self.session, &mut self.stream, &self.meter).await? {
            // Closing a socket with unread bytes resets it, and the peer would lose what was just sent.
            let mut discarded = [0; 1024];
            while self.stream.read(&mut discarded).await? > 0 {}
        }
        Ok(())
    }
}

impl<T, S> Connection<T, S> {
    /// Tells everyone who waits for anything that nothing more will come.
    fn conclude(&mut self, reason: CloseReason) {
        self.meter.ended(&reason, self.handshake.is_none());
        // The reason comes first: who then finds the queue closed asks for it.
        self.closed.send_replace(Some(reason.clone()));
        self.asks.fail(&reason);
        if let Some(shared) = &self.shared {
            shared.wake_for_room();
        }
        if let Some(Awaited { established, .. }) = self.handshake.take() {
            let _ = established.send(Err(HandshakeError::new(reason, self.session.remote())));
        }
    }
}

impl<T, S> Drop for Connection<T, S> {
    /// Concludes a connection whose task was ended from outside.
    fn drop(&mut self) {
        if self.closed.borrow().is_none() {
            self.conclude(ABORTED);
        }
    }
}
