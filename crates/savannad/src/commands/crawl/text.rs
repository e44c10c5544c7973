//! A census in a few lines, for a person.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use savanna_peerset::crawler::{Census, Outcome, Spread};

/// How many lines a list has at most.
const SHOWN: usize = 8;

/// Writes the figures that matter most.
pub(super) fn write(census: &Census, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let summary = census.summary();
    let seconds = census.took.as_secs_f64();
    let so_far = if census.is_complete { "" } else { ", not all of them asked" };
    writeln!(
        out,
        "{}: {} nodes known{so_far}, {} reached in {seconds:.1} s",
        census.network, summary.known, summary.reached
    )?;
    for (name, count, outcome) in [
        ("obsolete", summary.obsolete, Outcome::Obsolete),
        ("other chains", summary.other_chain, Outcome::OtherChain),
        ("refused", summary.refused, Outcome::Refused),
        ("silent", summary.silent, Outcome::Silent),
        ("unroutable", summary.unroutable, Outcome::Unroutable),
        ("not asked", summary.untried, Outcome::Untried),
    ] {
        if count > 0 {
            let endings = census.endings(outcome).into_iter().map(|(ending, count)| format!("{ending} {count}"));
            row(out, name, format!("{count}  {}", endings.collect::<Vec<_>>().join(", ")).trim_end())?;
        }
    }
    if census.passed_over > 0 {
        row(out, "passed over", format!("{}  addresses that a bound kept out", census.passed_over))?;
    }
    let alive = census.alive().count();
    if alive > 0 {
        list(out, "user agents", &census.user_agents(), &census.hosts_by(|said| said.user_agent.clone()))?;
        list(out, "versions", &census.versions(), &census.hosts_by(|said| said.version))?;
        left_behind(census, alive, out)?;
        heights(census, out)?;
        row(out, "hosts", format!("{} in {} netgroups", census.hosts(), census.groups().len()))?;
        let kinds = census.kinds().into_iter().filter(|kind| kind.known > 0);
        let kinds: Vec<_> = kinds.map(|kind| format!("{} {} of {}", kind.kind, kind.alive, kind.known)).collect();
        row(out, "networks", kinds.join(", "))?;
        if let Some(trips) = census.round_trips() {
            row(out, "round trips", spread(&trips))?;
        }
    }
    if let Some(changes) = &census.changes {
        let (new, gone, changed) = (changes.new.len(), changes.gone.len(), changes.changed.len());
        row(out, "since then", format!("{new} new, {gone} gone, {changed} with other software"))?;
    }
    Ok(())
}

/// Says who cannot follow the newest upgrade. Of an older one a single node could make the headline.
fn left_behind(census: &Census, alive: usize, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    match census.upgrades().last().filter(|newest| newest.left_behind > 0) {
        Some(newest) => {
            let name = super::json::upgrade_name(newest.upgrade);
            let text = format!("{} of {alive} cannot follow {name} (version {})", newest.left_behind, newest.version);
            row(out, "left behind", text)
        }
        None => row(out, "left behind", "nobody"),
    }
}

fn heights(census: &Census, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let (Some(heights), lag) = (census.heights(), census.lag()) else { return Ok(()) };
    let behind = lag.near + lag.behind + lag.far_behind;
    row(
        out,
        "heights",
        format!("median {}, {} in step, {behind} behind, {} ahead", heights.median, lag.in_step, lag.ahead),
    )
}

/// Lists values by how many nodes have them, and on how many hosts those are where these are fewer.
fn list<T: Display + Ord>(
    out: &mut (impl Write + ?Sized),
    name: &str,
    counts: &[(T, usize)],
    hosts: &BTreeMap<T, usize>,
) -> io::Result<()> {
    for (at, (value, count)) in counts.iter().take(SHOWN).enumerate() {
        let fewer = hosts.get(value).filter(|hosts| *hosts < count);
        let on_hosts = fewer.map(|hosts| format!(" on {hosts} hosts")).unwrap_or_default();
        row(out, if at == 0 { name } else { "" }, format!("{count:>6}{on_hosts}  {value}"))?;
    }
    if counts.len() > SHOWN {
        row(out, "", format!("        and {} others", counts.len() - SHOWN))?;
    }
    Ok(())
}

fn row(out: &mut (impl Write + ?Sized), name: &str, text: impl Display) -> io::Result<()> {
    writeln!(out, "{name:<12} {text}")
}

fn spread(trips: &Spread<Duration>) -> String {
    let ms = |trip: Duration| format!("{:.1}", trip.as_secs_f64() * 1e3);
    format!("median {} ms, a tenth below {} and a tenth above {}", ms(trips.median), ms(trips.p10), ms(trips.p90))
}

#[cfg(test)]
mod tests {
    use savanna_peerset::crawler::{Chain, Ending, Introduction, Record};
    use savanna_wire::{Network, ProtocolVersion, Services, UserAgent};

    use super::*;

    fn written(versions: &[i32]) -> String {
        let node = |(port, version): (u16, &i32)| {
            let address = format!("1.1.1.1:{port}").parse().unwrap();
            let introduction = Introduction {
                version: ProtocolVersion(*version),
                services: Services::NODE_NETWORK,
                user_agent: UserAgent::new(*b"/A/").unwrap(),
                height: 3_600_000,
                connect: None,
                round_trip: None,
                told: None,
                chain: Chain::Ours,
            };
            let ending = Some(Ending::Complete);
            let introduction = Some(Box::new(introduction));
            Record { outcome: Outcome::Reached, ending, introduction, ..Record::new(address, 0) }
        };
        let census = Census {
            network: Network::Mainnet,
            began: 0,
            took: Duration::from_secs(1),
            is_complete: true,
            passed_over: 7,
            records: (1..).zip(versions).map(node).collect(),
            changes: None,
        };
        let mut out = Vec::new();
        write(&census, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_liar_does_not_choose_the_upgrade_that_is_named() {
        let text = written(&[170_190, 170_160, 1, 170_190]);
        assert!(text.contains("2 of 4 cannot follow NU7 (version 170190)"), "{text}");
        assert!(written(&[170_190, 170_190]).contains("nobody"));
    }

    #[test]
    fn what_was_passed_over_and_how_few_hosts_there_are_is_said() {
        let text = written(&[170_190, 170_190]);
        assert!(text.contains("passed over  7"), "{text}");
        assert!(text.contains("2 on 1 hosts  /A/"), "{text}");
    }
}
