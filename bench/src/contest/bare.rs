//! The physical limit: sockets, the hashing that cannot be left out, and files.

use std::fs::File;
use std::hint::black_box;
use std::io::{BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Result, anyhow, ensure};
use savanna_wire::{BlockHash, Bounded, Inventory, Message, encode, sha256d};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Fetched, Pings, median_micros};
use crate::chain::NETWORK;
use crate::farm::{self, MessageReader};
use crate::measure::Stopwatch;

/// How many blocks one message asks for, and how many such messages are under way.
const BATCH: usize = 16;
const PIPELINED: usize = 3;

/// What is read and written at once.
const BUFFER: usize = 256 * 1024;

/// The bytes before each payload.
const FRAME_HEADER: usize = 24;

/// Receives blocks with one thread a peer, each an equal part of them.
pub(super) fn fetch(hashes: &[BlockHash], dir: &Path, peers: &[SocketAddr]) -> Result<Fetched> {
    let streams = peers.iter().map(|peer| {
        let stream = TcpStream::connect(peer)?;
        stream.set_nodelay(true)?;
        farm::greet(&stream, &mut MessageReader::new(stream.try_clone()?))?;
        anyhow::Ok(stream)
    });
    let streams = streams.collect::<Result<Vec<_>>>()?;
    let watch = Stopwatch::start();
    let parts = hashes.chunks(hashes.len().div_ceil(peers.len())).enumerate();
    thread::scope(|scope| {
        let parts: Vec<_> = parts
            .zip(streams)
            .map(|((number, part), stream)| {
                scope.spawn(move || {
                    receive(part, BufReader::with_capacity(BUFFER, stream), &dir.join(number.to_string()))
                })
            })
            .collect();
        parts.into_iter().try_for_each(|part| part.join().map_err(|_| anyhow!("a receiver panicked"))?)
    })?;
    Ok(Fetched::new(watch.spent(), hashes.len()))
}

fn receive(hashes: &[BlockHash], mut stream: BufReader<TcpStream>, file: &Path) -> Result<()> {
    let mut asks = hashes.chunks(BATCH);
    let mut ask = |mut stream: &TcpStream| -> Result<()> {
        let Some(hashes) = asks.next() else { return Ok(()) };
        let items = hashes.iter().map(|hash| Inventory::Block(*hash)).collect();
        let message = Message::GetData(Bounded::truncated(items));
        Ok(stream.write_all(&encode(&message, NETWORK.magic()).concat())?)
    };
    for _ in 0..PIPELINED {
        ask(stream.get_ref())?;
    }
    let mut file = BufWriter::with_capacity(BUFFER, File::create(file)?);
    let (mut header, mut payload) = ([0; FRAME_HEADER], Vec::new());
    for received in 1..=hashes.len() {
        stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes([header[16], header[17], header[18], header[19]]);
        payload.resize(length as usize, 0);
        stream.read_exact(&mut payload)?;
        ensure!(sha256d(&payload)[..4] == header[20..], "a wrong checksum");
        // The ids of the transactions take one more pass.
        black_box(sha256d(&payload));
        file.write_all(&payload)?;
        if received.is_multiple_of(BATCH) {
            ask(stream.get_ref())?;
        }
    }
    Ok(file.into_inner()?.sync_all()?)
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
