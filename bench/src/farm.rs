//! The farm: synthetic peers on raw sockets that serve one chain, each answer leaving a set time after its question was read.
//!
//! Threads that block, and no async runtime: what answers shares nothing with what asks.

use std::io::{BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use savanna_wire::{
    AddrV1, Bounded, Decoded, Decoder, Inventory, Locator, Message, ProtocolVersion, Services, UserAgent, Version,
    VersionAddr, encode,
};

use crate::chain::{Chain, NETWORK};

/// The version that the peers speak.
pub(crate) const VERSION: ProtocolVersion = ProtocolVersion(170_190);

/// How many peers a chain is fetched from.
pub(crate) const PEERS: usize = 8;

/// How long either end of a handshake waits.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many bytes of an answer are written at once.
const CHUNK: usize = 256 * 1024;

/// What a peer does when it is asked for blocks. Everything else it answers like any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// It sends them.
    Honest,
    /// It says nothing.
    Stalls,
    /// It sends each with the body of another.
    Lies,
}

/// Peers that serve one chain, each at an address of its own.
pub(crate) struct Farm {
    pub(crate) addresses: Vec<SocketAddr>,
    connected: Arc<AtomicUsize>,
}

impl Farm {
    /// Starts `count` honest peers, whose answers leave `delay` after their questions were read.
    pub(crate) fn start(chain: &Arc<Chain>, count: usize, delay: Duration) -> Result<Self> {
        Self::start_with(chain, count, delay, Habit::Honest)
    }

    /// Starts `count` peers, of whom the first has a habit and the others are honest.
    pub(crate) fn start_with(chain: &Arc<Chain>, count: usize, delay: Duration, first: Habit) -> Result<Self> {
        let connected = Arc::new(AtomicUsize::new(0));
        let listeners = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        let listeners = listeners.collect::<std::io::Result<Vec<_>>>()?;
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<std::io::Result<Vec<_>>>()?;
        let habits = std::iter::once(first).chain(std::iter::repeat(Habit::Honest));
        for (listener, habit) in listeners.into_iter().zip(habits) {
            let peer = Peer { chain: Arc::clone(chain), neighbours: addresses.clone(), delay, habit };
            let connected = Arc::clone(&connected);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (peer, connected) = (peer.clone(), Arc::clone(&connected));
                    thread::spawn(move || {
                        connected.fetch_add(1, Ordering::Relaxed);
                        // Whoever hangs up has what it wanted.
                        let _ = peer.serve(&stream);
                    });
                }
            });
        }
        Ok(Self { addresses, connected })
    }

    /// Returns how many connections the farm has taken so far.
    pub(crate) fn connected(&self) -> usize {
        self.connected.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Peer {
    chain: Arc<Chain>,
    neighbours: Vec<SocketAddr>,
    delay: Duration,
    habit: Habit,
}

impl Peer {
    fn serve(&self, stream: &TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut reader = MessageReader::new(stream.try_clone()?);
        welcome(stream, &mut reader, self.chain.tip() as u32)?;
        if self.delay.is_zero() {
            loop {
                let question = reader.next()?;
                self.answer(&question, &mut &*stream)?;
            }
        }
        let (line, due) = channel();
        thread::scope(|scope| {
            scope.spawn(|| self.answer_late(due, stream));
            self.read_into(&mut reader, &line)
        })
    }

    /// Reads questions at once, whatever waits to be answered.
    fn read_into(&self, reader: &mut MessageReader, line: &Sender<(Instant, Message)>) -> Result<()> {
        loop {
            let question = reader.next()?;
            line.send((Instant::now() + self.delay, question)).context("the answering end is gone")?;
        }
    }

    fn answer_late(&self, due: Receiver<(Instant, Message)>, mut stream: &TcpStream) {
        for (at, question) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if self.answer(&question, &mut stream).is_err() {
                return;
            }
        }
    }

    fn answer(&self, question: &Message, out: &mut impl Write) -> Result<()> {
        match question {
            Message::Ping(nonce) => write(out, &Message::Pong(*nonce)),
            Message::GetData(items) => self.send_blocks(items, out),
            Message::GetHeaders(locator) => {
                let headers = self.after(locator).map(|at| self.chain.headers[at].clone());
                write(out, &Message::Headers(Bounded::truncated(headers.take(160).collect())))
            }
            Message::GetBlocks(locator) => {
                let hashes: Vec<_> = self.after(locator).map(|at| Inventory::Block(self.chain.hashes[at])).collect();
                if hashes.is_empty() { Ok(()) } else { write(out, &Message::Inv(Bounded::truncated(hashes))) }
            }
            Message::GetAddr => {
                let entry = |address: &SocketAddr| AddrV1 {
                    time: unix_now(),
                    services: Services::NODE_NETWORK,
                    address: *address,
                };
                write(out, &Message::Addr(Bounded::truncated(self.neighbours.iter().map(entry).collect())))
            }
            Message::Mempool => write(out, &Message::Inv(Bounded::truncated(Vec::new()))),
            _ => Ok(()),
        }
    }

    fn send_blocks(&self, items: &[Inventory], out: &mut impl Write) -> Result<()> {
        let (mut chunk, mut missing) = (Vec::new(), Vec::new());
        for item in items {
            let Inventory::Block(hash) = item else { continue };
            let Some(height) = self.chain.height(hash) else {
                missing.push(*item);
                continue;
            };
            match self.habit {
                Habit::Honest => chunk.extend_from_slice(&self.chain.frames[height]),
                Habit::Stalls => continue,
                Habit::Lies => chunk.extend_from_slice(&self.chain.lie(height)?),
            }
            if chunk.len() >= CHUNK {
                out.write_all(&chunk)?;
                chunk.clear();
            }
        }
        out.write_all(&chunk)?;
        if missing.is_empty() { Ok(()) } else { write(out, &Message::NotFound(Bounded::truncated(missing))) }
    }

    /// Returns the heights that follow a locator, as many as one `inv` holds.
    fn after(&self, locator: &Locator) -> impl Iterator<Item = usize> + use<> {
        let known = locator.hashes.iter().find_map(|hash| self.chain.height(hash));
        let stop = self.chain.height(&locator.stop).unwrap_or(usize::MAX);
        let first = known.map_or(0, |height| height + 1);
        (first..=self.chain.tip().min(stop)).take(500)
    }
}

/// The bytes of a `ping` or a `pong` with the header of their frame.
const PING_FRAME: usize = 32;

/// Where the second letter of the command stands in a frame: all that tells a `pong` from its `ping`.
const SECOND_LETTER: usize = 5;

/// A peer that shakes hands and turns each `ping` into its `pong` without decoding it, as fast as [`echo_listener`] echoes.
pub(crate) fn pong_listener() -> Result<SocketAddr> {
    answering_listener(|stream, reader| {
        welcome(stream, reader, 0)?;
        answer_frames(stream, reader, |frame| {
            ensure!(&frame[4..8] == b"ping", "something else than a ping");
            frame[SECOND_LETTER] = b'o';
            Ok(())
        })
    })
}

/// Echoes every 32 bytes: what a ping's round trip is held against.
pub(crate) fn echo_listener() -> Result<SocketAddr> {
    answering_listener(|stream, reader| answer_frames(stream, reader, |_| Ok(())))
}

fn answering_listener(serve: fn(&TcpStream, &mut MessageReader) -> Result<()>) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || {
                stream.set_nodelay(true)?;
                // Whoever hangs up has measured enough.
                serve(&stream, &mut MessageReader::new(stream.try_clone()?))
            });
        }
    });
    Ok(address)
}

fn answer_frames(
    mut stream: &TcpStream,
    reader: &mut MessageReader,
    turn: impl Fn(&mut [u8; PING_FRAME]) -> Result<()>,
) -> Result<()> {
    let mut frame = [0; PING_FRAME];
    loop {
        reader.read_raw(&mut frame)?;
        turn(&mut frame)?;
        stream.write_all(&frame)?;
    }
}

/// Reads messages off a socket that blocks.
pub(crate) struct MessageReader {
    stream: BufReader<TcpStream>,
    decoder: Decoder,
    buffer: BytesMut,
}

impl MessageReader {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream), decoder: Decoder::new(NETWORK.magic()), buffer: BytesMut::new() }
    }

    /// Admits messages longer than those of a handshake.
    pub(crate) fn complete_handshake(&mut self) {
        self.decoder.complete_handshake(VERSION);
    }

    /// Reads bytes undecoded, those first that were read ahead.
    fn read_raw(&mut self, out: &mut [u8]) -> Result<()> {
        let ahead = out.len().min(self.buffer.len());
        out[..ahead].copy_from_slice(&self.buffer.split_to(ahead));
        Ok(self.stream.read_exact(&mut out[ahead..])?)
    }

    pub(crate) fn next(&mut self) -> Result<Message> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(Decoded::Message(message)) = self.decoder.decode(&mut self.buffer)? {
                return Ok(message);
            }
            let count = self.stream.read(&mut chunk)?;
            if count == 0 {
                bail!("the peer hung up");
            }
            self.buffer.extend_from_slice(&chunk[..count]);
        }
    }
}

/// Shakes hands with whoever dialled.
fn welcome(stream: &TcpStream, reader: &mut MessageReader, height: u32) -> Result<()> {
    stream.set_read_timeout(Some(HANDSHAKE))?;
    let Message::Version(_) = reader.next()? else { bail!("no version first") };
    write(&mut &*stream, &Message::Version(version(height)))?;
    write(&mut &*stream, &Message::Verack)?;
    while !matches!(reader.next()?, Message::Verack) {}
    reader.complete_handshake();
    stream.set_read_timeout(None)?;
    Ok(())
}

/// Shakes hands with a peer of the farm, for who receives from it with bare sockets.
pub(crate) fn greet(stream: &TcpStream, reader: &mut MessageReader) -> Result<()> {
    greet_as(version(0), stream, reader)
}

/// Shakes hands with whoever listens, as one that offers nothing.
pub(crate) fn greet_as_guest(stream: &TcpStream, reader: &mut MessageReader) -> Result<()> {
    greet_as(Version { services: Services::NONE, ..version(0) }, stream, reader)
}

fn greet_as(version: Version, stream: &TcpStream, reader: &mut MessageReader) -> Result<()> {
    write(&mut &*stream, &Message::Version(version))?;
    let Message::Version(_) = reader.next()? else { bail!("no version first") };
    write(&mut &*stream, &Message::Verack)?;
    while !matches!(reader.next()?, Message::Verack) {}
    Ok(())
}

pub(crate) fn version(height: u32) -> Version {
    Version {
        version: VERSION,
        services: Services::NODE_NETWORK,
        time: i64::from(unix_now()),
        receiver: VersionAddr::UNSPECIFIED,
        sender: VersionAddr { services: Services::NODE_NETWORK, ..VersionAddr::UNSPECIFIED },
        nonce: nonce(),
        user_agent: UserAgent::new(*b"/Farm:1.0.0/").unwrap_or_default(),
        height: height as i32,
        relay: true,
    }
}

/// Returns a number that no other connection of this process has.
fn nonce() -> u64 {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    let salt = u64::from(std::process::id()) << 32;
    salt | NEXT.fetch_add(1, Ordering::Relaxed) as u64
}

pub(crate) fn unix_now() -> u32 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs() as u32)
}

fn write(out: &mut impl Write, message: &Message) -> Result<()> {
    Ok(out.write_all(&encode(message, NETWORK.magic()).concat())?)
}
