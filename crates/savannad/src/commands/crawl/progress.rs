//! How far it has come: a line that changes on a terminal, lines now and then elsewhere.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use savanna_peerset::crawler::{Plan, Progress};

/// How much time lies between two lines.
const BETWEEN_LINES: Duration = Duration::from_secs(5);

/// How much time lies between two changes on a terminal.
const BETWEEN_CHANGES: Duration = Duration::from_millis(100);

const STYLE: &str = "{spinner} {msg}  {elapsed_precise}";

/// Tells a person what a crawl does, on standard error.
pub(super) struct Reporter {
    /// Draws nothing where there is no terminal.
    bar: ProgressBar,
    is_terminal: bool,
    last: Cell<Option<Instant>>,
}

impl Reporter {
    pub(super) fn new() -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        // The template is a constant, and a test holds it to be valid.
        bar.set_style(ProgressStyle::with_template(STYLE).unwrap_or_else(|_| ProgressStyle::default_spinner()));
        if is_terminal {
            bar.enable_steady_tick(BETWEEN_CHANGES);
        }
        Self { bar, is_terminal, last: Cell::new(None) }
    }

    /// Says one thing, above the counters if there are any.
    pub(super) fn line(&self, text: &str) {
        if self.is_terminal {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    /// Shows the counters.
    pub(super) fn show(&self, plan: &Plan) {
        let pause = if self.is_terminal { BETWEEN_CHANGES } else { BETWEEN_LINES };
        let last = self.last.get();
        if last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        self.last.set(Some(Instant::now()));
        if self.is_terminal {
            self.bar.set_message(counters(&plan.progress()));
        } else if last.is_some() {
            eprintln!("{}", counters(&plan.progress()));
        }
    }

    /// Takes the counters away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn counters(progress: &Progress) -> String {
    let Progress { summary, in_flight, refused } = progress;
    let mut text = format!("known {}  in flight {in_flight}  reached {}", summary.known, summary.reached);
    let mut add = |name: &str, count: usize| {
        if count > 0 {
            text += &format!("  {name} {count}");
        }
    };
    add("obsolete", summary.obsolete);
    add("other chains", summary.other_chain);
    add("silent", summary.silent);
    add("refused", summary.refused);
    let reasons: Vec<_> = refused.iter().map(|(ending, count)| format!("{ending} {count}")).collect();
    if reasons.is_empty() { text } else { format!("{text} ({})", reasons.join(", ")) }
}

#[cfg(test)]
mod tests {
    use savanna_peerset::crawler::{Ending, Summary};

    use super::*;

    #[test]
    fn the_template_is_valid() {
        ProgressStyle::with_template(STYLE).unwrap();
    }

    #[test]
    fn refusals_are_told_by_reason() {
        let summary = Summary { known: 9, reached: 2, refused: 3, ..Summary::default() };
        let refused = vec![(Ending::ConnectionRefused, 2), (Ending::ClosedByPeer, 1)];
        assert_eq!(
            counters(&Progress { summary, in_flight: 4, refused }),
            "known 9  in flight 4  reached 2  refused 3 (connection_refused 2, closed_by_peer 1)"
        );
    }
}
