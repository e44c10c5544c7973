//! The report: a census as one page that stands on its own.
//!
//! It holds no script, loads nothing from anywhere and forbids both, so it can be opened from a disk, sent on and kept.
//!
//! # Security
//! Half of what it shows was made up by strangers. Every text goes through [`Html`], and the page's policy would not run a
//! script that came through.

mod chart;
mod sections;
mod text;

use std::fmt;
use std::io::{self, Write};
use std::time::{Duration, UNIX_EPOCH};

use savanna_peerset::crawler::Census;

use super::places::Places;
use text::{Count, Html};

const STYLE: &str = include_str!("report/style.css");

/// Writes the report of a census; with a database of places it also tells countries and operators.
///
/// # Errors
/// [`io::Error`] of `out`.
pub(super) fn write(census: &Census, places: Option<&Places>, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    let page = Page { census, places };
    write!(out, "{page}")
}

struct Page<'a> {
    census: &'a Census,
    places: Option<&'a Places>,
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let network = self.census.network;
        f.write_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")?;
        f.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
        f.write_str("<meta http-equiv=\"Content-Security-Policy\" ")?;
        f.write_str("content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n")?;
        // Without an icon of its own, a browser asks the host for one.
        f.write_str("<link rel=\"icon\" href=\"data:,\">\n")?;
        writeln!(f, "<title>Census of the Zcash network: {}</title>", Html(network))?;
        writeln!(f, "<style>\n{STYLE}</style>\n</head>\n<body>\n<main>")?;
        self.head(f)?;
        self.cards(f)?;
        sections::write(self.census, self.places, f)?;
        self.foot(f)?;
        f.write_str("</main>\n</body>\n</html>\n")
    }
}

impl Page<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Census { network, began, took, is_complete, passed_over, .. } = *self.census;
        writeln!(f, "<h1>Census of the Zcash network: {}</h1>", Html(network))?;
        write!(f, "<p class=\"soft\">Begun {}, ", Html(date(began)))?;
        let took = humantime::format_duration(Duration::from_secs(took.as_secs().max(1)));
        write!(f, "took {took}. ")?;
        f.write_str(match (is_complete, passed_over) {
            (true, 0) => "Every address that anybody named was asked.",
            (true, _) => "Every address that was taken was asked.",
            (false, _) => "It ended before every address was asked.",
        })?;
        if passed_over > 0 {
            write!(f, " Bounds on what one host, one node or one group may tell kept {} out.", Count(passed_over))?;
        }
        f.write_str("</p>\n")
    }

    fn cards(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = self.census.summary();
        let cards = [
            ("known", summary.known),
            ("reached", summary.reached),
            ("obsolete", summary.obsolete),
            ("of another chain", summary.other_chain),
            ("refused", summary.refused),
            ("silent", summary.silent),
            ("unroutable", summary.unroutable),
            ("not tried", summary.untried),
        ];
        f.write_str("<dl class=\"cards\">\n")?;
        for (name, count) in cards {
            writeln!(f, "<div><dt>{name}</dt><dd>{}</dd></div>", Count(count))?;
        }
        f.write_str("</dl>\n")
    }

    fn foot(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<footer><p>Versions, services, heights and user agents are what nodes say of themselves; nobody vouches \
            for them. Who is behind a router or does not listen cannot be reached and is not counted. A node that was full \
            when it was asked counts as refused or silent.</p>\n")?;
        writeln!(f, "<p>Made by Savanna {}.</p></footer>", env!("CARGO_PKG_VERSION"))
    }
}

/// Writes a Unix time as a date and a time of day, in UTC.
fn date(unix: i64) -> String {
    let since = Duration::from_secs(u64::try_from(unix).unwrap_or(0));
    let when = UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(when).to_string()
}

#[cfg(test)]
mod tests;
