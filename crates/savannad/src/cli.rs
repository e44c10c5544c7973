//! The command line.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use savanna_net::Target;
use savanna_wire::Network;

mod archive;
mod seed;

pub(crate) use archive::{ArchiveArgs, ArchiveCommand, ExportArgs, GetArgs, HeightRange, IndexArgs, Name, ReportArgs};
pub(crate) use seed::{CheckArgs, DumpArgs, DumpFormat, SeedArgs, SeedCommand, SeederArgs};

/// Zcash's peer-to-peer network, from the command line.
#[derive(Debug, Parser)]
#[command(name = "savanna", version, about, after_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
Results go to standard output, progress and trouble to standard error.
Exit status: 0 done, 1 failed with one sentence that says why, 2 wrong usage.
SAVANNA_LOG sets how much is logged, for example SAVANNA_LOG=savanna_net=debug.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look at one peer: who it is, how near, and what it answers
    Connect(ConnectArgs),
    /// Fetch the chain from peers, verify it, and keep it
    Sync(SyncArgs),
    /// Look into the chain that is kept: what it is, whether it is whole, and its blocks
    Archive(ArchiveArgs),
    /// Survey the whole network: who is there, what they run, and who would be left behind
    Crawl(CrawlArgs),
    /// Introduce newcomers: survey the network without end, and name its good nodes by DNS and to peers that ask
    Seed(Box<SeedArgs>),
    /// Run a node: find peers, follow the chain, keep it, and serve it to others
    Start(NodeArgs),
    /// Print the settings of `start`, with what each is for
    Config(NodeArgs),
    /// Watch a newcomer fetch real blocks from peers on this machine, of which one stalls and one lies
    Demo(DemoArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// The peer: HOST or HOST:PORT, an IPv6 address with a port in brackets
    #[arg(value_name = "ADDR")]
    pub(crate) peer: Target,
    /// The network that the peer is on: mainnet, testnet or regtest
    #[arg(long, default_value = "mainnet")]
    pub(crate) network: Network,
    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    /// The network: mainnet, testnet or regtest
    #[arg(long, default_value = "mainnet")]
    pub(crate) network: Network,
    /// Peers to fetch from and from nobody else, each HOST or HOST:PORT; may be given more than once. Without any, peers are
    /// found by the DNS seeds and by the address book in DIR
    #[arg(long = "peer", value_name = "ADDR", num_args = 1.., value_delimiter = ',')]
    pub(crate) peers: Vec<Target>,
    /// The directory that holds the chain, and the address book; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Stop at this height instead of the tip
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) until: Option<u32>,
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CrawlArgs {
    /// The network: mainnet, testnet or regtest
    #[arg(long, default_value = "mainnet")]
    pub(crate) network: Network,
    /// Peers to begin with, each HOST or HOST:PORT; may be given more than once. Without any, the DNS seeds
    #[arg(long = "peer", value_name = "ADDR", num_args = 1.., value_delimiter = ',')]
    pub(crate) peers: Vec<Target>,
    /// How long to crawl at most, as in 90s, 10m or 1h; without it, until everybody was asked once
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) duration: Option<Duration>,
    /// A directory that keeps what is known: the next crawl goes on from it and says what changed
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Write the census to this file as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Write one line a node to this file as CSV; - is standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,
    /// Write a report with charts to this file: one page of HTML that needs nothing else
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
    /// Tell countries and operators in the report, by this database in the MaxMind format
    #[arg(long, value_name = "FILE.mmdb", requires = "report")]
    pub(crate) geoip: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NodeArgs {
    /// A file of settings in TOML; `savanna config` tells which there are. Without any, SAVANNA_CONFIG may name one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The network: mainnet, testnet or regtest
    #[arg(long)]
    pub(crate) network: Option<Network>,
    /// Where peers may dial this node, IP:PORT or IP; may be given more than once
    #[arg(long, value_name = "ADDR", num_args = 1.., value_delimiter = ',')]
    pub(crate) listen: Vec<String>,
    /// Peers that are always dialled, each HOST or HOST:PORT; may be given more than once
    #[arg(long = "peer", value_name = "ADDR", num_args = 1.., value_delimiter = ',')]
    pub(crate) peers: Vec<Target>,
    /// The directory that holds the chain and the address book; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Serve /metrics, /health, /ready and /status here: IP:PORT, or a PORT alone, which is for this machine only
    #[arg(long, value_name = "ADDR", value_parser = own_address)]
    pub(crate) http: Option<SocketAddr>,
}

/// Reads `90s`, `10m`, `1h 30m`; a bare number is seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    const MOST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let duration = text.parse().map(Duration::from_secs).or_else(|_| humantime::parse_duration(text));
    duration.map(|duration| duration.min(MOST)).map_err(|error| format!("{error}, as in 90s, 10m or 1h"))
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) metrics: MetricsArgs,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// Serve numbers for Prometheus at http://ADDR/metrics: how many peers, requests, bytes and handshakes, how long they
    /// take, how large this process is; no address of a peer. ADDR is IP:PORT, and whoever reaches it may read them; a PORT
    /// alone is for this machine only
    #[arg(long, value_name = "ADDR", value_parser = own_address)]
    pub(crate) metrics: Option<SocketAddr>,
}

/// Reads an address with its port, or a port alone, which stays on this machine.
pub(crate) fn own_address(text: &str) -> Result<SocketAddr, &'static str> {
    let on_loopback = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let address = text.parse().or_else(|_| text.parse().map(on_loopback));
    address.map_err(|_| "it is neither IP:PORT nor a port")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_port_alone_is_for_this_machine() {
        for (text, address) in [("9100", "127.0.0.1:9100"), ("0.0.0.0:9100", "0.0.0.0:9100"), ("[::1]:9", "[::1]:9")] {
            assert_eq!(own_address(text).map(|address| address.to_string()), Ok(address.to_owned()));
        }
        for wrong in ["", ":9100", "localhost:9100", "127.0.0.1", "65536", "-1"] {
            assert!(own_address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn peers_may_be_listed_in_every_usual_way() {
        let line = "savanna sync --dir d --peer a:1 b:2 --peer c:3,d:4 --network regtest";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Sync(sync) = cli.command else { unreachable!("sync was asked for") };
        assert_eq!(sync.peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:2", "c:3", "d:4"]);
    }

    #[test]
    fn durations_have_units() {
        for (text, seconds) in [("90", 90), ("90s", 90), ("10m", 600), ("1h 30m", 5_400), ("0", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for wrong in ["", "s", "-1s", "10 parsecs", "1é", "99999999999999999999s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
