//! All answers of a zone, made and signed ahead.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::dnssec::rdata::{DNSSECRData, NSEC};
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{HINFO, NS, SOA};
use hickory_proto::rr::{Name, RData, RecordType};
use rand_chacha::ChaCha8Rng;

use super::reply::Rrset;
use super::{FIXED_TTL, Labels, NEGATIVE_TTL, Reply, Zone, ZoneError, wire};
use crate::draw::draw;
use crate::roll::Roll;

/// How a secondary would follow this zone, if there were one. Seconds.
const REFRESH: i32 = 900;
const RETRY: i32 = 300;
const EXPIRE: i32 = 86_400;

/// What a zone has to say to a question.
pub(crate) enum Lookup<'a> {
    /// An answer that was made ahead.
    Ready(&'a Reply),
    /// That the name does not exist.
    Absent(Reply),
    /// The question asks for no data, but for a service that is not given: a transfer, for example.
    Refused,
}

/// A name of the zone.
#[derive(Debug)]
struct Node {
    labels: Labels,
    /// By type: one answer, or one of each draw.
    kinds: BTreeMap<RecordType, Vec<Reply>>,
    /// For types that it does not have.
    nodata: Reply,
    /// For those who ask for all types (RFC 8482).
    any: Option<Reply>,
    /// That no name is between this one and the next. A name without data, with others below, has none.
    denial: Option<Arc<Rrset>>,
}

/// The answers of a zone at one moment.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// In canonical order. The first is the apex.
    nodes: Vec<Node>,
    by_wire: BTreeMap<Box<[u8]>, usize>,
    soa: Arc<Rrset>,
    ready: bool,
}

impl Prepared {
    /// Draws and signs. `now`: seconds since 1970.
    ///
    /// # Errors
    /// [`ZoneError::Unwritten`] if a record cannot be written or signed.
    pub(crate) fn new(
        zone: &Zone,
        roll: &Roll,
        serial: u32,
        now: u32,
        rng: &mut ChaCha8Rng,
    ) -> Result<Self, ZoneError> {
        let sets = sets(zone, roll, serial, rng)?;
        Making { zone, now }.whole(sets, !roll.nodes.is_empty()).ok_or_else(|| ZoneError::Unwritten(zone.name.clone()))
    }

    /// Says whether there are nodes to be named.
    pub(crate) const fn is_ready(&self) -> bool {
        self.ready
    }

    /// Finds the answer to a question about a name of this zone, which is given as in a message, in lower case. `pick`
    /// chooses among the draws.
    pub(crate) fn find(&self, name: &[u8], kind: RecordType, pick: u64) -> Option<Lookup<'_>> {
        let node = &self.nodes[*self.by_wire.get(name)?];
        if matches!(kind, RecordType::ANY | RecordType::RRSIG) {
            return Some(Lookup::Ready(node.any.as_ref().unwrap_or(&node.nodata)));
        }
        if is_question_only(kind) {
            return Some(Lookup::Refused);
        }
        let draws = node.kinds.get(&kind).map_or(&[][..], Vec::as_slice);
        Some(Lookup::Ready(pick_of(draws, pick).unwrap_or(&node.nodata)))
    }

    /// Denies a name below the apex that [`find`](Self::find) does not know: it itself, and what could stand for it
    /// (RFC 4035, section 3.1.3.2).
    pub(crate) fn deny(&self, name: &Name, kind: RecordType) -> Lookup<'_> {
        if is_question_only(kind) {
            return Lookup::Refused;
        }
        let labels = Labels::of(name);
        let mut closest = labels.parent();
        while let Some(above) = &closest {
            if self.nodes.binary_search_by(|node| node.labels.cmp(above)).is_ok() {
                break;
            }
            closest = above.parent();
        }
        let mut authorities = vec![Arc::clone(&self.soa)];
        let wildcard = closest.map(|labels| labels.wildcard());
        for denied in [Some(labels), wildcard].into_iter().flatten() {
            if let Some(denial) = self.covering(&denied)
                && !authorities.iter().any(|set| Arc::ptr_eq(set, denial))
            {
                authorities.push(Arc::clone(denial));
            }
        }
        Lookup::Absent(Reply::new(ResponseCode::NXDomain, Vec::new(), authorities))
    }

    fn covering(&self, labels: &Labels) -> Option<&Arc<Rrset>> {
        let before = self.nodes.partition_point(|node| node.labels <= *labels);
        self.nodes[..before].iter().rev().find_map(|node| node.denial.as_ref())
    }
}

/// Questions that no data has (RFC 6895, section 3.1): EDNS, and numbers from 128 to 255.
fn is_question_only(kind: RecordType) -> bool {
    let number = u16::from(kind);
    number == 0 || number == u16::from(RecordType::OPT) || (128..=255).contains(&number)
}

fn pick_of(draws: &[Reply], pick: u64) -> Option<&Reply> {
    let count = u64::try_from(draws.len()).ok()?;
    draws.get(usize::try_from(pick.checked_rem(count)?).ok()?)
}

type Sets = BTreeMap<RecordType, Vec<Rrset>>;

/// All records of the zone, by owner, in canonical order.
fn sets(
    zone: &Zone,
    roll: &Roll,
    serial: u32,
    rng: &mut ChaCha8Rng,
) -> Result<BTreeMap<Labels, (Name, Sets)>, ZoneError> {
    let mut all: BTreeMap<Labels, (Name, Sets)> = BTreeMap::new();
    for (name, services) in zone.drawn()? {
        let sets = &mut all.entry(Labels::of(&name)).or_insert_with(|| (name.clone(), Sets::new())).1;
        let able = || roll.nodes.iter().filter(|node| node.services.contains(services)).map(|n| n.ip.to_canonical());
        let v4 = draw(able().filter(IpAddr::is_ipv4), rng);
        let v6 = draw(able().filter(IpAddr::is_ipv6), rng);
        for (kind, draws) in [(RecordType::A, v4), (RecordType::AAAA, v6)] {
            if !draws.is_empty() {
                sets.insert(kind, draws.iter().map(|ips| Rrset::of_addresses(&name, zone.ttl, ips)).collect());
            }
        }
    }
    for (name, addresses) in &zone.servers {
        if zone.name.zone_of(name) {
            let sets = &mut all.entry(Labels::of(name)).or_insert_with(|| (name.clone(), Sets::new())).1;
            for (kind, of_kind) in
                [(RecordType::A, IpAddr::is_ipv4 as fn(&IpAddr) -> bool), (RecordType::AAAA, IpAddr::is_ipv6)]
            {
                let ips: Vec<_> = addresses.iter().copied().filter(of_kind).collect();
                if !ips.is_empty() {
                    sets.insert(kind, vec![Rrset::of_addresses(name, FIXED_TTL, &ips)]);
                }
            }
        }
    }
    if let Some((_, sets)) = all.get_mut(&Labels::of(&zone.name)) {
        let servers = zone.servers.keys().map(|server| RData::NS(NS(server.clone())));
        sets.insert(RecordType::NS, vec![Rrset::new(&zone.name, FIXED_TTL, servers)]);
        sets.insert(RecordType::SOA, vec![soa(zone, serial)]);
        if let Some(keys) = &zone.keys {
            let key = RData::DNSSEC(DNSSECRData::DNSKEY(keys.public().clone()));
            sets.insert(RecordType::DNSKEY, vec![Rrset::new(&zone.name, FIXED_TTL, [key])]);
        }
    }
    for name in empty_names(zone, &all) {
        all.insert(Labels::of(&name), (name, Sets::new()));
    }
    Ok(all)
}

fn soa(zone: &Zone, serial: u32) -> Rrset {
    let (server, contact) = (zone.first_server.clone(), zone.contact.clone());
    let soa = SOA::new(server, contact, serial, REFRESH, RETRY, EXPIRE, NEGATIVE_TTL);
    Rrset::new(&zone.name, NEGATIVE_TTL, [RData::SOA(soa)])
}

/// Names that have no data, and exist because names below them do (RFC 8020).
fn empty_names(zone: &Zone, all: &BTreeMap<Labels, (Name, Sets)>) -> BTreeSet<Name> {
    let mut empty = BTreeSet::new();
    for (name, _) in all.values() {
        let mut above = name.base_name();
        while zone.name.zone_of(&above) && !all.contains_key(&Labels::of(&above)) {
            empty.insert(above.clone());
            above = above.base_name();
        }
    }
    empty
}

struct Making<'a> {
    zone: &'a Zone,
    now: u32,
}

impl Making<'_> {
    fn whole(&self, all: BTreeMap<Labels, (Name, Sets)>, ready: bool) -> Option<Prepared> {
        let denials = self.denials(&all)?;
        let mut soa = None;
        let mut nodes = Vec::with_capacity(all.len());
        let mut by_wire = BTreeMap::new();
        let mut before = None;
        for (labels, (name, sets)) in all {
            let mut kinds = BTreeMap::new();
            for (kind, draws) in sets {
                let draws: Option<Vec<_>> = draws.into_iter().map(|set| Some(Arc::new(self.signed(set)?))).collect();
                kinds.insert(kind, draws?);
            }
            // The apex is the first, and has one.
            let soa = soa.get_or_insert_with(|| kinds.get(&RecordType::SOA).and_then(|sets| sets.first().cloned()));
            let denial = denials.get(&labels).cloned();
            before = denial.clone().or(before);
            by_wire.insert(wire(&name), nodes.len());
            nodes.push(self.node(labels, &name, kinds, soa.as_ref()?, denial, before.as_ref())?);
        }
        Some(Prepared { nodes, by_wire, soa: soa??, ready })
    }

    fn node(
        &self,
        labels: Labels,
        name: &Name,
        kinds: BTreeMap<RecordType, Vec<Arc<Rrset>>>,
        soa: &Arc<Rrset>,
        denial: Option<Arc<Rrset>>,
        covering: Option<&Arc<Rrset>>,
    ) -> Option<Node> {
        let ready = |set: Arc<Rrset>| Reply::new(ResponseCode::NoError, vec![set], Vec::new()).written(name);
        let mut written = BTreeMap::new();
        for (kind, sets) in kinds {
            written.insert(kind, sets.into_iter().map(ready).collect::<Option<Vec<_>>>()?);
        }
        if let Some(denial) = &denial {
            written.insert(RecordType::NSEC, vec![ready(Arc::clone(denial))?]);
        }
        let authorities = [soa].into_iter().chain(covering).map(Arc::clone).collect();
        let nodata = Reply::new(ResponseCode::NoError, Vec::new(), authorities).written(name)?;
        let any = if written.is_empty() {
            None
        } else {
            let told = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
            Some(ready(Arc::new(self.signed(Rrset::new(name, self.zone.ttl, [told]))?))?)
        };
        Some(Node { labels, kinds: written, nodata, any, denial })
    }

    /// Chains the names that have data, the last to the first (RFC 4034, section 4). They are few and known to all, so that
    /// nothing is given away by naming them; and what is signed ahead costs a liar nothing but his own packets.
    fn denials(&self, all: &BTreeMap<Labels, (Name, Sets)>) -> Option<BTreeMap<Labels, Arc<Rrset>>> {
        let mut denials = BTreeMap::new();
        if self.zone.keys.is_none() {
            return Some(denials);
        }
        // A service name stays in the chain while no node has the service: it exists, and has no addresses.
        let drawn = self.zone.drawn().ok()?;
        let present: Vec<_> =
            all.iter().filter(|(_, (name, sets))| !sets.is_empty() || drawn.contains_key(name)).collect();
        let next = present.iter().cycle().skip(1);
        for ((labels, (name, sets)), (_, (next, _))) in present.iter().zip(next) {
            let kinds = sets.keys().copied().chain([RecordType::NSEC, RecordType::RRSIG]);
            let nsec = RData::DNSSEC(DNSSECRData::NSEC(NSEC::new(next.clone(), kinds)));
            denials.insert((*labels).clone(), Arc::new(self.signed(Rrset::new(name, NEGATIVE_TTL, [nsec]))?));
        }
        Some(denials)
    }

    fn signed(&self, set: Rrset) -> Option<Rrset> {
        set.signed(self.zone.keys.as_ref(), &self.zone.name, self.now)
    }
}
