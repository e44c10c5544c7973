//! What a connection runs over.

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::TcpStream;

/// A stream of bytes to a peer and back.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// Has what was read acknowledged at once, if the stream can.
    fn acknowledge(&self) {}
}

impl Transport for TcpStream {
    /// Sets `TCP_QUICKACK`, which the system resets by itself. Zebra leaves Nagle's algorithm on, so its second small write
    /// waits for the acknowledgement of its first: 41 ms without this.
    fn acknowledge(&self) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Err(error) = self.set_quickack(true) {
            tracing::trace!(%error, "no quick acknowledgement");
        }
    }
}

impl Transport for DuplexStream {}
