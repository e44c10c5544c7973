//! The round trip of a ping on loopback.

use std::net::SocketAddr;

use anyhow::Result;

use crate::Options;
use crate::contest::enter;
use crate::farm::{echo_listener, pong_listener};
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let rounds = if options.quick { 200 } else { 10_000 };
    let (pong, echo) = (pong_listener()?, echo_listener()?);
    let note = format!(
        "Median of {rounds}, one after another; the limit is 32 bytes echoed over an async stream on the same kind of runtime. \
         The peer turns pings into pongs as fast as it echoes."
    );
    [("single", "a runtime of one thread", note), ("multi", "a runtime of many threads", String::new())]
        .into_iter()
        .map(|(flavor, title, note)| {
            let enter = |name, address: SocketAddr| {
                enter::<f64>(name, &[flavor.to_owned(), address.to_string(), rounds.to_string()])
            };
            let (mut ours, mut theirs, mut limit) = (Samples::default(), Samples::default(), Samples::default());
            for _ in 0..options.samples() {
                ours.push(enter("ours-ping", pong)?);
                theirs.push(enter("theirs-ping", pong)?);
                limit.push(enter("echo", echo)?);
            }
            Ok(Row {
                name: format!("Ping through a client, loopback, {title}"),
                unit: "µs",
                better: Better::Lower,
                ours,
                theirs: Some(theirs),
                limit: Some(limit),
                goals: vec![Goal::TimesLimit(1.5)],
                note,
            })
        })
        .collect()
}
