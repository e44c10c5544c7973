//! Hosts that go down and come back, lines that are cut and joined.

use std::time::Duration;

use savanna_peer::Direction;

use super::{Wires, unit};
use crate::network::link::EndState;
use crate::network::queue::Happening;
use crate::network::trace::Told;
use crate::network::{ConnectionId, Death, HostId};

/// The longest that TCP waits between two tries.
const LONGEST_RETRANSMISSION: Duration = Duration::from_secs(120);

impl Wires {
    pub(in crate::network) fn kill(&mut self, host: HostId, death: Death) {
        if !self.machine(host).is_up {
            return;
        }
        let told = match death {
            Death::Stopped => Told::Stopped,
            Death::PoweredOff => Told::PoweredOff,
        };
        self.trace.record(self.now, host, told);
        let machine = self.machine_mut(host);
        (machine.is_up, machine.is_dark, machine.wake) = (false, death == Death::PoweredOff, None);
        for id in self.ends_of(host) {
            match death {
                Death::Stopped => self.close(id),
                Death::PoweredOff => self.darken(id),
            }
        }
    }

    pub(in crate::network) fn revive(&mut self, host: HostId) {
        let machine = self.machine_mut(host);
        (machine.is_up, machine.is_dark) = (true, false);
        let ends = self.ends_of(host);
        ends.into_iter().for_each(|id| self.resume(id));
    }

    fn darken(&mut self, id: ConnectionId) {
        if let Some(link) = self.links.get_mut(&id.link) {
            link.ends[id.index()].state = EndState::Forgotten;
            if link.is_over() {
                self.forget(id.link);
            }
        }
    }

    fn ends_of(&self, host: HostId) -> Vec<ConnectionId> {
        let ends = self.links.iter().flat_map(|(link, each)| {
            let id = ConnectionId { link: *link, direction: Direction::Outbound };
            [(id, each.ends[0].host), (id.other(), each.ends[1].host)]
        });
        ends.filter(|(_, at)| *at == Some(host)).map(|(id, _)| id).collect()
    }

    /// Puts every host on a side. What stalled between hosts that are joined now goes on.
    pub(in crate::network) fn partition(&mut self, side: impl Fn(HostId) -> u32) {
        for (id, machine) in (0..).map(HostId).zip(&mut self.machines) {
            machine.side = side(id);
        }
        let links: Vec<u32> = self.links.keys().copied().collect();
        for link in links {
            let id = ConnectionId { link, direction: Direction::Outbound };
            self.resume(id);
            self.resume(id.other());
        }
    }

    /// Lets what stalled be sent again. What cannot get through still stalls again, and waits no longer for that.
    fn resume(&mut self, id: ConnectionId) {
        let now = self.now;
        let again = unit(&mut self.rng);
        let Some(link) = self.links.get_mut(&id.link) else { return };
        let hosts = link.ends.map(|end| end.host);
        let [Some(one), Some(two)] = hosts else { return };
        if self.machines[one.index()].side != self.machines[two.index()].side {
            return;
        }
        let pipe = &mut link.pipes[id.index()];
        let Some(since) = pipe.stalled_since.take() else { return };
        // Tries are the further apart the longer they have failed: the next is due within as long again.
        let arrival = now + (now - since).min(LONGEST_RETRANSMISSION).mul_f64(again);
        pipe.last_arrival = pipe.last_arrival.max(arrival);
        for (at, _) in &mut pipe.segments {
            *at = (*at).max(arrival);
            self.queue.push(*at, Happening::Arrival(id));
        }
    }
}
