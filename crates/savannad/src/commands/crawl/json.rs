//! A census as JSON.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use savanna_chain::Upgrade;
use savanna_peerset::crawler::{Census, Change, Changes, Lag, Outcome, Record, Software, Spread};
use serde::Serialize;

/// How many netgroups are listed.
const TOP_NETGROUPS: usize = 50;

/// Writes the census as one object: `summary`, figures, `changes` and one record a node in `nodes`.
///
/// # Security
/// Strangers' texts are escaped to ASCII without control characters before JSON escapes them, so that no reader that prints
/// them has its terminal commanded.
pub(super) fn write(census: &Census, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    serde_json::to_writer(&mut *out, &document(census))?;
    writeln!(out)
}

#[derive(Serialize)]
struct Document {
    network: &'static str,
    began: i64,
    /// Whether no node was left to be asked for the first time.
    complete: bool,
    /// How many addresses a bound kept out.
    passed_over: usize,
    summary: Summary,
    /// How conversations ended, by outcome.
    endings: BTreeMap<&'static str, BTreeMap<&'static str, usize>>,
    user_agents: Vec<OnHosts<String>>,
    versions: Vec<OnHosts<i32>>,
    upgrades: Vec<Readiness>,
    heights: Option<Ranked<i32>>,
    lag: LagCounts,
    services: Vec<Counted<u8>>,
    hosts: usize,
    netgroups: usize,
    top_netgroups: Vec<Counted<String>>,
    networks: Vec<Kind>,
    rtt_ms: Option<Ranked<f64>>,
    connect_ms: Option<Ranked<f64>>,
    changes: Option<ChangeLists>,
    nodes: Vec<Node>,
}

#[derive(Serialize)]
struct Summary {
    known: usize,
    reached: usize,
    refused: usize,
    silent: usize,
    obsolete: usize,
    other_chain: usize,
    unroutable: usize,
    untried: usize,
    seconds: f64,
}

#[derive(Serialize)]
struct Counted<T> {
    value: T,
    nodes: usize,
}

/// A value with the nodes that have it, and the hosts that those are on.
#[derive(Serialize)]
struct OnHosts<T> {
    value: T,
    nodes: usize,
    hosts: usize,
}

#[derive(Serialize)]
struct Readiness {
    upgrade: String,
    height: Option<u32>,
    version: i32,
    ready: usize,
    left_behind: usize,
}

#[derive(Serialize)]
struct Ranked<T> {
    count: usize,
    least: T,
    p10: T,
    median: T,
    p90: T,
    p99: T,
    greatest: T,
}

#[derive(Serialize)]
struct LagCounts {
    ahead: usize,
    in_step: usize,
    near: usize,
    behind: usize,
    far_behind: usize,
}

#[derive(Serialize)]
struct Kind {
    network: &'static str,
    known: usize,
    alive: usize,
}

#[derive(Serialize)]
struct ChangeLists {
    new: Vec<String>,
    gone: Vec<String>,
    changed: Vec<ChangedNode>,
}

#[derive(Serialize)]
struct ChangedNode {
    address: String,
    before: Program,
    after: Program,
}

#[derive(Serialize)]
struct Program {
    version: i32,
    user_agent: String,
}

#[derive(Serialize)]
struct Node {
    address: String,
    outcome: &'static str,
    ending: Option<&'static str>,
    version: Option<i32>,
    /// The bits as a decimal number in a string: readers that keep numbers as floating point would lose some of 64.
    services: Option<String>,
    user_agent: Option<String>,
    height: Option<i32>,
    rtt_ms: Option<f64>,
    connect_ms: Option<f64>,
    /// How many addresses it told.
    told: Option<u32>,
    /// How many nodes named it; of each the first answer counts.
    told_by: u32,
    network: &'static str,
    netgroup: String,
    chain: Option<&'static str>,
    first_seen: i64,
    last_seen: Option<i64>,
}

/// Names an upgrade as people do: `NU6.1`, `Canopy`.
pub(super) fn upgrade_name(upgrade: Upgrade) -> String {
    let name = format!("{upgrade:?}");
    name.strip_prefix("Nu").map_or(name.clone(), |number| format!("NU{}", number.replace('_', ".")))
}

fn document(census: &Census) -> Document {
    let groups = census.groups();
    let readiness = census.upgrades().into_iter().map(|row| Readiness {
        upgrade: upgrade_name(row.upgrade),
        height: row.activation_height,
        version: row.version.0,
        ready: row.ready,
        left_behind: row.left_behind,
    });
    let kinds =
        census.kinds().into_iter().map(|row| Kind { network: row.kind.label(), known: row.known, alive: row.alive });
    Document {
        network: census.network.name(),
        began: census.began,
        complete: census.is_complete,
        passed_over: census.passed_over,
        summary: summary(census),
        endings: endings(census),
        user_agents: on_hosts(census.user_agents(), &census.hosts_by(|said| said.user_agent.clone()), |agent| {
            agent.to_string()
        }),
        versions: on_hosts(census.versions(), &census.hosts_by(|said| said.version), |version| version.0),
        upgrades: readiness.collect(),
        heights: census.heights().map(|spread| ranked(&spread, |height| height)),
        lag: census.lag().into(),
        services: counted(census.services(), |bit| bit),
        hosts: census.hosts(),
        netgroups: groups.len(),
        top_netgroups: counted(groups.into_iter().take(TOP_NETGROUPS).collect(), |group| group.to_string()),
        networks: kinds.collect(),
        rtt_ms: census.round_trips().map(|spread| ranked(&spread, milliseconds)),
        connect_ms: census.connect_times().map(|spread| ranked(&spread, milliseconds)),
        changes: census.changes.as_ref().map(ChangeLists::from),
        nodes: census.records.iter().map(Node::from).collect(),
    }
}

fn summary(census: &Census) -> Summary {
    let counts = census.summary();
    Summary {
        known: counts.known,
        reached: counts.reached,
        refused: counts.refused,
        silent: counts.silent,
        obsolete: counts.obsolete,
        other_chain: counts.other_chain,
        unroutable: counts.unroutable,
        untried: counts.untried,
        seconds: (census.took.as_secs_f64() * 1e3).round() / 1e3,
    }
}

fn endings(census: &Census) -> BTreeMap<&'static str, BTreeMap<&'static str, usize>> {
    let of = |outcome: Outcome| {
        let endings = census.endings(outcome).into_iter().map(|(ending, count)| (ending.label(), count));
        (outcome.label(), endings.collect::<BTreeMap<_, _>>())
    };
    Outcome::ALL.into_iter().map(of).filter(|(_, endings)| !endings.is_empty()).collect()
}

impl From<&Record> for Node {
    fn from(record: &Record) -> Self {
        let said = record.introduction.as_deref();
        Self {
            address: record.address.to_string(),
            outcome: record.outcome.label(),
            ending: record.ending.map(|ending| ending.label()),
            version: said.map(|said| said.version.0),
            services: said.map(|said| said.services.0.to_string()),
            user_agent: said.map(|said| said.user_agent.to_string()),
            height: said.map(|said| said.height),
            rtt_ms: said.and_then(|said| said.round_trip).map(milliseconds),
            connect_ms: said.and_then(|said| said.connect).map(milliseconds),
            told: said.and_then(|said| said.told),
            told_by: record.told_by,
            network: record.kind().label(),
            netgroup: record.group().to_string(),
            chain: said.map(|said| said.chain.label()),
            first_seen: record.first_seen,
            last_seen: record.last_seen,
        }
    }
}

impl From<Lag> for LagCounts {
    fn from(lag: Lag) -> Self {
        let Lag { in_step, near, behind, far_behind, ahead } = lag;
        Self { ahead, in_step, near, behind, far_behind }
    }
}

impl From<&Changes> for ChangeLists {
    fn from(changes: &Changes) -> Self {
        let names = |addresses: &[savanna_wire::PeerAddr]| addresses.iter().map(ToString::to_string).collect();
        let changed = changes.changed.iter().map(|Change { address, before, after }| ChangedNode {
            address: address.to_string(),
            before: before.into(),
            after: after.into(),
        });
        Self { new: names(&changes.new), gone: names(&changes.gone), changed: changed.collect() }
    }
}

impl From<&Software> for Program {
    fn from(software: &Software) -> Self {
        Self { version: software.version.0, user_agent: software.user_agent.to_string() }
    }
}

fn counted<T, U>(counts: Vec<(T, usize)>, shown: impl Fn(T) -> U) -> Vec<Counted<U>> {
    counts.into_iter().map(|(value, nodes)| Counted { value: shown(value), nodes }).collect()
}

fn on_hosts<T: Ord, U>(counts: Vec<(T, usize)>, hosts: &BTreeMap<T, usize>, shown: impl Fn(T) -> U) -> Vec<OnHosts<U>> {
    let of = |(value, nodes)| OnHosts { nodes, hosts: hosts.get(&value).copied().unwrap_or(0), value: shown(value) };
    counts.into_iter().map(of).collect()
}

fn ranked<T: Copy, U>(spread: &Spread<T>, shown: impl Fn(T) -> U) -> Ranked<U> {
    Ranked {
        count: spread.count,
        least: shown(spread.least),
        p10: shown(spread.p10),
        median: shown(spread.median),
        p90: shown(spread.p90),
        p99: shown(spread.p99),
        greatest: shown(spread.greatest),
    }
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upgrades_have_the_names_that_people_use() {
        assert_eq!(upgrade_name(Upgrade::Nu6_1), "NU6.1");
        assert_eq!(upgrade_name(Upgrade::Nu7), "NU7");
        assert_eq!(upgrade_name(Upgrade::Canopy), "Canopy");
    }
}
