//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
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

/// A peer as a person writes it: a host, with or without a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

impl FromStr for Target {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or("the bracket of the IPv6 address is not closed")?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| "an IPv6 address belongs between the brackets")?;
            (
                host,
                if after.is_empty() {
                    None
                } else {
                    Some(after.strip_prefix(':').ok_or("a port begins with a colon")?)
                },
            )
        } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
            (text, None)
        } else {
            match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            }
        };
        if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
            return Err("a peer is HOST or HOST:PORT");
        }
        let port =
            port.map(|port| port.parse().ok().filter(|port| *port != 0).ok_or("a port is a number from 1 to 65535"));
        Ok(Self { host: host.to_owned(), port: port.transpose()? })
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.port, self.host.contains(':')) {
            (Some(port), true) => write!(f, "[{}]:{port}", self.host),
            (Some(port), false) => write!(f, "{}:{port}", self.host),
            (None, _) => f.write_str(&self.host),
        }
    }
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
    fn a_target_is_a_host_with_or_without_a_port() {
        let read = |text: &str| text.parse::<Target>().map(|target| (target.host, target.port));
        assert_eq!(read("seed.example"), Ok(("seed.example".to_owned(), None)));
        assert_eq!(read("127.0.0.1:18444"), Ok(("127.0.0.1".to_owned(), Some(18444))));
        assert_eq!(read("::1"), Ok(("::1".to_owned(), None)));
        assert_eq!(read("[::1]:8233"), Ok(("::1".to_owned(), Some(8233))));
        for wrong in ["", ":1", "host:", "host:0", "host:65536", "host:1:2", "[::1", "[::1]8233", "[host]:1", "a b"] {
            assert!(read(wrong).is_err(), "{wrong:?} was taken");
        }
    }

    #[test]
    fn peers_may_be_listed_in_every_usual_way() {
        let line = "savanna sync --dir d --peer a:1 b:2 --peer c:3,d:4 --network regtest";
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Sync(sync) = cli.command else { unreachable!("sync was asked for") };
        assert_eq!(sync.peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:2", "c:3", "d:4"]);
    }
}
