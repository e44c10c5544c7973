//! A network to be surveyed: peers by the thousand, each at an address of its own, in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Result, bail};
use bytes::BytesMut;
use savanna_wire::{AddrV1, Bounded, Decoded, Decoder, Message, Services, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::chain::NETWORK;
use crate::farm::{VERSION, unix_now, version};

/// How many addresses a peer tells: what Zebra tells at most.
const TOLD: usize = 1_000;

/// How the peers of a network are made up.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Network {
    /// Peers that answer.
    pub(crate) live: usize,
    /// Peers that hang up at once.
    pub(crate) closing: usize,
    /// Peers that accept and say nothing.
    pub(crate) silent: usize,
}

/// Listens for all of them; returns their addresses, the live ones first. They serve until the runtime ends.
pub(crate) async fn start(network: Network) -> Result<Arc<Vec<SocketAddr>>> {
    let mut listeners = Vec::new();
    for _ in 0..network.live + network.closing + network.silent {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?);
    }
    let addresses = listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>()?;
    let addresses = Arc::new(addresses);
    for (number, listener) in listeners.into_iter().enumerate() {
        let all = Arc::clone(&addresses);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if number < network.live {
                    tokio::spawn(serve(stream, number, Arc::clone(&all)));
                } else if number >= network.live + network.closing {
                    tokio::spawn(swallow(stream));
                }
            }
        });
    }
    Ok(addresses)
}

async fn swallow(mut stream: TcpStream) -> Result<()> {
    while stream.read_buf(&mut BytesMut::with_capacity(1_024)).await? > 0 {}
    Ok(())
}

async fn serve(mut stream: TcpStream, number: usize, all: Arc<Vec<SocketAddr>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut decoder, mut buffer) = (Decoder::new(NETWORK.magic()), BytesMut::new());
    loop {
        while let Some(decoded) = decoder.decode(&mut buffer)? {
            let Decoded::Message(message) = decoded else { bail!("a frame that is none") };
            let answer = match message {
                Message::Version(_) => [Message::Version(version(7)), Message::Verack].to_vec(),
                Message::Verack => {
                    decoder.complete_handshake(VERSION);
                    continue;
                }
                Message::Ping(nonce) => vec![Message::Pong(nonce)],
                Message::GetAddr => vec![Message::Addr(Bounded::truncated(told(number, &all)))],
                Message::GetHeaders(_) => vec![Message::Headers(Bounded::default())],
                _ => continue,
            };
            let frames: Vec<u8> = answer.iter().flat_map(|each| encode(each, NETWORK.magic()).concat()).collect();
            stream.write_all(&frames).await?;
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// A part of the network, spread over all of it: that of the next peer begins one further on, so all parts together are all.
fn told(number: usize, all: &[SocketAddr]) -> Vec<AddrV1> {
    let step = all.len() / TOLD.min(all.len());
    let entry = |at: usize| AddrV1 {
        time: unix_now(),
        services: Services::NODE_NETWORK,
        address: all[(number + 1 + at * step.max(1)) % all.len()],
    };
    (0..TOLD.min(all.len())).map(entry).collect()
}
