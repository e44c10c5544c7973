//! Calendar time as an argument.

/// A day in seconds.
pub(crate) const DAY: u32 = 24 * 60 * 60;

/// Seconds since the Unix epoch, in the 32 bits that the wire gives them.
///
/// A clock may jump: no arithmetic on it overflows, and whatever lies in the future is judged, not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixTime(pub u32);

impl UnixTime {
    /// The epoch, which stands for "never" wherever a book records a moment.
    pub const NEVER: Self = Self(0);

    /// Returns the seconds from `earlier` until this moment; none when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u32 {
        self.0.saturating_sub(earlier.0)
    }

    /// Returns the moment `seconds` later, or the last one there is.
    #[must_use]
    pub const fn plus(self, seconds: u32) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Returns the moment `seconds` earlier, or the epoch.
    #[must_use]
    pub const fn minus(self, seconds: u32) -> Self {
        Self(self.0.saturating_sub(seconds))
    }
}

impl From<i64> for UnixTime {
    /// Takes the nearest moment that 32 bits hold.
    fn from(seconds: i64) -> Self {
        Self(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
    }
}

impl From<u64> for UnixTime {
    /// Takes the nearest moment that 32 bits hold.
    fn from(seconds: u64) -> Self {
        Self(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}
