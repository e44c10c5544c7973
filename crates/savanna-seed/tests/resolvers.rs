//! A fresh zebrad that knows nothing but our name finds the network, through a validating resolver; and so does one that knows
//! nothing but our address, by asking there for peers.
//!
//! It runs where `unbound` and `unshare` are, as root and with `SAVANNA_ZEBRAD` naming a zebrad; elsewhere it says loudly that
//! it did not.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(missing_docs, reason = "tests")]

mod dns_support;
mod loopback_network;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dns_support::{MAIN, Service, addresses, ask, keys, lenient, zone};
use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use loopback_network::{HEIGHT, Kind, NETWORK, Peers, first};
use savanna_net::{Clock, Connector, Direction, Handshake, HandshakeRequest, NodeConfig, Route, Tasks};
use savanna_peerset::crawler::{Scope, Surveyor, survey_config};
use savanna_seed::{Ledger, LedgerConfig, Published, Roll, SeedService, Survey, SurveyConfig};
use savanna_wire::Services;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tower::Service as _;

const SEED: u64 = 20_261_122;
/// Where the resolver listens: `resolv.conf` has no place for a port.
const RESOLVER: &str = "127.53.0.2";

/// A program that ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A thousand peers, a survey of them, its names by DNS, a resolver that validates them, and a zebrad that asks that; then the
/// peer side of a seeder, and a zebrad that asks it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_fresh_zebrad_finds_the_network_by_our_name_and_by_our_address() {
    let dir = tempfile::tempdir().unwrap();
    let Some(zebrad) = std::env::var_os("SAVANNA_ZEBRAD").filter(|_| can_run(dir.path())) else {
        eprintln!("\n*** SKIPPED: this takes root, unbound, unshare and SAVANNA_ZEBRAD ***\n");
        return;
    };
    let clock = Clock::start();
    let peers = Peers::new(clock, SEED);
    peers.listen().await;
    let signed = zone(MAIN, Some(keys()));
    let ds = signed.ds().unwrap();
    let service = Service::of([signed], lenient()).await;
    let tasks = Tasks::new();
    let ledger = Ledger::new(LedgerConfig { scope: Scope::Private, ..LedgerConfig::new(NETWORK) }, HEIGHT, [7; 32]);
    let surveyor = Surveyor::new(survey_config(NETWORK), Connector::direct(), clock, tasks.spawner());
    let config = SurveyConfig { publish_every: Duration::from_secs(1), ..SurveyConfig::default() };
    let mut survey = Survey::new(config, ledger, peers.probe(), surveyor, clock, [8; 32]);
    survey.ledger_mut().introduce([first()], clock.now().unix.into());
    let published = survey.published();
    let (known, rolls) = (survey.published(), survey.rolls());
    let story = async {
        wait_for("300 nodes are named", || known.borrow().vetting.roll.nodes.len() >= 300).await;
        let _unbound = resolver(dir.path(), service.at.port(), &ds);
        let named = named_by_resolver().await;
        assert_eq!(named.len(), 25);
        let running = Running(start(&zebrad, dir.path(), &format!("{MAIN}:8233")));
        let by_name = || peers.visited_by_zebra().intersection(&named).count();
        let by_others = || peers.visited_by_zebra().difference(&named).count();
        wait_for("zebrad has met those whom we name", || by_name() >= 20).await;
        wait_for("it has met others of whom these told it", || by_others() >= 10).await;
        println!("zebrad met {} of the 25 that were named, and {} others", by_name(), by_others());
        drop(running);
        sleep(Duration::from_millis(500)).await;
        peers.forget_visits();
        let seeder = seeder(rolls, clock, &tasks).await;
        let _running = Running(start(&zebrad, dir.path(), &seeder.to_string()));
        wait_for("zebrad has met those of whom our peer told it", || peers.visited_by_zebra().len() >= 20).await;
        let good = |ip: &&IpAddr| matches!(peers.kind(**ip), Kind::Good | Kind::Flapping { .. });
        let met = peers.visited_by_zebra();
        println!("zebrad met {} by our peer, {} of them such as we name", met.len(), met.iter().filter(good).count());
    };
    tokio::select! {
        () = survey.run(|_, _| ()) => unreachable!("it goes on without end"),
        () = tell(&service, published) => unreachable!("as does this"),
        () = story => {}
    }
    service.end().await;
}

/// Returns whether the programs are there, and may be given a resolver of their own.
fn can_run(dir: &Path) -> bool {
    fs::write(dir.join("resolv.conf"), format!("nameserver {RESOLVER}\n")).unwrap();
    let has_unbound = Command::new("unbound").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    let is_free = std::net::UdpSocket::bind((RESOLVER, 53)).is_ok();
    has_unbound && is_free && apart(dir, "exec true").status().is_ok_and(|status| status.success())
}

/// Returns a shell with its own `resolv.conf`.
fn apart(dir: &Path, script: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("mount --bind \"$0/resolv.conf\" /etc/resolv.conf && {script}");
    command.args(["-m", "sh", "-c", &script]).arg(dir).stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// Answers peers as a seeder does.
async fn seeder(rolls: watch::Receiver<Arc<Roll>>, clock: Clock, tasks: &Tasks) -> SocketAddr {
    let listener = TcpListener::bind("127.53.0.4:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let service = SeedService::new(NETWORK, rolls, clock, [9; 32]);
    let mut config = NodeConfig::new(NETWORK);
    // A Zebra that is far behind hangs up on others.
    config.session.services = Services::NODE_NETWORK;
    config.session.required_services = Services::NONE;
    let mut handshake = Handshake::new(config, service, clock, tasks.spawner());
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (direction, route) = (Direction::Inbound, Route::Direct);
            let shaking = handshake.call(HandshakeRequest { stream, direction, peer: None, route, slot: None });
            tokio::spawn(async move {
                if let Ok(client) = shaking.await {
                    client.closed().await;
                }
            });
        }
    });
    at
}

/// Starts a zebrad that knows one peer.
fn start(zebrad: &std::ffi::OsStr, dir: &Path, peer: &str) -> Child {
    let config = format!(
        r#"
[network]
network = "Mainnet"
listen_addr = "127.53.0.3:0"
cache_dir = false
initial_mainnet_peers = ["{peer}"]
[state]
ephemeral = true
[tracing]
log_file = "{}"
"#,
        dir.join("zebrad.log").display()
    );
    fs::write(dir.join("zebrad.toml"), config).unwrap();
    let log = fs::File::create(dir.join("zebrad.out")).unwrap();
    apart(dir, "exec \"$1\" -c \"$0/zebrad.toml\" start").arg(zebrad).stdout(log).spawn().unwrap()
}

/// Starts a resolver that asks us about our name, and holds for genuine only what is signed.
fn resolver(dir: &Path, ours: u16, ds: &str) -> Running {
    let here = dir.display();
    let config = format!(
        r#"server:
  interface: {RESOLVER}
  port: 53
  username: ""
  chroot: ""
  directory: "{here}"
  pidfile: "{here}/pid"
  use-syslog: no
  logfile: "{here}/log"
  module-config: "validator iterator"
  do-not-query-localhost: no
  access-control: 127.0.0.0/8 allow
  do-ip6: no
  num-threads: 1
  trust-anchor: "{ds}"
remote-control:
  control-enable: no
forward-zone:
  name: "{MAIN}"
  forward-addr: 127.0.0.1@{ours}
"#
    );
    let path = dir.join("unbound.conf");
    fs::write(&path, config).unwrap();
    Running(Command::new("unbound").args(["-d", "-c"]).arg(path).stderr(Stdio::null()).spawn().unwrap())
}

/// Asks the resolver, which has the same answer for zebrad as long as it keeps it.
async fn named_by_resolver() -> BTreeSet<IpAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let question = ask(MAIN, RecordType::A).to_vec().unwrap();
    let at: SocketAddr = format!("{RESOLVER}:53").parse().unwrap();
    for _ in 0..100 {
        let mut answer = vec![0; 4_096];
        drop(socket.send_to(&question, at).await);
        if let Ok(Ok(len)) = timeout(Duration::from_millis(200), socket.recv(&mut answer)).await {
            let named: BTreeSet<_> = addresses(&Message::from_vec(&answer[..len]).unwrap()).into_iter().collect();
            if !named.is_empty() {
                return named;
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    panic!("the resolver names nobody");
}

async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(120), "in two minutes it is not so that {what}");
        sleep(Duration::from_millis(100)).await;
    }
    println!("{what}: {:?}", began.elapsed());
}

async fn tell(service: &Service, mut published: watch::Receiver<Arc<Published>>) {
    while published.changed().await.is_ok() {
        let roll = published.borrow_and_update().vetting.roll.clone();
        service.zones.update(MAIN, roll, dns_support::now()).await.unwrap();
    }
    std::future::pending::<()>().await;
}
