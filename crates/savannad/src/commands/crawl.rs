//! `savanna crawl`: the whole network, surveyed.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use savanna_net::{Clock, Connector, LOOKUP_DEADLINE, NodeConfig, Target, Tasks, resolve};
use savanna_peerset::crawler::{Plan, PlanConfig, Progress, Scope, Surveyor, survey_config};
use savanna_wire::{Network, PeerAddr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::cli::CrawlArgs;
use crate::telemetry::{CrawlNumbers, Telemetry};

mod copies;
mod csv;
mod json;
mod outputs;
mod places;
mod progress;
mod report;
mod state;
mod text;

use copies::Copies;
use outputs::Outputs;
use places::Places;
use progress::Reporter;
use state::{Keep, StateFile};

/// How long connections have to end.
const DRAIN: Duration = Duration::from_secs(2);

/// Crawls, and writes what was found.
pub(crate) async fn run(args: CrawlArgs) -> anyhow::Result<()> {
    raise_file_limit();
    let outputs = Outputs::open(&args)?;
    let places = args.geoip.as_deref().map(Places::open).transpose()?;
    let reporter = Reporter::new();
    let (tasks, clock) = (Tasks::new(), Clock::start());
    let telemetry = Telemetry::start(&args.metrics, &tasks).await?;
    let state = args.dir.as_deref().map(|dir| StateFile::open(dir, args.network)).transpose()?;
    let saved = state.as_ref().map(|state| state.load(&mut |trouble| reporter.line(trouble))).transpose()?.flatten();
    let seeds = seeds(&args, saved.is_some(), &reporter).await?;

    let node = NodeConfig { traffic: telemetry.traffic(), ..survey_config(args.network) };
    let until = args.duration.map(|duration| clock.now().monotonic + duration);
    let config = PlanConfig { network: args.network, scope: scope(args.network, &args.peers), overlays: false, until };
    let mut plan = Plan::new(config, node.seed, clock.now());
    if let Some(saved) = saved {
        plan.resume(saved, clock.now());
    }
    plan.introduce(seeds, clock.now());
    let connector = Connector::direct().with_traffic(telemetry.traffic());
    let surveyor = Surveyor::new(node, connector, clock, tasks.spawner());
    let told = Told { reporter: &reporter, numbers: telemetry.crawl() };
    crawl(&mut plan, &surveyor, clock, state.as_ref(), &told).await?;

    let (census, left) = (plan.census(clock.now()), plan.saved(clock.now()));
    reporter.finish();
    tasks.shutdown(DRAIN).await;
    // Whatever cannot be kept, the census can still be written.
    let kept = match state {
        Some(state) => tokio::task::spawn_blocking(move || state.store(&left)).await?,
        None => Ok(()),
    };
    tokio::task::spawn_blocking(move || outputs.write(&census, places.as_ref())).await??;
    kept
}

/// Finds whom to begin with: the peers named, or what the DNS seeds name.
async fn seeds(args: &CrawlArgs, has_saved: bool, reporter: &Reporter) -> anyhow::Result<BTreeSet<PeerAddr>> {
    let network = args.network;
    let targets: Vec<Target> = if args.peers.is_empty() {
        network.dns_seeds().iter().filter_map(|name| name.parse().ok()).collect()
    } else {
        args.peers.clone()
    };
    if targets.is_empty() && !has_saved {
        bail!("there is nobody to ask: {network} has no DNS seeds, so name a peer with --peer");
    }
    let port = network.default_port();
    let lookups = targets.iter().map(|target| resolve(target, port, LOOKUP_DEADLINE));
    let (mut found, mut failures) = (BTreeSet::new(), Vec::new());
    for (target, result) in targets.iter().zip(join_all(lookups).await) {
        match result.map(|addresses| believed(network, target, addresses)) {
            Ok(addresses) if addresses.is_empty() => failures.push(format!("{target} leads to no public address")),
            Ok(addresses) => found.extend(addresses),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if found.is_empty() && !has_saved {
        return Err(anyhow!("there is nobody to ask: {}", failures.join("; ")));
    }
    failures.iter().for_each(|failure| reporter.line(failure));
    Ok(found)
}

/// Takes from a resolver only what belongs to the network; an address that the operator wrote is taken as it is.
///
/// # Security
/// Whoever answers for a name could otherwise have the crawl knock at the operator's own machines.
pub(super) fn believed(network: Network, target: &Target, found: Vec<SocketAddr>) -> Vec<PeerAddr> {
    let is_literal = target.socket_addr(network.default_port()).is_some();
    let found = found.into_iter().map(PeerAddr::from);
    found.filter(|address| is_literal || Scope::of(network).admits(*address)).collect()
}

/// Where the operator names a private address, the network is one of the operator's own. What a name resolves to says nothing.
fn scope(network: Network, targets: &[Target]) -> Scope {
    let literals = targets.iter().filter_map(|target| target.socket_addr(network.default_port())).map(PeerAddr::from);
    let mut own = literals.filter(|peer| !Scope::Public.admits(*peer) && Scope::Private.admits(*peer));
    if own.next().is_some() { Scope::Private } else { Scope::of(network) }
}

/// Crawls until all is asked, the time is over or somebody interrupts it.
async fn crawl(
    plan: &mut Plan,
    surveyor: &Surveyor,
    clock: Clock,
    state: Option<&StateFile>,
    told: &Told<'_>,
) -> anyhow::Result<()> {
    let interrupted = interrupts()?;
    let mut copies = Copies::new(state);
    let crawling = surveyor.run(plan, |plan| {
        told.tell(plan);
        copies.go_on(plan, clock);
    });
    tokio::select! {
        () = crawling => {}
        _ = interrupted => told.reporter.line("interrupted: this is the census so far; a second time ends it at once"),
    }
    copies.finish().await
}

/// Watches for interrupts: the first ends the crawl, and the second the program.
fn interrupts() -> anyhow::Result<oneshot::Receiver<()>> {
    /// The status of a program that ended by an interrupt, as shells have it.
    const INTERRUPTED: i32 = 130;
    let watched = |kind| signal(kind).context("signals cannot be watched");
    let (mut interrupt, mut terminate) = (watched(SignalKind::interrupt())?, watched(SignalKind::terminate())?);
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        let _ = tell.send(());
        next().await;
        std::process::exit(INTERRUPTED);
    });
    Ok(told)
}

/// Whom a crawl tells how far it has come.
struct Told<'a> {
    reporter: &'a Reporter,
    numbers: watch::Sender<CrawlNumbers>,
}

impl Told<'_> {
    fn tell(&self, plan: &Plan) {
        let Progress { summary: nodes, in_flight, .. } = plan.progress();
        self.numbers.send_replace(CrawlNumbers { nodes, in_flight });
        self.reporter.show(plan);
    }
}

/// Lets this process open as many files as the system allows it: each conversation is one.
pub(super) fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Without it the crawl is slower, and says so when it comes to that.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(names: &[&str]) -> Vec<Target> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    #[test]
    fn adversary_16_only_an_address_that_the_operator_wrote_opens_private_networks() {
        let of = |network, names: &[&str]| scope(network, &targets(names));
        assert_eq!(of(Network::Mainnet, &["10.0.0.1", "1.1.1.1"]), Scope::Private);
        assert_eq!(of(Network::Mainnet, &["1.1.1.1", "localhost", "seed.example"]), Scope::Public);
        assert_eq!(of(Network::Regtest, &["localhost"]), Scope::Private);
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let answer = addresses(&["127.0.0.1:8233", "192.168.0.1:8233", "1.1.1.1:8233"]);
        let name = &targets(&["seed.example"])[0];
        assert_eq!(
            believed(Network::Mainnet, name, answer.clone()),
            addresses(&["1.1.1.1:8233"]).into_iter().map(PeerAddr::from).collect::<Vec<_>>()
        );
        assert_eq!(believed(Network::Regtest, name, answer).len(), 3);
        let literal = &targets(&["127.0.0.1:8233"])[0];
        assert_eq!(believed(Network::Mainnet, literal, addresses(&["127.0.0.1:8233"])).len(), 1);
    }

    #[test]
    fn the_limit_of_open_files_is_raised_to_what_is_allowed() {
        raise_file_limit();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
    }
}
