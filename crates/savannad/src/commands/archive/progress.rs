//! How far through the archive it has come: a bar on a terminal, lines elsewhere.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How much time lies between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(2);

const STYLE: &str = "{wide_bar} {pos}/{len} blocks  {msg}  {eta} left";

/// Tells a person how many blocks are done, on standard error.
pub(super) struct Steps {
    /// Draws nothing where there is no terminal.
    bar: ProgressBar,
    is_terminal: bool,
    /// What is done to blocks, as in "verified".
    done: &'static str,
    of: u64,
    began: Instant,
    last_line: Cell<Instant>,
}

impl Steps {
    pub(super) fn new(done: &'static str, of: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::new(of) } else { ProgressBar::hidden() };
        // The template is a constant of this file, and a test holds it to be valid.
        bar.set_style(ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_bar()));
        let now = Instant::now();
        Self { bar, is_terminal, done, of, began: now, last_line: Cell::new(now) }
    }

    /// Shows how many blocks are done, and how many bytes they had.
    pub(super) fn show(&self, blocks: u64, bytes: u64) {
        let seconds = self.began.elapsed().as_secs_f64().max(0.001);
        let rate = format!("{:.0} blocks/s, {:.1} MB/s", blocks as f64 / seconds, bytes as f64 / 1e6 / seconds);
        if self.is_terminal {
            self.bar.set_position(blocks);
            self.bar.set_message(rate);
        } else if self.last_line.get().elapsed() >= BETWEEN_LINES {
            self.last_line.set(Instant::now());
            eprintln!("{blocks} of {} blocks {}, {rate}", self.of, self.done);
        }
    }

    /// Takes the bar away, and returns how many seconds it took.
    pub(super) fn finish(&self) -> f64 {
        self.bar.finish_and_clear();
        self.began.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_valid() {
        ProgressStyle::with_template(STYLE).unwrap();
    }
}
