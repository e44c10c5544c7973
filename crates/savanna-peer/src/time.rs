//! Time as an argument.

use std::time::Duration;

/// A moment, as the caller's clocks tell it.
///
/// The monotonic part orders deadlines; its origin is the caller's choice, the same for the life of a session. The Unix part
/// is only ever told to the peer or compared with what peers claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Time since the caller's origin. Never goes back.
    pub monotonic: Duration,
    /// Seconds since the Unix epoch. May jump.
    pub unix: i64,
}

impl Now {
    /// Makes a moment of milliseconds since the caller's origin and Unix seconds.
    #[must_use]
    pub const fn from_millis(monotonic: u64, unix: i64) -> Self {
        Self { monotonic: Duration::from_millis(monotonic), unix }
    }
}
