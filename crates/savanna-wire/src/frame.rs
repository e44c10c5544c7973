//! Frames: the header before each message, and the decoder of a growing buffer.

use bytes::{Buf, Bytes, BytesMut};

use crate::command::Field;
use crate::{Block, Command, DecodeError, FrameError, Magic, Message, ProtocolVersion, sha256d};

/// The length of a frame's header in bytes.
pub const HEADER_LEN: usize = 24;

/// The longest payload in bytes.
pub const MAX_PAYLOAD: usize = 2 * 1024 * 1024;

/// The longest payload before a handshake is complete, in bytes.
///
/// # Security
/// Someone who has not yet said who they are costs us no more than this.
pub const MAX_HANDSHAKE_PAYLOAD: usize = 1024;

/// The length in bytes from which a payload is split off the read buffer instead of copied out of it.
///
/// # Security
/// A small slice that outlives its event would pin the whole buffer it came in, many times its own size.
pub const SHARE_THRESHOLD: usize = 16 * 1024;

/// The first four bytes of the SHA-256d of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Checksum(pub [u8; 4]);

impl Checksum {
    /// Hashes a payload.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        Self::from_hash(sha256d(payload))
    }

    pub(crate) const fn from_hash([a, b, c, d, ..]: [u8; 32]) -> Self {
        Self([a, b, c, d])
    }
}

/// A frame ready to be sent: the header and a small payload in one piece, or the header and a large payload in two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The header, with the payload behind it if that is shorter than [`SHARE_THRESHOLD`].
    pub head: Bytes,
    /// The payload from [`SHARE_THRESHOLD`] on, otherwise empty. That of a block or transaction is shared with the message.
    pub tail: Bytes,
}

#[allow(clippy::len_without_is_empty, reason = "a frame has at least its header")]
impl Frame {
    /// Returns the length of the whole frame in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Copies the frame into one piece.
    #[must_use]
    pub fn concat(&self) -> Vec<u8> {
        [&self.head[..], &self.tail[..]].concat()
    }
}

/// Frames a message for a network. A large block is not copied, and none is hashed again.
#[must_use]
pub fn encode(message: &Message, magic: Magic) -> Frame {
    let payload = message.payload();
    let checksum = if let Message::Block(block) = message { block.checksum() } else { Checksum::of(&payload) };
    let shared = payload.len() >= SHARE_THRESHOLD;
    let mut head = Vec::with_capacity(HEADER_LEN + if shared { 0 } else { payload.len() });
    head.extend_from_slice(&magic.0);
    head.extend_from_slice(&message.command().field());
    // What a message's types admit fits into MAX_PAYLOAD, far below 4 GiB.
    head.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    head.extend_from_slice(&checksum.0);
    if shared {
        return Frame { head: head.into(), tail: payload };
    }
    head.extend_from_slice(&payload);
    Frame { head: head.into(), tail: Bytes::new() }
}

/// A payload on its way from the read buffer into a message.
#[derive(Debug)]
pub(crate) enum Payload<'a> {
    /// Split off the buffer: no copy was made.
    Shared(Bytes),
    /// Still in the buffer: whoever keeps it copies it out.
    Borrowed(&'a [u8]),
}

impl Payload<'_> {
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Borrowed(slice) => slice,
        }
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Shared(bytes) => bytes,
            Self::Borrowed(slice) => Bytes::copy_from_slice(slice),
        }
    }
}

/// Why a frame was passed over while its connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The command field is not NUL-padded printable ASCII (ZIP-204: ignore, stay connected).
    MalformedCommand,
    /// The command is none we know.
    UnknownCommand,
    /// The checksum is not the payload's.
    BadChecksum,
    /// The inventory names a type whose size is not known, so the rest of it cannot be read.
    UnknownInventory,
}

/// What one frame turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "nearly every frame holds a message, and it is moved out at once")]
pub enum Decoded {
    /// A message.
    Message(Message),
    /// A frame without one, already passed over; its payload had `length` bytes.
    Dropped {
        /// Why.
        reason: DropReason,
        /// The length of its payload in bytes.
        length: usize,
    },
}

/// What the decoder waits for.
#[derive(Debug, Clone, Copy)]
enum State {
    Header,
    Payload { command: Command, length: usize, checksum: Checksum },
    Skip { reason: DropReason, length: usize, left: usize },
}

/// Reads messages from a stream, however it is cut into pieces.
///
/// Between messages it holds nothing; inside one it holds the parsed header alone. Payloads that nobody will read are
/// dropped as they arrive.
#[derive(Debug)]
pub struct Decoder {
    magic: Magic,
    limit: usize,
    version: ProtocolVersion,
    state: State,
}

impl Decoder {
    /// Begins to read a connection, with payloads limited to [`MAX_HANDSHAKE_PAYLOAD`].
    #[must_use]
    pub const fn new(magic: Magic) -> Self {
        Self { magic, limit: MAX_HANDSHAKE_PAYLOAD, version: ProtocolVersion(0), state: State::Header }
    }

    /// Admits payloads up to [`MAX_PAYLOAD`], and what `version` admits: for when the handshake is complete.
    pub const fn complete_handshake(&mut self, version: ProtocolVersion) {
        self.limit = MAX_PAYLOAD;
        self.version = version;
    }

    /// Returns whether a frame has begun and is not yet complete, given what is left in the buffer.
    #[must_use]
    pub fn is_mid_frame(&self, buffer: &[u8]) -> bool {
        !matches!(self.state, State::Header) || !buffer.is_empty()
    }

    /// Takes at most one frame from the front of `buffer`; `None` asks for more bytes.
    ///
    /// # Errors
    /// [`FrameError`] if the stream cannot be read on. The connection is to be closed; what further calls return is not
    /// specified.
    ///
    /// # Security
    /// Never reserves memory: a declared length is refused at byte 24 or waited for, and the buffer grows only by what
    /// its owner reads into it.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Decoded>, FrameError> {
        if matches!(self.state, State::Header) {
            self.check_magic(buffer)?;
            if buffer.len() < HEADER_LEN {
                return Ok(None);
            }
            self.state = self.read_header(buffer)?;
        }
        match self.state {
            State::Header => Ok(None),
            State::Skip { reason, length, left } => Ok(self.skip(buffer, reason, length, left)),
            State::Payload { length, .. } if buffer.len() < length => Ok(None),
            State::Payload { command, length, checksum } => {
                self.state = State::Header;
                self.read_payload(buffer, command, length, checksum).map(Some)
            }
        }
    }

    /// Refuses a foreign stream as soon as its first four bytes are there.
    fn check_magic(&self, buffer: &[u8]) -> Result<(), FrameError> {
        match buffer.first_chunk::<4>() {
            Some(found) if *found != self.magic.0 => {
                Err(FrameError::Magic { expected: self.magic, found: Magic(*found) })
            }
            Some(_) | None => Ok(()),
        }
    }

    fn read_header(&self, buffer: &mut BytesMut) -> Result<State, FrameError> {
        let mut command = [0; 12];
        buffer.advance(4);
        buffer.copy_to_slice(&mut command);
        let declared = buffer.get_u32_le();
        let mut checksum = [0; 4];
        buffer.copy_to_slice(&mut checksum);
        let oversized = FrameError::Oversized { length: declared, limit: self.limit };
        let length = usize::try_from(declared).map_err(|_| oversized)?;
        if length > self.limit {
            return Err(oversized);
        }
        Ok(match Command::from_field(&command) {
            Field::Known(command) => State::Payload { command, length, checksum: Checksum(checksum) },
            Field::Unknown => State::Skip { reason: DropReason::UnknownCommand, length, left: length },
            Field::Malformed => State::Skip { reason: DropReason::MalformedCommand, length, left: length },
        })
    }

    fn skip(&mut self, buffer: &mut BytesMut, reason: DropReason, length: usize, left: usize) -> Option<Decoded> {
        let here = left.min(buffer.len());
        buffer.advance(here);
        if here < left {
            self.state = State::Skip { reason, length, left: left - here };
            return None;
        }
        self.state = State::Header;
        Some(Decoded::Dropped { reason, length })
    }

    fn read_payload(
        &self,
        buffer: &mut BytesMut,
        command: Command,
        length: usize,
        checksum: Checksum,
    ) -> Result<Decoded, FrameError> {
        let payload = &buffer[..length];
        let is_block = command == Command::Block;
        let (found, hash) = if is_block { Block::hash_payload(payload) } else { (Checksum::of(payload), None) };
        if found != checksum {
            buffer.advance(length);
            return Ok(Decoded::Dropped { reason: DropReason::BadChecksum, length });
        }
        let decoded = if length >= SHARE_THRESHOLD {
            let payload = Payload::Shared(buffer.split_to(length).freeze());
            Message::decode(command, payload, checksum, hash, self.version)
        } else {
            let decoded = Message::decode(command, Payload::Borrowed(payload), checksum, hash, self.version);
            buffer.advance(length);
            decoded
        };
        match decoded {
            Ok(message) => Ok(Decoded::Message(message)),
            Err(DecodeError::UnknownInventory { .. }) => {
                Ok(Decoded::Dropped { reason: DropReason::UnknownInventory, length })
            }
            Err(error) => Err(FrameError::Payload { command, error }),
        }
    }
}
