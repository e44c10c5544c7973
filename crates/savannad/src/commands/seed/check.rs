//! `savanna seed check`: audits a seeder, by DNS and by dialling those whom it names.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::net::IpAddr;

use anyhow::{anyhow, bail};
use futures_util::StreamExt as _;
use futures_util::stream;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use savanna_chain::{Checkpoints, floor};
use savanna_net::{Clock, Connector, LOOKUP_DEADLINE, Tasks, resolve};
use savanna_peerset::crawler::{Chain, Ending, Errand, Meeting, Surveyor, survey_config};
use savanna_seed::{Audit, ChainProbe, Depth, Finding, Question, Verdict};
use savanna_wire::{Network, PeerAddr, ProtocolVersion, Services};
use serde_json::json;

use crate::cli::CheckArgs;
use crate::commands::crawl::raise_file_limit;

/// How many are dialled at most, and at a time.
const MOST_DIALLED: usize = 128;
const AT_A_TIME: usize = 32;

/// What share of those named has to be good, in percent. Nodes come and go, and an answer is kept for a minute at least.
const LEAST_GOOD: usize = 80;

/// Where DNS is asked unless said otherwise.
const DNS_PORT: u16 = 53;

/// How long connections have to end.
const DRAIN: std::time::Duration = std::time::Duration::from_secs(2);

/// A node that was named, and what dialling it showed.
struct Dialled {
    ip: IpAddr,
    /// What keeps it from being of use, if anything does.
    fault: Option<Fault>,
    version: Option<ProtocolVersion>,
    height: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Unreachable,
    /// This machine could not try.
    Untried,
    Obsolete,
    NotServing,
    Unproven,
    OtherChain,
}

impl Fault {
    const fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Untried => "untried",
            Self::Obsolete => "obsolete",
            Self::NotServing => "not_serving",
            Self::Unproven => "unproven",
            Self::OtherChain => "other_chain",
        }
    }
}

/// Audits, prints what was found, and fails if the seeder does.
pub(super) async fn run(args: CheckArgs) -> anyhow::Result<()> {
    let CheckArgs { seeder, network, dns_only, json } = args;
    let found = resolve(&seeder.server, DNS_PORT, LOOKUP_DEADLINE).await?;
    let server = *found.first().ok_or_else(|| anyhow!("{} leads to no address", seeder.server))?;
    let mut audit = Audit::of(&seeder.name, server, network).await?;
    let dialled = if dns_only { Vec::new() } else { dial(network, &audit).await };
    if !dns_only && !audit.named.is_empty() {
        audit.findings.extend(judge(&dialled));
    }
    let failed: Vec<_> = audit.findings.iter().filter(|finding| finding.verdict == Verdict::Failed).collect();
    let text = if json {
        as_json(&seeder.name, server, network, &audit, &dialled)
    } else {
        as_table(&audit, &dialled, std::io::stdout().is_terminal())
    };
    super::print(&text)?;
    if failed.is_empty() {
        return Ok(());
    }
    let reasons: Vec<_> = failed.iter().map(|finding| format!("{} ({})", finding.check, finding.detail)).collect();
    bail!("{} at {server} fails the audit: {}", seeder.name, reasons.join("; "))
}

/// Dials those who were named, and asks each for its chain.
async fn dial(network: Network, audit: &Audit) -> Vec<Dialled> {
    raise_file_limit();
    let (tasks, clock, probe) = (Tasks::new(), Clock::start(), ChainProbe::of(network));
    let config = survey_config(network);
    let mut rng = ChaCha8Rng::from_seed(config.seed);
    let surveyor = Surveyor::new(config, Connector::direct(), clock, tasks.spawner());
    let (known, _) = Checkpoints::of(network).last();
    let least = floor(network, Some(known));
    let errands = audit.named.iter().take(MOST_DIALLED).map(|ip| {
        let question = probe.question(Depth::Deep, &mut rng);
        let address = PeerAddr { host: (*ip).into(), port: network.default_port() };
        let errand = Errand { address, locator: question.locator(), stop: question.stop(), asks_addresses: false };
        (*ip, question, errand)
    });
    let errands = errands.collect::<Vec<_>>();
    let meetings = stream::iter(errands).map(|(ip, question, errand)| {
        let meeting = surveyor.meet(errand);
        async move { (ip, question, meeting.await) }
    });
    let mut meetings = meetings.buffer_unordered(AT_A_TIME);
    let mut dialled = Vec::new();
    while let Some((ip, question, meeting)) = meetings.next().await {
        dialled.push(of(ip, &question, meeting, least, &probe, &mut rng));
    }
    drop(meetings);
    tasks.shutdown(DRAIN).await;
    dialled.sort_unstable_by_key(|dialled| dialled.ip);
    dialled
}

fn of(
    ip: IpAddr,
    question: &Question,
    meeting: Meeting,
    least: ProtocolVersion,
    probe: &ChainProbe,
    rng: &mut ChaCha8Rng,
) -> Dialled {
    let Some(said) = meeting.introduction else {
        let is_ours = meeting.lacks_files || matches!(meeting.ending, Ending::NoRoute | Ending::Local);
        let fault = if is_ours { Fault::Untried } else { Fault::Unreachable };
        return Dialled { ip, fault: Some(fault), version: None, height: None };
    };
    let chain = meeting.headers.map_or(Chain::Unknown, |headers| probe.judge(question, &headers, said.height, rng));
    let fault = match chain {
        Chain::Behind | Chain::Other => Some(Fault::OtherChain),
        Chain::Ours | Chain::Unknown if said.version < least => Some(Fault::Obsolete),
        Chain::Ours | Chain::Unknown if !said.services.contains(Services::NODE_NETWORK) => Some(Fault::NotServing),
        Chain::Unknown => Some(Fault::Unproven),
        Chain::Ours => None,
    };
    Dialled { ip, fault, version: Some(said.version), height: Some(said.height) }
}

/// Says what the dials come to.
fn judge(dialled: &[Dialled]) -> Vec<Finding> {
    let mut faults = BTreeMap::<Fault, usize>::new();
    dialled.iter().filter_map(|dialled| dialled.fault).for_each(|fault| *faults.entry(fault).or_default() += 1);
    let untried = faults.remove(&Fault::Untried).unwrap_or(0);
    let tried = dialled.len() - untried;
    let good = tried - faults.values().sum::<usize>();
    let told: Vec<_> =
        faults.iter().map(|(fault, count)| format!("{count} {}", fault.label().replace('_', " "))).collect();
    let told = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
    let is_enough = tried > 0 && good * 100 >= tried * LEAST_GOOD;
    let finding = |check, is_kept, detail| Finding {
        check,
        verdict: if is_kept { Verdict::Passed } else { Verdict::Failed },
        detail,
    };
    let mut findings = vec![finding("nodes", is_enough, format!("{good} of {tried} nodes are good{told}"))];
    if untried > 0 {
        let detail = format!("{untried} nodes could not be tried from this machine");
        findings.push(Finding { check: "untried", verdict: Verdict::Noted, detail });
    }
    if let Some(others) = faults.get(&Fault::OtherChain) {
        findings.push(finding("chain", false, format!("{others} nodes are of another chain")));
    }
    findings
}

fn as_table(audit: &Audit, dialled: &[Dialled], is_terminal: bool) -> String {
    let mut text = String::new();
    for Finding { check, verdict, detail } in &audit.findings {
        let word = verdict.label();
        let colour = match verdict {
            Verdict::Passed => 32,
            Verdict::Noted => 33,
            Verdict::Failed => 31,
        };
        let word = if is_terminal { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.to_owned() };
        text += &format!("{word}  {check:<14} {}\n", escaped(detail));
    }
    let bad: Vec<_> = dialled.iter().filter_map(|dialled| Some((dialled, dialled.fault?))).collect();
    if !bad.is_empty() {
        text.push('\n');
    }
    for (Dialled { ip, version, height, .. }, fault) in bad {
        let said = version.zip(*height).map(|(version, height)| format!("  version {}, height {height}", version.0));
        text += &format!("{ip:<40} {}{}\n", fault.label().replace('_', " "), said.unwrap_or_default());
    }
    text
}

/// Returns what a server has chosen, with nothing in it that a terminal obeys.
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

fn as_json(name: &str, server: std::net::SocketAddr, network: Network, audit: &Audit, dialled: &[Dialled]) -> String {
    let findings = audit.findings.iter().map(
        |Finding { check, verdict, detail }| json!({ "check": check, "verdict": verdict.label(), "detail": detail }),
    );
    let nodes = dialled.iter().map(|Dialled { ip, fault, version, height }| {
        json!({
            "address": ip,
            "good": fault.is_none(),
            "fault": fault.map(Fault::label),
            "version": version.map(|version| version.0),
            "height": height,
        })
    });
    let passed = audit.findings.iter().all(|finding| finding.verdict != Verdict::Failed);
    let value = json!({
        "name": name,
        "server": server,
        "network": network.to_string(),
        "passed": passed,
        "findings": findings.collect::<Vec<_>>(),
        "nodes": nodes.collect::<Vec<_>>(),
    });
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn dialled(faults: &[(Option<Fault>, usize)]) -> Vec<Dialled> {
        let one = |fault| Dialled { ip: Ipv4Addr::LOCALHOST.into(), fault, version: None, height: None };
        faults.iter().flat_map(|(fault, count)| (0..*count).map(move |_| one(*fault))).collect()
    }

    fn verdicts(faults: &[(Option<Fault>, usize)]) -> Vec<(&'static str, Verdict)> {
        judge(&dialled(faults)).iter().map(|finding| (finding.check, finding.verdict)).collect()
    }

    #[test]
    fn four_of_five_have_to_be_good_and_none_of_another_chain() {
        use Verdict::{Failed, Noted, Passed};
        assert_eq!(verdicts(&[(None, 8), (Some(Fault::Unreachable), 2)]), [("nodes", Passed)]);
        assert_eq!(verdicts(&[(None, 7), (Some(Fault::Obsolete), 2)]), [("nodes", Failed)]);
        assert_eq!(verdicts(&[(None, 9), (Some(Fault::OtherChain), 1)]), [("nodes", Passed), ("chain", Failed)]);
        assert_eq!(verdicts(&[(None, 1), (Some(Fault::Untried), 9)]), [("nodes", Passed), ("untried", Noted)]);
        assert_eq!(verdicts(&[(Some(Fault::Untried), 9)]), [("nodes", Failed), ("untried", Noted)]);
    }

    #[test]
    fn adversary_12_what_a_server_says_commands_no_terminal() {
        let finding = Finding { check: "soa", verdict: Verdict::Passed, detail: "contact \u{1b}[2J\n.".to_owned() };
        let audit = Audit { findings: vec![finding], ..Audit::default() };
        let text = as_table(&audit, &[], false);
        assert_eq!(text, "passed  soa            contact \\u{1b}[2J\\n.\n");
    }
}
