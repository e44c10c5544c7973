//! Many blocks from eight peers on loopback: Savanna verifies and stores them, zebra-network receives them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::Options;
use crate::chain::Chain;
use crate::contest::{Fetched, enter, write_hashes};
use crate::farm::{Farm, Habit, PEERS};
use crate::measure::Samples;
use crate::table::{Better, Goal, Row};

/// The delay that stands for a distance.
const DELAY: Duration = Duration::from_millis(50);

const LARGE: usize = 60_000;
const SMALL: usize = 2_600;

/// Zebra's own syncer asks its network block by block; sixteen is what it serves to one question.
const SIXTEEN: usize = 16;

/// A farm of one chain, and what contestants are told of it.
struct Field {
    farm: Farm,
    chain: Arc<Chain>,
    /// Holds the hashes, and what Savanna stores.
    dir: tempfile::TempDir,
}

impl Field {
    fn new(chain: &Arc<Chain>, delay: Duration) -> Result<Self> {
        Self::with(chain, delay, Habit::Honest)
    }

    /// Makes one in which the first peer has a habit.
    fn with(chain: &Arc<Chain>, delay: Duration, first: Habit) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        write_hashes(&dir.path().join("hashes"), &chain.hashes[1..])?;
        Ok(Self { farm: Farm::start_with(chain, PEERS, delay, first)?, chain: Arc::clone(chain), dir })
    }

    fn ours(&self) -> Result<Fetched> {
        let store = tempfile::tempdir_in(self.dir.path())?;
        let arguments = [store.path().display().to_string(), self.chain.tip().to_string()];
        self.enter("ours-sync", &arguments)
    }

    fn theirs(&self, batch: usize) -> Result<Fetched> {
        self.enter("theirs-fetch", &[self.hashes(), batch.to_string()])
    }

    fn bare(&self) -> Result<Fetched> {
        let dir = tempfile::tempdir_in(self.dir.path())?;
        self.enter("bare-fetch", &[self.hashes(), dir.path().display().to_string()])
    }

    fn hashes(&self) -> String {
        self.dir.path().join("hashes").display().to_string()
    }

    fn enter(&self, name: &str, arguments: &[String]) -> Result<Fetched> {
        let before = self.farm.connected();
        let peers = self.farm.addresses.iter().map(SocketAddr::to_string);
        let found: Fetched = enter(name, &arguments.iter().cloned().chain(peers).collect::<Vec<_>>())?;
        // A contestant that leaves peers out has been measured with other means than the rest.
        ensure!(self.farm.connected() >= before + PEERS, "the contestant {name} did not use every peer");
        Ok(found)
    }
}

pub(crate) fn run(options: &Options) -> Result<Vec<Row>> {
    let (large, small) = if options.quick { (200, 500) } else { (3_000, 20_000) };
    let chain = Arc::new(Chain::assemble(large, LARGE)?);
    let mut rows = near(options, &Field::new(&chain, Duration::ZERO)?)?;
    let far_field = Field::new(&chain, DELAY)?;
    rows.extend(far(options, &far_field)?);
    for (habit, what) in [(Habit::Stalls, "one stalls"), (Habit::Lies, "one lies")] {
        rows.push(spoiled(options, &far_field, &Field::with(&chain, DELAY, habit)?, what)?);
    }
    drop(far_field);
    drop(chain);
    let chain = Arc::new(Chain::assemble(small, SMALL)?);
    rows.extend(little(options, &Field::new(&chain, Duration::ZERO)?)?);
    Ok(rows)
}

fn title(chain: &Chain) -> String {
    let (count, average) = (chain.tip(), chain.bytes as f64 / chain.tip() as f64 / 1e3);
    format!("{count} blocks of {average:.1} kB from {PEERS} peers")
}

/// No delay: what it costs.
fn near(options: &Options, field: &Field) -> Result<Vec<Row>> {
    let mut cpu = Three::default();
    let (mut singly, mut sixteens, mut memory) = (Three::default(), Three::default(), Samples::default());
    for _ in 0..options.samples() {
        let (ours, one, sixteen, bare) = (field.ours()?, field.theirs(1)?, field.theirs(SIXTEEN)?, field.bare()?);
        cpu.push(ours.cpu, sixteen.cpu, bare.cpu);
        singly.push(rate(ours), rate(one), rate(bare));
        sixteens.push(rate(ours), rate(sixteen), rate(bare));
        memory.push(ours.most_resident as f64 / (1 << 20) as f64);
    }
    let title = title(&field.chain);
    let note = "Ours fetches headers too, verifies and stores; theirs receives, in sixteens; the limit receives with bare \
                sockets, hashes every byte twice by SHA-256 and writes it to a file.";
    let goals = || vec![Goal::TimesTheirs(4.0)];
    Ok(vec![
        cpu.row(format!("{title}: processor time"), "CPU s", Better::Lower, vec![Goal::TimesTheirs(8.0)], note),
        singly.row(format!("{title}; theirs asked block by block"), "blocks/s", Better::Higher, goals(), ""),
        sixteens.row(format!("{title}; theirs asked in sixteens"), "blocks/s", Better::Higher, goals(), ""),
        Row {
            name: format!("{title}: memory"),
            unit: "MiB",
            better: Better::Lower,
            ours: memory,
            theirs: None,
            limit: None,
            goals: vec![Goal::AtMost(300.0)],
            note: "The most that was resident at any time, with the default budget.".to_owned(),
        },
    ])
}

/// With a delay: how well the line is filled.
fn far(options: &Options, field: &Field) -> Result<Vec<Row>> {
    let (mut singly, mut sixteens) = (Three::default(), Three::default());
    for _ in 0..options.samples() {
        let (ours, one, sixteen, bare) = (field.ours()?, field.theirs(1)?, field.theirs(SIXTEEN)?, field.bare()?);
        singly.push(rate(ours), rate(one), rate(bare));
        sixteens.push(rate(ours), rate(sixteen), rate(bare));
    }
    let note = "Ours as above, headers included; theirs as named; the limit has three questions of sixteen under way.";
    let title = away(field);
    let goals = |times| vec![Goal::TimesTheirs(times)];
    Ok(vec![
        singly.row(format!("{title}; theirs asked block by block"), "blocks/s", Better::Higher, goals(12.0), note),
        sixteens.row(format!("{title}; theirs asked in sixteens"), "blocks/s", Better::Higher, goals(2.0), ""),
    ])
}

fn away(field: &Field) -> String {
    format!("{}, {} ms away", title(&field.chain), DELAY.as_millis())
}

/// One bad peer among good ones: how much longer it takes.
fn spoiled(options: &Options, good: &Field, bad: &Field, what: &str) -> Result<Row> {
    let (mut ours, mut limit) = (Samples::default(), Samples::default());
    for _ in 0..options.samples() {
        limit.push(good.ours()?.wall);
        ours.push(bad.ours()?.wall);
    }
    Ok(Row {
        name: format!("{}, of which {what}", away(good)),
        unit: "s",
        better: Better::Lower,
        ours,
        theirs: None,
        limit: Some(limit),
        goals: vec![Goal::TimesLimit(1.15)],
        note: "The limit is ours from good peers alone.".to_owned(),
    })
}

/// Little blocks: what each one costs.
fn little(options: &Options, field: &Field) -> Result<Vec<Row>> {
    let (mut singly, mut sixteens) = (Three::default(), Three::default());
    for _ in 0..options.samples() {
        let (ours, one, sixteen, bare) = (field.ours()?, field.theirs(1)?, field.theirs(SIXTEEN)?, field.bare()?);
        singly.push(rate(ours), rate(one), rate(bare));
        sixteens.push(rate(ours), rate(sixteen), rate(bare));
    }
    let goals = || vec![Goal::TimesTheirs(3.0)];
    let title = title(&field.chain);
    Ok(vec![
        singly.row(format!("{title}; theirs asked block by block"), "blocks/s", Better::Higher, goals(), ""),
        sixteens.row(format!("{title}; theirs asked in sixteens"), "blocks/s", Better::Higher, goals(), ""),
    ])
}

fn rate(fetched: Fetched) -> f64 {
    fetched.blocks as f64 / fetched.wall
}

/// The samples of three contestants.
#[derive(Default)]
struct Three {
    ours: Samples,
    theirs: Samples,
    bare: Samples,
}

impl Three {
    fn push(&mut self, ours: f64, theirs: f64, bare: f64) {
        self.ours.push(ours);
        self.theirs.push(theirs);
        self.bare.push(bare);
    }

    fn row(self, name: String, unit: &'static str, better: Better, goals: Vec<Goal>, note: &str) -> Row {
        let Self { ours, theirs, bare } = self;
        Row { name, unit, better, ours, theirs: Some(theirs), limit: Some(bare), goals, note: note.to_owned() }
    }
}
