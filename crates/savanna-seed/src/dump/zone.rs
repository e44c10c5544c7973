//! A zone file for a hidden primary.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::str::FromStr as _;

use hickory_proto::rr::Name;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use thiserror::Error;

use crate::{Roll, SHORTEST_TTL, draw};

/// What a zone file says before its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneHead {
    /// The name that is answered for.
    pub zone: String,
    /// The name servers, at least one, the primary first.
    pub name_servers: Vec<String>,
    /// Whom to write to: a mail address, or the name that stands for one.
    pub contact: String,
    /// How long answers may be kept, in seconds.
    pub ttl: u32,
    /// The serial, which is to grow with every change.
    pub serial: u32,
}

/// Why there is no zone file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ZoneError {
    /// A name that is none.
    #[error("{0:?} is no domain name")]
    Name(String),
    /// Nobody to delegate to.
    #[error("a zone needs a name server")]
    NoNameServer,
    /// A time that would have resolvers ask without pause.
    #[error("the time to live is {0} seconds, and at least 60 are asked of a seeder")]
    Ttl(u32),
}

/// Writes a zone file: SOA, NS, and up to 25 addresses of a family, at most one of each group of addresses, drawn by a seed.
///
/// # Errors
/// [`ZoneError`] where the head is not one of a zone.
pub fn zone_file(head: &ZoneHead, roll: &Roll, seed: [u8; 32]) -> Result<String, ZoneError> {
    if head.ttl < SHORTEST_TTL {
        return Err(ZoneError::Ttl(head.ttl));
    }
    let zone = name(&head.zone)?;
    let servers = head.name_servers.iter().map(|server| name(server)).collect::<Result<Vec<_>, _>>()?;
    let primary = servers.first().ok_or(ZoneError::NoNameServer)?;
    let contact = contact(&head.contact)?;
    let (ttl, serial) = (head.ttl, head.serial);
    let mut text = format!("$ORIGIN {zone}\n$TTL {ttl}\n@ IN SOA {primary} {contact} {serial} 900 300 604800 {ttl}\n");
    for server in &servers {
        let _ = writeln!(text, "@ IN NS {server}");
    }
    for ip in drawn(roll, seed) {
        let kind = if ip.is_ipv4() { "A" } else { "AAAA" };
        let _ = writeln!(text, "@ IN {kind} {ip}");
    }
    Ok(text)
}

/// Draws whom to name, IPv4 first, as answers are drawn.
fn drawn(roll: &Roll, seed: [u8; 32]) -> Vec<IpAddr> {
    let mut rng = ChaCha8Rng::from_seed(seed);
    let (v4, v6): (Vec<_>, Vec<_>) = roll.nodes.iter().map(|node| node.ip.to_canonical()).partition(IpAddr::is_ipv4);
    [v4, v6].into_iter().filter_map(|family| draw(family, &mut rng).into_iter().next()).flatten().collect()
}

/// Reads an absolute name of letters, digits and hyphens, with or without its last dot.
fn name(text: &str) -> Result<Name, ZoneError> {
    let is_host = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let parsed = Name::from_str(text).ok().filter(|_| is_host);
    let mut name = parsed.ok_or_else(|| ZoneError::Name(text.to_owned()))?;
    name.set_fqdn(true);
    Ok(name)
}

/// Reads a mail address as the name that stands for it.
fn contact(text: &str) -> Result<String, ZoneError> {
    let Some((local, domain)) = text.split_once('@') else { return name(text).map(|name| name.to_string()) };
    let is_local = !local.is_empty()
        && local.len() <= 63
        && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte));
    if !is_local {
        return Err(ZoneError::Name(text.to_owned()));
    }
    Ok(format!("{}.{}", local.replace('.', "\\."), name(domain)?))
}
