//! The round trip of a ping on loopback.

use anyhow::Result;

use crate::Options;
use crate::contest::enter;
use crate::farm::{echo_listener, pong_listener};
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let rounds = if options.quick { 200 } else { 10_000 };
    let peer = [pong_listener()?.to_string(), rounds.to_string()];
    let echo = [echo_listener()?.to_string(), rounds.to_string()];
    let (mut ours, mut theirs, mut limit) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..options.samples() {
        ours.push(enter("ours-ping", &peer)?);
        theirs.push(enter("theirs-ping", &peer)?);
        limit.push(enter("echo", &echo)?);
    }
    Ok(vec![Row {
        name: "Ping through a client, loopback".to_owned(),
        unit: "µs",
        better: Better::Lower,
        ours,
        theirs: Some(theirs),
        limit: Some(limit),
        goals: vec![Goal::TimesLimit(1.5)],
        note: format!(
            "Median of {rounds}, one after another, each contestant on one thread; the limit is 32 bytes echoed over an \
             async stream. The peer turns pings into pongs as fast as it echoes."
        ),
    }])
}
