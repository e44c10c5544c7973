//! The seeder's part of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use savanna_net::Target;
use savanna_wire::Network;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct SeedArgs {
    #[command(flatten)]
    pub(crate) seeder: SeederArgs,
    #[command(subcommand)]
    pub(crate) command: Option<SeedCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SeedCommand {
    /// Audit a seeder, this or another: what it answers by DNS, and whom it names
    Check(CheckArgs),
    /// Print the settings of `seed`, with what each is for
    Config(SeederArgs),
    /// Print the DS record that the parent zone is to carry, and the key; the key is made if there is none
    #[command(visible_alias = "ds")]
    Keys(SeederArgs),
    /// Write down what is known of nodes: in the columns that the tools of Bitcoin's seeders read, as JSON, or as a zone file
    Dump(DumpArgs),
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct SeederArgs {
    /// A file of settings in TOML; `savanna seed config` tells which there are. Without any, SAVANNA_SEED_CONFIG may name one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The network: mainnet, testnet or regtest
    #[arg(long)]
    pub(crate) network: Option<Network>,
    /// Where peers may dial the seeder to ask for addresses, IP:PORT or IP; may be given more than once
    #[arg(long, value_name = "ADDR", num_args = 1.., value_delimiter = ',')]
    pub(crate) listen: Vec<String>,
    /// Nodes to begin the survey with, each HOST or HOST:PORT; may be given more than once
    #[arg(long = "peer", value_name = "ADDR", num_args = 1.., value_delimiter = ',')]
    pub(crate) peers: Vec<Target>,
    /// Where DNS is answered, IP:PORT or IP; may be given more than once
    #[arg(long, value_name = "ADDR", num_args = 1.., value_delimiter = ',')]
    pub(crate) dns: Vec<String>,
    /// The name that is answered by DNS with nodes of the network
    #[arg(long, value_name = "NAME")]
    pub(crate) zone: Option<String>,
    /// The name servers of that name, each NAME, or NAME=IP if it is within the zone; may be given more than once
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    pub(crate) ns: Vec<String>,
    /// Whom to write to: a mail address, which stands in the SOA record
    #[arg(long, value_name = "ADDR")]
    pub(crate) contact: Option<String>,
    /// The directory of what is known of nodes, and of the keys; made if it does not exist
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Serve /metrics, /health, /ready, /status and /dump here: IP:PORT, or a PORT alone, which is for this machine only
    #[arg(long, value_name = "ADDR", value_parser = super::own_address)]
    pub(crate) http: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The name, and the server to ask for it: NAME@SERVER or NAME@SERVER:PORT
    #[arg(value_name = "NAME@SERVER")]
    pub(crate) seeder: Seeder,
    /// The network whose nodes it names: mainnet, testnet or regtest
    #[arg(long, default_value = "mainnet")]
    pub(crate) network: Network,
    /// Dial nobody: ask by DNS only
    #[arg(long)]
    pub(crate) dns_only: bool,
    /// Print the result as one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A seeder: the name it answers for, and where it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seeder {
    pub(crate) name: String,
    pub(crate) server: Target,
}

impl FromStr for Seeder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, server) = text.split_once('@').ok_or("it is to be NAME@SERVER, as in seed.example.org@192.0.2.1")?;
        if name.is_empty() {
            return Err("the name before the @ is missing".to_owned());
        }
        let server = server.parse().map_err(|error| format!("{server:?} is no server: {error}"))?;
        Ok(Self { name: name.to_owned(), server })
    }
}

#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// What to write
    #[arg(long, value_enum, default_value_t = DumpFormat::Columns)]
    pub(crate) format: DumpFormat,
    /// Ask the seeder that runs and serves its pages here, instead of reading the directory: IP:PORT, or a PORT alone
    #[arg(long, value_name = "ADDR", value_parser = super::own_address)]
    pub(crate) from: Option<SocketAddr>,
    #[command(flatten)]
    pub(crate) seeder: SeederArgs,
}

/// What is written of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DumpFormat {
    /// A table in the columns that the tools of Bitcoin's seeders read: those that have answered
    Columns,
    /// An array with an object for each node that is tracked
    Json,
    /// A zone file for a hidden primary: those that may be named
    Zone,
}

impl DumpFormat {
    /// Returns the word for it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Columns => "columns",
            Self::Json => "json",
            Self::Zone => "zone",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeder_is_a_name_at_a_server() {
        let seeder: Seeder = "seed.example.org@[::1]:5353".parse().unwrap();
        assert_eq!((seeder.name.as_str(), seeder.server.to_string().as_str()), ("seed.example.org", "[::1]:5353"));
        assert!("seed.example.org@ns.example.org".parse::<Seeder>().is_ok());
        for wrong in ["", "seed.example.org", "@1.1.1.1", "seed.example.org@", "seed.example.org@1.1.1.1:99999"] {
            assert!(wrong.parse::<Seeder>().is_err(), "{wrong}");
        }
    }
}
