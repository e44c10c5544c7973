//! The wire format seen from outside: what a stream of bytes becomes, and what a message becomes as bytes.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod adversary;
mod any;
mod by_hand;
mod memory;
mod round_trip;
mod stream;
mod strict;

use bytes::BytesMut;
use savanna_wire::{
    Checksum, DecodeError, Decoded, Decoder, FrameError, Magic, Message, Network, ProtocolVersion, encode,
    write_compact_size,
};

const MAGIC: Magic = Network::Mainnet.magic();

/// Begins to read a connection whose handshake is complete.
fn ready() -> Decoder {
    let mut decoder = Decoder::new(MAGIC);
    decoder.complete_handshake(ProtocolVersion(170_190));
    decoder
}

/// Writes a frame without the help of `encode`.
fn frame(command: &str, payload: &[u8]) -> Vec<u8> {
    let mut field = [0; 12];
    field[..command.len()].copy_from_slice(command.as_bytes());
    frame_of_field(field, payload)
}

fn frame_of_field(field: [u8; 12], payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    [&MAGIC.0[..], &field, &length.to_le_bytes(), &Checksum::of(payload).0, payload].concat()
}

/// Writes the header of a frame that declares `length` bytes of payload.
fn header(command: &str, length: u32) -> Vec<u8> {
    let mut header = frame(command, &[]);
    header[16..20].copy_from_slice(&length.to_le_bytes());
    header
}

fn encoded(message: &Message) -> Vec<u8> {
    encode(message, MAGIC).concat()
}

/// Decodes one whole frame after the handshake.
fn decode(bytes: &[u8]) -> Result<Decoded, FrameError> {
    let mut buffer = BytesMut::from(bytes);
    let decoded = ready().decode(&mut buffer)?.unwrap();
    assert!(buffer.is_empty(), "a frame is taken whole");
    Ok(decoded)
}

/// Decodes the payload of a `command` that holds a message.
fn accept(command: &str, payload: &[u8]) -> Message {
    match decode(&frame(command, payload)) {
        Ok(Decoded::Message(message)) => message,
        other => panic!("{command} became {other:?}"),
    }
}

/// Decodes the payload of a `command` that is malformed, and returns what is wrong with it.
fn refuse(command: &str, payload: &[u8]) -> DecodeError {
    match decode(&frame(command, payload)) {
        Err(FrameError::Payload { command: named, error }) => {
            assert_eq!(named.name(), command);
            error
        }
        other => panic!("{command} became {other:?}"),
    }
}

/// Reads bytes written as hexadecimal digits; white space between them counts for nothing.
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|digit| !digit.is_whitespace()).collect();
    assert!(digits.len().is_multiple_of(2));
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

/// Writes a count or a length, and `rest` behind it.
fn counted(count: u64, rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_compact_size(&mut out, count);
    out.extend_from_slice(rest);
    out
}
