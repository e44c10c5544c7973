//! The session: one peer, from its first byte to its last.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use savanna_wire::{ProtocolVersion, Version};
use thiserror::Error;

use crate::{
    CloseReason, Config, Direction, Event, InboundId, Now, PeerInfo, Request, RequestId, RequestKind, Response, Timer,
};

/// What [`Session::handle_bytes`] wants next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// More bytes: nothing in the buffer can be taken yet.
    NeedBytes,
    /// Another call: the buffer may hold another message.
    More,
    /// Its outputs drained: until then it takes nothing.
    Blocked,
}

/// The session has as many requests of this kind in flight as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("too many requests of kind {} in flight", .0.label())]
pub struct Busy(pub RequestKind);

/// One peer's side of the protocol.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Begins a connection.
    pub fn new(config: Config, direction: Direction, seed: [u8; 32], now: Now) -> Self {
        todo!()
    }
    /// Takes at most one message from the front of the buffer.
    pub fn handle_bytes(&mut self, buffer: &mut BytesMut, now: Now) -> Step {
        todo!()
    }
    /// Says that the peer will send no more.
    pub fn handle_eof(&mut self, now: Now) {
        todo!()
    }
    /// Lets every deadline pass that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        todo!()
    }
    /// Asks the peer something.
    pub fn request(&mut self, request: Request, now: Now) -> Result<RequestId, Busy> {
        todo!()
    }
    /// Forgets a request: its answer, should it come, is dropped.
    pub fn cancel(&mut self, id: RequestId) {
        todo!()
    }
    /// Answers a question of the peer's.
    pub fn respond(&mut self, id: InboundId, response: Response) {
        todo!()
    }
    /// Raises the least version that the peer must speak.
    pub fn set_floor(&mut self, floor: ProtocolVersion) {
        todo!()
    }
    /// Ends the session.
    pub fn close(&mut self, reason: CloseReason) {
        todo!()
    }
    /// Returns the next bytes for the peer.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        todo!()
    }
    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }
    /// Returns the next deadline, on the scale of [`Now::monotonic`], and what it is for.
    pub fn poll_timeout(&self) -> Option<(Duration, Timer)> {
        todo!()
    }
    /// Returns what the peer said of itself, once it has.
    pub fn remote(&self) -> Option<&Version> {
        todo!()
    }
    /// Returns what the completed handshake told.
    pub fn info(&self) -> Option<&PeerInfo> {
        todo!()
    }
    /// Returns whether the session has ended.
    pub fn is_closed(&self) -> bool {
        todo!()
    }
}
