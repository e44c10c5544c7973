//! The seeder's numbers, for Prometheus.

use savanna_seed::Zones;

use super::network::Seeded;
use crate::telemetry::{DnsNumbers, NetworkNumbers, Page, Source};

/// What the networks and the zones of a seeder count.
pub(super) struct SeedNumbers {
    networks: Vec<Seeded>,
    zones: Option<Zones>,
}

impl SeedNumbers {
    pub(super) fn new(networks: &[Seeded], zones: Option<Zones>) -> Self {
        Self { networks: networks.to_vec(), zones }
    }
}

impl Source for SeedNumbers {
    fn write(&self, page: &mut Page) {
        let networks: Vec<_> = self.networks.iter().map(of).collect();
        NetworkNumbers::write(&networks, page);
        if let Some(zones) = &self.zones {
            DnsNumbers(zones.counts()).write(page);
        }
    }
}

fn of(seeded: &Seeded) -> NetworkNumbers {
    NetworkNumbers {
        network: seeded.network(),
        named: seeded.rolls.borrow().nodes.len(),
        floor: seeded.standing.borrow().floor,
        published: (**seeded.published.borrow()).clone(),
    }
}
