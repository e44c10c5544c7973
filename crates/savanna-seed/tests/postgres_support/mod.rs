//! A PostgreSQL of a test's own, and machines that share through it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use savanna_book::UnixTime;
use savanna_net::Clock;
use savanna_peerset::crawler::Scope;
use savanna_seed::{Link, Share, ShareConfig, ShareError, ShareStatus, Sighting, Union, VantagePoint};
use savanna_wire::{Network, Services};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

/// How long anything may take until a test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// The password of the role `seeder` over TCP.
pub(crate) const PASSWORD: &str = "a secret";

/// A server in a directory of its own, that ends with it.
pub(crate) struct Postgres {
    programs: PathBuf,
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
}

impl Postgres {
    /// Starts one; says so loudly and returns nothing where PostgreSQL is not installed.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("POSTGRES_REQUIRED").is_none(), "PostgreSQL is required here, and not installed");
            eprintln!("\n*** SKIPPED: PostgreSQL is not installed, so that nothing was shown by it ***\n");
            return None;
        };
        let directory = PathBuf::from(run("mktemp", &["-d", "/tmp/savanna-postgres-XXXXXX"]).trim());
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let postgres = Self { programs, directory, port };
        let password = postgres.directory.join("password");
        fs::write(&password, PASSWORD).unwrap();
        fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let auth = ["--auth-local=trust", "--auth-host=scram-sha-256", "--username=seeder", "--no-sync"];
        let pwfile = format!("--pwfile={}", password.display());
        let data = postgres.data();
        postgres.program("initdb", &[&auth[..], &[&pwfile, "-E", "UTF8", "--locale=C", "-D", &data]].concat());
        postgres.resume();
        Some(postgres)
    }

    pub(crate) fn resume(&self) {
        let (directory, port) = (self.directory.display(), self.port);
        let options = format!("-k {directory} -p {port} -c listen_addresses=127.0.0.1");
        let log = self.directory.join("log");
        self.program("pg_ctl", &["-D", &self.data(), "-o", &options, "-l", &log.display().to_string(), "-w", "start"]);
    }

    pub(crate) fn stop(&self) {
        self.program("pg_ctl", &["-D", &self.data(), "-m", "fast", "-w", "stop"]);
    }

    pub(crate) fn data(&self) -> String {
        self.directory.join("data").display().to_string()
    }

    /// Returns the address over its socket.
    pub(crate) fn address(&self) -> String {
        format!("host={} port={} user=seeder dbname=postgres", self.directory.display(), self.port)
    }

    /// Connects to do something by hand.
    pub(crate) async fn by_hand(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.address(), NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    fn program(&self, name: &str, arguments: &[&str]) {
        run(&self.programs.join(name).display().to_string(), arguments);
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let stop = ["-D", &self.data(), "-m", "immediate", "-w", "stop"];
        let _ = command(&self.programs.join("pg_ctl").display().to_string(), &stop).output();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Returns where the server's programs are, which Debian keeps off the path.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    found.extend(std::env::split_paths(&on_path));
    found.into_iter().find(|place| place.join("initdb").is_file() && place.join("pg_ctl").is_file())
}

/// The server refuses to run as root, so that another takes its place.
fn command(program: &str, arguments: &[&str]) -> Command {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    let mut command = Command::new(if is_root { "runuser" } else { program });
    if is_root {
        command.args(["-u", "postgres", "--", program]);
    }
    command.args(arguments).current_dir("/");
    command
}

fn run(program: &str, arguments: &[&str]) -> String {
    // What a server inherits stays open for as long as it runs, so that its output goes to files.
    let output = tempfile::tempfile().unwrap();
    let mut command = command(program, arguments);
    command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output.try_clone().unwrap());
    let status = command.status().unwrap();
    let mut text = String::new();
    std::io::Seek::rewind(&mut &output).unwrap();
    std::io::Read::read_to_string(&mut &output, &mut text).unwrap();
    assert!(status.success(), "{program} {arguments:?}: {text}");
    text
}

/// A seeder's machine, as far as sharing goes.
pub(crate) struct Machine {
    pub(crate) share: Share,
    pub(crate) union: watch::Receiver<Arc<Union>>,
    pub(crate) status: watch::Receiver<ShareStatus>,
    task: JoinHandle<()>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn config(address: &str, name: &str) -> ShareConfig {
    let mut config = ShareConfig::new(address, name, Network::Mainnet, Scope::Public).unwrap();
    config.every = Duration::from_millis(200);
    config.stale_after = 1_000;
    config
}

impl Machine {
    pub(crate) fn new(address: &str, name: &str) -> Self {
        Self::with(config(address, name))
    }

    pub(crate) fn with(config: ShareConfig) -> Self {
        Self::by_clock(config, Clock::start())
    }

    pub(crate) fn by_clock(config: ShareConfig, clock: Clock) -> Self {
        let (share, sharing) = Share::new(config, clock, [7; 32]);
        let (union, status) = (share.unions(), share.status());
        Self { share, union, status, task: tokio::spawn(sharing.run()) }
    }

    /// Waits until a union is as it should be.
    pub(crate) async fn names(&mut self, wanted: &[u32], heard: usize) {
        let is_so = |union: &Arc<Union>| union.heard == heard && named(union) == wanted;
        if timeout(PATIENCE, self.union.wait_for(is_so)).await.is_err() {
            let (union, status) = (self.union.borrow().clone(), self.status.borrow().clone());
            panic!("{heard} should name {wanted:?}: {} name {:?}; {status:?}", union.heard, named(&union));
        }
    }

    pub(crate) async fn status(&mut self, is_so: impl FnMut(&ShareStatus) -> bool) -> ShareStatus {
        let status = timeout(PATIENCE, self.status.wait_for(is_so)).await.map(|status| status.unwrap().clone());
        status.unwrap_or_else(|_| panic!("{:?}", *self.status.borrow()))
    }

    /// Waits for the next whole round, in which what was offered last is written.
    pub(crate) async fn round(&mut self) -> ShareStatus {
        let rounds = self.status.borrow().rounds;
        self.status(|status| status.rounds > rounds + 1).await
    }

    pub(crate) async fn error(&mut self) -> Arc<ShareError> {
        let status = self.status(|status| matches!(status.link, Link::Down(_))).await;
        match status.link {
            Link::Down(error) => error,
            Link::Starting | Link::Up => unreachable!(),
        }
    }
}

pub(crate) fn now() -> UnixTime {
    UnixTime::from(Clock::start().now().unix)
}

pub(crate) fn ip(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x1400_0000 + number)
}

/// What a machine sees that tried some and found some of them good.
pub(crate) fn point(tried: impl IntoIterator<Item = u32>, is_good: impl Fn(u32) -> bool) -> VantagePoint {
    let sighting = |number| Sighting {
        address: SocketAddr::new(ip(number).into(), Network::Mainnet.default_port()).into(),
        good: is_good(number).then_some(Services(5)),
        is_reached: is_good(number),
    };
    VantagePoint { at: now(), sightings: tried.into_iter().map(sighting).collect() }
}

pub(crate) fn named(union: &Union) -> Vec<u32> {
    let number = |ip: std::net::IpAddr| match ip {
        std::net::IpAddr::V4(ip) => ip.to_bits().wrapping_sub(0x1400_0000),
        std::net::IpAddr::V6(_) => u32::MAX,
    };
    union.roll.nodes.iter().map(|nameable| number(nameable.ip)).collect()
}

pub(crate) fn touch(path: &Path) {
    run("touch", &[&path.display().to_string()]);
}
