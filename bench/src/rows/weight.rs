//! What depending on it costs: crates, and the time of a clean build.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::Options;
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

/// The crates under `crates/` that stand for the whole and for the network alone, with the crates they may bring.
const WHOLE: (&str, f64) = ("savanna-sync", 100.0);
const NETWORK: (&str, f64) = ("savanna-net", 60.0);

const THEIRS: &str = "zebra-network";

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let theirs = crates(THEIRS)?;
    let mut rows = Vec::new();
    for (ours, most) in [WHOLE, NETWORK] {
        rows.push(Row {
            name: format!("Crates that {ours} brings, against {THEIRS}"),
            unit: "crates",
            better: Better::Lower,
            ours: Samples(vec![crates(ours)?]),
            theirs: Some(Samples(vec![theirs])),
            limit: None,
            goals: vec![Goal::AtMost(most)],
            note: String::new(),
        });
    }
    if options.builds {
        rows.push(Row {
            name: format!("Clean release build of {}, against {THEIRS}", WHOLE.0),
            unit: "s",
            better: Better::Lower,
            ours: Samples(vec![build(WHOLE.0)?]),
            theirs: Some(Samples(vec![build(THEIRS)?])),
            limit: None,
            goals: vec![Goal::TimesTheirs(3.0)],
            note: "Once each, by wall clock, with every core.".to_owned(),
        });
    }
    Ok(rows)
}

fn crates(package: &str) -> Result<f64> {
    let tree = cargo(&["tree", "-p", package, "-e", "normal,build", "--prefix", "none", "--format", "{p}"])?.output()?;
    ensure!(tree.status.success(), "cargo tree -p {package}: {}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8_lossy(&tree.stdout);
    let names = text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty());
    Ok(names.collect::<BTreeSet<_>>().len() as f64)
}

fn build(package: &str) -> Result<f64> {
    let dir = tempfile::tempdir()?;
    let target = dir.path().display().to_string();
    cargo(&["fetch"])?.status()?;
    let before = Instant::now();
    let built = cargo(&["build", "--release", "--quiet", "-p", package, "--target-dir", &target])?.status()?;
    ensure!(built.success(), "cargo build -p {package} fails");
    Ok(before.elapsed().as_secs_f64())
}

/// Calls cargo in this workspace, where both are dependencies of one lock file.
fn cargo(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR"))).stdin(Stdio::null());
    Ok(command)
}
