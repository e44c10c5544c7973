//! Knowing our own address when we have dialled it.

use std::collections::VecDeque;
use std::time::Duration;

use savanna_wire::PeerAddr;

/// How long a claim and the end of a dial may be apart.
const TOGETHER: Duration = Duration::from_secs(10);

/// How many of each are remembered.
const MAX_REMEMBERED: usize = 64;

/// Puts together what the two ends of a connection to ourselves see: one recognises our nonce and is told what was dialled, the
/// other is hung up on.
///
/// # Security
/// The first can be forged by whoever we have dialled. With it alone, anybody could have us forget our best peers as our own.
#[derive(Debug, Default)]
pub(super) struct Ourselves {
    claims: VecDeque<(Duration, PeerAddr)>,
    hang_ups: VecDeque<(Duration, PeerAddr)>,
}

impl Ourselves {
    /// Notes that an address is claimed to be ours; returns whether it is.
    pub(super) fn claimed(&mut self, address: PeerAddr, now: Duration) -> bool {
        note(&mut self.claims, &self.hang_ups, address, now)
    }

    /// Notes that a dial was hung up on; returns whether the address is ours.
    pub(super) fn hung_up(&mut self, address: PeerAddr, now: Duration) -> bool {
        note(&mut self.hang_ups, &self.claims, address, now)
    }
}

fn note(
    ones: &mut VecDeque<(Duration, PeerAddr)>,
    others: &VecDeque<(Duration, PeerAddr)>,
    address: PeerAddr,
    now: Duration,
) -> bool {
    ones.truncate(MAX_REMEMBERED - 1);
    ones.push_front((now, address));
    others.iter().any(|(when, other)| *other == address && now <= *when + TOGETHER)
}
