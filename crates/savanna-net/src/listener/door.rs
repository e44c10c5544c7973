//! Who may come in: neither barred, nor too fast, and only where there is a place.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use super::admission::{AcceptRates, Admission};
use crate::Clock;
use crate::slots::{Slot, SlotError, Slots};

/// Says of an address whether it is kept out: banned, for example.
///
/// It is asked once for each connection, before anything is spent on it, by the task that accepts: it is to answer from memory.
#[derive(Clone)]
pub struct InboundFilter(Arc<dyn Fn(IpAddr) -> bool + Send + Sync>);

impl InboundFilter {
    /// Keeps out whom `is_barred` names. It is given canonical addresses: IPv4 is never mapped into IPv6.
    pub fn new(is_barred: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_barred))
    }

    /// Returns whether the filter keeps an address out.
    #[must_use]
    pub fn bars(&self, ip: IpAddr) -> bool {
        (self.0)(ip.to_canonical())
    }
}

impl fmt::Debug for InboundFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InboundFilter")
    }
}

/// What became of the connections that peers dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Arrivals {
    /// They came in.
    pub admitted: u64,
    /// The filter kept them out.
    pub barred: u64,
    /// They came too fast, from their network or in all.
    pub too_fast: u64,
    /// There was no place for them, or for another of their host or network.
    pub no_slot: u64,
}

/// Why a connection is shed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Refusal {
    #[error("the address is barred")]
    Barred,
    #[error("too many connections at once")]
    TooFast,
    #[error(transparent)]
    NoSlot(#[from] SlotError),
}

/// Who may come in by the listeners of a node. Clones are the same door.
///
/// # Security
/// Against floods of connections, and against peers that come back after a ban: a connection is judged by its address, before
/// a byte of it is read and before it costs a task.
#[derive(Debug, Clone)]
pub struct Door {
    slots: Slots,
    filter: Option<InboundFilter>,
    clock: Clock,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    admission: Admission,
    arrivals: Arrivals,
}

impl Door {
    /// Makes a door that keeps to `rates` and to the places of `slots`, and bars nobody.
    #[must_use]
    pub fn new(slots: Slots, rates: AcceptRates) -> Self {
        let state = State { admission: Admission::new(rates), arrivals: Arrivals::default() };
        Self { slots, filter: None, clock: Clock::start(), state: Arc::new(Mutex::new(state)) }
    }

    /// Keeps those out whom the filter names.
    #[must_use]
    pub fn with_filter(mut self, filter: InboundFilter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// Returns what became of the connections so far.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).arrivals
    }

    pub(super) fn admit(&self, ip: IpAddr) -> Result<Slot, Refusal> {
        // Asked without the lock, since what it does is not ours.
        let is_barred = self.filter.as_ref().is_some_and(|filter| filter.bars(ip));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { admission, arrivals } = &mut *state;
        let (count, verdict) = if is_barred {
            (&mut arrivals.barred, Err(Refusal::Barred))
        } else {
            // The place comes first: who finds none has had no turn, and costs nobody else one.
            match self.slots.inbound(ip) {
                Err(error) => (&mut arrivals.no_slot, Err(error.into())),
                Ok(slot) if admission.admit(ip, self.clock.now().monotonic) => (&mut arrivals.admitted, Ok(slot)),
                Ok(_) => (&mut arrivals.too_fast, Err(Refusal::TooFast)),
            }
        };
        *count += 1;
        verdict
    }
}

impl From<Slots> for Door {
    /// Makes a door that minds nothing but the places.
    fn from(slots: Slots) -> Self {
        Self::new(slots, AcceptRates::LOCAL)
    }
}

#[cfg(test)]
mod tests {
    use savanna_peer::Direction;

    use super::*;
    use crate::SlotLimits;

    #[test]
    fn adversary_24_a_mapped_address_is_barred_like_the_one_it_maps() {
        let (four, six): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let slots = Slots::new(SlotLimits { inbound: 1, ..SlotLimits::LOCAL });
        let door = Door::new(slots.clone(), AcceptRates::PUBLIC);
        let barred = door.clone().with_filter(InboundFilter::new(move |ip| ip == four || ip == six));
        for ip in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1"] {
            assert_eq!(barred.admit(ip.parse().unwrap()).unwrap_err(), Refusal::Barred, "{ip}");
        }
        let slot = barred.admit("192.0.2.2".parse().unwrap()).unwrap();
        // The same door by another handle: its one place is taken.
        assert_eq!(door.admit(four).unwrap_err(), Refusal::NoSlot(SlotError::Full));
        assert_eq!(door.arrivals(), Arrivals { admitted: 1, barred: 3, too_fast: 0, no_slot: 1 });
        drop(slot);
        assert_eq!(slots.taken(Direction::Inbound), 0);
    }

    #[test]
    fn adversary_26_who_finds_no_place_takes_no_ones_turn_and_who_comes_too_fast_no_place() {
        let slots = Slots::new(SlotLimits { inbound: 1, ..SlotLimits::LOCAL });
        let door = Door::new(slots.clone(), AcceptRates::PUBLIC);
        let ip: IpAddr = "192.0.2.1".parse().unwrap();
        let slot = door.admit(ip).unwrap();
        for _ in 0..100 {
            assert_eq!(door.admit(ip).unwrap_err(), Refusal::NoSlot(SlotError::Full));
        }
        drop(slot);
        // Four a network is the rate.
        for _ in 1..4 {
            drop(door.admit(ip).unwrap());
        }
        assert_eq!(door.admit(ip).unwrap_err(), Refusal::TooFast);
        assert_eq!(slots.taken(Direction::Inbound), 0);
        assert_eq!(door.arrivals(), Arrivals { admitted: 4, barred: 0, too_fast: 1, no_slot: 100 });
    }
}
