//! The physical limit: sockets, and nothing that is looked at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use savanna_wire::{BlockHash, Bounded, Inventory, Message, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Fetched, Pings, median_micros};
use crate::chain::NETWORK;
use crate::farm::{self, MessageReader};
use crate::measure::Stopwatch;

/// How many blocks one message asks for, and how many such messages are under way.
const BATCH: usize = 16;
const PIPELINED: usize = 3;

/// The bytes before each payload.
const FRAME_HEADER: usize = 24;

/// Receives blocks with one thread a peer, each an equal part of them.
pub(super) fn fetch(hashes: &[BlockHash], peers: &[SocketAddr]) -> Result<Fetched> {
    let streams = peers.iter().map(|peer| {
        let stream = TcpStream::connect(peer)?;
        stream.set_nodelay(true)?;
        farm::greet(&stream, &mut MessageReader::new(stream.try_clone()?))?;
        anyhow::Ok(stream)
    });
    let streams = streams.collect::<Result<Vec<_>>>()?;
    let watch = Stopwatch::start();
    let parts = hashes.chunks(hashes.len().div_ceil(peers.len()));
    thread::scope(|scope| {
        let parts: Vec<_> =
            parts.zip(streams).map(|(part, stream)| scope.spawn(move || receive(part, stream))).collect();
        parts.into_iter().try_for_each(|part| part.join().map_err(|_| anyhow!("a receiver panicked"))?)
    })?;
    Ok(Fetched::new(watch.spent(), hashes.len()))
}

fn receive(hashes: &[BlockHash], mut stream: TcpStream) -> Result<()> {
    let mut asks = hashes.chunks(BATCH);
    let mut ask = |stream: &mut TcpStream| -> Result<()> {
        let Some(hashes) = asks.next() else { return Ok(()) };
        let items = hashes.iter().map(|hash| Inventory::Block(*hash)).collect();
        let message = Message::GetData(Bounded::truncated(items));
        Ok(stream.write_all(&encode(&message, NETWORK.magic()).concat())?)
    };
    for _ in 0..PIPELINED {
        ask(&mut stream)?;
    }
    let mut buffer = vec![0; 256 * 1024];
    // What is left of a payload, and the part of a frame header that has come.
    let (mut payload, mut header, mut received) = (0_usize, Vec::with_capacity(FRAME_HEADER), 0_usize);
    while received < hashes.len() {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the farm hung up");
        let mut rest = &buffer[..count];
        while !rest.is_empty() {
            if payload == 0 {
                let taken = rest.len().min(FRAME_HEADER - header.len());
                header.extend_from_slice(&rest[..taken]);
                rest = &rest[taken..];
                if header.len() == FRAME_HEADER {
                    payload = u32::from_le_bytes([header[16], header[17], header[18], header[19]]) as usize;
                    header.clear();
                }
                continue;
            }
            let taken = rest.len().min(payload);
            payload -= taken;
            rest = &rest[taken..];
            if payload == 0 {
                received += 1;
                if received.is_multiple_of(BATCH) {
                    ask(&mut stream)?;
                }
            }
        }
    }
    Ok(())
}

/// Sends 32 bytes there and back on an async stream.
pub(super) async fn echo(pings: &Pings) -> Result<f64> {
    let mut stream = tokio::net::TcpStream::connect(pings.peer).await?;
    stream.set_nodelay(true)?;
    let mut frame = [7; 32];
    let mut trips = Vec::with_capacity(pings.rounds);
    for _ in 0..pings.rounds {
        let before = Instant::now();
        stream.write_all(&frame).await?;
        stream.read_exact(&mut frame).await?;
        trips.push(before.elapsed());
    }
    Ok(median_micros(trips))
}
