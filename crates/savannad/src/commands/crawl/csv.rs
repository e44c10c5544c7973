//! A census as a table, one line a node.

use std::io::{self, Write};
use std::time::Duration;

use savanna_peerset::crawler::{Census, Introduction, Record};

const COLUMNS: &str = "address,outcome,ending,version,services,user_agent,height,rtt_ms,connect_ms,told,told_by,network,\
                       netgroup,chain,first_seen,last_seen";

/// Writes one line a node, behind the names of the columns.
///
/// # Security
/// A user agent is a stranger's text. It is escaped to ASCII without control characters, quoted, and never begins with a sign
/// that has a spreadsheet compute it.
pub(super) fn write(census: &Census, out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    writeln!(out, "{COLUMNS}")?;
    census.records.iter().try_for_each(|record| writeln!(out, "{}", line(record)))
}

fn line(record: &Record) -> String {
    let said = record.introduction.as_deref();
    let of = |field: fn(&Introduction) -> String| said.map(field).unwrap_or_default();
    let fields = [
        record.address.to_string(),
        record.outcome.to_string(),
        record.ending.map(|ending| ending.to_string()).unwrap_or_default(),
        of(|said| said.version.to_string()),
        of(|said| said.services.0.to_string()),
        of(|said| quoted(&said.user_agent.to_string())),
        of(|said| said.height.to_string()),
        of(|said| said.round_trip.map(milliseconds).unwrap_or_default()),
        of(|said| said.connect.map(milliseconds).unwrap_or_default()),
        of(|said| said.told.map(|told| told.to_string()).unwrap_or_default()),
        record.told_by.to_string(),
        record.kind().to_string(),
        record.group().to_string(),
        of(|said| said.chain.to_string()),
        record.first_seen.to_string(),
        record.last_seen.map(|seen| seen.to_string()).unwrap_or_default(),
    ];
    fields.join(",")
}

fn quoted(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adversary_12_no_user_agent_breaks_out_of_its_field() {
        assert_eq!(quoted(r#"/A"B/,x"#), r#""/A""B/,x""#);
        assert_eq!(quoted("=cmd()"), "\"'=cmd()\"");
        let record = Record::new("1.2.3.4:8233".parse().unwrap(), 7);
        assert_eq!(line(&record).split(',').count(), COLUMNS.split(',').count());
    }
}
