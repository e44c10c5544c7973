//! What the report tells, one section a question.

use std::fmt::{Display, Formatter, Result};
use std::time::Duration;

use savanna_peerset::crawler::{Census, Lag, Outcome, Spread};

use super::super::json::upgrade_name;
use super::super::places::Places;
use super::chart::{Bars, Columns, Split};
use super::text::{Count, Html};

/// How many rows a table has before the rest is added up.
const ROWS: usize = 12;

/// How many nodes are named one by one where they are worth a look.
const NAMED: usize = 50;

pub(super) fn write(census: &Census, places: Option<&Places>, f: &mut Formatter<'_>) -> Result {
    upgrades(census, f)?;
    f.write_str("<div class=\"sections\">\n")?;
    user_agents(census, f)?;
    versions(census, f)?;
    heights(census, f)?;
    round_trips(census, f)?;
    services(census, f)?;
    kinds(census, f)?;
    groups(census, f)?;
    if let Some(places) = places {
        located(census, places, f)?;
    }
    unreached(census, f)?;
    f.write_str("</div>\n")?;
    other_chains(census, f)?;
    changes(census, f)
}

fn section(f: &mut Formatter<'_>, title: &str, note: impl Display, body: impl Display) -> Result {
    write!(f, "<section><h2>{title}</h2>\n{body}<p class=\"soft\">{note}</p></section>\n")
}

fn alive(census: &Census) -> usize {
    census.alive().count()
}

fn bars<T: Display>(head: &'static str, whole: usize, rows: Vec<(T, usize)>) -> Bars {
    let rows = rows.into_iter().map(|(name, count)| (name.to_string(), count)).collect();
    Bars { head, rows, whole }.cut(ROWS)
}

fn upgrades(census: &Census, f: &mut Formatter<'_>) -> Result {
    f.write_str("<section><h2>Who can follow which upgrade</h2>\n<table><thead><tr><th>upgrade</th>")?;
    f.write_str(
        "<th class=\"number minor\">height</th><th class=\"number\">version</th><th class=\"number\">ready</th>",
    )?;
    f.write_str("<th class=\"number\">left behind</th><th></th></tr></thead><tbody>\n")?;
    for row in census.upgrades() {
        let height = row.activation_height.map_or_else(String::new, |height| Count(height as usize).to_string());
        write!(f, "<tr><td>{}</td><td class=\"number minor\">{height}</td>", upgrade_name(row.upgrade))?;
        write!(f, "<td class=\"number\">{}</td><td class=\"number\">{}</td>", row.version, Count(row.ready))?;
        let split = Split { good: row.ready, bad: row.left_behind };
        writeln!(f, "<td class=\"number\">{}</td><td class=\"chart\">{split}</td></tr>", Count(row.left_behind))?;
    }
    f.write_str(
        "</tbody></table>\n<p class=\"soft\">By the protocol version that a node says it speaks. Who speaks less than \
        an upgrade asks for is cut off when that activates.</p></section>\n",
    )
}

fn user_agents(census: &Census, f: &mut Formatter<'_>) -> Result {
    section(f, "Software", "As nodes call themselves.", bars("user agent", alive(census), census.user_agents()))
}

fn versions(census: &Census, f: &mut Formatter<'_>) -> Result {
    let note = "The version of the protocol that nodes say they speak.";
    section(f, "Protocol versions", note, bars("version", alive(census), census.versions()))
}

fn heights(census: &Census, f: &mut Formatter<'_>) -> Result {
    let Lag { in_step, near, behind, far_behind, ahead } = census.lag();
    let rows = vec![
        ("ahead by more than one", ahead),
        ("in step", in_step),
        ("2 to 10 behind", near),
        ("11 to 1000 behind", behind),
        ("further behind", far_behind),
    ];
    let note = census.heights().map_or_else(String::new, |spread| {
        let Spread { least, median, p90, greatest, .. } = spread;
        format!("Against the median height, {median}, as far as the chain had grown by then; claimed are {least} to {greatest}, the ninth decile is {p90}.")
    });
    section(f, "Heights", note, bars("blocks", alive(census), rows))
}

fn round_trips(census: &Census, f: &mut Formatter<'_>) -> Result {
    const EDGES: [u64; 8] = [5, 10, 25, 50, 100, 200, 400, 1000];
    let mut columns: Vec<(String, usize)> = EDGES.iter().map(|edge| (format!("<{edge}"), 0)).collect();
    columns.push(("more".to_owned(), 0));
    for introduction in census.alive().filter_map(|record| record.introduction.as_deref()) {
        if let Some(round_trip) = introduction.round_trip {
            let slot = EDGES.iter().position(|edge| round_trip < Duration::from_millis(*edge)).unwrap_or(EDGES.len());
            columns[slot].1 += 1;
        }
    }
    let note = census.round_trips().map_or_else(
        || "No ping was answered.".to_owned(),
        |spread| {
            let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
            let (p10, median, p90) = (ms(spread.p10), ms(spread.median), ms(spread.p90));
            format!(
                "Milliseconds of a ping, from where this was run: first decile {p10}, median {median}, ninth {p90}."
            )
        },
    );
    section(f, "Round trips", note, Columns { title: "Nodes by the round trip of a ping, in milliseconds", columns })
}

fn services(census: &Census, f: &mut Formatter<'_>) -> Result {
    let name = |bit| match bit {
        0 => "bit 0, NODE_NETWORK".to_owned(),
        2 => "bit 2, NODE_BLOOM".to_owned(),
        bit => format!("bit {bit}"),
    };
    let rows = census.services().into_iter().map(|(bit, count)| (name(bit), count)).collect();
    section(f, "Services", "What nodes say they offer.", bars("bit", alive(census), rows))
}

fn kinds(census: &Census, f: &mut Formatter<'_>) -> Result {
    let kinds = census.kinds();
    let told: Vec<String> = kinds.iter().map(|kind| format!("{} {}", kind.known, kind.kind)).collect();
    let rows = kinds.iter().map(|kind| (kind.kind, kind.alive)).collect();
    let note = format!("Those that spoke. Addresses that were named: {}.", told.join(", "));
    section(f, "Networks", note, bars("network", alive(census), rows))
}

fn groups(census: &Census, f: &mut Formatter<'_>) -> Result {
    let (groups, hosts) = (census.groups(), census.hosts());
    let note = format!("{} hosts in {} groups: the IPv4 /16, the IPv6 /32.", Count(hosts), Count(groups.len()));
    section(f, "Groups of addresses", note, bars("group", alive(census), groups))
}

fn located(census: &Census, places: &Places, f: &mut Formatter<'_>) -> Result {
    let note = "By the database that was given; hosts that it does not know are left out.";
    for (title, head, rows) in [
        ("Countries", "country", places.countries(census.alive())),
        ("Operators", "network", places.operators(census.alive())),
    ] {
        if !rows.is_empty() {
            section(f, title, note, bars(head, alive(census), rows))?;
        }
    }
    Ok(())
}

fn unreached(census: &Census, f: &mut Formatter<'_>) -> Result {
    let summary = census.summary();
    let mut rows = Vec::new();
    for (outcome, count) in [(Outcome::Refused, summary.refused), (Outcome::Silent, summary.silent)] {
        let endings = census.endings(outcome);
        let explained: usize = endings.iter().map(|(_, count)| count).sum();
        rows.extend(endings.into_iter().map(|(ending, count)| (format!("{outcome}: {ending}"), count)));
        if count > explained {
            rows.push((outcome.to_string(), count - explained));
        }
    }
    let note = "How the last try with those ended that did not say who they are.";
    section(f, "Why nodes were not reached", note, bars("reason", summary.refused + summary.silent, rows))
}

fn other_chains(census: &Census, f: &mut Formatter<'_>) -> Result {
    let others: Vec<_> = census.other_chains().collect();
    if others.is_empty() {
        return Ok(());
    }
    f.write_str("<section><h2>Nodes of other chains</h2>\n<table><thead><tr><th>address</th><th>user agent</th>")?;
    f.write_str("<th class=\"number\">version</th><th class=\"number\">height</th></tr></thead><tbody>\n")?;
    for record in others.iter().take(NAMED) {
        let Some(introduction) = record.introduction.as_deref() else { continue };
        write!(f, "<tr><td>{}</td><td>{}</td>", Html(record.address), Html(&introduction.user_agent))?;
        let (version, height) = (introduction.version, introduction.height);
        writeln!(f, "<td class=\"number\">{version}</td><td class=\"number\">{height}</td></tr>")?;
    }
    f.write_str(
        "</tbody></table>\n<p class=\"soft\">They use this network's magic bytes, and their version, their height or \
        their headers are another chain's.",
    )?;
    more(f, others.len())?;
    f.write_str("</p></section>\n")
}

fn changes(census: &Census, f: &mut Formatter<'_>) -> Result {
    let Some(changes) = &census.changes else { return Ok(()) };
    let (new, gone, changed) = (changes.new.len(), changes.gone.len(), changes.changed.len());
    f.write_str("<section><h2>Since the census before</h2>\n")?;
    writeln!(f, "<p>{} new, {} gone, {} with other software.</p>", Count(new), Count(gone), Count(changed))?;
    if changed > 0 {
        f.write_str("<table><thead><tr><th>address</th><th>before</th><th>now</th></tr></thead><tbody>\n")?;
        for change in changes.changed.iter().take(NAMED) {
            let (before, after) = (&change.before, &change.after);
            write!(f, "<tr><td>{}</td>", Html(change.address))?;
            write!(f, "<td>{} {}</td>", before.version, Html(&before.user_agent))?;
            writeln!(f, "<td>{} {}</td></tr>", after.version, Html(&after.user_agent))?;
        }
        f.write_str("</tbody></table>\n<p class=\"soft\">")?;
        more(f, changed)?;
        f.write_str("</p>")?;
    }
    f.write_str("</section>\n")
}

fn more(f: &mut Formatter<'_>, all: usize) -> Result {
    if all > NAMED { write!(f, " {} more are in the JSON file.", Count(all - NAMED)) } else { Ok(()) }
}
