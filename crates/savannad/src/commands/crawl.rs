//! `savanna crawl`: the whole network, surveyed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use futures_util::future::join_all;
use savanna_net::{Clock, Connector, LOOKUP_DEADLINE, NodeConfig, Target, Tasks, resolve};
use savanna_peerset::crawler::{Census, Plan, PlanConfig, Progress, Scope, Surveyor, survey_config};
use savanna_wire::{Network, PeerAddr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::CrawlArgs;
use crate::telemetry::{CrawlNumbers, Telemetry};

mod csv;
mod json;
mod places;
mod progress;
mod report;
mod state;
mod text;

use places::Places;
use progress::Reporter;
use state::{Keep, StateFile};

/// How long connections have to end.
const DRAIN: Duration = Duration::from_secs(2);

/// How much time lies between two copies of the state on disk: what a kill may cost.
const BETWEEN_COPIES: Duration = Duration::from_secs(30);

/// Crawls, and writes what was found.
pub(crate) async fn run(args: CrawlArgs) -> anyhow::Result<()> {
    check_outputs(&args)?;
    let places = args.geoip.as_deref().map(Places::open).transpose()?;
    let reporter = Reporter::new();
    let (tasks, clock) = (Tasks::new(), Clock::start());
    let telemetry = Telemetry::start(&args.metrics, &tasks).await?;
    let state = args.dir.as_deref().map(|dir| StateFile::open(dir, args.network)).transpose()?;
    let saved = state.as_ref().map(|state| state.load(&mut |trouble| reporter.line(trouble))).transpose()?.flatten();
    let seeds = seeds(&args, saved.is_some(), &reporter).await?;

    let node = NodeConfig { traffic: telemetry.traffic(), ..survey_config(args.network) };
    let until = args.duration.map(|duration| clock.now().monotonic + duration);
    let config = PlanConfig { network: args.network, scope: scope(args.network, &seeds), overlays: false, until };
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
    tokio::task::spawn_blocking(move || write(&census, places.as_ref(), &args)).await??;
    kept
}

/// Finds whom to begin with: the peers named, or what the DNS seeds name.
async fn seeds(args: &CrawlArgs, has_saved: bool, reporter: &Reporter) -> anyhow::Result<BTreeSet<PeerAddr>> {
    let network = args.network;
    let targets = if args.peers.is_empty() {
        network.dns_seeds().iter().filter_map(|name| name.parse().ok()).collect()
    } else {
        args.peers.clone()
    };
    if targets.is_empty() && !has_saved {
        bail!("there is nobody to ask: {network} has no DNS seeds, so name a peer with --peer");
    }
    let port = network.default_port();
    let lookups = targets.iter().map(|target: &Target| resolve(target, port, LOOKUP_DEADLINE));
    let (mut found, mut failures) = (BTreeSet::new(), Vec::new());
    for result in join_all(lookups).await {
        match result {
            Ok(addresses) => found.extend(addresses.into_iter().map(PeerAddr::from)),
            Err(error) => failures.push(error.to_string()),
        }
    }
    if found.is_empty() && !has_saved {
        return Err(anyhow!("there is nobody to ask: {}", failures.join("; ")));
    }
    failures.iter().for_each(|failure| reporter.line(failure));
    Ok(found)
}

/// Where the operator names a private address, the network is one of the operator's own.
fn scope(network: Network, seeds: &BTreeSet<PeerAddr>) -> Scope {
    let is_own = seeds.iter().any(|seed| !Scope::Public.admits(*seed) && Scope::Private.admits(*seed));
    if is_own { Scope::Private } else { Scope::of(network) }
}

/// Crawls until all is asked, the time is over or somebody interrupts it.
async fn crawl(
    plan: &mut Plan,
    surveyor: &Surveyor,
    clock: Clock,
    state: Option<&StateFile>,
    told: &Told<'_>,
) -> anyhow::Result<()> {
    let watched = |kind| signal(kind).context("signals cannot be watched");
    let (mut interrupt, mut terminate) = (watched(SignalKind::interrupt())?, watched(SignalKind::terminate())?);
    let mut copies = Copies { state, last: Instant::now(), running: None };
    let crawling = surveyor.run(plan, |plan| {
        told.tell(plan);
        copies.now_and_then(plan, clock);
    });
    tokio::select! {
        () = crawling => {}
        _ = interrupt.recv() => told.reporter.line("interrupted: this is the census so far"),
        _ = terminate.recv() => told.reporter.line("interrupted: this is the census so far"),
    }
    if let Some(running) = copies.running.take() {
        // The copy at the end is the one whose failure is told.
        let _ = running.await?;
    }
    Ok(())
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

/// Copies the state to disk while the crawl goes on.
struct Copies<'a> {
    state: Option<&'a StateFile>,
    last: Instant,
    running: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Copies<'_> {
    fn now_and_then(&mut self, plan: &Plan, clock: Clock) {
        let Some(state) = self.state.filter(|_| self.last.elapsed() >= BETWEEN_COPIES) else { return };
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        self.last = Instant::now();
        let (state, saved) = (state.clone(), plan.saved(clock.now()));
        self.running = Some(tokio::task::spawn_blocking(move || state.store(&saved)));
    }
}

/// Refuses two results on one stream, and files whose directories are not there, before hours are spent.
fn check_outputs(args: &CrawlArgs) -> anyhow::Result<()> {
    let outputs = || [&args.json, &args.csv, &args.report].into_iter().flatten();
    if outputs().filter(|file| is_stdout(file)).count() > 1 {
        bail!("only one result fits on standard output");
    }
    for file in outputs().filter(|file| !is_stdout(file)) {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        if parent.is_some_and(|parent| !parent.is_dir()) || file.is_dir() {
            bail!("{} cannot be written", file.display());
        }
    }
    Ok(())
}

fn write(census: &Census, places: Option<&Places>, args: &CrawlArgs) -> anyhow::Result<()> {
    write_to(args.json.as_deref(), |out| json::write(census, out))?;
    write_to(args.csv.as_deref(), |out| csv::write(census, out))?;
    write_to(args.report.as_deref(), |out| report::write(census, places, out))?;
    if ![&args.json, &args.csv, &args.report].into_iter().flatten().any(|file| is_stdout(file)) {
        write_to(Some(Path::new("-")), |out| text::write(census, out))?;
    }
    Ok(())
}

fn write_to(file: Option<&Path>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let Some(file) = file else { return Ok(()) };
    if is_stdout(file) {
        let mut out = io::stdout().lock();
        return write(&mut out).and_then(|()| out.flush()).context("standard output cannot be written");
    }
    let written = File::create(file).and_then(|file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.flush()
    });
    written.with_context(|| format!("{} cannot be written", file.display()))
}

fn is_stdout(file: &Path) -> bool {
    file == Path::new("-")
}
