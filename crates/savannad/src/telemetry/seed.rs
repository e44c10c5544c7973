//! The numbers of a seeder.

use savanna_seed::{Counts, Published, Refusal, SurveyCounts};
use savanna_wire::{Network, ProtocolVersion};

use super::metrics;
use super::page::{Metric, Page};

/// Where the survey of a network stands.
#[derive(Debug, Clone)]
pub(crate) struct NetworkNumbers {
    pub(crate) network: Network,
    pub(crate) floor: ProtocolVersion,
    pub(crate) named: usize,
    pub(crate) published: Published,
}

impl NetworkNumbers {
    /// Writes those of all networks.
    pub(crate) fn write(networks: &[Self], page: &mut Page) {
        let mut gauge = |metric: &'static Metric, read: fn(&Self) -> u64| {
            let mut series = page.metric(metric);
            networks.iter().for_each(|of| series.number(&[label(of.network)], read(of)));
        };
        gauge(&metrics::SEED_NAMED, |of| of.named as u64);
        gauge(&metrics::SEED_GOOD, |of| of.published.vetting.good as u64);
        gauge(&metrics::SEED_TRACKED, |of| of.published.tracked as u64);
        gauge(&metrics::SEED_TRYING, |of| of.published.trying as u64);
        gauge(&metrics::SEED_STALE, |of| of.published.vetting.is_stale.into());
        gauge(&metrics::SEED_HEIGHT, |of| {
            of.published.vetting.height.and_then(|height| u64::try_from(height).ok()).unwrap_or(0)
        });
        gauge(&metrics::SEED_FLOOR, |of| u64::try_from(of.floor.0).unwrap_or(0));
        let mut series = page.metric(&metrics::SEED_REFUSED);
        for of in networks {
            for refusal in Refusal::ALL {
                let count = of.published.vetting.refused.get(&refusal).copied().unwrap_or(0);
                series.number(&[label(of.network), refusal.label()], count as u64);
            }
        }
        let mut series = page.metric(&metrics::SEED_TRIES);
        for of in networks {
            let SurveyCounts { met, missed, other_chain, unproven, unsettled, .. } = of.published.counts;
            let outcomes = [
                ("met", met),
                ("missed", missed),
                ("other_chain", other_chain),
                ("unproven", unproven),
                ("unsettled", unsettled),
            ];
            outcomes.into_iter().for_each(|(outcome, count)| series.number(&[label(of.network), outcome], count));
        }
        let mut series = page.metric(&metrics::SEED_TOLD);
        for of in networks {
            let SurveyCounts { told, taken, .. } = of.published.counts;
            series.number(&[label(of.network), "taken"], taken);
            series.number(&[label(of.network), "passed_over"], told.saturating_sub(taken));
        }
    }
}

/// What was asked by DNS, and answered.
#[derive(Debug, Clone)]
pub(crate) struct DnsNumbers(pub(crate) Counts);

impl DnsNumbers {
    pub(crate) fn write(&self, page: &mut Page) {
        let Self(counts) = self;
        let mut series = page.metric(&metrics::DNS_ANSWERS);
        for count in &counts.answered {
            series.number(&[count.kind, count.outcome, count.transport], count.count);
        }
        let mut series = page.metric(&metrics::DNS_UNANSWERED);
        let reasons = [
            ("limited", counts.limited),
            ("slipped", counts.slipped),
            ("ignored", counts.ignored),
            ("unsent", counts.unsent),
            ("no_connection", counts.connections_refused),
        ];
        reasons.into_iter().for_each(|(reason, count)| series.number(&[reason], count));
    }
}

const fn label(network: Network) -> &'static str {
    match network {
        Network::Mainnet => "mainnet",
        Network::Testnet => "testnet",
        Network::Regtest => "regtest",
    }
}
