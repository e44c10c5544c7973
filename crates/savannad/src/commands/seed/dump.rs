//! `savanna seed dump`: what is known of nodes, written down.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use savanna_book::UnixTime;
use savanna_seed::dump::{ZoneHead, json, table, zone_file};
use savanna_seed::{Ledger, LedgerStore, Roll, Snapshot};
use savanna_wire::Network;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{dns, network};
use crate::cli::{DumpArgs, DumpFormat};
use crate::config::{SeedConfig, ZoneConfig, process_environment};

/// How long a seeder that runs may take for its answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// No dump is longer: it would be of more nodes than are ever tracked.
const LONGEST: u64 = 1 << 30;

/// Writes what a seeder knows: one that runs and is asked, or the one whose directory it is.
pub(super) async fn run(args: DumpArgs) -> anyhow::Result<()> {
    if let Some(address) = args.from {
        let text = ask(address, args.format, args.seeder.network).await;
        return super::print(&text.with_context(|| format!("the seeder at {address} cannot be asked"))?);
    }
    let config = SeedConfig::load(&args.seeder, &process_environment)?;
    let [zone] = &config.zones[..] else {
        bail!(
            "the file has {} networks: ask the seeder that runs with --from and --network, or name one",
            config.zones.len()
        );
    };
    let (dir, name) = (config.dir.clone(), zone.network);
    let file = dir.join(LedgerStore::file_name(name));
    if !file.exists() {
        bail!("{} is not there: no seeder has kept anything of {name} in this directory (--dir)", file.display());
    }
    let opened = spawn_blocking(move || LedgerStore::open(&dir, name)).await?.map_err(|error| {
        let error = network::of_store(error);
        anyhow!("{error:#}; one that runs can be asked with --from")
    })?;
    if let Some(aside) = opened.set_aside {
        bail!("{aside}");
    }
    let snapshot = opened.snapshot.ok_or_else(|| anyhow!("nothing is known of {name} yet"))?;
    super::print(&write(zone, snapshot, args.format, unix_now())?)
}

/// Writes a snapshot.
///
/// # Errors
/// If it cannot be written so.
pub(super) fn write(
    zone: &ZoneConfig,
    snapshot: Snapshot,
    format: DumpFormat,
    now: UnixTime,
) -> anyhow::Result<String> {
    let seed = network::derive([0; 32], &now.0.to_be_bytes());
    let ledger = network::ledger(zone, Some(snapshot), seed, now);
    Ok(match format {
        DumpFormat::Columns => table(ledger.reports(now)),
        DumpFormat::Json => json(ledger.reports(now))? + "\n",
        DumpFormat::Zone => zone_file(&head(zone, now)?, &roll(&ledger, now), seed)?,
    })
}

fn roll(ledger: &Ledger, now: UnixTime) -> Roll {
    Roll { nodes: ledger.reports(now).filter_map(|report| report.verdict.ok()).collect() }
}

fn head(zone: &ZoneConfig, now: UnixTime) -> anyhow::Result<ZoneHead> {
    if zone.name.is_empty() {
        bail!("a zone file is one of a zone: name it with --zone, --ns and --contact");
    }
    Ok(ZoneHead {
        zone: zone.name.clone(),
        name_servers: zone.ns.iter().map(|server| server.name.clone()).collect(),
        contact: zone.contact.clone(),
        ttl: u32::try_from(zone.ttl).unwrap_or(u32::MAX),
        serial: now.0,
    })
}

pub(super) fn unix_now() -> UnixTime {
    UnixTime(u32::try_from(dns::unix_now()).unwrap_or(u32::MAX))
}

/// Asks a seeder that runs.
async fn ask(address: SocketAddr, format: DumpFormat, network: Option<Network>) -> anyhow::Result<String> {
    let network = network.map(|network| format!("&network={network}")).unwrap_or_default();
    let request = format!("GET /dump?format={}{network} HTTP/1.0\r\nHost: {address}\r\n\r\n", format.word());
    let answering = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(LONGEST).read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(DEADLINE, answering).await.context("it does not answer in time")??;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| anyhow!("its answer is cut short"))?;
    let length = head.lines().filter_map(|line| line.split_once(": "));
    let length =
        length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length")).find_map(|(_, len)| len.parse().ok());
    if length.is_some_and(|length: usize| length != body.len()) {
        bail!("its answer is cut short");
    }
    match head.split(' ').nth(1) {
        Some("200") => Ok(body.to_owned()),
        _ => bail!("it says: {}", body.trim()),
    }
}
