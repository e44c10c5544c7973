use std::collections::BTreeMap;

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn args(line: &str) -> NodeArgs {
    let cli = Cli::try_parse_from(["savanna", "config"].into_iter().chain(line.split_whitespace())).unwrap();
    let Command::Config(args) = cli.command else { unreachable!("config was asked for") };
    args
}

fn load(text: &str, variables: &[(&str, &str)], line: &str) -> anyhow::Result<Config> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let mut variables: BTreeMap<_, _> = variables.iter().copied().collect();
    variables.entry("HOME").or_insert("/home/somebody");
    let environment = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    Config::load(&args(&format!("--config {} {line}", file.path().display())), &environment)
}

fn sentence(text: &str, variables: &[(&str, &str)], line: &str) -> String {
    format!("{:#}", load(text, variables, line).unwrap_err())
}

/// A configuration in which no key is what it is by default.
const OTHER: &str = r#"
network = "testnet"
dir = "/srv/z \"quoted\" \\ c"
listen = ["192.0.2.1", "[2001:db8::1]:7", "[::]"]
peers = ["peer.example", "192.0.2.9:1"]
named_only = true
dns_seeds = ["seed.example"]
private_addresses = true
proxy = "127.0.0.1:9050"
user_agent = "Operator:1.0"
outbound = 3
inbound = 1_000
per_address = 0
per_network = 7
accept_rates = false
sync_memory = 20_000_000
serve_memory = 20_000_000
transaction_index = true
http = "9100"
log = "warn,savanna_net=debug"
log_format = "json"
shutdown = 3
"#;

#[test]
fn what_is_printed_is_read_as_the_same() {
    for network in [Network::Mainnet, Network::Testnet, Network::Regtest] {
        let config = load(&format!("network = \"{network}\""), &[], "").unwrap();
        assert_eq!(config.dir, Path::new("/home/somebody/.local/share/savanna").join(network.to_string()));
        assert_eq!(config.dns_seeds.len(), network.dns_seeds().len());
        assert_eq!(load(&config.to_toml(), &[], "").unwrap(), config);
    }
    let other = load(OTHER, &[], "").unwrap();
    assert_eq!(load(&other.to_toml(), &[], "").unwrap(), other);
    let shown = |config: &Config| KEYS.iter().map(|key| (key.show)(config)).collect::<Vec<_>>();
    let default = load("", &[], "").unwrap();
    let untried: Vec<_> = shown(&default).into_iter().zip(shown(&other)).filter(|(a, b)| a == b).collect();
    assert!(untried.is_empty(), "as by default: {untried:?}");
    let printed = [default.to_toml(), other.to_toml()].concat();
    assert!(printed.lines().filter(|line| line.starts_with('#')).all(|line| line.chars().count() <= 125), "{printed}");
}

#[test]
fn every_field_has_its_key_and_every_key_its_purpose() {
    let fields = format!("{:#?}", load("", &[], "").unwrap());
    let fields =
        fields.lines().filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with([' ', ']', ')']));
    let fields: Vec<_> = fields.filter_map(|line| line.split_once(':').map(|(name, _)| name)).collect();
    let mut names: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(names.len(), fields.len());
    assert!(fields.iter().all(|field| names.contains(field)), "{fields:?}");
    assert!(KEYS.iter().all(|key| key.about.len() > 20 && !key.expected.is_empty()));
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), fields.len(), "a key is there twice");
}

#[test]
fn the_environment_stands_above_the_file_and_flags_above_both() {
    let variables = [("SAVANNA_OUTBOUND", "5"), ("SAVANNA_PEERS", "a:1, b:2"), ("SAVANNA_NAMED_ONLY", "true")];
    let config = load("outbound = 1\ninbound = 2\npeers = [\"c:3\"]", &variables, "").unwrap();
    assert_eq!((config.outbound, config.inbound, config.named_only), (5, 2, true));
    assert_eq!(config.peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["a:1", "b:2"]);
    let config = load("", &variables, "--peer d:4 --listen 127.0.0.1 --network regtest --http 8080").unwrap();
    assert_eq!(config.peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["d:4"]);
    assert_eq!(config.listen, [SocketAddr::from(([127, 0, 0, 1], Network::Regtest.default_port()))]);
    assert_eq!(config.http, Some(SocketAddr::from(([127, 0, 0, 1], 8080))));
    assert_eq!(load("", &[("SAVANNA_LISTEN", "")], "").unwrap().listen, []);
    assert_eq!(load("", &[("XDG_DATA_HOME", "/data")], "").unwrap().dir, Path::new("/data/savanna/mainnet"));
}

#[test]
fn a_file_may_be_named_by_the_environment() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "outbound = 7\nnetwork = \"regtest\"").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let environment = |name: &str| match name {
        "SAVANNA_CONFIG" => Some(path.clone()),
        "HOME" => Some("/home/somebody".to_owned()),
        _ => None,
    };
    assert_eq!(Config::load(&args(""), &environment).unwrap().outbound, 7);
    let gone = Config::load(&args("--config /nowhere/savanna.toml"), &environment).unwrap_err();
    assert!(gone.to_string().contains("/nowhere/savanna.toml"), "{gone}");
}

#[test]
fn closed_networks_need_no_seeds_and_know_no_limits_per_address() {
    let text = "network = \"testnet\"\ndns_seeds = []\nprivate_addresses = true\nper_address = 0\nper_network = 0\naccept_rates = false";
    let config = load(text, &[], "").unwrap();
    assert!(config.dns_seeds.is_empty() && config.private_addresses);
    assert_eq!(config.slots(), SlotLimits { per_host: 125, per_netgroup: 125, ..SlotLimits::PUBLIC });
    assert_eq!(config.rates(), AcceptRates::LOCAL);
    let public = load("", &[], "").unwrap();
    assert_eq!((public.slots(), public.rates()), (SlotLimits::PUBLIC, AcceptRates::PUBLIC));
    assert_eq!(public.listen, everywhere(Network::Mainnet));
    assert!(load("network = \"regtest\"", &[], "").unwrap().listen.is_empty());
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    for (text, ends) in [
        ("# comment\n\noutbund = 3", ", line 3: outbund: there is no such key; `savanna config` lists them all"),
        ("\noutbound = \"3\"", ", line 2: outbound: it is to be a number from 0 to 64, and it is \"3\""),
        ("outbound = 65", ", line 1: outbound: it is to be a number from 0 to 64, and it is 65"),
        ("outbound = -1", "and it is -1"),
        ("network = \"bitcoin\"", ", line 1: network: it is to be mainnet, testnet or regtest, and it is \"bitcoin\""),
        ("named_only = 1", ", line 1: named_only: it is to be true or false, and it is 1"),
        ("peers = \"a:1\"", ", line 1: peers: it is to be a list of HOST or HOST:PORT, and it is \"a:1\""),
        ("peers = [1]", "and it is a list of other things than strings"),
        ("listen = [\"here\"]", "it is to be a list of IP:PORT or IP, and it is [\"here\"]"),
        ("log = \"savanna=loud\"", "and it is \"savanna=loud\""),
        (
            "[network]\nname = \"mainnet\"",
            ", line 1: network: it is to be mainnet, testnet or regtest, and it is a table",
        ),
    ] {
        let told = sentence(text, &[], "");
        assert!(told.ends_with(ends), "{text:?}: {told}");
    }
    let told = sentence("a = 1\nb = = 2", &[], "");
    assert!(told.contains(", line 2: "), "{told}");
    assert_eq!(told.lines().count(), 1, "{told}");
    let told = sentence("outbound = 1\noutbound = 2", &[], "");
    assert!(told.contains(", line 2: "), "{told}");
    let told = sentence("", &[("SAVANNA_SHUTDOWN", "soon")], "");
    assert_eq!(told, "SAVANNA_SHUTDOWN: it is to be a number of seconds from 1 to 600, and it is \"soon\"");
    let told = sentence("", &[], "--listen nowhere");
    assert_eq!(told, "--listen: it is to be a list of IP:PORT or IP, and it is [\"nowhere\"]");
    let told = sentence("named_only = true", &[], "");
    assert_eq!(told, "named_only keeps to the peers that are named, and none is: name one with --peer");
    let told = sentence("", &[("HOME", "")], "");
    assert_eq!(told, "there is no home directory to keep the chain in: name a directory with --dir");
}

#[test]
fn a_variable_that_sets_nothing_is_refused_with_the_nearest() {
    let check = |names: &[&str]| check_variables(names.iter().map(OsString::from));
    check(&["PATH", "SAVANNA_DIR", "SAVANNA_CONFIG", "SAVANNA_LOG", "SAVANNA_ZEBRAD", "savanna_peer"]).unwrap();
    for (wrong, nearest) in [
        ("SAVANNA_PEER", "SAVANNA_PEERS"),
        ("SAVANNA_LITSEN", "SAVANNA_LISTEN"),
        ("SAVANNA_OUTBOND", "SAVANNA_OUTBOUND"),
    ] {
        let told = check(&["SAVANNA_DIR", wrong]).unwrap_err().to_string();
        assert!(told.starts_with(&format!("{wrong}: there is no such key, and {nearest} is the nearest")), "{told}");
    }
    assert!(check(&["SAVANNA_"]).is_err());
}
