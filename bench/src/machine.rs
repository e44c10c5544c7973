//! Where the numbers were taken.

use std::fmt;
use std::fs;

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

fn load() -> f64 {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}
