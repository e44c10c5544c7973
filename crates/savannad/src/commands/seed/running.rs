//! A seeder that runs: its parts, and its end.

use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use savanna_net::{Handshake, Listener, NodeConfig, Tasks};
use savanna_seed::{Dns, SeedService, Zones};
use tokio::net::TcpListener;

use super::network::{Seeded, Surveying, derive, open};
use super::numbers::SeedNumbers;
use super::pages::{self, View};
use super::parts::Parts;
use super::{dns, door, keys};
use crate::commands::start::of_socket;
use crate::config::SeedConfig;
use crate::telemetry::Telemetry;
use crate::web;

/// A seeder that runs.
pub(super) struct Running {
    shutdown: Duration,
    networks: Vec<Seeded>,
    tasks: Tasks,
    parts: Parts,
}

/// A network that is ready to be seeded.
struct Ready {
    seeded: Seeded,
    surveying: Surveying,
    handshake: Handshake<SeedService>,
    listeners: Vec<Listener>,
}

impl Running {
    /// Opens the disk, binds every socket, and then begins to run.
    ///
    /// # Errors
    /// A sentence that a person can act on. Nothing runs then.
    pub(super) async fn start(config: SeedConfig) -> anyhow::Result<Self> {
        let (tasks, telemetry) = (Tasks::new(), Telemetry::new());
        let pages = match config.http {
            Some(address) => {
                let bound = TcpListener::bind(address).await;
                Some(bound.map_err(|error| of_socket(address, &error, "--http"))?)
            }
            None => None,
        };
        let (zones, dns) = dns_of(&config)?;
        let mut ready = Vec::new();
        for zone in &config.zones {
            let listeners = door::bind(zone).await?;
            let (seeded, surveying, handshake) = open(&config, zone, &telemetry.traffic(), &tasks.spawner()).await?;
            ready.push(Ready { seeded, surveying, handshake, listeners });
        }
        let networks: Vec<_> = ready.iter().map(|ready| ready.seeded.clone()).collect();
        let shutdown = Duration::from_secs(config.shutdown);
        let running = Self { shutdown, networks: networks.clone(), tasks, parts: Parts::new() };
        tracing::info!(version = env!("CARGO_PKG_VERSION"), dir = %config.dir.display(), "savanna begins to seed");
        telemetry.add(SeedNumbers::new(&networks, zones.clone()));
        ready.into_iter().for_each(|ready| running.seed(ready, zones.as_ref()));
        if let Some(dns) = dns {
            running.answer(dns)?;
        }
        if let Some(listener) = pages {
            let address = listener.local_addr()?;
            tracing::info!("/metrics, /health, /ready, /status and /dump at http://{address}");
            let view = View::new(networks, zones);
            let pages = pages::router(view, running.parts.alive()).merge(telemetry.pages());
            running.tasks.spawn(web::serve(listener, pages::or_nothing(pages), running.tasks.spawner().stop()));
        }
        Ok(running)
    }

    fn spawn(&self, name: &'static str, part: BoxFuture<'static, ()>) {
        self.tasks.spawn(self.parts.watch(name, self.tasks.spawner().stop(), part));
    }

    /// Begins to seed one network.
    fn seed(&self, ready: Ready, zones: Option<&Zones>) {
        let Ready { seeded, surveying, handshake, listeners } = ready;
        let network = seeded.network();
        let floor = seeded.standing.borrow().floor.0;
        tracing::info!(%network, floor, "the survey begins");
        self.spawn("surveying", surveying.run().boxed());
        self.spawn("asking for nodes to begin with", seeded.clone().introduce().boxed());
        self.spawn("watching whom it names", seeded.clone().watch().boxed());
        self.spawn("keeping what is known", seeded.clone().keep_on().boxed());
        for listener in listeners {
            if let Some(address) = door::address(&listener) {
                tracing::info!(%network, %address, "peers may dial this seeder");
            }
            self.spawn("answering peers", door::take_in(listener, handshake.clone()).boxed());
        }
        if let Some(zones) = zones.filter(|_| !seeded.config.name.is_empty()) {
            let told = dns::tell(seeded.config.name.clone(), zones.clone(), seeded.rolls.clone(), seeded.published);
            self.spawn("passing on whom to name", told.boxed());
        }
    }

    /// Begins to answer by DNS.
    fn answer(&self, dns: Dns) -> anyhow::Result<()> {
        for address in dns.local_addrs()? {
            tracing::info!(%address, "DNS is answered");
        }
        let mut stop = self.tasks.spawner().stop();
        let serving = async move {
            if let Err(error) = dns.serve(async move { stop.stopped().await }).await {
                tracing::error!(%error, "DNS is answered no more");
            }
        };
        self.spawn("answering DNS", serving.boxed());
        Ok(())
    }

    /// Waits until a part has ended, and returns which.
    pub(super) async fn fallen(&self) -> &'static str {
        self.parts.ended().await
    }

    /// Ends in good order: what is known is kept, peers are told goodbye, and nothing is answered any more.
    pub(super) async fn drain(self) -> anyhow::Result<()> {
        let began = Instant::now();
        let keeping = join_all(self.networks.iter().map(Seeded::keep));
        let kept = tokio::time::timeout(self.shutdown, keeping).await;
        let late = self.tasks.shutdown(self.shutdown.saturating_sub(began.elapsed())).await;
        if late > 0 {
            tracing::warn!(tasks = late, "what did not end in time was cut short");
        }
        match kept {
            Ok(results) => results.into_iter().collect::<anyhow::Result<()>>()?,
            Err(_) => anyhow::bail!("the disk took longer than {} s to keep what is known", self.shutdown.as_secs()),
        }
        tracing::info!("ended");
        Ok(())
    }
}

/// Describes the zones, opens their keys, and takes the sockets of DNS.
fn dns_of(config: &SeedConfig) -> anyhow::Result<(Option<Zones>, Option<Dns>)> {
    if config.dns.is_empty() {
        return Ok((None, None));
    }
    let mut zones = Vec::new();
    for zone in config.zones.iter().filter(|zone| !zone.name.is_empty()) {
        let described = keys::open(&config.dir, zone)?;
        if let Some(line) = described.ds() {
            tracing::info!("the parent zone is to carry: {line}");
        }
        zones.push(described);
    }
    let secret = NodeConfig::new(savanna_wire::Network::Mainnet).seed;
    let zones = Zones::new(zones, derive(secret, b"draws"), dns::unix_now())?;
    let limited = derive(secret, b"limits").iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
    let bound = Dns::bind(&config.dns, zones.clone(), config.limits(), limited);
    let bound = bound.map_err(|error| match config.dns[..] {
        [address] => of_socket(address, &error, "--dns"),
        _ => anyhow!("one of {:?} cannot be had for DNS: {error}; choose others with --dns", config.dns),
    })?;
    Ok((Some(zones), Some(bound)))
}
