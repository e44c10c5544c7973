//! What is known, written down: as a table, as JSON, as a zone.

use std::fmt::{self, Write as _};

use serde::Serialize;

use savanna_wire::UserAgent;

use crate::{Report, Window};

pub use zone::{ZoneError, ZoneHead, zone_file};

mod zone;

/// The first line of the [table](table), which names its columns.
const HEAD: &str = "# address                                        good  lastSuccess    %(2h)   %(8h)   %(1d)   %(7d)  \
                    %(30d)  blocks      svcs  version";

/// Writes a table of those that have answered, in the columns that the tools of Bitcoin's seeders read.
///
/// # Security
/// User agents are escaped so that each stays one word on its line, whatever a peer says.
#[must_use]
pub fn table<'a>(reports: impl IntoIterator<Item = Report<'a>>) -> String {
    let mut text = format!("{HEAD}\n");
    for report in reports {
        let Some(said) = report.said else { continue };
        let _ = write!(
            text,
            "{:<47}  {:>4}  {:>11}  ",
            report.address.to_string(),
            u8::from(report.verdict.is_ok()),
            report.last_success.0
        );
        for window in Window::ALL {
            let _ = write!(text, "{:>6.2}% ", 100.0 * report.reliability.share(window));
        }
        let word = Word(&said.user_agent);
        let _ = writeln!(text, " {:>6}  {:08x}  {:>5} \"{word}\"", said.height, said.services.0, said.version.0);
    }
    text
}

/// Writes all that is tracked as JSON, an array with an object a node. The fields are stable.
///
/// # Errors
/// None that numbers and texts could give rise to; the encoder's are handed on.
pub fn json<'a>(reports: impl IntoIterator<Item = Report<'a>>) -> Result<String, serde_json::Error> {
    let rows: Vec<_> = reports.into_iter().map(|report| Row::of(&report)).collect();
    serde_json::to_string_pretty(&rows)
}

#[derive(Debug, Serialize)]
struct Row {
    address: String,
    good: bool,
    refusal: Option<&'static str>,
    first_heard: u32,
    last_try: u32,
    last_success: u32,
    tries: u32,
    successes: u32,
    reliability: [f32; Window::ALL.len()],
    chain: &'static str,
    height: Option<i32>,
    services: Option<u64>,
    version: Option<i32>,
    user_agent: Option<String>,
}

impl Row {
    fn of(report: &Report<'_>) -> Self {
        let said = report.said;
        Self {
            address: report.address.to_string(),
            good: report.verdict.is_ok(),
            refusal: report.verdict.err().map(crate::Refusal::label),
            first_heard: report.first_heard.0,
            last_try: report.reliability.last_try().0,
            last_success: report.last_success.0,
            tries: report.reliability.tries(),
            successes: report.reliability.successes(),
            reliability: Window::ALL.map(|window| report.reliability.share(window)),
            chain: report.chain.label(),
            height: said.map(|said| said.height),
            services: said.map(|said| said.services.0),
            version: said.map(|said| said.version.0),
            user_agent: said.map(|said| said.user_agent.to_string()),
        }
    }
}

/// A user agent as one word of printable ASCII.
struct Word<'a>(&'a UserAgent);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.to_string().replace(' ', "\\x20"))
    }
}

#[cfg(test)]
mod tests;
