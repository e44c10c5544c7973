//! A node as one line of the state.

use std::time::Duration;

use savanna_peerset::crawler::{Introduction, Record, SavedNode, Software};
use savanna_wire::{CjdnsIpv6, Host, PeerAddr, ProtocolVersion, Services, UserAgent};
use serde::{Deserialize, Serialize};

/// A node. Bytes are in hexadecimal digits, so that what is read is what was written.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Line {
    host: String,
    port: u16,
    network: String,
    outcome: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ending: Option<String>,
    told_by: u32,
    first_seen: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_seen: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    said: Option<Said>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Program>,
    #[serde(default, skip_serializing_if = "is_zero")]
    missed: u8,
}

#[derive(Debug, Serialize, Deserialize)]
struct Said {
    #[serde(flatten)]
    program: Program,
    services: u64,
    height: i32,
    connect_us: Option<u64>,
    round_trip_us: Option<u64>,
    told: Option<u32>,
    chain: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Program {
    version: i32,
    user_agent: String,
}

impl From<&SavedNode> for Line {
    fn from(SavedNode { record, before, missed }: &SavedNode) -> Self {
        Self {
            host: host_text(record.address.host),
            port: record.address.port,
            network: record.kind().to_string(),
            outcome: record.outcome.to_string(),
            ending: record.ending.map(|ending| ending.to_string()),
            told_by: record.told_by,
            first_seen: record.first_seen,
            last_seen: record.last_seen,
            said: record.introduction.as_deref().map(Said::from),
            before: before.as_ref().map(Program::from),
            missed: *missed,
        }
    }
}

impl Line {
    /// Reads the node; nothing if a part of it makes no sense.
    pub(super) fn node(self) -> Option<SavedNode> {
        let address = PeerAddr { host: host(&self.network, &self.host)?, port: self.port };
        let mut record = Record::new(address, self.first_seen);
        record.outcome = self.outcome.parse().ok()?;
        record.ending = self.ending.map(|ending| ending.parse()).transpose().ok()?;
        record.told_by = self.told_by;
        record.last_seen = self.last_seen;
        if let Some(said) = self.said {
            record.introduction = Some(Box::new(said.introduction()?));
        }
        let before = match self.before {
            Some(program) => Some(program.software()?),
            None => None,
        };
        Some(SavedNode { record, before, missed: self.missed })
    }
}

impl From<&Introduction> for Said {
    fn from(said: &Introduction) -> Self {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self {
            program: Program::from(&Software::from(said)),
            services: said.services.0,
            height: said.height,
            connect_us: said.connect.map(micros),
            round_trip_us: said.round_trip.map(micros),
            told: said.told,
            chain: said.chain.to_string(),
        }
    }
}

impl Said {
    fn introduction(self) -> Option<Introduction> {
        let Software { version, user_agent } = self.program.software()?;
        Some(Introduction {
            version,
            services: Services(self.services),
            user_agent,
            height: self.height,
            connect: self.connect_us.map(Duration::from_micros),
            round_trip: self.round_trip_us.map(Duration::from_micros),
            told: self.told,
            chain: self.chain.parse().ok()?,
        })
    }
}

impl From<&Software> for Program {
    fn from(software: &Software) -> Self {
        Self { version: software.version.0, user_agent: to_hex(software.user_agent.as_bytes()) }
    }
}

impl Program {
    fn software(self) -> Option<Software> {
        let user_agent = UserAgent::new(from_hex(&self.user_agent)?).ok()?;
        Some(Software { version: ProtocolVersion(self.version), user_agent })
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(number: &u8) -> bool {
    *number == 0
}

fn host_text(host: Host) -> String {
    match host {
        Host::V4(ip) => ip.to_string(),
        Host::V6(ip) => ip.to_string(),
        Host::Cjdns(ip) => ip.to_string(),
        Host::TorV3(key) | Host::I2p(key) => to_hex(&key),
    }
}

fn host(network: &str, text: &str) -> Option<Host> {
    let key = || from_hex(text)?.try_into().ok();
    match network {
        "ipv4" => text.parse().ok().map(Host::V4),
        "ipv6" => savanna_wire::NativeIpv6::new(text.parse().ok()?).map(Host::V6),
        "cjdns" => CjdnsIpv6::new(text.parse().ok()?).map(Host::Cjdns),
        "onion" => key().map(Host::TorV3),
        "i2p" => key().map(Host::I2p),
        _ => None,
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    rest.is_empty().then_some(())?;
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}
