//! Where the numbers were taken.

use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

/// The machine, and what else it was doing.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    /// Processes that wanted a core over the last minute, at the start and at the end of the run.
    load_at_start: f64,
    load_at_end: f64,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let load = load();
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            cpu: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            load_at_start: load,
            load_at_end: load,
        }
    }

    pub(crate) fn look_again(&mut self) {
        self.load_at_end = load();
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, load_at_start, load_at_end } = self;
        write!(f, "{cores} cores of {cpu}; load {load_at_start:.1} at the start, {load_at_end:.1} at the end.")
    }
}

/// Keeps this thread, and those threads and processes that it starts meanwhile, on one core.
pub(crate) struct OneCore {
    /// The cores that it may use otherwise, as a list.
    before: String,
}

impl OneCore {
    /// Enters it by `taskset`, which is there on every Linux.
    pub(crate) fn enter() -> Result<Self> {
        let status = fs::read_to_string("/proc/self/status")?;
        let before = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let before = before.context("the system does not tell which cores there are")?.trim().to_owned();
        let first: String = before.chars().take_while(char::is_ascii_digit).collect();
        confine(&first)?;
        Ok(Self { before })
    }
}

impl Drop for OneCore {
    fn drop(&mut self) {
        if let Err(error) = confine(&self.before) {
            eprintln!("all that follows is measured on one core: {error}");
        }
    }
}

/// Confines this thread to a list of cores.
fn confine(cores: &str) -> Result<()> {
    let process = std::process::id().to_string();
    let done = Command::new("taskset").args(["-p", "-c", cores, &process]).stdout(Stdio::null()).status()?;
    ensure!(done.success(), "taskset failed: {done}");
    Ok(())
}

fn load() -> f64 {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}
