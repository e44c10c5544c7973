//! What the seeder tells over HTTP: whether it works, whether it is of use, and whom it knows.

use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use clap::ValueEnum as _;
use savanna_seed::{Refusal, SurveyCounts, Zones};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use super::dns::unix_now;
use super::dump;
use super::network::Seeded;
use crate::cli::DumpFormat;

/// How old what the survey published may be, in seconds, until it says nothing of the present.
const STALE_AFTER: u64 = 120;

/// What can be seen of a seeder. Clones see the same.
#[derive(Clone)]
pub(super) struct View {
    networks: Arc<[Seeded]>,
    zones: Option<Zones>,
    began: Instant,
}

/// The answer of `/status`.
#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    uptime_seconds: u64,
    networks: Vec<NetworkStatus>,
    dns: Option<DnsStatus>,
}

#[derive(Debug, Serialize)]
struct NetworkStatus {
    network: String,
    zone: Option<String>,
    ready: bool,
    reason: Option<String>,
    named: usize,
    good: usize,
    tracked: usize,
    trying: usize,
    stale: bool,
    height: Option<i32>,
    floor: i32,
    refused: BTreeMap<&'static str, usize>,
    tries: Tries,
}

#[derive(Debug, Serialize)]
struct Tries {
    met: u64,
    missed: u64,
    other_chain: u64,
    unproven: u64,
    unsettled: u64,
}

#[derive(Debug, Serialize)]
struct DnsStatus {
    answered: u64,
    limited: u64,
    slipped: u64,
    ignored: u64,
}

/// The answer of `/ready`.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl View {
    pub(super) fn new(networks: Vec<Seeded>, zones: Option<Zones>) -> Self {
        Self { networks: networks.into(), zones, began: Instant::now() }
    }

    fn status(&self) -> Status {
        let dns = self.zones.as_ref().map(|zones| {
            let counts = zones.counts();
            let answered = counts.answered.iter().map(|count| count.count).sum();
            DnsStatus { answered, limited: counts.limited, slipped: counts.slipped, ignored: counts.ignored }
        });
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: self.began.elapsed().as_secs(),
            networks: self.networks.iter().map(|seeded| self.status_of(seeded)).collect(),
            dns,
        }
    }

    fn status_of(&self, seeded: &Seeded) -> NetworkStatus {
        let reason = self.unready(seeded);
        let published = Arc::clone(&seeded.published.borrow());
        let SurveyCounts { met, missed, other_chain, unproven, unsettled, .. } = published.counts;
        NetworkStatus {
            network: seeded.network().to_string(),
            zone: (!seeded.config.name.is_empty()).then(|| seeded.config.name.clone()),
            ready: reason.is_none(),
            reason,
            named: seeded.rolls.borrow().nodes.len(),
            good: published.vetting.good,
            tracked: published.tracked,
            trying: published.trying,
            stale: published.vetting.is_stale,
            height: published.vetting.height,
            floor: seeded.standing.borrow().floor.0,
            refused: published.vetting.refused.iter().map(|(reason, count)| (reason.label(), *count)).collect(),
            tries: Tries { met, missed, other_chain, unproven, unsettled },
        }
    }

    /// Says why a network's newcomers are told of nobody, if they are not.
    fn unready(&self, seeded: &Seeded) -> Option<String> {
        let (network, name) = (seeded.network(), &seeded.config.name);
        let published = Arc::clone(&seeded.published.borrow());
        let (vetting, nobody) = (&published.vetting, seeded.rolls.borrow().nodes.is_empty());
        let why = if published.at.0 == 0 {
            "the survey has just begun".to_owned()
        } else if unix_now().saturating_sub(published.at.0.into()) > STALE_AFTER {
            "the survey has come to a standstill".to_owned()
        } else if nobody && vetting.is_stale {
            format!("nobody answers, of {} nodes that are known", published.tracked)
        } else if nobody {
            format!(
                "nobody is to be named, of {} nodes that are known{}",
                published.tracked,
                refusals(&vetting.refused)
            )
        } else if !name.is_empty() && self.zones.as_ref().is_some_and(|zones| !zones.is_ready(name)) {
            format!("{name} does not name them yet")
        } else {
            return None;
        };
        Some(format!("{network}: {why}"))
    }
}

fn refusals(refused: &BTreeMap<Refusal, usize>) -> String {
    let reasons: Vec<_> =
        refused.iter().map(|(reason, count)| format!("{count} {}", reason.label().replace('_', " "))).collect();
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) }
}

/// Serves what can be seen; `fallen` names a part of the seeder that has ended.
pub(super) fn router(view: View, fallen: watch::Receiver<Option<&'static str>>) -> Router {
    let health = move || {
        let fallen = *fallen.borrow();
        ready(match fallen {
            None => (StatusCode::OK, "ok\n".to_owned()),
            Some(part) => (StatusCode::SERVICE_UNAVAILABLE, format!("the part that is {part} has ended\n")),
        })
    };
    let status = async |State(view): State<View>| Json(view.status());
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(readiness))
        .route("/status", get(status))
        .route("/dump", get(dumped))
        .with_state(view)
}

async fn readiness(State(view): State<View>) -> Response {
    let reasons: Vec<_> = view.networks.iter().filter_map(|seeded| view.unready(seeded)).collect();
    let reason = (!reasons.is_empty()).then(|| reasons.join("; "));
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready: reason.is_none(), reason })).into_response()
}

/// Writes down what is known of one network, as `?format=columns&network=mainnet` says.
async fn dumped(State(view): State<View>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let value = |key: &str| query.split('&').find_map(|pair| pair.split_once('=').filter(|(name, _)| *name == key));
    let bad = |sentence: &str| (StatusCode::BAD_REQUEST, format!("{sentence}\n")).into_response();
    let Ok(format) = DumpFormat::from_str(value("format").map_or("columns", |(_, word)| word), false) else {
        return bad("the format is to be columns, json or zone");
    };
    let named = value("network").map(|(_, network)| network);
    let mut seeded =
        view.networks.iter().filter(|seeded| named.is_none_or(|named| seeded.network().to_string() == named));
    let (Some(seeded), None) = (seeded.next(), seeded.next()) else {
        let networks: Vec<_> = view.networks.iter().map(|seeded| seeded.network().to_string()).collect();
        return bad(&format!("name one network of {} (--network)", networks.join(", ")));
    };
    let unavailable = |error: anyhow::Error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}\n")).into_response();
    let snapshot = match seeded.copy().await {
        Ok(snapshot) => snapshot,
        Err(error) => return unavailable(error),
    };
    let config = Arc::clone(&seeded.config);
    match spawn_blocking(move || dump::write(&config, snapshot, format, dump::unix_now())).await {
        Ok(Ok(text)) => text.into_response(),
        Ok(Err(error)) => unavailable(error),
        Err(error) => unavailable(error.into()),
    }
}

/// Tells whoever asks for something else what there is.
pub(super) fn or_nothing(pages: Router) -> Router {
    pages.fallback(async || {
        (StatusCode::NOT_FOUND, "404 Not Found: there are /metrics, /health, /ready, /status and /dump\n")
    })
}
