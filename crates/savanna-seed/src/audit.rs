//! Auditing a seeder by DNS, this one or another: what it answers, and how.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RecordType};
use savanna_book::{Netgroup, Reach};
use savanna_wire::Network;
use thiserror::Error;

use crate::zone::SHORTEST_TTL;
use crate::{LARGEST, SERVICE_NAMES};

use ask::{Asked, Asker, Transport};

mod ask;

/// How often addresses are asked for, to see whether the answers differ.
const SAMPLES: usize = 6;

/// The largest answer by UDP that no path cuts to pieces, in bytes.
const UNCUT: usize = 1232;

/// The largest answer to who does not say what he takes, in bytes.
const PLAIN: usize = 512;

/// What is thought of one thing that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is as it should be.
    Passed,
    /// It is worth knowing, and no fault.
    Noted,
    /// A newcomer, or the network's policy for seeders, is ill served.
    Failed,
}

impl Verdict {
    /// Returns a word for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Noted => "noted",
            Self::Failed => "failed",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What, by a word from a fixed set.
    pub check: &'static str,
    /// What is thought of it.
    pub verdict: Verdict,
    /// What was found, as a sentence.
    pub detail: String,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Audit {
    /// All that was looked at.
    pub findings: Vec<Finding>,
    /// Whom the seeder named, in all answers together.
    pub named: BTreeSet<IpAddr>,
}

/// Why there is no audit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuditError {
    /// The name is none.
    #[error("{0:?} is no name of the DNS")]
    Name(String),
}

impl Audit {
    /// Asks a server for a name, in all the ways that newcomers and resolvers do.
    ///
    /// # Errors
    /// [`AuditError`] if the name is none. A server that does not answer fails the audit, which is no error.
    ///
    /// # Security
    /// What the server says is read within bounds of bytes and time, and nothing of it is followed.
    pub async fn of(name: &str, server: SocketAddr, network: Network) -> Result<Self, AuditError> {
        let bad = || AuditError::Name(name.to_owned());
        let mut zone = Name::from_ascii(name).map_err(|_| bad())?;
        zone.set_fqdn(true);
        if zone.is_root() {
            return Err(bad());
        }
        let mut auditor = Auditor { asker: Asker::new(server), zone, network, audit: Self::default() };
        auditor.look().await;
        Ok(auditor.audit)
    }

    fn note(&mut self, check: &'static str, verdict: Verdict, detail: impl Into<String>) {
        self.findings.push(Finding { check, verdict, detail: detail.into() });
    }

    fn demand(&mut self, check: &'static str, is_kept: bool, detail: impl Into<String>) {
        self.note(check, if is_kept { Verdict::Passed } else { Verdict::Failed }, detail);
    }
}

struct Auditor {
    asker: Asker,
    zone: Name,
    network: Network,
    audit: Audit,
}

impl Auditor {
    async fn look(&mut self) {
        let first = self.asker.ask(&self.zone, RecordType::A, Transport::Udp, Some(UNCUT)).await;
        let Some(first) = first else {
            self.audit.note("answers", Verdict::Failed, "the server gives no answer by UDP");
            return;
        };
        let (code, is_ours) = (first.code(), first.is_authoritative());
        let detail = format!("{code}{}", if is_ours { ", with authority" } else { ", without authority" });
        self.audit.demand("answers", code == ResponseCode::NoError && is_ours, detail);
        if code != ResponseCode::NoError {
            return;
        }
        self.transports(&first).await;
        self.families().await;
        self.apex().await;
        self.case().await;
        self.dnssec().await;
        self.service_names().await;
        self.strangers().await;
    }

    /// Looks whether UDP and TCP agree, and whether an answer is as large as was said to be taken.
    async fn transports(&mut self, first: &Asked) {
        let by_tcp = self.asker.ask(&self.zone, RecordType::A, Transport::Tcp, Some(UNCUT)).await;
        let count = first.addresses().len();
        let detail = match &by_tcp {
            None => "no answer by TCP".to_owned(),
            Some(by_tcp) => format!("{count} addresses by UDP, {} by TCP", by_tcp.addresses().len()),
        };
        let agrees = by_tcp
            .is_some_and(|tcp| tcp.code() == first.code() && (tcp.addresses().len() == count || first.is_truncated()));
        self.audit.demand("tcp", agrees, detail);
        let (len, has_edns) = (first.len(), first.has_edns());
        self.audit.demand(
            "edns",
            has_edns && len <= UNCUT,
            format!("{len} bytes for {UNCUT}{}", if has_edns { "" } else { ", without EDNS" }),
        );
        if let Some(plain) = self.asker.ask(&self.zone, RecordType::A, Transport::Udp, None).await {
            let (len, is_cut) = (plain.len(), plain.is_truncated());
            let detail = format!("{len} bytes without EDNS{}", if is_cut { ", to come again by TCP" } else { "" });
            self.audit.demand("plain", len <= PLAIN && !plain.has_edns(), detail);
        } else {
            self.audit.note("plain", Verdict::Failed, "no answer to a question without EDNS");
        }
    }

    /// Asks for addresses again and again: how many, how long they may be kept, how diverse they are.
    async fn families(&mut self) {
        for (kind, check) in [(RecordType::A, "a"), (RecordType::AAAA, "aaaa")] {
            let mut answers = Vec::new();
            for _ in 0..SAMPLES {
                answers.extend(self.asker.ask(&self.zone, kind, Transport::Tcp, Some(UNCUT)).await);
            }
            self.family(check, &answers);
        }
        let named = self.audit.named.clone();
        let groups: BTreeSet<_> = named.iter().map(|ip| Netgroup::of((*ip).into())).collect();
        let detail = format!("{} addresses in {} groups, of {SAMPLES} answers a family", named.len(), groups.len());
        // On one machine all are of one group.
        let is_diverse = self.network == Network::Regtest || groups.len() > 1;
        self.audit.demand("diversity", !named.is_empty() && is_diverse, detail);
        let misplaced = named.iter().filter(|ip| Reach::of((**ip).into()) != Reach::Public).count();
        if misplaced > 0 {
            let verdict = if self.network == Network::Regtest { Verdict::Noted } else { Verdict::Failed };
            self.audit.note("public", verdict, format!("{misplaced} addresses that are not of the public network"));
        }
    }

    fn family(&mut self, check: &'static str, answers: &[Asked]) {
        let sets: Vec<BTreeSet<IpAddr>> =
            answers.iter().map(|answer| answer.addresses().into_iter().collect()).collect();
        let most = sets.iter().map(BTreeSet::len).max().unwrap_or(0);
        let distinct = sets.iter().collect::<BTreeSet<_>>().len();
        let all: BTreeSet<_> = sets.iter().flatten().copied().collect();
        let ttls: BTreeSet<u32> = answers.iter().flat_map(Asked::ttls).collect();
        let crowd = sets.iter().map(largest_crowd).max().unwrap_or(0);
        self.audit.named.extend(&all);
        let detail = format!(
            "up to {most} addresses an answer, {} in all, {distinct} different answers of {}",
            all.len(),
            answers.len()
        );
        let verdict = match (answers.len(), most) {
            (0, _) => Verdict::Failed,
            (_, 0) => Verdict::Noted,
            (_, most) if most > LARGEST => Verdict::Noted,
            _ => Verdict::Passed,
        };
        self.audit.note(check, verdict, detail);
        if let (Some(least), Some(longest)) = (ttls.first(), ttls.last()) {
            let name = if check == "a" { "ttl" } else { "ttl_aaaa" };
            self.audit.demand(name, *least >= SHORTEST_TTL, format!("to be kept from {least} to {longest} s"));
        }
        if crowd > 1 {
            let name = if check == "a" { "groups" } else { "groups_aaaa" };
            self.audit.note(name, Verdict::Noted, format!("up to {crowd} addresses of one group in an answer"));
        }
    }

    /// Looks at what stands at the head of the zone.
    async fn apex(&mut self) {
        let servers = self.asker.ask(&self.zone, RecordType::NS, Transport::Udp, Some(UNCUT)).await;
        let servers = servers.map(|answer| answer.servers()).unwrap_or_default();
        self.audit.demand(
            "ns",
            !servers.is_empty(),
            format!("name servers: {}", if servers.is_empty() { "none".to_owned() } else { servers.join(" ") }),
        );
        let soa = self.asker.ask(&self.zone, RecordType::SOA, Transport::Udp, Some(UNCUT)).await;
        match soa.and_then(|answer| answer.soa()) {
            Some((contact, serial)) => {
                let is_there = contact.trim_end_matches('.').contains('.');
                self.audit.demand("soa", is_there, format!("contact {contact}, serial {serial}"));
            }
            None => self.audit.note("soa", Verdict::Failed, "no SOA record, so no contact"),
        }
    }

    /// Looks whether a question comes back letter for letter, as resolvers that mix the case against forgers need.
    async fn case(&mut self) {
        let mixed = mixed(&self.zone);
        let answer = self.asker.ask(&mixed, RecordType::A, Transport::Udp, Some(UNCUT)).await;
        let detail = match &answer {
            None => "no answer to a name in mixed case",
            Some(answer) if !answer.is_echo() => "the question comes back in another case",
            Some(_) => "the question comes back letter for letter",
        };
        self.audit.demand("case", answer.is_some_and(|answer| answer.is_echo()), detail);
    }

    async fn dnssec(&mut self) {
        let keys = self.asker.ask(&self.zone, RecordType::DNSKEY, Transport::Tcp, Some(UNCUT)).await;
        let answer = self.asker.ask(&self.zone, RecordType::A, Transport::Tcp, Some(UNCUT)).await;
        let has_key = keys.is_some_and(|answer| answer.has(RecordType::DNSKEY));
        let is_signed = answer.is_some_and(|answer| answer.has(RecordType::RRSIG));
        match (has_key, is_signed) {
            (true, true) => self.audit.note("dnssec", Verdict::Passed, "there is a key, and answers are signed"),
            (false, false) => self.audit.note("dnssec", Verdict::Noted, "answers are not signed"),
            (true, false) => self.audit.note("dnssec", Verdict::Failed, "there is a key, and answers are not signed"),
            (false, true) => self.audit.note("dnssec", Verdict::Failed, "answers are signed, and there is no key"),
        }
    }

    async fn service_names(&mut self) {
        let mut counts = BTreeMap::new();
        for services in SERVICE_NAMES {
            let label = format!("x{:x}", services.0);
            let Ok(name) = self.zone.prepend_label(label.as_str()) else { continue };
            let mut count = None;
            for kind in [RecordType::A, RecordType::AAAA] {
                if let Some(answer) = self.asker.ask(&name, kind, Transport::Tcp, Some(UNCUT)).await
                    && answer.code() == ResponseCode::NoError
                {
                    *count.get_or_insert(0) += answer.addresses().len();
                }
            }
            counts.extend(count.map(|count| (label, count)));
        }
        let told: Vec<_> = counts.iter().map(|(label, count)| format!("{label} {count}")).collect();
        let (verdict, detail) = match told.is_empty() {
            true => (Verdict::Noted, "there are no names of services".to_owned()),
            false => (Verdict::Passed, format!("addresses by name: {}", told.join(", "))),
        };
        self.audit.note("service_names", verdict, detail);
    }

    /// Asks for what is not there, and for what is somebody else's.
    async fn strangers(&mut self) {
        if let Ok(nobody) = self.zone.prepend_label("nobody-is-called-so") {
            let answer = self.asker.ask(&nobody, RecordType::A, Transport::Udp, Some(UNCUT)).await;
            let code = answer.as_ref().map(Asked::code);
            let is_told = code == Some(ResponseCode::NXDomain);
            let detail = code.map_or_else(|| "no answer".to_owned(), |code| code.to_string());
            let verdict = if is_told { Verdict::Passed } else { Verdict::Noted };
            self.audit.note("nxdomain", verdict, format!("for a name that is not there: {detail}"));
        }
        let elsewhere = Name::from_ascii("example.com.").unwrap_or_default();
        let answer = self.asker.ask(&elsewhere, RecordType::A, Transport::Udp, Some(UNCUT)).await;
        let is_open = answer.as_ref().is_some_and(|answer| !answer.addresses().is_empty());
        let detail =
            if is_open { "it looks up others' names for everybody" } else { "it looks up nobody else's names" };
        self.audit.demand("not_open", !is_open, detail);
    }
}

/// Returns how many of the addresses are of the group that has most of them.
fn largest_crowd(set: &BTreeSet<IpAddr>) -> usize {
    let mut groups = BTreeMap::<_, usize>::new();
    set.iter().for_each(|ip| *groups.entry(Netgroup::of((*ip).into())).or_default() += 1);
    groups.into_values().max().unwrap_or(0)
}

/// Returns the name with every second letter large.
fn mixed(name: &Name) -> Name {
    let mix = |(i, c): (usize, char)| if i % 2 == 0 { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
    let text: String = name.to_ascii().chars().enumerate().map(mix).collect();
    Name::from_ascii(&text).unwrap_or_else(|_| name.clone())
}

#[cfg(test)]
mod tests;
