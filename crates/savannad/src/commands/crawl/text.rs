//! A census in a few lines, for a person.

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
    let alive = census.alive().count();
    if alive > 0 {
        list(out, "user agents", &census.user_agents())?;
        list(out, "versions", &census.versions())?;
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

/// Names the newest upgrade that not all can follow.
fn left_behind(census: &Census, alive: usize, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    match census.upgrades().into_iter().find(|upgrade| upgrade.left_behind > 0) {
        Some(first) => {
            let name = super::json::upgrade_name(first.upgrade);
            let text = format!("{} of {alive} cannot follow {name} (version {})", first.left_behind, first.version);
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

fn list<T: Display>(out: &mut (impl Write + ?Sized), name: &str, counts: &[(T, usize)]) -> io::Result<()> {
    for (at, (value, count)) in counts.iter().take(SHOWN).enumerate() {
        row(out, if at == 0 { name } else { "" }, format!("{count:>6}  {value}"))?;
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
