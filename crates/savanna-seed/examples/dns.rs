//! Serves a made-up roll by DNS, to be tried with `dig`, `delv` and `dnsperf`.
//!
//! `cargo run --release -p savanna-seed --example dns -- ADDRESS ZONE [KEYFILE|-] [NODES] [RATE]`

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use savanna_seed::{Dns, Keys, Limits, NameServer, Nameable, Roll, Zone, Zones};
use savanna_wire::Services;

/// Nodes in as many netgroups: every second offers more than the chain.
fn roll(nodes: u16) -> Roll {
    let node = |i: u16| {
        let [high, low] = i.to_be_bytes();
        let ip: IpAddr = match i % 3 {
            0 => Ipv6Addr::new(0x2a00 + i / 3, 0x1000, 1, 2, 3, 4, 5, 6).into(),
            _ => Ipv4Addr::new(20 + high % 64, low, 7, 1).into(),
        };
        Nameable { ip, services: Services(if i.is_multiple_of(2) { 0x5 } else { 0x1 }) }
    };
    Roll { nodes: (0..nodes).map(node).collect() }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |i: usize, default: &str| arguments.get(i).map_or_else(|| default.to_owned(), Clone::clone);
    let name = argument(1, "seed.example.org");
    let keys = match argument(2, "-").as_str() {
        "-" => None,
        path => Some(Keys::open(Path::new(path))?),
    };
    let server = NameServer { name: format!("ns.{name}"), addresses: vec![Ipv4Addr::LOCALHOST.into()] };
    let zone = Zone::new(&name, &[server], "hostmaster@example.org", 60, keys)?;
    for line in zone.dnskey().into_iter().chain(zone.ds()) {
        println!("{line}");
    }
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map(|since| since.as_secs());
    let began = now()?;
    let zones = Zones::new([zone], [7; 32], began)?;
    let roll = roll(argument(3, "300").parse()?);
    zones.update(&name, roll.clone(), began).await?;
    let rate = argument(4, "50").parse()?;
    let limits = Limits { rate, burst: rate.saturating_mul(2), ..Limits::default() };
    let dns = Dns::bind(&[argument(0, "127.0.0.1:5353").parse()?], zones.clone(), limits, 7)?;
    println!("answers at {:?}", dns.local_addrs()?);
    let telling = async {
        loop {
            tokio::time::sleep(Duration::from_secs(30)).await;
            let told = async { zones.update(&name, roll.clone(), now()?).await.map_err(Box::<dyn Error>::from) };
            if let Err(error) = told.await {
                eprintln!("{error}");
                return;
            }
        }
    };
    dns.serve(telling).await?;
    println!("{:?}", zones.counts());
    Ok(())
}
