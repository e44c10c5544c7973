//! What a node is told to be: by a file, above it by the environment, above that by flags.

use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use savanna_net::{AcceptRates, Listener, SlotLimits, Target};
use savanna_sync::download::Limits;
use savanna_wire::Network;

use crate::cli::NodeArgs;

use keys::KEYS;
use value::Value;

pub(crate) use seed::{SeedConfig, ZoneConfig};

mod file;
mod keys;
mod seed;
mod value;

/// Every setting of a node. The key of a setting is the name of its field, in the file as it is and in the environment in
/// capitals behind [`PREFIX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) network: Network,
    pub(crate) dir: PathBuf,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) peers: Vec<Target>,
    pub(crate) named_only: bool,
    pub(crate) dns_seeds: Vec<Target>,
    pub(crate) private_addresses: bool,
    pub(crate) proxy: Option<SocketAddr>,
    pub(crate) user_agent: String,
    pub(crate) outbound: u64,
    pub(crate) inbound: u64,
    pub(crate) per_address: u64,
    pub(crate) per_network: u64,
    pub(crate) accept_rates: bool,
    pub(crate) sync_memory: u64,
    pub(crate) serve_memory: u64,
    pub(crate) transaction_index: bool,
    pub(crate) http: Option<SocketAddr>,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) shutdown: u64,
}

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// What the environment variable of a key begins with.
const PREFIX: &str = "SAVANNA_";

/// Variables of this program's tests, which are no keys.
const OF_TESTS: [&str; 1] = ["SAVANNA_ZEBRAD"];

/// What variables begin with that are of `savanna seed`, or of tests.
const OF_OTHERS: &str = "SAVANNA_SEED";

/// What stands for "as many as there are places".
const NO_LIMIT: u64 = 0;

/// Where the environment is read from.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads a variable of the process's environment.
pub(crate) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Looks for variables that are meant for this program, and set nothing.
///
/// # Errors
/// A sentence that names the variable, and the one that it is nearest to.
pub(crate) fn check_variables(names: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    let known: Vec<_> = KEYS.iter().map(|key| variable(key.name)).chain([variable("config")]).collect();
    for name in names {
        let name = name.to_string_lossy();
        if !name.starts_with(PREFIX)
            || OF_TESTS.contains(&&*name)
            || name.starts_with(OF_OTHERS)
            || known.iter().any(|known| *known == name)
        {
            continue;
        }
        let nearest = known.iter().min_by_key(|known| distance(known, &name)).map_or("", String::as_str);
        bail!("{name}: there is no such key, and {nearest} is the nearest; `savanna config` lists them all");
    }
    Ok(())
}

/// Returns how many characters have to be put in, taken out or changed to make one word of another (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (at, byte) in one.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, theirs) in other.bytes().enumerate() {
            let changed = diagonal + usize::from(byte != theirs);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
}

impl Config {
    /// Returns what a node on `network` is unless told otherwise, with a directory that `environment` names.
    fn new(network: Network, environment: Environment<'_>) -> Self {
        let is_public = !matches!(network, Network::Regtest);
        let limits = SlotLimits::PUBLIC;
        let seeds = network.dns_seeds().iter();
        Self {
            network,
            dir: default_dir(network, environment).unwrap_or_default(),
            listen: if is_public { everywhere(network) } else { Vec::new() },
            peers: Vec::new(),
            named_only: false,
            // The names of the network's seeds are legal, as a test says.
            dns_seeds: seeds.filter_map(|seed| seed.parse().ok()).collect(),
            private_addresses: !is_public,
            proxy: None,
            user_agent: String::new(),
            outbound: savanna::DEFAULT_OUTBOUND as u64,
            inbound: limits.inbound as u64,
            per_address: if is_public { limits.per_host as u64 } else { NO_LIMIT },
            per_network: if is_public { limits.per_netgroup as u64 } else { NO_LIMIT },
            accept_rates: is_public,
            sync_memory: Limits::default().bytes as u64,
            serve_memory: savanna_sync::serve::Limits::DEFAULT.bytes as u64,
            transaction_index: false,
            http: None,
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            shutdown: 10,
        }
    }

    /// Reads the file that the flags or the environment name, if any, and puts the environment and the flags above it.
    ///
    /// # Errors
    /// A sentence that names the key, and where it was set.
    pub(crate) fn load(args: &NodeArgs, environment: Environment<'_>) -> anyhow::Result<Self> {
        let named = environment(&variable("config")).filter(|path| !path.is_empty()).map(PathBuf::from);
        let mut settings = match args.config.clone().or(named) {
            Some(path) => file::read(&path)?,
            None => Vec::new(),
        };
        settings.extend(from_environment(environment));
        settings.extend(from_flags(args));
        Self::from_settings(&settings, environment)
    }

    /// Puts settings above each other, the later above the earlier.
    fn from_settings(settings: &[Setting], environment: Environment<'_>) -> anyhow::Result<Self> {
        // What the others are unless told otherwise depends on the network.
        let (of_network, others): (Vec<_>, Vec<_>) = settings.iter().partition(|setting| setting.key == NETWORK);
        let mut config = Self::new(Network::Mainnet, environment);
        of_network.iter().try_for_each(|setting| setting.apply(&mut config))?;
        config = Self::new(config.network, environment);
        others.iter().try_for_each(|setting| setting.apply(&mut config))?;
        config.check()?;
        Ok(config)
    }

    /// Looks for what does not go together.
    fn check(&self) -> anyhow::Result<()> {
        if self.dir.as_os_str().is_empty() {
            bail!("there is no home directory to keep the chain in: name a directory with --dir");
        }
        if self.named_only && self.peers.is_empty() {
            bail!("named_only keeps to the peers that are named, and none is: name one with --peer");
        }
        Ok(())
    }

    /// Writes every key with what it is for and what it is set to, as a file that can be read again.
    pub(crate) fn to_toml(&self) -> String {
        let header = "# Every setting of `savanna start`, with its value. A key that is left out of a file has the value that\n\
                      # `savanna config` prints without that file. Above a file stands the environment, SAVANNA_ and the key in\n\
                      # capitals, with commas between the items of a list; above that stand the flags.\n";
        KEYS.iter().fold(header.to_owned(), |text, key| {
            let about = key.about.lines().map(|line| format!("# {}\n", line.trim())).collect::<String>();
            format!("{text}\n{about}{} = {}\n", key.name, (key.show)(self))
        })
    }

    /// Keeps to IPv4 where this machine has no IPv6 and nothing was said of where to listen.
    pub(crate) fn keep_to_what_is_there(&mut self) {
        if self.listen == everywhere(self.network)
            && let Err(error) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0))
        {
            tracing::info!(%error, "there is no IPv6 here, so peers may dial by IPv4 alone");
            self.listen = vec![Listener::default_address(self.network)];
        }
    }

    /// Returns how many peers may dial the node.
    pub(crate) fn slots(&self) -> SlotLimits {
        let inbound = number(self.inbound);
        let at_most = |limit| if limit == NO_LIMIT { inbound } else { number(limit) };
        let (per_host, per_netgroup) = (at_most(self.per_address), at_most(self.per_network));
        SlotLimits { inbound, per_host, per_netgroup, ..SlotLimits::PUBLIC }
    }

    /// Returns how fast peers may come in.
    pub(crate) const fn rates(&self) -> AcceptRates {
        if self.accept_rates { AcceptRates::PUBLIC } else { AcceptRates::LOCAL }
    }
}

/// Returns a number that its key has bounded far below what any machine counts to.
pub(crate) fn number(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// Returns every address of both versions of IP, with the network's usual port.
fn everywhere(network: Network) -> Vec<SocketAddr> {
    vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, network.default_port()))]
}

const NETWORK: &str = "network";

/// A key, what it is set to, and where.
#[derive(Debug, Clone)]
struct Setting {
    key: String,
    value: Value,
    origin: Origin,
}

#[derive(Debug, Clone)]
enum Origin {
    File { path: PathBuf, line: usize },
    Variable,
    Flag,
}

impl Setting {
    fn apply(&self, config: &mut Config) -> anyhow::Result<()> {
        let Self { key, value, .. } = self;
        let Some(known) = KEYS.iter().find(|known| known.name == *key) else {
            bail!("{self}: there is no such key; `savanna config` lists them all");
        };
        if !(known.read)(config, value) {
            bail!("{self}: it is to be {}, and it is {value}", known.expected);
        }
        Ok(())
    }
}

/// Says where it stands.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, origin, .. } = self;
        match origin {
            Origin::File { path, line } => write!(f, "{}, line {line}: {key}", path.display()),
            Origin::Variable => f.write_str(&variable(key)),
            Origin::Flag => write!(f, "--{key}"),
        }
    }
}

/// Returns the environment variable of a key.
fn variable(key: &str) -> String {
    PREFIX.to_owned() + &key.to_uppercase()
}

fn from_environment(environment: Environment<'_>) -> impl Iterator<Item = Setting> {
    let set = |key: &keys::Key| Some((key.name, environment(&variable(key.name))?));
    let set: Vec<_> = KEYS.iter().filter_map(set).collect();
    set.into_iter().map(|(key, text)| Setting { key: key.into(), value: Value::Word(text), origin: Origin::Variable })
}

fn from_flags(args: &NodeArgs) -> impl Iterator<Item = Setting> {
    let word = |text: String| Value::Word(text);
    let list = |items: Vec<String>| (!items.is_empty()).then_some(Value::List(items));
    let values = [
        (NETWORK, args.network.map(|network| word(network.to_string()))),
        ("dir", args.dir.as_ref().map(|dir| word(dir.to_string_lossy().into_owned()))),
        ("listen", list(args.listen.clone())),
        ("peers", list(args.peers.iter().map(ToString::to_string).collect())),
        ("http", args.http.map(|address| word(address.to_string()))),
    ];
    let setting = |(key, value): (&str, Option<Value>)| {
        Some(Setting { key: key.to_owned(), value: value?, origin: Origin::Flag })
    };
    values.into_iter().filter_map(setting)
}

/// Returns where the chain is kept unless told otherwise: where the platform keeps the data of programs.
fn default_dir(network: Network, environment: Environment<'_>) -> Option<PathBuf> {
    let absolute = |name: &str| environment(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let below_home = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(below_home)))?;
    Some(data.join("savanna").join(network.to_string()))
}

/// Reads a file's text.
fn read_text(path: &Path) -> anyhow::Result<String> {
    /// No file that people write is longer.
    const MOST: u64 = 1024 * 1024;
    let length = std::fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?.len();
    if length > MOST {
        bail!("{} is no configuration: it has {length} bytes", path.display());
    }
    std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))
}

#[cfg(test)]
mod tests;
