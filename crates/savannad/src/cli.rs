//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use savanna_net::Target;
use savanna_wire::Network;

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
    /// Peers to fetch from, each HOST or HOST:PORT; may be given more than once
    #[arg(long = "peer", value_name = "ADDR", required = true, num_args = 1.., value_delimiter = ',')]
    pub(crate) peers: Vec<Target>,
    /// The directory that holds the chain; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Stop at this height instead of the tip
    #[arg(long, value_name = "HEIGHT")]
    pub(crate) until: Option<u32>,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
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
    fn peers_may_be_listed_in_every_usual_way() {
        let line = "savanna sync --dir d --peer a:1 b:2 --peer c:3,d:4 --network regtest";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Sync(sync) = cli.command else { unreachable!("sync was asked for") };
        assert_eq!(sync.peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:2", "c:3", "d:4"]);
    }
}
