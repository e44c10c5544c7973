//! What the lines between hosts are like.

use std::time::Duration;

/// How long TCP waits for the acknowledgement of a segment before it sends it again; each further loss doubles it.
const FIRST_RETRANSMISSION: Duration = Duration::from_millis(200);

/// How often a segment is lost in a row at most.
const MAX_LOSSES: u32 = 8;

/// What every connection goes through. TCP hides loss, so a lost segment is a late one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conditions {
    /// The least and the most time that a segment is on its way, one way; drawn once for each connection.
    pub latency: (Duration, Duration),
    /// The most that a segment takes longer than its connection's latency; drawn for each.
    pub jitter: Duration,
    /// How likely a segment is lost and sent again, from 0 to 1.
    pub loss: f64,
    /// Bytes a second that each direction of a connection carries; `None` for any number.
    pub bandwidth: Option<u32>,
    /// How long a dial waits for somebody to answer.
    pub dial_timeout: Duration,
}

impl Conditions {
    /// One machine: a millisecond, and nothing is lost.
    pub const LOCAL: Self = Self {
        latency: (Duration::from_millis(1), Duration::from_millis(1)),
        jitter: Duration::ZERO,
        loss: 0.0,
        bandwidth: None,
        dial_timeout: Duration::from_secs(3),
    };

    /// The public internet: neighbours and antipodes, a little jitter, a segment of a thousand lost.
    pub const INTERNET: Self = Self {
        latency: (Duration::from_millis(5), Duration::from_millis(150)),
        jitter: Duration::from_millis(10),
        loss: 0.001,
        ..Self::LOCAL
    };

    /// Draws how long one connection's segments are on their way.
    pub(super) fn draw_latency(&self, draw: &mut impl FnMut() -> f64) -> Duration {
        let (least, most) = self.latency;
        least + most.saturating_sub(least).mul_f64(draw())
    }

    /// Draws by how much one segment is late.
    pub(super) fn draw_delay(&self, draw: &mut impl FnMut() -> f64) -> Duration {
        let mut delay = Duration::ZERO;
        if self.jitter > Duration::ZERO {
            delay += self.jitter.mul_f64(draw());
        }
        if self.loss > 0.0 {
            let mut wait = FIRST_RETRANSMISSION;
            for _ in 0..MAX_LOSSES {
                if draw() >= self.loss {
                    break;
                }
                delay += wait;
                wait *= 2;
            }
        }
        delay
    }

    /// Returns how long the line is busy with `bytes`.
    pub(super) fn transmission(&self, bytes: usize) -> Duration {
        let seconds = |bandwidth: u32| bytes as f64 / f64::from(bandwidth.max(1));
        self.bandwidth.map_or(Duration::ZERO, |bandwidth| Duration::from_secs_f64(seconds(bandwidth)))
    }
}
