//! Dialling through a SOCKS5 proxy (RFC 1928, RFC 1929).

use std::io;
use std::net::{IpAddr, SocketAddr};

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use savanna_wire::{Host, PeerAddr};

use crate::{overlay, random};

const VERSION: u8 = 5;
const AUTH_VERSION: u8 = 1;
const NO_AUTH: u8 = 0;
const USER_PASS: u8 = 2;
const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const DOMAIN: u8 = 3;
const IPV6: u8 = 4;

/// A SOCKS5 proxy, such as Tor's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    /// Whether each connection is made under a user name of its own, which Tor takes as a wish for a circuit of its own.
    ///
    /// # Security
    /// Without it, peers that watch the exits can link this node's connections with each other.
    pub isolate: bool,
}

/// Why a proxy did not connect us.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy itself cannot be reached.
    #[error("the proxy cannot be reached: {0}")]
    Unreachable(io::Error),
    /// The connection to the proxy failed half-way.
    #[error("the connection to the proxy failed: {0}")]
    Io(#[from] io::Error),
    /// What listens there does not speak SOCKS5.
    #[error("what listens there is no SOCKS5 proxy")]
    NotSocks5,
    /// The proxy wants another authentication than the one offered.
    #[error("the proxy wants to know who we are, in a way that is not offered")]
    Authentication,
    /// The proxy could not, or would not, reach the peer.
    #[error("the proxy did not connect: {} (reply {_0})", reply(*.0))]
    Refused(u8),
}

/// Says what a reply code means (RFC 1928, section 6).
const fn reply(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "for a reason of its own",
    }
}

impl Proxy {
    /// Has the proxy at the other end of `stream` connect to `peer`; from then on the stream is the peer's.
    pub(crate) async fn open<T>(&self, stream: &mut T, peer: PeerAddr) -> Result<(), ProxyError>
    where
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let method = if self.isolate { USER_PASS } else { NO_AUTH };
        stream.write_all(&[VERSION, 1, method]).await?;
        match read::<2, T>(stream).await? {
            [VERSION, chosen] if chosen == method => {}
            [VERSION, _] => return Err(ProxyError::Authentication),
            _ => return Err(ProxyError::NotSocks5),
        }
        if self.isolate {
            authenticate(stream).await?;
        }
        stream.write_all(&connect_request(peer)).await?;
        match read::<4, T>(stream).await? {
            [VERSION, 0, _, kind] => skip_address(stream, kind).await,
            [VERSION, code, ..] => Err(ProxyError::Refused(code)),
            _ => Err(ProxyError::NotSocks5),
        }
    }
}

/// Names ourselves at random: the proxy only has to tell the names apart.
async fn authenticate<T: AsyncRead + AsyncWrite + Unpin>(stream: &mut T) -> Result<(), ProxyError> {
    let name = overlay::base32(&random::bytes::<10>());
    let mut request = vec![AUTH_VERSION];
    for part in [&name, &name] {
        // Ten bytes are sixteen letters.
        request.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
        request.extend_from_slice(part.as_bytes());
    }
    stream.write_all(&request).await?;
    match read::<2, T>(stream).await? {
        [AUTH_VERSION, 0] => Ok(()),
        _ => Err(ProxyError::Authentication),
    }
}

fn connect_request(peer: PeerAddr) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match peer.host {
        Host::V4(ip) => push_ip(&mut request, ip.into()),
        Host::V6(ip) => push_ip(&mut request, ip.get().into()),
        Host::Cjdns(ip) => push_ip(&mut request, ip.get().into()),
        Host::TorV3(key) => push_name(&mut request, &overlay::onion_name(&key)),
        Host::I2p(hash) => push_name(&mut request, &overlay::i2p_name(&hash)),
    }
    request.extend_from_slice(&peer.port.to_be_bytes());
    request
}

fn push_ip(request: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            request.push(IPV4);
            request.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            request.push(IPV6);
            request.extend_from_slice(&ip.octets());
        }
    }
}

fn push_name(request: &mut Vec<u8>, name: &str) {
    request.push(DOMAIN);
    // The names of overlay hosts have 60 and 62 bytes.
    request.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    request.extend_from_slice(name.as_bytes());
}

/// Passes over the address under which the proxy connected.
async fn skip_address<T: AsyncRead + Unpin>(stream: &mut T, kind: u8) -> Result<(), ProxyError> {
    let host = match kind {
        IPV4 => 4,
        IPV6 => 16,
        DOMAIN => usize::from(stream.read_u8().await?),
        _ => return Err(ProxyError::NotSocks5),
    };
    let mut address = [0; u8::MAX as usize + 2];
    stream.read_exact(&mut address[..host + 2]).await?;
    Ok(())
}

async fn read<const N: usize, T: AsyncRead + Unpin>(stream: &mut T) -> Result<[u8; N], ProxyError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const OPEN: Proxy =
        Proxy { address: SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9050), isolate: false };

    /// Lets a proxy say `script`, whatever it is asked, and returns what it was sent.
    async fn against(proxy: Proxy, script: &[u8], peer: PeerAddr) -> (Result<(), ProxyError>, Vec<u8>) {
        let (mut ours, mut theirs) = duplex(1024);
        theirs.write_all(script).await.unwrap();
        theirs.shutdown().await.unwrap();
        let result = proxy.open(&mut ours, peer).await;
        drop(ours);
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).await.unwrap();
        (result, sent)
    }

    #[tokio::test]
    async fn the_request_is_what_the_rfc_says() {
        let granted = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let (result, sent) = against(OPEN, &granted, "192.0.2.7:8233".parse().unwrap()).await;
        result.unwrap();
        assert_eq!(sent, [5, 1, 0, 5, 1, 0, 1, 192, 0, 2, 7, 0x20, 0x29]);

        let named = [5, 0, 5, 0, 0, 3, 2, b'a', b'b', 0, 0];
        let onion = PeerAddr { host: Host::TorV3([0; 32]), port: 1 };
        let (result, sent) = against(OPEN, &named, onion).await;
        result.unwrap();
        assert_eq!(sent[3..8], [5, 1, 0, 3, 62]);
        assert!(sent.ends_with(b".onion\0\x01"));
    }

    #[tokio::test]
    async fn isolated_connections_have_names_of_their_own() {
        let isolated = Proxy { isolate: true, ..OPEN };
        let granted = [5, 2, 1, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let peer = "[2001:db8::1]:8233".parse().unwrap();
        let (first, one) = against(isolated, &granted, peer).await;
        let (second, other) = against(isolated, &granted, peer).await;
        first.unwrap();
        second.unwrap();
        assert_eq!(one[..5], [5, 1, 2, 1, 16]);
        assert_ne!(one[5..21], other[5..21]);
        assert_eq!(one[38..], other[38..]);
    }

    #[tokio::test]
    async fn refusals_and_strangers_are_told_apart() {
        let peer = "192.0.2.7:8233".parse().unwrap();
        let (refused, _) = against(OPEN, &[5, 0, 5, 5, 0, 1, 0, 0, 0, 0, 0, 0], peer).await;
        assert_eq!(refused.unwrap_err().to_string(), "the proxy did not connect: connection refused (reply 5)");
        let (extended, _) = against(OPEN, &[5, 0, 5, 0xf0, 0, 1, 0, 0, 0, 0, 0, 0], peer).await;
        let unknown = "the proxy did not connect: for a reason of its own (reply 240)";
        assert_eq!(extended.unwrap_err().to_string(), unknown);
        let (unauthorized, _) = against(OPEN, &[5, 0xff], peer).await;
        assert!(matches!(unauthorized, Err(ProxyError::Authentication)));
        let (web, _) = against(OPEN, b"HTTP/1.1 400", peer).await;
        assert!(matches!(web, Err(ProxyError::NotSocks5)));
        for cut in 0..12 {
            let granted = [5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0];
            let (short, _) = against(OPEN, &granted[..cut], peer).await;
            assert!(matches!(short, Err(ProxyError::Io(_))), "cut at {cut}");
        }
    }
}
