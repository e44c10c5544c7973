//! The memory that an idle connection holds.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::Options;
use crate::chain::Chain;
use crate::contest::enter;
use crate::farm::Farm;
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let connections = if options.quick { 100 } else { 2_000 };
    let chain = Arc::new(Chain::assemble(0, 0)?);
    let farm = Farm::start(&chain, 1, Duration::ZERO)?;
    let peer = [farm.addresses[0].to_string(), connections.to_string()];
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    for _ in 0..options.samples().min(3) {
        ours.push(enter::<f64>("ours-idle", &peer)? / 1024.0);
        theirs.push(enter::<f64>("theirs-idle", &peer)? / 1024.0);
    }
    Ok(vec![Row {
        name: format!("An idle connection of {connections}"),
        unit: "KiB",
        better: Better::Lower,
        ours,
        theirs: Some(theirs),
        limit: None,
        goals: vec![Goal::AtMost(16.0)],
        note: "Growth of the resident memory, handshake and first ping included; what the kernel holds is not."
            .to_owned(),
    }])
}
