//! Drawing two at random.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

use savanna_net::PeerId;

/// Two of those who are offered, at random.
#[derive(Debug, Default)]
pub(super) struct Draw {
    pub(super) two: [Option<PeerId>; 2],
    pub(super) seen: u32,
}

impl Draw {
    pub(super) fn offer(&mut self, id: PeerId, rng: &mut ChaCha8Rng) {
        let place = if self.seen < 2 { self.seen } else { rng.next_u32() % (self.seen + 1) };
        self.seen += 1;
        if let Some(place) = self.two.get_mut(place as usize) {
            *place = Some(id);
        }
    }
}
