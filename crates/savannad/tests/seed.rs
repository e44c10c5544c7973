//! `savanna seed` as an operator and a newcomer meet it, on regtest and on loopback.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, missing_docs, reason = "a test may")]

mod common;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use savanna::tower::service_fn;
use savanna::{Client, Network, Node, Request, Response, Services, connect};
use savanna_wire::AddrV2;
use serde_json::Value;
use tokio::task::spawn_blocking;

use common::{free_port, last_json, savanna, stderr};

/// How long anything here may take: the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_secs(120);

const ZONE: &str = "seed.example.org";

/// Addresses of this machine, each of another group, that no other test is at.
fn hosts<const N: usize>() -> [Ipv4Addr; N] {
    let [.., high, low] = std::process::id().to_be_bytes();
    std::array::from_fn(|i| Ipv4Addr::new(127, 10 + u8::try_from(i).unwrap(), high, low.max(1)))
}

/// Runs a node with a chain of one block, which tells of others.
async fn node(host: Ipv4Addr, told: Vec<IpAddr>) -> Node {
    let service = service_fn(move |request| {
        let tell = |ip: &IpAddr| AddrV2 {
            time: 1,
            services: Services::NODE_NETWORK,
            address: SocketAddr::new(*ip, Network::Regtest.default_port()).into(),
        };
        let response = match request {
            Request::Peers => Response::Peers(told.iter().map(tell).collect()),
            Request::FindHeaders { .. } => Response::Headers(Vec::new()),
            Request::Ping
            | Request::FindBlocks { .. }
            | Request::Blocks(_)
            | Request::Transactions(_)
            | Request::MempoolIds
            | Request::PushTransaction(_)
            | Request::AdvertiseTransactions(_)
            | Request::AdvertiseBlock(_)
            | Request::AdvertisePeers(_) => Response::Nil,
        };
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let at = SocketAddr::new(host.into(), Network::Regtest.default_port());
    Node::builder(Network::Regtest).outbound(0).serve(service).listen(at).start().await.unwrap()
}

/// A seeder that runs, killed when dropped.
struct Seeder {
    process: Child,
    http: String,
    dns: String,
    listen: SocketAddr,
    told: Arc<Mutex<String>>,
}

impl Seeder {
    fn start(dir: &Path, more: &[&str]) -> Self {
        let port = free_port;
        let (http, dns) = (format!("127.0.0.1:{}", port()), format!("127.0.0.1:{}", port()));
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, port()));
        let at = listen.to_string();
        let own = ["seed", "--network", "regtest", "--http", &http, "--dns", &dns, "--listen", &at];
        let mut command = savanna(&[&own[..], &of_zone(dir), more].concat());
        let mut process = clean(&mut command).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let told = Arc::<Mutex<String>>::default();
        let (heard, lines) = (Arc::clone(&told), BufReader::new(process.stderr.take().unwrap()));
        std::thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                *heard.lock().unwrap() += &(line + "\n");
            }
        });
        Self { process, http, dns, listen, told }
    }

    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.http).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    async fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_so(self) {
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("it ended with {status} before {what}:\n{}", self.told());
            }
            assert!(began.elapsed() < PATIENCE, "not {what}: {:?}\n{}", self.get("/status"), self.told());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn wait_until_it_names(&mut self, nodes: usize) {
        let names = |seeder: &Self| {
            let status: Value = serde_json::from_str(&seeder.get("/status")?.1).ok()?;
            let network = &status["networks"][0];
            Some(network["named"] == nodes && network["ready"] == true)
        };
        self.wait_until(&format!("naming {nodes}"), |seeder| names(seeder).unwrap_or(false)).await;
    }

    /// Ends it as systemd does, and expects it to end well.
    fn end(mut self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).unwrap();
        let status = self.process.wait().unwrap();
        assert!(status.success(), "{status}:\n{}", self.told());
    }

    fn told(&self) -> String {
        self.told.lock().unwrap().clone()
    }
}

impl Drop for Seeder {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

fn of_zone(dir: &Path) -> [&str; 8] {
    let dir = dir.to_str().unwrap();
    ["--zone", ZONE, "--ns", "ns.example.net", "--contact", "hostmaster@example.org", "--dir", dir]
}

/// Keeps the settings of whoever runs the tests out.
fn clean(command: &mut Command) -> &mut Command {
    let of_savanna =
        std::env::vars_os().map(|(name, _)| name).filter(|name| name.to_string_lossy().starts_with("SAVANNA_"));
    of_savanna.fold(command, |command, name| command.env_remove(name))
}

async fn run(arguments: &[&str]) -> Output {
    let mut command = savanna(arguments);
    clean(&mut command);
    spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

async fn told(client: &Client) -> BTreeSet<IpAddr> {
    let Response::Peers(peers) = client.ask(Request::Peers).await.unwrap() else { panic!("no peers") };
    assert!(peers.iter().all(|peer| peer.address.port == Network::Regtest.default_port()));
    peers.iter().filter_map(|peer| peer.address.host.ip()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn f13_newcomers_are_told_by_dns_and_by_the_peer_whom_the_survey_found() {
    let hosts: [Ipv4Addr; 2] = hosts();
    let expected: BTreeSet<IpAddr> = hosts.iter().map(|host| (*host).into()).collect();
    let dir = tempfile::tempdir().unwrap();
    let first = hosts[0].to_string();
    let mut seeder = Seeder::start(dir.path(), &["--peer", &first]);
    seeder.wait_until("answering", |seeder| seeder.get("/health").is_some()).await;
    let (code, body) = seeder.get("/ready").unwrap();
    assert_eq!(code, 503, "nobody is there yet: {body}");
    assert!(body.contains("regtest: "), "{body}");

    // Who asks before anybody is found waits, and is told all the same.
    let others = [node(hosts[0], vec![hosts[1].into()]).await, node(hosts[1], Vec::new()).await];
    drop(seeder);
    let mut seeder = Seeder::start(dir.path(), &["--peer", &first]);
    seeder.wait_until("answering", |seeder| TcpStream::connect(seeder.listen).is_ok()).await;
    let (early, early_tasks) = connect(Network::Regtest, seeder.listen).await.unwrap();
    let named = told(&early).await;
    assert!(!named.is_empty() && named.is_subset(&expected), "{named:?}");
    early_tasks.shutdown(PATIENCE).await;

    seeder.wait_until_it_names(2).await;
    assert_eq!(seeder.get("/ready").unwrap().0, 200);
    let (client, tasks) = connect(Network::Regtest, seeder.listen).await.unwrap();
    assert_eq!(told(&client).await, expected);
    tasks.shutdown(PATIENCE).await;

    let at = format!("{ZONE}@{}", seeder.dns);
    let audit = run(&["seed", "check", &at, "--network", "regtest", "--json"]).await;
    let result = last_json(&audit);
    assert_eq!(result["passed"], true, "{result}");
    let nodes: BTreeSet<IpAddr> = result["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|node| node["address"].as_str().unwrap().parse().unwrap())
        .collect();
    assert_eq!(nodes, expected);
    let table = stdout(&run(&["seed", "check", &at, "--network", "regtest"]).await);
    assert!(table.contains("passed  nodes          2 of 2 nodes are good"), "{table}");
    assert!(!table.contains('\u{1b}'), "no colours where nobody sees them");

    let page = seeder.get("/metrics").unwrap().1;
    assert!(page.contains("savanna_seed_named{network=\"regtest\"} 2\n"), "{page}");
    assert!(page.contains("savanna_dns_answers_total{kind=\"a\",outcome=\"answered\",transport=\"udp\"}"), "{page}");
    assert!(!page.contains(&first), "{page}");

    // When they are gone the audit says so, and why.
    for node in others {
        node.shutdown(PATIENCE).await;
    }
    let audit = run(&["seed", "check", &at, "--network", "regtest"]).await;
    assert_eq!(audit.status.code(), Some(1));
    assert!(stderr(&audit).contains("0 of 2 nodes are good: 2 unreachable"), "{}", stderr(&audit));
    seeder.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_is_kept_and_written_down() {
    let [_, _, host] = hosts();
    let _node = node(host, Vec::new()).await;
    let (dir, host) = (tempfile::tempdir().unwrap(), host.to_string());
    let mut seeder = Seeder::start(dir.path(), &["--peer", &host]);
    seeder.wait_until_it_names(1).await;
    let running = stdout(&run(&["seed", "dump", "--from", &seeder.http]).await);
    assert!(running.starts_with("# address") && running.contains(&format!("{host}:18344")), "{running}");
    let zone = of_zone(dir.path());
    let reading = [&["seed", "dump", "--network", "regtest"], &zone[..], &["--dns", "127.0.0.1"]].concat();
    let locked = run(&reading).await;
    assert_eq!(locked.status.code(), Some(1));
    assert!(stderr(&locked).contains("another seeder runs on this directory"), "{}", stderr(&locked));
    let wrong = run(&["seed", "dump", "--from", &seeder.http, "--network", "mainnet"]).await;
    assert!(stderr(&wrong).contains("name one network of regtest"), "{}", stderr(&wrong));
    let key = dir.path().join(format!("{ZONE}.key"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&key.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let lines = seeder.told();
    seeder.end();

    let columns = stdout(&run(&reading).await);
    assert!(columns.contains(&format!("{host}:18344")), "{columns}");
    let json = stdout(&run(&[&reading[..], &["--format", "json"]].concat()).await);
    let nodes: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&nodes[0]["good"], &nodes[0]["chain"]), (&Value::Bool(true), &Value::from("ours")), "{json}");
    let file = stdout(&run(&[&reading[..], &["--format", "zone"]].concat()).await);
    assert!(
        file.starts_with(&format!("$ORIGIN {ZONE}.\n$TTL 60\n")) && file.contains(&format!("IN A {host}\n")),
        "{file}"
    );

    let keys = [&["seed", "keys", "--network", "regtest"], &zone[..], &["--dns", "127.0.0.1"]].concat();
    let printed = stdout(&run(&keys).await);
    let ds = printed.lines().next().unwrap();
    assert!(ds.starts_with(&format!("{ZONE}. IN DS ")), "{printed}");
    assert!(lines.contains(ds), "the one that was said at the start: {lines}");
    assert!(printed.lines().nth(1).unwrap().contains(" IN DNSKEY 257 3 13 "), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_told_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap();
    let (nobody, free) = (["seed", "--network", "regtest", "--dir", dir], free_port().to_string());
    let at = format!("127.0.0.1:{free}");
    let zone = ["--zone", ZONE, "--dns", &at];
    for (more, told, code) in [
        (vec![], "nobody could ask this seeder", 1),
        (vec!["--listen", &at], "nobody is known to begin with: name a node with --peer", 1),
        (vec!["--dns", &at], "there is no name to answer by DNS", 1),
        ([&zone[..], &["--ns", "n.example.net"]].concat(), "Policy requires a mail address", 1),
        ([&zone[..], &["--contact", "a@example.org"]].concat(), "a name server at least", 1),
        (vec!["--zone", "org", "--dns", &at, "--ns", "n.x.y", "--contact", "a@b.c"], "two labels at least", 1),
        (vec!["--listen", "192.0.2.1:1", "--peer", "127.0.0.1"], "192.0.2.1:1 is no address of this machine", 1),
        (vec!["--config", "/nowhere/seed.toml"], "/nowhere/seed.toml cannot be read", 1),
        (vec!["--peer", "a:b:c"], "invalid value", 2),
        (vec!["--nonsense"], "unexpected argument", 2),
    ] {
        let output = run(&[&nobody[..], &more].concat()).await;
        assert_eq!(output.status.code(), Some(code), "{more:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(told), "{more:?}: {}", stderr(&output));
    }
    let silent = run(&["seed", "check", &format!("{ZONE}@{at}"), "--dns-only"]).await;
    assert_eq!(silent.status.code(), Some(1));
    assert!(
        stderr(&silent).contains("fails the audit: answers (the server gives no answer by UDP)"),
        "{}",
        stderr(&silent)
    );
    let empty = format!("{dir}/empty");
    let nothing = run(&["seed", "dump", "--network", "regtest", "--listen", &at, "--dir", &empty]).await;
    assert!(stderr(&nothing).contains("no seeder has kept anything of regtest"), "{}", stderr(&nothing));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_are_printed_and_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let zone = of_zone(dir.path());
    let printed =
        stdout(&run(&[&["seed", "config", "--network", "testnet", "--dns", "192.0.2.1"], &zone[..]].concat()).await);
    let file = dir.path().join("seed.toml");
    std::fs::write(&file, &printed).unwrap();
    assert_eq!(stdout(&run(&["seed", "config", "--config", file.to_str().unwrap()]).await), printed);
    assert!(printed.contains("network = \"testnet\"") && printed.contains("dns = [\"192.0.2.1:53\"]"), "{printed}");
}
