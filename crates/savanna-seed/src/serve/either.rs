//! Which way a question is answered: from bytes that are ready, or by the library.

use super::answer::by_bytes;
use super::counts::{Said, Transport};
use super::library;
use super::zones::Zones;

/// Answers a message, into `out`. Returns nothing if it deserves no answer.
///
/// # Security
/// A message that is itself an answer gets none: two servers would else keep each other busy for ever.
pub(crate) fn answer(zones: &Zones, packet: &[u8], transport: Transport, pick: u64, out: &mut Vec<u8>) -> Option<Said> {
    by_bytes(zones, packet, transport, pick, out).or_else(|| library::answer(zones, packet, transport, pick, out))
}
