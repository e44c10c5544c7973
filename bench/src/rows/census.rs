//! A census: how long it takes, what it holds, and that it misses nobody.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::contest::{Surveyed, enter};
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let (live, closing, silent) = if options.quick { (300, 50, 50) } else { (3_000, 500, 500) };
    let counts = [live, closing, silent].map(|count| count.to_string());
    let (mut seconds, mut memory) = (Samples::default(), Samples::default());
    for _ in 0..options.samples().min(3) {
        let mut farm = Command::new(std::env::current_exe()?)
            .arg("survey-farm")
            .args(&counts)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let found = survey(&mut farm);
        farm.kill()?;
        farm.wait()?;
        let found = found?;
        ensure!(found.known == live + closing + silent, "{} nodes are known", found.known);
        ensure!(found.reached == live, "{} live peers were missed", live - found.reached);
        seconds.push(found.wall);
        memory.push(found.most_resident as f64 / (1 << 20) as f64);
    }
    let name = |what: &str| format!("Census of {live} live peers, {closing} that hang up, {silent} silent: {what}");
    let row = |what: &str, unit, ours, most, note: &str| Row {
        name: name(what),
        unit,
        better: Better::Lower,
        ours,
        theirs: None,
        limit: None,
        goals: vec![Goal::AtMost(most)],
        note: note.to_owned(),
    };
    Ok(vec![
        row("time", "s", seconds, 40.0, "From one address, the peers on the same cores; none of the live is missed."),
        row("memory", "MiB", memory, 200.0, "The most that was resident at any time."),
    ])
}

fn survey(farm: &mut std::process::Child) -> Result<Surveyed> {
    let out = farm.stdout.take().context("its standard output is piped")?;
    let mut first = String::new();
    BufReader::new(out).read_line(&mut first)?;
    enter("ours-census", &[serde_json::from_str::<String>(&first)?])
}
