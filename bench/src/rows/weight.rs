//! What depending on it costs: crates, and the time of a clean build.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

/// What of ours somebody may depend on, and the crates that it may bring.
const OURS: [(Subject, f64); 3] = [
    (WHOLE, 100.0),
    (Subject { package: "savanna", features: &[] }, 60.0),
    (Subject { package: "savanna-net", features: &[] }, 60.0),
];
const WHOLE: Subject = Subject { package: "savanna", features: &["sync"] };
const THEIRS: Subject = Subject { package: "zebra-network", features: &[] };
const THEIR_VERSION: &str = "=15.0.0";

/// A package as it is depended on.
#[derive(Debug, Clone, Copy)]
struct Subject {
    package: &'static str,
    features: &'static [&'static str],
}

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let theirs = Alone::new(THEIRS)?;
    let their_crates = theirs.crates()?;
    let mut rows = Vec::new();
    for (ours, most) in OURS {
        rows.push(Row {
            name: format!("Crates that {ours} brings, against {THEIRS}"),
            unit: "crates",
            better: Better::Lower,
            ours: Samples(vec![Alone::new(ours)?.crates()?]),
            theirs: Some(Samples(vec![their_crates])),
            limit: None,
            goals: vec![Goal::AtMost(most)],
            note: String::new(),
        });
    }
    if options.builds {
        rows.push(Row {
            name: format!("Clean release build of {WHOLE}, against {THEIRS}"),
            unit: "s",
            better: Better::Lower,
            ours: Samples(vec![Alone::new(WHOLE)?.build()?]),
            theirs: Some(Samples(vec![theirs.build()?])),
            limit: None,
            goals: vec![Goal::TimesTheirs(3.0)],
            note: "Once each, by wall clock, with every core.".to_owned(),
        });
    }
    Ok(rows)
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.features {
            [] => f.write_str(self.package),
            features => write!(f, "{} with {}", self.package, features.join(", ")),
        }
    }
}

/// A package that depends on nothing but one other, so that nobody else's features are counted.
struct Alone {
    package: &'static str,
    dir: tempfile::TempDir,
}

impl Alone {
    fn new(Subject { package, features }: Subject) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
        let ours = bench.parent().context("the bench has a parent")?.join("crates").join(package);
        let source = if ours.exists() { format!("path = {ours:?}") } else { format!("version = {THEIR_VERSION:?}") };
        let manifest = format!(
            "[package]\nname = \"alone\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [dependencies]\n{package} = {{ {source}, features = {features:?} }}\n\n[workspace]\n"
        );
        fs::write(dir.path().join("Cargo.toml"), manifest)?;
        // The versions that are measured everywhere else.
        fs::copy(bench.join("Cargo.lock"), dir.path().join("Cargo.lock"))?;
        fs::create_dir(dir.path().join("src"))?;
        fs::write(dir.path().join("src/lib.rs"), "")?;
        Ok(Self { package, dir })
    }

    /// Counts what it brings, itself included.
    fn crates(&self) -> Result<f64> {
        let tree = self.cargo(&["tree", "-p", self.package, "-e", "normal,build", "--prefix", "none"]).output()?;
        ensure!(tree.status.success(), "cargo tree -p {}: {}", self.package, String::from_utf8_lossy(&tree.stderr));
        let text = String::from_utf8_lossy(&tree.stdout);
        let names = text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty());
        Ok(names.collect::<BTreeSet<_>>().len() as f64)
    }

    /// Returns the seconds of a build from nothing, downloads apart.
    fn build(&self) -> Result<f64> {
        ensure!(self.cargo(&["fetch"]).status()?.success(), "cargo fetch fails");
        let before = Instant::now();
        let built = self.cargo(&["build", "--release", "--quiet"]).status()?;
        ensure!(built.success(), "{} does not build", self.package);
        Ok(before.elapsed().as_secs_f64())
    }

    fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()));
        command.args(arguments).current_dir(self.dir.path()).stdin(Stdio::null()).stderr(Stdio::inherit());
        command.env("CARGO_TARGET_DIR", self.dir.path().join("target"));
        command
    }
}
