//! The round trip of a ping on loopback.

use std::net::SocketAddr;

use anyhow::Result;

use crate::Options;
use crate::contest::enter;
use crate::farm::{echo_listener, pong_listener};
use crate::machine::OneCore;
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let rounds = if options.quick { 200 } else { 10_000 };
    // Between two cores a round trip is mostly the waking of an idle one, which depends on where the scheduler puts things.
    let _one_core = OneCore::enter()?;
    let (pong, echo) = (pong_listener()?, echo_listener()?);
    let note = format!(
        "Median of {rounds}, one after another, the peer and whoever asks on one core, so that it is work that is measured; the \
         limit is 32 bytes echoed over an async stream on the same kind of runtime, which has a thread for each core that it \
         may use. The peer turns pings into pongs as fast as it echoes."
    );
    let mut rows = Vec::new();
    for (flavor, title) in [("single", "a runtime of one thread"), ("multi", "a work-stealing runtime")] {
        let enter = |name, address: SocketAddr| {
            enter::<f64>(name, &[flavor.to_owned(), address.to_string(), rounds.to_string()])
        };
        let (mut client, mut set, mut theirs, mut limit) = <(Samples, Samples, Samples, Samples)>::default();
        for _ in 0..options.samples() {
            client.push(enter("ours-ping", pong)?);
            set.push(enter("ours-set-ping", pong)?);
            theirs.push(enter("theirs-ping", pong)?);
            limit.push(enter("echo", echo)?);
        }
        let row = |through, ours, theirs, goal, note: &str| Row {
            name: format!("Ping through {through}, loopback, {title}"),
            unit: "µs",
            better: Better::Lower,
            ours,
            theirs,
            limit: Some(limit.clone()),
            goals: vec![Goal::TimesLimit(goal)],
            note: note.to_owned(),
        };
        // What the note says of the first row is true of all.
        let note = if rows.is_empty() { &note } else { "" };
        rows.extend([row("a client", client, Some(theirs), 1.5, note), row("a peer set", set, None, 2.0, "")]);
    }
    Ok(rows)
}
